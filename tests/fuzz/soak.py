"""Decode a great many damaged files: each must be a correct picture or be refused, soon, in little memory.

    python tests/fuzz/soak.py [--count N] [--seconds S] [--jobs N] [--seed N] [--out FOLDER] [FILE]...

FILEs are .kmq files, or pictures, of which the upper rows are encoded with several K, in both codings; by
default the specification's valid test files. Every input is made from one of these, or from two, and from
its number and the seed alone. A quarter of the inputs gets right checksums, another quarter these and the
size that the header gives. Checked of each input, with the limits that kmcodec has by default:

- kmcodec.decode returns a picture or raises a KmqError, within a second and 256 MiB;
- spec/minidecoder.py finds the same pixels, or the same error at the same place, where pixels are few;
- what is neither one of the FILEs nor has got right checksums is refused;
- of one input in eight, KmqReader.verify finds the same, and kmcodec.salvage saves what it promises to, in
  256 MiB and what the picture takes.

Findings are printed with examples, which are saved; the exit status is 1 if there are any. A worker that
crashes or hangs costs the input that it was at, which is a finding, and no other.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

import kmcodec
from kmcodec.pictures import load_picture

if sys.platform != "win32":
    import resource

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fuzz import mutations, reader_target

MAX_INPUT_BYTES = 1 << 16
MAX_SECONDS = 1.0
MAX_GROWTH_BYTES = 256 << 20

#: Pixels up to which the independent decoder, which is slow, decodes a picture too.
MAX_COMPARED_PIXELS = 1 << 16

# Of a picture, as many rows as take about so many bytes.
_PICTURE_BYTES = 1 << 14
_PICTURE_COLORS = (1, 2, 5, 16, 64, 256)
_PICTURE_STRIP_ROWS = 16
# Of context-coded pictures less, since the independent decoder takes long for each; and odd strips.
_CONTEXT_BYTES = 1 << 10
_CONTEXT_COLUMNS = 64
_CONTEXT_COLORS = (2, 5, 64, 300)
_CONTEXT_STRIP_ROWS = 7

# Memory that a process may have grown by before garbage is looked for.
_GARBAGE_BYTES = 16 << 20

_BLOCK = 500
_CHECK_EVERY = 8
_EXAMPLES = 3

# Not worth a second look; and what is no longer waited for.
_SURELY_SLOW_SECONDS = 5.0
# With context coding, a few bytes can stand for any number of pixels, each of which takes its time.
_PIXELS_A_SECOND = 1 << 20
_STALL_SECONDS = 30.0

_T = TypeVar("_T")


def load_minidecoder() -> Any:
    """Import spec/minidecoder.py."""
    spec = importlib.util.spec_from_file_location("minidecoder", mutations.ROOT / "spec" / "minidecoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MINIDECODER = load_minidecoder()


class Peak:
    """Measure the memory of this process, input by input, where the system tells it.

    Attributes
    ----------
    start : int
        Bytes that the process had at its start.
    """

    def __init__(self) -> None:
        self._clear: int | None = None
        # Elsewhere than on Linux, the peak stands: only an input that raises it can be told.
        with contextlib.suppress(OSError):
            self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self.start = self._kept = 0
        self.reset()
        self.start, self._kept = self._read(), 0

    def reset(self) -> None:
        """Let the peak be what the process has now; what earlier inputs have left is not the next one's."""
        if self._clear is None:
            return
        os.write(self._clear, b"5")
        if self.growth() > self._kept + _GARBAGE_BYTES:
            gc.collect()
            os.write(self._clear, b"5")
            # What stays is no garbage, but what the allocator keeps.
            self._kept = self.growth()

    def growth(self) -> int:
        """Return how many bytes the peak since the last reset lies above the start."""
        return max(self._read() - self.start, 0)

    def close(self) -> None:
        """Release what is held of the system."""
        if self._clear is not None:
            os.close(self._clear)

    def _read(self) -> int:
        if sys.platform == "win32":
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10


class Input(NamedTuple):
    """Hold an input.

    Attributes
    ----------
    number : int
    data : bytes
    is_damaged : bool
        Whether it must be refused: its checksums are not repaired, and it is no mixture of two files.
    """

    number: int
    data: bytes
    is_damaged: bool


class Example(NamedTuple):
    """Hold an input that showed a finding, and what was seen."""

    number: int
    data: bytes
    message: str


