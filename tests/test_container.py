"""The container: what is written is read back, and everything else is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import indexed_images, set_bits, tiny

import kmcodec
from kmcodec.container.reader import KmqReader, read_stream
from kmcodec.container.writer import write_image


def with_header(data: bytes, offset: int, field: bytes) -> bytes:
    """Return a file with a field of its header replaced, and the right checksum."""
    header = data[:offset] + field + data[offset + len(field) : 28]
    return header + struct.pack("<I", zlib.crc32(header)) + data[32:]


@given(indexed_images(), st.one_of(st.none(), st.integers(1, 25)))
def test_writing_and_reading_are_inverse(image: kmcodec.IndexedImage, strip_rows: int | None) -> None:
    """Palette, indices and sections come back as they were, from bytes and from a file object."""
    data = write_image(image, strip_rows=strip_rows)
    for source in (data, io.BytesIO(data)):
        reader = KmqReader(source)
        again = reader.image()
        np.testing.assert_array_equal(image.palette, again.palette)
        np.testing.assert_array_equal(image.indices, again.indices)
        assert image.indices.dtype == again.indices.dtype
        assert image.sections == again.sections
        np.testing.assert_array_equal(image.to_rgb(), reader.pixels())
        reader.verify()
    assert len(data) == reader.header.file_bytes
    assert data == write_image(again, strip_rows=strip_rows)


@given(indexed_images(), st.integers(1, 25), st.data())
def test_regions_are_parts_of_the_picture(
    image: kmcodec.IndexedImage, strip_rows: int, data: st.DataObject
) -> None:
    """A region has the pixels that the picture has there."""
    reader = KmqReader(write_image(image, strip_rows=strip_rows))
    x, y = data.draw(st.integers(0, image.width - 1)), data.draw(st.integers(0, image.height - 1))
    width = data.draw(st.integers(1, image.width - x))
    height = data.draw(st.integers(1, image.height - y))
    region = reader.region(x, y, width, height)
    np.testing.assert_array_equal(image.to_rgb()[y : y + height, x : x + width], region)


@pytest.mark.parametrize("region", [(-1, 0, 1, 1), (0, 0, 0, 1), (3, 0, 1, 1), (0, 1, 1, 2), (0, 0, 4, 1)])
def test_regions_outside_are_refused(region: tuple[int, int, int, int]) -> None:
    """A region that is empty or reaches over the border is the caller's mistake."""
    with pytest.raises(ValueError, match="region"):
        KmqReader(write_image(tiny())).region(*region)


