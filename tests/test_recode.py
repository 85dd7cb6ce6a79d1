"""Recoding: another coding, or other strips, and not a bit else is changed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import fail, indexed_images, names, photo, run, succeed, tiny

import kmcodec
from kmcodec.cli import arguments
from kmcodec.container import layout, recode
from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.image import to_indices

CODINGS = st.sampled_from(layout.CODINGS)
STRIP_ROWS = st.one_of(st.none(), st.integers(1, 25))
METADATA = kmcodec.Metadata(texts=(kmcodec.Text("Title", "a"),))


@given(indexed_images(), CODINGS, CODINGS, STRIP_ROWS, STRIP_ROWS, st.integers(1, 3))
def test_there_and_back(
    image: kmcodec.IndexedImage,
    first: str,
    second: str,
    first_rows: int | None,
    second_rows: int | None,
    threads: int,
) -> None:
    """A file is recoded to that which encoding gives, and back to the bytes that it had."""
    data = write_image(image, strip_rows=first_rows, coding=first)
    other = kmcodec.recode(data, coding=second, strip_rows=second_rows, threads=threads)
    assert write_image(image, strip_rows=second_rows, coding=second) == other
    assert data == kmcodec.recode(other, coding=first, strip_rows=first_rows, threads=threads)


@given(indexed_images(max_side=40), CODINGS, CODINGS, *3 * [st.integers(1, 9)])
def test_blocks_do_not_show(
    image: kmcodec.IndexedImage, first: str, second: str, first_rows: int, second_rows: int, pixels: int
) -> None:
    """However many rows are in memory at a time, the file is the same."""
    data = write_image(image, strip_rows=first_rows, coding=first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recode, "_BLOCK_PIXELS", pixels**3)
        other = kmcodec.recode(data, coding=second, strip_rows=second_rows, threads=2)
    assert write_image(image, strip_rows=second_rows, coding=second) == other


@given(indexed_images(), CODINGS, st.integers(1, 9), st.integers(1, 9))
def test_strips_come_several_at_a_time(
    image: kmcodec.IndexedImage, coding: str, strip_rows: int, at_a_time: int
) -> None:
    """KmqReader.strips yields the rows of as many strips as are asked for."""
    reader = KmqReader(write_image(image, strip_rows=strip_rows, coding=coding))
    blocks = list(reader.strips(at_a_time=at_a_time))
    assert -(-reader.header.strip_count // at_a_time) == len(blocks)
    np.testing.assert_array_equal(image.indices, np.concatenate(blocks))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at_a_time"):
            next(reader.strips(at_a_time=wrong))


def test_a_file_object_will_do() -> None:
    """What KmqReader reads, recode reads."""
    data = write_image(tiny())
    assert write_image(tiny(), coding="context") == kmcodec.recode(io.BytesIO(data), coding="context")


def test_every_flipped_bit_is_refused() -> None:
    """A damaged file is not recoded."""
    image = kmcodec.quantize(photo(12, 16), 5)
    for coding, other in (("packed", "context"), ("context", "packed")):
        data = write_image(image, strip_rows=5, coding=coding)
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(kmcodec.KmqFormatError):
                kmcodec.recode(damaged, coding=other)


def test_limits() -> None:
    """Memory is that of strips: a strip is held to the limit, and a picture of one colour as a whole."""
    data = write_image(kmcodec.quantize(photo(), 16), strip_rows=8)
    kmcodec.recode(data, coding="context", max_pixels=8 * 64)
    with pytest.raises(kmcodec.LimitExceededError, match="a strip has 512 pixels, the limit is 511"):
        kmcodec.recode(data, coding="context", max_pixels=8 * 64 - 1)
    single = write_image(kmcodec.IndexedImage(np.zeros((1, 3), np.uint8), np.zeros((8, 8), np.uint8)))
    with pytest.raises(kmcodec.LimitExceededError, match="of one colour is 63"):
        kmcodec.recode(single, coding="packed", max_pixels=8 * 64 - 1)
    header = layout.Header(2**32 - 1, 2**32 - 1, 0, False, 2**32 - 1, 0).to_bytes()
    huge = header + single[layout.HEADER_BYTES :]
    with pytest.raises(kmcodec.LimitExceededError):
        kmcodec.recode(huge, coding="context")


@pytest.mark.parametrize("wrong", [{"coding": "zip"}, {"coding": "packed", "strip_rows": 0}])
def test_wrong_arguments(wrong: dict[str, object]) -> None:
    """They are what they are for encode."""
    with pytest.raises(ValueError, match="must be"):
        kmcodec.recode(write_image(tiny()), **wrong)  # type: ignore[arg-type]


# ------------------------------ The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a packed file with metadata, a.kmq."""
    (tmp_path / "a.kmq").write_bytes(encode())
    return tmp_path


