"""Where a command's input comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kmcodec.cli import urls
from kmcodec.cli.failures import naming
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import read_stream

if TYPE_CHECKING:
    from kmcodec.pictures import Picture
    from kmcodec.streaming import Rows


def load(path: str) -> tuple[Picture, int]:
    """Return the picture, array or .kmq of a file or of standard input; and the bytes of the file."""
    # Imported here: most commands do without.
    from kmcodec.container.layout import SIGNATURE
    from kmcodec.container.reader import KmqReader
    from kmcodec.pictures import Picture, parse_picture

    data = read_bytes(path)
    with naming(path):
        if data.startswith(SIGNATURE):
            reader = KmqReader(data)
            return Picture(reader.pixels(), replace(reader.metadata, recipe=None), ()), len(data)
        return parse_picture(data), len(data)


def read_bytes(path: str, most_bytes: int = -1) -> bytes:
    """Return what is in a file, at a URL or on standard input, or the first of its bytes."""
    with naming(path):
        if path == "-":
            return sys.stdin.buffer.read(most_bytes)
        with urls.reading(path) if urls.is_url(path) else open(path, "rb") as file:
            return file.read(most_bytes)


@contextmanager
def opening_rows(path: str) -> Iterator[Rows | None]:
    """Open a picture to be encoded block by block, if it is one."""
    if path == "-" or urls.is_url(path):
        yield None
        return
    # Imported here: most commands do without.
    from kmcodec import rows
    from kmcodec.pictures import measure_picture

    with ExitStack() as stack:
        with naming(path):
            array = stack.enter_context(rows.opening_rows(path, lambda: measure_picture(path)))
        yield array


@contextmanager
def opening_kmq(path: str, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Iterator[Any]:
    """Open a .kmq file to read parts of it; what cannot be seeked is read first, as far as it is valid.

    Parameters
    ----------
    path : str
        Or a URL; or "-" for standard input.
    max_pixels : int or None
        What may be read of a pipe.
    """
    if path == "-":
        with naming(path):
            data = read_stream(sys.stdin.buffer, max_pixels=max_pixels)
        yield data
        return
    with _opening_unbuffered(path) as file:
        if file.seekable():
            yield file
            return
        with naming(path):
            data = read_stream(file, max_pixels=max_pixels)
        yield data


@contextmanager
def _opening_unbuffered(path: str) -> Iterator[Any]:
    """Open a file of which no more is to be read than is asked for."""
    if urls.is_url(path):
        with urls.reading(path) as file:
            yield file
        return
    with naming(path):
        local = open(path, "rb", buffering=0)  # noqa: SIM115  # closed below
    with local:
        yield local


def list_kmq_suffixes() -> frozenset[str]:
    """Return the suffixes of the files of a folder that can be decoded."""
    return frozenset({".kmq"})


def list_picture_suffixes() -> frozenset[str]:
    """Return the suffixes of the files of a folder that can be encoded, as far as names tell."""
    from kmcodec.pictures import list_suffixes

    return list_suffixes() | {".npy"}