@pytest.mark.parametrize("strip_rows", [1, 2])
@pytest.mark.parametrize("alpha", [False, True])
def test_every_flipped_bit_and_every_truncation_is_detected(strip_rows: int, alpha: bool) -> None:
    """Any single flipped bit is detected, and any prefix; so is a byte more."""
    sections = (kmcodec.Section(b"xabc", b"payload"), kmcodec.Section(b"tEST", b""))
    data = write_image(tiny(alpha=alpha, sections=sections), strip_rows=strip_rows)
    for damaged in [*set_bits(data), *(data[:n] for n in range(len(data))), data + b"\0", data + data]:
        with pytest.raises(kmcodec.KmqFormatError):
            kmcodec.decode(damaged)
        with pytest.raises(kmcodec.KmqFormatError):
            KmqReader(damaged).verify()


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x89KMQ\r\n\x1a\n")
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Whatever is no .kmq file is a KmqError and nothing else."""
    with pytest.raises(kmcodec.KmqError):
        kmcodec.decode(data)


@given(st.binary(min_size=20, max_size=20), st.binary(max_size=80))
def test_arbitrary_fields_decode_or_are_refused(fields: bytes, rest: bytes) -> None:
    """A header with a right checksum but senseless fields ends in a picture or a KmqError, at once."""
    head = b"\x89KMQ\r\n\x1a\n" + b"\x10" + fields[1:]
    data = head + struct.pack("<I", zlib.crc32(head)) + rest
    try:
        pixels = kmcodec.decode(data)
    except kmcodec.KmqError:
        return
    assert pixels.size > 0


@given(indexed_images(max_side=6), st.data())
def test_mutations_decode_right_or_are_refused(image: kmcodec.IndexedImage, data: st.DataObject) -> None:
    """A file with some bytes replaced is refused, unless it is the same."""
    valid = write_image(image, strip_rows=2)
    mutated = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(valid) - 1))] = data.draw(st.integers(0, 255))
    if bytes(mutated) == valid:
        return
    with pytest.raises(kmcodec.KmqError):
        kmcodec.decode(bytes(mutated))


def replace_palette_crc(data: bytes) -> bytes:
    """Spoil the checksum of the palette."""
    return data[:41] + b"\0\0\0\0" + data[45:]


def set_padding(data: bytes) -> bytes:
    """Set the last padding bit."""
    payload = bytes([data[45], data[46] | 1])
    return data[:45] + payload + struct.pack("<I", zlib.crc32(bytes(4) + payload))


def use_illegal_index(data: bytes) -> bytes:
    """Make the fifth index 3, of a palette of three."""
    payload = bytes([data[45], data[46] | 0xC0])
    return data[:45] + payload + struct.pack("<I", zlib.crc32(bytes(4) + payload))


def number_strip_otherwise(data: bytes) -> bytes:
    """Give strip 0 the checksum of strip 1."""
    return data[:47] + struct.pack("<I", zlib.crc32(b"\1\0\0\0" + data[45:47]))


def with_area(content: bytes) -> Callable[[bytes], bytes]:
    """Return what adds a section area of this content, with the right checksum."""

    def add(data: bytes) -> bytes:
        area = content + struct.pack("<I", zlib.crc32(content))
        longer = with_header(data, 24, struct.pack("<I", len(area)))
        return longer[:45] + area + longer[45:]

    return add


# What breaks each rule of the specification, the field that is then named, and where it lies.
VIOLATIONS: list[tuple[str, Callable[[bytes], bytes], str, int]] = [
    ("signature", lambda d: b"\x09" + d[1:], "signature", 0),
    ("signature after conversion to LF", lambda d: d.replace(b"\r\n", b"\n"), "signature", 0),
    ("signature after conversion to CR LF", lambda d: d.replace(b"\n", b"\r\n"), "signature", 0),
    ("end within the signature", lambda d: d[:5], "signature", 0),
    ("end within the header", lambda d: d[:31], "header", 31),
    ("unknown major version", lambda d: with_header(d, 8, b"\x20"), "version", 8),
    ("unknown major version, other layout", lambda d: d[:8] + b"\x20" + d[9:], "version", 8),
    ("unknown major version in a short file", lambda d: d[:8] + b"\x20", "version", 8),
    ("header_crc", lambda d: d[:28] + b"\0\0\0\0" + d[32:], "header_crc", 28),
    ("unknown coding", lambda d: with_header(d, 9, b"\x02"), "storage", 9),
    ("unknown flag", lambda d: with_header(d, 9, b"\x80"), "storage", 9),
    ("no width", lambda d: with_header(d, 12, bytes(4)), "width", 12),
    ("no height", lambda d: with_header(d, 16, bytes(4)), "height", 16),
    ("no strip_rows", lambda d: with_header(d, 20, bytes(4)), "strip_rows", 20),
    ("strip_rows over height", lambda d: with_header(d, 20, b"\3\0\0\0"), "strip_rows", 20),
    ("impossible sections_bytes", lambda d: with_header(d, 24, b"\x0b\0\0\0"), "sections_bytes", 24),
    ("file too short", lambda d: d[:-1], "file", 50),
    ("file too long", lambda d: d + b"\0", "file", 51),
    ("palette_crc", replace_palette_crc, "palette_crc", 41),
    ("sections_crc", lambda d: with_area(b"test\0\0\0\0")(d)[:45] + bytes(12) + d[45:], "sections_crc", 53),
    ("type that is no word", with_area(b"te5t\0\0\0\0"), "section type", 45),
    ("unknown required section", with_area(b"Test\0\0\0\0"), "section type", 45),
    ("section over the area", with_area(b"test\1\0\0\0"), "section length", 49),
    ("rest of the area too short", with_area(b"test\0\0\0\0abc"), "section", 53),
    ("strip_crc", lambda d: d[:47] + bytes(4), "strip_crc of strip 0", 47),
    ("strip of another number", number_strip_otherwise, "strip_crc of strip 0", 47),
    ("index over last_index", use_illegal_index, "index in strip 0", 46),
    ("padding bit", set_padding, "padding in strip 0", 46),
]


@pytest.mark.parametrize(
    ("breaking", "field", "offset"), [v[1:] for v in VIOLATIONS], ids=[v[0] for v in VIOLATIONS]
)
def test_each_rule_is_held(breaking: Callable[[bytes], bytes], field: str, offset: int) -> None:
    """Each rule, broken once, is reported with the field and its place, in one line."""
    for read in (
        kmcodec.decode,
        lambda data: KmqReader(data).indices(),
        lambda data: KmqReader(data).verify(),
    ):
        with pytest.raises(kmcodec.KmqFormatError) as caught:
            read(breaking(write_image(tiny())))
        assert (field, offset) == (caught.value.field, caught.value.offset)
        assert caught.value.found
        assert caught.value.expected
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("index_bits", range(1, 17))
def test_index_over_last_index_is_found_at_every_width(index_bits: int) -> None:
    """An index >= K is an error, never a colour; in whole groups of eight, and after them."""
    n_colors = (1 << index_bits) // 2 + 1
    dtype = np.uint8 if n_colors <= 256 else np.uint16
    palette = np.zeros((n_colors, 3), np.uint8)
    for position in (0, 7, 9):
        indices = np.zeros((1, 10), dtype)
        data = write_image(kmcodec.IndexedImage(palette, indices))
        payload_bytes = (10 * index_bits + 7) // 8
        bits = ["0" * index_bits] * 10
        bits[position] = "1" * index_bits
        stream = "".join(bits).ljust(8 * payload_bytes, "0")
        payload = int(stream, 2).to_bytes(payload_bytes, "big")
        crc = struct.pack("<I", zlib.crc32(bytes(4) + payload))
        damaged = data[: -payload_bytes - 4] + payload + crc
        if n_colors == 1 << index_bits:
            # Two colours: every index of one bit is legal.
            assert kmcodec.decode(damaged).shape == (1, 10, 3)
            continue
        with pytest.raises(
            kmcodec.KmqFormatError, match=f"index in strip 0 at offset .*{n_colors - 1}, found"
        ):
            kmcodec.decode(damaged)


def test_errors_in_a_region_are_found_in_place() -> None:
    """Reading a part of a strip, the place of an error is that in the file."""
    with pytest.raises(
        kmcodec.KmqFormatError, match="index in strip 0 at offset 46: expected at most 2, found 3"
    ):
        KmqReader(use_illegal_index(write_image(tiny()))).region(1, 1, 2, 1)


def test_exchanged_strips_are_noticed() -> None:
    """The strip's number is under its checksum."""
    data = write_image(tiny(), strip_rows=1)
    first, second = data[45:50], data[50:55]
    with pytest.raises(kmcodec.KmqFormatError, match="strip 0"):
        kmcodec.decode(data[:45] + second + first)


