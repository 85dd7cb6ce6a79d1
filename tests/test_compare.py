"""Comparisons with other formats: every number is that of a real file, which decodes to what it says."""

from __future__ import annotations

import io
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLES, photo, tiny

import kmcodec
from kmcodec.errors import PictureError
from kmcodec.image import to_indices
from kmcodec.metrics import has_scikit_image, mean_squared_error
from kmcodec.pictures import can_encode, encode_picture, load_picture
from kmcodec.report.compare import Comparison, compare
from kmcodec.report.lossless import plan_lossless
from kmcodec.report.lossy import list_lossy_coders, plan_lossy
from kmcodec.report.rival import HINT, Recoded, Rival, choose_setting
from kmcodec.report.verdict import write_verdict
from kmcodec.threads import Workers

# By way of its function: kmcodec.report is one too.
MODULE = sys.modules[compare.__module__]

LOSSLESS = ["PNG", "PNG by oxipng", "GIF", "lossless WebP", "lossless JPEG XL"]
LOSSY = ["JPEG", "WebP", "AVIF", "JPEG XL"]


def rivals_of(comparison: Comparison) -> dict[str, Rival]:
    """Return rivals by name; PNG is optimized by whatever is installed."""
    return {rival.name.replace("by zopfli", "by oxipng"): rival for rival in comparison.rivals}


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a file as any user of Pillow would."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def random_image(n_colors: int, channels: int = 3, shape: tuple[int, int] = (12, 17)) -> kmcodec.IndexedImage:
    """Make an image of random colours and runs of indices."""
    rng = np.random.default_rng(n_colors)
    palette = rng.integers(0, 256, (n_colors, channels), np.uint8)
    indices = np.sort(rng.integers(0, n_colors, shape), axis=1)
    return kmcodec.IndexedImage(palette, to_indices(indices, n_colors))


def with_alpha(image: kmcodec.IndexedImage, alphas: list[int]) -> kmcodec.IndexedImage:
    """Return an image with these values of alpha in its palette."""
    return kmcodec.IndexedImage(np.column_stack([image.palette, np.array(alphas, np.uint8)]), image.indices)


IMAGES = {
    "1 x 1": random_image(1, shape=(1, 1)),
    "2 colours": random_image(2),
    "16 colours": kmcodec.quantize(photo(), 16),
    "256 colours": kmcodec.quantize(photo(20, 24), 256),
    "300 colours": kmcodec.quantize(photo(20, 24), 300),
    "greys": kmcodec.IndexedImage(
        np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3), photo(20, 24)[:, :, 0]
    ),
    "colours that no pixel has": kmcodec.IndexedImage(random_image(40).palette, np.zeros((9, 9), np.uint8)),
    "alpha": random_image(200, 4),
    "alpha of three values": tiny(alpha=True),
    "one transparent colour": with_alpha(random_image(4), [255, 255, 0, 255]),
    "two transparent colours": with_alpha(random_image(4), [0, 255, 0, 255]),
    "alpha and 300 colours": random_image(300, 4),
}


@pytest.fixture(scope="module")
def original() -> NDArray[np.uint8]:
    """Return a picture that is compared."""
    return photo()


@pytest.fixture(scope="module")
def image(original: NDArray[np.uint8]) -> kmcodec.IndexedImage:
    """Return it in 16 colours."""
    return kmcodec.quantize(original, 16)


@pytest.fixture(scope="module")
def comparison(original: NDArray[np.uint8], image: kmcodec.IndexedImage) -> Comparison:
    """Return its comparison."""
    return compare(original, image, kmq_bytes=2000, kmq_seconds=0.5, source_bytes=5000, source_name="a.png")


def test_every_format_has_its_row(comparison: Comparison) -> None:
    """The .kmq file comes first, then what has a file by its size, then what has none."""
    first, *others = comparison.rivals
    assert (".kmq", "16 colours, packed", True, 2000, 0.5) == first[:5]
    assert {*LOSSLESS, *LOSSY, "original file"} == rivals_of(comparison).keys() - {".kmq"}
    sizes = [math.inf if rival.file_bytes is None else rival.file_bytes for rival in others]
    assert sorted(sizes) == sizes


