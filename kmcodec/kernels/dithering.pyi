import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def diffuse_errors(
    points: NDArray[np.int16],
    labels: NDArray[np.int32],
    rows: NDArray[np.int32],
    centroids: NDArray[np.int16],
    neighbors: NDArray[np.int32],
    box: NDArray[np.int16],
    strength: int,
    errors: NDArray[np.int32],
    random_state: NDArray[np.uint64],
    first_row: int,
    indices: NDArray[np.uint8] | NDArray[np.uint16],
) -> None: ...
def plan_mixtures(
    points: NDArray[np.int16],
    labels: NDArray[np.int32],
    centroids: NDArray[np.int16],
    neighbors: NDArray[np.int32],
    box: NDArray[np.int16],
    ranks: NDArray[np.int32],
    strength: int,
    mixtures: NDArray[np.uint8] | NDArray[np.uint16],
) -> None: ...
def place_mixtures(
    rows: NDArray[np.int32],
    mixtures: NDArray[np.uint8] | NDArray[np.uint16],
    thresholds: NDArray[np.uint8],
    first_row: int,
    indices: NDArray[np.uint8] | NDArray[np.uint16],
) -> None: ...
