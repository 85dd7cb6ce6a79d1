"""kmq encode: picture to .kmq."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

from kmcodec.cli import batch, freshness, inputs, outputs
from kmcodec.cli.failures import UsageError, naming, show_path, tell
from kmcodec.cli.progress import Progress
from kmcodec.codec import encode
from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.errors import KmqError
from kmcodec.image import MAX_COLORS
from kmcodec.kernels import COMPILED
from kmcodec.lossy import is_lossy
from kmcodec.metadata import Metadata
from kmcodec.palettes.files import read_palette
from kmcodec.pictures import Picture, read_metadata
from kmcodec.quantize.options import EFFORTS, Iteration
from kmcodec.report import measure, text
from kmcodec.streaming import Rows, write_rows

_DEFAULT_COLORS = 64
# Where a size is given: more would take long, and rarely serve a picture better.
_MOST_CONTEXT_COLORS = 256

# An uncompiled encode of fewer pixels takes a few seconds at most.
_FEW_PIXELS = 64 * 64

_KIND = batch.Kind("encoded", "encoding", "pictures", ".kmq", inputs.list_picture_suffixes)


def run(options: argparse.Namespace) -> int:
    """Encode a picture, or many."""
    is_batch = batch.is_asked_for(options)
    _check_lossy(options)
    arguments = _choose_arguments(options)
    if is_batch:
        return batch.run(options, _KIND, partial(_encode_in_batch, arguments))
    options.input = options.inputs[0]
    others = [options.palette] if options.palette is not None else []
    output = outputs.resolve(options.output, options.input, ".kmq", force=options.force, others=others)
    if options.json and output == "-":
        raise UsageError("--json and an output of - both ask for standard output")
    with Progress() as progress:
        size, details = _encode(options, arguments, output, progress, force=options.force)
    if options.json:
        outputs.print_json(details)
    elif output != "-" and not options.quiet:
        print(f"{show_path(output)}: {text.format_size(size)}")
    return 0


def _encode_in_batch(
    arguments: dict[str, Any], options: argparse.Namespace, output: str, progress: Progress
) -> batch.Result:
    """Encode one of many pictures, if that is needed."""
    force = options.force
    if not force and outputs.exists(output):
        if freshness.is_encoded(options, arguments, output):
            return batch.Result("current")
        # It is a .kmq file that was made of an older picture, or in another way.
        force = True
    outputs.check(output, [options.input], force=force)
    size, details = _encode(options, arguments, output, progress, force=force)
    return batch.Result("done", size.source_bytes or 0, size.file_bytes, details=details)


def _encode(
    options: argparse.Namespace, arguments: dict[str, Any], output: str, progress: Progress, *, force: bool
) -> tuple[measure.Size, dict[str, Any]]:
    """Encode a picture; return its sizes, and what --json tells."""
    start = time.perf_counter()
    steps = EFFORTS[options.effort].max_steps

    def show(iteration: Iteration) -> None:
        progress.show_step("k-means", iteration.number, steps)

    arguments = {
        **arguments,
        "threads": options.threads,
        "on_iteration": show,
        "on_progress": progress.show_share,
    }
    with inputs.opening_rows("-" if _needs_pixels(options) else options.input) as rows:
        encode_some = _encode_whole if rows is None else partial(_encode_rows, rows)
        header, source_bytes = encode_some(options, output, arguments, force=force)
    seconds = time.perf_counter() - start
    size = measure.measure_size(header, source_bytes=source_bytes)
    return size, {**size.to_dict(), "coding": header.coding, "seconds": round(seconds, 6)}


def _choose_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of kmcodec.encode that are the same for each picture."""
    goal = _choose_goal(options)
    keep = _check_palette_options(options, goal)
    palette = None
    if options.palette is not None:
        with naming(options.palette):
            palette = read_palette(options.palette)
    return {
        **goal,
        "space": options.space,
        "init": options.init,
        "effort": options.effort,
        "seed": options.seed,
        "dither": options.dither,
        "dither_strength": options.dither_strength,
        "keep": keep,
        "palette": palette,
        "coding": options.coding,
        "strip_rows": options.strip_rows,
        "recipe": options.recipe,
        "lossy": options.lossy,
    }


def _needs_pixels(options: argparse.Namespace) -> bool:
    """Return whether a picture has to be in memory as a whole."""
    return (
        options.target_ssim is not None
        or (options.target_psnr is not None and options.dither != "none")
        or is_lossy(options.coding, options.lossy, options.max_bytes)
    )


