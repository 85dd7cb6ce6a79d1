"""Chunks of arrays as .kmq files against numcodecs' compressors.

    python benchmarks/chunks.py PICTURE... [-k 64] [--side 256]

Each picture is palettised; what is cut into chunks is the picture that results, RGB, and the map of its
palette indices, as labels. Each round trip is compared. Sizes are sums over all chunks, relative to those of
context-coded .kmq files; times are means for a megapixel, in milliseconds, of one run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numcodecs import LZMA, Blosc, Zstd
from numcodecs.compat import ensure_bytes
from numpy.typing import NDArray

import kmcodec
from kmcodec.pictures import load_picture
from kmcodec.plugins.numcodecs import Kmq


def main() -> None:
    """Print a row for each compressor, for pictures and for label maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("-k", type=int, default=64, help="number of colours")
    parser.add_argument("--side", type=int, default=256, help="sides of a chunk, in pixels")
    options = parser.parse_args()
    images = [kmcodec.quantize(load_picture(path)[..., :3], options.k) for path in options.pictures]
    others = [Zstd(5), Zstd(19), Blosc("zstd", 9, Blosc.BITSHUFFLE), LZMA()]
    print("| chunks of | compressor | bytes | relative | encoding | decoding |\n|---|---|--:|--:|--:|--:|")
    for name, arrays, n_colors in (
        ("pictures", [image.to_rgb() for image in images], options.k),
        ("label maps", [image.indices for image in images], None),
    ):
        chunks = [chunk for array in arrays for chunk in cut(array, options.side)]
        base = 0
        for codec in [Kmq(n_colors), Kmq(n_colors, "packed"), *others]:
            size, encoding, decoding = measure(codec, chunks)
            base = base or size
            cells = f"{size:,} | {size / base:.2f} | {encoding:.1f} | {decoding:.1f}"
            print(f"| {name} | {codec!r} | {cells} |", flush=True)


def cut(array: NDArray[Any], side: int) -> Iterator[NDArray[Any]]:
    """Yield the chunks of an array; those at the border are smaller."""
    for y in range(0, array.shape[0], side):
        for x in range(0, array.shape[1], side):
            yield np.ascontiguousarray(array[y : y + side, x : x + side])


def measure(codec: Any, chunks: list[NDArray[Any]]) -> tuple[int, float, float]:
    """Return the bytes of all chunks, and the milliseconds that a megapixel takes there and back."""
    codec.decode(codec.encode(chunks[0]))
    start = time.perf_counter()
    stored = [codec.encode(chunk) for chunk in chunks]
    middle = time.perf_counter()
    decoded = [codec.decode(data) for data in stored]
    end = time.perf_counter()
    assert all(ensure_bytes(a) == ensure_bytes(b) for a, b in zip(chunks, decoded, strict=True))
    pixels = sum(chunk.shape[0] * chunk.shape[1] for chunk in chunks)
    return sum(map(len, stored)), 1e9 * (middle - start) / pixels, 1e9 * (end - middle) / pixels


if __name__ == "__main__":
    main()
