""".kmq file -> palette, indices, pixels.

Reads in the order of section 7 of the specification: nothing is allocated on the word of a field that
has not been checked against the true size of the file and the caller's limit.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from kmcodec.coding import packed
from kmcodec.container import layout
from kmcodec.errors import KmqFormatError, LimitExceededError, PayloadError
from kmcodec.image import IndexedImage, Indices, Section, empty_indices

#: Pixels that a picture may have unless the caller says otherwise.
DEFAULT_MAX_PIXELS = 1 << 28


if TYPE_CHECKING:
    # Not made at run time, where nothing needs it.
    from typing import Protocol

    class _FileLike(Protocol):
        """What the reader asks of a file object."""

        def read(self, size: int, /) -> bytes: ...
        def seek(self, offset: int, whence: int = ..., /) -> object: ...
        def tell(self) -> int: ...
        def close(self) -> object: ...


class KmqReader:
    """Read a .kmq file: header, palette and sections at once, strips when asked for.

    Parameters
    ----------
    source : bytes-like or binary file object
        The whole file. A file object must be seekable, and stay open as long as the reader is used;
        close() closes it.
    max_pixels : int or None, default 2**28
        A picture of more pixels is refused; None allows any.

    Attributes
    ----------
    header : Header
    palette : ndarray, shape (K, 3) or (K, 4), uint8
        sRGB, with straight alpha if there is any; read-only.
    sections : tuple of Section
        Metadata, in the order of the file.

    Raises
    ------
    KmqFormatError
        If the file is not valid. The methods raise it for damage in the strips.
    LimitExceededError
        If the picture has more than max_pixels pixels.
    TypeError
        If source is neither bytes nor a file.
    """

    def __init__(
        self,
        source: bytes | bytearray | memoryview | _FileLike,
        *,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> None:
        self._data: memoryview | None = None
        self._file: _FileLike | None = None
        if hasattr(source, "read"):
            self._file = cast("_FileLike", source)
            self._file.seek(0, io.SEEK_END)
            size = self._file.tell()
        else:
            try:
                self._data = memoryview(cast(bytes, source)).cast("B")
            except TypeError:
                raise TypeError(
                    f"a .kmq file must be bytes-like or a file, not {type(source).__name__}"
                ) from None
            size = len(self._data)
        self.header = layout.Header.from_bytes(bytes(self._read(0, min(size, layout.HEADER_BYTES))))
        check_limit(self.header, max_pixels)
        self._check_size(size)
        self.palette = self._read_palette()
        self.sections = self._read_sections()

    def __enter__(self) -> KmqReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if the source is one."""
        if self._file is not None:
            self._file.close()

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.header.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.header.height

    def indices(self) -> Indices:
        """Return the palette index of each pixel.

        Returns
        -------
        ndarray, shape (height, width), uint8 (K <= 256) or uint16
        """
        return self._read_rows(0, self.height)

    def image(self) -> IndexedImage:
        """Return palette, indices and sections together."""
        return IndexedImage(self.palette, self.indices(), self.sections)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8
        """
        header = self.header
        pixels = np.empty((header.height, header.width, header.channels), np.uint8)
        for number in range(header.strip_count):
            first_row = number * header.strip_rows
            target = pixels[first_row : first_row + header.strip_rows].reshape(-1)
            payload = self._read_strip(number)
            try:
                packed.unpack_to_pixels(payload, self.palette, target)
            except PayloadError as error:
                raise self._locate(number, error) from None
        return pixels

    def region(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return a part of the picture; only the strips in which it lies are read.

        Parameters
        ----------
        x, y : int
            Left column and top row, in pixels from 0.
        width, height : int
            In pixels, at least 1.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8

        Raises
        ------
        ValueError
            If the region is empty or reaches over the border of the picture.
        """
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"a region must lie in the picture of {self.width} x {self.height} pixels,"
                f" found {width} x {height} at {x}, {y}"
            )
        return self.palette[self._read_rows(y, y + height)[:, x : x + width]]

    def verify(self) -> None:
        """Check every strip, in the memory of one.

        Raises
        ------
        KmqFormatError
        """
        header = self.header
        for number in range(header.strip_count):
            payload = self._read_strip(number)
            n_indices = header.rows_of_strip(number) * header.width
            try:
                packed.check_payload(payload, n_indices, header.index_bits, header.last_index)
            except PayloadError as error:
                raise self._locate(number, error) from None

    def _read(self, offset: int, length: int) -> bytes | memoryview:
        if self._data is not None:
            return self._data[offset : offset + length]
        assert self._file is not None
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            # The size was right when the reader was made.
            raise KmqFormatError(
                offset + len(data),
                "file",
                found="the end of the file",
                expected=f"{length - len(data)} bytes",
            )
        return data

    def _check_size(self, size: int) -> None:
        """Compare the size of the file with what the header makes it (section 7, step 3)."""
        expected = self.header.file_bytes
        if size < expected:
            raise KmqFormatError(
                size, "file", found="the end of the file", expected=f"{expected} bytes in all"
            )
        if size > expected:
            raise KmqFormatError(
                expected, "file", found=f"{size - expected} bytes more", expected="the end of the file"
            )

    def _read_palette(self) -> NDArray[np.uint8]:
        header = self.header
        stored = self._read(layout.HEADER_BYTES, header.palette_bytes + layout.CRC_BYTES)
        data, crc = stored[: header.palette_bytes], stored[header.palette_bytes :]
        layout.check_crc(data, crc, layout.HEADER_BYTES + header.palette_bytes, "palette_crc")
        flat = np.frombuffer(data, np.uint8)
        palette = flat[: 3 * header.n_colors].reshape(-1, 3)
        if header.has_alpha:
            palette = np.hstack([palette, flat[3 * header.n_colors :, None]])
        palette.flags.writeable = False
        return palette

    def _read_sections(self) -> tuple[Section, ...]:
        header = self.header
        area = bytes(self._read(header.sections_offset, header.sections_bytes))
        return layout.parse_sections(area, header.sections_offset)

    def _read_strip(self, number: int) -> bytes | memoryview:
        """Return the payload of a strip whose checksum is right."""
        length = self.header.payload_bytes(number)
        offset = self.header.strip_offset(number)
        stored = self._read(offset, length + layout.CRC_BYTES)
        payload = stored[:length]
        computed = layout.strip_crc(number, payload)
        layout.compare_crc(computed, stored[length:], offset + length, f"strip_crc of strip {number}")
        return payload

    def _read_rows(self, first: int, end: int) -> Indices:
        """Return the indices of the rows first..end - 1."""
        header = self.header
        indices = empty_indices((end - first, header.width), header.n_colors)
        for number in range(first // header.strip_rows, -(-end // header.strip_rows)):
            strip_row = number * header.strip_rows
            # The rows wanted of this strip, counted from its own top.
            top = max(first - strip_row, 0)
            bottom = min(end - strip_row, header.rows_of_strip(number))
            payload = self._read_strip(number)
            start, count = top * header.width, (bottom - top) * header.width
            try:
                if bottom - top == header.rows_of_strip(number):
                    run = packed.unpack(payload, count, header.index_bits, header.last_index)
                else:
                    run = packed.unpack_run(payload, start, count, header.index_bits, header.last_index)
            except PayloadError as error:
                raise self._locate(number, error) from None
            indices[strip_row + top - first : strip_row + bottom - first] = run.reshape(-1, header.width)
        return indices

    def _locate(self, number: int, error: PayloadError) -> KmqFormatError:
        """Return a PayloadError of a strip as an error of the file."""
        return KmqFormatError(
            self.header.strip_offset(number) + error.bit // 8,
            f"{error.field} in strip {number}",
            found=error.found,
            expected=error.expected,
        )


def check_limit(header: layout.Header, max_pixels: int | None) -> None:
    """Raise LimitExceededError if the picture has more than max_pixels pixels."""
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitExceededError(
            f"the picture has {header.width} x {header.height} = {pixels} pixels, the limit is {max_pixels}"
        )


def read_stream(stream: BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> bytes:
    """Read a file from a pipe, and no further than its header says and one byte more.

    Parameters
    ----------
    stream : binary file object
        Need not be seekable.
    max_pixels : int or None
        As for KmqReader.

    Returns
    -------
    bytes
        Not checked beyond the header: too short where the stream was, one byte too long where more
        follows.

    Raises
    ------
    KmqFormatError, LimitExceededError
        If the header is not valid, or the picture too large.
    """
    head = _read_up_to(stream, layout.HEADER_BYTES)
    header = layout.Header.from_bytes(head)
    check_limit(header, max_pixels)
    return head + _read_up_to(stream, header.file_bytes + 1 - len(head))


def _read_up_to(stream: BinaryIO, length: int) -> bytes:
    """Read until length bytes or the end; in steps, since length is only what the header claims."""
    parts = []
    while length > 0 and (part := stream.read(min(length, 1 << 20))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
