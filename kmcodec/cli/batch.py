"""Many files with one command: which they are, where their outputs go, and what became of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from kmcodec.cli import outputs, urls
from kmcodec.cli.crew import Crew, OnShare
from kmcodec.cli.failures import CommandError, UsageError, collecting, show_path, tell
from kmcodec.cli.progress import Progress
from kmcodec.threads import count_threads

_DIED = "the process that worked on it was ended (is there too little memory?)"

# What a file is taken to weigh of which nothing is known.
_USUAL_BYTES = 1 << 16


class Result(NamedTuple):
    """Hold what became of a file.

    Attributes
    ----------
    state : str
        "done"; "current", where the output was there already and is up to date; or "failed".
    source_bytes, file_bytes : int
        Of what was read and of what was written, if it is done.
    notes : tuple of str
        Lines for standard error.
    error : str
        The line that says why it has failed, if it has.
    details : dict
        What --json tells beside.
    """

    state: str
    source_bytes: int = 0
    file_bytes: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    details: dict[str, Any] = {}  # noqa: RUF012  # never changed


#: Works on one file: takes the options, with the file's path as input, the path of its output, and what is to
#: be told how much is done. It can be pickled.
Work = Callable[[argparse.Namespace, str, Progress], Result]


@dataclass(frozen=True)
class Kind:
    """Say what a command does to many files.

    Attributes
    ----------
    verb, participle : str
        Such as "encoded" and "encoding".
    noun : str
        What is looked for in folders, such as "pictures".
    suffix : str or None
        Of the outputs, if there are any.
    find_suffixes : callable
        Returns the suffixes of the files that are taken from folders.
    """

    verb: str
    participle: str
    noun: str
    suffix: str | None
    find_suffixes: Callable[[], frozenset[str]]


@dataclass
class Plan:
    """Hold which file is to become which, and which cannot, both in the order of the command line.

    Attributes
    ----------
    tasks : list of (str, str)
        Paths of inputs and outputs.
    failures : list of (str, str)
        Paths, and why nothing can be done.
    """

    tasks: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def is_asked_for(options: argparse.Namespace) -> bool:
    """Return whether a command is given many files, or a place for many.

    Raises
    ------
    UsageError
        If its options do not go together.
    """
    is_batch = len(options.inputs) > 1 or options.out_dir is not None or os.path.isdir(options.inputs[0])
    if is_batch and options.output is not None:
        raise UsageError("-o names one output: for several use --out-dir")
    if is_batch and "-" in options.inputs:
        raise UsageError("standard input goes alone: not with other inputs, nor with --out-dir")
    if not is_batch and (options.recursive or options.jobs is not None):
        name = "--recursive" if options.recursive else "--jobs"
        raise UsageError(f"{name} is for folders and for several inputs")
    return is_batch


def make_plan(options: argparse.Namespace, kind: Kind) -> Plan:
    """Find the files that are meant, and where their outputs go."""
    plan = Plan()
    taken: dict[str, str] = {}
    for argument in options.inputs:
        if not os.path.isdir(argument):
            _add_task(plan, taken, argument, urls.find_name(argument), options, kind)
            continue
        found = False
        for path, error in walk_folder(argument, kind.find_suffixes(), recursive=options.recursive):
            found = True
            if error is not None:
                plan.failures.append((path, error))
            else:
                _add_task(plan, taken, path, os.path.relpath(path, argument), options, kind)
        if not found:
            hint = "" if options.recursive else "; --recursive looks into its folders"
            plan.failures.append((argument, f"no {kind.noun} in this folder{hint}"))
    if kind.suffix is not None:
        _refuse_inputs(plan, options)
    return plan


def walk_folder(
    folder: str, suffixes: frozenset[str], *, recursive: bool
) -> Iterator[tuple[str, str | None]]:
    """Yield the files of a folder that have such a suffix, and what cannot be read with the reason.

    In the order of names; hidden files and folders are passed over, and links to folders not followed.
    """
    # A stack, since folders can lie in each other more deeply than functions may.
    waiting = [(folder, True)]
    while waiting:
        path, is_folder = waiting.pop()
        if not is_folder:
            # Who opens a pipe waits for its other end.
            is_special = os.path.exists(path) and not os.path.isfile(path)
            yield path, "is no regular file" if is_special else None
            continue
        try:
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield path, error.strerror or str(error)
            continue
        for entry in listed:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if recursive:
                    waiting.append((entry.path, True))
            elif os.path.splitext(entry.name)[1].lower() in suffixes and not os.path.isdir(entry.path):
                waiting.append((entry.path, False))


def _add_task(
    plan: Plan, taken: dict[str, str], source: str, name: str, options: argparse.Namespace, kind: Kind
) -> None:
    """Add an input, of which name is what its output is called after, below the folder for outputs."""
    if kind.suffix is None:
        output = source
    elif options.out_dir is None:
        output = outputs.name_beside(source, kind.suffix)
    else:
        output = urls.join(options.out_dir, os.path.splitext(name)[0] + kind.suffix)
    key = _identify(output)
    if key in taken:
        if _identify(taken[key]) != _identify(source):
            plan.failures.append(
                (source, f"its output {show_path(output)} is that of {show_path(taken[key])}")
            )
        return
    taken[key] = source
    plan.tasks.append((source, output))


def _refuse_inputs(plan: Plan, options: argparse.Namespace) -> None:
    """Let those fail whose output would replace another input, or the palette."""
    sources = [*(source for source, _ in plan.tasks), *(path for path, _ in plan.failures)]
    if getattr(options, "palette", None) is not None:
        sources.append(options.palette)
    inputs = {_identify(source): source for source in sources}
    tasks = plan.tasks
    plan.tasks = []
    for source, output in tasks:
        other = inputs.get(_identify(output), source)
        # One that is its own output is refused later, if it is not up to date.
        if other == source:
            plan.tasks.append((source, output))
        else:
            plan.failures.append((source, f"its output is the input {show_path(other)}"))


def _identify(path: str) -> str:
    """Return what is the same for all paths of a file."""
    # On some systems two names mean one file if they differ by case.
    return path if urls.is_url(path) else os.path.normcase(os.path.realpath(path))


def run(options: argparse.Namespace, kind: Kind, work: Work) -> int:
    """Work on all files, and say what became of them.

    Parameters
    ----------
    options : Namespace
    kind : Kind
    work : callable

    Returns
    -------
    int
        The exit status: 1 if any has failed.
    """
    plan = make_plan(options, kind)
    if plan.tasks and options.out_dir is not None:
        # Where this fails, so would every file.
        outputs.make_folder(options.out_dir)
    with Progress() as progress:
        results = dict(do_all(plan.tasks, options, kind, work, progress))
    failures = [(path, f"{show_path(path)}: {reason}") for path, reason in plan.failures]
    for number, (source, _) in enumerate(plan.tasks):
        if results[number].state == "failed":
            failures.append((source, results[number].error))
        if not options.quiet:
            for note in results[number].notes:
                tell(note)
    for _, message in failures:
        tell(message)
    if plan.tasks:
        _summarize(options, kind, plan, results, failures)
    return 1 if failures else 0


def do_all(
    tasks: list[tuple[str, str]],
    options: argparse.Namespace,
    kind: Kind,
    work: Work,
    progress: Progress,
) -> Iterator[tuple[int, Result]]:
    """Yield number and result of each task as it is done, and show how far all of them are."""
    processors = count_threads(None)
    jobs = max(1, min(options.jobs or processors, len(tasks)))
    threads = options.threads or max(1, processors // jobs)
    one = partial(_attempt, work, argparse.Namespace(**{**vars(options), "threads": threads}))
    weights = [_weigh(source) for source, _ in tasks]
    shares = [0.0] * len(tasks)
    done = 0.0

    def show(number: int, share: float) -> None:
        nonlocal done
        # Of works in several parts it may fall.
        if share > shares[number]:
            done += (share - shares[number]) * weights[number]
            shares[number] = share
            progress.show_share(label, min(done, total), total)

    label = kind.participle if len(tasks) == 1 else f"{kind.participle} {len(tasks):,} files"
    total = sum(weights)
    with Crew(one, jobs) as crew:
        for number, result in crew.work_through(tasks, show):
            show(number, 1.0)
            yield number, result or Result("failed", error=f"{show_path(tasks[number][0])}: {_DIED}")


def _weigh(path: str) -> int:
    try:
        return max(1, os.path.getsize(path))
    except (OSError, ValueError):
        return _USUAL_BYTES


def _attempt(work: Work, options: argparse.Namespace, task: tuple[str, str], on_share: OnShare) -> Result:
    """Return the result of a task, also if it has failed."""
    source, output = task
    options.input = source
    with collecting() as notes, Progress(on_share) as progress:
        try:
            if getattr(options, "out_dir", None) is not None:
                outputs.make_folder(os.path.dirname(output))
            result = work(options, output, progress)
        except (CommandError, UsageError) as error:
            result = Result("failed", error=str(error))
        except MemoryError:
            result = Result("failed", error=f"{show_path(source)}: not enough memory")
    return result._replace(notes=tuple(notes))


def count_files(n: int) -> str:
    """Return a number of files, in words for people."""
    return f"{n:,} file" if n == 1 else f"{n:,} files"


def _summarize(
    options: argparse.Namespace,
    kind: Kind,
    plan: Plan,
    results: dict[int, Result],
    failures: list[tuple[str, str]],
) -> None:
    done = [result for result in results.values() if result.state == "done"]
    source_bytes = sum(result.source_bytes for result in done)
    file_bytes = sum(result.file_bytes for result in done)
    current = sum(result.state == "current" for result in results.values())
    if getattr(options, "json", False):
        files = [
            {"input": source, "output": output, "state": results[number].state, **results[number].details}
            for number, (source, output) in enumerate(plan.tasks)
        ]
        sums = {"done": len(done), "current": current, "failed": len(failures)}
        errors = [{"input": path, "error": message} for path, message in failures]
        sizes = {"source_bytes": source_bytes, "file_bytes": file_bytes}
        outputs.print_json({**sums, **sizes, "files": files, "errors": errors})
        return
    if options.quiet:
        return
    parts = [f"{count_files(len(done))} {kind.verb}"]
    if done and source_bytes:
        share = f"{100 * file_bytes / source_bytes:.1f} %"
        parts[0] += f": {source_bytes:,} bytes became {file_bytes:,}, {share}"
    if current:
        parts.append(f"{current:,} up to date")
    if failures:
        parts.append(f"{len(failures):,} failed")
    print("; ".join(parts))
