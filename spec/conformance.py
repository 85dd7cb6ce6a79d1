"""Run a decoder over the test files of section 12 of the specification, kmq-1.md."""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

VECTORS = Path(__file__).resolve().parent / "vectors"
LONGEST_MESSAGE = 200


class MismatchError(Exception):
    """What came instead of what was expected."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status and what it wrote."""

    status: int
    output: bytes
    errors: str

    def describe(self) -> str:
        """Return the exit status and the last line of standard error."""
        lines = self.errors.strip().splitlines()
        last = ascii(lines[-1])[1:-1][:LONGEST_MESSAGE] if lines else "no message"
        return f"exit status {self.status}: {last}"


@dataclass(frozen=True)
class Vector:
    """A test file."""

    path: Path
    expected: dict[str, Any]

    @property
    def purpose(self) -> str:
        """What the file exercises or breaks."""
        purpose: str = self.expected.get("exercises") or self.expected["breaks"]
        return purpose


@dataclass(frozen=True)
class Decoder:
    """The commands under test."""

    command: list[str]
    info: list[str]
    offsets: bool
    timeout: float

    def run(self, command: list[str], vector: Vector, folder: Path) -> Outcome:
        """Run a command for a vector, in time."""
        places = {"{in}": str(vector.path), "{out}": str(folder / "out.png")}
        words = [re.sub(r"\{in\}|\{out\}", lambda match: places[match[0]], word) for word in command]
        # Files, for pipes could be held open by processes that the command has started.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                raise MismatchError(f"not done after {self.timeout:g} seconds") from None
            finally:
                stop(process)
            output.seek(0)
            errors.seek(0)
            return Outcome(status, output.read(), errors.read().decode(errors="replace"))

    def check_valid(self, vector: Vector, folder: Path) -> None:
        """Check that the decoder shows the pixels."""
        outcome = self.run(self.command, vector, folder)
        if outcome.status != 0:
            raise MismatchError(outcome.describe())
        compare_pixels(folder / "out.png", vector.path.with_suffix(".png"))

    def check_rejected(self, vector: Vector, folder: Path) -> Outcome:
        """Check that the decoder rejects the file and leaves nothing behind."""
        outcome = self.run(self.command, vector, folder)
        # A crash is a signal here and, on Windows, a status with the two highest bits set.
        if outcome.status < 0 or outcome.status >= 0xC0000000:
            raise MismatchError(f"a crash, {outcome.describe()}")
        if outcome.status == 0:
            raise MismatchError("exit status 0")
        left = sorted(path.name for path in folder.iterdir())
        if left:
            raise MismatchError(f"rejected, but left {', '.join(left)} behind")
        return outcome

    def check_invalid(self, vector: Vector, folder: Path) -> None:
        """Check that the decoder rejects the file, for the right place if that was asked for."""
        outcome = self.check_rejected(vector, folder)
        offset = vector.expected["offset"]
        if self.offsets and not re.search(rf"\boffset {offset}\b", outcome.errors):
            raise MismatchError(f"no offset {offset}: {outcome.describe()}")

    def check_limit(self, vector: Vector, folder: Path) -> None:
        """Check that the decoder refuses the file."""
        self.check_rejected(vector, folder)

    def check_info(self, vector: Vector, folder: Path) -> None:
        """Check what the decoder says of the file."""
        outcome = self.run(self.info, vector, folder)
        if outcome.status != 0:
            raise MismatchError(outcome.describe())
        try:
            found = json.loads(outcome.output, parse_int=whole_number)
        except RecursionError:
            # The decoder shows a recipe that is too deep to be read here, as it may.
            return
        except ValueError as error:
            raise MismatchError(f"no JSON: {error}") from None
        for difference in differences(vector.expected, found):
            raise MismatchError(difference)


def whole_number(digits: str) -> float:
    """Read a whole number of any length, for Python refuses long ones."""
    return int(digits) if len(digits) < 100 else float(digits)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that may still run, with those that it has started."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def compare_pixels(found_path: Path, expected_path: Path) -> None:
    """Check that a PNG has the expected pixels, and alpha where that is expected."""
    if not found_path.exists():
        raise MismatchError("exit status 0 without output")
    try:
        with Image.open(found_path, formats=["PNG"]) as image:
            has_alpha, found = image.has_transparency_data, image.convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MismatchError(f"an output that is no PNG: {error}") from None
    with Image.open(expected_path) as image:
        needs_alpha, expected = image.mode == "RGBA", image.convert("RGBA")
    if found.size != expected.size:
        raise MismatchError("{}x{} pixels instead of {}x{}".format(*found.size, *expected.size))
    if needs_alpha and not has_alpha:
        raise MismatchError("no alpha channel")
    if found.tobytes() != expected.tobytes():
        raise MismatchError(first_difference(found, expected))


