"""Context coding: each index in as few bits as a model makes it (specification, section 6.2).

Owns the model's tables and their first contents; the work on pixels is the kernel's. Encoder and decoder
make the same model and let it learn from the same decisions, so that nothing of it is stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import PayloadError
from kmcodec.image import Indices, empty_indices
from kmcodec.kernels import context as kernel

# Binary logarithms of the numbers of entries that the tables of a large strip have: 1 MiB for the flags,
# 2 MiB for the steps, and twice 256 KiB for the matches: what a processor has near. Four times as much makes
# files 0.8 % smaller, and takes a third more time.
_MAX_FLAG_BITS = 18
_MAX_STEP_BITS = 18
_MAX_MATCH_BITS = 16

# A pair of counts is a state if the larger is at most the entry for the smaller.
_CAPS = (31, 31, 24, 18, 14, 11, 9, 8)

# 65536 / (1 + exp(-3 x / 512)), rounded, for x = 0, 64, 128, ..., 2048.
# fmt: off
_LOGISTIC = (
    32768, 38841, 44511, 49474, 53581, 56822, 59287, 61109, 62428, 63368, 64030, 64494, 64816, 65039, 65194,
    65300, 65374, 65425, 65459, 65483, 65500, 65511, 65519, 65524, 65528, 65530, 65532, 65533, 65534, 65535,
    65535, 65535, 65535,
)
# fmt: on

_VECTORS = 4286
_INPUTS = 24
_FINAL_WEIGHTS = 3 * (3 + 17)
_REFINEMENT_CONTEXTS = 4096
_REFINEMENT_STEPS = 24
_MATCH_COUNTERS = 2 * 22 * 3

# Room that a payload has beside what noise takes.
_SPARE_BYTES = 64

# Rows that the kernel codes at a time are about this many pixels: often enough to be interrupted.
_PIXELS_AT_A_TIME = 1 << 17

_FIRST_WEIGHT = 3072


class _Tables(NamedTuple):
    """Hold what is the same for every strip."""

    next_states: NDArray[np.uint8]
    squash: NDArray[np.uint16]
    stretch: NDArray[np.int16]
    maps: NDArray[np.uint16]
    weights: NDArray[np.int16]


class Tree(NamedTuple):
    """Hold a palette with the binary tree over its entries; build_tree makes it, once for all strips.

    Attributes
    ----------
    palette : ndarray, shape (K, 4), uint8
        Opaque where the picture has no alpha.
    nodes : ndarray, shape (2**(index_bits + 1), 3), int32
        Of node n: index of a leaf or -1, channel, threshold. The root is 1, children of n are 2 n, 2 n + 1.
    paths : ndarray, shape (K,), int32
        Node of each index.
    """

    palette: NDArray[np.uint8]
    nodes: NDArray[np.int32]
    paths: NDArray[np.int32]


def build_tree(palette: NDArray[np.uint8]) -> Tree:
    """Build the tree of a palette, shape (K, 3 or 4), uint8, with K at least 2."""
    n_colors = len(palette)
    rgba = np.full((n_colors, 4), 255, np.uint8)
    rgba[:, : palette.shape[1]] = palette
    nodes = np.zeros((2 << (n_colors - 1).bit_length(), 3), np.int32)
    paths = np.zeros(n_colors, np.int32)
    kernel.build_tree(rgba, nodes, paths, np.empty((2, n_colors), np.int32))
    return Tree(rgba, nodes, paths)


class Trade(NamedTuple):
    """Say what other indices pixels may have, and at what price.

    Attributes
    ----------
    per_bit : int
        Squared error, in units of the points, that a bit is worth; 1..2**40.
    points : ndarray, shape (n, 4), int16
        Of the picture's colours. Squared distances between points and entries are below 2**31.
    entries : ndarray, shape (K, 4), int16
        Points of the palette.
    prices : ndarray, shape (K,), int64
        1/256 bits that each index is taken to cost at most, where it is the nearest.
    """

    per_bit: int
    points: NDArray[np.int16]
    entries: NDArray[np.int16]
    prices: NDArray[np.int64]


def meter(indices: Indices, tree: Tree, tell: Callable[[int], None] | None = None) -> NDArray[np.int64]:
    """Return what the pixels of each index cost in all, shape (K,), int64, in 1/256 bits; as for encode."""
    coder = _Strip(_widen(indices), np.empty(0, np.uint8), indices.shape[1], tree, window=-1)
    totals = np.zeros(len(tree.palette), np.int64)
    coder.set_meter(totals)
    coder.finish(tell)
    return totals


def choose_indices(
    indices: Indices,
    colors: NDArray[np.int32],
    tree: Tree,
    trade: Trade,
    tell: Callable[[int], None] | None = None,
) -> Indices:
    """Choose for each pixel of a strip the index whose error and cost come to least.

    The cost is what the model makes it at that place, after all that was chosen before; and a guess of what
    it makes those to come cost more.

    Parameters
    ----------
    indices : ndarray, shape (rows, width), uint8 or uint16
        Of the nearest entries. Not modified.
    colors : ndarray, shape (rows, width), int32
        For each pixel its row in the points.
    tree : Tree
    trade : Trade

    Returns
    -------
    ndarray, of the shape and dtype of indices
    """
    wide = _widen(indices)
    coder = _Strip(wide, np.empty(0, np.uint8), indices.shape[1], tree, window=-1)
    coder.set_trade(np.ascontiguousarray(colors).reshape(-1), trade)
    coder.finish(tell)
    chosen = empty_indices(indices.shape, len(tree.palette))
    chosen[:] = wide.reshape(indices.shape)
    return chosen


def _widen(indices: Indices) -> NDArray[np.uint16]:
    """Return a copy of indices as the kernel takes them."""
    return indices.astype(np.uint16).reshape(-1)


def _bound_nodes(tree: Tree, entries: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the least and the greatest coordinates of the entries below each node, shape (nodes, 8)."""
    limits = np.iinfo(np.int16)
    corners = np.empty((len(tree.nodes), 8), np.int16)
    corners[:, :4], corners[:, 4:] = limits.max, limits.min
    corners[tree.paths, :4] = corners[tree.paths, 4:] = entries
    for first in [1 << depth for depth in reversed(range(len(tree.nodes).bit_length() - 2))]:
        children = corners[2 * first : 4 * first].reshape(first, 2, 8)
        level = corners[first : 2 * first]
        np.minimum(level[:, :4], children[:, :, :4].min(axis=1), out=level[:, :4])
        np.maximum(level[:, 4:], children[:, :, 4:].max(axis=1), out=level[:, 4:])
    return corners


