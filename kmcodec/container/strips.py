"""The coding of a file's strips, as an object: rows of indices -> payload, and back.

Knows neither offsets nor checksums. All else that depends on the coding is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmcodec.coding import context, packed
from kmcodec.container.layout import Header
from kmcodec.errors import PayloadError
from kmcodec.image import Indices, empty_indices
from kmcodec.threads import Tell


class StripCoding(ABC):
    """Encode and decode the strips of one file; from any thread.

    Arrays of indices have shape (rows, width) and dtype uint8 (K <= 256) or uint16. What decodes raises a
    PayloadError where the payload breaks a rule. tell is told how many pixels more are done, often enough
    that what it raises ends the work soon.

    Attributes
    ----------
    reads_whole : bool
        Whether a part of a strip takes all of its payload.
    thread_pixels : int
        Pixels that are worth a thread.
    """

    reads_whole: bool
    thread_pixels: int

    def __init__(self, header: Header, palette: NDArray[np.uint8]) -> None:
        self._width = header.width
        self._palette = palette

    @abstractmethod
    def encode(self, indices: Indices, tell: Tell) -> bytes:
        """Return the payload of a strip."""

    @abstractmethod
    def decode(
        self, payload: bytes | memoryview, rows: int, tell: Tell, stop_row: int | None = None
    ) -> Indices:
        """Return the indices of a strip, or at least those before stop_row."""

    @abstractmethod
    def decode_cut(self, data: bytes | memoryview, rows: int) -> Indices:
        """Return as many of a strip's rows as the first bytes of its payload tell; none if they are wrong."""

    def decode_to_pixels(self, payload: bytes | memoryview, pixels: NDArray[np.uint8], tell: Tell) -> None:
        """Fill pixels, shape (rows, width, 3 or 4), contiguous, with the colours of a strip."""
        pixels[:] = self._palette[self.decode(payload, len(pixels), tell)]

    def decode_part(
        self,
        read: Callable[[slice], bytes | memoryview],
        rows: int,
        top: int,
        left: int,
        target: Indices,
        tell: Tell,
    ) -> None:
        """Fill target with the indices of a strip from row top and column left on.

        read returns the bytes of a slice of the payload: of slice(None) where reads_whole. All rows above the
        last one wanted count as done with it.
        """
        strip = self.decode(read(slice(None)), rows, tell, top + len(target))
        target[:] = strip[top : top + len(target), left : left + target.shape[1]]

    def check(self, payload: bytes | memoryview, rows: int, tell: Tell) -> None:
        """Raise what decode would raise."""
        self.decode(payload, rows, tell)


class _Packed(StripCoding):
    """Packed coding, in which every index has its place."""

    reads_whole = False
    thread_pixels = 1 << 20

    def __init__(self, header: Header, palette: NDArray[np.uint8]) -> None:
        super().__init__(header, palette)
        self._index_bits = header.index_bits
        self._last_index = header.last_index

    def encode(self, indices: Indices, tell: Tell) -> bytes:
        payload = packed.pack(indices.reshape(-1), self._index_bits)
        tell(indices.size)
        return payload

    def decode(
        self, payload: bytes | memoryview, rows: int, tell: Tell, stop_row: int | None = None
    ) -> Indices:
        indices = packed.unpack(payload, rows * self._width, self._index_bits, self._last_index)
        tell(indices.size)
        return indices.reshape(rows, self._width)

    def decode_cut(self, data: bytes | memoryview, rows: int) -> Indices:
        row_bits = self._width * self._index_bits
        rows = min(rows, 8 * len(data) // row_bits) if row_bits else rows
        try:
            indices = self._unpack_run(data.__getitem__, 0, rows * self._width)
        except PayloadError:
            return empty_indices((0, self._width), self._last_index + 1)
        return indices.reshape(rows, self._width)

    def decode_to_pixels(self, payload: bytes | memoryview, pixels: NDArray[np.uint8], tell: Tell) -> None:
        packed.unpack_to_pixels(payload, self._palette, pixels.reshape(-1))
        tell(len(pixels) * self._width)

    def decode_part(
        self,
        read: Callable[[slice], bytes | memoryview],
        rows: int,
        top: int,
        left: int,
        target: Indices,
        tell: Tell,
    ) -> None:
        if target.shape[1] == self._width:
            # One run instead of one for each row.
            target.reshape(-1)[:] = self._unpack_run(read, top * self._width, target.size)
        else:
            for row, run in enumerate(target, top):
                run[:] = self._unpack_run(read, row * self._width + left, len(run))
        tell((top + len(target)) * self._width)

    def check(self, payload: bytes | memoryview, rows: int, tell: Tell) -> None:
        packed.check_payload(payload, rows * self._width, self._index_bits, self._last_index)
        tell(rows * self._width)

    def _unpack_run(self, read: Callable[[slice], bytes | memoryview], start: int, n_indices: int) -> Indices:
        return packed.unpack_run(read, start, n_indices, self._index_bits, self._last_index)


class _Context(StripCoding):
    """Context coding, in which an index is known only after all before it."""

    reads_whole = True
    # Some hundredths of a second.
    thread_pixels = 1 << 14

    def __init__(self, header: Header, palette: NDArray[np.uint8]) -> None:
        super().__init__(header, palette)
        self._tree = context.build_tree(palette)

    def encode(self, indices: Indices, tell: Tell) -> bytes:
        return context.encode(indices, self._tree, tell)

    def decode(
        self, payload: bytes | memoryview, rows: int, tell: Tell, stop_row: int | None = None
    ) -> Indices:
        return context.decode(payload, rows, self._width, self._tree, stop_row=stop_row, tell=tell)

    def decode_cut(self, data: bytes | memoryview, rows: int) -> Indices:
        return context.decode_cut(data, rows, self._width, self._tree)


_CODINGS: dict[str, type[StripCoding]] = {"packed": _Packed, "context": _Context}


def choose_coding(header: Header, palette: NDArray[np.uint8]) -> StripCoding:
    """Return the coding that a header names, for its palette, shape (K, 3 or 4), uint8."""
    return _CODINGS[header.coding](header, palette)
