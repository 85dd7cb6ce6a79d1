"""IndexedImage, or rows as they come, -> .kmq file."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike

from kmcodec.checks import check_colors, check_integer
from kmcodec.container import layout
from kmcodec.container.strips import choose_coding
from kmcodec.files import open_atomically
from kmcodec.image import IndexedImage, Indices, Section, empty_indices
from kmcodec.threads import OnProgress, Workers, cut_range

# Pixels that a strip has by default: enough that 4 bytes of checksum do not count, few enough that
# a region, a thread or a damage concerns a small part of a large picture. The model of a context-coded strip
# begins to learn anew, which costs some kilobytes: there, four times as many.
_STRIP_PIXELS = {"packed": 1 << 20, "context": 1 << 22}

# What coded strips take of memory while they wait, before they go to a temporary file; and what is copied
# at a time.
_SPOOLED_BYTES = 1 << 26
_COPIED_BYTES = 1 << 20

_LARGEST_SIDE = 2**32 - 1


def default_strip_rows(width: int, height: int, coding: str = "packed") -> int:
    """Return the rows of a strip where the caller does not say."""
    return min(max(1, _STRIP_PIXELS[coding] // width), height)


def plan_header(
    n_colors: int,
    width: int,
    height: int,
    *,
    has_alpha: bool,
    strip_rows: int | None,
    sections_bytes: int,
    coding: str = "packed",
) -> layout.Header:
    """Return the header of a file of which all but the pixels is known.

    strip_rows and coding are as for KmqWriter, and so are the errors.
    """
    check_coding(coding)
    if n_colors == 1:
        # There is nothing to code.
        coding = "packed"
    if strip_rows is None:
        strip_rows = default_strip_rows(width, height, coding)
    strip_rows = min(check_integer("strip_rows", strip_rows, 1), height)
    if coding == "context":
        if width > layout.MAX_CONTEXT_PIXELS:
            raise ValueError(
                f"a context-coded picture is at most {layout.MAX_CONTEXT_PIXELS} pixels wide, found {width}"
            )
        strip_rows = min(strip_rows, layout.MAX_CONTEXT_PIXELS // width)
    return layout.Header(width, height, n_colors - 1, has_alpha, strip_rows, sections_bytes, coding=coding)


def check_coding(coding: str) -> None:
    """Raise ValueError unless coding is the name of one."""
    if coding not in layout.CODINGS:
        raise ValueError(f"coding must be one of {', '.join(layout.CODINGS)}, found {coding!r}")


class KmqWriter:
    """Write a .kmq file as its rows come, in the memory of a strip; use it in a with-block, from one thread.

    Parameters
    ----------
    target : path-like or binary file object
        A path is written to under a temporary name and moved into place when the block ends without an
        exception; an existing file is replaced. A file object need not be seekable, and is not closed.
    palette : array_like, shape (K, 3) or (K, 4), integers in 0..255
        sRGB colours, with straight alpha if there is any; K is 1..65536.
    width, height : int
        In pixels, 1..2**32 - 1.
    strip_rows : int, optional
        Rows of a strip, at least 1; more than the picture has stands for all. Default: about a million
        pixels.
    sections : iterable of Section
        Metadata.
    coding : str, default "packed"
        "packed" or "context", which takes fewer bytes and more time. The strips of the latter wait in a
        temporary file until their sizes are known, if there are several. A palette of one colour is packed.
    threads : int, optional
        Default: all processors; strips that are appended together are coded side by side.
    on_progress : callable, optional
        Is told "writing", and pixels coded and in all, by any thread, but one at a time.

    Raises
    ------
    OSError
        If the target cannot be written to.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        palette: ArrayLike,
        width: int,
        height: int,
        *,
        strip_rows: int | None = None,
        sections: Iterable[Section] = (),
        coding: str = "packed",
        threads: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        colors = check_colors("palette", palette)
        width = check_integer("width", width, 1, _LARGEST_SIDE)
        height = check_integer("height", height, 1, _LARGEST_SIDE)
        area = layout.build_sections(tuple(sections))
        self.header = plan_header(
            len(colors),
            width,
            height,
            has_alpha=colors.shape[1] == 4,
            strip_rows=strip_rows,
            sections_bytes=len(area),
            coding=coding,
        )
        self._coding = choose_coding(self.header, colors)
        # What each strip takes without its checksum, if that does not follow from the header.
        self._payload_bytes: list[int] = []
        self._is_valid = True
        self._rows = 0
        self._written_strips = 0
        # Rows of a strip that is not complete; made when there are any.
        self._pending = empty_indices((0, width), len(colors))
        self._pending_rows = 0
        with ExitStack() as stack:
            self._workers = stack.enter_context(Workers(threads))
            self._tell = self._workers.count_work("writing", width * height, on_progress)
            if isinstance(target, (str, os.PathLike)):
                target = stack.enter_context(open_atomically(target, overwrite=True))
            self._file = target
            self._strips: BinaryIO = target
            if self.header.has_table:
                self._strips = cast(
                    "BinaryIO", stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOLED_BYTES))
                )
            # First to be called at the end, so that an unfinished file does not take its place.
            stack.push(self._finish)
            entries = layout.build_entries(colors)
            for part in (self.header.to_bytes(), entries, layout.crc_bytes(entries), area):
                _write(target, part)
            self._stack = stack.pop_all()

    def __enter__(self) -> KmqWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        OSError
            If the file cannot be moved into place.
        ValueError
            If rows are missing, or could not be written; there is no file then.
        """
        self._stack.close()

    def append(self, indices: Indices) -> None:
        """Append rows, from the top to the bottom of the picture; any number at a time.

        Parameters
        ----------
        indices : ndarray, shape (rows, width), uint8 (K <= 256) or uint16
            Rows of the palette. Not kept, and not modified.

        Raises
        ------
        OSError
            If the file cannot be written to.
        TypeError, ValueError
            If it is not such an array, an index is not below K, or the picture has not so many rows.
        """
        indices = self._check_rows(indices)
        # Not valid again if writing fails: then the file is not what it should be.
        self._is_valid, was_valid = False, self._is_valid
        self._rows += len(indices)
        is_end = self._rows == self.header.height
        if self._pending_rows:
            indices = self._keep(indices)
            if self._pending_rows == self.header.strip_rows or (is_end and len(indices) == 0):
                self._write_strips(self._pending[: self._pending_rows])
                self._pending_rows = 0
        # Whole strips, and the last one of the picture, need not be copied.
        strip_rows = self.header.strip_rows
        end = len(indices) if is_end else len(indices) // strip_rows * strip_rows
        self._write_strips(indices[:end])
        self._keep(indices[end:])
        self._is_valid = was_valid

    def _keep(self, indices: Indices) -> Indices:
        """Keep as many rows as belong to the strip that is begun; return the others."""
        if len(indices) == 0:
            return indices
        header = self.header
        if len(self._pending) == 0:
            self._pending = empty_indices((header.strip_rows, header.width), header.n_colors)
        kept = indices[: header.strip_rows - self._pending_rows]
        self._pending[self._pending_rows : self._pending_rows + len(kept)] = kept
        self._pending_rows += len(kept)
        return indices[len(kept) :]

    def _check_rows(self, rows: ArrayLike) -> Indices:
        header = self.header
        indices = np.asarray(rows)
        expected = empty_indices(0, header.n_colors).dtype
        if indices.dtype != expected:
            raise TypeError(f"indices of {header.n_colors} colours must be {expected}, found {indices.dtype}")
        if indices.ndim != 2 or indices.shape[1] != header.width:
            raise ValueError(f"indices must have shape (rows, {header.width}), found {indices.shape!r}")
        if len(indices) > header.height - self._rows:
            raise ValueError(
                f"the picture has {header.height} rows, found {self._rows} and {len(indices)} more"
            )
        if len(indices) and int(indices.max()) > header.last_index:
            raise ValueError(f"indices must be below {header.n_colors}, found {int(indices.max())!r}")
        contiguous: Indices = np.ascontiguousarray(indices)
        return contiguous

    def _write_strips(self, indices: Indices) -> None:
        """Write strips; indices holds whole ones, or also the last one."""
        header, first = self.header, self._written_strips

        def encode_run(run: tuple[int, int]) -> list[bytes]:
            stored = []
            for i in range(*run):
                rows = indices[i * header.strip_rows : (i + 1) * header.strip_rows]
                payload = self._coding.encode(rows, self._tell)
                stored += [payload, layout.strip_crc(first + i, payload)]
            return stored

        count = -(-len(indices) // header.strip_rows)
        least = -(-self._coding.thread_pixels // (header.strip_rows * header.width))
        for stored in self._workers.map(encode_run, cut_range(count, self._workers.count, least)):
            for part in stored:
                _write(self._strips, part)
            if not header.has_fixed_sizes:
                self._payload_bytes += [len(payload) for payload in stored[::2]]
        self._written_strips += count

    def _finish(self, exception: type[BaseException] | None, *_: object) -> None:
        """Write what could not be known before; the file is not put into place if something is missing."""
        if exception is not None:
            return
        if not self._is_valid:
            raise ValueError("rows could not be written: the file is not complete")
        header = self.header
        if self._rows < header.height:
            raise ValueError(f"the picture has {header.height} rows, found {self._rows} only")
        if header.has_table:
            _write(self._file, layout.build_table(self._payload_bytes[:-1]))
            self._strips.seek(0)
            while part := self._strips.read(_COPIED_BYTES):
                _write(self._file, part)
        if not header.has_fixed_sizes:
            sizes = np.array(self._payload_bytes, np.int64)
            file_bytes = header.strips_offset + int(sizes.sum()) + layout.CRC_BYTES * len(sizes)
            self.header = header.with_table(sizes[:-1], file_bytes)


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of data: a file without a buffer may take less at a time."""
    view = memoryview(data)
    while len(view):
        written = file.write(view)
        if not written:
            raise BlockingIOError("the file takes no more at the moment")
        view = view[written:]


def write_image(
    image: IndexedImage,
    *,
    strip_rows: int | None = None,
    coding: str = "packed",
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> bytes:
    """Return the file that holds an image.

    Parameters
    ----------
    image : IndexedImage
    strip_rows, coding, threads, on_progress
        As for KmqWriter.

    Raises
    ------
    TypeError, ValueError
        If strip_rows, coding or threads is out of range, or a section cannot be stored.
    """
    buffer = io.BytesIO()
    with KmqWriter(
        buffer,
        image.palette,
        image.width,
        image.height,
        strip_rows=strip_rows,
        sections=image.sections,
        coding=coding,
        threads=threads,
        on_progress=on_progress,
    ) as writer:
        writer.append(image.indices)
    return buffer.getvalue()