def first_difference(found: Image.Image, expected: Image.Image) -> str:
    """Return where two images of one size first differ."""
    pairs = zip(found.tobytes(), expected.tobytes(), strict=True)
    row, column = divmod(
        next(place for place, (one, other) in enumerate(pairs) if one != other) // 4, found.width
    )
    pixels = found.getpixel((column, row)), expected.getpixel((column, row))
    return "pixel {} instead of {} at column {}, row {}".format(*pixels, column, row)


def differences(expected: dict[str, Any], found: object) -> Iterator[str]:
    """Yield what is missing or otherwise in an object that may have more members than expected."""
    if not isinstance(found, dict):
        yield f"{found!a} instead of an object"[:LONGEST_MESSAGE]
        return
    for key, value in expected.items():
        if key == "exercises":
            continue
        if key not in found:
            yield f"no {key}"
        elif key == "sections" and isinstance(found[key], list) and len(found[key]) == len(value):
            for number, (section, found_section) in enumerate(zip(value, found[key], strict=True)):
                for difference in differences(section, found_section):
                    yield f"section {number}: {difference}"
        elif found[key] != value:
            yield f"{key} is {found[key]!a} instead of {value!a}"[:LONGEST_MESSAGE]


def read_vectors() -> dict[str, list[Vector]]:
    """Return the vectors of each group."""
    folders = {
        name: [
            Vector(path.with_suffix(".kmq"), json.loads(path.read_text("utf-8")))
            for path in sorted((VECTORS / name).glob("*.json"))
        ]
        for name in ("valid", "invalid")
    }
    for name, vectors in folders.items():
        if not vectors:
            raise FileNotFoundError(f"no test files in {VECTORS / name}: run make_vectors.py")
    pictures = [vector for vector in folders["valid"] if not vector.expected.get("limit")]
    too_large = [vector for vector in folders["valid"] if vector.expected.get("limit")]
    return {"valid": pictures, "limit": too_large, "invalid": folders["invalid"], "info": pictures}


def failure_of(check: Callable[[Vector, Path], None], vector: Vector) -> str:
    """Return what came instead, or nothing where the vector passed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check(vector, Path(folder))
        except MismatchError as failure:
            return str(failure)
    return ""


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned, the last one ragged."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def parse_arguments() -> argparse.Namespace:
    """Return the arguments, or exit with status 2."""
    parser = argparse.ArgumentParser(
        description="Run a decoder over the test files of the KMQ format.",
        usage='%(prog)s [--info "COMMAND {in}"] [--offsets] [--jobs N] [--timeout SECONDS] [--verbose] '
        "-- COMMAND {in} {out}",
        epilog="Exit status: 0 if every test passed, 1 if one failed, 2 if they could not be run.",
    )
    parser.add_argument("command", nargs="+", help="decodes {in} to the PNG {out}, or fails")
    parser.add_argument("--info", type=shlex.split, default=[], help="prints what is in {in}, as JSON")
    parser.add_argument(
        "--offsets", action="store_true", help="expect errors to say 'offset N' (section 7.1)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at a time")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for each command (%(default)g)")
    parser.add_argument("--verbose", action="store_true", help="a line for every test")
    arguments = parser.parse_args()
    if not all(any(place in word for word in arguments.command) for place in ("{in}", "{out}")):
        parser.error("COMMAND needs {in} and {out}")
    if arguments.info and not any("{in}" in word for word in arguments.info):
        parser.error("the command of --info needs {in}")
    if arguments.jobs < 1 or arguments.timeout <= 0:
        parser.error("--jobs and --timeout must be above 0")
    return arguments


def main() -> int:
    """Run every test and print a table; return the exit status."""
    arguments = parse_arguments()
    decoder = Decoder(arguments.command, arguments.info, arguments.offsets, arguments.timeout)
    checks = {"valid": decoder.check_valid, "limit": decoder.check_limit, "invalid": decoder.check_invalid}
    if decoder.info:
        checks["info"] = decoder.check_info
    executor = ThreadPoolExecutor(arguments.jobs)
    try:
        vectors = read_vectors()
        tests = [(group, vector) for group in checks for vector in vectors[group]]
        results = list(executor.map(lambda test: failure_of(checks[test[0]], test[1]), tests))
    except OSError as error:
        print(f"conformance.py: {error}", file=sys.stderr)
        return 2
    finally:
        executor.shutdown(cancel_futures=True)

    failures = list(zip(tests, results, strict=True))
    rows = [("group", "passed", "total")]
    for group in checks:
        outcomes = [not failure for (of_group, _), failure in failures if of_group == group]
        rows.append((group, str(sum(outcomes)), str(len(outcomes))))
    print_table(rows)
    lines = [
        ("FAILED" if failure else "passed", group, vector.path.stem, vector.purpose, failure)
        for (group, vector), failure in failures
        if failure or arguments.verbose
    ]
    if lines:
        print()
        print_table(lines)
    return 1 if any(results) else 0


if __name__ == "__main__":
    sys.exit(main())
