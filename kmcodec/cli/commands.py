"""What each command does, between its arguments and its exit status."""

from __future__ import annotations

import argparse
import io
import sys
import time
from typing import Any

from kmcodec.cli import outputs
from kmcodec.cli.failures import CommandError, UsageError, naming, show_path
from kmcodec.cli.progress import Progress
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader, read_stream

_DEFAULT_COLORS = 64

# An uncompiled encode of fewer pixels takes a few seconds at most.
_FEW_PIXELS = 64 * 64


def run_encode(options: argparse.Namespace) -> int:
    """Encode a picture."""
    from kmcodec.container.writer import write_image
    from kmcodec.kernels import COMPILED
    from kmcodec.palettes import read_palette
    from kmcodec.pictures import load_picture
    from kmcodec.quantize.quantizer import EFFORTS, quantize
    from kmcodec.report import measure, text

    output = outputs.resolve(options.output, options.input, ".kmq", force=options.force)
    if options.json and output == "-":
        raise UsageError("--json and an output of - both ask for standard output")
    keep, n_colors = _check_palette_options(options)
    with naming(options.input):
        data = _read_picture_file(options.input)
        pixels = load_picture(io.BytesIO(data))
    palette = None
    if options.palette is not None:
        with naming(options.palette):
            palette = read_palette(options.palette)
    if not (COMPILED or options.quiet) and pixels.shape[0] * pixels.shape[1] > _FEW_PIXELS:
        print(
            "kmq: this will be slow: the kernels were not compiled when kmcodec was installed"
            " (is there a C compiler?)",
            file=sys.stderr,
        )
    start = time.perf_counter()
    with Progress("k-means", EFFORTS[options.effort].max_steps) as progress:
        image = quantize(
            pixels,
            n_colors,
            space=options.space,
            init=options.init,
            effort=options.effort,
            seed=options.seed,
            dither=options.dither,
            dither_strength=options.dither_strength,
            keep=keep,
            palette=palette,
            threads=options.threads,
            on_iteration=lambda iteration: progress.show(iteration.number),
        )
    encoded = write_image(image, strip_rows=options.strip_rows)
    seconds = time.perf_counter() - start
    outputs.write(output, encoded, force=options.force)
    size = measure.measure_size(KmqReader(encoded, max_pixels=None), source_bytes=len(data))
    if options.json:
        _print_json({**size.to_dict(), "coding": "packed", "seconds": round(seconds, 6)})
    elif output != "-" and not options.quiet:
        print(f"{show_path(output)}: {text.format_size(size)}")
    return 0


def _check_palette_options(options: argparse.Namespace) -> tuple[list[tuple[int, ...]] | None, int]:
    """Return the colours to keep, all with alpha, and how many colours are asked for."""
    if options.palette is not None:
        for name, value in (("-k", options.colors), ("--keep", options.keep)):
            if value is not None:
                raise UsageError(f"--palette gives all the colours: it does not go with {name}")
    n_colors = _DEFAULT_COLORS if options.colors is None else options.colors
    if options.keep is None:
        return None, n_colors
    keep = list(dict.fromkeys((*color, 255)[:4] for color in options.keep))
    if len(keep) > n_colors:
        raise UsageError(f"--keep asks for {len(keep)} colours, and -k for {n_colors} only")
    return keep, n_colors


def run_decode(options: argparse.Namespace) -> int:
    """Decode a file to a picture file."""
    from kmcodec.pictures import encode_picture, find_format

    output = outputs.resolve(options.output, options.input, ".png", force=options.force)
    with naming(output):
        format_name = "PNG" if output == "-" else find_format(output)
    with naming(options.input):
        data = _read_kmq_file(options.input)
        if options.region is None:
            picture: Any = KmqReader(data).image()
        else:
            picture = _read_region(KmqReader(data, max_pixels=None), options.region)
    with naming(output):
        encoded = encode_picture(picture, format_name)
    outputs.write(output, encoded, force=options.force)
    return 0


