"""Picture files that give their rows without being loaded as a whole: .npy, and large TIFF files.

The only importer of tifffile, which comes with the extra kmcodec[tiff].
"""

from __future__ import annotations

import io
import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import PictureError

_NPY_SIGNATURE = b"\x93NUMPY"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

# What tifffile finds odd is not for standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Pixels of a TIFF file that is loaded whole: that is faster, and Pillow knows more kinds.
_FEW_PIXELS = 1 << 25

# Pixels that can be loaded whole, as in pictures; and that a strip, or the tiles beside each other, may have.
_MOST_PIXELS = 1 << 28


@contextmanager
def opening_rows(path: str | os.PathLike[str], measure: Callable[[], int | None]) -> Iterator[Any]:
    """Open the picture of a file as an array that gives its rows by slicing.

    Parameters
    ----------
    path : path-like
    measure : callable
        Returns the pixels of a TIFF file as far as they are known; is called if needed.

    Yields
    ------
    Rows or None
        None for a file that is better loaded as a whole, or can only be.

    Raises
    ------
    OSError
        If the file cannot be read.
    PictureError
        If it is damaged, or holds no picture of 8-bit samples.
    """
    # What is no file, such as a pipe, can be read once only.
    if not os.path.isfile(path):
        yield None
        return
    with open(path, "rb", buffering=0) as file:
        signature = file.read(8)
        if signature.startswith(_NPY_SIGNATURE):
            yield _open_npy(file)
            return
    if signature[:4] in _TIFF_SIGNATURES:
        rows = _open_tiff(path, measure())
        try:
            yield rows
        finally:
            if rows is not None:
                rows.close()
    else:
        yield None


def load_npy(data: bytes) -> NDArray[np.uint8] | None:
    """Return the picture in the bytes of a .npy file; None if they are no such file.

    Raises
    ------
    PictureError
        If it is damaged, or holds no picture of 8-bit samples.
    """
    if not data.startswith(_NPY_SIGNATURE):
        return None
    rows = _open_npy(io.BytesIO(data))
    return rows[0 : rows.shape[0]]


def _open_tiff(path: str | os.PathLike[str], n_pixels: int | None) -> TiffRows | None:
    if n_pixels is not None and n_pixels <= _FEW_PIXELS:
        return None
    try:
        return TiffRows(path)
    except (ModuleNotFoundError, PictureError) as error:
        if n_pixels is not None and n_pixels <= _MOST_PIXELS:
            return None
        if isinstance(error, ModuleNotFoundError):
            reason = f"a TIFF file like this needs {error.name}: pip install 'kmcodec[tiff]'"
            raise PictureError(reason) from None
        raise


def _open_npy(file: Any) -> FlatRows:
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        read_header = _NPY_HEADERS.get(version)
        if read_header is None:
            raise ValueError(f"version {version} is for arrays of records")
        with warnings.catch_warnings():
            # Of headers that Python 2 wrote.
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = read_header(file)
    except OSError:
        raise
    # A header that is damaged is evaluated in several ways, each with errors of its own.
    except Exception as error:
        # Some name an object by its address.
        reason = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split())) or type(error).__name__
        raise PictureError(f"not readable as .npy: {reason}") from error
    is_shape = (
        len(shape) == 3 and all(type(side) is int and side > 0 for side in shape) and shape[2] in (3, 4)
    )
    if dtype != np.uint8 or not is_shape or is_fortran:
        order = ", in the order of Fortran" if is_fortran else ""
        raise PictureError(
            f"an array must be uint8 of shape (height, width, 3 or 4), found {dtype} {shape}{order}"
        )
    return FlatRows(file, file.tell(), shape, dtype)


