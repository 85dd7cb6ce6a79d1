"""Sizes of one index picture in .kmq, packed and context-coded, and in what other lossless coders make of it.

    python benchmarks/sizes.py PICTURE_OR_FOLDER... [--anchors stream_bytes.csv] [--csv OUT.csv] [--strips]

Pictures are files with a palette (PNG, GIF); palette and indices are stored as they are. Every coder whose
package is installed is run, on pixels; each round trip is compared. An anchors file has the sizes that other
coders came to, by the stem of the picture's name. Sizes are those of whole files, palette included. Ratios of
the summary are geometric means. --strips shows what the height of context-coded strips costs.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.image import IndexedImage, to_indices
from kmcodec.pictures import decode_picture
from kmcodec.report.lossless import plan_lossless

SUFFIXES = (".png", ".gif")
STRIP_PIXELS = tuple(1 << bits for bits in range(18, 23))


def load(path: Path) -> IndexedImage:
    """Return a picture with its own palette, as far as it is used."""
    with Image.open(path) as picture:
        if picture.mode != "P":
            raise SystemExit(f"{path}: a picture with a palette is needed, found mode {picture.mode}")
        indices = np.array(picture)
        palette = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)[: int(indices.max()) + 1]
    return IndexedImage(palette, to_indices(indices, len(palette)))


def measure_kmq(image: IndexedImage, coding: str, strip_rows: int | None = None) -> int:
    """Return the bytes of a .kmq file that holds the image."""
    data = write_image(image, coding=coding, strip_rows=strip_rows)
    assert np.array_equal(KmqReader(data).indices(), image.indices)
    return len(data)


def measure(image: IndexedImage, *, peers: bool) -> dict[str, int]:
    """Return the bytes of an image by coder."""
    sizes = {"kmq_packed": measure_kmq(image, "packed"), "kmq_context": measure_kmq(image, "context")}
    for task in plan_lossless(image, 1) if peers else ():
        if not task.obstacle:
            data = task.encode()
            decoded = decode_picture(data, task.format_name)
            assert np.array_equal(decoded[:, :, :3], image.to_rgb()), f"{task.name} is not lossless"
            sizes[task.name.replace(" ", "_")] = len(data)
    return sizes


def show(rows: dict[str, dict[str, int]]) -> None:
    """Print sizes by picture, and of each coder the ratio of the context-coded file to its own."""
    coders = list(dict.fromkeys(coder for sizes in rows.values() for coder in sizes))
    width = max(map(len, rows))
    print(f"{'':{width}} " + " ".join(f"{coder:>16}" for coder in coders))
    for name, sizes in rows.items():
        print(f"{name:{width}} " + " ".join(f"{sizes.get(coder, 0) or '-':>16}" for coder in coders))
    print()
    print(f"{'context-coded to':<20}{'pictures':>9}{'mean':>8}{'most':>8}{'larger than':>13}")
    for coder in coders:
        ratios = [sizes["kmq_context"] / sizes[coder] for sizes in rows.values() if sizes.get(coder)]
        if coder != "kmq_context" and ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            larger = sum(ratio >= 1 for ratio in ratios)
            print(f"{coder:<20}{len(ratios):>9}{mean:>8.4f}{max(ratios):>8.3f}{larger:>13}")


def show_strips(images: dict[str, IndexedImage]) -> None:
    """Print what strips of fewer pixels cost in context coding."""
    whole = {name: measure_kmq(image, "context", image.height) for name, image in images.items()}
    print(f"\n{'pixels a strip':>14}{'mean':>8}{'most':>8}")
    for pixels in STRIP_PIXELS:
        logs = [
            math.log(measure_kmq(image, "context", max(1, pixels // image.width)) / whole[name])
            for name, image in images.items()
        ]
        print(f"{pixels:>14}{math.exp(sum(logs) / len(logs)):>8.4f}{math.exp(max(logs)):>8.3f}")


def main() -> None:
    """Measure the pictures of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--anchors", type=Path, help="CSV with the column image, and bytes by coder")
    parser.add_argument("--no-peers", action="store_true", help="run no other coders")
    parser.add_argument("--csv", type=Path, help="write the sizes there, too")
    parser.add_argument("--strips", action="store_true", help="show what the height of strips costs")
    options = parser.parse_args()
    paths = [
        path
        for given in options.pictures
        for path in (sorted(given.iterdir()) if given.is_dir() else [given])
        if path.suffix.lower() in SUFFIXES
    ]
    if not paths:
        sys.exit("no pictures found")
    anchors = {}
    if options.anchors:
        with options.anchors.open(newline="") as file:
            anchors = {row["image"]: row for row in csv.DictReader(file)}
    rows = {}
    images = {path.stem: load(path) for path in paths}
    for name, image in images.items():
        rows[name] = measure(image, peers=not options.no_peers)
        known = {"image", "width", "height", "colors", "packed"}
        rows[name] |= {
            f"anchor_{key}": int(value) for key, value in anchors.get(name, {}).items() if key not in known
        }
    show(rows)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            columns = list(dict.fromkeys(coder for sizes in rows.values() for coder in sizes))
            writer = csv.DictWriter(file, ["image", *columns])
            writer.writeheader()
            writer.writerows({"image": name, **sizes} for name, sizes in rows.items())
    if options.strips:
        show_strips(images)


if __name__ == "__main__":
    main()