def encode(coding: Literal["packed", "context"] = "packed", strip_rows: int | None = None) -> bytes:
    """Return a picture's file, with metadata and a recipe."""
    return kmcodec.encode(photo(), 16, coding=coding, strip_rows=strip_rows, metadata=METADATA, recipe=True)


def test_to_another_file(folder: Path) -> None:
    """The new file is what encode would have written; one line says what it takes; the old one stays."""
    line = succeed(folder, "recode", "a.kmq", "--coding", "context", "-o", "b.kmq").decode()
    before, after = len(encode()), len(encode("context"))
    expected = f"b.kmq: context coding, {after:,} bytes, {100 * after / before:.1f} % of {before:,}\n"
    assert expected == line
    assert encode("context") == (folder / "b.kmq").read_bytes()
    assert encode() == (folder / "a.kmq").read_bytes()
    words = ["--coding", "packed", "--strip-rows", "7", "--threads", "2", "--quiet"]
    assert b"" == succeed(folder, "recode", "b.kmq", "-o", "c.kmq", *words)
    assert encode(strip_rows=7) == (folder / "c.kmq").read_bytes()
    assert ["a.kmq", "b.kmq", "c.kmq"] == names(folder)
    assert arguments.CODINGS == layout.CODINGS


@pytest.mark.parametrize("more", [[], ["-o", "a.kmq"], ["-o", "link.kmq"]])
def test_in_place(folder: Path, more: list[str]) -> None:
    """Without -o, or with the same file, the input is replaced, with --force only."""
    (folder / "link.kmq").symlink_to("a.kmq")
    name = more[-1] if more else "a.kmq"
    message = fail(folder, "recode", "a.kmq", "--coding", "context", *more)
    assert f"kmq: {name}: exists already; --force replaces it\n" == message
    assert encode() == (folder / "a.kmq").read_bytes()
    os.chmod(folder / "a.kmq", 0o640)
    succeed(folder, "recode", "a.kmq", "--coding", "context", "--force", *more)
    assert encode("context") == (folder / "a.kmq").read_bytes()
    assert 0o640 == (folder / "a.kmq").stat().st_mode & 0o777 or os.name == "nt"
    assert ["a.kmq", "link.kmq"] == names(folder)
    assert (folder / "link.kmq").is_symlink()


def test_pipes(folder: Path) -> None:
    """A dash is standard input or output; standard input goes to standard output by default."""
    words = ["recode", "--coding", "context"]
    assert encode("context") == succeed(folder, *words, "-", stdin=encode())
    assert encode("context") == succeed(folder, *words, "a.kmq", "-o", "-")
    succeed(folder, *words, "-", "-o", "b.kmq", stdin=encode())
    assert encode("context") == (folder / "b.kmq").read_bytes()
    assert "standard output" in fail(folder, *words, "a.kmq", "-o", "-", "--json", status=2)


def test_json(folder: Path) -> None:
    """JSON has the keys of encode."""
    values = json.loads(succeed(folder, "recode", "a.kmq", "--coding", "context", "-o", "b.kmq", "--json"))
    assert (len(encode()), len(encode("context"))) == (values["source_bytes"], values["file_bytes"])
    assert "context" == values["coding"]
    assert values["seconds"] > 0


