"""Where a command's output goes, and how it gets there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from kmcodec.cli import urls
from kmcodec.cli.failures import EXISTS, CommandError, StreamError, UsageError, naming, show_path
from kmcodec.files import open_atomically


def resolve(output: str | None, source: str, suffix: str, *, force: bool, others: Iterable[str] = ()) -> str:
    """Return the output's path, "-" for standard output, and check it before any work is done.

    Parameters
    ----------
    output : str or None
        As given by the user. Default: the source with another suffix; "-" for the source "-".
    source : str
        The input's path, or "-".
    suffix : str
        Such as ".kmq".
    force : bool
        Whether an existing file may be replaced.
    others : iterable of str
        Other inputs.
    """
    if output is None:
        output = "-" if source == "-" else name_beside(source, suffix)
    if output == "-":
        if sys.stdout.isatty():
            raise UsageError("this would write binary data to the terminal; name a file with -o")
        if sys.stdout.name == os.devnull:
            raise CommandError("standard output: is closed")
    else:
        check(output, [source, *others], force=force)
    return output


def name_beside(source: str, suffix: str) -> str:
    """Return the path of an output beside its input; of one that is a URL, in the current folder."""
    if urls.is_url(source):
        source = urls.find_name(source)
    return os.path.splitext(source)[0] + suffix


def check(path: str, sources: Iterable[str], *, force: bool) -> None:
    """Raise an error if path can be seen to be no place for an output, or is one of the inputs."""
    if urls.is_url(path):
        if path in sources:
            raise UsageError(f"{show_path(path)} is the input itself")
        if not force and urls.exists(path):
            raise CommandError(f"{show_path(path)}: {EXISTS}")
        return
    for source in sources:
        if (
            source != "-"
            and os.path.isfile(path)
            and os.path.exists(source)
            and os.path.samefile(path, source)
        ):
            raise UsageError(f"{show_path(path)} is the input itself")
    if os.path.isfile(path) and not force:
        raise CommandError(f"{show_path(path)}: {EXISTS}")
    if os.path.isdir(path) or path.endswith((os.sep, os.altsep or os.sep)):
        raise CommandError(f"{show_path(path)}: is a folder")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise CommandError(f"{show_path(path)}: its folder does not exist")


def exists(path: str) -> bool:
    """Return whether there is something at a path, or at a URL."""
    return urls.exists(path) if urls.is_url(path) else os.path.lexists(path)


def make_folder(path: str) -> None:
    """Make a folder, and those in which it lies, unless they are there; those of URLs need not be made."""
    if not urls.is_url(path):
        with naming(path):
            try:
                os.makedirs(path, exist_ok=True)
            except FileExistsError:
                raise CommandError(f"{show_path(path)}: is no folder") from None
            except RecursionError:
                raise CommandError(f"{show_path(path)}: lies too deep in folders") from None


def measure(path: str) -> int:
    """Return the bytes of a file; of what is at a URL 0: it would have to be asked."""
    if urls.is_url(path):
        return 0
    with naming(path):
        return os.path.getsize(path)


def write(output: str, data: bytes, *, force: bool) -> None:
    """Write data to a path, or to standard output."""
    with opening(output, force=force) as file:
        file.write(data)


@contextmanager
def opening(output: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open a path, which is replaced when all is written, or standard output."""
    if output == "-":
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except OSError as error:
            raise StreamError from error
    elif urls.is_url(output):
        with urls.writing(output) as file:
            yield file
    else:
        with naming(output), open_atomically(output, overwrite=force) as file:
            yield file


def is_colored() -> bool:
    """Return whether standard output is a terminal that is to show colours (see no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def check_matplotlib() -> None:
    """Raise an error if no plot can be drawn."""
    from kmcodec.report import plots

    if not plots.has_matplotlib():
        raise CommandError(plots.HINT)


def check_plot(path: str, sources: Iterable[str], *, force: bool) -> None:
    """Raise an error if no plot can be drawn, or path is no place for one."""
    # Imported here, since every command would wait for it.
    from kmcodec.report import plots

    check_matplotlib()
    if path != "-":
        if _find_suffix(path) not in plots.FORMATS:
            raise UsageError(f"plots are written as {', '.join(plots.FORMATS)}, not as {show_path(path)}")
        check(path, sources, force=force)


def render_plot(path: str, figure: Any) -> bytes:
    """Return a figure as the bytes of a file of this path, in the format of its suffix; PNG for "-"."""
    from kmcodec.report import plots

    return plots.render(figure, plots.FORMATS[".png" if path == "-" else _find_suffix(path)])


def _find_suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def print_json(values: dict[str, Any]) -> None:
    """Print values as JSON, on one line."""
    # Imported here, since every command would wait for it.
    import json

    print(json.dumps(values))
