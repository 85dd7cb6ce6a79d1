import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def cut_runs(
    codes: NDArray[np.uint32],
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    sums: NDArray[np.int64],
    moments: NDArray[np.int64],
    runs: NDArray[np.int32],
    classes: NDArray[np.int32],
) -> int: ...
