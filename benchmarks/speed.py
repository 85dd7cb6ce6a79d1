"""Speed of context coding on one core, coding and decoding, beside what PNG and lossless WebP take.

    python benchmarks/speed.py PICTURE_OR_FOLDER... [--repeats 5]

Pictures are files with a palette. Times are medians of processor time over repeats; each round trip is
compared. Below the pictures stands a line over all pixels: their number divided by the sum of the times; and
what a sprite takes.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from sizes import SUFFIXES, load

from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.image import IndexedImage

_T = TypeVar("_T")


def timed(function: Callable[[], _T], repeats: int) -> tuple[_T, float]:
    """Return a result, and the median of the seconds of processor time that it took."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, statistics.median(times)


def measure(path: Path, repeats: int) -> tuple[int, list[float]]:
    """Return the pixels of a picture; and seconds to encode and decode it as .kmq, as PNG and as WebP."""
    image = load(path)
    data, encoding = timed(lambda: write_image(image, coding="context", threads=1), repeats)
    decoded, decoding = timed(lambda: KmqReader(data).indices(threads=1), repeats)
    assert np.array_equal(decoded, image.indices)
    seconds = [encoding, decoding]
    pixels = image.to_rgb()
    picture = Image.fromarray(image.indices.astype(np.uint8))
    picture.putpalette(image.palette.tobytes())
    for source, options in (
        (picture, {"format": "PNG", "optimize": True}),
        (Image.fromarray(pixels), {"format": "WEBP", "lossless": True, "method": 6, "quality": 100}),
    ):
        buffer = io.BytesIO()
        _, encoding = timed(lambda s=source, o=options, b=buffer: (b.seek(0), s.save(b, **o)), 1)  # type: ignore[misc]
        peer, decoding = timed(lambda b=buffer: np.asarray(Image.open(b).convert("RGB")), repeats)  # type: ignore[misc]
        assert np.array_equal(peer, pixels)
        seconds += [encoding, decoding]
    return image.indices.size, seconds


def measure_sprite() -> list[float]:
    """Return the seconds that a small picture takes to encode and decode."""
    y, x = np.indices((16, 16))
    shape = (abs(x - 7) + abs(y - 7) < 8).astype(np.uint8) + (x > 9) + 2 * (y > 12)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    image = IndexedImage(palette, shape.astype(np.uint8))
    data, encoding = timed(lambda: write_image(image, coding="context", threads=1), 200)
    decoded, decoding = timed(lambda: KmqReader(data).indices(threads=1), 200)
    assert np.array_equal(decoded, image.indices)
    return [encoding, decoding]


def main() -> None:
    """Measure the pictures of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    columns = ("context enc", "context dec", "png enc", "png dec", "webp enc", "webp dec")
    print(f"{'megapixels a second':<24}" + "".join(f"{column:>13}" for column in columns))
    total, sums = 0, np.zeros(len(columns))
    for given in options.pictures:
        for path in sorted(given.iterdir()) if given.is_dir() else [given]:
            if path.suffix.lower() in SUFFIXES:
                pixels, seconds = measure(path, options.repeats)
                total, sums = total + pixels, sums + seconds
                print(f"{path.stem:<24}" + "".join(f"{pixels / s / 1e6:>13.2f}" for s in seconds), flush=True)
    if total:
        print(f"{'all pixels':<24}" + "".join(f"{total / s / 1e6:>13.2f}" for s in sums))
    print("milliseconds of a sprite of 16 x 16 pixels, coding and decoding: ", end="")
    print(" ".join(f"{1000 * seconds:.2f}" for seconds in measure_sprite()))


if __name__ == "__main__":
    main()
