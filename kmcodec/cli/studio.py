"""kmq studio: a page in the browser to try settings on a picture."""

from __future__ import annotations

import argparse
import os
import threading
import webbrowser
from importlib import metadata

from kmcodec.cli import urls
from kmcodec.cli.failures import CommandError, StreamError, show_path
from kmcodec.cli.inputs import read_bytes
from kmcodec.cli.interrupts import ending_at_once, ending_quietly

# As in pyproject.toml.
_LEAST_NICEGUI = (3, 7)
_HINT = "pip install --upgrade 'kmcodec[studio]'"


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, which is how it is meant to end."""
    # An import that is interrupted can look like a package that is missing.
    with ending_at_once():
        _check_nicegui()
        try:
            from kmcodec.studio.page import MOST_BYTES, Start
            from kmcodec.studio.server import serve
        except ImportError as error:
            raise CommandError(f"kmq studio needs NiceGUI: {_HINT} ({error})") from None
        start = None
        if options.input is not None:
            start = Start(_find_name(options.input), _read(options.input, MOST_BYTES))

    def tell(address: str, ticket: str) -> None:
        try:
            print(f"kmq studio: {address} (Ctrl-C ends it)", flush=True)
        except OSError as error:
            raise StreamError from error
        if not options.no_browser:
            # Not here: some browsers are programs for a terminal, and come back when they are closed.
            threading.Thread(target=webbrowser.open, args=[ticket], daemon=True).start()

    try:
        with ending_quietly():
            serve(options.port, start, tell)
    except OSError as error:
        raise CommandError(f"port {options.port}: {error.strerror or error}") from error
    return 0


def _check_nicegui() -> None:
    try:
        found = metadata.version("nicegui")
    except metadata.PackageNotFoundError:
        raise CommandError(f"kmq studio needs NiceGUI: {_HINT}") from None
    if tuple(map(int, found.split(".")[:2])) < _LEAST_NICEGUI:
        least = ".".join(map(str, _LEAST_NICEGUI))
        raise CommandError(f"kmq studio needs NiceGUI {least} or later, found {found}: {_HINT}")


def _find_name(path: str) -> str:
    """Return the name that a file has in the page, where all must be text."""
    name = show_path(path) if path == "-" else urls.find_name(path)
    return os.fsencode(name).decode(errors="replace")


def _read(path: str, most_bytes: int) -> bytes:
    """Return a file, to be looked at when a page asks for it."""
    data = read_bytes(path, most_bytes + 1)
    if len(data) > most_bytes:
        raise CommandError(f"{show_path(path)}: more than the {most_bytes >> 20} MiB that kmq studio opens")
    return data
