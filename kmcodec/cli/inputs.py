"""Where a command's input comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kmcodec.cli.failures import naming
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import read_stream


def read_picture_file(path: str) -> bytes:
    """Return all of a file, or of standard input."""
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


@contextmanager
def opening_kmq(path: str, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Iterator[Any]:
    """Open a .kmq file to read parts of it; what cannot be seeked is read first, as far as it is valid.

    Parameters
    ----------
    path : str
        Or "-" for standard input.
    max_pixels : int or None
        What may be read of a pipe.
    """
    if path == "-":
        with naming(path):
            data = read_stream(sys.stdin.buffer, max_pixels=max_pixels)
        yield data
        return
    with naming(path):
        # Without a buffer, so that no more is read than is asked for.
        file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed below
    with file:
        if file.seekable():
            yield file
            return
        with naming(path):
            data = read_stream(file, max_pixels=max_pixels)
        yield data
