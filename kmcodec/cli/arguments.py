"""The arguments of each command. Loads nothing heavy, so that help comes at once."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from kmcodec.version import __version__

#: As in kmcodec.quantize, which would load NumPy; a test holds them together.
INITS = ("split", "kmeans++", "random")
SPACES = ("srgb", "oklab")
EFFORTS = ("fast", "default", "best")
DITHERS = ("none", "diffusion", "ordered")

_EPILOG = """\
examples:
  kmq encode photo.png -k 16        16 colours, 4 bits per pixel: photo.kmq
  kmq decode photo.kmq              back again: photo.png
  kmq report photo.png photo.kmq    what it saved and what it cost

A dash as file stands for standard input or output.
"kmq COMMAND --help" tells the options of a command.
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Format help for 80 columns: asking for the terminal's would load a module at every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=79)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        from kmcodec.kernels import COMPILED

        state = "compiled" if COMPILED else "not compiled: slow"
        print(f"kmq {__version__} (kernels {state}; Python {sys.version.split()[0]})")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the kmq command."""
    parser = argparse.ArgumentParser(
        prog="kmq",
        description="Compress pictures to a palette with k-means, and back.",
        epilog=_EPILOG,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="kmq")
    _add_encode(commands)
    _add_decode(commands)
    _add_info(commands)
    _add_verify(commands)
    _add_report(commands)
    return parser


def _add_encode(commands: Any) -> None:
    encode = commands.add_parser(
        "encode", formatter_class=_Formatter, help="picture to .kmq", description="Encode a picture as .kmq."
    )
    encode.add_argument(
        "input", metavar="INPUT", help="any picture that Pillow opens, an array as .npy, a large TIFF, or -"
    )
    encode.add_argument("-o", "--output", metavar="OUT.kmq", help="default: INPUT with the suffix .kmq")
    encode.add_argument(
        "-k",
        "--colors",
        type=_integer(1, 65536),
        metavar="N",
        help="colours of the palette, 1 to 65536 (default 64)",
    )
    encode.add_argument(
        "--effort", choices=EFFORTS, default="default", help="how long to look for a lower error"
    )
    encode.add_argument(
        "--space",
        choices=SPACES,
        default="srgb",
        help="take distances in sRGB (default), or in Oklab, nearer to what the eye sees",
    )
    encode.add_argument(
        "--dither",
        choices=DITHERS,
        default="none",
        help="mix neighbouring pixels: by error diffusion, or ordered, with a matrix",
    )
    encode.add_argument(
        "--dither-strength",
        type=_fraction,
        default=1.0,
        metavar="X",
        help="how much of the error to make up for, 0 to 1 (default 1)",
    )
    encode.add_argument(
        "--keep",
        action="append",
        type=_color,
        metavar="#RRGGBB",
        help="have exactly this colour in the palette; may be given several times",
    )
    encode.add_argument(
        "--palette",
        metavar="FILE",
        help="take this palette, without k-means: .gpl, .hex, .act, .kmq, or a picture",
    )
    encode.add_argument(
        "--init",
        choices=INITS,
        default="split",
        help="first centroids: split clusters (default), k-means++, or random pixels",
    )
    encode.add_argument(
        "--seed",
        type=_integer(0, 2**64 - 1),
        default=0,
        metavar="N",
        help="decides the random starts of kmeans++ and random (default 0)",
    )
    encode.add_argument(
        "--strip-rows",
        type=_integer(1, 2**32 - 1),
        metavar="N",
        help="rows stored and checked together (default: about a million pixels)",
    )
    encode.add_argument(
        "--strip-metadata",
        action="store_true",
        help="leave out colour profile, EXIF, XMP, texts and density",
    )
    encode.add_argument(
        "--recipe",
        action="store_true",
        help="record how the file was made: options, and size and SHA-256 of the pixels",
    )
    encode.add_argument("--threads", type=_integer(1, 1024), metavar="N", help="default: all processors")
    _add_force(encode)
    encode.add_argument("--quiet", action="store_true", help="print nothing but errors")
    encode.add_argument("--json", action="store_true", help="print the sizes as JSON")


def _add_decode(commands: Any) -> None:
    decode = commands.add_parser(
        "decode",
        formatter_class=_Formatter,
        help=".kmq to PNG or another picture format",
        description="Decode a .kmq file.",
    )
    decode.add_argument("input", metavar="IN.kmq", help="the file, or -")
    decode.add_argument(
        "-o",
        "--output",
        metavar="OUT.png",
        help="any format that Pillow writes, or .npy, by its suffix; default: IN with the suffix .png",
    )
    decode.add_argument(
        "--region", type=_region, metavar="X,Y,W,H", help="only W x H pixels from column X, row Y on"
    )
    decode.add_argument(
        "--salvage",
        action="store_true",
        help="of a damaged file, write what is intact, and fill the rest",
    )
    decode.add_argument(
        "--fill", type=_color, metavar="#RRGGBB", help="colour of what is lost (default #ff00ff, magenta)"
    )
    decode.add_argument(
        "--max-pixels",
        type=_integer(1, 2**64 - 1),
        default=1 << 28,
        metavar="N",
        help="refuse to hold more pixels in memory (default 2**28)",
    )
    _add_force(decode)


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        formatter_class=_Formatter,
        help="what is in a .kmq file",
        description="Say what is in a .kmq file.",
    )
    info.add_argument("input", metavar="IN.kmq", help="the file, or -")
    info.add_argument("--json", action="store_true", help="print it as JSON")


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser(
        "verify",
        formatter_class=_Formatter,
        help="check .kmq files",
        description="Check every byte of .kmq files.",
    )
    verify.add_argument("inputs", metavar="IN.kmq", nargs="+", help="the files, or -")


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        formatter_class=_Formatter,
        help="compare a .kmq file with its original",
        description="Say what a .kmq file saved and how far it is from its original.",
    )
    report.add_argument("original", metavar="ORIGINAL", help="the picture that was encoded, or -")
    report.add_argument("input", metavar="IN.kmq", help="the file, or -")
    report.add_argument("--json", action="store_true", help="print it as JSON")
    report.add_argument("--html", metavar="OUT.html", help="also write a page to look at, in one file")
    report.add_argument(
        "--side-by-side", metavar="OUT.png", help="also draw the original and the result beside each other"
    )
    _add_force(report)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace an existing output file")


def _integer(least: int, greatest: int) -> Any:
    """Return an argparse type for integers of least..greatest."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= greatest:
            raise argparse.ArgumentTypeError(f"must be an integer of {least}..{greatest}, found {text!r}")
        return value

    return parse


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number of 0..1, found {text!r}")
    return value


def _color(text: str) -> tuple[int, ...]:
    # Imported here: it loads NumPy, which most commands can do without at this point.
    from kmcodec.palettes import parse_color

    try:
        return parse_color(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _region(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be four integers X,Y,W,H, found {text!r}") from None
    return x, y, width, height
