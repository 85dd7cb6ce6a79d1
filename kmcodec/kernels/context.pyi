import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def code_rows(
    indices: NDArray[np.uint16],
    payload: NDArray[np.uint8],
    width: int,
    first_row: int,
    stop_row: int,
    flag_bits: int,
    step_bits: int,
    match_bits: int,
    registers: NDArray[np.int64],
    states: NDArray[np.uint8],
    next_states: NDArray[np.uint8],
    squash: NDArray[np.uint16],
    stretch: NDArray[np.int16],
    maps: NDArray[np.uint16],
    weights: NDArray[np.int16],
    matches: NDArray[np.uint32],
    unchanged: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    tree: NDArray[np.int32],
    paths: NDArray[np.int32],
    decoding: bool,
) -> None: ...
def build_tree(
    palette: NDArray[np.uint8],
    tree: NDArray[np.int32],
    paths: NDArray[np.int32],
    order: NDArray[np.int32],
) -> None: ...
