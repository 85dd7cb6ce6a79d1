"""The report's numbers, against values computed by hand; and text and JSON against each other."""

from __future__ import annotations

import html
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import ROOT, SAMPLES, fail, photo, succeed

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.metrics import HINT, Region
from kmcodec.pictures import load_picture
from kmcodec.report.codings import CodedSize
from kmcodec.report.measure import FileParts
from kmcodec.report.text import format_tables, list_notes, list_tables

SCHEMA = json.loads((ROOT / "kmcodec" / "report" / "schema.json").read_text())


def to_text(report: kmcodec.Report) -> str:
    """Return a report as a terminal shows it."""
    return format_tables(list_tables(report, original="a.png", file="a.kmq"), list_notes(report))


def with_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture with an alpha channel that falls from left to right."""
    alpha = np.linspace(255, 0, pixels.shape[1]).astype(np.uint8)
    return np.dstack([pixels, np.broadcast_to(alpha, pixels.shape[:2])])


#: One of each kind: usual, exact, with alpha, of one colour and of one pixel, with a recipe.
CASES: dict[str, tuple[NDArray[np.uint8], dict[str, Any]]] = {
    "photo": (photo(), {"n_colors": 8}),
    "exact": (kmcodec.quantize(photo(), 8).to_rgb(), {"n_colors": 8}),
    "alpha": (with_alpha(photo()), {"n_colors": 8}),
    "one colour": (photo(), {"n_colors": 1}),
    "one pixel": (photo(1, 1), {}),
    "recipe": (photo(), {"n_colors": "auto", "recipe": True}),
    "context coding": (photo(), {"n_colors": 8, "coding": "context"}),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> kmcodec.Report:
    """Return the report of one of the cases."""
    pixels, options = CASES[request.param]
    return kmcodec.report(pixels, kmcodec.encode(pixels, **options), source_bytes=1000)


def test_numbers_of_a_small_picture() -> None:
    """Sizes, ratio, bits per pixel, mse and PSNR by hand."""
    pixels = np.array([[[0, 0, 0], [2, 4, 6]]], np.uint8)
    data = kmcodec.encode(pixels, 1)
    report = kmcodec.report(pixels, data, source_bytes=100, perceptual=False)
    assert (
        kmcodec.Report(
            width=2,
            height=1,
            colors=1,
            index_bits=0,
            file_bytes=43,
            raw_bytes=6,
            source_bytes=100,
            ratio=6 / 43,
            bits_per_pixel=172.0,
            raw_bits_per_pixel=24,
            nominal_ratio=None,
            source_ratio=100 / 43,
            parts=FileParts(header=28, palette=3, indices=0, metadata=0, checksums=12),
            coding="packed",
            codings=dict.fromkeys(("packed", "context"), CodedSize(43, 6 / 43, 172.0, 100 / 43)),
            colors_used=1,
            colors_asked=None,
            has_alpha=False,
            mse=1 + 4 + 9,
            psnr_db=10 * math.log10(255**2 * 3 / 14),
            ssim=None,
            delta_e_mean=None,
            delta_e_p95=None,
            delta_e_max=None,
            worst_region=Region(0, 0, 2, 1, 14.0),
            recorded=None,
            is_recorded_source=None,
        )
        == report
    )


def test_parts_add_up(case: kmcodec.Report) -> None:
    """Every byte of the file is in one of the parts."""
    assert case.file_bytes == sum(case.parts)


def test_json_follows_the_schema(case: kmcodec.Report) -> None:
    """What to_dict returns can be written as JSON, and is what schema.json describes."""
    values = json.loads(json.dumps(case.to_dict(), allow_nan=False))
    jsonschema.validate(values, SCHEMA, jsonschema.Draft202012Validator)
    assert set(SCHEMA["required"]) <= set(SCHEMA["properties"])


@pytest.mark.parametrize("coding", ["packed", "context"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((48, 64), {}),
        ((48, 64), {"n_colors": 1}),
        ((48, 64), {"n_colors": 300}),
        ((48, 64), {"strip_rows": 5}),
        ((48, 64), {"metadata": kmcodec.Metadata(xmp=b"<x/>")}),
        ((1, 1), {}),
        # Three strips of the default of packed coding, one of that of context coding; and two of that.
        ((1100, 2000), {"n_colors": 3}),
        ((2300, 2000), {"n_colors": 3}),
    ],
    ids=str,
)
def test_codings_are_those_of_files(coding: str, shape: tuple[int, int], options: dict[str, Any]) -> None:
    """Sizes are those of the file as it is, and of the file that has the same image in the other coding."""
    pixels = np.resize(photo(), (*shape, 3))
    data = kmcodec.encode(pixels, coding=coding, **options)  # type: ignore[arg-type]
    image = kmcodec.KmqReader(data).image()
    report = kmcodec.report(pixels, data, source_bytes=7000, perceptual=False, codings=True)
    other = {"packed": "context", "context": "packed"}[coding]
    expected = {coding: len(data), other: len(write_image(image, coding=other))}
    found = {name: size and size.file_bytes for name, size in report.codings.items()}
    assert expected == found
    for size in report.codings.values():
        assert size is not None
        assert (report.raw_bytes / size[0], 7000 / size[0]) == (size.ratio, size.source_ratio)
        assert size.bits_per_pixel == 8 * size.file_bytes / (shape[0] * shape[1])
    assert report.coding == kmcodec.KmqReader(data).header.coding


def test_context_coding_is_tried_by_those_who_wait() -> None:
    """It goes with the slow measures unless the caller says otherwise; packed sizes are always there."""
    data = {coding: kmcodec.encode(photo(), 4, coding=coding) for coding in ("packed", "context")}
    for options, is_tried in (
        ({}, True),
        ({"perceptual": False}, False),
        ({"codings": False}, False),
        ({"perceptual": False, "codings": True}, True),
    ):
        assert is_tried == (kmcodec.report(photo(), data["packed"], **options).codings["context"] is not None)
        codings = kmcodec.report(photo(), data["context"], **options).codings
        assert [len(data["packed"]), len(data["context"])] == [
            size and size.file_bytes for size in codings.values()
        ]
    quick = kmcodec.report(photo(), data["packed"], perceptual=False)
    jsonschema.validate(quick.to_dict(), SCHEMA)
    assert "context-coded" in to_text(quick)


def test_either_coding_has_its_row_and_the_other_one_its_command() -> None:
    """The text says which coding the file has, what both take, and how to get the other."""
    texts = {}
    for coding in ("packed", "context"):
        report = kmcodec.report(photo(), kmcodec.encode(photo(), 8, coding=coding), codings=True)
        words = format_tables(list_tables(report, original="a.png", file="a b.kmq"))
        texts[coding] = words
        rows = [line.split() for line in words.partition("either coding\n")[2].splitlines()[1:3]]
        assert ["packed", "context-coded"] == [row[0] for row in rows]
        assert [f"{size.file_bytes:,}" for size in report.codings.values() if size] == [
            row[1] for row in rows
        ]
        assert 1 == words.count("this file")
    assert words.count("if indices are packed") == 1
    assert "kmq recode 'a b.kmq' --coding context --force\n" in texts["packed"]
    assert "kmq recode 'a b.kmq' --coding packed --force\n" in texts["context"]
    assert "if indices are packed" not in texts["packed"]
    one = kmcodec.report(photo(), kmcodec.encode(photo(), 1))
    assert "coding" not in to_text(one)


def find_numbers(values: Any) -> list[float]:
    """Return all numbers in JSON, those in recorded texts too."""
    if isinstance(values, dict):
        return [n for value in values.values() for n in find_numbers(value)]
    if isinstance(values, str):
        return [float(n) for n in re.findall(r"\d+\.?\d*", values)]
    return [] if values is None or isinstance(values, bool) else [float(values)]


def test_every_number_of_the_text_is_in_the_json(case: kmcodec.Report) -> None:
    """The text rounds, and says nothing else."""
    known = find_numbers(case.to_dict())
    for table in list_tables(case, original="a.png", file="a.kmq"):
        for value in (cell for _, *cells in table.rows for cell in cells):
            for number in re.findall(r"\d[\d,]*\.?\d*", value):
                digits = len(number.partition(".")[2])
                shown = float(number.replace(",", ""))
                assert any(abs(shown - n) <= 0.501 * 10**-digits for n in known) or shown == 1, number


def test_exact_copy_has_infinite_psnr() -> None:
    """Infinity is a number in Python, null in JSON and a word in text."""
    pixels, options = CASES["exact"]
    report = kmcodec.report(pixels, kmcodec.encode(pixels, **options))
    assert (0, math.inf, True) == (report.mse, report.psnr_db, report.is_exact)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (None, True) == (values["psnr_db"], values["is_exact"])
    assert "infinite" in to_text(report)


def test_alpha_is_stated() -> None:
    """Where errors are those on black and on white, the report says so; opaque alpha is none."""
    report = kmcodec.report(*(lambda p: (p, kmcodec.encode(p, 8)))(with_alpha(photo())))
    assert report.has_alpha
    assert 32 == report.raw_bits_per_pixel
    assert "on black and those on white" in to_text(report)
    opaque = np.dstack([photo(), np.full(photo().shape[:2], 255, np.uint8)])
    assert not kmcodec.report(opaque, kmcodec.encode(opaque, 8)).has_alpha


def test_unused_colors_are_counted() -> None:
    """Colours that no pixel has are not among those used."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    data = kmcodec.encode(pixels, palette=[(0, 0, 0), (1, 1, 1), (2, 2, 2)])
    report = kmcodec.report(pixels, data)
    assert (3, 1) == (report.colors, report.colors_used)
    assert "3, of which 1 used" in to_text(report)


