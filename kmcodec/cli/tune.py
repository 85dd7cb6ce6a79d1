"""kmq tune: what each number of colours costs and gives."""

from __future__ import annotations

import argparse

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import UsageError
from kmcodec.cli.interrupts import ending_at_once
from kmcodec.cli.progress import Progress
from kmcodec.report import plots, text
from kmcodec.report.tune import tune


def run(options: argparse.Namespace) -> int:
    """Print, and plot, the curve of a picture."""
    if options.plot == "-":
        raise UsageError("--plot needs a file: standard output has the table")
    drawn = None
    with ending_at_once(), Progress() as progress:
        if options.plot is not None:
            outputs.check_plot(options.plot, [options.input], force=options.force)
        picture, _ = inputs.load(options.input)
        progress.show_task("tracing the curve")
        curve = tune(
            picture.pixels,
            space=options.space,
            perceptual=not options.quick,
            threads=options.threads,
            on_progress=progress.show_share,
        )
        if options.plot is not None:
            progress.show_task("drawing")
            with plots.drawing():
                drawn = outputs.render_plot(options.plot, plots.draw_elbow(curve))
    if drawn is not None:
        outputs.write(options.plot, drawn, force=options.force)
    if options.json:
        outputs.print_json(curve.to_dict())
        return 0
    tables = [text.tabulate_curve(curve)]
    print(text.format_tables(tables, text.list_hints(), is_colored=outputs.is_colored()))
    return 0
