"""Encode and decode a picture that is larger than memory should have to be: time and peak memory.

    python benchmarks/gigapixel.py [--side 32768] [-k 256] [--folder FOLDER] [--noise]

A synthetic picture of side x side pixels, smooth with the noise of a camera (or, with --noise, of all colours
there are), is written to FOLDER as .npy: 3 GiB for a gigapixel, and as much again for what is decoded. Each
command is a process of its own; its peak includes Python. Then every decoded pixel is compared with what the
file has, and regions are read from the file, and the bytes counted that this takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

import kmcodec

# Rows that are made, and compared, at a time.
ROWS = 64

KMQ = shutil.which("kmq", path=str(Path(sys.executable).parent)) or "kmq"


class CountingFile:
    """Read a file, and count the bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        self.bytes_read = 0

    def read(self, size: int, /) -> bytes:
        """Read, and count."""
        data = self._file.read(size)
        self.bytes_read += len(data)
        return data


def main() -> None:
    """Print a row for each command, then a row for each region."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=32768)
    parser.add_argument("-k", type=int, default=256, metavar="K")
    parser.add_argument("--folder", default=None)
    parser.add_argument("--noise", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        original, encoded, decoded = folder / "a.npy", folder / "a.kmq", folder / "b.npy"
        make_picture(original, options.side, noise=options.noise)
        print("| command | s | peak MiB | bytes |\n|---|--:|--:|--:|")
        commands: tuple[tuple[Path, list[str | os.PathLike[str]]], ...] = (
            (encoded, ["encode", original, "-k", str(options.k), "-o", encoded, "--quiet"]),
            (encoded, ["verify", encoded]),
            (folder / "b.png", ["decode", encoded, "-o", folder / "b.png"]),
            (decoded, ["decode", encoded, "-o", decoded]),
        )
        for output, words in commands:
            seconds, peak = measure(words)
            size = output.stat().st_size
            print(
                f"| kmq {words[0]} to {output.suffix} | {seconds:.1f} | {peak:.0f} | {size:,} |", flush=True
            )
        mse = compare(original, encoded, decoded)
        print(f"\nevery pixel is what the file has; mse {mse:.2f}\n")
        print("| region | bytes read | of the file |\n|---|--:|--:|")
        measure_regions(encoded, decoded)


def make_picture(path: Path, side: int, *, noise: bool) -> None:
    """Write a picture, row by row."""
    rng = np.random.default_rng(0)
    x = np.arange(side, dtype=np.float32)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (side, side, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for top in range(0, side, ROWS):
            y = np.arange(top, min(top + ROWS, side), dtype=np.float32)[:, None]
            if noise:
                rows = rng.integers(0, 256, (len(y), side, 3), np.uint8)
            else:
                planes = [
                    128 + 100 * np.sin(x / (900 + 300 * c)) * np.cos(y / (700 + 200 * c)) for c in range(3)
                ]
                grain = rng.normal(0, 4, (len(y), side, 3)).astype(np.float32)
                rows = np.clip(np.dstack(planes) + grain, 0, 255).astype(np.uint8)
            file.write(rows.data)


def measure(words: Sequence[str | os.PathLike[str]]) -> tuple[float, float]:
    """Run kmq; return seconds, and the peak of its memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen([KMQ, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"kmq {words[0]} failed")
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return time.perf_counter() - start, usage.ru_maxrss / unit


def compare(original: Path, encoded: Path, decoded: Path) -> float:
    """Hold every decoded pixel to what the file has; return the mean squared error."""
    pixels, result = np.load(original, mmap_mode="r"), np.load(decoded, mmap_mode="r")
    total, row = 0, 0
    with kmcodec.open(encoded, max_pixels=None) as reader:
        for strip in reader:
            rows = slice(row, row + len(strip))
            np.testing.assert_array_equal(strip, result[rows])
            difference = strip.astype(np.int32) - pixels[rows]
            total += int(np.einsum("ijk,ijk->", difference, difference, dtype=np.int64))
            row += len(strip)
    assert row == len(pixels)
    return total / int(pixels.shape[0] * pixels.shape[1])


def measure_regions(encoded: Path, decoded: Path) -> None:
    """Read regions from the midst of the file, and count the bytes."""
    pixels: NDArray[np.uint8] = np.load(decoded, mmap_mode="r")
    side, size = len(pixels), encoded.stat().st_size
    for width, height in ((64, 64), (256, 256), (1024, 1024), (side, 16)):
        for verify in (False, True):
            with encoded.open("rb") as file:
                counter = CountingFile(file)
                reader = kmcodec.KmqReader(counter, max_pixels=None)
                x, y = (side - width) // 2, (side - height) // 2
                region = reader.region(x, y, width, height, verify=verify)
            np.testing.assert_array_equal(pixels[y : y + height, x : x + width], region)
            name = f"{width} x {height}{', verified' if verify else ''}"
            print(f"| {name} | {counter.bytes_read:,} | {counter.bytes_read / size:.6%} |")


if __name__ == "__main__":
    main()
