"""numcodecs: chunks of arrays, as Zarr stores them, as .kmq files. An entry point tells numcodecs of it.

Owns how a label map, which has numbers and no colours, becomes a picture.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy
from numpy.typing import NDArray

from kmcodec.codec import encode
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.errors import LimitExceededError
from kmcodec.image import MAX_COLORS, IndexedImage, to_indices

# Of write_image, and such as JSON can hold.
_LABEL_OPTIONS = {"strip_rows", "threads"}


class Kmq(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Code chunks of label maps without loss, or chunks of pictures in few colours.

    Label maps, masks, classes: items of 1, 2 or 4 bytes, of whatever dtype and rank, at most 65536 different
    ones in a chunk, come back exactly. The last dimension runs along the rows of the picture, which any
    decoder shows in made-up colours: the palette has the bytes b0, b1, ... of each item, in their order in
    memory, as colour (b0, b0, b0), (b0, b1, 255 - b1), or (b0, b1, b2) with alpha 255 - b3.

    Pictures: chunks of shape (..., height, width, 3 or 4), uint8, in C order. Each has its own palette, and
    comes back exactly if it has at most n_colors colours. Chunks that reach over the border of an array have
    one more: Zarr fills them up. A chunk of more colours loses a little whenever a part of it is written.

    Parameters
    ----------
    n_colors : int or "auto", optional
        For pictures: as for kmcodec.encode. Without, chunks are label maps.
    coding : "context" or "packed", default "context"
        As for kmcodec.encode. A chunk is read as a whole, so that what packed coding is for, to read parts of
        a picture, does not count: it is only faster, and larger than what general compressors make.
    **options
        For pictures: options of kmcodec.encode that JSON can hold, such as effort or lossy. For label maps:
        strip_rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """

    codec_id = "kmq"

    def __init__(
        self,
        n_colors: int | Literal["auto"] | None = None,
        coding: Literal["context", "packed"] = "context",
        **options: Any,
    ) -> None:
        if n_colors is None and (unknown := sorted(options.keys() - _LABEL_OPTIONS)):
            raise TypeError(f"label maps have no option {unknown[0]!r}; those of pictures go with n_colors")
        config = {"n_colors": n_colors, "coding": coding, **options}
        # As it will be when it has been stored: tuples become lists.
        self._config: dict[str, Any] = json.loads(json.dumps(config, allow_nan=False))
        # What is wrong is told now, and not when the first chunk is written.
        self.encode(np.zeros((1, 1, 3), np.uint8))

    def __repr__(self) -> str:
        return f"Kmq({', '.join(f'{name}={value!r}' for name, value in self._config.items())})"

    def get_config(self) -> dict[str, Any]:
        """Return all parameters, ready for JSON, and under "id" the name of the codec."""
        return {"id": self.codec_id, **self._config}

    @property
    def _has_labels(self) -> bool:
        return self._config["n_colors"] is None

    def encode(self, buf: Any) -> bytes:
        """Encode a chunk.

        Parameters
        ----------
        buf : buffer-like
            Contiguous; not empty, and of no more than 2**28 pixels.

        Returns
        -------
        bytes
            A .kmq file.

        Raises
        ------
        TargetError, MissingExtraError
            As for kmcodec.encode.
        LimitExceededError
            If it has too many pixels.
        TypeError, ValueError
            If it is not such a chunk as the class describes.
        """
        chunk = ensure_contiguous_ndarray(buf, flatten=False)
        data = self._encode_labels(chunk) if self._has_labels else self._encode_picture(chunk)
        # Now, rather than when somebody wants it back.
        _check_pixels(KmqReader(data, max_pixels=None))
        return data

    def decode(self, buf: Any, out: Any = None) -> NDArray[Any]:
        """Decode a chunk.

        Parameters
        ----------
        buf : buffer-like
            A .kmq file.
        out : buffer-like, optional
            Where to put the chunk; of its size.

        Returns
        -------
        ndarray
            out, or an array with the bytes of the chunk, of shape (rows, width) for label maps, dtype uint8,
            uint16 or uint32, and (rows, width, 3 or 4) for pictures, uint8.

        Raises
        ------
        KmqFormatError
            If it is not a valid file, by the least bit.
        LimitExceededError
            If out is not given and the file has more than 2**28 pixels.
        ValueError
            If the file holds no label map but should, or its size is not that of out.
        """
        reader = KmqReader(memoryview(ensure_contiguous_ndarray(buf)), max_pixels=None)
        items = _to_items(reader.palette) if self._has_labels else reader.palette
        if out is None:
            _check_pixels(reader)
        else:
            expected = ensure_contiguous_ndarray(out).nbytes
            found = reader.width * reader.height * items[0].nbytes
            if found != expected:
                raise ValueError(f"the chunk must have {expected} bytes, found {found}")
        chunk = items[reader.indices()] if self._has_labels else reader.pixels()
        return ndarray_copy(chunk, out)  # type: ignore[no-any-return]

    def _encode_labels(self, chunk: NDArray[Any]) -> bytes:
        if chunk.itemsize not in (1, 2, 4):
            raise TypeError(f"labels must have 1, 2 or 4 bytes each, found {chunk.dtype}")
        if chunk.size == 0:
            raise ValueError(f"a chunk must not be empty, found shape {chunk.shape!r}")
        # As it lies in memory.
        chunk = chunk if chunk.flags.c_contiguous else chunk.T
        rows = chunk.reshape(-1, (1, *chunk.shape)[-1])
        items, indices = np.unique(rows.view(f"u{rows.itemsize}"), return_inverse=True)
        if len(items) > MAX_COLORS:
            raise ValueError(f"a chunk has at most {MAX_COLORS} different labels, found {len(items)}")
        image = IndexedImage(_to_colors(items), to_indices(indices.reshape(rows.shape), len(items)))
        options = {name: value for name, value in self._config.items() if name != "n_colors"}
        return write_image(image, **options)

    def _encode_picture(self, chunk: NDArray[Any]) -> bytes:
        if chunk.ndim < 2 or chunk.shape[-1] not in (3, 4):
            raise ValueError(f"pictures must have shape (..., height, width, 3 or 4), found {chunk.shape!r}")
        if not chunk.flags.c_contiguous:
            raise ValueError("pictures must be in C order, found Fortran order")
        pixels = chunk.reshape(-1, *chunk.shape[-2:])
        data = encode(pixels, **self._config)
        reader = KmqReader(data, max_pixels=None)
        if reader.header.channels == pixels.shape[2]:
            return data
        # Alpha that is 255 everywhere was left out, or came with a palette that was given; but a chunk has to
        # come back with its own channels.
        image = reader.image()
        palette = image.palette[:, :3] if pixels.shape[2] == 3 else np.insert(image.palette, 3, 255, axis=1)
        image = replace(image, palette=palette)
        return write_image(image, strip_rows=reader.header.strip_rows, coding=self._config["coding"])


