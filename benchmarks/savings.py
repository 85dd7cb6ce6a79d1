"""Say what encoding pictures saves, and what it costs, as a table in Markdown.

    python benchmarks/savings.py PICTURE... [-k K ...]

Every file is decoded, and compared with the image that was encoded.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.pictures import load_picture


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path)
    parser.add_argument("-k", type=int, nargs="+", default=[16, 64], metavar="K")
    options = parser.parse_args()
    print("\n".join(tabulate(options.pictures, options.k)))


def tabulate(pictures: list[Path], n_colors: list[int]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| picture | original file | K | bits per pixel | packed | to raw pixels | context-coded"
        " | to raw pixels | PSNR |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for path in pictures:
        pixels = load_picture(path)
        for k in n_colors:
            image = kmcodec.quantize(pixels, k)
            sizes = []
            for coding in ("packed", "context"):
                data = write_image(image, coding=coding)
                np.testing.assert_array_equal(image.to_rgb(), kmcodec.decode(data))
                report = kmcodec.report(pixels, data, perceptual=False)
                sizes.append(f"{report.file_bytes:,} | {report.ratio:.2f} : 1")
            psnr = "exact" if math.isinf(report.psnr_db) else f"{report.psnr_db:.2f} dB"
            lines.append(
                f"| {path.name} | {path.stat().st_size:,} | {report.colors} | {report.index_bits}"
                f" | {' | '.join(sizes)} | {psnr} |"
            )
            if math.isinf(report.psnr_db):
                break
    return lines


if __name__ == "__main__":
    main()
