"""The specification, its test files, and a decoder that was written from it alone."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import ROOT, SPECIFICATION, indexed_images, tiny

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.metadata import describe_section

VECTORS = ROOT / "spec" / "vectors"
VALID = sorted((VECTORS / "valid").glob("*.kmq"))
INVALID = sorted((VECTORS / "invalid").glob("*.kmq"))


def load_minidecoder() -> ModuleType:
    """Import spec/minidecoder.py."""
    spec = importlib.util.spec_from_file_location("minidecoder", ROOT / "spec" / "minidecoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MINIDECODER: Any = load_minidecoder()


def expected_of(path: Path) -> dict[str, Any]:
    """Return the JSON of a vector."""
    expected: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return expected


def mini_pixels(picture: Any) -> NDArray[np.uint8]:
    """Return the pixels of the minidecoder's picture as an array."""
    shape = (picture.height, picture.width, picture.channels)
    return np.frombuffer(picture.pixels, np.uint8).reshape(shape)


class TestText:
    """What the specification says is true."""

    def test_example_is_what_is_written(self) -> None:
        """The annotated dump is a valid file, the one that is written, and of the stated size."""
        lines = re.findall(r"^    ([0-9a-f]{8})  ((?:[0-9a-f]{2} )+)", SPECIFICATION, re.MULTILINE)
        data = b""
        for offset, line in lines:
            assert int(offset, 16) == len(data)
            data += bytes.fromhex(line)
        assert write_image(tiny()) == data
        assert f"\n{len(data)} bytes in all" in SPECIFICATION
        np.testing.assert_array_equal(tiny().to_rgb(), kmcodec.decode(data))

    def test_crc_is_the_stated_one(self) -> None:
        """The check value of the checksum."""
        assert 0xCBF43926 == zlib.crc32(b"123456789")

    def test_packing_example(self) -> None:
        """Indices 2, 0, 1, 2, 1 at two bits are the bytes 86 40."""
        image = kmcodec.IndexedImage(np.zeros((3, 3), np.uint8), np.array([[2, 0, 1, 2, 1]], np.uint8))
        assert bytes.fromhex("8640") == write_image(image)[-6:-4]

    def test_minidecoder_quotes_it(self) -> None:
        """Every quotation in minidecoder.py stands word for word in the section that it names."""
        source = (ROOT / "spec" / "minidecoder.py").read_text(encoding="utf-8")
        flat = " ".join(re.sub(r"^\s*#", "", line).strip() for line in source.splitlines())
        quotations = re.findall(r'(?<![\d.x])(\d{1,2}(?:\.\d)*): "([^"]+?)\.?"', re.sub(r"\s+#\s", " ", flat))
        assert len(quotations) > 40
        sections = {}
        for part in re.split(r"^##+ ", SPECIFICATION, flags=re.MULTILINE)[1:]:
            number = part.split()[0].rstrip(".")
            sections[number] = " ".join(part.split())
        for number, quotation in quotations:
            assert " ".join(quotation.split()) in sections[number]

    def test_section_types_are_those_of_the_table(self) -> None:
        """The table of section types names those that the library writes."""
        table = SPECIFICATION.partition("### 5.1")[2].partition("### 5.2")[0]
        listed = re.findall(r"^\| `([a-z]{4})` \|", table, re.MULTILINE)
        everything = kmcodec.Metadata(
            icc_profile=bytes(16) + b"RGB " + bytes(16) + b"acsp" + bytes(100),
            exif=b"II*\0",
            xmp=b"<x/>",
            texts=(kmcodec.Text("Title", "a"),),
            density=kmcodec.Density(1, 1),
            recipe={},
        )
        assert listed == [section.type.decode() for section in everything.to_sections()]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_vectors(path: Path) -> None:
    """Both decoders give the expected pixels and metadata, or refuse what is too large."""
    data, expected = path.read_bytes(), expected_of(path)
    if expected.get("limit"):
        with pytest.raises(kmcodec.LimitExceededError):
            kmcodec.decode(data)
        with pytest.raises(MINIDECODER.TooLargeError):
            MINIDECODER.decode(data)
        return
    with Image.open(path.with_suffix(".png")) as image:
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels, kmcodec.decode(data))
    reader = kmcodec.KmqReader(data)
    np.testing.assert_array_equal(pixels, np.concatenate(list(reader)))
    assert (reader.width, reader.height) == (expected["width"], expected["height"])
    assert len(reader.palette) == expected["colors"]
    assert len(expected["sections"]) == len(reader.sections)
    for section, listed in zip(reader.sections, expected["sections"], strict=True):
        described = describe_section(section)
        for key in listed.keys() - {"type", "bytes", "sha256"}:
            assert listed[key] == described[key]
    decoded = MINIDECODER.decode(data)
    np.testing.assert_array_equal(pixels, mini_pixels(decoded))
    assert [section.payload for section in reader.sections] == [payload for _, payload in decoded.sections]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_vectors(path: Path) -> None:
    """Both decoders find the rule that is broken, at its place."""
    data, expected = path.read_bytes(), expected_of(path)
    with pytest.raises(kmcodec.KmqFormatError) as caught:
        kmcodec.decode(data)
    assert expected["offset"] == caught.value.offset
    # Those of strips have the number of the strip behind them.
    assert expected["field"] == caught.value.field.partition(" of strip")[0].partition(" in strip")[0]
    with pytest.raises(MINIDECODER.InvalidError) as mini_caught:
        MINIDECODER.decode(data)
    assert (expected["offset"], expected["field"]) == (mini_caught.value.offset, mini_caught.value.field)


