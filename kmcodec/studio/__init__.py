"""A local page to try settings on a picture.

session.py is what it does; page.py, the scripts and the style sheet are how it looks;
server.py is who may see it.

The only user of NiceGUI, which comes with the extra kmcodec[studio].
"""
