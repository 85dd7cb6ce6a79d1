import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def grow_table(
    table: NDArray[np.uint64], larger: NDArray[np.uint64], larger_bits: int, moved: NDArray[np.int32]
) -> None: ...
def count_colors(
    pixels: NDArray[np.uint8],
    spread: NDArray[np.uint32],
    start: int,
    table: NDArray[np.uint64],
    table_bits: int,
    known: int,
    slots: NDArray[np.int32],
) -> tuple[int, int]: ...
def list_entries(table: NDArray[np.uint64], entries: NDArray[np.uint64]) -> None: ...
def sort_entries(
    entries: NDArray[np.uint64], scratch: NDArray[np.uint64], digit_bits: int, starts: NDArray[np.intp]
) -> None: ...
def unpack_entries(
    entries: NDArray[np.uint64],
    gathered: NDArray[np.uint32],
    colors: NDArray[np.uint8],
    codes: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> int: ...
def number_slots(
    codes: NDArray[np.uint32], table: NDArray[np.uint64], table_bits: int, rows: NDArray[np.int32]
) -> None: ...
def look_up(
    rows: NDArray[np.int32],
    values: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
    found: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
) -> None: ...
def count_codes(
    pixels: NDArray[np.uint8], spread: NDArray[np.uint32], counts: NDArray[np.uint32]
) -> None: ...
def find_codes(
    pixels: NDArray[np.uint8],
    spread: NDArray[np.uint32],
    values: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
    found: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
) -> None: ...
def find_colors(
    pixels: NDArray[np.uint8],
    spread: NDArray[np.uint32],
    table: NDArray[np.uint64],
    table_bits: int,
    values: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
    found: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
) -> None: ...
