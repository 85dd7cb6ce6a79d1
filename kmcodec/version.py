"""The version of kmcodec, which files may record."""

__version__ = "0.1.0"