class FlatRows:
    """Give rows that are stored one after another, as they are.

    They are read, and not mapped: a file that shrinks under a map kills the process.

    Parameters
    ----------
    file : raw or buffered binary file object
        Stays open as long as rows are read, and is not closed.
    offset : int
        Byte at which row 0 begins.
    shape : tuple of int
        Height, width and samples.
    dtype : dtype

    Raises
    ------
    PictureError
        If the file is too short.
    """

    def __init__(self, file: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file, self._offset = file, offset
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        size = file.seek(0, os.SEEK_END)
        if size < offset + shape[0] * self._row_bytes:
            raise PictureError(
                f"the file ends too early: {offset + shape[0] * self._row_bytes} bytes expected, found {size}"
            )

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return rows as an array of shape (rows, width, samples).

        Raises
        ------
        PictureError
            If the file cannot be read, or has become shorter.
        """
        start, stop, _ = rows.indices(self.shape[0])
        block = np.empty((stop - start, *self.shape[1:]), self.dtype)
        target = block.reshape(-1).view(np.uint8).data
        with _explaining("file"):
            self._file.seek(self._offset + start * self._row_bytes)
            while len(target):
                n = self._file.readinto(target)
                if not n:
                    raise PictureError("the file has become shorter")
                target = target[n:]
        return block


class TiffRows:
    """Give rows of the first picture of a TIFF or BigTIFF file, in strips or tiles.

    Grey is given as RGB, 16 bits as 8, rounded.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ModuleNotFoundError
        If tifffile is missing, or imagecodecs and the file's compression needs it.
    OSError
        If the file cannot be read.
    PictureError
        If it is damaged, or of another kind.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import tifffile

        with _explaining("TIFF"), ExitStack() as stack:
            self._file = stack.enter_context(tifffile.TiffFile(path))
            page: Any = self._file.pages[0].keyframe
            self._page = page
            _check_kind(page)
            # A fourth sample that is not said to be anything else is alpha.
            has_alpha = page.samplesperpixel == 4 and (page.extrasamples or (2,))[0] in (1, 2)
            self.shape = (page.imagelength, page.imagewidth, 4 if has_alpha else 3)
            self._across = -(-page.imagewidth // (page.tilewidth or page.imagewidth))
            # Rows of a strip or tile; the band of segments that was read last, since blocks cut through them.
            self._band_rows = page.tilelength or page.rowsperstrip
            self._band: tuple[int, NDArray[np.uint8]] = (-1, np.empty(0, np.uint8))
            self._flat: FlatRows | None = None
            if page.is_memmappable:
                # Stored as one piece, which may be too large for a band.
                file = stack.enter_context(open(path, "rb", buffering=0))
                shape = (*self.shape[:2], page.samplesperpixel)
                dtype = np.dtype(self._file.byteorder + page.dtype.char)
                self._flat = FlatRows(file, page.dataoffsets[0], shape, dtype)
            elif self._band_rows * page.imagewidth > _MOST_PIXELS:
                raise PictureError("its strips or tiles are too large")
            else:
                # Compression that is not there is found out now.
                self._read_band(0)
            self._stack = stack.pop_all()

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """Return rows as an array of shape (rows, width, 3 or 4), uint8.

        Raises
        ------
        PictureError
            If the file cannot be read, or is damaged.
        """
        if self._flat is not None:
            return self._convert(self._flat[rows])
        start, stop, _ = rows.indices(self.shape[0])
        block = np.empty((stop - start, *self.shape[1:]), np.uint8)
        for number in range(start // self._band_rows, -(-stop // self._band_rows)):
            top = number * self._band_rows
            first, end = max(start, top), min(stop, top + self._band_rows)
            block[first - start : end - start] = self._read_band(number)[first - top : end - top]
        return block

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _read_band(self, number: int) -> NDArray[np.uint8]:
        """Return all rows of a strip, or of the tiles beside each other."""
        if self._band[0] != number:
            height, width, channels = self.shape
            rows = min(self._band_rows, height - number * self._band_rows)
            band = np.zeros((rows, width, channels), np.uint8)
            with _explaining("TIFF"):
                for segment in range(number * self._across, (number + 1) * self._across):
                    self._read_segment(segment, number * self._band_rows, band)
            self._band = (number, band)
        return self._band[1]

    def _read_segment(self, number: int, top: int, band: NDArray[np.uint8]) -> None:
        page, handle = self._page, self._file.filehandle
        handle.seek(page.dataoffsets[number])
        data = handle.read(page.databytecounts[number]) if page.databytecounts[number] else None
        samples, place, shape = page.decode(data, number, jpegtables=page.jpegtables)
        if samples is None:
            # A segment that is not stored is black.
            return
        y, x = place[-3] - top, place[-2]
        target = band[y : y + shape[1], x : x + shape[2]]
        # Tiles reach over the border.
        target[:] = self._convert(samples[0, : target.shape[0], : target.shape[1]])

    def _convert(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return samples, shape (rows, columns, 1, 3 or 4), as 8-bit RGB with straight alpha."""
        if samples.dtype.itemsize == 2:
            samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if self._page.photometric == 0:
            # White is zero.
            samples = 255 - samples
        if self._page.extrasamples[:1] == (1,) and samples.shape[2] == 4:
            # Premultiplied by alpha; cut to integers, as Pillow does.
            alpha = samples[:, :, 3:]
            straight = np.minimum(samples[:, :, :3] * np.uint32(255) // np.maximum(alpha, 1), 255)
            samples = np.dstack([np.where(alpha == 0, 0, straight).astype(np.uint8), alpha])
        return np.broadcast_to(samples[:, :, : self.shape[2]], (*samples.shape[:2], self.shape[2]))


def _check_kind(page: Any) -> None:
    """Raise PictureError for pictures that are not known here."""
    samples = {2: (3, 4), 1: (1,), 0: (1,)}.get(int(page.photometric), ())
    if (
        page.samplesperpixel not in samples
        or page.dtype not in (np.uint8, np.uint16)
        or page.bitspersample != 8 * page.dtype.itemsize
        or (page.dtype == np.uint16 and 1 in page.extrasamples)
        or page.planarconfig != 1
        or page.imagedepth != 1
        or not page.imagelength
        or not page.imagewidth
    ):
        bits, samples_found = page.bitspersample, page.samplesperpixel
        kind = f"photometric {page.photometric}, {samples_found} samples of {bits} bits"
        raise PictureError(f"a large TIFF must be RGB, RGBA or grey of 8 or 16 bits, found {kind}")
    orientation = page.tags.get("Orientation")
    if orientation is not None and orientation.value != 1:
        raise PictureError(f"a large TIFF must be stored upright, found orientation {orientation.value}")


@contextmanager
def _explaining(kind: str) -> Iterator[None]:
    """Turn whatever reading a bad file raises into PictureError."""
    try:
        yield
    except (ModuleNotFoundError, PictureError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "requires the 'imagecodecs' package" in reason:
            raise ModuleNotFoundError(reason, name="imagecodecs") from None
        raise PictureError(f"not readable as {kind}: {reason}") from error
