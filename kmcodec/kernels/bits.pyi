import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def pack_groups(
    indices: NDArray[np.uint8] | NDArray[np.uint16], payload: NDArray[np.uint8], index_bits: int
) -> None: ...
def unpack_groups(
    payload: NDArray[np.uint8],
    indices: NDArray[np.uint8] | NDArray[np.uint16],
    index_bits: int,
    last_index: int,
) -> bool: ...
def unpack_groups_to_rgb(
    payload: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    table: NDArray[np.uint64],
    words: NDArray[np.uint64],
    index_bits: int,
) -> bool: ...
def unpack_groups_to_rgba(
    payload: NDArray[np.uint8],
    colors: NDArray[np.uint32],
    words: NDArray[np.uint32],
    index_bits: int,
    last_index: int,
) -> bool: ...
