"""Compare decoding a .kmq file with opening the palette PNG of the same picture.

    python benchmarks/decode.py PICTURE...

For each picture and K, both hold the same indices and the same palette. kmcodec.decode and Pillow
(open, convert to RGB, to an array) run in turn, in one thread, in this process; the ratio is the
median of the ratios of the pairs. Both results are compared with the encoded image.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.pictures import encode_picture, load_picture

PAIRS = 51


def main() -> None:
    """Print a row for each picture and K, and the least ratio of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+")
    parser.add_argument("-k", type=int, nargs="+", default=[16, 64, 256], metavar="K")
    options = parser.parse_args()
    if not kmcodec.COMPILED:
        raise SystemExit("the kernels are not compiled: there is nothing to measure")
    print("| picture | K | PNG, ms | kmq, ms | PNG / kmq |\n|---|---|---|---|---|")
    ratios = [compare(path, k) for path in options.pictures for k in options.k]
    print(f"\nratio: least {min(ratios):.2f}, median {statistics.median(ratios):.2f}, of {len(ratios)}")


def compare(path: str, k: int) -> float:
    """Print the row of a picture and K; return its ratio."""
    image = kmcodec.quantize(load_picture(path), k)
    kmq, png = write_image(image), encode_picture(image)

    def decode_png() -> object:
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def decode_kmq() -> object:
        return kmcodec.decode(kmq)

    for decode in (decode_png, decode_kmq):
        np.testing.assert_array_equal(image.to_rgb(), decode())
    times = [(seconds(decode_png), seconds(decode_kmq)) for _ in range(PAIRS)]
    ratio = statistics.median(a / b for a, b in times)
    columns = [f"{1000 * statistics.median(column):.2f}" for column in zip(*times, strict=True)]
    print(f"| {path.rpartition('/')[2]} | {k} | {' | '.join(columns)} | {ratio:.2f} |", flush=True)
    return ratio


def seconds(function: Callable[[], object]) -> float:
    """Return the time that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
