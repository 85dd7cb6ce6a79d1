"""Many small files with one command, in one process and in several, beside one command for each file.

    python benchmarks/batch.py [--files 1000] [--repeats 5] [-k 16]

The files are pieces of 128 x 128 pixels of the samples. Times are medians of seconds; how many times as fast
as one process several are is the median of the ratios of runs that take turns. Beside it stands what as many
commands are that share the files and know nothing of each other: so much the machine allows. Round trips are
compared: what the batch makes is what the library makes of each file alone.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import kmcodec
from kmcodec.pictures import load_picture
from kmcodec.threads import count_threads

SAMPLES = Path(__file__).parent.parent / "samples"
SIDE = 128

# With -m, Python looks in the working directory first: in that of the source it would find kernels that are
# not compiled. So the command itself.
KMQ = shutil.which("kmq", path=str(Path(sys.executable).parent)) or "kmq"


def make_files(folder: Path, count: int) -> None:
    """Cut pictures out of the samples."""
    rng = np.random.default_rng(0)
    sources = [
        load_picture(SAMPLES / name)[:, :, :3]
        for name in ("chart.png", "chelsea.png", "coffee.png", "rocket.jpg")
    ]
    for i in range(count):
        source = sources[i % len(sources)]
        y, x = (int(rng.integers(0, length - SIDE)) for length in source.shape[:2])
        Image.fromarray(source[y : y + SIDE, x : x + SIDE]).save(folder / f"{i:05}.png")


def run(*words: str | Path) -> float:
    """Run kmq; return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([KMQ, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def run_afresh(folder: Path, *words: str | Path) -> float:
    """Run kmq with a new folder for its outputs."""
    shutil.rmtree(folder, ignore_errors=True)
    return run(*words, "--out-dir", folder)


def run_side_by_side(folder: Path, words: list[str | Path], files: list[Path], number: int) -> float:
    """Run as many commands at once, each with its share of the files; return the seconds of all together."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [KMQ, *words, *files[i::number], "--out-dir", folder, "--jobs", "1"],
            stdout=subprocess.DEVNULL,
        )
        for i in range(number)
    ]
    statuses = [process.wait() for process in processes]
    seconds = time.perf_counter() - start
    assert not any(statuses)
    return seconds


def check(pictures: Path, packed: Path, back: Path, k: int) -> None:
    """Compare what came of some files with what the library makes of each alone."""
    paths = sorted(pictures.iterdir())
    assert len(paths) == len(list(packed.iterdir())) == len(list(back.iterdir()))
    for path in paths[:: max(1, len(paths) // 50)]:
        data = kmcodec.encode(load_picture(path), k)
        assert data == (packed / path.with_suffix(".kmq").name).read_bytes()
        assert np.array_equal(kmcodec.decode(data), load_picture(back / path.name))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-k", type=int, default=16)
    options = parser.parse_args()
    jobs = sorted({1, 2, count_threads(None)})
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        pictures, packed, back = root / "pictures", root / "packed", root / "back"
        pictures.mkdir()
        make_files(pictures, options.files)
        few = sorted(pictures.iterdir())[:20]
        for path in few:
            run("encode", path, "-k", str(options.k), "-o", root / "one.kmq", "--force")
        alone = statistics.median(
            run("encode", path, "-k", str(options.k), "-o", root / "one.kmq", "--force") for path in few
        )
        print(
            f"{options.files} files of {SIDE} x {SIDE} pixels; a command each: {1000 * alone:.0f} ms a file"
        )
        print(
            "| command | processes | seconds | ms a file | times as fast as one process | as many commands |"
        )
        print("|---|--:|--:|--:|--:|--:|")
        works: dict[str, tuple[Path, list[str | Path]]] = {
            "encode": (packed, ["encode", "-k", str(options.k), pictures]),
            "decode": (back, ["decode", packed]),
        }
        for command, (target, words) in works.items():
            times: dict[int, list[float]] = {number: [] for number in jobs}
            alike: dict[int, list[float]] = {number: [] for number in jobs}
            *command_words, source = words
            files = sorted(Path(source).iterdir())
            for _ in range(options.repeats):
                for number in jobs:
                    alike[number].append(run_side_by_side(target, command_words, files, number))
                    times[number].append(run_afresh(target, *words, "--jobs", str(number)))
            for number in jobs:
                seconds = statistics.median(times[number])
                ratio, limit = (
                    statistics.median(a / b for a, b in zip(times[1], other[number], strict=True))
                    for other in (times, alike)
                )
                each = 1000 * seconds / options.files
                print(f"| {command} | {number} | {seconds:.2f} | {each:.2f} | {ratio:.2f} | {limit:.2f} |")
        again = run(*works["encode"][1], "--out-dir", packed)
        print(f"encode, a second time, with all up to date: {again:.2f} s")
        check(pictures, packed, back, options.k)


if __name__ == "__main__":
    main()
