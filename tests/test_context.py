"""Context coding: the same indices come back, the same bits compiled or not, and damage is found."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import ROOT, SPECIFICATION, indexed_images, photo

import kmcodec
from kmcodec import kernels
from kmcodec.cli import main
from kmcodec.coding import context
from kmcodec.container import layout
from kmcodec.container.reader import KmqReader
from kmcodec.container.salvage import salvage
from kmcodec.container.writer import KmqWriter, write_image
from kmcodec.errors import KmqFormatError, PayloadError
from kmcodec.image import IndexedImage, Indices, to_indices

PLAIN = kernels.load_uncompiled("context")


@st.composite
def patterned_images(draw: st.DrawFn, max_side: int = 24) -> IndexedImage:
    """Draw pictures of boxes, of lines that repeat and of noise: runs, matches and all depths of the tree."""
    n_colors = draw(st.sampled_from((2, 3, 4, 5, 7, 16, 17, 63, 64, 200, 256, 300, 1000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.integers(0, 256, (n_colors, draw(st.sampled_from((3, 4)))), np.uint8)
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, 3 * max_side))
    indices = np.full((height, width), rng.integers(n_colors))
    for _ in range(draw(st.integers(0, 5))):
        y, x = rng.integers(height), rng.integers(width)
        indices[y : y + rng.integers(1, 12), x : x + rng.integers(1, 40)] = rng.integers(n_colors)
    if draw(st.booleans()):
        glyph = rng.integers(0, n_colors, (5, 4))
        for top in range(0, height - 5, 7):
            for left in range(0, width - 4, 6):
                indices[top : top + 5, left : left + 4] = glyph
    noisy = rng.random((height, width)) < draw(st.sampled_from((0, 0.02, 1)))
    indices[noisy] = rng.integers(0, n_colors, int(noisy.sum()))
    return IndexedImage(palette, to_indices(indices, n_colors))


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Let context coding run its kernel as plain Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "kernel", PLAIN)
        yield


def several(images: IndexedImage) -> bool:
    """Return whether there is anything to code."""
    return len(images.palette) > 1


def code(image: IndexedImage) -> tuple[bytes, context.Tree]:
    """Return the payload of an image, and the tree of its palette."""
    tree = context.build_tree(image.palette)
    return context.encode(image.indices, tree), tree


def decode(payload: bytes, image: IndexedImage, tree: context.Tree) -> Indices:
    """Return the indices that a payload holds."""
    return context.decode(payload, image.height, image.width, tree)


def page(height: int = 60, width: int = 90) -> IndexedImage:
    """Return something like a page of text, with a photograph in it."""
    rng = np.random.default_rng(5)
    indices = np.zeros((height, width), np.uint8)
    glyphs = rng.integers(0, 4, (3, 6, 5))
    for y in range(3, height - 6, 9):
        for x in range(2, width - 40, 7):
            indices[y : y + 6, x : x + 5] = glyphs[(x * y) % 3]
    picture = kmcodec.quantize(photo(height, 32), 30)
    indices[:, width - 32 :] = picture.indices + 4
    palette = np.vstack([[[255, 255, 255], [0, 0, 0], [90, 90, 90], [180, 180, 180]], picture.palette])
    return IndexedImage(palette.astype(np.uint8), indices)


@given(st.one_of(indexed_images().filter(several), patterned_images()))
def test_decoding_gives_back_what_was_encoded(image: IndexedImage) -> None:
    """A strip is decoded without knowledge of any other, to the indices that were encoded."""
    payload, tree = code(image)
    decoded = decode(payload, image, tree)
    assert image.indices.dtype == decoded.dtype
    np.testing.assert_array_equal(image.indices, decoded)


@given(patterned_images(max_side=12))
@settings(max_examples=40)
def test_compiled_and_plain_kernels_agree(image: IndexedImage) -> None:
    """One source, two speeds, the same bits."""
    payload, tree = code(image)
    with uncompiled():
        plain_payload, plain_tree = code(image)
        plain_indices = decode(payload, image, tree)
    assert payload == plain_payload
    for compiled, plain in zip(tree, plain_tree, strict=True):
        np.testing.assert_array_equal(compiled, plain)
    np.testing.assert_array_equal(image.indices, plain_indices)


@given(patterned_images(max_side=16), st.data())
def test_any_payload_decodes_or_is_refused(image: IndexedImage, data: st.DataObject) -> None:
    """Whatever the bytes are, they are indices of the palette in as many bytes as it takes, or an error."""
    payload, tree = code(image)
    damaged = bytearray(payload)
    kind = data.draw(st.sampled_from(("flip", "cut", "more", "other")))
    if kind == "flip" and damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    elif kind == "more":
        damaged += data.draw(st.binary(min_size=1, max_size=6))
    else:
        damaged = bytearray(data.draw(st.binary(max_size=60)))
    try:
        indices = decode(bytes(damaged), image, tree)
    except PayloadError:
        assert bytes(damaged) != payload
    else:
        assert image.indices.shape == indices.shape
        assert int(indices.max()) < len(image.palette)
        with pytest.raises(PayloadError):
            decode(bytes(damaged) + b"\0", image, tree)


@pytest.mark.parametrize("more", [b"\0", b"\x01\x02\x03"])
def test_a_payload_that_is_too_long_is_refused(more: bytes) -> None:
    """The payload must have `shifts` bytes if low is 0, else one more."""
    image = page()
    payload, tree = code(image)
    with pytest.raises(PayloadError, match="payload") as caught:
        decode(payload + more, image, tree)
    assert 8 * len(payload) == caught.value.bit


def test_some_payloads_that_are_cut_are_found_by_their_checksum_alone() -> None:
    """Payload checks do not find every payload that is cut short; `strip_crc` does."""
    path = ROOT / "spec" / "vectors" / "valid" / "context-sections.kmq"
    data = path.read_bytes()
    header = KmqReader(data).header
    start, tree = header.strip_offset(2), context.build_tree(KmqReader(data).palette)
    payload = data[start : start + header.payload_bytes(2) - 2]
    indices = context.decode(payload, header.rows_of_strip(2), header.width, tree)
    assert int(indices.max()) < header.n_colors
    with pytest.raises(KmqFormatError) as caught:
        kmcodec.decode(data[: start + len(payload)] + data[-4:])
    assert caught.value.field.startswith("strip_crc")


def test_noise_after_learning_takes_less_than_29_bytes_a_pixel() -> None:
    """A payload has at most 29 bytes a pixel, also where the model has learnt to be surprised."""
    rng = np.random.default_rng(8)
    palette = rng.integers(0, 256, (65536, 3), np.uint8)
    flat = np.zeros((300, 400), np.uint16)
    flat[-1, 200:] = rng.integers(1, 65536, 200)
    image = IndexedImage(palette, flat)
    before = len(code(IndexedImage(palette, np.zeros((300, 400), np.uint16)))[0])
    assert 200 * 2 < len(code(image)[0]) - before < 200 * 29


@given(patterned_images(max_side=16), st.data())
def test_the_first_rows_come_alone(image: IndexedImage, data: st.DataObject) -> None:
    """Rows that are wanted are those of the whole, and of a payload that is cut all are right that come."""
    payload, tree = code(image)
    stop = data.draw(st.integers(1, image.height))
    rows = context.decode(payload, image.height, image.width, tree, stop_row=stop)
    np.testing.assert_array_equal(image.indices[:stop], rows)
    cut = payload[: data.draw(st.integers(0, len(payload)))]
    saved = context.decode_cut(cut, image.height, image.width, tree)
    np.testing.assert_array_equal(image.indices[: len(saved)], saved)


def test_a_page_of_text_takes_little() -> None:
    """What repeats costs next to nothing: half of what fixed width packed by zlib takes."""
    import zlib

    image = page(240, 320)
    packed = zlib.compress(image.indices.tobytes(), 9)
    assert len(code(image)[0]) < len(packed) / 2


def test_noise_takes_hardly_more_than_packed() -> None:
    """The worst that a picture of noise can do is to learn nothing."""
    rng = np.random.default_rng(3)
    for n_colors in (2, 64, 256, 4000):
        palette = rng.integers(0, 256, (n_colors, 3), np.uint8)
        indices = to_indices(rng.integers(0, n_colors, (128, 128)), n_colors)
        image = IndexedImage(palette, indices)
        assert len(write_image(image, coding="context")) < 1.1 * len(write_image(image))


def test_the_model_is_small() -> None:
    """What is remembered takes less than 6 MiB and a byte a column."""
    tree = context.build_tree(page().palette)
    context._make_tables()
    indices, payload = np.zeros(1 << 24, np.uint16), np.zeros(1, np.uint8)
    tracemalloc.start()
    coder = context._Strip(indices, payload, 1 << 12, tree, window=-1)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert coder.position == 0
    assert 3 << 20 < taken < (6 << 20) + (1 << 12)


def test_tables_are_those_of_the_specification() -> None:
    """L, C, the multipliers and the numbers derived stand in section 6.2 as they are used."""
    tables = context._make_tables()
    text = SPECIFICATION[SPECIFICATION.index("*Logistic.*") :]
    numbers = [int(n) for n in re.findall(r"\d+", text[text.index("= ") : text.index(", and L[-i]")])]
    assert numbers == list(context._LOGISTIC)
    assert numbers[:-1] == tables.squash[2048::64].tolist()
    assert f"C[0..7] = {', '.join(map(str, context._CAPS))}" in text
    least, most = tables.stretch[0], tables.stretch[4095]
    assert f"from stretch(0) = {least} to stretch(4095) = {most}" in " ".join(text.split())
    states = sum(context._is_state(zeros, ones) for zeros in range(32) for ones in range(32))
    assert f"(0, 0) is state 0, and there are {states}." in " ".join(text.split())
    assert f"a payload has at most {layout._MOST_CONTEXT_BYTES} bytes a pixel" in SPECIFICATION
    source = Path(kernels.__file__).with_name("context.py").read_text(encoding="utf-8")
    used = dict(re.findall(r"(M_\w+) = cython.declare\(cython.ulonglong, 0x([0-9A-F]+)\)", source))
    given_ = dict(re.findall(r"(M_\w+) +([0-9A-F]{8})\b", SPECIFICATION))
    assert len(used) == 23
    assert used == given_


def test_stretch_undoes_squash() -> None:
    """stretch(q) = the least x with squash(x) >= 16 * q + 8."""
    tables = context._make_tables()
    squash: NDArray[np.int64] = tables.squash.astype(np.int64)
    assert (np.diff(squash) >= 0).all()
    for q in range(0, 4096, 37):
        x = int(tables.stretch[q])
        assert squash[x + 2047] < 16 * q + 8 <= squash[x + 2048]


# ------------------------------ In files


@given(st.one_of(indexed_images(), patterned_images()), st.one_of(st.none(), st.integers(1, 9)))
def test_files_are_read_as_they_were_written(image: IndexedImage, strip_rows: int | None) -> None:
    """Palette, indices and sections come back, from strips of any height, and re-encode to the same bytes."""
    data = write_image(image, strip_rows=strip_rows, coding="context")
    reader = KmqReader(data)
    assert ("context" if several(image) else "packed") == reader.header.coding
    again = reader.image()
    np.testing.assert_array_equal(image.palette, again.palette)
    np.testing.assert_array_equal(image.indices, again.indices)
    np.testing.assert_array_equal(image.to_rgb(), reader.pixels())
    np.testing.assert_array_equal(image.indices, np.concatenate(list(reader.strips())))
    assert image.sections == again.sections
    assert data == write_image(again, strip_rows=strip_rows, coding="context")
    reader.verify()


@given(patterned_images(), st.integers(1, 9), st.data())
def test_regions_are_parts_of_the_picture(image: IndexedImage, strip_rows: int, data: st.DataObject) -> None:
    """A region is what cutting it out of the whole gives, from memory and from a file."""
    encoded = write_image(image, strip_rows=strip_rows, coding="context")
    x, y = data.draw(st.integers(0, image.width - 1)), data.draw(st.integers(0, image.height - 1))
    width = data.draw(st.integers(1, image.width - x))
    height = data.draw(st.integers(1, image.height - y))
    for source in (encoded, io.BytesIO(encoded)):
        region = KmqReader(source).region(x, y, width, height)
        np.testing.assert_array_equal(image.to_rgb()[y : y + height, x : x + width], region)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_show(threads: int) -> None:
    """Strips are coded side by side, to the same bytes and pixels."""
    image = page()
    data = write_image(image, strip_rows=7, coding="context")
    assert data == write_image(image, strip_rows=7, coding="context", threads=threads)
    np.testing.assert_array_equal(image.to_rgb(), KmqReader(data).pixels(threads=threads))


@pytest.mark.parametrize("strip_rows", [None, 20])
def test_every_flipped_bit_and_every_truncation_is_detected(strip_rows: int | None) -> None:
    """Every byte stands under a checksum, those of the strip table too."""
    data = write_image(page(), strip_rows=strip_rows, coding="context")
    for length in range(len(data)):
        with pytest.raises(KmqFormatError):
            KmqReader(data[:length]).pixels()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KmqFormatError):
            KmqReader(damaged).pixels()


def test_overhead_is_40_bytes_in_one_strip_and_8_more_for_each_other() -> None:
    """Everything but palette and indices takes 40 bytes; a strip more has a table entry and a checksum."""
    image = page()
    one = KmqReader(write_image(image, coding="context")).header
    assert 40 == one.file_bytes - one.palette_bytes - one.payload_bytes(0)
    three = KmqReader(write_image(image, strip_rows=20, coding="context")).header
    indices = sum(three.payload_bytes(number) for number in range(3))
    assert 40 + 3 * 8 - 4 == three.file_bytes - three.palette_bytes - indices


def test_a_sprite_takes_less_than_packed() -> None:
    """A 16 x 16 sprite of 4 colours takes under 120 bytes."""
    indices = np.zeros((16, 16), np.uint8)
    indices[4:12, 4:12], indices[6:10, 6:10], indices[7, 7:9] = 1, 2, 3
    sprite = IndexedImage(np.arange(12, dtype=np.uint8).reshape(4, 3), indices)
    assert len(write_image(sprite, coding="context")) < len(write_image(sprite)) < 120


def test_rows_may_come_in_any_number_to_any_target() -> None:
    """A file written row by row, to something that cannot seek, is the one written at once."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data[:100])
            return min(len(data), 100)

    image, pipe = page(), Pipe()
    target: io.RawIOBase = pipe
    with KmqWriter(
        target,  # type: ignore[arg-type]
        image.palette,
        image.width,
        image.height,
        strip_rows=11,
        coding="context",
    ) as writer:
        for row in range(0, image.height, 4):
            writer.append(image.indices[row : row + 4])
    data = write_image(image, strip_rows=11, coding="context")
    assert data == pipe.data
    assert len(data) == writer.header.file_bytes