def test_every_field_and_table_row_is_broken_once() -> None:
    """There is an invalid vector for each field that an error can name."""
    fields = {expected_of(path)["field"] for path in INVALID}
    named = set(
        re.findall(r"\| `([a-z_ ]+)` \|", SPECIFICATION.partition("### 7.1")[2].partition("### 7.2")[0])
    )
    header = {
        "signature",
        "version",
        "storage",
        "last_index",
        "width",
        "height",
        "strip_rows",
        "sections_bytes",
        "header_crc",
    }
    assert fields == named | header | {"palette_crc", "sections_crc", "table_crc", "strip_crc"}


def test_vectors_are_those_that_the_script_makes(tmp_path: Path) -> None:
    """Running make_vectors.py again gives the same files."""
    script = (ROOT / "spec" / "make_vectors.py").read_bytes()
    (tmp_path / "make_vectors.py").write_bytes(script)
    subprocess.run([sys.executable, tmp_path / "make_vectors.py"], check=True, capture_output=True)
    for group, suffixes in (("valid", (".kmq", ".json")), ("invalid", (".kmq", ".json"))):
        made = {path.name: path for path in (tmp_path / "vectors" / group).iterdir()}
        assert made.keys() == {path.name for path in (VECTORS / group).iterdir()}
        for name, path in made.items():
            if path.suffix in suffixes:
                assert path.read_bytes() == (VECTORS / group / name).read_bytes()


def test_conformance_runs_a_decoder() -> None:
    """conformance.py passes the minidecoder as a command, and fails one that decodes nothing."""
    script, decoder = str(ROOT / "spec" / "conformance.py"), str(ROOT / "spec" / "minidecoder.py")
    info = shlex.join([sys.executable, decoder, "--info", "{in}"])
    command = [sys.executable, decoder, "{in}", "{out}"]
    run = subprocess.run(
        [sys.executable, script, "--offsets", "--info", info, "--", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (run.returncode, run.stderr)
    assert re.search(rf"^invalid +{len(INVALID)} +{len(INVALID)}$", run.stdout, re.MULTILINE)


@given(indexed_images(), st.one_of(st.none(), st.integers(1, 25)))
def test_minidecoder_reads_what_is_written(image: kmcodec.IndexedImage, strip_rows: int | None) -> None:
    """The decoder that was written from the specification alone decodes whatever kmcodec writes."""
    decoded = MINIDECODER.decode(write_image(image, strip_rows=strip_rows))
    np.testing.assert_array_equal(image.to_rgb(), mini_pixels(decoded))
    assert [(section.type.decode(), section.payload) for section in image.sections] == decoded.sections


@given(st.binary(min_size=19, max_size=19), st.binary(max_size=60))
def test_decoders_agree_on_arbitrary_fields(fields: bytes, rest: bytes) -> None:
    """Whatever stands in a header, both decoders report the same error, or show the same pixels."""
    head = b"\x89KMQ\r\n\x1a\n\x10" + fields
    data = head + struct.pack("<I", zlib.crc32(head)) + rest
    assert outcome_of_kmcodec(data) == outcome_of_minidecoder(data)


def outcome_of_kmcodec(data: bytes) -> tuple[str, bytes | int]:
    """Return what became of a file."""
    try:
        return "pixels", kmcodec.decode(data, max_pixels=1 << 20).tobytes()
    except kmcodec.KmqFormatError as error:
        return "invalid", error.offset
    except kmcodec.LimitExceededError:
        return "too large", 0


def outcome_of_minidecoder(data: bytes) -> tuple[str, bytes | int]:
    """Return what became of a file."""
    try:
        return "pixels", MINIDECODER.decode(data, max_pixels=1 << 20).pixels
    except MINIDECODER.InvalidError as error:
        return "invalid", error.offset
    except MINIDECODER.TooLargeError:
        return "too large", 0