def _check_pixels(reader: KmqReader) -> None:
    # Unlike elsewhere, pictures of one colour do not count more: large parts of a label map may have one.
    pixels = reader.width * reader.height
    if pixels > DEFAULT_MAX_PIXELS:
        raise LimitExceededError(f"the chunk has {pixels} pixels, the limit is {DEFAULT_MAX_PIXELS}")


def _to_colors(items: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colours that stand for items of 1, 2 or 4 bytes, shape (K, 3) or (K, 4)."""
    parts = items[:, np.newaxis].view(np.uint8)
    if items.itemsize == 1:
        return parts[:, [0, 0, 0]]
    last = 255 - parts[:, -1:]
    return np.hstack([parts, last] if items.itemsize == 2 else [parts[:, :3], last])


def _to_items(palette: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the items for which colours stand, as uint8, uint16 or uint32, shape (K,)."""
    if palette.shape[1] == 4:
        parts = np.hstack([palette[:, :3], 255 - palette[:, 3:]])
    elif (palette[:, 1] == 255 - palette[:, 2]).all():
        parts = palette[:, :2]
    else:
        parts = palette[:, :1]
    items: NDArray[Any] = np.ascontiguousarray(parts).view(f"u{parts.shape[1]}")[:, 0]
    if not np.array_equal(_to_colors(items), palette):
        raise ValueError("the colours of the chunk are those of a picture, not of a label map")
    return items
