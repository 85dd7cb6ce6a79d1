import numpy as np
from numpy.typing import NDArray

COMPILED: bool

class Model:
    def __init__(
        self,
        indices: NDArray[np.uint16],
        payload: NDArray[np.uint8],
        width: int,
        palette: NDArray[np.uint8],
        tree: NDArray[np.int32],
        paths: NDArray[np.int32],
        states: NDArray[np.uint8],
        maps: NDArray[np.uint16],
        weights: NDArray[np.int16],
        matches: NDArray[np.uint32],
        unchanged: NDArray[np.uint8],
        next_states: NDArray[np.uint8],
        squash: NDArray[np.uint16],
        stretch: NDArray[np.int16],
        flag_bits: int,
        step_bits: int,
        match_bits: int,
        window: int,
    ) -> None: ...
    def set_trade(
        self,
        trade: int,
        colors: NDArray[np.int32],
        points: NDArray[np.int16],
        entries: NDArray[np.int16],
        corners: NDArray[np.int16],
        prices: NDArray[np.int64],
        costs: NDArray[np.uint16],
    ) -> None: ...
    def set_meter(self, totals: NDArray[np.int64], costs: NDArray[np.uint16]) -> None: ...
    def get_low(self) -> int: ...
    def get_position(self) -> int: ...
    def code_rows(self, first_row: int, stop_row: int) -> None: ...

def build_tree(
    palette: NDArray[np.uint8],
    tree: NDArray[np.int32],
    paths: NDArray[np.int32],
    order: NDArray[np.int32],
) -> None: ...
