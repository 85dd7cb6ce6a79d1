"""kmq help: what --help shows."""

from __future__ import annotations

import argparse

from kmcodec.cli.arguments import build_parser


def run(options: argparse.Namespace) -> int:
    """Print the help of kmq or of a command."""
    topic = [] if options.topic is None else [options.topic]
    build_parser().parse_args([*topic, "--help"])
    return 0