def test_the_other_coding_has_its_row(original: NDArray[np.uint8], image: kmcodec.IndexedImage) -> None:
    """What the .kmq file is in the other coding comes second, and is no rival of its own."""
    recoded = Recoded("packed", 3000, 0.25, "make it so")
    result = compare(original, image, kmq_bytes=2000, kmq_seconds=0.5, coding="context", recoded=recoded)
    first, second, *others = result.rivals
    assert (".kmq", "16 colours, context-coded", True, 2000, 0.5) == first[:5]
    assert (".kmq recoded", "16 colours, packed", True, 3000, 0.25) == second[:5]
    assert first[5:] == second[5:]
    plain = compare(original, image, kmq_bytes=2000)
    assert plain.sentence == result.sentence
    assert [rival[:4] for rival in plain.rivals[1:]] == [rival[:4] for rival in others]


def test_rows_have_all_numbers_or_say_why_not(comparison: Comparison) -> None:
    """A row has size, time and PSNR, or none of them and a note; the time of the original is not known."""
    for rival in comparison.rivals:
        missing = [value is None for value in (rival.file_bytes, rival.seconds, rival.psnr_db)]
        expected = [rival.note != ""] * 3 if rival.name != "original file" else [False, True, False]
        assert expected == missing
        assert rival.note or rival.settings


def test_original_file_is_exact(comparison: Comparison) -> None:
    """The source file has its own pixels: an infinite PSNR, and none of the .kmq file's loss."""
    row = rivals_of(comparison)["original file"]
    assert ("a.png, as it is", False, 5000, math.inf) == (row.settings, row.is_lossless, row[3], row.psnr_db)
    assert (1.0 if has_scikit_image() else None) == row.ssim


@pytest.mark.parametrize("kind", IMAGES)
def test_lossless_files_give_back_the_pixels(kind: str) -> None:
    """Every lossless file, decoded by itself, has exactly the pixels of the .kmq file, and no metadata."""
    image = IMAGES[kind]
    expected = np.asarray(Image.fromarray(image.to_rgb()).convert("RGBA"))
    for task in plan_lossless(image, 1):
        if not task.obstacle:
            decoded = Image.open(io.BytesIO(task.encode()))
            # Of a JPEG XL without profile the decoder makes one up.
            metadata = {"icc_profile"} if decoded.format != "JXL" else set()
            assert not (metadata | {"exif", "xmp", "comment"}) & decoded.info.keys(), task.name
            np.testing.assert_array_equal(expected, np.asarray(decoded.convert("RGBA")), task.name)


@pytest.mark.parametrize("kind", IMAGES)
def test_lossless_rows_are_the_files(kind: str) -> None:
    """Sizes are those of the files; each format has one unless it cannot hold the picture or is missing."""
    image = IMAGES[kind]
    rows = rivals_of(compare(image.to_rgb(), image, kmq_bytes=100))
    for task in plan_lossless(image, 1):
        row = rows[task.name.replace("by zopfli", "by oxipng")]
        assert (task.obstacle, task.settings, True) == (row.note, row.settings, row.is_lossless)
        assert row.file_bytes == (None if task.obstacle else len(task.encode()))
        if task.obstacle not in ("", HINT):
            assert "GIF" == task.name


def test_palettes_are_kept_as_palettes(image: kmcodec.IndexedImage) -> None:
    """PNG and GIF get indices, and not colours from which they would make a palette of their own."""
    tasks = {task.name: task for task in plan_lossless(image, 1)}
    for name in ("PNG", "GIF"):
        assert "P" == Image.open(io.BytesIO(tasks[name].encode())).mode
    assert "palette, Pillow's defaults" == tasks["PNG"].settings
    assert "RGB, Pillow's defaults" == plan_lossless(IMAGES["300 colours"], 1)[0].settings


@pytest.mark.parametrize(
    ("kind", "obstacle"),
    [
        ("300 colours", "GIF has at most 256 colours"),
        ("alpha and 300 colours", "GIF has at most 256 colours"),
        ("alpha", "GIF has no partial alpha, and one transparent colour at most"),
        ("two transparent colours", "GIF has no partial alpha, and one transparent colour at most"),
        ("one transparent colour", ""),
    ],
)
def test_gif_says_what_it_cannot_hold(kind: str, obstacle: str) -> None:
    """GIF is compared only where it can hold the picture."""
    assert [obstacle] == [task.obstacle for task in plan_lossless(IMAGES[kind], 1) if task.name == "GIF"]


