import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def lower_distances(
    points: NDArray[np.int16], weights: NDArray[np.int64], chosen: int, distances: NDArray[np.int32]
) -> int: ...
def find_potential(weights: NDArray[np.int64], distances: NDArray[np.int32], target: int) -> int: ...
