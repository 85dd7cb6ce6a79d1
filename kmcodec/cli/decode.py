"""kmq decode: .kmq to a picture file, or to an array."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.cli import batch, freshness, inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, hinting_at_limit, naming, show_path, tell
from kmcodec.cli.progress import Progress
from kmcodec.container.layout import Header
from kmcodec.container.parts import check_limit, check_strip_limit
from kmcodec.container.reader import KmqReader, check_region
from kmcodec.container.salvage import FILL, Run, Salvager, add_run, show_runs
from kmcodec.errors import KmqFormatError, PictureError
from kmcodec.image import IndexedImage
from kmcodec.metadata import Metadata
from kmcodec.pictures import encode_picture, find_format, write_png
from kmcodec.threads import Workers

# Pixels of a picture that is decoded in memory: that is faster, and the PNG smaller.
_FEW_PIXELS = 1 << 25

# Pixels that are written at a time, at most.
_BLOCK_PIXELS = 1 << 20

_KIND = batch.Kind("decoded", "decoding", ".kmq files", ".png", inputs.list_kmq_suffixes)


def run(options: argparse.Namespace) -> int:
    """Decode a file, or many."""
    is_batch = batch.is_asked_for(options)
    if options.fill is not None and not options.salvage:
        raise UsageError("--fill goes with --salvage")
    if is_batch:
        return batch.run(options, _KIND, _decode_in_batch)
    options.input = options.inputs[0]
    output = outputs.resolve(options.output, options.input, ".png", force=options.force)
    with Progress() as progress:
        _decode_file(options, output, progress)
    return 0


def _decode_in_batch(options: argparse.Namespace, output: str, progress: Progress) -> batch.Result:
    """Decode one of many files, if that is needed."""
    if not options.force and outputs.exists(output) and freshness.is_decoded(options, output):
        return batch.Result("current")
    # An older picture, or one of another size, may be the one that the file was made of: it stays.
    outputs.check(output, [options.input], force=options.force)
    _decode_file(options, output, progress)
    return batch.Result("done", outputs.measure(options.input), outputs.measure(output))


def _decode_file(options: argparse.Namespace, output: str, progress: Progress) -> None:
    """Decode a file."""
    with naming(output):
        format_name = _find_format(output)
    with (
        hinting_at_limit(),
        inputs.opening_kmq(options.input, max_pixels=options.max_pixels) as source,
        naming(options.input),
    ):
        decode = _salvage if options.salvage else _decode
        decode(source, options, output, format_name, progress)


def _decode(
    source: Any, options: argparse.Namespace, output: str, format_name: str, progress: Progress
) -> None:
    reader = KmqReader(source, max_pixels=None, on_progress=progress.show_share)
    header = reader.header
    if options.region is not None:
        _check_region(header, options)
        region = reader.region(*options.region, verify=True)
        progress.clear()
        _write(region, reader.metadata, options, output, format_name)
    elif _is_streamed(header, format_name):
        check_strip_limit(header, options.max_pixels)
        palette = reader.palette if header.n_colors <= 256 and format_name == "PNG" else None
        strips = reader.strips(threads=options.threads)
        blocks = strips if palette is not None else (reader.palette[indices] for indices in strips)
        _stream(blocks, header, palette, reader.metadata, options, output, format_name, progress)
    else:
        check_limit(header, options.max_pixels)
        image = reader.image(threads=options.threads)
        progress.clear()
        _write(image, reader.metadata, options, output, format_name)


def _salvage(
    source: Any, options: argparse.Namespace, output: str, format_name: str, progress: Progress
) -> None:
    """Write what can be saved of a damaged file; then fail with what is lost."""
    fill = options.fill or FILL
    try:
        salvager = Salvager(source, fill=fill, max_pixels=options.max_pixels, on_progress=progress.show_share)
    except KmqFormatError as error:
        raise CommandError(f"{show_path(options.input)}: nothing can be saved: {error}") from None
    header, metadata = salvager.header, Metadata.from_sections(salvager.sections)
    rows: dict[str, list[tuple[int, int]]] = {"intact": [], "unchecked": [], "lost": []}

    def watch() -> Iterator[Run]:
        for run in salvager.runs():
            add_run(rows[run.state], run.start, run.stop)
            yield run

    if options.region is None and _is_streamed(header, format_name):
        blocks = (run.pixels for run in watch())
        _stream(blocks, header, None, metadata, options, output, format_name, progress)
    else:
        if options.region is not None:
            _check_region(header, options)
        x, y, width, height = options.region or (0, 0, header.width, header.height)
        pixels = np.empty((height, width, header.channels), np.uint8)
        for run in watch():
            start, stop = max(run.start, y), min(run.stop, y + height)
            if start < stop:
                part = run.pixels[start - run.start : stop - run.start, x : x + width]
                pixels[start - y : stop - y] = part
        progress.clear()
        _write(pixels, metadata, options, output, format_name)
    progress.clear()
    if not salvager.faults:
        return
    found = []
    if rows["lost"]:
        found.append(f"lost {_name_rows(rows['lost'])}, filled with #{bytes(fill).hex()}")
    if rows["unchecked"]:
        found.append(f"unchecked {_name_rows(rows['unchecked'])}")
    summary = "; ".join(found) or "no row is lost"
    raise CommandError(f"{show_path(options.input)}: damaged: {summary} ({salvager.faults[0]})")


def _name_rows(runs: list[tuple[int, int]]) -> str:
    count = sum(stop - start for start, stop in runs)
    return f"{count} {'row' if count == 1 else 'rows'} ({show_runs(runs)})"


def _check_region(header: Header, options: argparse.Namespace) -> None:
    try:
        check_region(header, *options.region)
    except ValueError as error:
        raise CommandError(f"--region: {error}") from None
    if options.region[2] * options.region[3] > options.max_pixels:
        raise CommandError(f"--region: more than {options.max_pixels} pixels; --max-pixels allows more")


def _find_format(output: str) -> str:
    """Return the name of the output's format: one of Pillow's, or NPY."""
    if output == "-":
        return "PNG"
    return "NPY" if output.lower().endswith(".npy") else find_format(output)


def _is_streamed(header: Header, format_name: str) -> bool:
    """Return whether a picture is written strip by strip."""
    return format_name == "NPY" or (format_name == "PNG" and header.width * header.height > _FEW_PIXELS)


def _write(
    picture: IndexedImage | NDArray[np.uint8],
    metadata: Metadata,
    options: argparse.Namespace,
    output: str,
    format_name: str,
) -> None:
    """Write a picture that is in memory."""
    with naming(output):
        if format_name == "NPY":
            buffer = io.BytesIO()
            np.save(buffer, picture.to_rgb() if isinstance(picture, IndexedImage) else picture)
            encoded = buffer.getvalue()
        else:
            encoded = _encode_picture(picture, metadata, output, format_name)
    outputs.write(output, encoded, force=options.force)


def _encode_picture(
    picture: IndexedImage | NDArray[np.uint8], metadata: Metadata, output: str, format_name: str
) -> bytes:
    """Return a picture file; where the format has no place for the metadata, without it, and say so."""
    try:
        return encode_picture(picture, format_name, metadata)
    except PictureError as error:
        encoded = encode_picture(picture, format_name)
        tell(f"{show_path(output)}: metadata is left out ({error})")
        return encoded


def _stream(
    blocks: Iterable[NDArray[Any]],
    header: Header,
    palette: NDArray[np.uint8] | None,
    metadata: Metadata,
    options: argparse.Namespace,
    output: str,
    format_name: str,
    progress: Progress,
) -> None:
    """Write a picture as its rows come."""
    shape = (header.height, header.width, header.channels)
    # Packed coding takes next to no time.
    progress.join("decoding", ["writing"] if header.coding == "packed" else ["decoding", "writing"])
    step = max(1, _BLOCK_PIXELS // header.width)

    def cut() -> Iterator[NDArray[Any]]:
        done = 0
        # Damage is found here, in the midst of writing.
        with naming(options.input):
            for block in blocks:
                # A strip, or what is missing, may be nearly all of the picture.
                for start in range(0, len(block), step):
                    yield block[start : start + step]
                    progress.show_share("writing", done + min(start + step, len(block)), header.height)
                done += len(block)

    with outputs.opening(output, force=options.force) as file, Workers(options.threads) as workers:
        if format_name == "PNG":
            write_png(file, cut(), shape, palette, metadata, workers)
            return
        array_header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, array_header)
        for block in cut():
            file.write(np.ascontiguousarray(block).data)