def test_recorded_and_measured_are_told_apart() -> None:
    """The recipe is under its own heading, with the verdict whether this is the picture."""
    pixels = photo()
    data = kmcodec.encode(pixels, "auto", recipe=True)
    report = kmcodec.report(pixels, data)
    assert ("auto", True) == (report.colors_asked, report.is_recorded_source)
    heading = to_text(report).partition("Recorded in the file")[2]
    assert "is the picture that was encoded" in heading
    assert "default" in heading
    other = kmcodec.report(np.flipud(pixels), data)
    assert other.is_recorded_source is False
    assert "is not the picture that was encoded" in to_text(other)


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"colors": [1]},
        {"colors": True},
        {"colors": "\x1b[31mred\n"},
        {"colors": -5},
        {"colors": 10**300},
        {"source_sha256": 5},
        {"\x1b[31m": "\u202e\n"},
        {"nested": json.loads("[" * 900 + "]" * 900)},
    ],
    ids=lambda recipe: str(recipe)[:20],
)
def test_recipes_are_not_relied_upon(recipe: dict[str, Any]) -> None:
    """Whatever a recipe holds, it is shown, and nothing follows from it."""
    pixels = photo()
    data = kmcodec.encode(pixels, 4, metadata=kmcodec.Metadata(recipe=recipe))
    report = kmcodec.report(pixels, data)
    assert (None, None, recipe) == (report.colors_asked, report.is_recorded_source, report.recorded)
    jsonschema.validate({**report.to_dict(), "recorded": {}}, SCHEMA)
    json.dumps(report.to_dict())
    assert all(character.isprintable() or character == "\n" for character in to_text(report))


