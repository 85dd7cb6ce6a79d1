"""IndexedImage <-> .kmq. The sole owner of offsets, checksums and limits.

The format is spec/kmq-1.md; section numbers in this package are those of that document.
"""