def _encode_whole(
    options: argparse.Namespace, output: str, arguments: dict[str, Any], *, force: bool
) -> tuple[Header, int]:
    """Encode a picture that fits into memory; return the file's header, and the bytes of the original."""
    picture, source_bytes = inputs.load(options.input)
    warn_of_slowness(options, picture.pixels.shape)
    with naming(options.input):
        encoded = encode(picture.pixels, metadata=_choose_metadata(options, picture), **arguments)
    outputs.write(output, encoded, force=force)
    return KmqReader(encoded, max_pixels=None).header, source_bytes


def _encode_rows(
    rows: Rows, options: argparse.Namespace, output: str, arguments: dict[str, Any], *, force: bool
) -> tuple[Header, int]:
    """Encode a picture block by block; the result is that of _encode_whole."""
    warn_of_slowness(options, rows.shape)
    metadata = _choose_metadata(options, read_metadata(options.input))
    with outputs.opening(output, force=force) as file:
        try:
            header = write_rows(file, rows, metadata=metadata, **arguments)
        except KmqError as error:
            # Not naming(): an OSError may be one of the output.
            with naming(options.input):
                raise error
    return header, outputs.measure(options.input)


def warn_of_slowness(options: argparse.Namespace, shape: tuple[int, ...]) -> None:
    """Say that the kernels are not compiled, where a picture of this shape will take long."""
    if not (COMPILED or options.quiet) and shape[0] * shape[1] > _FEW_PIXELS:
        tell(
            "this will be slow: the kernels were not compiled when kmcodec was installed"
            " (is there a C compiler?)"
        )


def _choose_metadata(options: argparse.Namespace, picture: Picture | None) -> Metadata | None:
    """Return the metadata of a picture, if it is wanted; and say what cannot be taken along."""
    if picture is None or options.strip_metadata:
        return None
    if not options.quiet:
        for note in picture.notes:
            tell(f"{show_path(options.input)}: {note}")
    return picture.metadata


def _check_lossy(options: argparse.Namespace) -> None:
    """Raise UsageError where context coding is not to be lossless, and something does not go with that."""
    if options.lossy is not None:
        name = "--lossy"
        if options.coding != "context":
            raise UsageError("--lossy goes with --coding context")
        if options.max_bytes is not None:
            raise UsageError("--lossy does not go with --max-bytes, which chooses it")
    elif options.max_bytes is not None and options.coding == "context":
        name = "--max-bytes with --coding context"
    else:
        return
    if options.dither != "none":
        raise UsageError(f"{name} does not go with --dither {options.dither}")
    if options.colors == "auto" or options.target_psnr is not None or options.target_ssim is not None:
        raise UsageError(f"{name} takes a number of colours: it does not go with -k auto, or a target")


def _choose_goal(options: argparse.Namespace) -> dict[str, Any]:
    """Return how many colours are asked for, as arguments of kmcodec.encode."""
    colors = options.colors
    targets = {name: getattr(options, name) for name in ("target_psnr", "target_ssim")}
    goal: dict[str, Any] = {"n_colors": _DEFAULT_COLORS if colors is None else colors}
    if any(target is not None for target in targets.values()):
        goal = {"n_colors": "auto", **targets}
        if isinstance(colors, int):
            goal["max_colors"] = colors
    elif colors is None and options.max_bytes is not None:
        goal = {"n_colors": MAX_COLORS if options.coding == "packed" else _MOST_CONTEXT_COLORS}
    if options.max_bytes is not None:
        goal["max_bytes"] = options.max_bytes
    return goal


def _check_palette_options(options: argparse.Namespace, goal: dict[str, Any]) -> list[tuple[int, ...]] | None:
    """Return the colours to keep, all with alpha."""
    if options.palette is not None:
        others = {
            "-k": options.colors,
            "--keep": options.keep,
            "--target-psnr": options.target_psnr,
            "--target-ssim": options.target_ssim,
        }
        for name, value in others.items():
            if value is not None:
                raise UsageError(f"--palette gives all the colours: it does not go with {name}")
    return list_kept(options.keep, goal.get("max_colors", goal["n_colors"]))


def list_kept(colors: list[tuple[int, ...]] | None, most: int | str) -> list[tuple[int, ...]] | None:
    """Return the colours of --keep, all with alpha, each once; they must be as many as -k allows."""
    if colors is None:
        return None
    keep = list(dict.fromkeys((*color, 255)[:4] for color in colors))
    if isinstance(most, int) and len(keep) > most:
        raise UsageError(f"--keep asks for {len(keep)} colours, and -k for {most} only")
    return keep
