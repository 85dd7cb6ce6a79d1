"""Compare the start of the command line with importing what it stands on.

    python benchmarks/startup.py

Whole processes, in turn: kmq --version and kmq --help against importing NumPy; decoding a sprite of 16 x 16
pixels to PNG against importing NumPy and Pillow. A ratio is the median of the ratios of the pairs.
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

import kmcodec
from kmcodec.pictures import load_picture


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    kmq = shutil.which("kmq", path=str(Path(sys.executable).parent))
    if kmq is None:
        raise SystemExit("kmq is not installed beside this Python")
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (4, 3), np.uint8)
    sprite = colors[rng.integers(0, 4, (16, 16))]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "sprite.kmq"), Path(folder, "sprite.png")
        kmcodec.write(source, sprite, 4)
        numpy = [sys.executable, "-c", "import numpy"]
        pillow = [sys.executable, "-c", "import numpy, PIL.Image"]
        decode = [kmq, "decode", str(source), "-o", str(target), "--force"]
        print("| command | against | ms | ms | ratio |\n|---|---|---|---|---|")
        compare("kmq --version", [kmq, "--version"], "import numpy", numpy, pairs)
        compare("kmq --help", [kmq, "--help"], "import numpy", numpy, pairs)
        compare("kmq decode sprite.kmq", decode, "import numpy, PIL.Image", pillow, pairs)
        np.testing.assert_array_equal(sprite, load_picture(target))


def compare(name: str, command: list[str], other_name: str, other: list[str], pairs: int) -> None:
    """Print the row of a command."""
    times = [(seconds(command), seconds(other)) for _ in range(pairs + 1)][1:]
    ratio = statistics.median(a / b for a, b in times)
    columns = [f"{1000 * statistics.median(column):.0f}" for column in zip(*times, strict=True)]
    print(f"| {name} | {other_name} | {' | '.join(columns)} | {ratio:.2f} |", flush=True)


def seconds(command: list[str]) -> float:
    """Return the time that a process takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