@dataclass
class Tally:
    """Hold what became of inputs.

    Attributes
    ----------
    outcomes : Counter
        Inputs by outcome.
    findings : Counter
        Inputs by the kind of what is wrong.
    examples : dict
        For each kind, the first few.
    slowest, largest : dict
        For what reads: seconds, and bytes above the start of the process, each with the number of the input.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    largest: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, kind: str, tried: Input, message: str) -> None:
        """Count a finding."""
        self.findings[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(Example(tried.number, tried.data, message))

    def note(self, name: str, slow: tuple[float, int], large: tuple[int, int]) -> None:
        """Keep the larger time and memory of what reads."""
        self.slowest[name] = max(self.slowest.get(name, slow), slow)
        self.largest[name] = max(self.largest.get(name, large), large)

    def add(self, other: Tally) -> None:
        """Count what another tally has counted."""
        self.outcomes += other.outcomes
        self.findings += other.findings
        for kind, examples in other.examples.items():
            self.examples[kind] = (self.examples.get(kind, []) + examples)[:_EXAMPLES]
        for name in other.slowest:
            self.note(name, other.slowest[name], other.largest[name])


class Soak:
    """Make inputs out of files, and try them; in one process.

    Parameters
    ----------
    files : sequence of bytes
        Valid .kmq files.
    seed : int
    """

    def __init__(self, files: Sequence[bytes], seed: int) -> None:
        self._files = files
        self._known = frozenset(files)
        self._seed = seed
        # What is imported and built at the first use is not the first input's.
        reader_target.check_reader(files[0])
        self._peak = Peak()

    def close(self) -> None:
        """Release what is held of the system."""
        self._peak.close()

    def make_input(self, number: int) -> Input:
        """Return an input; always the same for the same files, seed and number."""
        rng = random.Random(self._seed << 48 | number)
        data, is_mixture = rng.choice(self._files), rng.getrandbits(4) == 0
        if is_mixture:
            data = mutations.splice(data, rng.choice(self._files), rng)
        if not is_mixture or rng.getrandbits(1):
            data = mutations.mutate(data, rng)
        data, repairs = data[:MAX_INPUT_BYTES], number % 4
        if repairs == 3:
            data = mutations.fit(data, MAX_INPUT_BYTES)
        if repairs >= 2:
            data = mutations.repair(data)
        return Input(number, data, repairs < 2 and not is_mixture and data not in self._known)

    def try_input(self, tried: Input, tally: Tally) -> None:
        """Read an input in all ways that its number asks for."""
        data = tried.data
        try:
            outcome = self._measure("decode", kmcodec.decode, tried, tally)
            tally.outcomes[name_outcome(outcome)] += 1
            compare_with_minidecoder(data, outcome)
            if not isinstance(outcome, kmcodec.KmqError):
                assert not tried.is_damaged, "damaged, but decoded"
            # Apart from what is repaired, so that every kind of input comes up.
            if tried.number // 4 % _CHECK_EVERY == 0:
                reader_target.check_verify(data, outcome)
                saved = self._measure("salvage", kmcodec.salvage, tried, tally)
                reader_target.check_salvaged(saved, outcome)
        except Exception as error:
            tally.find(name_error(error), tried, f"{type(error).__name__}: {error}")

    def run(self, start: int, stop: int, begin: Callable[[int], object] = lambda number: None) -> Tally:
        """Try the inputs start, ..., stop - 1; begin is told the number of each."""
        tally = Tally()
        for number in range(start, stop):
            begin(number)
            self.try_input(self.make_input(number), tally)
        return tally

    def _measure(
        self, name: str, read: Callable[[bytes], _T], tried: Input, tally: Tally
    ) -> _T | kmcodec.KmqError:
        """Return what read makes of an input, and note its time and memory."""
        self._peak.reset()
        started = time.perf_counter()
        outcome = reader_target.attempt(lambda: read(tried.data))
        seconds = time.perf_counter() - started
        growth = self._peak.growth()
        allowed = MAX_SECONDS + _count_context_pixels(tried.data) / _PIXELS_A_SECOND
        if allowed < seconds < _SURELY_SLOW_SECONDS:
            # Once more, since the machine may have been at something else.
            outcome = None  # type: ignore[assignment]
            started = time.perf_counter()
            outcome = reader_target.attempt(lambda: read(tried.data))
            seconds = min(seconds, time.perf_counter() - started)
        tally.note(name, (seconds, tried.number), (growth, tried.number))
        if seconds > allowed:
            tally.find(f"{name} takes long", tried, f"{seconds:.2f} s")
        # A picture of which nothing is left is given back whole, in the size that the header claims.
        saved_bytes = outcome.pixels.nbytes if isinstance(outcome, kmcodec.Salvaged) else 0
        if growth >= MAX_GROWTH_BYTES + saved_bytes:
            tally.find(f"{name} takes much memory", tried, f"{growth / 2**20:.1f} MiB")
        return outcome


def _count_context_pixels(data: bytes) -> int:
    """Return the pixels of a context-coded picture, as far as they can be decoded; of others, 0."""
    if len(data) < mutations.HEADER_BYTES or data[9] & 0x0F != 1:
        return 0
    pixels = mutations.read_layout(data).pixels
    return pixels if pixels <= reader_target.MAX_PIXELS else 0


def compare_with_minidecoder(data: bytes, outcome: NDArray[np.uint8] | kmcodec.KmqError) -> None:
    """Check that the independent decoder finds the same; not in the strips of a large picture."""
    if not isinstance(outcome, kmcodec.KmqError):
        reaches_strips = True
    else:
        reaches_strips = isinstance(outcome, kmcodec.KmqFormatError) and " strip " in outcome.field
    if reaches_strips and mutations.read_layout(data).pixels > MAX_COMPARED_PIXELS:
        return
    try:
        picture = MINIDECODER.decode(data)
    except MINIDECODER.InvalidError as error:
        expected: tuple[object, ...] = ("invalid", error.offset, error.field)
    except MINIDECODER.TooLargeError:
        expected = ("too large",)
    else:
        expected = (picture.height, picture.width, picture.channels)
    if isinstance(outcome, kmcodec.KmqFormatError):
        found: tuple[object, ...] = ("invalid", outcome.offset, name_field(outcome))
    elif isinstance(outcome, kmcodec.KmqError):
        found = ("too large",)
    else:
        found = outcome.shape
    assert expected == found, f"the minidecoder disagrees: {expected} there, {found} here"
    if not isinstance(outcome, kmcodec.KmqError):
        assert picture.pixels == outcome.tobytes(), "the minidecoder disagrees: other pixels"


def name_field(error: kmcodec.KmqFormatError) -> str:
    """Return the field as the specification has it, without the number of the strip."""
    return error.field.partition(" of strip")[0].partition(" in strip")[0]


def name_outcome(outcome: NDArray[np.uint8] | kmcodec.KmqError) -> str:
    """Return under what an outcome is counted."""
    if isinstance(outcome, kmcodec.KmqFormatError):
        return f"KmqFormatError: {name_field(outcome)}"
    return type(outcome).__name__ if isinstance(outcome, kmcodec.KmqError) else "picture"


def name_error(error: Exception) -> str:
    """Return under what an exception is counted: where it came up, and the words before its details."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    message = f": {str(error).partition(':')[0]}" if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}{message}"


