import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def build_tree(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    order: NDArray[np.int32],
    leaf_points: int,
    boxes: NDArray[np.int16],
    spans: NDArray[np.int32],
    moments: NDArray[np.int64],
    stack: NDArray[np.int32],
) -> int: ...
def accumulate(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    boxes: NDArray[np.int16],
    spans: NDArray[np.int32],
    moments: NDArray[np.int64],
    roots: NDArray[np.int32],
    centroids: NDArray[np.int16],
    candidates: NDArray[np.int32],
    remaining: NDArray[np.int32],
    totals: NDArray[np.int64],
    labels: NDArray[np.int32],
) -> int: ...
