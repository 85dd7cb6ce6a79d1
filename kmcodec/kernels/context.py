# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Code the indices of a strip with a model of their surroundings (specification, section 6.2).

Owns the model: which contexts there are, how their statistics are kept, mixed and refined, and the binary
arithmetic coder at the end. Coding and decoding are one way through the code: what differs is where a
decision comes from.

Symbols of the specification have its names: N, W, NE, ... are the indices of pixels above, to the left, ...
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["Model", "build_tree"]

LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)

# A decision has 8 contexts, which give two inputs each, and 8 more inputs; three mixers weigh these 24.
# Numbers that loops run to stand where they are used, so that compilers see them.
FIRST_EXTRA = cython.declare(cython.int, 16)

# Kinds of decisions: the two flags, a run, and a step down the tree.
RUN = cython.declare(cython.int, 2)
STEP = cython.declare(cython.int, 3)

# Where things begin in maps: after 4 * 8 * 256 state maps the two refinements, then the match counters.
REFINEMENT_CONTEXTS = cython.declare(cython.int, 4096)
REFINEMENT_STEPS = cython.declare(cython.int, 24)
REFINEMENT_A = cython.declare(cython.int, 8192)
REFINEMENT_B = cython.declare(cython.int, 8192 + 4096 * 24)
MATCH_COUNTERS = cython.declare(cython.int, 8192 + 2 * 4096 * 24)
MATCH_LEVELS = cython.declare(cython.int, 22)

# Where the vectors of each kind begin, in vectors of 24 weights: three sets, each with parts for flags,
# runs and steps; then the final mixer, three weights a kind and depth.
FLAG_A = cython.declare(cython.int, 0)
RUN_A = cython.declare(cython.int, 528)
STEP_A = cython.declare(cython.int, 692)
FLAG_B = cython.declare(cython.int, 760)
RUN_B = cython.declare(cython.int, 1272)
STEP_B = cython.declare(cython.int, 1528)
FLAG_C = cython.declare(cython.int, 2552)
RUN_C = cython.declare(cython.int, 2876)
STEP_C = cython.declare(cython.int, 2909)
FINAL = cython.declare(cython.int, 4286 * 24)


# Odd multipliers of the hashes, one for each neighbour.
M_W = cython.declare(cython.ulonglong, 0x9E3779B1)
M_N = cython.declare(cython.ulonglong, 0x85EBCA6B)
M_NW = cython.declare(cython.ulonglong, 0xC2B2AE35)
M_NE = cython.declare(cython.ulonglong, 0x27D4EB2F)
M_WW = cython.declare(cython.ulonglong, 0x165667B1)
M_NN = cython.declare(cython.ulonglong, 0xD3A2646D)
M_NEE = cython.declare(cython.ulonglong, 0xFD7046C5)
M_NNE = cython.declare(cython.ulonglong, 0xB55A4F09)
M_NWW = cython.declare(cython.ulonglong, 0x8DA6B343)
M_NNW = cython.declare(cython.ulonglong, 0xD8163841)
M_WWW = cython.declare(cython.ulonglong, 0xCB1AB31F)
M_NEEE = cython.declare(cython.ulonglong, 0xA2F5C2C9)
M_W4 = cython.declare(cython.ulonglong, 0x2545F491)
M_W5 = cython.declare(cython.ulonglong, 0x3C6EF373)
M_W6 = cython.declare(cython.ulonglong, 0x78DDE6E5)
M_NE4 = cython.declare(cython.ulonglong, 0x60BEE2BF)
M_NE5 = cython.declare(cython.ulonglong, 0xDAA66D2B)
M_NWWW = cython.declare(cython.ulonglong, 0x7FEB352D)
M_NNEE = cython.declare(cython.ulonglong, 0x846CA68B)
M_NNWW = cython.declare(cython.ulonglong, 0x9E6C63D1)
M_KIND = cython.declare(cython.ulonglong, 0x3D4D51CB)
M_NODE = cython.declare(cython.ulonglong, 0x2F0B4C47)
M_BROKEN = cython.declare(cython.ulonglong, 0x5851F42D)

# A mixer's error at most. A number in its place would tell compilers that the error needs no conversion to 16
# bits, without which they do not find the fast multiplication.
MOST_ERROR = cython.declare(cython.int, 32767)

# Bits that a pixel is guessed to cost where it ends a run.
COST_OF_CHANGE = cython.declare(cython.int, 4)

LONGEST_RUN = cython.declare(cython.int, 32)
SHORTEST_RUN = cython.declare(cython.int, 8)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _clamp(value: cython.int, least: cython.int, most: cython.int) -> cython.int:
    return least if value < least else most if value > most else value


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash(key: cython.ulonglong) -> cython.ulonglong:
    """Return 32 bits, of which the upper ones depend on all of key's lower 32."""
    h: cython.ulonglong = ((key & LOW_32_BITS) * M_W) & LOW_32_BITS
    h ^= h >> 15
    return (h * M_N) & LOW_32_BITS


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _level(length: cython.longlong) -> cython.int:
    """Return how far to trust a match of a length, 0..21."""
    level: cython.int = 16
    if length < 16:
        level = cython.cast(cython.int, length)
    else:
        while level < 21 and length >> (level - 11):
            level += 1
    return level


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _train(
    weights: cython.short[::1],
    at: cython.Py_ssize_t,
    inputs: cython.pointer(cython.short),
    error: cython.short,
) -> cython.void:
    """Add to 24 weights the products of inputs and error, without their lower halves, rounded.

    In shorts throughout, so that compilers find the instructions for it.
    """
    i: cython.int
    change: cython.short
    weight: cython.short
    most: cython.short = 30000
    least: cython.short = -30000
    for i in range(24):
        change = cython.cast(cython.short, (cython.cast(cython.short, inputs[i] * 2) * error) >> 16)
        change = cython.cast(cython.short, change + 1) >> 1
        weight = weights[at + i] + change
        weight = weight if weight < most else most
        weights[at + i] = weight if weight > least else least


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _difference(palette: cython.const[cython.uchar][:, ::1], a: cython.int, b: cython.int) -> cython.int:
    """Return how much two colours differ: 0 hardly, 1 somewhat, 2 much."""
    d: cython.int = (
        abs(palette[a, 0] - palette[b, 0]) * 2
        + abs(palette[a, 1] - palette[b, 1]) * 4
        + abs(palette[a, 2] - palette[b, 2])
        + abs(palette[a, 3] - palette[b, 3]) * 4
    )
    return (d >= 7) + (d >= 70)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _forced(
    tree: cython.const[cython.int][:, ::1], node: cython.int, a: cython.int, b: cython.int
) -> cython.int:
    """Return the step that must be taken since below the other there is nothing but a and b; else -1."""
    step: cython.int = -1
    side: cython.int
    child: cython.int
    leaf: cython.int
    left: cython.int
    right: cython.int
    for side in range(2):
        child = 2 * node + side
        leaf = tree[child, 0]
        if leaf >= 0:
            if leaf in (a, b):
                step = 1 - side
        else:
            left = tree[2 * child, 0]
            right = tree[2 * child + 1, 0]
            if (left == a and right == b) or (left == b and right == a):
                step = 1 - side
    return step


