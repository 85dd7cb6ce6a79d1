"""Lossy context coding: what is chosen is worth its bits, and fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import fail, photo, pictures, succeed
from test_context import PLAIN, uncompiled

import kmcodec
from kmcodec import Metadata
from kmcodec.coding import context
from kmcodec.errors import TargetError
from kmcodec.image import to_indices
from kmcodec.lossy import encode_lossy
from kmcodec.metrics import mean_squared_error
from kmcodec.pictures import read_picture
from kmcodec.quantize.colorspace import SPACES

Pixels = NDArray[np.uint8]

SAMPLE = Path(__file__).parent.parent / "samples" / "chelsea.png"


def encode(pixels: Pixels, n_colors: int = 32, **options: Any) -> bytes:
    """Encode with context coding."""
    return kmcodec.encode(pixels, n_colors, coding="context", **options)


def weigh(pixels: Pixels, data: bytes, lossy: float) -> float:
    """Return what error and bits of a file come to, where a bit is worth so much error."""
    height, width, _ = pixels.shape
    return float(mean_squared_error(pixels, kmcodec.decode(data)) * height * width + lossy * 8 * len(data))


# ------------------------------ The choice of indices


@given(st.integers(0, 2**32 - 1), st.sampled_from((2, 3, 5, 16, 40)), st.sampled_from((1, 100, 10**4, 10**7)))
@settings(max_examples=15)
def test_the_search_finds_the_best_of_all_entries(seed: int, n_colors: int, per_bit: int) -> None:
    """What branch and bound finds comes to what trying all entries does, each along its own way."""
    rng = np.random.default_rng(seed)
    colors = photo(10, 14, seed % 100).reshape(-1, 3)
    palette = np.unique(rng.permutation(colors)[:n_colors], axis=0)
    if len(palette) < 2:
        return
    points, entries = (SPACES["srgb"].to_points(each) for each in (colors, palette))
    distances = ((points[:, None].astype(np.int64) - entries) ** 2).sum(axis=2)
    indices = to_indices(distances.argmin(axis=1), len(palette)).reshape(10, 14)
    rows = np.arange(140, dtype=np.int32).reshape(10, 14)
    tree = context.build_tree(palette)
    trade = context.Trade(per_bit, points, entries, np.full(len(palette), 4000, np.int64))
    checked = 0

    def check(model: Any, here: int, spent: int) -> int:
        nonlocal checked
        checked += 1
        before = model.least_total
        totals = [before]
        # With two colours, W may be the one that N is not.
        other = model.n if len(palette) == 2 else model.w
        for index in set(range(len(palette))) - {model.n, other}:
            total, node = spent, 1
            path = int(tree.paths[index])
            for depth in range(path.bit_length() - 1):
                step = path >> (path.bit_length() - 2 - depth) & 1
                if PLAIN._forced(model.tree, node, model.n, other) < 0:
                    model._look_up_steps(node, depth)
                    p = model._predict_step(node, depth)
                    total += model._find_cost(p if step else 65536 - p)
                node = 2 * node + step
            totals.append(total + model._measure_error(here, index) + model._find_aftermath(here, index))
        found: int = search(model, here, spent)
        assert model.least_total == min(totals)
        return found

    with uncompiled(), pytest.MonkeyPatch.context() as patch:
        model_type = PLAIN.Model
        search = model_type._search_tree
        patch.setattr(model_type, "_search_tree", check)
        chosen = context.choose_indices(indices, rows, tree, trade)
    assert checked or len(palette) == 2 or per_bit == 1
    np.testing.assert_array_equal(context.choose_indices(indices, rows, tree, trade), chosen)


def test_meter_tells_what_is_written() -> None:
    """What indices cost by the meter adds up to the payload, but for rounding."""
    image = kmcodec.quantize(photo(90, 120), 40)
    tree = context.build_tree(image.palette)
    payload = context.encode(image.indices, tree)
    totals = context.meter(image.indices, tree)
    assert len(totals) == 40
    assert 0.99 * len(payload) < totals.sum() / 256 / 8 < 1.02 * len(payload)


def test_costs_are_logarithms() -> None:
    """A decision of probability q / 4096 costs -log2 of that, in 1/256 bits, rounded up."""
    costs = context._make_costs()
    exact = -256 * np.log2(np.maximum(np.arange(4096), 1) / 4096)
    assert (np.abs(costs - exact) <= 1.001).all()


# ------------------------------ Files


@pytest.mark.parametrize("lossy", [3, 30, 300])
def test_error_and_bits_come_to_less(lossy: float) -> None:
    """At what a bit is worth, the file comes to no more than the lossless one, or fewer colours."""
    pixels = photo(80, 100)
    data = encode(pixels, 64, lossy=lossy)
    for k in (64, 32, 16, 8):
        # The choice is by distances in 1/64 steps, and so is this up to rounding.
        assert weigh(pixels, data, lossy) <= 1.0001 * weigh(pixels, encode(pixels, k), lossy)


def test_more_for_a_bit_makes_smaller_files() -> None:
    """The more a bit is worth, the smaller the file and the larger the error."""
    pixels = photo(80, 100)
    files = [encode(pixels, 64, lossy=lossy) for lossy in (0, 10, 100, 1000, 10**6)]
    sizes = [len(file) for file in files]
    errors = [mean_squared_error(pixels, kmcodec.decode(file)) for file in files]
    assert sorted(sizes, reverse=True) == sizes
    # The first may be a little above the second, in which the palette is fitted once more.
    assert sorted(errors[1:]) == errors[1:]
    assert sizes[-1] < sizes[0] / 4


def test_nothing_is_changed_for_nothing() -> None:
    """With lossy=0, the file is the lossless one."""
    pixels = photo()
    assert encode(pixels) == encode(pixels, lossy=0)


def test_a_photograph_is_smaller_than_with_fewer_colours() -> None:
    """At no lower PSNR than 32 colours have, a photograph takes a sixth less."""
    pixels = read_picture(SAMPLE).pixels
    fewer = encode(pixels, 32)
    smaller = encode(pixels, 256, max_bytes=len(fewer) * 5 // 6)
    error = mean_squared_error(pixels, kmcodec.decode(fewer))
    assert mean_squared_error(pixels, kmcodec.decode(smaller)) < error


@given(pictures(max_side=10), st.integers(1, 40), st.sampled_from((0, 1, 20, 500, 10**5)))
@settings(max_examples=25)
def test_any_picture(pixels: Pixels, n_colors: int, lossy: float) -> None:
    """Any picture becomes a valid file, the same for any number of threads, of used colours only."""
    data = encode(pixels, n_colors, lossy=lossy, threads=1, effort="fast")
    assert encode(pixels, n_colors, lossy=lossy, threads=3, effort="fast") == data
    with kmcodec.KmqReader(data) as reader:
        assert len(reader.palette) <= n_colors
        assert len(np.unique(reader.indices())) == len(reader.palette)
        assert reader.indices().shape == pixels.shape[:2]


@pytest.mark.parametrize("space", ["srgb", "oklab"])
@pytest.mark.parametrize("alpha", [False, True])
def test_kept_colours_are_there(space: str, alpha: bool) -> None:
    """Colours to keep are in the palette exactly, used or not."""
    pixels = photo(40, 50)
    if alpha:
        opacity = np.linspace(0, 255, 40 * 50).reshape(40, 50, 1).astype(np.uint8)
        pixels = np.concatenate([pixels, opacity], axis=2)
    keep = [(1, 2, 3, 255), (250, 0, 250, 255)]
    with kmcodec.KmqReader(encode(pixels, 24, lossy=200, keep=keep, space=space)) as reader:
        there = {(*color, 255)[:4] for color in reader.palette.tolist()}
        assert set(keep) <= there
        assert reader.header.has_alpha == alpha


@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_alpha_that_no_colour_has(space: str) -> None:
    """Where the palette of a picture with alpha comes out opaque, distances still mean what they should."""
    pixels = np.concatenate([photo(60, 80), np.full((60, 80, 1), 255, np.uint8)], axis=2)
    opaque = pixels.copy()
    pixels[0, 0, 3] = 250
    for options in ({"lossy": 20}, {"max_bytes": 1000}):
        data, other = (encode(each, 16, space=space, **options) for each in (pixels, opaque))
        error, expected = (
            mean_squared_error(opaque[..., :3], kmcodec.decode(each)) for each in (data, other)
        )
        assert kmcodec.KmqReader(data).palette.shape[1] == 3
        assert 0.9 * len(other) < len(data) < 1.1 * len(other)
        assert 0.9 * expected < error < 1.1 * expected


def test_an_opaque_palette_for_a_transparent_picture() -> None:
    """Next to nothing for a bit changes next to nothing, also where colours are far from all pixels."""
    pixels = np.concatenate([photo(), np.arange(48 * 64, dtype=np.uint8).reshape(48, 64, 1)], axis=2)
    palette = kmcodec.quantize(photo(), 9).palette
    lossless, lossy = (encode(pixels, palette=palette, lossy=lossy) for lossy in (0, 0.001))
    assert 0.98 * len(lossless) < len(lossy) <= len(lossless)


@pytest.mark.parametrize("number", [np.uint8(20), np.int16(20), np.float16(20), np.float32(20)])
def test_numbers_of_numpy(number: Any) -> None:
    """A number is a number, however many bits it has."""
    assert encode(photo(), lossy=20) == encode(photo(), lossy=number)


def test_a_given_palette_stays_as_it_is() -> None:
    """A palette that is given is neither changed nor ordered anew; only indices are chosen."""
    palette = kmcodec.quantize(photo(), 12).palette[::-1]
    with kmcodec.KmqReader(encode(photo(), palette=palette, lossy=100)) as reader:
        np.testing.assert_array_equal(palette, reader.palette)


def test_strips_and_metadata_are_as_asked_for() -> None:
    """Strips are chosen each by itself, and metadata is kept."""
    metadata = Metadata(xmp=b"<x/>")
    data = encode(photo(50, 40), strip_rows=13, lossy=50, metadata=metadata)
    with kmcodec.KmqReader(data) as reader:
        assert reader.header.strip_count == 4
        assert reader.metadata == metadata


def test_the_recipe_tells() -> None:
    """A recipe has lossy, and the options of the quantizer."""
    with kmcodec.KmqReader(encode(photo(), lossy=7, recipe=True)) as reader:
        recipe = reader.metadata.recipe
    assert recipe is not None
    assert (recipe["lossy"], recipe["colors"]) == (7, 32)


# ------------------------------ Sizes


@pytest.mark.parametrize("share", [0.9, 0.5, 0.15])
@pytest.mark.parametrize("options", [{}, {"effort": "fast", "space": "oklab"}])
def test_files_fit(share: float, options: dict[str, Any]) -> None:
    """A file is no larger than asked for, nearly as large, and no worse than fewer colours that fit."""
    pixels = photo(60, 90)
    whole = encode(pixels, 64, **options)
    max_bytes = int(share * len(whole))
    data = encode(pixels, 64, max_bytes=max_bytes, **options)
    assert 0.7 * max_bytes < len(data) <= max_bytes
    error = mean_squared_error(pixels, kmcodec.decode(data))
    if not options:
        fitting = [file for k in range(1, 64) if len(file := encode(pixels, k)) <= max_bytes]
        best = min(mean_squared_error(pixels, kmcodec.decode(file)) for file in fitting)
        assert error <= 1.001 * best


def test_what_fits_is_not_touched() -> None:
    """A file that fits is the lossless one."""
    assert encode(photo()) == encode(photo(), max_bytes=10**6)


def test_out_of_reach() -> None:
    """A size that one colour exceeds is an error that says what is possible."""
    with pytest.raises(TargetError, match="40 bytes are out of reach: the smallest file takes 43$"):
        encode(photo(), max_bytes=40)
    with pytest.raises(TargetError, match=r"the smallest file takes \d+, \d+ of them for metadata$"):
        encode(photo(), max_bytes=60, keep=[[0, 0, 0], [9, 9, 9]], metadata=Metadata(xmp=b"<x/>"))


# ------------------------------ What goes with what


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "lossy must be a number, not str", {"lossy": "9"}),
        (TypeError, "lossy must be a number, not bool", {"lossy": True}),
        (ValueError, r"lossy must be in 0\.\.1000000, found -1", {"lossy": -1}),
        (ValueError, r"lossy must be in 0\.\.1000000, found nan", {"lossy": float("nan")}),
        (ValueError, "does not go with max_bytes", {"lossy": 1, "max_bytes": 100}),
        (ValueError, "goes with coding='context', found 'packed'", {"lossy": 1, "coding": "packed"}),
        (ValueError, "go with dither='none' only", {"lossy": 1, "dither": "ordered"}),
        (ValueError, "need a number for n_colors", {"lossy": 1, "n_colors": "auto"}),
        (ValueError, "need a number for n_colors", {"max_bytes": 900, "n_colors": "auto"}),
        (TypeError, "max_bytes", {"max_bytes": 1.5}),
        (ValueError, "max_bytes", {"max_bytes": 0}),
    ],
)
def test_wrong_arguments(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    """What cannot be asked for together is said before any work."""
    with pytest.raises(error, match=message):
        kmcodec.encode(photo(), **{"coding": "context", **options})


def test_pictures_on_disk_need_memory(tmp_path: Path) -> None:
    """Choosing looks at a picture several times: one on disk is refused."""
    np.save(tmp_path / "a.npy", photo())
    rows = np.load(tmp_path / "a.npy", mmap_mode="r")
    for options in ({"lossy": 5}, {"max_bytes": 900}):
        with pytest.raises(ValueError, match="need the picture in memory"):
            kmcodec.write(tmp_path / "a.kmq", rows, coding="context", **options)
    assert not (tmp_path / "a.kmq").exists()


def test_progress_is_told() -> None:
    """Each batch of files is told from nothing to all, and nothing is told twice."""
    told: list[tuple[str, int, int]] = []
    encode(photo(200, 300), lossy=20, on_progress=lambda *values: told.append(values))
    assert {name for name, _, _ in told} == {"choosing"}
    assert all(0 < done <= total for _, done, total in told)
    assert told[-1][1] == told[-1][2]


class StoppedError(Exception):
    """Stand for Ctrl-C."""


def test_what_progress_raises_ends_the_work() -> None:
    """An exception comes out of the midst of choosing."""

    def stop(*_: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        encode_lossy(photo(), 16, {}, 20, None, strip_rows=None, sections=(), on_progress=stop)


def test_on_the_command_line(tmp_path: Path) -> None:
    """Kmq encode --lossy and --max-bytes; what does not go with them is a usage error."""
    Image.fromarray(photo(60, 80)).save(tmp_path / "a.png")
    full = json.loads(succeed(tmp_path, "encode", "a.png", "--coding", "context", "--json"))
    words = ("encode", "a.png", "--force", "--json", "--coding", "context")
    lossy = json.loads(succeed(tmp_path, *words, "--lossy", "100"))
    assert lossy["file_bytes"] < full["file_bytes"]
    fitting = json.loads(succeed(tmp_path, *words, "--max-bytes", "900"))
    assert 700 < fitting["file_bytes"] <= 900
    for wrong, message in (
        (["--lossy", "5", "--coding", "packed"], "--lossy goes with --coding context"),
        (["--lossy", "5", "--max-bytes", "900"], "--lossy does not go with --max-bytes"),
        (["--lossy", "5", "--dither", "ordered"], "--lossy does not go with --dither ordered"),
        (["--max-bytes", "900", "-k", "auto"], "--max-bytes with --coding context takes a number of colours"),
        (["--lossy", "x"], "must be a number of 0..1000000, found 'x'"),
    ):
        assert message in fail(tmp_path, *words, *wrong, status=2)
    assert "are out of reach" in fail(tmp_path, *words, "--max-bytes", "30", status=3)
