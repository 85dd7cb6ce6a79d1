import numpy as np
from numpy.typing import NDArray

COMPILED: bool

def build_clusters(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    members: NDArray[np.int32],
    clusters: NDArray[np.int64],
    centroids: NDArray[np.int16],
) -> None: ...
def move_centroids(clusters: NDArray[np.int64], centroids: NDArray[np.int16], n_fixed: int) -> int: ...
def split_clusters(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    members: NDArray[np.int32],
    clusters: NDArray[np.int64],
    centroids: NDArray[np.int16],
    halves: NDArray[np.int16],
    known: int,
    n_fixed: int,
) -> int: ...
def reassign(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    members: NDArray[np.int32],
    clusters: NDArray[np.int64],
    centroids: NDArray[np.int16],
    rivals: NDArray[np.int32],
    moves: NDArray[np.int32],
    n_fixed: int,
) -> int: ...
def swap_centroids(
    points: NDArray[np.int16],
    weights: NDArray[np.int64],
    members: NDArray[np.int32],
    clusters: NDArray[np.int64],
    centroids: NDArray[np.int16],
    halves: NDArray[np.int16],
    kept_members: NDArray[np.int32],
    kept_clusters: NDArray[np.int64],
    kept_centroids: NDArray[np.int16],
    rivals: NDArray[np.int32],
    moves: NDArray[np.int32],
    n_fixed: int,
    n_swaps: int,
    patience: int,
    max_steps: int,
    failures: int,
) -> int: ...