def test_inputs_are_checked_and_not_modified() -> None:
    """Another size is the caller's mistake; arguments stay as they are."""
    pixels = photo()
    before = pixels.copy()
    data = kmcodec.encode(pixels, 4)
    kept = bytearray(data)
    kmcodec.report(pixels, kept)
    np.testing.assert_array_equal(before, pixels)
    assert data == kept
    with pytest.raises(ValueError, match="48 x 64 pixels, the .kmq file 64 x 48"):
        kmcodec.report(pixels.transpose(1, 0, 2), data)
    with pytest.raises(TypeError, match="uint8"):
        kmcodec.report(pixels.astype(float), data)
    with pytest.raises(ValueError, match="shape"):
        kmcodec.report(pixels[0], data)
    with pytest.raises(kmcodec.KmqFormatError):
        kmcodec.report(pixels, data[:-1])


def test_text_says_when_the_source_was_smaller() -> None:
    """A file that is larger than its source is called that."""
    pixels = photo()
    data = kmcodec.encode(pixels, 4)
    smaller = to_text(kmcodec.report(pixels, data, source_bytes=10**6))
    assert f"{10**6 / len(data):.2f} : 1 to the original file, which has 1,000,000 bytes\n" in smaller
    larger = to_text(kmcodec.report(pixels, data, source_bytes=100))
    assert (
        f"{100 / len(data):.2f} : 1 to the original file, which has 100 bytes: the original is smaller"
        in larger
    )


def test_titles_are_bold_only_where_that_is_understood() -> None:
    """A pipe gets plain text."""
    report = kmcodec.report(photo(), kmcodec.encode(photo(), 4))
    tables = list_tables(report, original="a.png", file="a.kmq")
    assert "\x1b" not in format_tables(tables)
    assert "\x1b[1mWhat it takes\x1b[0m" in format_tables(tables, is_colored=True)


