import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def insert_keys(table: NDArray[np.uint64], table_bits: int, keys: NDArray[np.uint32]) -> None: ...
def count_colors(
    pixels: NDArray[np.uint8],
    channels: int,
    start: int,
    table: NDArray[np.uint64],
    table_bits: int,
    keys: NDArray[np.uint32],
    counts: NDArray[np.int64],
    known: int,
) -> tuple[int, int]: ...
def look_up_pixels(
    pixels: NDArray[np.uint8],
    channels: int,
    table: NDArray[np.uint64],
    table_bits: int,
    indices_of_colors: NDArray[np.uint8] | NDArray[np.uint16],
    indices: NDArray[np.uint8] | NDArray[np.uint16],
) -> None: ...
