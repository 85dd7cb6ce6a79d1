"""kmq verify: whether .kmq files are intact."""

from __future__ import annotations

import argparse

from kmcodec.cli import inputs
from kmcodec.cli.failures import CommandError, naming, show_path, tell
from kmcodec.cli.progress import Progress
from kmcodec.container.reader import KmqReader


def run(options: argparse.Namespace) -> int:
    """Check files, all of them, even after a bad one."""
    status = 0
    for path in options.inputs:
        try:
            with inputs.opening_kmq(path, max_pixels=None) as source, naming(path), Progress() as progress:
                KmqReader(source, max_pixels=None, on_progress=progress.show_share).verify()
        except CommandError as error:
            tell(str(error))
            status = 1
        else:
            print(f"{show_path(path)}: intact")
    return status
