"""One palette for many pictures: in Python, and as kmq palette."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLES, fail, names, photo, pictures, squared_distances, succeed

import kmcodec
from kmcodec.palettes.colors import hash_palette
from kmcodec.pictures import load_picture


def join(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the pixels of pictures as one picture, with alpha if any has it."""
    channels = max(part.shape[2] for part in parts)
    rows = []
    for part in parts:
        flat = part.reshape(1, -1, part.shape[2])
        opaque = np.full((*flat.shape[:2], channels - part.shape[2]), 255, np.uint8)
        rows.append(np.concatenate([flat, opaque], axis=2))
    return np.concatenate(rows, axis=1)


@given(
    st.lists(pictures(), min_size=1, max_size=4),
    st.integers(1, 40),
    st.sampled_from(["srgb", "oklab"]),
    st.sampled_from(["split", "kmeans++", "random"]),
    st.integers(0, 9),
    st.integers(1, 3),
)
@settings(max_examples=30)
def test_palette_is_that_of_one_picture(
    parts: list[NDArray[np.uint8]], n_colors: int, space: str, init: str, seed: int, threads: int
) -> None:
    """Bit for bit what quantizing all pictures as one gives, with alpha or without, whatever the threads."""
    options: dict[str, Any] = {"space": space, "init": init, "seed": seed, "effort": "fast"}
    expected = kmcodec.quantize(join(parts), n_colors, **options).palette
    actual = kmcodec.build_palette(iter(parts), n_colors, threads=threads, **options)
    np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize(
    "options",
    [
        {"n_colors": 8, "keep": [(255, 0, 16, 255), (0, 255, 32, 128)]},
        {"n_colors": "auto"},
        {"n_colors": 300},
        {"n_colors": 12, "effort": "best"},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    """Colours to keep, the elbow, many colours and effort mean what they mean for one picture."""
    parts = [photo(seed=seed) for seed in range(3)]
    steps: list[kmcodec.Iteration] = []
    expected_steps: list[kmcodec.Iteration] = []
    expected = kmcodec.quantize(join(parts), on_iteration=expected_steps.append, **options).palette
    actual = kmcodec.build_palette(parts, on_iteration=steps.append, **options)
    np.testing.assert_array_equal(expected, actual)
    assert len(expected_steps) == len(steps) > 0


def test_one_picture_at_a_time() -> None:
    """Pictures that come from a generator are let go of before the next one is made."""
    alive = 0

    class Counted(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def generate() -> Iterator[NDArray[np.uint8]]:
        nonlocal alive
        for seed in range(4):
            assert 0 == alive
            alive += 1
            # The one reference is the caller's.
            yield np.ndarray.__new__(Counted, (3, 4, 3), np.uint8, photo(3, 4, seed))

    kmcodec.build_palette(generate(), 4)
    assert 0 == alive


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([], ValueError, "at least one"),
        (photo(), ValueError, r"\(height, width, 3 or 4\), found \(64, 3\)"),
        ([photo(), photo().astype(np.int64)], TypeError, "dtype uint8"),
        ([np.zeros((0, 3, 3), np.uint8)], ValueError, "height, width"),
    ],
)
def test_what_is_no_picture(parts: Any, error: type[Exception], message: str) -> None:
    """No picture, one picture that is not in a list, and what is not one at all are refused."""
    with pytest.raises(error, match=message):
        kmcodec.build_palette(parts)


def test_files_share_a_palette() -> None:
    """The palette of a file is the one that was given, unused and equal entries too, whatever the picture."""
    transparent = np.dstack([photo(), photo(seed=1)[:, :, :1]])
    flat = np.zeros((5, 6, 3), np.uint8)
    opaque = np.array([[9, 9, 9], [200, 100, 0], [9, 9, 9], [0, 0, 0], [0, 0, 255]], np.uint8)
    for palette in (opaque, np.hstack([opaque, [[255], [0], [7], [255], [128]]])):
        for picture in (photo(), transparent, flat):
            for options in (
                {},
                {"dither": "diffusion"},
                {"coding": "context", "lossy": 20},
                {"coding": "context", "max_bytes": 10**6, "effort": "fast"},
            ):
                data = kmcodec.encode(picture, palette=palette, **options)
                stored = kmcodec.KmqReader(data).palette
                np.testing.assert_array_equal(palette, stored)
                assert hash_palette(palette.astype(np.uint8)) == hash_palette(stored)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with pictures of several kinds."""
    Image.fromarray(photo()).save(tmp_path / "a.png")
    Image.fromarray(photo(20, 30, 1)).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", photo(10, 10, 2))
    kmcodec.write(tmp_path / "d.kmq", photo(9, 9, 3), 200)
    return tmp_path


PARTS = [photo(), photo(20, 30, 1), photo(10, 10, 2), photo(9, 9, 3)]
INPUTS = ["a.png", "b.png", "c.npy", "d.kmq"]


def test_command_prints_the_palette(folder: Path) -> None:
    """A colour a line, in hexadecimal, that kmq encode takes again; pictures, arrays and .kmq files go in."""
    expected = kmcodec.build_palette(PARTS, 16)
    output = succeed(folder, "palette", *INPUTS, "-k", "16")
    assert [bytes(color).hex() for color in expected] == output.decode().split()
    assert output == succeed(folder, "palette", *INPUTS, "-k", "16", "-o", "-", "--threads", "1")
    (folder / "p.txt").write_bytes(output)
    succeed(folder, "encode", "a.png", "--palette", "p.txt", "--quiet")
    assert kmcodec.encode(photo(), palette=expected) == (folder / "a.kmq").read_bytes()


def test_standard_input_is_a_picture(folder: Path) -> None:
    """A dash is standard input, once."""
    data = (folder / "b.png").read_bytes()
    expected = succeed(folder, "palette", "a.png", "b.png", "-k", "5")
    assert expected == succeed(folder, "palette", "a.png", "-", "-k", "5", stdin=data)
    assert "only one INPUT" in fail(folder, "palette", "-", "-", status=2)


def test_options_reach_the_library(folder: Path) -> None:
    """Every option means what it means in Python."""
    words = ["-k", "9", "--init", "kmeans++", "--seed", "4", "--space", "oklab", "--effort", "fast"]
    output = succeed(folder, "palette", "a.png", *words, "--keep", "#ff0010", "--keep", "00ff20")
    expected = kmcodec.build_palette(
        [photo()],
        9,
        init="kmeans++",
        seed=4,
        space="oklab",
        effort="fast",
        keep=[(255, 0, 16), (0, 255, 32)],
    )
    assert [bytes(color).hex() for color in expected] == output.decode().split()
    output = succeed(folder, "palette", "a.png", "-k", "auto")
    assert len(kmcodec.build_palette([photo()], "auto")) == len(output.split())


def test_files_of_one_palette_have_one_hash(folder: Path) -> None:
    """Kmq palette tells the hash of the palette, and kmq info tells it of each file that has this palette."""
    line = succeed(folder, "palette", *INPUTS, "-k", "12", "-o", "p.ase").decode()
    assert line.startswith("p.ase: 12 colours from 4 pictures, SHA-256 ")
    expected = hash_palette(kmcodec.build_palette(PARTS, 12))
    assert expected == line.split()[-1]
    for name in ("a.png", "b.png"):
        succeed(folder, "encode", name, "--palette", "p.ase", "-o", "x.kmq", "--force", "--quiet")
        lines = succeed(folder, "info", "x.kmq").decode().splitlines()
        assert [f"palette    12 colours, SHA-256 {expected}"] == [x for x in lines if x.startswith("palette")]
    assert expected == json.loads(succeed(folder, "info", "x.kmq", "--json"))["palette_sha256"]


def test_hash_is_that_of_the_stored_bytes() -> None:
    """All colours come first, then all alphas, as in the file."""
    assert hashlib.sha256(bytes([1, 2, 3, 5, 6, 7])).hexdigest() == hash_palette(
        np.array([[1, 2, 3], [5, 6, 7]], np.uint8)
    )
    expected = hashlib.sha256(bytes([1, 2, 3, 5, 6, 7, 4, 8])).hexdigest()
    palette = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8)
    assert expected == hash_palette(palette)
    data = kmcodec.encode(photo(), palette=palette)
    assert expected == hashlib.sha256(data[32:40]).hexdigest()


def test_json(folder: Path) -> None:
    """JSON has the palette, how many pixels each colour has, and the error; and is itself a palette file."""
    output = succeed(folder, "palette", *INPUTS, "-k", "12", "--json")
    printed = json.loads(output)
    palette = kmcodec.build_palette(PARTS, 12)
    distances = squared_distances(join(PARTS), palette)
    assert (4, 12) == (printed["pictures"], printed["colors"])
    assert distances.min(axis=1).mean() == pytest.approx(printed["mse"])
    assert np.bincount(distances.argmin(axis=1), minlength=12).tolist() == printed["pixels"]
    assert hash_palette(palette) == printed["palette_sha256"]
    assert ["psnr_db", "seconds"] == list(printed)[-2:]
    (folder / "p.json").write_bytes(output)
    np.testing.assert_array_equal(palette, kmcodec.read_palette(folder / "p.json"))
    exact = json.loads(succeed(folder, "palette", "d.kmq", "-k", "256", "--json", "-o", "p.gpl"))
    assert (0, None) == (exact["mse"], exact["psnr_db"])
    assert hash_palette(kmcodec.read_palette(folder / "p.gpl")) == exact["palette_sha256"]


def test_what_cannot_be(folder: Path) -> None:
    """Errors are one line that names the file, and nothing is written."""
    before = names(folder)
    assert "missing.png: No such file" in fail(folder, "palette", "a.png", "missing.png", "-o", "p.gpl")
    (folder / "bad.png").write_bytes(b"no picture")
    assert "bad.png: not a picture" in fail(folder, "palette", "a.png", "bad.png", "-o", "p.gpl")
    (folder / "bad.png").unlink()
    assert "not as '.xyz'" in fail(folder, "palette", "a.png", "-o", "p.xyz", status=2)
    assert "is the input itself" in fail(folder, "palette", "a.png", "-o", "a.png", "--force", status=2)
    assert "b.png: exists already" in fail(folder, "palette", "a.png", "-o", "b.png")
    words = ["-k", "1", "--keep", "#000000", "--keep", "#ffffff"]
    assert "--keep asks for 2 colours" in fail(folder, "palette", "a.png", *words, status=2)
    assert "p.act: an Adobe colour table has at most 256" in fail(
        folder, "palette", "a.png", "-k", "300", "-o", "p.act"
    )
    Image.fromarray(np.dstack([photo(), photo()[:, :, :1]])).save(folder / "a.png")
    assert "p.gpl: a GIMP palette has no place for alpha" in fail(folder, "palette", "a.png", "-o", "p.gpl")
    assert before == names(folder)


def test_damaged_arrays_are_named(folder: Path) -> None:
    """An array that ends too soon is an error of its file, though it is read in blocks."""
    data = (folder / "c.npy").read_bytes()
    (folder / "c.npy").write_bytes(data[:-7])
    assert fail(folder, "palette", "a.png", "c.npy").startswith("kmq: c.npy: ")


def test_samples() -> None:
    """A shared palette has a lower error over all pictures than that of one of them."""
    parts = [load_picture(SAMPLES / name)[::3, ::3] for name in ("chelsea.png", "coffee.png")]

    def measure(palette: NDArray[np.uint8]) -> int:
        results = [kmcodec.quantize(part, palette=palette).to_rgb() for part in parts]
        return sum(int(((a.astype(int) - b) ** 2).sum()) for a, b in zip(parts, results, strict=True))

    shared = measure(kmcodec.build_palette(parts, 16))
    assert shared < min(measure(kmcodec.quantize(part, 16).palette) for part in parts)