def test_optimized_png_is_no_larger(comparison: Comparison) -> None:
    """An optimizer makes no PNG larger."""
    pytest.importorskip("oxipng")
    rows = rivals_of(comparison)
    assert (rows["PNG by oxipng"].file_bytes or 0) <= (rows["PNG"].file_bytes or 0)


@pytest.mark.parametrize("i", range(len(LOSSY)), ids=LOSSY)
@pytest.mark.parametrize("has_alpha", [False, True], ids=["opaque", "alpha"])
def test_lossy_files_reach_the_psnr_and_one_step_less_does_not(i: int, has_alpha: bool) -> None:
    """A lossy file, decoded by itself, is as near to the original as the .kmq file; a step less is not."""
    original = photo(64, 64)
    if has_alpha:
        original = np.dstack([original, 128 + original[:, :, 0] // 4])
    image = kmcodec.quantize(original, 128)
    target = mean_squared_error(original, image.to_rgb())
    coder = list_lossy_coders(image.indices.size, 1)[i]
    with Workers(1) as workers:
        (task,) = plan_lossy((coder,), original, image, target, workers, lambda: None)
    if task.obstacle:
        assert task.obstacle in (HINT, "JPEG has no alpha", "this Pillow has no AVIF")
        return
    assert (LOSSY[i], False) == (task.name, task.is_lossless)
    data = task.encode()
    assert mean_squared_error(original, decode(data)) <= target
    quality, settings = task.settings.removeprefix("quality ").split(", ", 1)
    variant = [words for words, _ in coder.variants].index(settings)
    step = round(float(quality) * coder.steps_per_quality)
    assert data == coder.encode(original, variant, step)
    assert step > coder.steps[0]
    worse = decode(coder.encode(original, variant, step - 1))
    assert mean_squared_error(original, worse) > target


def test_jpeg_is_the_smallest_of_all_that_reach_the_psnr() -> None:
    """Of all qualities and subsamplings of JPEG, all tried here, the smallest file is found."""
    original = photo(40, 40, seed=1)
    image = kmcodec.quantize(original, 24)
    target = mean_squared_error(original, image.to_rgb())
    sizes = []
    for subsampling in (0, 1, 2):
        for quality in range(1, 101):
            options = {"quality": quality, "subsampling": subsampling}
            buffer = io.BytesIO()
            Image.fromarray(original).save(buffer, "JPEG", progressive=True, optimize=True, **options)
            if mean_squared_error(original, decode(buffer.getvalue())) <= target:
                sizes.append(len(buffer.getvalue()))
    assert min(sizes) == rivals_of(compare(original, image, kmq_bytes=100))["JPEG"].file_bytes


def test_lossy_rows_have_measured_quality(comparison: Comparison) -> None:
    """PSNR is at least that of the .kmq file, which lossless rows share; SSIM comes with scikit-image."""
    kmq = comparison.rivals[0]
    assert kmq.psnr_db is not None
    for name, rival in rivals_of(comparison).items():
        if rival.psnr_db is not None:
            assert kmq.psnr_db <= rival.psnr_db
            assert (kmq.psnr_db == rival.psnr_db) or name not in LOSSLESS
            assert has_scikit_image() == (rival.ssim is not None)


def test_threads_do_not_show(
    original: NDArray[np.uint8], image: kmcodec.IndexedImage, comparison: Comparison
) -> None:
    """One thread finds the same files as many."""
    again = compare(original, image, kmq_bytes=2000, source_bytes=5000, source_name="a.png", threads=1)
    assert [rival[:4] for rival in comparison.rivals] == [rival[:4] for rival in again.rivals]
    assert comparison.sentence == again.sentence


def test_lossy_formats_do_not_stand_beside_an_exact_file() -> None:
    """Where the .kmq file is exact, lossy formats say so; what is the same pixels has an infinite PSNR."""
    path = SAMPLES / "sprite.png"
    original = load_picture(path)
    image = kmcodec.quantize(original, 4)
    result = compare(
        original, image, kmq_bytes=116, source_bytes=path.stat().st_size, source_name="sprite.png"
    )
    rows = rivals_of(result)
    for name in LOSSY:
        if can_encode(name.upper() if name != "JPEG XL" else "JXL"):
            assert (None, "this .kmq file is exact, which a lossy file is not") == (
                rows[name][3],
                rows[name].note,
            )
    assert math.inf == rows["lossless WebP"].psnr_db
    assert 116 < (rows["PNG"].file_bytes or 0) <= path.stat().st_size
    assert "PSNR" not in result.sentence


def test_opaque_alpha_bars_nothing() -> None:
    """A picture with alpha of 255 everywhere is compared as one without."""
    original = photo(16, 16)
    image = kmcodec.quantize(original, 8)
    expected = compare(original, image, kmq_bytes=500)
    opaque = np.dstack([original, np.full((16, 16), 255, np.uint8)])
    found = compare(opaque, with_alpha(image, [255] * 8), kmq_bytes=500)
    assert [rival[:4] for rival in expected.rivals] == [rival[:4] for rival in found.rivals]


def test_a_psnr_out_of_reach_is_said() -> None:
    """A format of which no quality is good enough says so."""
    # Colours that change from pixel to pixel are lost where chroma is halved, as WebP does.
    original = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    image = kmcodec.quantize(original, 128)
    row = rivals_of(compare(original, image, kmq_bytes=100))["WebP"]
    assert (None, "does not reach this PSNR at any quality") == (row.file_bytes, row.note)


@pytest.mark.parametrize(
    ("width", "notes"),
    [
        (16384, {"lossless WebP": "WebP has sides of at most 16,383 pixels"}),
        (65536, {"GIF": "GIF has sides of at most 65,535 pixels"}),
    ],
)
def test_pictures_too_large_for_a_format(width: int, notes: dict[str, str]) -> None:
    """A format that cannot have such sides says so."""
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1, width), np.uint8))
    found = {task.name: task.obstacle for task in plan_lossless(image, 1)}
    assert notes.items() <= found.items()


