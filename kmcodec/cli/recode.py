"""kmq recode: .kmq to .kmq, in another coding."""

from __future__ import annotations

import argparse
import os
import time
from typing import BinaryIO

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, hinting_at_limit, naming, show_path
from kmcodec.cli.progress import Progress
from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.container.recode import write_recoded
from kmcodec.errors import KmqError
from kmcodec.report import measure


def run(options: argparse.Namespace) -> int:
    """Recode a file."""
    output = _choose_output(options)
    if options.json and output == "-":
        raise UsageError("--json and an output of - both ask for standard output")
    start = time.perf_counter()
    # The input is closed before the output takes its place, which may be the same.
    with hinting_at_limit(), outputs.opening(output, force=options.force) as file, Progress() as progress:
        header, source_bytes = _recode(options, file, progress)
    seconds = time.perf_counter() - start
    if options.json:
        size = measure.measure_size(header, source_bytes=source_bytes)
        outputs.print_json({**size.to_dict(), "coding": header.coding, "seconds": round(seconds, 6)})
    elif output != "-" and not options.quiet:
        why = "" if header.coding == options.coding else ", since it has one colour"
        share = 100 * header.file_bytes / source_bytes
        print(
            f"{show_path(output)}: {header.coding} coding{why}, {header.file_bytes:,} bytes,"
            f" {share:.1f} % of {source_bytes:,}"
        )
    return 0


def _choose_output(options: argparse.Namespace) -> str:
    """Return the output's path: the input itself, if there is no other."""
    output = options.output
    if output is None:
        output = options.input
        if output != "-" and os.path.exists(output) and not (os.path.isfile(output) or os.path.isdir(output)):
            raise UsageError(f"{show_path(output)} is no file that can be replaced; name one with -o")
    # As if the source were another one: with --force, it may be replaced.
    return outputs.resolve(output, "-", ".kmq", force=options.force)


def _recode(options: argparse.Namespace, file: BinaryIO, progress: Progress) -> tuple[Header, int]:
    """Write the file; return its header, and the bytes of the one that was read."""
    with inputs.opening_kmq(options.input, max_pixels=options.max_pixels) as source:
        with naming(options.input):
            reader = KmqReader(source, max_pixels=None, on_progress=progress.show_share)
        # Packed coding takes next to no time.
        is_slow = {"decoding": reader.header.coding != "packed", "writing": options.coding != "packed"}
        progress.join("recoding", [name for name in is_slow if is_slow[name]] or is_slow)
        try:
            header = write_recoded(
                file,
                reader,
                coding=options.coding,
                strip_rows=options.strip_rows,
                max_pixels=options.max_pixels,
                threads=options.threads,
                on_progress=progress.show_share,
            )
        except KmqError as error:
            # Not naming() for all: an OSError may be one of the output.
            with naming(options.input):
                raise error
        except ValueError as error:
            # Of a picture that is too wide for the coding.
            raise CommandError(f"{show_path(options.input)}: {error}") from None
        return header, reader.header.file_bytes
