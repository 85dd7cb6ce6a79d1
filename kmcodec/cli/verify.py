"""kmq verify: whether .kmq files are intact."""

from __future__ import annotations

import argparse

from kmcodec.cli import batch, inputs
from kmcodec.cli.failures import naming, show_path, tell
from kmcodec.cli.progress import Progress
from kmcodec.container.reader import KmqReader

_KIND = batch.Kind("checked", "checking", ".kmq files", None, inputs.list_kmq_suffixes)


def run(options: argparse.Namespace) -> int:
    """Check files, all of them, even after a bad one; tell of each in the order of the command line."""
    plan = batch.make_plan(options, _KIND)
    if "-" in options.inputs:
        # Only this process has it.
        options.jobs = 1
    for path, reason in plan.failures:
        tell(f"{show_path(path)}: {reason}")
    told = intact = 0
    results: dict[int, batch.Result] = {}
    with Progress() as progress:
        for number, result in batch.do_all(plan.tasks, options, _KIND, _verify, progress):
            results[number] = result
            while told in results:
                progress.clear()
                intact += _tell_result(plan.tasks[told][0], results.pop(told), options)
                told += 1
    failed = len(plan.tasks) + len(plan.failures) - intact
    if told > 1 and not options.quiet:
        files = f"{batch.count_files(intact)} intact"
        print(f"{files}; {failed:,} failed" if failed else files)
    return 1 if failed else 0


def _tell_result(path: str, result: batch.Result, options: argparse.Namespace) -> bool:
    """Say what became of a file; return whether it is intact."""
    if result.state == "failed":
        tell(result.error)
        return False
    if not options.quiet:
        print(f"{show_path(path)}: intact")
    return True


def _verify(options: argparse.Namespace, output: str, progress: Progress) -> batch.Result:
    """Check a file."""
    with inputs.opening_kmq(options.input, max_pixels=None) as file, naming(options.input):
        reader = KmqReader(file, max_pixels=None, on_progress=progress.show_share)
        reader.verify(threads=options.threads)
    return batch.Result("done")
