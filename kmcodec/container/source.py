"""Where the bytes of a file come from: memory, or anything that can be read and seeked.

Knows nothing of what the bytes are.
"""

from __future__ import annotations

import io
import threading
from typing import Any, Protocol

from kmcodec.errors import KmqFormatError


class FileLike(Protocol):
    """What is asked of a file object."""

    def read(self, size: int, /) -> bytes:
        """Return at most size bytes."""

    def seek(self, offset: int, whence: Any = ..., /) -> object:
        """Go to an offset."""

    def tell(self) -> int:
        """Return the offset."""

    def close(self) -> object:
        """Close the file."""


class Source:
    """Read parts of a file, from any thread.

    Parameters
    ----------
    source : bytes-like or binary file object
        Bytes, or a memory map, are not copied. A file object must be seekable.

    Attributes
    ----------
    size : int
        Bytes of the file.

    Raises
    ------
    TypeError
        If source is neither.
    """

    def __init__(self, source: Any) -> None:
        self._data: memoryview | None = None
        self._file: FileLike | None = None
        self._lock = threading.Lock()
        try:
            # A memory map has both faces, and is better read as bytes.
            self._data = memoryview(source).cast("B")
            self.size = len(self._data)
        except TypeError:
            if not hasattr(source, "read"):
                raise TypeError(
                    f"a .kmq file must be bytes-like or a file, not {type(source).__name__}"
                ) from None
            self._file = source
            source.seek(0, io.SEEK_END)
            self.size = source.tell()

    @property
    def in_memory(self) -> bool:
        """Whether source is bytes-like: reading more than is needed then costs next to nothing."""
        return self._data is not None

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return length bytes from offset on.

        Raises
        ------
        KmqFormatError
            If there are fewer.
        """
        if self._data is not None:
            data: bytes | memoryview = self._data[offset : offset + length]
        else:
            # No more than there is: a file would set aside memory for all that a damaged field asks for.
            data = self._read_file(offset, min(length, self.size - offset))
        if len(data) < length:
            raise KmqFormatError(
                offset + len(data),
                "file",
                found="the end of the file",
                expected=f"{length - len(data)} bytes",
            )
        return data[:length]

    def read_some(self, offset: int, length: int) -> bytes | memoryview:
        """Return at most length bytes from offset on: those that there are."""
        return self.read(offset, max(0, min(length, self.size - offset)))

    def close(self) -> None:
        """Close the file, if the source is one; else let go of the bytes, so that a map can be closed."""
        if self._file is not None:
            self._file.close()
        if self._data is not None:
            self._data.release()

    def _read_file(self, offset: int, length: int) -> bytes:
        assert self._file is not None
        parts = []
        with self._lock:
            self._file.seek(offset)
            # A file without a buffer may give less than is asked for, and more later.
            while length > 0 and (data := self._file.read(length)):
                if not isinstance(data, (bytes, bytearray, memoryview)):
                    raise TypeError(f"a .kmq file must be opened as binary, found {type(data).__name__}")
                parts.append(data)
                length -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)
