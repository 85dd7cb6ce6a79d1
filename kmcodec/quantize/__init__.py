"""Colours in, indexed image out. Knows no file and no byte.

quantizer runs the steps: histogram counts colours, colorspace turns them into points, seeding chooses
first centroids, lloyd moves them.
"""