def test_unknown_minor_version_is_read() -> None:
    """The minor version is ignored."""
    data = with_header(write_image(tiny()), 8, b"\x1f")
    np.testing.assert_array_equal(tiny().to_rgb(), kmcodec.decode(data))


def test_single_colour_has_no_index_bytes() -> None:
    """K = 1 stores no index bytes."""
    image = kmcodec.IndexedImage(np.array([[1, 2, 3]], np.uint8), np.zeros((100, 200), np.uint8))
    data = write_image(image)
    assert 32 + 3 + 4 + 4 == len(data)
    np.testing.assert_array_equal(image.to_rgb(), kmcodec.decode(data))


def test_overhead_is_at_most_40_bytes() -> None:
    """Everything but palette and indices takes 40 bytes; a sprite of four colours is under 120."""
    sprite = kmcodec.IndexedImage(
        np.arange(12, dtype=np.uint8).reshape(4, 3), (np.arange(256) % 4).astype(np.uint8).reshape(16, 16)
    )
    assert 4 * 3 + 256 * 2 // 8 + 40 == len(write_image(sprite)) < 120


def test_huge_claims_fail_before_allocation() -> None:
    """Limits come first, then lengths: 43 bytes that claim 2**64 pixels cost nothing."""
    data = write_image(kmcodec.IndexedImage(np.zeros((1, 3), np.uint8), np.zeros((1, 1), np.uint8)))
    side = b"\xff\xff\xff\xff"
    huge = with_header(with_header(with_header(data, 12, side), 16, side), 20, side)
    with pytest.raises(kmcodec.LimitExceededError, match="4294967295 x 4294967295"):
        kmcodec.decode(huge)
    # As a claim without limit it is a valid file: nothing is stored for a picture of one colour.
    KmqReader(huge, max_pixels=None).verify()
    with pytest.raises(kmcodec.LimitExceededError):
        kmcodec.decode(data * 1, max_pixels=0)
    two_colors = with_header(huge, 10, b"\1\0")
    with pytest.raises(kmcodec.KmqFormatError, match="the end of the file"):
        KmqReader(two_colors, max_pixels=None)


