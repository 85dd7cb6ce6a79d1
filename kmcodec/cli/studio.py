"""kmq studio: a page in the browser to try settings on a picture."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser

from kmcodec.cli.failures import CommandError, naming, show_path

_HINT = "kmq studio needs NiceGUI: pip install 'kmcodec[studio]'"


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, which is how it is meant to end."""
    try:
        from kmcodec.studio.page import MOST_BYTES, Start
        from kmcodec.studio.server import serve
    except ImportError as error:
        raise CommandError(f"{_HINT} ({error})") from None
    start = None
    if options.input is not None:
        start = Start(os.path.basename(show_path(options.input)), _read(options.input, MOST_BYTES))

    def tell(address: str) -> None:
        print(f"kmq studio: {address} (Ctrl-C ends it)", flush=True)
        if not options.no_browser:
            # Not here: some browsers are programs for a terminal, and come back when they are closed.
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    try:
        serve(options.port, start, tell)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise CommandError(f"port {options.port}: {error.strerror or error}") from error
    return 0


def _read(path: str, most_bytes: int) -> bytes:
    """Return a file, to be looked at when a page asks for it."""
    with naming(path):
        if path == "-":
            data = sys.stdin.buffer.read(most_bytes + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise CommandError(f"{show_path(path)}: more than the {most_bytes >> 20} MiB that kmq studio opens")
    return data
