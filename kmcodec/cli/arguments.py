"""The arguments of each command. Loads nothing heavy, so that help comes at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from kmcodec.cli.parser import Parser
from kmcodec.version import __version__

#: As in kmcodec.quantize and kmcodec.container, which would load NumPy; a test holds them together.
INITS = ("split", "kmeans++", "random")
SPACES = ("srgb", "oklab")
EFFORTS = ("fast", "default", "best")
DITHERS = ("none", "diffusion", "ordered")
CODINGS = ("packed", "context")

PLOTS = ("comparison", "palette", "rgb", "oklab", "elbow", "convergence")
AXES = ("rgb", "oklab")

SHELLS = ("bash", "zsh", "fish")
ACTIONS = ("install", "uninstall")

_PICTURE = "any picture that Pillow opens, an array as .npy, a .kmq file, or -"

_PLOTS = """\
kinds:
  comparison   original, result, and the amplified difference
  palette      the colours, with their share of the pixels
  rgb, oklab   the colours in that space, before and after
  elbow        error, PSNR and size against the number of colours
  convergence  the error at each iteration of k-means
"""

#: What the help shows with an example each.
MAIN_COMMANDS = ("encode", "decode", "info", "verify", "report")

_NOTES = """\
A dash as file stands for standard input or output. "kmq COMMAND --help" tells
what a command can do, "man kmq" all of it; "kmq --version" the version.
"""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        from kmcodec.kernels import COMPILED

        state = "compiled" if COMPILED else "not compiled: slow"
        print(f"kmq {__version__} (kernels {state}; Python {sys.version.split()[0]})")
        parser.exit()


def build_parser() -> Parser:
    """Return the parser of the kmq command."""
    parser = Parser(
        prog="kmq",
        description="Compress pictures to a palette with k-means, and back.",
        notes=_NOTES,
        main=MAIN_COMMANDS,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    for add in (
        _add_encode,
        _add_decode,
        _add_info,
        _add_verify,
        _add_report,
        _add_recode,
        _add_tune,
        _add_palette,
        _add_plot,
        _add_animate,
        _add_studio,
        _add_thumbnail,
        _add_completion,
        _add_desktop,
        _add_help,
    ):
        add(parser)
    for command in (parser, *parser.commands.values()):
        command.add_help_option()
    return parser


def _add_encode(commands: Parser) -> None:
    encode = commands.add_command(
        "encode",
        "picture to .kmq",
        description="Encode a picture as .kmq.",
        examples=[
            ("kmq encode photo.png -k 16", "photo.kmq, 4 bits a pixel"),
            ("kmq encode chart.png -k auto --coding context", "the smallest file"),
            ("kmq encode photo.png --max-bytes 20000 -o small.kmq", "as good as fits"),
            ("kmq encode pictures -r --out-dir small", "all of a folder"),
        ],
    )
    encode.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="any picture that Pillow opens, an array as .npy, a large TIFF, a URL, or -; or folders of them",
    )
    encode.add_argument("-o", "--output", metavar="OUT.kmq", help="default: INPUT with the suffix .kmq")
    encode.add_argument(
        "-k",
        "--colors",
        type=_count_or_auto,
        metavar="N|auto",
        help="colours of the palette, 1 to 65536 (default 64); auto: at the elbow of the error curve",
    )
    encode.add_argument(
        "--coding",
        choices=CODINGS,
        default="packed",
        help="packed: ceil(log2 K) bits a pixel (default); context: as few as can be, a second a megapixel",
    )
    _add_force(encode)
    encode.add_argument("--quiet", action="store_true", help="print nothing but errors")
    encode.add_argument("--json", action="store_true", help="print the sizes as JSON")
    _add_count(encode.add_argument_group("how many colours, by a goal"))
    palette = encode.add_argument_group("which colours")
    _add_search(palette)
    _add_keep(palette)
    palette.add_argument(
        "--palette",
        metavar="PALETTE",
        help="take this palette, without k-means: .gpl, .hex, .act, .ase, .json, .css, .kmq, or a picture",
    )
    dithering = encode.add_argument_group("dithering")
    dithering.add_argument(
        "--dither",
        choices=DITHERS,
        default="none",
        help="mix neighbouring pixels: by error diffusion, or ordered, with a matrix",
    )
    dithering.add_argument(
        "--dither-strength",
        type=_number("of 0..1", lambda value: 0 <= value <= 1),
        default=1.0,
        metavar="X",
        help="how much of the error to make up for, 0 to 1 (default 1)",
    )
    file = encode.add_argument_group("the file")
    file.add_argument(
        "--lossy",
        type=_number("of 0..1000000", lambda value: 0 <= value <= 1e6),
        metavar="L",
        help="with context coding: take other colours where a bit is saved for a squared error of L"
        " (5 is hardly visible, 20 in gradients, 100 in most places; try -k 256)",
    )
    _add_strip_rows(file)
    file.add_argument(
        "--strip-metadata",
        action="store_true",
        help="leave out colour profile, EXIF, XMP, texts and density",
    )
    file.add_argument(
        "--recipe",
        action="store_true",
        help="record how the file was made: options, and size and SHA-256 of the pixels",
    )
    _add_batch(encode, has_outputs=True)


def _add_batch(parser: Any, *, has_outputs: bool) -> None:
    """Add the options of a command that takes many files."""
    group = parser.add_argument_group("many files")
    if has_outputs:
        group.add_argument(
            "--out-dir",
            metavar="DIR",
            help="write below this folder; what is up to date there stays as it is, without --force",
        )
    group.add_argument("-r", "--recursive", action="store_true", help="also look into the folders of folders")
    group.add_argument(
        "-j", "--jobs", type=_integer(1, 1024), metavar="N", help="files at a time (default: all processors)"
    )


def _add_count(group: Any) -> None:
    group.add_argument(
        "--target-psnr",
        type=_number("above 0", lambda value: 0 < value < float("inf")),
        metavar="DB",
        help="take as few colours as reach this PSNR; -k is then the most",
    )
    group.add_argument(
        "--target-ssim",
        type=_number("above 0 and at most 1", lambda value: 0 < value <= 1),
        metavar="X",
        help="take as few colours as reach this SSIM (needs kmcodec[report]); -k is then the most",
    )
    group.add_argument(
        "--max-bytes",
        type=_integer(1, 2**63 - 1),
        metavar="N",
        help="take as many colours as fit into a file of this size; -k is then the most"
        " (with context coding also other colours, as --lossy does)",
    )


def _add_decode(commands: Parser) -> None:
    decode = commands.add_command(
        "decode",
        ".kmq to PNG or another picture format",
        description="Decode a .kmq file.",
        examples=[
            ("kmq decode photo.kmq", "photo.png"),
            ("kmq decode photo.kmq -o part.webp --region 10,20,32,24", "a part of it"),
            ("kmq decode photo.kmq --salvage -o rest.png", "of a damaged file"),
            ("kmq decode pictures -r --out-dir decoded", "all of a folder"),
        ],
    )
    decode.add_argument(
        "inputs", metavar="IN.kmq", nargs="+", help="the file, a URL, or -; or several, or folders of them"
    )
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
    _add_force(decode)
    decode.add_argument("--quiet", action="store_true", help="print nothing but errors")
    _add_max_pixels(decode)
    _add_threads(decode)
    _add_batch(decode, has_outputs=True)


def _add_recode(commands: Parser) -> None:
    recode = commands.add_command(
        "recode",
        ".kmq to .kmq in another coding, without touching a pixel",
        description="Change how a .kmq file stores its pixels; they stay what they are.",
        examples=[
            ("kmq recode photo.kmq --coding context --force", "smaller, in place"),
            ("kmq recode photo.kmq --coding packed -o fast.kmq", "quick to read"),
        ],
        notes="Palette and metadata stay, too. Without -o, IN.kmq itself is replaced, once\n"
        "the new file is complete; that needs --force.",
    )
    recode.add_argument("input", metavar="IN.kmq", help="the file, or -")
    recode.add_argument("-o", "--output", metavar="OUT.kmq", help="default: IN.kmq, which needs --force")
    recode.add_argument(
        "--coding",
        choices=CODINGS,
        required=True,
        help="packed: ceil(log2 K) bits a pixel; context: as few as can be, a second a megapixel",
    )
    _add_strip_rows(recode)
    _add_max_pixels(recode)
    _add_threads(recode)
    _add_force(recode)
    recode.add_argument("--quiet", action="store_true", help="print nothing but errors")
    recode.add_argument("--json", action="store_true", help="print the sizes as JSON")


def _add_info(commands: Parser) -> None:
    info = commands.add_command(
        "info",
        "what is in a .kmq file",
        description="Say what is in a .kmq file.",
        examples=[
            ("kmq info photo.kmq", "size, palette, coding, metadata"),
            ("kmq info photo.kmq --json", "also the palette itself"),
        ],
    )
    info.add_argument("input", metavar="IN.kmq", help="the file, or -")
    info.add_argument("--json", action="store_true", help="print it as JSON")


def _add_verify(commands: Parser) -> None:
    verify = commands.add_command(
        "verify",
        "check every byte of .kmq files",
        description="Check every byte of .kmq files.",
        examples=[
            ("kmq verify *.kmq", "names each; status 1 if any is damaged"),
            ("kmq verify pictures -r", "all in a folder"),
        ],
    )
    verify.add_argument("inputs", metavar="IN.kmq", nargs="+", help="the files, URLs, folders, or -")
    verify.add_argument("--quiet", action="store_true", help="print nothing but errors")
    _add_threads(verify)
    _add_batch(verify, has_outputs=False)


def _add_report(commands: Parser) -> None:
    report = commands.add_command(
        "report",
        "compare a .kmq file with its original",
        description="Say what a .kmq file saved and how far it is from its original.",
        examples=[
            ("kmq report photo.png photo.kmq", "sizes and errors"),
            ("kmq report photo.png photo.kmq --html page.html", "a page to look at"),
            ("kmq report photo.png photo.kmq --compare", "PNG, WebP, JPEG XL, ..."),
        ],
    )
    report.add_argument("original", metavar="ORIGINAL", help="the picture that was encoded, or -")
    report.add_argument("input", metavar="IN.kmq", help="the file, or -")
    report.add_argument(
        "--compare",
        action="store_true",
        help="also encode the picture in other formats, at the same quality, and say what is smallest",
    )
    report.add_argument("--json", action="store_true", help="print it as JSON")
    report.add_argument("--html", metavar="OUT.html", help="also write a page to look at, in one file")
    report.add_argument(
        "--side-by-side", metavar="OUT.png", help="also draw the original and the result beside each other"
    )
    _add_threads(report)
    _add_force(report)


def _add_tune(commands: Parser) -> None:
    tune = commands.add_command(
        "tune",
        "what each number of colours costs and gives",
        description="Say what 2 to 256 colours cost and give, and where the elbow of the error is.",
        examples=[
            ("kmq tune photo.png --quick", "sizes and PSNR"),
            ("kmq tune photo.png --plot curve.png", "all, and a drawing of it"),
        ],
    )
    tune.add_argument("input", metavar="INPUT", help=_PICTURE)
    tune.add_argument(
        "--quick",
        action="store_true",
        help="without SSIM, delta E and context coding, which take most of the time",
    )
    tune.add_argument("--json", action="store_true", help="print it as JSON")
    tune.add_argument("--plot", metavar="OUT", help="also draw the curve, as .png, .svg or .pdf")
    tune.add_argument("--space", choices=SPACES, default="srgb", help="where distances are taken")
    _add_threads(tune)
    _add_force(tune)


def _add_palette(commands: Parser) -> None:
    palette = commands.add_command(
        "palette",
        "one palette for several pictures",
        description="Choose one palette for several pictures, as if they were one.",
        examples=[
            ("kmq palette a.png b.png -k 32 -o shared.gpl", "for GIMP and others"),
            ("kmq palette pictures/*.png -k 16 --json", "also its hash and the error"),
        ],
        notes="Each pixel counts the same. A picture that is to count more may be given more\nthan once.",
    )
    palette.add_argument("inputs", metavar="INPUT", nargs="+", help=_PICTURE)
    palette.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=".gpl, .hex, .act, .ase, .json, .css, or .png for swatches;"
        " default: print the colours in hexadecimal, one a line",
    )
    palette.add_argument(
        "-k",
        "--colors",
        type=_count_or_auto,
        default=64,
        metavar="N|auto",
        help="colours of the palette, 1 to 65536 (default 64); auto: at the elbow of the error curve",
    )
    _add_search(palette)
    _add_keep(palette)
    _add_force(palette)
    palette.add_argument("--quiet", action="store_true", help="print nothing but errors")
    palette.add_argument("--json", action="store_true", help="print palette, hash and error as JSON")


def _add_plot(commands: Parser) -> None:
    plot = commands.add_command(
        "plot",
        "draw colours, errors and k-means",
        description="Draw a picture of a picture (needs kmcodec[report]).",
        examples=[
            ("kmq plot comparison photo.png photo.kmq", "photo-comparison.png"),
            ("kmq plot palette photo.png -k 8 -o colours.svg", "what 8 colours would be"),
        ],
        notes=_PLOTS,
    )
    plot.add_argument("kind", metavar="KIND", choices=PLOTS, help=", ".join(PLOTS))
    plot.add_argument("original", metavar="ORIGINAL", help=_PICTURE)
    plot.add_argument(
        "input", metavar="IN.kmq", nargs="?", help="what became of it; default: encode it for this plot"
    )
    plot.add_argument("-o", "--output", metavar="OUT", help=".png, .svg or .pdf; default: ORIGINAL-KIND.png")
    _add_colors(plot, 64)
    _add_search(plot)
    _add_force(plot)


def _add_animate(commands: Parser) -> None:
    animate = commands.add_command(
        "animate",
        "draw the iterations of k-means as an animation",
        description="Draw the iterations of k-means, in the colour space and in the picture (needs"
        " kmcodec[report]).",
        examples=[
            ("kmq animate photo.png -k 8", "photo.gif"),
            ("kmq animate photo.png --init random --seed 3 -o k-means.webp", "another start"),
        ],
    )
    animate.add_argument("input", metavar="INPUT", help=_PICTURE)
    animate.add_argument(
        "-o", "--output", metavar="OUT", help=".gif, .webp or .png; default: INPUT with the suffix .gif"
    )
    animate.add_argument("--axes", choices=AXES, default="rgb", help="the colour space that is drawn")
    _add_colors(animate, 16)
    _add_search(animate)
    _add_force(animate)


def _add_studio(commands: Parser) -> None:
    studio = commands.add_command(
        "studio",
        "a page to try settings on a picture",
        description="Open a page in the browser to try settings on a picture, and to look into .kmq files"
        " (needs kmcodec[studio]).",
        examples=[
            ("kmq studio photo.png", "original and result under a slider"),
            ("kmq studio --no-browser --port 8080", "print the address only"),
        ],
        notes="The page is for this machine only, at an address that others cannot guess;\n"
        "nothing leaves it. Ctrl-C ends it.",
    )
    studio.add_argument(
        "input", metavar="INPUT", nargs="?", help=f"{_PICTURE}; default: the page asks for one"
    )
    studio.add_argument(
        "--port", type=_integer(0, 65535), default=0, metavar="N", help="default: one that is free"
    )
    studio.add_argument("--no-browser", action="store_true", help="do not open a browser")


def _add_thumbnail(commands: Parser) -> None:
    thumbnail = commands.add_command(
        "thumbnail",
        ".kmq to a small PNG, for file managers",
        description="Write a small PNG of a .kmq file, which file managers ask for. An existing OUT is"
        " replaced; its name needs no suffix. Nothing is enlarged.",
        examples=[
            ("kmq thumbnail photo.kmq photo-small.png", "256 pixels at most"),
            ("kmq thumbnail photo.kmq - --size 128 > small.png", "to standard output"),
        ],
    )
    thumbnail.add_argument("input", metavar="IN.kmq", help="the file, or -")
    thumbnail.add_argument("output", metavar="OUT", help="the PNG, or -")
    thumbnail.add_argument(
        "--size",
        type=_integer(1, 4096),
        default=256,
        metavar="N",
        help="width and height are at most this many pixels (default 256)",
    )


def _add_completion(commands: Parser) -> None:
    completion = commands.add_command(
        "completion",
        "completion of kmq for a shell",
        description="Print a script that completes commands, options, values and file names in a shell.",
        examples=[
            ("kmq completion bash > kmq.bash", "then: source kmq.bash"),
            ("kmq completion zsh > _kmq", "into a folder of $fpath"),
            ("kmq completion fish > kmq.fish", "then: source kmq.fish"),
        ],
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def _add_desktop(commands: Parser) -> None:
    desktop = commands.add_command(
        "desktop",
        "make .kmq known to the desktop and the shell",
        description="Install what makes .kmq files known to a freedesktop system: media type, thumbnails,"
        " completion for bash, zsh and fish, the man page, magic for file(1); or remove it. Each file is"
        " named.",
        examples=[
            ("kmq desktop install", "for this user"),
            ("kmq desktop install --prefix /usr/local", "for all"),
            ("kmq desktop uninstall", "as it was"),
        ],
    )
    desktop.add_argument("action", metavar="ACTION", choices=ACTIONS, help="install or uninstall")
    desktop.add_argument(
        "--prefix",
        metavar="DIR",
        help="below DIR/share (default: $XDG_DATA_HOME, or ~/.local/share)",
    )


def _add_help(commands: Parser) -> None:
    topics = commands.add_command(
        "help",
        "help, of all or of a command",
        description="Show the help of kmq, or of a command.",
        examples=[("kmq help", "what kmq --help shows"), ("kmq help encode", "what kmq encode --help shows")],
    )
    # Checked where kmq checks its commands, which says what may be meant.
    topics.add_argument("topic", metavar="COMMAND", nargs="?", help="default: all of them")


def _add_colors(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "-k",
        "--colors",
        type=_integer(1, 65536),
        default=default,
        metavar="N",
        help=f"colours of the palette, 1 to 65536 (default {default})",
    )


def _add_search(parser: Any) -> None:
    """Add the options of k-means itself."""
    parser.add_argument(
        "--effort", choices=EFFORTS, default="default", help="how long to look for a lower error"
    )
    parser.add_argument(
        "--space",
        choices=SPACES,
        default="srgb",
        help="take distances in sRGB (default), or in Oklab, nearer to what the eye sees",
    )
    parser.add_argument(
        "--init",
        choices=INITS,
        default="split",
        help="first centroids: split clusters (default), k-means++, or random pixels",
    )
    parser.add_argument(
        "--seed",
        type=_integer(0, 2**64 - 1),
        default=0,
        metavar="N",
        help="decides the random starts of kmeans++ and random (default 0)",
    )
    _add_threads(parser)


def _add_keep(parser: Any) -> None:
    parser.add_argument(
        "--keep",
        action="append",
        type=_color,
        metavar="#RRGGBB",
        help="have exactly this colour in the palette; may be given several times",
    )


def _add_strip_rows(parser: Any) -> None:
    parser.add_argument(
        "--strip-rows",
        type=_integer(1, 2**32 - 1),
        metavar="N",
        help="rows stored and checked together (default: a million pixels; with context coding four)",
    )


def _add_max_pixels(parser: Any) -> None:
    parser.add_argument(
        "--max-pixels",
        type=_integer(1, 2**64 - 1),
        default=1 << 28,
        metavar="N",
        help="refuse to hold more pixels in memory (default 2**28)",
    )


def _add_threads(parser: Any) -> None:
    parser.add_argument("--threads", type=_integer(1, 1024), metavar="N", help="default: all processors")


def _add_force(parser: Any) -> None:
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


def _count_or_auto(text: str) -> int | str:
    """Parse -k."""
    return text if text == "auto" else int(_integer(1, 65536)(text))


def _number(which: str, is_allowed: Callable[[float], bool]) -> Any:
    """Return an argparse type for numbers, of which some are allowed."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not is_allowed(value):
            raise argparse.ArgumentTypeError(f"must be a number {which}, found {text!r}")
        return value

    return parse


def _color(text: str) -> tuple[int, ...]:
    # Imported here: it loads NumPy, which most commands can do without at this point.
    from kmcodec.palettes.colors import parse_color

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
