"""Zarr format 3: chunks as .kmq files. An entry point tells Zarr of it.

Owns the configuration in Zarr's metadata, and the order of bytes. What becomes of a chunk is said by
kmcodec.plugins.numcodecs, which is also what Zarr format 2 uses.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from kmcodec.plugins.numcodecs import Kmq


@dataclass(frozen=True, init=False)
class KmqCodec(ArrayBytesCodec):  # type: ignore[misc]  # Zarr has its types, but need not be there
    """Serialize chunks as .kmq files.

    Parameters and errors are those of kmcodec.plugins.numcodecs.Kmq. Items of several bytes are stored in
    little-endian order.
    """

    is_fixed_size = False
    codec: Kmq

    def __init__(
        self,
        n_colors: int | Literal["auto"] | None = None,
        coding: Literal["context", "packed"] = "context",
        **options: Any,
    ) -> None:
        object.__setattr__(self, "codec", Kmq(n_colors, coding, **options))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> KmqCodec:
        """Return the codec that Zarr's metadata describe."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the description for Zarr's metadata."""
        configuration = self.codec.get_config()
        del configuration["id"]
        return {"name": "kmcodec.kmq", "configuration": configuration}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Refuse to say how long a chunk will be: that depends on what is in it."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array = chunk_data.as_numpy_array()
        stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        data = await asyncio.to_thread(self.codec.encode, stored)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        stored = np.empty(chunk_spec.shape, dtype.newbyteorder("<"))
        await asyncio.to_thread(self.codec.decode, chunk_data.as_numpy_array(), stored)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(stored.astype(dtype, copy=False))