def load_files(paths: Sequence[Path]) -> list[bytes]:
    """Return .kmq files, those of pictures made here; such as are over MAX_INPUT_BYTES are left out."""
    files = []
    for path in paths:
        files += [path.read_bytes()] if path.suffix == ".kmq" else encode_picture(path)
    return [data for data in files if len(data) <= MAX_INPUT_BYTES]


def encode_picture(path: Path) -> list[bytes]:
    """Encode the upper rows of a picture with several K, in strips, in both codings, and with metadata."""
    pixels = load_picture(path)
    packed = [
        encode_rows(pixels, n_colors, _PICTURE_BYTES, path.name, strip_rows=_PICTURE_STRIP_ROWS)
        for n_colors in _PICTURE_COLORS
    ]
    left = pixels[:, :_CONTEXT_COLUMNS]
    return packed + [
        encode_rows(
            left, n_colors, _CONTEXT_BYTES, path.name, strip_rows=_CONTEXT_STRIP_ROWS, coding="context"
        )
        for n_colors in _CONTEXT_COLORS
    ]


def encode_rows(
    pixels: NDArray[np.uint8], n_colors: int, n_bytes: int, title: str, *, strip_rows: int, **container: Any
) -> bytes:
    """Encode as many of the upper rows as take about n_bytes when packed, with metadata."""
    row_bytes = max(1, pixels.shape[1] * (n_colors - 1).bit_length() // 8)
    rows = pixels[: max(1, n_bytes // row_bytes)]
    container["strip_rows"] = min(strip_rows, len(rows))
    metadata = kmcodec.Metadata(texts=(kmcodec.Text("Title", title),))
    return kmcodec.encode(rows, n_colors, metadata=metadata, recipe=True, effort="fast", **container)


# Forked where that is safe: a program that is started anew has the peak of whoever started it for its own.
_CONTEXT: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class Worker:
    """Run a Soak in a process of its own, block by block.

    Attributes
    ----------
    block : (int, int) or None
        The inputs that it is at.
    connection : Connection
        Gives the Tally of the block, or ends.
    """

    def __init__(self, files: Sequence[bytes], seed: int) -> None:
        self.block: tuple[int, int] | None = None
        self.connection, theirs = _CONTEXT.Pipe()
        self._current = _CONTEXT.Value("q", -1, lock=False)
        self._seen = (-1, time.monotonic())
        self._process = _CONTEXT.Process(
            target=work, args=(theirs, self._current, files, seed, self.connection), daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, block: tuple[int, int]) -> None:
        """Give it a block."""
        self.block = block
        self._current.value = -1
        self._seen = (-1, time.monotonic())
        self.connection.send(block)

    @property
    def current(self) -> int:
        """Number of the input that it is at; -1 before the first of a block."""
        return int(self._current.value)

    def is_stalled(self) -> bool:
        """Return whether it has been at one input for too long."""
        number, since = self._seen
        if number != self.current:
            self._seen = (self.current, time.monotonic())
            return False
        return self.block is not None and time.monotonic() - since > _STALL_SECONDS

    def end(self) -> int | None:
        """Stop it; return its exit status, which is negative for a signal."""
        self.connection.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return int(self._process.exitcode)


def work(connection: Connection, current: Any, files: Sequence[bytes], seed: int, others: Connection) -> None:
    """Try blocks as they come, until the other end is closed; what a Worker runs."""
    # A forked process has the other end too, and would wait for itself.
    others.close()
    soak = Soak(files, seed)

    def begin(number: int) -> None:
        current.value = number

    try:
        while True:
            start, stop = connection.recv()
            connection.send(soak.run(start, stop, begin))
    except (EOFError, BrokenPipeError):
        pass


def run_workers(
    files: Sequence[bytes], seed: int, count: int, seconds: float | None, jobs: int
) -> tuple[Tally, float]:
    """Try count inputs, or as many as can be begun in seconds; return the tally, and the seconds it took."""
    started = time.monotonic()
    tally = Tally()
    blocks = deque((start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
    workers = [Worker(files, seed) for _ in range(min(jobs, len(blocks)))]
    soak: Soak | None = None
    while workers:
        if seconds is not None and time.monotonic() - started > seconds:
            blocks.clear()
        for worker in workers[:]:
            if worker.block is None and blocks:
                worker.begin(blocks.popleft())
            elif worker.block is None:
                worker.end()
                workers.remove(worker)
        ready = wait([worker.connection for worker in workers], timeout=1) if workers else []
        for worker in workers[:]:
            is_stalled = lost = worker.is_stalled()
            if worker.connection in ready and not is_stalled:
                try:
                    tally.add(worker.connection.recv())
                    worker.block = None
                except (EOFError, ConnectionError):
                    lost = True
            if lost:
                assert worker.block is not None
                (start, stop), number = worker.block, worker.current
                status = worker.end()
                if number < 0:
                    raise SystemExit(f"soak: a worker ended before its first input, with status {status}")
                soak = soak or Soak(files, seed)
                kind = "hangs" if is_stalled else "ends the process"
                tally.find(kind, soak.make_input(number), f"exit status {status}")
                tally.outcomes["(none)"] += 1
                blocks.extend(block for block in ((start, number), (number + 1, stop)) if block[0] < block[1])
                workers.remove(worker)
                workers.append(Worker(files, seed))
    return tally, time.monotonic() - started


def print_report(tally: Tally, seconds: float, jobs: int) -> None:
    """Print the table."""
    tried = tally.outcomes.total()
    rows: list[tuple[str, str]] = [("inputs", str(tried))]
    rows += [(f"  {name}", str(count)) for name, count in sorted(tally.outcomes.items())]
    rows += [("findings", str(tally.findings.total()))]
    rows += [(f"  {kind}", str(count)) for kind, count in sorted(tally.findings.items())]
    for name, (slowest, number) in sorted(tally.slowest.items()):
        rows.append((f"slowest {name}, s (input {number})", f"{slowest:.3f}"))
    for name, (largest, number) in sorted(tally.largest.items()):
        rows.append((f"largest {name}, MiB (input {number})", f"{largest / 2**20:.1f}"))
    rows += [("seconds", f"{seconds:.1f}"), (f"inputs/s, {jobs} processes", f"{tried / seconds:.0f}")]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value:>10}")


def save_examples(tally: Tally, folder: Path) -> None:
    """Save the examples of all findings, and print what was seen and where each is."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, examples in tally.examples.items():
        for example in examples:
            path = folder / f"soak-{example.number}.kmq"
            path.write_bytes(example.data)
            print(f"{kind}: input {example.number}, {len(example.data)} bytes, {path}: {example.message}")


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=2_000_000, metavar="N", help="inputs")
    parser.add_argument("--seconds", type=float, metavar="S", help="begin no more inputs after S seconds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("soak-findings"), metavar="FOLDER")
    options = parser.parse_args()
    paths = options.files or sorted((mutations.VECTORS / "valid").glob("*.kmq"))
    files = load_files(paths)
    if not files:
        parser.error(f"no file of at most {MAX_INPUT_BYTES} bytes")
    print(f"{len(files)} files out of {len(paths)} given", flush=True)
    tally, seconds = run_workers(files, options.seed, options.count, options.seconds, options.jobs)
    print_report(tally, seconds, options.jobs)
    if tally.findings:
        save_examples(tally, options.out)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