def test_limit_is_inclusive() -> None:
    """A picture of just max_pixels pixels is read."""
    data = write_image(tiny())
    assert kmcodec.decode(data, max_pixels=6).shape == (2, 3, 3)
    with pytest.raises(kmcodec.LimitExceededError):
        kmcodec.decode(data, max_pixels=5)


@pytest.mark.parametrize("extra", [b"", b"more than the file"])
def test_streams_are_read_as_far_as_the_file_goes(extra: bytes) -> None:
    """From a pipe, no more is read than the header says, and one byte to notice that more follows."""
    data = write_image(tiny())
    stream = io.BytesIO(data + extra)
    assert (data + extra)[: len(data) + 1] == read_stream(stream)
    assert min(len(data) + 1, len(data + extra)) == stream.tell()


@pytest.mark.parametrize("source", ["text", 7, None, [1, 2]])
def test_wrong_types_are_refused(source: object) -> None:
    """What is neither bytes nor a file is the caller's mistake."""
    with pytest.raises(TypeError):
        kmcodec.decode(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrap", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint16), io.BytesIO]
)
def test_any_bytes_are_read(wrap: Callable[[bytes], bytes]) -> None:
    """Bytes may come in any object that has them."""
    data = write_image(tiny(sections=(kmcodec.Section(b"test", b"."),)))
    assert len(data) % 2 == 0
    np.testing.assert_array_equal(tiny().to_rgb(), kmcodec.decode(wrap(data)))


@pytest.mark.parametrize("type_", [b"Test", b"te5t", b"tes", b"tests", b""])
def test_bad_section_types_are_not_written(type_: bytes) -> None:
    """A section has four letters, the first one small: required sections do not exist yet."""
    with pytest.raises(ValueError, match="section type"):
        write_image(tiny(sections=(kmcodec.Section(type_, b""),)))


@pytest.mark.parametrize(
    ("strip_rows", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_strip_rows_are_refused(strip_rows: int, error: type[Exception]) -> None:
    """A strip has at least one row."""
    with pytest.raises(error, match="strip_rows"):
        write_image(tiny(), strip_rows=strip_rows)


def test_large_pictures_have_strips_by_default() -> None:
    """A strip has about a million pixels; a picture of fewer is one strip."""
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1025, 2048), np.uint8))
    assert [512, 3] == [(r := KmqReader(write_image(image))).header.strip_rows, r.header.strip_count]