@pytest.mark.parametrize("kind", ["one colour", "16-bit indices", "alpha", "opaque alpha"])
def test_pictures(folder: Path, kind: str) -> None:
    """Any picture goes there and back; one of one colour stays packed, and that is said."""
    rng = np.random.default_rng(0)
    n_colors = {"one colour": 1, "16-bit indices": 3000}.get(kind, 5)
    palette = rng.integers(0, 256, (n_colors, 4 if "alpha" in kind else 3), np.uint8)
    if kind == "opaque alpha":
        palette[:, 3] = 255
    indices = to_indices(rng.integers(0, n_colors, (30, 40)), n_colors)
    payloads = {b"xyZw": b"\0\1", b"rcpe": b"{no JSON", b"text": b"", b"aBcD": b"x"}
    unknown = tuple(kmcodec.Section(*item) for item in payloads.items())
    data = write_image(kmcodec.IndexedImage(palette, indices, unknown), strip_rows=9)
    (folder / "p.kmq").write_bytes(data)
    words = ["--strip-rows", "9", "-o"]
    line = succeed(folder, "recode", "p.kmq", "--coding", "context", *words, "c.kmq")
    is_single = n_colors == 1
    assert (b"packed coding, since it has one colour" in line) == is_single
    assert (b"context coding, " in line) != is_single
    with kmcodec.open(folder / "c.kmq") as reader:
        assert ("packed" if is_single else "context", unknown) == (reader.header.coding, reader.sections)
        np.testing.assert_array_equal(indices, reader.indices())
        np.testing.assert_array_equal(palette, reader.palette)
    line = succeed(folder, "recode", "c.kmq", "--coding", "packed", *words, "p.kmq", "--force")
    assert b"since" not in line
    assert data == (folder / "p.kmq").read_bytes()


@pytest.mark.parametrize("output", ["b.kmq", "a.kmq", "old.kmq"])
@pytest.mark.parametrize("place", [3, 40, 90, -100, -2])
def test_damaged(folder: Path, output: str, place: int) -> None:
    """A damaged file is refused in the usual line; input and old output stay, and nothing is left."""
    data = bytearray(encode(strip_rows=8))
    data[place] ^= 0x10
    (folder / "a.kmq").write_bytes(data)
    (folder / "old.kmq").write_bytes(b"old")
    before = names(folder)
    message = fail(folder, "recode", "a.kmq", "--coding", "context", "-o", output, "--force")
    assert message.startswith("kmq: a.kmq: ")
    assert " at offset " in message
    assert before == names(folder)
    assert data == (folder / "a.kmq").read_bytes()
    assert b"old" == (folder / "old.kmq").read_bytes()
    assert (
        "standard input: "
        in run(folder, "recode", "-", "--coding", "packed", stdin=bytes(data)).stderr.decode()
    )


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["missing.kmq"], "missing.kmq: No such file or directory", 1),
        (["folder"], "folder: is a folder", 1),
        (["folder", "-o", "b.kmq"], "folder: Is a directory", 1),
        (["a.kmq", "-o", "folder"], "folder: is a folder", 1),
        (["a.kmq", "-o", "none/b.kmq"], "none/b.kmq: its folder does not exist", 1),
        (["text", "-o", "b.kmq"], "text: not a .kmq file: signature at offset 0", 1),
        (["a.kmq", "-o", "b.kmq", "--max-pixels", "3071"], "the limit is 3071; --max-pixels allows more", 1),
        ([], "IN.kmq is missing", 2),
    ],
)
def test_refusals(folder: Path, words: list[str], message: str, status: int) -> None:
    """What cannot be done is said in one line, and nothing is left behind."""
    (folder / "folder").mkdir()
    (folder / "text").write_text("no picture")
    before = names(folder)
    assert message in fail(folder, "recode", *words, "--coding", "context", "--force", status=status)
    assert before == names(folder)


@pytest.mark.skipif(os.name == "nt", reason="named pipes are a matter of POSIX")
def test_a_pipe_is_not_replaced(folder: Path) -> None:
    """What is no file needs another output."""
    os.mkfifo(folder / "pipe")
    message = fail(folder, "recode", "pipe", "--coding", "context", "--force", status=2)
    assert "pipe is no file that can be replaced; name one with -o" in message


def test_usage(folder: Path) -> None:
    """The coding has to be said; the help says what is replaced."""
    assert "--coding is missing" in fail(folder, "recode", "a.kmq", status=2)
    assert "--coding must be packed or context, found 'zip'" in fail(
        folder, "recode", "a.kmq", "--coding", "zip", status=2
    )
    text = succeed(folder, "recode", "--help").decode()
    assert "IN.kmq itself is replaced" in text
    assert max(len(line) for line in text.splitlines()) <= 80