def test_strips_that_are_whole_are_saved() -> None:
    """Of a file with a damaged strip the others are saved; of one that is cut, the rows before the cut."""
    image = page()
    data = write_image(image, strip_rows=20, coding="context")
    header = KmqReader(data).header
    damaged = bytearray(data)
    damaged[header.strip_offset(1) + 5] ^= 1
    saved = salvage(damaged)
    assert [(20, 40)] == saved.lost
    np.testing.assert_array_equal(image.to_rgb()[:20], saved.pixels[:20])
    np.testing.assert_array_equal(image.to_rgb()[40:], saved.pixels[40:])
    for length in range(header.table_offset, len(data), 97):
        saved = salvage(data[:length])
        rows = saved.lost[0][0] if saved.lost else image.height
        np.testing.assert_array_equal(image.to_rgb()[:rows], saved.pixels[:rows])
        assert rows >= sum(20 for n in range(3) if header.strip_offset(n + 1) <= length if n < 2)


def test_a_damaged_table_costs_what_lies_behind_the_damage() -> None:
    """Strips before a wrong entry are saved, and so is a file whose table has only a wrong checksum."""
    image = page()
    data = write_image(image, strip_rows=10, coding="context")
    offset = KmqReader(data).header.table_offset
    damaged = bytearray(data)
    damaged[offset + 4 * 2] ^= 1
    saved = salvage(damaged)
    np.testing.assert_array_equal(image.to_rgb()[:20], saved.pixels[:20])
    assert "table_crc" in str(saved.faults[0])
    damaged = bytearray(data)
    damaged[offset + 4 * 5] ^= 1
    np.testing.assert_array_equal(image.to_rgb(), salvage(damaged).pixels)