def test_pictures_too_large_for_lossy_formats() -> None:
    """Lossy formats have limits of sides too, which are those of their encoders and decoders."""
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1, 65536), np.uint8))
    coders = list_lossy_coders(65536, 1)[:3]
    with Workers(1) as workers:
        tasks = plan_lossy(coders, image.to_rgb(), image, 1.0, workers, lambda: None)
    assert [
        "JPEG has sides of at most 65,500 pixels",
        "WebP has sides of at most 16,383 pixels",
        "AVIF has sides of at most 32,768 pixels" if can_encode("AVIF") else "this Pillow has no AVIF",
    ] == [task.obstacle for task in tasks]


def test_encoders_look_longer_at_small_pictures() -> None:
    """Settings go by the number of pixels, limits included."""
    tiers = ((10, 3), (20, 2)), 1
    assert [3, 3, 2, 2, 1] == [choose_setting(tiers, n) for n in (1, 10, 11, 20, 21)]
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1 << 12, 1 << 12), np.uint8))
    settings = {task.name: task.settings for task in plan_lossless(image, 1)}
    assert ("method 4, quality 100, exact", "effort 7") == (
        settings["lossless WebP"],
        settings["lossless JPEG XL"],
    )


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, original: NDArray[np.uint8], image: kmcodec.IndexedImage
) -> None:
    """What is not installed says how to get it, and all else is compared."""
    for name in ("oxipng", "zopfli", "pillow_jxl", "skimage", "skimage.metrics"):
        monkeypatch.setitem(sys.modules, name, None)
    result = compare(original, image, kmq_bytes=2000)
    missing = {"PNG by oxipng", "lossless JPEG XL", "JPEG XL"}
    assert missing == {rival.name for rival in result.rivals if rival.note == HINT}
    assert {"PNG", "GIF", "lossless WebP", "JPEG"} <= {
        rival.name for rival in result.rivals if not rival.note
    }
    assert {None} == {rival.ssim for rival in result.rivals}
    assert "pip install 'kmcodec[compare]'" in HINT