@cython.final
@cython.cclass
class Model:
    """Hold all that is remembered while a strip is coded, and the strip.

    Parameters
    ----------
    indices : shape (rows * width,), uint16
        Are filled when decoding; and changed if set_trade was called.
    payload : shape (n,), uint8
        Is filled when coding, as far as it reaches.
    width : int
    palette, tree, paths
        Of a Tree.
    states, maps, weights, matches, unchanged
        What is learnt, with its first contents.
    next_states, squash, stretch
        Tables.
    flag_bits, step_bits, match_bits : int
        Binary logarithms of numbers of entries.
    window : int
        The first four bytes of the payload when decoding, else -1.
    """

    # The strip.
    indices: cython.ushort[::1]
    payload: cython.uchar[::1]
    width: cython.Py_ssize_t
    decoding: cython.bint
    # Where indices are chosen by what they cost: the squared error that a bit is worth, 0 for not at all;
    # each pixel's colour; points of the colours, of the palette, and the corners of those below each node;
    # what each index costs at most; and what each probability does.
    trade: cython.longlong
    colors: cython.const[cython.int][::1]
    points: cython.const[cython.short][:, ::1]
    entries: cython.const[cython.short][:, ::1]
    corners: cython.const[cython.short][:, ::1]
    prices: cython.const[cython.longlong][::1]
    costs: cython.const[cython.ushort][::1]
    # The palette.
    palette: cython.const[cython.uchar][:, ::1]
    tree: cython.const[cython.int][:, ::1]
    paths: cython.const[cython.int][::1]
    n_colors: cython.int
    index_bits: cython.int
    # What has been learnt.
    states: cython.uchar[::1]
    maps: cython.ushort[::1]
    weights: cython.short[::1]
    matches: cython.uint[::1]
    unchanged: cython.uchar[::1]
    flag_bits: cython.int
    step_bits: cython.int
    match_bits: cython.int
    decisions: cython.int
    # Tables.
    next_states: cython.const[cython.uchar][::1]
    squash: cython.const[cython.ushort][::1]
    stretch: cython.const[cython.short][::1]
    # The arithmetic coder.
    low: cython.ulonglong
    high: cython.ulonglong
    window: cython.ulonglong
    position: cython.Py_ssize_t
    # Of the long and of the short match: where it goes on, how long it is, the index that it foretells or -1,
    # how far to trust it, and where it could go on if it ends here.
    match_at = cython.declare(cython.Py_ssize_t[2])
    match_length = cython.declare(cython.longlong[2])
    predicted = cython.declare(cython.int[2])
    levels = cython.declare(cython.int[2])
    candidates = cython.declare(cython.Py_ssize_t[2])
    # Whether a run has ended too early in this row.
    broken: cython.int
    # Neighbours, and hashes of them.
    w: cython.int
    ww: cython.int
    www: cython.int
    w4: cython.int
    w5: cython.int
    w6: cython.int
    n: cython.int
    nw: cython.int
    nww: cython.int
    nwww: cython.int
    ne: cython.int
    nee: cython.int
    neee: cython.int
    ne4: cython.int
    ne5: cython.int
    nn: cython.int
    nnw: cython.int
    nne: cython.int
    nnww: cython.int
    nnee: cython.int
    near: cython.ulonglong
    hash_8: cython.ulonglong
    hash_12: cython.ulonglong
    hash_20: cython.ulonglong
    texture: cython.int
    differences: cython.int
    keys = cython.declare(cython.ulonglong[8])
    # Of the decision: where the states of its contexts lie, inputs, vectors of weights; what _predict found.
    salt: cython.ulonglong
    slots = cython.declare(cython.Py_ssize_t[8])
    inputs = cython.declare(cython.short[24])
    vectors = cython.declare(cython.int[3])
    counters = cython.declare(cython.int[2])
    agree = cython.declare(cython.int[2])
    places = cython.declare(cython.int[8])
    slot: cython.int
    outputs = cython.declare(cython.int[3])
    squashed = cython.declare(cython.int[3])
    final_at: cython.int
    mixed_p: cython.int
    probability: cython.int
    refined_at = cython.declare(cython.int[2])
    # Where it is metered what indices cost: 1/256 bits of each, and of the pixel or the run at hand.
    metering: cython.bint
    totals: cython.longlong[::1]
    spent: cython.longlong
    # What the best choice so far comes to.
    least_total: cython.longlong

    def __init__(
        self,
        indices: cython.ushort[::1],
        payload: cython.uchar[::1],
        width: cython.Py_ssize_t,
        palette: cython.const[cython.uchar][:, ::1],
        tree: cython.const[cython.int][:, ::1],
        paths: cython.const[cython.int][::1],
        states: cython.uchar[::1],
        maps: cython.ushort[::1],
        weights: cython.short[::1],
        matches: cython.uint[::1],
        unchanged: cython.uchar[::1],
        next_states: cython.const[cython.uchar][::1],
        squash: cython.const[cython.ushort][::1],
        stretch: cython.const[cython.short][::1],
        flag_bits: cython.int,
        step_bits: cython.int,
        match_bits: cython.int,
        window: cython.longlong,
    ) -> None:
        if not cython.compiled:
            # Where the class says what it has, Python would let all its objects share them.
            self.match_at, self.match_length = [0] * 2, [0] * 2
            self.predicted, self.levels, self.candidates = [0] * 2, [0] * 2, [0] * 2
            self.keys, self.slots, self.places = [0] * 8, [0] * 8, [0] * 8
            self.inputs, self.vectors = [0] * 24, [0] * 3
            self.counters, self.agree, self.refined_at = [0] * 2, [0] * 2, [0] * 2
            self.outputs, self.squashed = [0] * 3, [0] * 3
        self.indices, self.payload, self.width = indices, payload, width
        self.palette, self.tree, self.paths = palette, tree, paths
        self.states, self.maps, self.weights = states, maps, weights
        self.matches, self.unchanged = matches, unchanged
        self.next_states, self.squash, self.stretch = next_states, squash, stretch
        self.flag_bits, self.step_bits, self.match_bits = flag_bits, step_bits, match_bits
        self.decoding = window >= 0
        self.window = window if window >= 0 else 0
        self.low, self.high, self.position = 0, LOW_32_BITS, 0
        self.decisions = 0
        self.trade = 0
        self.metering = False
        self.spent = 0
        self.broken = 0
        self.salt = 0
        self.n_colors = cython.cast(cython.int, palette.shape[0])
        self.index_bits = 0
        while (self.n_colors - 1) >> self.index_bits:
            self.index_bits += 1
        self.match_length[0] = 0
        self.match_length[1] = 0

    def set_trade(
        self,
        trade: cython.longlong,
        colors: cython.const[cython.int][::1],
        points: cython.const[cython.short][:, ::1],
        entries: cython.const[cython.short][:, ::1],
        corners: cython.const[cython.short][:, ::1],
        prices: cython.const[cython.longlong][::1],
        costs: cython.const[cython.ushort][::1],
    ) -> None:
        """From now on, choose indices, which begin as those of the nearest entries.

        Parameters
        ----------
        trade : int
            Squared error, in units of the points, that a bit is worth; above 0.
        colors : shape (rows * width,), int32
            For each pixel its row in points.
        points : shape (n, 4), int16
        entries : shape (K, 4), int16
            Points of the palette.
        corners : shape (nodes, 8), int16
            Of all entries below each node of the tree the least coordinates, then the greatest.
        prices : shape (K,), int64
            1/256 bits that each index costs at most.
        costs : shape (4096,), uint16
            1/256 bits that a decision takes whose probability is so many 1/4096.
        """
        self.trade, self.colors, self.points = trade, colors, points
        self.entries, self.corners, self.prices, self.costs = entries, corners, prices, costs

    def set_meter(self, totals: cython.longlong[::1], costs: cython.const[cython.ushort][::1]) -> None:
        """From now on, add up what the pixels of each index cost.

        Parameters
        ----------
        totals : shape (K,), int64
            In 1/256 bits; is added to.
        costs
            As for set_trade.
        """
        self.metering, self.totals, self.costs = True, totals, costs

    def get_low(self) -> int:
        """Return the lower end of the coder's interval."""
        return self.low

    def get_position(self) -> int:
        """Return the bytes of the payload that are done with."""
        return self.position

    def code_rows(self, first_row: cython.Py_ssize_t, stop_row: cython.Py_ssize_t) -> None:
        """Code rows; when decoding, end early where the payload has ended."""
        with cython.nogil:
            self._code_rows(first_row, stop_row)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_rows(self, first_row: cython.Py_ssize_t, stop_row: cython.Py_ssize_t) -> cython.void:
        x: cython.Py_ssize_t
        y: cython.Py_ssize_t
        run: cython.int
        for y in range(first_row, stop_row):
            x = 0
            self.broken = 0
            while x < self.width:
                # No valid payload is used up before all is decoded.
                if self.decoding and self.position > self.payload.shape[0]:
                    return
                self._look_near(x, y)
                run = 0
                # Where the row above repeats the one above it, and so has this one so far.
                if not self.broken and y >= 2 and self.w == self.nw and self.ww == self.nww:
                    run = self._code_run(x, y)
                if run == 0:
                    self._look_far(x, y)
                    self._code_pixel(x, y)
                    run = 1
                x += run

    # ------------------------------ Surroundings

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _at(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.int:
        """Return the index of a pixel that may lie beyond the border."""
        if x < 0:
            x = 0
            y -= 1
        elif x >= self.width:
            x = self.width - 1
        return self.indices[y * self.width + x] if y >= 0 else 0

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_inside(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.bint:
        """Return whether no neighbour lies beyond the border."""
        return 6 <= x < self.width - 5 and y >= 2

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _look_near(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.void:
        """Find the neighbours that tell whether a run may begin."""
        at: cython.Py_ssize_t = y * self.width + x
        if self._is_inside(x, y):
            self.w = self.indices[at - 1]
            self.ww = self.indices[at - 2]
            at -= self.width
            self.n = self.indices[at]
            self.nw = self.indices[at - 1]
            self.nww = self.indices[at - 2]
        else:
            self.w = self._at(x - 1, y)
            self.ww = self._at(x - 2, y)
            self.n = self._at(x, y - 1)
            self.nw = self._at(x - 1, y - 1)
            self.nww = self._at(x - 2, y - 1)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _look_far(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.void:
        """Find the other neighbours, and what to conclude of them."""
        at: cython.Py_ssize_t = y * self.width + x
        if self._is_inside(x, y):
            self.www = self.indices[at - 3]
            self.w4 = self.indices[at - 4]
            self.w5 = self.indices[at - 5]
            self.w6 = self.indices[at - 6]
            at -= self.width
            self.nwww = self.indices[at - 3]
            self.ne = self.indices[at + 1]
            self.nee = self.indices[at + 2]
            self.neee = self.indices[at + 3]
            self.ne4 = self.indices[at + 4]
            self.ne5 = self.indices[at + 5]
            at -= self.width
            self.nnww = self.indices[at - 2]
            self.nnw = self.indices[at - 1]
            self.nn = self.indices[at]
            self.nne = self.indices[at + 1]
            self.nnee = self.indices[at + 2]
        else:
            self.www = self._at(x - 3, y)
            self.w4 = self._at(x - 4, y)
            self.w5 = self._at(x - 5, y)
            self.w6 = self._at(x - 6, y)
            self.nwww = self._at(x - 3, y - 1)
            self.ne = self._at(x + 1, y - 1)
            self.nee = self._at(x + 2, y - 1)
            self.neee = self._at(x + 3, y - 1)
            self.ne4 = self._at(x + 4, y - 1)
            self.ne5 = self._at(x + 5, y - 1)
            self.nnww = self._at(x - 2, y - 2)
            self.nnw = self._at(x - 1, y - 2)
            self.nn = self._at(x, y - 2)
            self.nne = self._at(x + 1, y - 2)
            self.nnee = self._at(x + 2, y - 2)
        self.hash_8 = (
            self.w * M_W
            + self.n * M_N
            + self.nw * M_NW
            + self.ne * M_NE
            + self.ww * M_WW
            + self.nn * M_NN
            + self.nee * M_NEE
            + self.nne * M_NNE
        )
        self.hash_12 = (
            self.hash_8 + self.nww * M_NWW + self.nnw * M_NNW + self.www * M_WWW + self.neee * M_NEEE
        )
        self.hash_20 = (
            self.hash_12
            + self.w4 * M_W4
            + self.w5 * M_W5
            + self.w6 * M_W6
            + self.ne4 * M_NE4
            + self.ne5 * M_NE5
            + self.nwww * M_NWWW
            + self.nnee * M_NNEE
            + self.nnww * M_NNWW
        )

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _likeness(self, neighbor: cython.int) -> cython.int:
        """Return 0 for what equals N, 1 for what equals W, else 2."""
        return 0 if neighbor == self.n else 1 if neighbor == self.w else 2

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_matches(self, here: cython.Py_ssize_t) -> cython.void:
        """Find what the matches foretell, and where they could go on; remember this pixel for others."""
        k: cython.int
        at: cython.Py_ssize_t
        for k in range(2):
            at = cython.cast(
                cython.Py_ssize_t, _hash(self.hash_12 if k else self.hash_20) >> (32 - self.match_bits)
            )
            at += k << self.match_bits
            self.candidates[k] = self.matches[at]
            self.matches[at] = cython.cast(cython.uint, here)
            self.predicted[k] = -1
            if self.match_length[k]:
                self.predicted[k] = self.indices[self.match_at[k]]
            self.levels[k] = _level(self.match_length[k])

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _follow_matches(self, index: cython.int) -> cython.void:
        """Go on with the matches that were right; begin anew with what would have been."""
        k: cython.int
        for k in range(2):
            if self.predicted[k] == index:
                self.match_at[k] += 1
                self.match_length[k] = min(self.match_length[k] + 1, 65535)
            else:
                # What followed on the same surroundings before is a match if it was the same.
                self.match_at[k] = self.candidates[k] + 1
                self.match_length[k] = self.candidates[k] > 0 and self.indices[self.candidates[k]] == index

    # ------------------------------ Runs

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_run(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.int:
        """Code whether pixels repeat those above them; return how many, 0 if there is no run."""
        here: cython.Py_ssize_t = y * self.width + x
        above: cython.Py_ssize_t = here - self.width
        match: cython.Py_ssize_t
        j: cython.int
        value: cython.int
        length: cython.int = 0
        least: cython.int = 255
        most: cython.int = cython.cast(cython.int, min(LONGEST_RUN, self.width - x))
        same: cython.int = 1
        left: cython.int = 0
        foretold: cython.int = 0
        decision: cython.int = 0
        while length < most and self.indices[above + length] == self.indices[above - self.width + length]:
            length += 1
        if length < most:
            length -= 2
        if length < SHORTEST_RUN - 2:
            return 0
        most = 0
        for j in range(length):
            value = self.unchanged[x + j]
            least = min(least, value)
            most = max(most, value)
            if self.indices[above + j] != self.w:
                same = 0
        while left < 32 and left < x and self.indices[here - 1 - left] == self.w:
            left += 1
        # Does the long match foretell the same? 0: there is none; 1: it does; 2: it does not.
        match = self.match_at[0]
        if self.match_length[0] > 0:
            foretold = 1
            if match + length > here:
                foretold = 2
            else:
                for j in range(length):
                    if self.indices[match + j] != self.indices[above + j]:
                        foretold = 2
                        break
        self._predict_run(x, y, length, least, most, same, left, foretold)
        if self.trade:
            decision = self._choose_to_break(here, length)
        elif not self.decoding:
            for j in range(length):
                if self.indices[here + j] != self.indices[above + j]:
                    decision = 1
                    break
        if self._code_decision(decision):
            self.broken = 1
            return 0
        for j in range(length):
            self.indices[here + j] = self.indices[above + j]
            if self.unchanged[x + j] < 255:
                self.unchanged[x + j] += 1
        self.match_length[0] = min(self.match_length[0] + length, 65535) if foretold == 1 else 0
        self.match_at[0] = match + length
        self.match_length[1] = 0
        if self.metering:
            self.totals[self.indices[here]] += self.spent
            self.spent = 0
        return length

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _predict_run(
        self,
        x: cython.Py_ssize_t,
        y: cython.Py_ssize_t,
        length: cython.int,
        least: cython.int,
        most: cython.int,
        same: cython.int,
        left: cython.int,
        foretold: cython.int,
    ) -> cython.int:
        """Return the probability that a run does not hold."""
        j: cython.int
        level: cython.int = _level(self.match_length[0])
        shape: cython.int = 0 if length < 8 else 1 if length < 16 else 2 if length < 32 else 3
        age: cython.int = min(least, 40)
        after: cython.int = self._at(x + length, y - 1)
        next_after: cython.int = self._at(x + length + 1, y - 1)
        key: cython.ulonglong = cython.cast(cython.ulonglong, 1 + shape * 9 + foretold * 3 + same) * M_NODE
        key += cython.cast(cython.ulonglong, RUN) * M_BROKEN
        self.keys[0] = key + cython.cast(cython.ulonglong, (x >> 3)) * M_W
        self.keys[1] = key + self.w * M_W + age * M_N
        self.keys[2] = key + least * M_W
        self.keys[3] = key + left * M_W + age * M_N
        self.keys[4] = key + self.w * M_W + least * M_N
        self.keys[5] = key + level * M_W
        self.keys[6] = key + most * M_W
        self.keys[7] = key + next_after * M_W + after * M_N + age * M_NW
        self._find_flags()
        for j in range(16, 24):
            self.inputs[j] = 0
        self.inputs[FIRST_EXTRA] = 256
        self.inputs[FIRST_EXTRA + 1] = 32 * level if foretold == 1 else -32 * level if foretold == 2 else 0
        self.vectors[0] = RUN_A + age * 4
        self.vectors[1] = RUN_B + (self.w & 255)
        self.vectors[2] = RUN_C + left
        return self._predict(
            RUN, RUN, 0, self.w * M_W + shape * M_KIND, age * M_W + (shape * 3 + foretold) * M_KIND
        )

    # ------------------------------ Pixels

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_pixel(self, x: cython.Py_ssize_t, y: cython.Py_ssize_t) -> cython.void:
        """Code an index: two flags, and if none is set the way down the tree."""
        here: cython.Py_ssize_t = y * self.width + x
        index: cython.int
        self._find_matches(here)
        self._set_flag_contexts()
        index = 0 if self.decoding else self.indices[here]
        if self.trade:
            index = self._choose_index(here)
        if self._code_flag(0, self.n, index):
            index = self.n
        elif self.w != self.n and self.n_colors > 2 and self._code_flag(1, self.w, index):
            index = self.w
        else:
            self._set_step_contexts()
            index = self._code_steps(index)
        self.indices[here] = index
        if index != self.n:
            self.unchanged[x] = 0
            self.broken = 0
        elif self.unchanged[x] < 255:
            self.unchanged[x] += 1
        self._follow_matches(index)
        if self.metering:
            self.totals[index] += self.spent
            self.spent = 0

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _set_flag_contexts(self) -> cython.void:
        """Find the states of the flags' contexts."""
        pattern: cython.ulonglong
        key: cython.ulonglong = self.broken * M_BROKEN
        self.texture = self._likeness(self.nw) * 27 + self._likeness(self.ne) * 9
        self.texture += self._likeness(self.ww) * 3 + self._likeness(self.nn)
        self.texture = self.texture * 2 + (self.w == self.n)
        self.near = (self.texture * 3 + self._likeness(self.nne)) * 3 + self._likeness(self.nww)
        self.near = self.near * 3 + self._likeness(self.nee)
        pattern = (self.near * 3 + self._likeness(self.www)) * 3 + self._likeness(self.nnw)
        pattern = pattern * 3 + self._likeness(self.neee)
        self.keys[0] = key + self.near * M_KIND
        self.keys[1] = key + self.hash_12
        self.keys[2] = key + self.hash_8
        self.keys[3] = key + self.n * M_N + self.ne * M_NE + self.nee * M_NEE
        self.keys[4] = key + self.w * M_W + self.n * M_N + self.ww * M_WW
        self.keys[5] = (
            key + self.w * M_W + self.n * M_N + (self.predicted[0] + 1) * M_NN + self.levels[0] * M_NODE
        )
        self.keys[6] = key + self.n * M_N + (self.predicted[1] + 1) * M_NN + self.levels[1] * M_NODE
        self.keys[7] = key + pattern * M_KIND
        self._find_flags()

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _predict_flag(self, flag: cython.int, candidate: cython.int) -> cython.int:
        """Return the probability that a pixel has the index of N (flag 0) or of W (flag 1)."""
        j: cython.int
        k: cython.int
        for j in range(16, 24):
            self.inputs[j] = 0
        self.inputs[FIRST_EXTRA] = 256
        for k in range(2):
            self.agree[k] = 0 if self.predicted[k] < 0 else 1 if self.predicted[k] == candidate else 2
            self.counters[k] = MATCH_COUNTERS + (k * MATCH_LEVELS + self.levels[k]) * 3 + flag
            j = self.maps[self.counters[k]]
            if self.agree[k] == 1:
                self.inputs[FIRST_EXTRA + 1 + 2 * k] = self.stretch[j >> 4]
                self.inputs[FIRST_EXTRA + 2 + 2 * k] = (j - 32768) >> 4
            elif self.agree[k] == 2:
                self.inputs[FIRST_EXTRA + 1 + 2 * k] = -self.stretch[j >> 4]
        self.vectors[0] = FLAG_A + ((flag * MATCH_LEVELS + self.levels[0]) * 3 + self.agree[0]) * 4
        self.vectors[1] = FLAG_B + flag * 256 + (candidate & 255)
        self.vectors[2] = FLAG_C + flag * 162 + self.texture
        return self._predict(
            flag,
            flag,
            flag,
            self.w * M_W + self.n * M_N + (flag + 4) * M_KIND,
            self.near * M_W + (flag + 4) * M_KIND,
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_flag(self, flag: cython.int, candidate: cython.int, index: cython.int) -> cython.int:
        """Code whether the index is the candidate; return it."""
        k: cython.int
        decision: cython.int
        self._predict_flag(flag, candidate)
        decision = self._code_decision(index == candidate)
        for k in range(2):
            if self.agree[k] == 1:
                self._count(self.counters[k], decision)
            elif self.agree[k] == 2 and decision:
                self._count(self.counters[k], 0)
        return decision

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _count(self, counter: cython.int, was_right: cython.int) -> cython.void:
        """Let a match counter learn."""
        self.maps[counter] += ((65535 if was_right else 0) - self.maps[counter]) >> 6

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _set_step_contexts(self) -> cython.void:
        """Set the keys of the steps; where their states lie depends on the node, too."""
        two: cython.ulonglong = self.w * M_W + self.n * M_N
        self.differences = _difference(self.palette, self.w, self.nw) * 3
        self.differences = (self.differences + _difference(self.palette, self.n, self.nw)) * 3
        self.differences = (self.differences + _difference(self.palette, self.n, self.ne)) * 3
        self.differences += _difference(self.palette, self.w, self.ww)
        self.keys[0] = 0
        self.keys[1] = self.hash_12
        self.keys[2] = two
        self.keys[3] = self.n * M_N + self.ne * M_NE + self.nee * M_NEE
        self.keys[4] = two + self.ww * M_WW
        self.keys[5] = self.w * M_W + (self.predicted[0] + 1) * M_NN + self.levels[0] * M_NODE
        self.keys[6] = self.n * M_N + (self.predicted[1] + 1) * M_NN + self.levels[1] * M_NODE
        self.keys[7] = two + self.nw * M_NW + self.ne * M_NE
        # Of no node.
        self.salt = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_steps(self, index: cython.int) -> cython.int:
        """Code the way down the tree, from which N and W are taken away; return the index."""
        k: cython.int
        node: cython.int = 1
        depth: cython.int = 0
        step: cython.int
        # With two colours, W may be the one that N is not.
        candidate: cython.int = self.n if self.n_colors == 2 else self.w
        path: cython.int = 0 if self.decoding else self.paths[index]
        path_length: cython.int = self.index_bits - 1 + (path >> self.index_bits)
        while self.tree[node, 0] < 0:
            step = _forced(self.tree, node, self.n, candidate)
            if step < 0:
                self._find_steps(node, depth)
                self._predict_step(node, depth)
                step = 0 if self.decoding else path >> (path_length - 1 - depth) & 1
                step = self._code_decision(step)
                for k in range(2):
                    if self.agree[k] >= 0:
                        self._count(self.counters[k], self.agree[k] == step)
            node = 2 * node + step
            depth += 1
        return self.tree[node, 0]

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _predict_step(self, node: cython.int, depth: cython.int) -> cython.int:
        """Return the probability that the way goes to the second child of a node."""
        j: cython.int
        k: cython.int
        shift: cython.int
        value: cython.int
        channel: cython.int = self.tree[node, 1]
        threshold: cython.int = self.tree[node, 2]
        w: cython.int = self.palette[self.w, channel]
        n: cython.int = self.palette[self.n, channel]
        ne: cython.int = self.palette[self.ne, channel]
        nw: cython.int = self.palette[self.nw, channel]
        nn: cython.int = self.palette[self.nn, channel]
        ww: cython.int = self.palette[self.ww, channel]
        mean: cython.int = ((2 * w + n + ne) >> 2) - threshold
        self.inputs[FIRST_EXTRA] = 256
        self.inputs[FIRST_EXTRA + 1] = _clamp((_clamp(w + n - nw, 0, 255) - threshold) * 16, -1000, 1000)
        self.inputs[FIRST_EXTRA + 2] = _clamp(mean * 16, -1000, 1000)
        self.inputs[FIRST_EXTRA + 3] = _clamp((_clamp(w + ne - n, 0, 255) - threshold) * 16, -1000, 1000)
        self.inputs[FIRST_EXTRA + 4] = _clamp((_clamp(2 * n - nn, 0, 255) - threshold) * 16, -1000, 1000)
        self.inputs[FIRST_EXTRA + 5] = _clamp((_clamp(2 * w - ww, 0, 255) - threshold) * 16, -1000, 1000)
        for k in range(2):
            self.agree[k] = -1
            self.inputs[FIRST_EXTRA + 6 + k] = 0
            if self.predicted[k] >= 0:
                # Its path, as far as this node and one step further.
                value = self.paths[self.predicted[k]]
                shift = self.index_bits - 2 - depth + (value >> self.index_bits)
                if shift >= 0 and value >> (shift + 1) == node:
                    self.agree[k] = value >> shift & 1
                    self.counters[k] = MATCH_COUNTERS + (k * MATCH_LEVELS + self.levels[k]) * 3 + 2
                    j = self.stretch[self.maps[self.counters[k]] >> 4]
                    self.inputs[FIRST_EXTRA + 6 + k] = j if self.agree[k] else -j
        self.vectors[0] = STEP_A + depth * 4
        self.vectors[1] = STEP_B + min(node, 1023)
        self.vectors[2] = STEP_C + depth * 81 + self.differences
        value = (_clamp(mean, -128, 127) + 128) >> 3
        return self._predict(
            STEP,
            STEP + depth,
            (1 << (depth % 3)) | (node & ((1 << (depth % 3)) - 1)),
            node * M_W + value * M_N,
            node * M_W + self.w * M_NW,
        )

    # ------------------------------ Choosing by cost

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _measure_error(self, here: cython.Py_ssize_t, index: cython.int) -> cython.longlong:
        """Return 256 times the squared distance of a pixel to an entry."""
        c: cython.int
        difference: cython.int
        error: cython.longlong = 0
        color: cython.int = self.colors[here]
        for c in range(4):
            difference = self.points[color, c] - self.entries[index, c]
            error += difference * difference
        return error << 8

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _bound_error(self, here: cython.Py_ssize_t, node: cython.int) -> cython.longlong:
        """Return what _measure_error gives at least for all entries below a node."""
        c: cython.int
        value: cython.int
        difference: cython.int
        error: cython.longlong = 0
        color: cython.int = self.colors[here]
        for c in range(4):
            value = self.points[color, c]
            difference = max(0, self.corners[node, c] - value, value - self.corners[node, 4 + c])
            error += difference * difference
        return error << 8

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_cost(self, probability: cython.int) -> cython.longlong:
        """Return what a decision of a probability, of 65536, costs."""
        return self.trade * self.costs[probability >> 4]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _choose_to_break(self, here: cython.Py_ssize_t, length: cython.int) -> cython.int:
        """Return whether a run that was predicted last is worth less than the error that it makes.

        What its pixels cost by themselves is guessed: some bits for each that is another.
        """
        j: cython.int
        above: cython.Py_ssize_t = here - self.width
        gain: cython.longlong = self._find_cost(self.probability) - self._find_cost(65536 - self.probability)
        loss: cython.longlong = 0
        for j in range(length):
            if self.indices[here + j] != self.indices[above + j]:
                gain += self.trade * (COST_OF_CHANGE * 256)
                loss += self._measure_error(here + j, self.indices[above + j])
                loss -= self._measure_error(here + j, self.indices[here + j])
        return loss > 0 and loss >= gain

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_aftermath(self, here: cython.Py_ssize_t, index: cython.int) -> cython.longlong:
        """Return what an index is guessed to cost those pixels to come that have this one's nearest."""
        nearest: cython.int = self.indices[here]
        below: cython.Py_ssize_t = here + self.width
        more: cython.int
        if index == nearest or below + 1 >= self.indices.shape[0]:
            return 0
        more = (self.indices[here + 1] == nearest) - (self.indices[here + 1] == index)
        more += (self.indices[below - 1] == nearest) - (self.indices[below - 1] == index)
        more += (self.indices[below] == nearest) - (self.indices[below] == index)
        more += (self.indices[below + 1] == nearest) - (self.indices[below + 1] == index)
        return self.trade * 256 * max(0, more)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _choose_index(self, here: cython.Py_ssize_t) -> cython.int:
        """Return the index whose error and cost come to least.

        The flags' states are found before, and are still found afterwards.
        """
        flag_slots = cython.declare(cython.Py_ssize_t[8])
        i: cython.int
        p: cython.int
        best: cython.int = self.indices[here]
        error: cython.longlong = self._measure_error(here, best)
        spent: cython.longlong
        total: cython.longlong
        # The nearest costs no more than it is worth: what is new here may not be new where it comes again.
        self.least_total = error + self.trade * self.prices[best]
        p = self._predict_flag(0, self.n)
        total = self._measure_error(here, self.n) + self._find_cost(p) + self._find_aftermath(here, self.n)
        if total < self.least_total:
            self.least_total = total
            best = self.n
        spent = self._find_cost(65536 - p)
        if error + spent >= self.least_total:
            return best
        if self.w != self.n and self.n_colors > 2:
            p = self._predict_flag(1, self.w)
            total = self._measure_error(here, self.w) + spent + self._find_cost(p)
            total += self._find_aftermath(here, self.w)
            if total < self.least_total:
                self.least_total = total
                best = self.w
            spent += self._find_cost(65536 - p)
            if error + spent >= self.least_total:
                return best
        for i in range(8):
            flag_slots[i] = self.slots[i]
        self._set_step_contexts()
        i = self._search_tree(here, spent)
        if i >= 0:
            best = i
        for i in range(8):
            self.slots[i] = flag_slots[i]
        return best

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _search_tree(self, here: cython.Py_ssize_t, spent: cython.longlong) -> cython.int:
        """Return the index below the tree that comes to less than least_total, and to least; else -1."""
        # Of nodes that are still to be looked at, of each level one at most but for the last.
        nodes = cython.declare(cython.int[20])
        depths = cython.declare(cython.int[20])
        totals = cython.declare(cython.longlong[20])
        top: cython.int = 1
        best: cython.int = -1
        node: cython.int
        depth: cython.int
        step: cython.int
        leaf: cython.int
        p: cython.int
        total: cython.longlong
        candidate: cython.int = self.n if self.n_colors == 2 else self.w
        nodes[0] = 1
        depths[0] = 0
        totals[0] = spent
        while top:
            top -= 1
            node = nodes[top]
            depth = depths[top]
            total = totals[top]
            if total + self._bound_error(here, node) >= self.least_total:
                continue
            leaf = self.tree[node, 0]
            if leaf >= 0:
                if leaf not in (self.n, candidate):
                    total += self._measure_error(here, leaf) + self._find_aftermath(here, leaf)
                    if total < self.least_total:
                        self.least_total = total
                        best = leaf
                continue
            step = _forced(self.tree, node, self.n, candidate)
            if step < 0:
                self._look_up_steps(node, depth)
                p = self._predict_step(node, depth)
                # The likelier child is looked at first.
                step = p >= 32768
                nodes[top] = 2 * node + 1 - step
                depths[top] = depth + 1
                totals[top] = total + self._find_cost(65536 - p if step else p)
                top += 1
                total += self._find_cost(p if step else 65536 - p)
            nodes[top] = 2 * node + step
            depths[top] = depth + 1
            totals[top] = total
            top += 1
        return best

    # ------------------------------ Statistics

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_flags(self) -> cython.void:
        """Find where the states of each context's flags lie; make room for those that are new."""
        hashes = cython.declare(cython.ulonglong[8])
        heads = cython.declare(cython.int[8])
        i: cython.int
        check: cython.int
        at: cython.Py_ssize_t
        other: cython.Py_ssize_t
        # First all that may wait for memory, so that the waits overlap.
        for i in range(8):
            hashes[i] = _hash(self.keys[i] + i * M_KIND)
            at = cython.cast(cython.Py_ssize_t, hashes[i] >> (32 - self.flag_bits)) * 4
            self.slots[i] = at
            heads[i] = self.states[at] | self.states[at + 1] << 8
        for i in range(8):
            check = cython.cast(cython.int, hashes[i] & 0xFFFF)
            if check == 0:
                check = 1
            if heads[i] != check:
                at = self.slots[i]
                other = at ^ 4
                if (self.states[other] | self.states[other + 1] << 8) == check:
                    at = other
                else:
                    # The one of which less is known makes room.
                    if self.states[other + 2] < self.states[at + 2]:
                        at = other
                    self.states[at] = check & 0xFF
                    self.states[at + 1] = check >> 8
                    self.states[at + 2] = 0
                    self.states[at + 3] = 0
                self.slots[i] = at
            self.slots[i] += 2

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_steps(self, node: cython.int, depth: cython.int) -> cython.void:
        """Find where the states of three levels begin, less one; make room for those that are new."""
        hashes = cython.declare(cython.ulonglong[8])
        heads = cython.declare(cython.int[8])
        base: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, 4) << self.flag_bits
        i: cython.int
        j: cython.int
        check: cython.int
        at: cython.Py_ssize_t
        other: cython.Py_ssize_t
        salt: cython.ulonglong = cython.cast(cython.ulonglong, node >> (depth % 3)) * M_NODE + 1
        if salt == self.salt:
            return
        self.salt = salt
        for i in range(8):
            hashes[i] = _hash(self.keys[i] + i * M_KIND + salt)
            at = base + cython.cast(cython.Py_ssize_t, hashes[i] >> (32 - self.step_bits)) * 8
            self.slots[i] = at
            heads[i] = self.states[at]
        for i in range(8):
            check = cython.cast(cython.int, hashes[i] & 0xFF)
            if check == 0:
                check = 1
            if heads[i] != check:
                at = self.slots[i]
                other = at ^ 8
                if self.states[other] == check:
                    at = other
                else:
                    if self.states[other + 1] < self.states[at + 1]:
                        at = other
                    self.states[at] = check
                    for j in range(1, 8):
                        self.states[at + j] = 0
                self.slots[i] = at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _look_up_steps(self, node: cython.int, depth: cython.int) -> cython.void:
        """Find states as _find_steps does, but make room for none: those that are new are zero."""
        i: cython.int
        check: cython.int
        hashed: cython.ulonglong
        at: cython.Py_ssize_t
        base: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, 4) << self.flag_bits
        salt: cython.ulonglong = cython.cast(cython.ulonglong, node >> (depth % 3)) * M_NODE + 1
        if salt == self.salt:
            return
        self.salt = salt
        for i in range(8):
            hashed = _hash(self.keys[i] + i * M_KIND + salt)
            at = base + cython.cast(cython.Py_ssize_t, hashed >> (32 - self.step_bits)) * 8
            check = cython.cast(cython.int, hashed & 0xFF)
            if check == 0:
                check = 1
            if self.states[at] != check:
                at ^= 8
                if self.states[at] != check:
                    # Behind all others are eight that nobody learns with.
                    at = self.states.shape[0] - 8
            self.slots[i] = at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _predict(
        self,
        kind: cython.int,
        final: cython.int,
        slot: cython.int,
        refinement_a: cython.ulonglong,
        refinement_b: cython.ulonglong,
    ) -> cython.int:
        """Return the probability that a decision is 1, of 65536; nothing is learnt by that.

        Of inputs, the extra ones are given, and of vectors the first without the contexts that are known.
        """
        i: cython.int
        k: cython.int
        state: cython.int
        p: cython.int
        known: cython.int = 0
        seen: cython.int
        self.slot = slot
        for i in range(8):
            state = self.states[self.slots[i] + slot]
            self.places[i] = (kind * 8 + i) * 256 + state
            p = self.maps[self.places[i]] >> 4
            # Where nothing is known yet, a quarter; without a branch, which nobody could foretell.
            seen = state > 0
            self.inputs[2 * i] = self.stretch[p] >> (2 - 2 * seen)
            self.inputs[2 * i + 1] = ((p - 2048) >> 1) * seen
            known += seen & (0x0E >> i)
        self.vectors[0] += known

        # Three mixers, and one that mixes their outputs.
        total: cython.int
        at: cython.Py_ssize_t
        mixed: cython.int = 0
        self.final_at = FINAL + final * 3
        for k in range(3):
            at = cython.cast(cython.Py_ssize_t, self.vectors[k]) * 24
            total = 0
            for i in range(24):
                total += self.inputs[i] * self.weights[at + i]
            self.outputs[k] = _clamp(total >> 14, -2047, 2047)
            self.squashed[k] = self.squash[self.outputs[k] + 2048]
            mixed += self.outputs[k] * self.weights[self.final_at + k]
        mixed = _clamp(mixed >> 14, -2047, 2047)
        self.mixed_p = self.squash[mixed + 2048]

        # Two refinements, interpolated between steps.
        x: cython.int = (mixed + 2048) * (REFINEMENT_STEPS - 1)
        part: cython.int = x & 4095
        a: cython.int = REFINEMENT_A + cython.cast(cython.int, _hash(refinement_a) >> 20) * REFINEMENT_STEPS
        b: cython.int = REFINEMENT_B + cython.cast(cython.int, _hash(refinement_b) >> 20) * REFINEMENT_STEPS
        a += x >> 12
        b += x >> 12
        self.refined_at[0] = a + (part >> 11)
        self.refined_at[1] = b + (part >> 11)
        refined: cython.int = (self.maps[a] * (4096 - part) + self.maps[a + 1] * part) >> 12
        refined += (self.maps[b] * (4096 - part) + self.maps[b + 1] * part) >> 12
        self.probability = _clamp((2 * self.mixed_p + refined + 2) >> 2, 16, 65520)
        return self.probability

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _code_decision(self, decision: cython.int) -> cython.int:
        """Code the decision that was predicted last, and learn from it; return it.

        When decoding, the decision that is given means nothing.
        """
        # The lower part of the interval, up to and including middle, stands for 1.
        low: cython.ulonglong = self.low
        high: cython.ulonglong = self.high
        width: cython.ulonglong = high - low
        middle: cython.ulonglong = low + (width >> 16) * self.probability
        middle += ((width & 0xFFFF) * self.probability) >> 16
        if self.decoding:
            decision = self.window <= middle
        if decision:
            high = middle
        else:
            low = middle + 1
        while (low ^ high) >> 24 == 0:
            if self.decoding:
                self.window = (self.window << 8) & LOW_32_BITS
                if self.position + 4 < self.payload.shape[0]:
                    self.window |= self.payload[self.position + 4]
            elif self.position < self.payload.shape[0]:
                self.payload[self.position] = high >> 24
            self.position += 1
            low = (low << 8) & LOW_32_BITS
            high = ((high << 8) & LOW_32_BITS) | 0xFF
        self.low = low
        self.high = high
        if self.metering:
            self.spent += self.costs[(self.probability if decision else 65536 - self.probability) >> 4]
        self._learn(decision)
        return decision

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _learn(self, decision: cython.int) -> cython.void:
        """Let all that made the last prediction learn what the decision was."""
        i: cython.int
        k: cython.int
        at: cython.Py_ssize_t
        total: cython.int
        goal: cython.int = 65535 if decision else 0
        error: cython.int = (goal - self.mixed_p) >> 4
        # Fast at first, slower with every decision.
        rate: cython.int = 20 + 9830400 // (65536 + self.decisions)
        if self.decisions < 1 << 24:
            self.decisions += 1
        for k in range(2):
            self._count(self.refined_at[k], decision)
        for k in range(3):
            total = self.weights[self.final_at + k] + ((self.outputs[k] * error * 6 + (1 << 17)) >> 18)
            self.weights[self.final_at + k] = _clamp(total, -30000, 30000)
        for k in range(3):
            _train(
                self.weights,
                cython.cast(cython.Py_ssize_t, self.vectors[k]) * 24,
                self.inputs,
                cython.cast(
                    cython.short,
                    _clamp(((goal - self.squashed[k]) * rate) >> 8, -MOST_ERROR, MOST_ERROR),
                ),
            )
        for i in range(8):
            self.maps[self.places[i]] += (goal - self.maps[self.places[i]]) >> 7
            at = self.slots[i] + self.slot
            self.states[at] = self.next_states[decision * 256 + self.states[at]]


def build_tree(
    palette: cython.const[cython.uchar][:, ::1],
    tree: cython.int[:, ::1],
    paths: cython.int[::1],
    order: cython.int[:, ::1],
) -> None:
    """Halve the palette, and each half, across its widest channel.

    tree has a row for each node: its leaf's index or -1, and the channel and the threshold of its halves;
    node 1 is the root, 2 n and 2 n + 1 are the children of n. paths gets the node of each index. order is
    scratch, two rows of K.
    """
    n_colors: cython.int = cython.cast(cython.int, palette.shape[0])
    nodes: cython.Py_ssize_t = tree.shape[0]
    starts = cython.declare(cython.int[257])
    node: cython.Py_ssize_t
    first: cython.int
    count: cython.int
    half: cython.int
    c: cython.int
    i: cython.int
    value: cython.int
    spread: cython.int
    widest: cython.int
    channel: cython.int
    least: cython.int
    most: cython.int
    with cython.nogil:
        for i in range(n_colors):
            order[0, i] = i
        # Until its turn comes, a node keeps where its part of order begins, and how long it is.
        tree[1, 1] = 0
        tree[1, 2] = n_colors
        for node in range(1, nodes):
            first = tree[node, 1]
            count = tree[node, 2]
            tree[node, 0] = -1
            if count == 0:
                continue
            if count == 1:
                tree[node, 0] = order[0, first]
                paths[order[0, first]] = cython.cast(cython.int, node)
                continue
            widest = -1
            channel = 0
            for c in range(4):
                least = 255
                most = 0
                for i in range(first, first + count):
                    value = palette[order[0, i], c]
                    least = min(least, value)
                    most = max(most, value)
                spread = (most - least) * (2 if c == 0 else 1 if c == 2 else 4)
                if spread > widest:
                    widest = spread
                    channel = c
            # A stable counting sort.
            for i in range(257):
                starts[i] = 0
            for i in range(first, first + count):
                starts[palette[order[0, i], channel] + 1] += 1
            for i in range(256):
                starts[i + 1] += starts[i]
            for i in range(first, first + count):
                value = palette[order[0, i], channel]
                order[1, first + starts[value]] = order[0, i]
                starts[value] += 1
            for i in range(first, first + count):
                order[0, i] = order[1, i]
            half = (count + 1) // 2
            value = palette[order[0, first + half - 1], channel] + palette[order[0, first + half], channel]
            tree[node, 1] = channel
            tree[node, 2] = (value + 1) >> 1
            tree[2 * node, 1] = first
            tree[2 * node, 2] = half
            tree[2 * node + 1, 1] = first + half
            tree[2 * node + 1, 2] = count - half
