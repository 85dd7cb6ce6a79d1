import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def measure_cluster(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    members: NDArray[np.int32],
    first: int,
    end: int,
    moments: NDArray[np.int64],
    covariance: NDArray[np.int64],
    axis: NDArray[np.int64],
) -> None: ...
def split_cluster(
    points: NDArray[np.int16],
    members: NDArray[np.int32],
    first: int,
    end: int,
    moments: NDArray[np.int64],
    axis: NDArray[np.int64],
) -> int: ...