@functools.cache
def _make_costs() -> NDArray[np.uint16]:
    """Return -256 log2(q / 4096) for q = 0, ..., 4095, rounded up; that of 0 is that of 1."""
    # 31 bits, of which the first is set; squaring gives one bit of the logarithm after the other.
    q = np.maximum(np.arange(4096, dtype=np.uint64), 1)
    whole = np.array([int(value).bit_length() for value in q], np.uint64)
    mantissa = q << (np.uint64(31) - whole)
    logarithm = whole - np.uint64(1)
    for _ in range(8):
        mantissa = mantissa * mantissa >> np.uint64(30)
        carry = mantissa >> np.uint64(31)
        mantissa >>= carry
        logarithm = 2 * logarithm + carry
    return (12 * 256 - logarithm).astype(np.uint16)


def encode(indices: Indices, tree: Tree, tell: Callable[[int], None] | None = None) -> bytes:
    """Encode the indices of a strip.

    Parameters
    ----------
    indices : ndarray, shape (rows, width), uint8 or uint16
        Each below K.
    tree : Tree
    tell : callable, optional
        Is told how many pixels more are done, several times a second; fewer than 0 if they have to be done
        again. What it raises ends the work.

    Returns
    -------
    bytes
    """
    wide = _widen(indices)
    # Noise takes a little more than packed indices do. What is made to mislead the model takes up to 12 bits
    # for each decision; then all is done again.
    packed_bytes = len(wide) * (len(tree.palette) - 1).bit_length() // 8
    capacity = packed_bytes + packed_bytes // 8 + _SPARE_BYTES
    while True:
        payload = np.empty(capacity, np.uint8)
        coder = _Strip(wide, payload, indices.shape[1], tree, window=-1)
        coder.finish(tell)
        low, position = coder.low, coder.position
        if position <= capacity:
            break
        capacity = position
        if tell is not None:
            tell(-len(wide))
    end = payload[:position].tobytes()
    return end + bytes([(low >> 24) + 1]) if low else end


