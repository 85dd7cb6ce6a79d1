"""Lossy context coding against lowering K: bytes at equal PSNR.

    python benchmarks/lossy.py PICTURE_OR_FOLDER... [-k 256] [--plot OUT.png]

Both are context-coded files, decoded again and measured. For the PSNR of each lower K, the bytes of --lossy
are taken from its curve, between whose points the logarithm of the bytes is linear in the PSNR. Where that
curve does not reach, there is no figure.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sizes import SUFFIXES

import kmcodec
from kmcodec.metrics import mean_squared_error, psnr_db
from kmcodec.pictures import read_picture

LOWER = (8, 16, 32, 64, 128)
WORTHS = (2, 5, 10, *(20 << i for i in range(12)))

Curve = list[tuple[float, int]]


def main() -> None:
    """Print a line for each picture, and the geometric mean of each column."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-k", "--colors", type=int, default=256)
    parser.add_argument("--plot", help="draw the curves")
    options = parser.parse_args()
    files = []
    for each in options.pictures:
        there = sorted(each.iterdir()) if each.is_dir() else []
        files += [path for path in there if path.suffix.lower() in SUFFIXES] or [each]
    counts = [k for k in LOWER if k < options.colors]
    print(f"{'bytes of --lossy / of K at its PSNR':36}" + "".join(f"{f'K={k}':>8}" for k in counts))
    curves: dict[str, tuple[Curve, Curve]] = {}
    ratios: list[list[float | None]] = []
    for path in files:
        lower, lossy = trace(read_picture(path).pixels, options.colors)
        curves[path.name] = lower, lossy
        ratios.append([compare(point, lossy) for point in lower[:-1]])
        print(f"{path.name:36}" + "".join(format_ratio(ratio) for ratio in ratios[-1]), flush=True)
    means = [
        math.exp(sum(map(math.log, there)) / len(there)) if (there := [r for r in column if r]) else None
        for column in zip(*ratios, strict=True)
    ]
    print(f"{'geometric mean':36}" + "".join(format_ratio(mean) for mean in means))
    if options.plot:
        plot(curves, options.plot)


def trace(pixels: NDArray[np.uint8], k: int) -> tuple[Curve, Curve]:
    """Return the curves of lower K, up to k, and of --lossy with k, as far down as the other."""
    lower = [measure(pixels, count, None) for count in [*(each for each in LOWER if each < k), k]]
    lossy = [lower[-1]]
    for worth in WORTHS:
        if lossy[-1][0] > lower[0][0]:
            lossy.append(measure(pixels, k, worth))
    return lower, lossy


def measure(pixels: NDArray[np.uint8], k: int, lossy: float | None) -> tuple[float, int]:
    """Return PSNR in dB and bytes of a file."""
    data = kmcodec.encode(pixels, k, coding="context", lossy=lossy)
    return psnr_db(mean_squared_error(pixels, kmcodec.decode(data))), len(data)


def compare(point: tuple[float, int], curve: Curve) -> float | None:
    """Return the bytes that a curve takes for the PSNR of a point, over those of the point."""
    # Of points, those that another one is better than in both are left out.
    useful = [a for a in sorted(curve) if not any(b != a and b[0] >= a[0] and b[1] <= a[1] for b in curve)]
    psnr, file_bytes = point
    if math.isinf(psnr) or not useful[0][0] <= psnr <= useful[-1][0]:
        return None
    logarithm = np.interp(psnr, [p for p, _ in useful], [math.log(b) for _, b in useful])
    return math.exp(float(logarithm)) / file_bytes


def format_ratio(ratio: float | None) -> str:
    """Return a ratio for the table."""
    return f"{'':>8}" if ratio is None else f"{ratio:8.3f}"


def plot(curves: dict[str, tuple[Curve, Curve]], path: str) -> None:
    """Draw the curves of all pictures."""
    from matplotlib.figure import Figure

    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    for place, (name, both) in enumerate(curves.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        for curve, label in zip(both, ("lower K", "--lossy"), strict=True):
            points = [(b / 1000, p) for p, b in sorted(curve) if not math.isinf(p)]
            axes.plot(*zip(*points, strict=True), "o-", ms=3, label=label)
        axes.set(title=name, xlabel="kB", ylabel="PSNR in dB")
        axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
