"""Compare the report, and the curve of all K, with what they are built from.

    python benchmarks/report.py PICTURE... [-k K] [--pairs N]

kmq report (whole processes) against a Python that imports scikit-image and computes the SSIM of the same two
pictures once; and kmcodec.tune, without SSIM and CIEDE2000, against single encodes with 256 colours. A ratio
is the median of the ratios of pairs. The report's SSIM must be scikit-image's, and the curve's errors must be
those of single encodes, within 10 %; the largest deviation is shown.
"""

from __future__ import annotations

import argparse
import json
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

_REFERENCE = """
import sys
import numpy as np
from skimage.metrics import structural_similarity
a, b = np.load(sys.argv[1]), np.load(sys.argv[2])
print(structural_similarity(a, b, channel_axis=2, data_range=255))
"""


def main() -> None:
    """Print a row for each picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path)
    parser.add_argument("-k", type=int, default=16, metavar="K")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    kmq = shutil.which("kmq", path=str(Path(sys.executable).parent))
    if kmq is None:
        raise SystemExit("kmq is not installed beside this Python")
    print("| picture | report / SSIM | ms | ms | curve / encode | ms | ms | deviation |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for path in options.pictures:
        cells = [*time_report(kmq, path, options.k, options.pairs), *time_curve(path, options.pairs)]
        print(f"| {path.name} | {' | '.join(cells)} |", flush=True)


def time_report(kmq: str, path: Path, n_colors: int, pairs: int) -> list[str]:
    """Return the ratio, and the milliseconds of both."""
    pixels = load_picture(path)[:, :, :3]
    data = kmcodec.encode(pixels, n_colors)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.kmq").write_bytes(data)
        np.save(folder / "a.npy", pixels)
        np.save(folder / "b.npy", kmcodec.decode(data))
        command = [kmq, "report", str(path), str(folder / "a.kmq"), "--json"]
        reference = [sys.executable, "-c", _REFERENCE, str(folder / "a.npy"), str(folder / "b.npy")]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["ssim"]
        expected = float(subprocess.run(reference, check=True, capture_output=True).stdout)
        if pixels.shape == load_picture(path).shape and abs(found - expected) > 1e-9:
            raise SystemExit(f"{path}: SSIM {found}, and scikit-image says {expected}")
        return compare([(_time_process(command), _time_process(reference)) for _ in range(pairs)])


def time_curve(path: Path, pairs: int) -> list[str]:
    """Return the ratio, and the milliseconds of both."""
    pixels = load_picture(path)
    deviation = 0.0
    for point in kmcodec.tune(pixels, perceptual=False).points:
        single = kmcodec.report(pixels, kmcodec.encode(pixels, point.colors), perceptual=False)
        deviation = max(deviation, abs(point.mse - single.mse) / (single.mse or 1))
        if deviation > 0.1:
            raise SystemExit(f"{path}: at K={point.colors}, mse {point.mse}, and {single.mse} by itself")
    times = []
    for _ in range(3 * pairs):
        start = time.perf_counter()
        kmcodec.tune(pixels, perceptual=False)
        middle = time.perf_counter()
        kmcodec.encode(pixels, 256)
        times.append((middle - start, time.perf_counter() - middle))
    return [*compare(times), f"{100 * deviation:.1f} %"]


def compare(times: list[tuple[float, float]]) -> list[str]:
    """Return the median of the ratios, and the medians of both in milliseconds."""
    ratio = statistics.median(a / b for a, b in times)
    return [
        f"{ratio:.2f}",
        *(f"{1000 * statistics.median(column):.0f}" for column in zip(*times, strict=True)),
    ]


def _time_process(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
