import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def list_neighbors(
    centroids: NDArray[np.int16],
    axis: int,
    order: NDArray[np.int32],
    first: int,
    end: int,
    neighbors: NDArray[np.int32],
) -> None: ...
def measure_radii(
    points: NDArray[np.int16],
    starts: NDArray[np.int32],
    centers: NDArray[np.int16],
    radii: NDArray[np.int32],
) -> None: ...
def sum_clusters(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    labels: NDArray[np.int32],
    totals: NDArray[np.int64],
) -> None: ...
def assign(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    starts: NDArray[np.int32],
    centers: NDArray[np.int16],
    radii: NDArray[np.int32],
    first: int,
    end: int,
    centroids: NDArray[np.int16],
    neighbors: NDArray[np.int32],
    labels: NDArray[np.int32],
    candidates: NDArray[np.int32],
    totals: NDArray[np.int64],
) -> None: ...
def measure_errors(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    centroids: NDArray[np.int16],
    labels: NDArray[np.int32],
    errors: NDArray[np.int64],
) -> None: ...