class TestCommand:
    """kmq report."""

    def test_text_and_json(self, tmp_path: Path) -> None:
        """Both say the same as the library."""
        source = SAMPLES / "icon.png"
        succeed(tmp_path, "encode", str(source), "-o", "a.kmq", "-k", "16", "--quiet", "--recipe")
        values = json.loads(succeed(tmp_path, "report", str(source), "a.kmq", "--json"))
        jsonschema.validate(values, SCHEMA)
        report = kmcodec.report(
            load_picture(source),
            (tmp_path / "a.kmq").read_bytes(),
            source_bytes=source.stat().st_size,
        )
        assert json.loads(json.dumps(report.to_dict())) == values
        words = succeed(tmp_path, "report", str(source), "a.kmq").decode()
        assert format_tables(list_tables(report, original=str(source), file="a.kmq")) in words

    def test_command_for_the_other_coding(self, tmp_path: Path) -> None:
        """It gives the file that the report has promised, there and back."""
        succeed(tmp_path, "encode", str(SAMPLES / "icon.png"), "-o", "a b.kmq", "-k", "16", "--quiet")
        words = ["report", str(SAMPLES / "icon.png"), "a b.kmq"]
        for coding in ("context", "packed"):
            values = json.loads(succeed(tmp_path, *words, "--json"))
            command = re.search(r"kmq (recode .*)", succeed(tmp_path, *words).decode())
            assert command is not None
            succeed(tmp_path, *shlex.split(command[1]), "--quiet")
            assert values["codings"][coding]["file_bytes"] == (tmp_path / "a b.kmq").stat().st_size

    def test_compare(self, tmp_path: Path) -> None:
        """The table and the verdict stand in text, JSON and page; sizes are those of the picture alone."""
        Image.fromarray(photo()).save(tmp_path / "a.png")
        succeed(tmp_path, "encode", "a.png", "-o", "a.kmq", "-k", "8", "--quiet", "--recipe")
        succeed(tmp_path, "encode", "a.png", "-o", "plain.kmq", "-k", "8", "--quiet")
        values = json.loads(succeed(tmp_path, "report", "a.png", "a.kmq", "--compare", "--json"))
        jsonschema.validate(values, SCHEMA)
        rivals = values["comparison"]["rivals"]
        succeed(tmp_path, "encode", "a.png", "-o", "context.kmq", "-k", "8", "--quiet", "--coding", "context")
        sizes = [(tmp_path / name).stat().st_size for name in ("plain.kmq", "context.kmq")]
        assert sizes == [rival["file_bytes"] for rival in rivals[:2]]
        assert ["8 colours, packed", "8 colours, context-coded"] == [r["settings"] for r in rivals[:2]]
        assert "(kmq recode a.kmq --coding context --force)" in values["comparison"]["sentence"]
        again = json.loads(succeed(tmp_path, "report", "a.png", "context.kmq", "--compare", "--json"))
        assert sizes[::-1] == [rival["file_bytes"] for rival in again["comparison"]["rivals"][:2]]
        assert "recode" not in again["comparison"]["sentence"]
        words = succeed(tmp_path, "report", "a.png", "a.kmq", "--compare", "--html", "a.html").decode()
        page = html.unescape((tmp_path / "a.html").read_text(encoding="utf-8"))
        assert "without metadata" in words
        for rival in rivals:
            assert rival["name"] in words
            assert rival["name"] in page
            if rival["file_bytes"] is not None:
                assert f"{rival['file_bytes']:,}" in words
                assert f"{rival['file_bytes']:,}" in page
        assert values["comparison"]["sentence"] in words
        assert values["comparison"]["sentence"] in page

    def test_drawings(self, tmp_path: Path) -> None:
        """Each has a file of its own, in the format of its suffix."""
        Image.fromarray(photo()).save(tmp_path / "a.png")
        succeed(tmp_path, "encode", "a.png", "-o", "a.kmq", "-k", "8", "--quiet")
        report = ["report", "a.png", "a.kmq"]
        succeed(tmp_path, *report, "--side-by-side", "b.jpg")
        with Image.open(tmp_path / "b.jpg") as drawing:
            assert drawing.format == "JPEG"
        fail(tmp_path, *report, "--side-by-side", "b.no-such-suffix")
        for words in (["--html", "z", "--side-by-side", "./z"], ["--html", "-"], ["--side-by-side", "-"]):
            fail(tmp_path, *report, *words, status=2)

    def test_other_size(self, tmp_path: Path) -> None:
        """A file of another picture is an error of one line."""
        succeed(tmp_path, "encode", str(SAMPLES / "sprite.png"), "-o", "a.kmq", "--quiet")
        message = fail(tmp_path, "report", str(SAMPLES / "icon.png"), "a.kmq")
        assert "a.kmq: the original has 128 x 128 pixels, the .kmq file 16 x 16" in message

    def test_hint_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without scikit-image the report says how to get it."""
        monkeypatch.setitem(__import__("sys").modules, "skimage", None)
        report = kmcodec.report(photo(), kmcodec.encode(photo(), 4))
        assert to_text(report).endswith(f"\n\n{HINT}.")
