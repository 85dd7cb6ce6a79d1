"""Measure the memory that encoding takes: the peak of a whole process, as a multiple of the raw pixels.

    python benchmarks/memory.py PICTURE... [--megapixels 24] [-k 256]

Each picture is resized to so many megapixels, once as it is and once with noise of up to 8 steps in each
sample, which makes many more colours. A process of its own loads the raw pixels and encodes them; its peak
includes Python, NumPy and the pixels themselves. The file is decoded afterwards and compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import kmcodec
from kmcodec.pictures import load_picture


def main() -> None:
    """Print a row for each picture, without and with noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+")
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("-k", type=int, default=256, metavar="K")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.pictures[0], options.k)
        return
    print("| picture | colours | peak / raw pixels |\n|---|--:|--:|")
    for path in options.pictures:
        for noise in (0, 8):
            pixels = prepare(path, options.megapixels, noise)
            colors = len(np.unique(pixels.reshape(-1, 3) @ np.array([65536, 256, 1], np.int32)))
            with tempfile.NamedTemporaryFile(suffix=".npy") as file:
                np.save(file, pixels)
                file.flush()
                command = [sys.executable, __file__, "--measure", "-k", str(options.k), file.name]
                peak = int(subprocess.run(command, capture_output=True, check=True).stdout)
            name = os.path.basename(path) + (" with noise" if noise else "")
            print(f"| {name} | {colors:,} | {peak / pixels.nbytes:.2f} |", flush=True)


def prepare(path: str, megapixels: float, noise: int) -> NDArray[np.uint8]:
    """Return a picture of that size, with noise in all samples."""
    picture = Image.fromarray(load_picture(path)[:, :, :3])
    scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
    size = round(scale * picture.width), round(scale * picture.height)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += np.random.default_rng(0).integers(-noise, noise + 1, pixels.shape, np.int16)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def measure(path: str, k: int) -> None:
    """Encode raw pixels, and print the peak of this process in bytes."""
    pixels = np.load(path)
    data = kmcodec.encode(pixels, k)
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    np.testing.assert_array_equal(kmcodec.quantize(pixels, k).to_rgb(), kmcodec.decode(data))
    print(peak)


if __name__ == "__main__":
    main()
