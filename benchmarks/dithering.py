"""Compare dithering with that of others: what is left of the error when seen from a little afar.

    python benchmarks/dithering.py PICTURE... [-k 8 16 64 256] [--sigma 1.5]

Both the picture and the result are blurred with a Gaussian, and the error is the mean over pixels of the
summed squared R, G, B error (0..255) between them. Peers: libimagequant (package imagequant) with full
dithering, and Pillow's Floyd-Steinberg on its median cut, each with its own palette; and Pillow's
Floyd-Steinberg on kmcodec's palette, which compares the dithering alone. Times are of one call.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import kmcodec
from kmcodec.pictures import load_picture

Pixels = NDArray[np.uint8]


def main() -> None:
    """Print geometric means of the errors, relative to diffusion, by K and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+")
    parser.add_argument("-k", type=int, nargs="+", default=[8, 16, 64, 256], metavar="K")
    parser.add_argument("--sigma", type=float, default=1.5, help="of the blur, in pixels (default 1.5)")
    options = parser.parse_args()
    print("| K | method | blurred error / diffusion | worst | plain error / diffusion | ms |")
    print("|--:|---|--:|--:|--:|--:|")
    pictures = [load_picture(path)[:, :, :3] for path in options.pictures]
    for k in options.k:
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for pixels in pictures:
            for method, run in list_methods(k):
                start = time.perf_counter()
                picture = run(pixels)
                seconds = time.perf_counter() - start
                blurred = measure(blur(pixels, options.sigma), blur(picture, options.sigma))
                error = measure(pixels.astype(float), picture.astype(float))
                rows.setdefault(method, []).append((blurred, error, seconds))
        base = rows["kmcodec diffusion"]
        for method, results in rows.items():
            ratios = [result[0] / own[0] for result, own in zip(results, base, strict=True)]
            plain = [result[1] / own[1] for result, own in zip(results, base, strict=True)]
            cells = [f"{mean(ratios):.3f}", f"{max(ratios):.3f}", f"{mean(plain):.3f}"]
            cells.append(f"{1000 * statistics.median(result[2] for result in results):.0f}")
            print(f"| {k} | {method} | {' | '.join(cells)} |", flush=True)


def list_methods(k: int) -> list[tuple[str, Callable[[Pixels], Pixels]]]:
    """Return the names of the methods, and functions from a picture to the dithered one."""

    def own(dither: str) -> Callable[[Pixels], Pixels]:
        return lambda pixels: kmcodec.quantize(pixels, k, dither=dither).to_rgb()

    methods = [(f"kmcodec {dither}", own(dither)) for dither in ("diffusion", "ordered", "none")]
    methods.append(("Pillow on kmcodec's palette", lambda pixels: dither_with_pillow(pixels, k)))
    methods.append(("Pillow", lambda pixels: quantize_with_pillow(pixels, k)))
    if importlib.util.find_spec("imagequant"):
        methods.append(("libimagequant", lambda pixels: quantize_with_imagequant(pixels, k)))
    return methods


def dither_with_pillow(pixels: Pixels, k: int) -> Pixels:
    """Return Pillow's error diffusion with kmcodec's palette."""
    palette = Image.new("P", (1, 1))
    palette.putpalette(kmcodec.quantize(pixels, k).palette.tobytes())
    dithered = Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return np.asarray(dithered.convert("RGB"))


def quantize_with_pillow(pixels: Pixels, k: int) -> Pixels:
    """Return Pillow's median cut and error diffusion."""
    image = Image.fromarray(pixels)
    palette = image.quantize(k, method=Image.Quantize.MEDIANCUT)
    return np.asarray(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))


def quantize_with_imagequant(pixels: Pixels, k: int) -> Pixels:
    """Return libimagequant's palette and dithering."""
    imagequant = importlib.import_module("imagequant")
    height, width = pixels.shape[:2]
    data = np.dstack([pixels, np.full((height, width), 255, np.uint8)]).tobytes()
    indices, palette = imagequant.quantize_raw_rgba_bytes(data, width, height, 1.0, k)
    colors = np.array(palette, np.uint8).reshape(-1, 4)[:, :3]
    return colors[np.frombuffer(indices, np.uint8).reshape(height, width)]


def blur(pixels: Pixels, sigma: float) -> NDArray[np.float64]:
    """Return a picture blurred by a Gaussian, without the border that would need pixels outside."""
    radius = math.ceil(3 * sigma)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    blurred = pixels.astype(np.float64)
    for axis in (0, 1):
        length = blurred.shape[axis] - 2 * radius
        parts = [
            weight * blurred.take(range(start, start + length), axis)
            for start, weight in enumerate(weights.tolist())
        ]
        blurred = np.add.reduce(parts)
    return blurred


def measure(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the mean over pixels of the summed squared error."""
    return float(((a - b) ** 2).sum(axis=2).mean())


def mean(values: list[float]) -> float:
    """Return the geometric mean of positive values."""
    return math.exp(statistics.mean(map(math.log, values)))


if __name__ == "__main__":
    main()