def test_sizes_in_the_table_are_checked_against_the_file() -> None:
    """A strip's table entry that leads beyond the file is an error at the end of the file."""
    image = page()
    data = bytearray(write_image(image, strip_rows=20, coding="context"))
    header = KmqReader(bytes(data)).header
    sizes = [header.payload_bytes(0), len(data)]
    data[header.table_offset : header.table_offset + header.table_bytes] = layout.build_table(sizes)
    with pytest.raises(KmqFormatError) as caught:
        KmqReader(bytes(data))
    assert ("file", len(data)) == (caught.value.field, caught.value.offset)


@pytest.mark.parametrize("coding", ["zip", "", None])
def test_unknown_codings_are_refused(coding: str) -> None:
    """A coding is the name of one."""
    with pytest.raises(ValueError, match="coding must be one of packed, context"):
        kmcodec.encode(photo(), 4, coding=coding)  # type: ignore[arg-type]


def test_the_command_line_codes_in_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoding with --coding context gives the pixels of packed coding, in fewer bytes, and info says so."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(96, 128)).save("a.png")
    assert 0 == main(["encode", "a.png", "-k", "16", "--coding", "context", "--json"])
    assert "context" == json.loads(capsys.readouterr().out)["coding"]
    assert 0 == main(["encode", "a.png", "-k", "16", "-o", "b.kmq", "--quiet"])
    assert Path("a.kmq").stat().st_size < Path("b.kmq").stat().st_size
    np.testing.assert_array_equal(kmcodec.read("a.kmq"), kmcodec.read("b.kmq"))
    assert 0 == main(["info", "a.kmq"])
    assert re.search(r"coding +context, \d\.\d{3} bits per pixel", capsys.readouterr().out)
    assert 0 == main(["verify", "a.kmq"])
    assert 0 == main(["decode", "a.kmq", "-o", "c.png", "--region", "3,4,20,30"])
    np.testing.assert_array_equal(kmcodec.read("b.kmq")[4:34, 3:23], np.asarray(Image.open("c.png")))