def _read_region(reader: KmqReader, region: tuple[int, int, int, int]) -> Any:
    try:
        if region[2] * region[3] > DEFAULT_MAX_PIXELS:
            raise CommandError(f"--region: more than {DEFAULT_MAX_PIXELS} pixels")
        return reader.region(*region)
    except ValueError as error:
        raise CommandError(f"--region: {error}") from None


def run_info(options: argparse.Namespace) -> int:
    """Print what is in a file."""
    from kmcodec.report import measure, text

    with naming(options.input):
        reader = KmqReader(_read_kmq_file(options.input, max_pixels=None), max_pixels=None)
    header = reader.header
    size = measure.measure_size(reader)
    if options.json:
        values = {
            "version": f"1.{header.minor_version}",
            **size.to_dict(),
            "coding": "packed",
            "alpha": header.has_alpha,
            "strip_rows": header.strip_rows,
            "strips": header.strip_count,
            "sections": [
                {"type": section.type.decode(), "bytes": len(section.payload)} for section in reader.sections
            ],
            "palette": [f"#{bytes(color).hex()}" for color in reader.palette],
        }
        # Nothing is compared here, so that there is no source.
        del values["source_bytes"]
        _print_json(values)
        return 0
    rows = [
        ("file", f"{show_path(options.input)}, KMQ version 1.{header.minor_version}"),
        ("picture", f"{header.width} x {header.height} pixels{', with alpha' if header.has_alpha else ''}"),
        ("palette", text.count(header.n_colors, "colour")),
        ("coding", f"packed, {text.bits(header.index_bits)} per pixel"),
        ("strips", f"{header.strip_count} of {text.count(header.strip_rows, 'row')}"),
        ("size", f"{size.file_bytes:,} bytes, {size.ratio:.2f} : 1 to the raw pixels"),
    ]
    rows += [
        ("section", f"{section.type.decode()}, {len(section.payload):,} bytes") for section in reader.sections
    ]
    print("\n".join(f"{label:<9}{value}" for label, value in rows))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Check files, all of them, even after a bad one."""
    status = 0
    for path in options.inputs:
        try:
            with naming(path):
                KmqReader(_read_kmq_file(path, max_pixels=None), max_pixels=None).verify()
        except CommandError as error:
            print(f"kmq: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{show_path(path)}: intact")
    return status


def run_report(options: argparse.Namespace) -> int:
    """Compare a file with its original."""
    from kmcodec.pictures import encode_picture, join_pictures, load_picture
    from kmcodec.report import measure, text

    if options.original == options.input == "-":
        raise UsageError("only one of ORIGINAL and IN.kmq can be standard input")
    drawing = options.side_by_side
    if drawing is not None:
        outputs.check(drawing, force=options.force)
    with naming(options.original):
        source = _read_picture_file(options.original)
        original = load_picture(io.BytesIO(source))
    with naming(options.input):
        data = _read_kmq_file(options.input)
        try:
            report = measure.report(original, data, source_bytes=len(source))
        except ValueError as error:
            raise CommandError(f"{show_path(options.input)}: {error}") from None
    if drawing is not None:
        captions = (
            f"original: {8 * report.raw_bytes // (report.width * report.height)} bits per pixel",
            f"{text.count(report.colors, 'colour')}: {text.bits(report.index_bits)} per pixel",
        )
        joined = join_pictures(original, KmqReader(data).pixels(), captions)
        outputs.write(drawing, encode_picture(joined), force=options.force)
    if options.json:
        _print_json(report.to_dict())
    else:
        names = {"original": show_path(options.original), "file": show_path(options.input)}
        print(text.format_report(report, **names))
    return 0


def _print_json(values: dict[str, Any]) -> None:
    # Imported here, since every command would wait for it.
    import json

    print(json.dumps(values))


def _read_picture_file(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _read_kmq_file(path: str, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> bytes:
    """Return a file, read no further than it is valid."""
    if path == "-":
        return read_stream(sys.stdin.buffer, max_pixels=max_pixels)
    with open(path, "rb") as file:
        return read_stream(file, max_pixels=max_pixels)