def decode(
    payload: bytes | memoryview,
    rows: int,
    width: int,
    tree: Tree,
    *,
    stop_row: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Indices:
    """Decode the indices of a strip.

    Parameters
    ----------
    payload : bytes-like
    rows, width : int
        Of the strip, in pixels.
    tree : Tree
    stop_row : int, optional
        Rows that are wanted, from the top; what follows them in the payload is not looked at.
    tell : callable, optional
        As for encode.

    Returns
    -------
    ndarray, shape (rows or stop_row, width), uint8 (K <= 256) or uint16

    Raises
    ------
    PayloadError
        If the payload is longer or shorter than what it decodes to takes, or ends with another byte.
    """
    stop_row = rows if stop_row is None else stop_row
    decoder = _Decoder(payload, rows, width, tree)
    for _ in decoder.run(stop_row, tell=tell):
        if decoder.position > len(payload):
            break
    else:
        if stop_row < rows:
            return decoder.indices[:stop_row]
    low, position = decoder.low, decoder.position
    expected = position + (low > 0)
    if len(payload) != expected:
        raise PayloadError(
            8 * min(len(payload), expected),
            "payload",
            found="fewer bytes" if len(payload) < expected else f"{len(payload) - expected} bytes more",
            expected=f"at least {expected} bytes" if len(payload) < expected else "the end of the payload",
        )
    if low and payload[position] != (low >> 24) + 1:
        raise PayloadError(
            8 * position, "payload", found=f"0x{payload[position]:02x}", expected=f"0x{(low >> 24) + 1:02x}"
        )
    return decoder.indices


def decode_cut(payload: bytes | memoryview, rows: int, width: int, tree: Tree) -> Indices:
    """Decode as many rows as the start of a payload tells; parameters and result are those of decode."""
    decoder = _Decoder(payload, rows, width, tree)
    whole = 0
    for row in decoder.run(rows, 1):
        # The decoder looks four bytes ahead.
        if decoder.position + 4 > len(payload):
            break
        whole = row
    return decoder.indices[:whole]


class _Strip:
    """Hold a strip while it is coded, and the model of it."""

    def __init__(
        self, indices: NDArray[np.uint16], payload: NDArray[np.uint8], width: int, tree: Tree, *, window: int
    ) -> None:
        tables = _make_tables()
        # Small strips have small tables: room for what they can hold.
        size = (len(indices) - 1).bit_length() + 3
        flag_bits = min(max(size, 8), _MAX_FLAG_BITS)
        step_bits = min(max(size, 8), _MAX_STEP_BITS)
        match_bits = min(max(size - 3, 8), _MAX_MATCH_BITS)
        self._width = width
        self._rows = len(indices) // width
        self._tree = tree
        self._model = kernel.Model(
            indices,
            payload,
            width,
            *tree,
            # The last eight stay zero.
            np.zeros((4 << flag_bits) + (8 << step_bits) + 8, np.uint8),
            tables.maps.copy(),
            tables.weights.copy(),
            np.zeros(2 << match_bits, np.uint32),
            np.zeros(width, np.uint8),
            tables.next_states,
            tables.squash,
            tables.stretch,
            flag_bits,
            step_bits,
            match_bits,
            window,
        )

    def set_trade(self, colors: NDArray[np.int32], trade: Trade) -> None:
        """Choose indices, from now on."""
        corners = _bound_nodes(self._tree, trade.entries)
        self._model.set_trade(
            trade.per_bit, colors, trade.points, trade.entries, corners, trade.prices, _make_costs()
        )

    def set_meter(self, totals: NDArray[np.int64]) -> None:
        """Add up what indices cost, from now on."""
        self._model.set_meter(totals, _make_costs())

    def finish(self, tell: Callable[[int], None] | None = None) -> None:
        """Code all rows; tell is called as for run."""
        for _ in self.run(self._rows, tell=tell):
            pass

    def run(
        self, stop_row: int, step: int | None = None, tell: Callable[[int], None] | None = None
    ) -> Iterator[int]:
        """Code the rows before stop_row, step at a time; yield how many there are so far."""
        step = step or max(1, _PIXELS_AT_A_TIME // self._width)
        for first in range(0, stop_row, step):
            stop = min(first + step, stop_row)
            self._model.code_rows(first, stop)
            if tell is not None:
                tell((stop - first) * self._width)
            yield stop

    @property
    def low(self) -> int:
        """Lower end of the arithmetic coder's interval."""
        return self._model.get_low()

    @property
    def position(self) -> int:
        """Bytes of the payload that are done with."""
        return self._model.get_position()


class _Decoder(_Strip):
    """Decode a strip, some rows at a time."""

    def __init__(self, payload: bytes | memoryview, rows: int, width: int, tree: Tree) -> None:
        self._wide = np.zeros(rows * width, np.uint16)
        self._shape = rows, width
        self._n_colors = len(tree.palette)
        window = int.from_bytes(bytes(payload[:4]).ljust(4, b"\0"), "big")
        # A copy, since the kernel takes arrays that it could write to.
        super().__init__(self._wide, np.frombuffer(payload, np.uint8).copy(), width, tree, window=window)

    @property
    def indices(self) -> Indices:
        """All rows; those that have not been decoded are 0."""
        indices = empty_indices(self._shape, self._n_colors)
        indices[:] = self._wide.reshape(self._shape)
        return indices


@functools.cache
def _make_tables() -> _Tables:
    """Build the tables of the specification's section 6.2."""
    pairs = [
        (zeros, total - zeros)
        for total in range(2 * max(_CAPS))
        for zeros in range(total + 1)
        if _is_state(zeros, total - zeros)
    ]
    numbers = {pair: number for number, pair in enumerate(pairs)}
    next_states = np.zeros((2, 256), np.uint8)
    for number, pair in enumerate(pairs):
        for bit in (0, 1):
            next_states[bit, number] = numbers[_count(pair, bit)]
    x = np.arange(-2048, 2048)
    half = np.array(_LOGISTIC)
    points = np.concatenate([65536 - half[:0:-1], half])
    at, part = (x + 2048) >> 6, (x + 2048) & 63
    squash = ((points[at] * (64 - part) + points[at + 1] * part + 32) >> 6).astype(np.uint16)
    usable = squash[1:].astype(np.int64)
    stretch = np.minimum(np.searchsorted(usable, 16 * np.arange(4096) + 8) - 2047, 2047).astype(np.int16)
    initial = np.zeros(256, np.int64)
    initial[: len(pairs)] = [(2 * ones + 1) * 32768 // (zeros + ones + 1) for zeros, ones in pairs]
    steps = squash[np.clip(np.arange(_REFINEMENT_STEPS) * 4096 // 23, 1, 4095)]
    maps = np.concatenate(
        [
            np.tile(initial, 4 * 8),
            np.tile(steps, 2 * _REFINEMENT_CONTEXTS),
            np.full(_MATCH_COUNTERS, 49152),
        ]
    ).astype(np.uint16)
    vector = np.zeros(_INPUTS, np.int16)
    vector[:16:2] = _FIRST_WEIGHT
    weights = np.concatenate([np.tile(vector, _VECTORS), np.full(_FINAL_WEIGHTS, 16384 // 3, np.int16)])
    return _Tables(next_states.reshape(-1), squash, stretch, maps, weights)


def _is_state(zeros: int, ones: int) -> bool:
    smaller, larger = sorted((zeros, ones))
    return smaller < len(_CAPS) and larger <= _CAPS[smaller]


def _count(pair: tuple[int, int], bit: int) -> tuple[int, int]:
    """Return the state after one more decision: what was seen of the other, if above two, is halved."""
    same, other = pair[bit] + 1, pair[1 - bit]
    if other > 2:
        other = (other + 2) // 2
    smaller, larger = sorted((same, other))
    limit = _CAPS[smaller]
    if same == larger:
        same = min(same, limit)
    else:
        other = min(other, limit)
    return (same, other) if bit == 0 else (other, same)