def test_broken_packages_are_as_good_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: kmcodec.IndexedImage
) -> None:
    """A package that fails when it is imported, or has changed, breaks no comparison."""
    (tmp_path / "pillow_jxl.py").write_text("raise RuntimeError('broken')", encoding="utf-8")
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage" / "__init__.py").write_text("raise ImportError('broken')", encoding="utf-8")
    for name in [name for name in sys.modules if name.split(".")[0] in ("pillow_jxl", "skimage")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("oxipng", "zopfli"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    rows = rivals_of(compare(image.to_rgb(), image, kmq_bytes=2000))
    assert [HINT] * 3 == [rows[name].note for name in ("PNG by oxipng", "lossless JPEG XL", "JPEG XL")]
    assert rows[".kmq"].ssim is None


def test_formats_that_pillow_was_built_without(
    monkeypatch: pytest.MonkeyPatch, image: kmcodec.IndexedImage
) -> None:
    """Pillow itself may lack formats."""
    Image.init()
    for name in ("AVIF", "WEBP"):
        monkeypatch.delitem(Image.SAVE, name, raising=False)
    rows = rivals_of(compare(image.to_rgb(), image, kmq_bytes=2000))
    for name in ("AVIF", "WebP", "lossless WebP"):
        assert f"this Pillow has no {name.removeprefix('lossless ')}" == rows[name].note


def test_zopfli_stands_in_for_oxipng(monkeypatch: pytest.MonkeyPatch, image: kmcodec.IndexedImage) -> None:
    """Where only zopflipy is installed, it optimizes PNG."""
    pytest.importorskip("zopfli")
    monkeypatch.setitem(sys.modules, "oxipng", None)
    rows = {rival.name: rival for rival in compare(image.to_rgb(), image, kmq_bytes=2000).rivals}
    assert "palette, zopflipy's defaults" == rows["PNG by zopfli"].settings
    assert 0 < (rows["PNG by zopfli"].file_bytes or 0) <= (rows["PNG"].file_bytes or 0)


def test_files_that_are_not_what_they_should_be_do_not_count(
    monkeypatch: pytest.MonkeyPatch, image: kmcodec.IndexedImage
) -> None:
    """A lossless file that decodes to other pixels, or not at all, or is not made, has no number."""
    png, *_ = plan_lossless(image, 1)
    other = encode_picture(np.zeros((48, 64, 3), np.uint8))

    def fail() -> bytes:
        raise PictureError("no")

    tasks = [
        png._replace(name=name, encode=encode)
        for name, encode in (
            ("other", lambda: other),
            ("cut", lambda: png.encode()[:-40]),
            ("not made", fail),
        )
    ]
    monkeypatch.setattr(MODULE, "plan_lossless", lambda image, n_threads: tasks)
    result = compare(image.to_rgb(), image, kmq_bytes=2000)
    rows = rivals_of(result)
    assert "failed: does not give back the same pixels" == rows["other"].note
    assert rows["cut"].note.startswith("failed: not readable")
    assert "failed: no" == rows["not made"].note
    assert [None] * 3 == [rows[name].file_bytes for name in ("other", "cut", "not made")]
    assert "No other format could be compared with this .kmq file." == result.sentence


def test_an_encoder_that_fails_is_a_row_without_numbers(
    monkeypatch: pytest.MonkeyPatch, original: NDArray[np.uint8], image: kmcodec.IndexedImage
) -> None:
    """What goes wrong in a lossy encoder is said in its row."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("out of order")

    Image.init()
    monkeypatch.setitem(Image.SAVE, "WEBP", fail)
    rows = rivals_of(compare(original, image, kmq_bytes=2000))
    for name in ("WebP", "lossless WebP"):
        assert "failed: not writable as WEBP: out of order" == rows[name].note


def test_alpha_that_differs_is_not_equal(
    image: kmcodec.IndexedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has lost alpha, or has some that should not be there, fails."""
    transparent = with_alpha(image, [255] * 15 + [7])
    for wanted, made in ((transparent, image), (image, transparent)):
        png = plan_lossless(made, 1)[0]
        monkeypatch.setattr(MODULE, "plan_lossless", lambda image, n_threads, png=png: [png])
        row = rivals_of(compare(wanted.to_rgb(), wanted, kmq_bytes=2000))["PNG"]
        assert "failed: does not give back the same pixels" == row.note


def test_progress_counts_to_the_end(original: NDArray[np.uint8], image: kmcodec.IndexedImage) -> None:
    """Steps are told as they are done, up to their number."""
    told: list[tuple[str, int, int]] = []
    compare(original, image, kmq_bytes=1, on_progress=lambda *step: told.append(step))
    done = [step[1] for step in told]
    (total,) = {step[2] for step in told}
    assert sorted(done) == done
    assert (0, total) == (done[0], done[-1])
    assert set(range(total + 1)) == set(done)
    assert {"looking for qualities", "PNG", "AVIF"} < {step[0] for step in told}


def test_json_has_no_infinity() -> None:
    """Where PSNR is null, is_exact tells an infinite one from none."""
    image = tiny()
    result = compare(image.to_rgb(), image, kmq_bytes=90, source_bytes=80)
    rows = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert result.sentence == rows["sentence"]
    assert [*Rival._fields, "is_exact"] == list(rows["rivals"][0])
    found = {row["name"]: (row["psnr_db"], row["is_exact"]) for row in rows["rivals"]}
    assert (None, True) == found["original file"] == found["lossless WebP"] == found[".kmq"]
    assert (None, False) == found["JPEG"]


def test_arguments_are_checked_and_not_modified(
    original: NDArray[np.uint8], image: kmcodec.IndexedImage
) -> None:
    """Another size is the caller's mistake; arguments stay as they are."""
    before = original.copy()
    compare(original[:8, :8], kmcodec.IndexedImage(image.palette, image.indices[:8, :8]), kmq_bytes=1)
    np.testing.assert_array_equal(before, original)
    with pytest.raises(ValueError, match="48 x 64 pixels, the .kmq file 64 x 48"):
        compare(original.transpose(1, 0, 2), image, kmq_bytes=1)
    with pytest.raises(TypeError, match="uint8"):
        compare(original.astype(float), image, kmq_bytes=1)
    with pytest.raises(ValueError, match="threads"):
        compare(original, image, kmq_bytes=1, threads=0)


def made_up(name: str, file_bytes: int | None, *, lossless: bool = True, psnr_db: float = 40.0) -> Rival:
    """Return a row of these numbers."""
    return Rival(name, "", lossless, file_bytes, None, psnr_db, None, "" if file_bytes else "why")


WEBP, PNG = made_up("lossless WebP", 41203), made_up("PNG", 60000)
AVIF = made_up("AVIF", 20000, lossless=False)


@pytest.mark.parametrize(
    ("kmq_bytes", "others", "sentence"),
    [
        (
            67573,
            [WEBP, PNG],
            "Smallest at this quality: lossless WebP, 41,203 bytes, 1.64 times smaller than this .kmq file.",
        ),
        (
            43000,
            [PNG, WEBP],
            "Smallest at this quality: lossless WebP, 41,203 bytes, 4.2 % smaller than this .kmq file.",
        ),
        (
            41204,
            [WEBP],
            "Smallest at this quality: lossless WebP, 41,203 bytes, 1 byte smaller than this .kmq file.",
        ),
        (
            40000,
            [PNG, WEBP, made_up("GIF", None)],
            "Smallest at this quality: this .kmq file, 40,000 bytes; next is lossless WebP, 41,203 bytes,"
            " 3.0 % larger.",
        ),
        (
            30000,
            [PNG, WEBP],
            "Smallest at this quality: this .kmq file, 30,000 bytes; next is lossless WebP, 41,203 bytes,"
            " 1.37 times the size.",
        ),
        (
            10000,
            [PNG, WEBP, AVIF],
            "Smallest at this quality: this .kmq file, 10,000 bytes; next is AVIF at the same PSNR,"
            " 20,000 bytes, 2.00 times the size.",
        ),
        (
            50000,
            [PNG, WEBP, AVIF],
            "Smallest at the same PSNR: AVIF, 20,000 bytes, 2.50 times smaller than this .kmq file."
            " Smallest with the same pixels: lossless WebP, 41,203 bytes, 1.21 times smaller.",
        ),
        (
            41000,
            [PNG, WEBP, AVIF],
            "Smallest at the same PSNR: AVIF, 20,000 bytes, 2.05 times smaller than this .kmq file."
            " Smallest with the same pixels: this .kmq file, 41,000 bytes; next is lossless WebP, 41,203"
            " bytes, 0.5 % larger.",
        ),
        (
            41000,
            [AVIF],
            "Smallest at the same PSNR: AVIF, 20,000 bytes, 2.05 times smaller than this .kmq file.",
        ),
        (
            41203,
            [WEBP, PNG],
            "Smallest at this quality: this .kmq file and lossless WebP, 41,203 bytes each.",
        ),
        (
            20000,
            [WEBP, AVIF],
            "Smallest at this quality: this .kmq file and AVIF at the same PSNR, 20,000 bytes each.",
        ),
        (
            50000,
            [WEBP, made_up("GIF", 41203)],
            "Smallest at this quality: lossless WebP and GIF, 41,203 bytes each, 1.21 times smaller than"
            " this .kmq file.",
        ),
        (500, [made_up("GIF", None)], "No other format could be compared with this .kmq file."),
    ],
)
def test_verdict_names_the_smallest(kmq_bytes: int, others: list[Rival], sentence: str) -> None:
    """One or two sentences say what is smallest and by how much, whoever it is."""
    assert sentence == write_verdict(made_up(".kmq", kmq_bytes), others)


@pytest.mark.parametrize(
    ("source_bytes", "psnr_db", "start"),
    [
        (50001, 40.0, "Smallest at this quality: lossless WebP"),
        (
            50000,
            40.0,
            "The original file is exact, and no larger: 50,000 bytes. Of the others, the smallest at this"
            " quality: lossless WebP, 41,203 bytes, 1.21 times smaller.",
        ),
        (
            25000,
            40.0,
            "The original file is exact, and smaller: 25,000 bytes, 2.00 times smaller than this .kmq"
            " file. Of the",
        ),
        (25000, math.inf, "The original file is of the same quality, and smaller: 25,000 bytes, 2.00 times"),
    ],
)
def test_verdict_begins_with_an_original_that_is_smaller(
    source_bytes: int, psnr_db: float, start: str
) -> None:
    """Who has a better file that is smaller needs to hear of that first."""
    kmq, source = (
        made_up(name, n, psnr_db=p)
        for name, n, p in ((".kmq", 50000, psnr_db), ("original file", source_bytes, math.inf))
    )
    assert write_verdict(kmq, [WEBP, PNG], source).startswith(start)


@pytest.mark.parametrize(
    ("recoded_bytes", "coding", "source_bytes", "sentence"),
    [
        (
            30000,
            "context",
            None,
            "Context-coded, the same pixels take 30,000 bytes, 1.67 times smaller than this .kmq file"
            " (command). Smallest at the same PSNR: AVIF, 20,000 bytes, 1.50 times smaller than the"
            " context-coded .kmq file. Smallest with the same pixels: the context-coded .kmq file, 30,000"
            " bytes; next is lossless WebP, 41,203 bytes, 1.37 times the size.",
        ),
        (
            15000,
            "context",
            16000,
            "Context-coded, the same pixels take 15,000 bytes, 3.33 times smaller than this .kmq file"
            " (command). Smallest at this quality: the context-coded .kmq file, 15,000 bytes; next is AVIF"
            " at the same PSNR, 20,000 bytes, 1.33 times the size.",
        ),
        (
            45000,
            "packed",
            10000,
            "Packed, the same pixels take 45,000 bytes, 1.11 times smaller than this .kmq file (command). The"
            " original file is exact, and smaller: 10,000 bytes, 4.50 times smaller than the packed .kmq"
            " file. Of the others, the smallest at the same PSNR: AVIF, 20,000 bytes, 2.25 times smaller."
            " Smallest with the same pixels: lossless WebP, 41,203 bytes, 8.4 % smaller.",
        ),
    ],
)
def test_rivals_have_to_beat_the_smaller_coding(
    recoded_bytes: int, coding: str, source_bytes: int | None, sentence: str
) -> None:
    """Where the other coding is smaller the verdict says how to get it, and compares with that."""
    source = None if source_bytes is None else made_up("original file", source_bytes, psnr_db=math.inf)
    recoded = Recoded(coding, recoded_bytes, None, "command")
    assert sentence == write_verdict(made_up(".kmq", 50000), [WEBP, PNG, AVIF], source, recoded)


@pytest.mark.parametrize("recoded_bytes", [50000, 80000])
def test_a_coding_that_saves_nothing_is_not_recommended(recoded_bytes: int) -> None:
    """Where the file has the smaller coding already, the verdict is about the file."""
    recoded = Recoded("packed", recoded_bytes, None, "command")
    expected = write_verdict(made_up(".kmq", 50000), [WEBP, PNG])
    assert expected == write_verdict(made_up(".kmq", 50000), [WEBP, PNG], None, recoded)
