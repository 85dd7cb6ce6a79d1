"""Whether an output that is there already is what would be made once more."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.cli import inputs, urls
from kmcodec.cli.failures import EXISTS, CommandError, naming, show_path
from kmcodec.codec import open as open_kmq
from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.errors import KmqFormatError
from kmcodec.metadata import Metadata
from kmcodec.pictures import measure_picture, read_metadata
from kmcodec.recipe import PixelHash, build_recipe
from kmcodec.streaming import read_blocks

# Arguments of kmcodec.encode that are not options of kmcodec.quantize.
_FILE_ARGUMENTS = ("n_colors", "max_bytes", "lossy", "coding", "strip_rows", "recipe")


def is_newer(output: str, source: str) -> bool:
    """Return whether a file has been changed after another, or at the same time.

    Raises
    ------
    CommandError
        If that is not known.
    """
    if urls.is_url(output) or urls.is_url(source):
        raise CommandError(f"{show_path(output)}: {EXISTS}")
    with naming(source):
        changed = os.stat(source).st_mtime_ns
    with naming(output):
        return os.stat(output).st_mtime_ns >= changed


def is_decoded(options: argparse.Namespace, output: str) -> bool:
    """Return whether a picture is what decoding options.input would make, as far as can be seen.

    It is newer, and has as many pixels as are asked for. Of a damaged file, nothing that is salvaged is up to
    date.

    Raises
    ------
    CommandError
        If that is not known.
    """
    if not is_newer(output, options.input):
        return False
    with inputs.opening_kmq(options.input, max_pixels=None) as file, naming(options.input):
        reader = KmqReader(file, max_pixels=None)
        if options.salvage:
            reader.verify(threads=options.threads)
    _, _, width, height = options.region or (0, 0, reader.width, reader.height)
    with naming(output):
        return measure_picture(output) == width * height


def is_encoded(options: argparse.Namespace, arguments: Mapping[str, Any], output: str) -> bool:
    """Return whether a .kmq file is what encoding options.input with these arguments would make.

    If it holds a recipe, that tells, with the picture itself. If not, the time of its last change, its size,
    its coding, metadata where there is to be none, and its colours: those of a palette that is given, else
    their number, where fewer than are asked for are enough for a picture that has no more.

    Raises
    ------
    CommandError
        If output is no .kmq file, and so not to be replaced; or nothing can be known about it.
    """
    if urls.is_url(output):
        raise CommandError(f"{show_path(output)}: {EXISTS}")
    try:
        with naming(output), open_kmq(output, max_pixels=None) as reader:
            if not _has_form(reader, arguments):
                return False
            if reader.metadata.recipe is not None:
                return _is_made_so(reader.metadata, options, arguments)
            if options.strip_metadata and reader.metadata.to_sections():
                return False
            is_current = not arguments["recipe"] and is_newer(output, options.input)
            return is_current and (_has_all_colors(reader.header, arguments) or _is_exact(reader, options))
    except CommandError as error:
        if isinstance(error.__cause__, KmqFormatError):
            raise CommandError(f"{show_path(output)}: {EXISTS} (it is no .kmq file)") from None
        raise


def _has_all_colors(header: Header, arguments: Mapping[str, Any]) -> bool:
    """Return whether a file has as many colours as are asked for, as far as that is a number."""
    is_number = arguments["n_colors"] != "auto" and arguments["palette"] is None
    is_most = arguments.get("max_bytes") is not None or arguments["lossy"] is not None
    return not is_number or is_most or header.n_colors == arguments["n_colors"]


def _is_exact(reader: KmqReader, options: argparse.Namespace) -> bool:
    """Return whether a file has just the pixels of the picture; but for colours that nobody sees."""
    with _reading_source(options) as (blocks, shape, _):
        if (reader.height, reader.width) != shape[:2]:
            return False
        row = 0
        for block in blocks:
            stored = reader.rows(row, row + len(block))
            row += len(block)
            if stored.shape[2] != block.shape[2]:
                # An alpha that is 255 everywhere is not stored.
                if stored.shape[2] == 4 or not (block[:, :, 3] == 255).all():
                    return False
                block = block[:, :, :3]
            if ((stored != block).any(axis=2) & (block[:, :, 3:] != 0).all(axis=2)).any():
                return False
    return True


def _is_made_so(metadata: Metadata, options: argparse.Namespace, arguments: Mapping[str, Any]) -> bool:
    """Return whether a file with a recipe was made of the picture, with these arguments."""
    assert metadata.recipe is not None
    if _find_request(metadata.recipe) != _find_request(_build_recipe(arguments)):
        return False
    with _reading_source(options) as (blocks, shape, of_source):
        digest = PixelHash(shape)
        for block in blocks:
            digest.add(block)
    is_same_picture = all(metadata.recipe.get(name) == value for name, value in digest.describe().items())
    wanted = () if options.strip_metadata else of_source.to_sections()
    return is_same_picture and wanted == replace(metadata, recipe=None).to_sections()


def _has_form(reader: KmqReader, arguments: Mapping[str, Any]) -> bool:
    """Return whether a file has the size, the coding, and the palette or the number of colours asked for."""
    header, palette, most = reader.header, arguments["palette"], arguments["n_colors"]
    strip_rows, max_bytes = arguments["strip_rows"], arguments.get("max_bytes")
    return (
        (max_bytes is None or header.file_bytes <= max_bytes)
        and header.coding == arguments["coding"]
        and (strip_rows is None or header.strip_rows == min(strip_rows, header.height))
        and (most == "auto" or palette is not None or header.n_colors <= most)
        and (palette is None or np.array_equal(reader.palette, palette))
    )


def _build_recipe(arguments: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in arguments.items() if name not in _FILE_ARGUMENTS}
    return build_recipe(
        arguments["n_colors"], options, max_bytes=arguments.get("max_bytes"), lossy=arguments["lossy"]
    )


def _find_request(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe says was asked for, whatever the picture, and the version of the program."""
    return {
        name: value for name, value in recipe.items() if name != "program" and not name.startswith("source_")
    }


@contextmanager
def _reading_source(
    options: argparse.Namespace,
) -> Iterator[tuple[Iterator[NDArray[np.uint8]], tuple[int, ...], Metadata]]:
    """Give the pixels of a picture in blocks of rows, their shape as one array, and the metadata."""
    with inputs.opening_rows(options.input) as rows, naming(options.input):
        if rows is None:
            picture, _ = inputs.load(options.input)
            yield iter([picture.pixels]), picture.pixels.shape, picture.metadata
        else:
            known = read_metadata(options.input)
            yield read_blocks(rows), rows.shape, known.metadata if known else Metadata()
