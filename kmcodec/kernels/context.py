# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Code the indices of a strip with a model of their surroundings (specification, section 6.2).

Owns the model: which contexts there are, how their statistics are kept, mixed and refined, and the binary
arithmetic coder at the end. Everything that it remembers lies in arrays that the caller makes and keeps, so
that a strip can be coded a few rows at a time. Coding and decoding are one function: what differs is where
a decision comes from.

Symbols of the specification have its names: N, W, NE, ... are the indices of pixels above, to the left, ...
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["build_tree", "code_rows"]

LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)

# Places in registers.
LOW = cython.declare(cython.int, 0)
HIGH = cython.declare(cython.int, 1)
WINDOW = cython.declare(cython.int, 2)
POSITION = cython.declare(cython.int, 3)
DECISIONS = cython.declare(cython.int, 4)
MATCH = cython.declare(cython.int, 5)  # position and length of the long match, then of the short one

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
def _find_flags(
    states: cython.uchar[::1],
    keys: cython.pointer(cython.ulonglong),
    flag_bits: cython.int,
    slots: cython.pointer(cython.Py_ssize_t),
) -> cython.void:
    """Set slots to where the states of each context's flags lie; make room for those that are new."""
    hashes = cython.declare(cython.ulonglong[8])
    heads = cython.declare(cython.int[8])
    i: cython.int
    check: cython.int
    at: cython.Py_ssize_t
    other: cython.Py_ssize_t
    # First all that may wait for memory, so that the waits overlap.
    for i in range(8):
        hashes[i] = _hash(keys[i] + i * M_KIND)
        at = cython.cast(cython.Py_ssize_t, hashes[i] >> (32 - flag_bits)) * 4
        slots[i] = at
        heads[i] = states[at] | states[at + 1] << 8
    for i in range(8):
        check = cython.cast(cython.int, hashes[i] & 0xFFFF)
        if check == 0:
            check = 1
        if heads[i] != check:
            at = slots[i]
            other = at ^ 4
            if (states[other] | states[other + 1] << 8) == check:
                at = other
            else:
                # The one of which less is known makes room.
                if states[other + 2] < states[at + 2]:
                    at = other
                states[at] = check & 0xFF
                states[at + 1] = check >> 8
                states[at + 2] = 0
                states[at + 3] = 0
            slots[i] = at
        slots[i] += 2


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_steps(
    states: cython.uchar[::1],
    keys: cython.pointer(cython.ulonglong),
    salt: cython.ulonglong,
    flag_bits: cython.int,
    step_bits: cython.int,
    slots: cython.pointer(cython.Py_ssize_t),
) -> cython.void:
    """Set slots to where the states of three levels of the tree begin, less one, for each context."""
    hashes = cython.declare(cython.ulonglong[8])
    heads = cython.declare(cython.int[8])
    base: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, 4) << flag_bits
    i: cython.int
    j: cython.int
    check: cython.int
    at: cython.Py_ssize_t
    other: cython.Py_ssize_t
    for i in range(8):
        hashes[i] = _hash(keys[i] + i * M_KIND + salt)
        at = base + cython.cast(cython.Py_ssize_t, hashes[i] >> (32 - step_bits)) * 8
        slots[i] = at
        heads[i] = states[at]
    for i in range(8):
        check = cython.cast(cython.int, hashes[i] & 0xFF)
        if check == 0:
            check = 1
        if heads[i] != check:
            at = slots[i]
            other = at ^ 8
            if states[other] == check:
                at = other
            else:
                if states[other + 1] < states[at + 1]:
                    at = other
                states[at] = check
                for j in range(1, 8):
                    states[at + j] = 0
            slots[i] = at


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
def _code_decision(
    decision: cython.int,
    kind: cython.int,
    final: cython.int,
    slot: cython.int,
    refinement_a: cython.ulonglong,
    refinement_b: cython.ulonglong,
    inputs: cython.pointer(cython.short),
    slots: cython.pointer(cython.Py_ssize_t),
    vectors: cython.pointer(cython.int),
    registers: cython.longlong[::1],
    payload: cython.uchar[::1],
    states: cython.uchar[::1],
    next_states: cython.const[cython.uchar][::1],
    squash: cython.const[cython.ushort][::1],
    stretch: cython.const[cython.short][::1],
    maps: cython.ushort[::1],
    weights: cython.short[::1],
    decoding: cython.bint,
) -> cython.int:
    """Code one decision, 0 or 1, and learn from it; return it.

    When decoding, the decision that is given means nothing. Of inputs, the extra ones are given, and of
    vectors the first without the contexts that are known.
    """
    places = cython.declare(cython.int[8])
    outputs = cython.declare(cython.int[3])
    squashed = cython.declare(cython.int[3])
    i: cython.int
    k: cython.int
    state: cython.int
    p: cython.int
    known: cython.int = 0
    seen: cython.int
    for i in range(8):
        state = states[slots[i] + slot]
        places[i] = (kind * 8 + i) * 256 + state
        p = maps[places[i]] >> 4
        # Where nothing is known yet, a quarter of the usual; without a branch, which nobody could foretell.
        seen = state > 0
        inputs[2 * i] = stretch[p] >> (2 - 2 * seen)
        inputs[2 * i + 1] = ((p - 2048) >> 1) * seen
        known += seen & (0x0E >> i)
    vectors[0] += known

    # Three mixers, and one that mixes their outputs.
    total: cython.int
    at: cython.Py_ssize_t
    mixed: cython.int = 0
    final_at: cython.Py_ssize_t = FINAL + final * 3
    for k in range(3):
        at = cython.cast(cython.Py_ssize_t, vectors[k]) * 24
        total = 0
        for i in range(24):
            total += inputs[i] * weights[at + i]
        outputs[k] = _clamp(total >> 14, -2047, 2047)
        squashed[k] = squash[outputs[k] + 2048]
        mixed += outputs[k] * weights[final_at + k]
    mixed = _clamp(mixed >> 14, -2047, 2047)
    p = squash[mixed + 2048]

    # Two refinements, interpolated between steps.
    x: cython.int = (mixed + 2048) * (REFINEMENT_STEPS - 1)
    part: cython.int = x & 4095
    a: cython.Py_ssize_t = (
        REFINEMENT_A
        + cython.cast(cython.Py_ssize_t, _hash(refinement_a) >> 20) * REFINEMENT_STEPS
        + (x >> 12)
    )
    b: cython.Py_ssize_t = (
        REFINEMENT_B
        + cython.cast(cython.Py_ssize_t, _hash(refinement_b) >> 20) * REFINEMENT_STEPS
        + (x >> 12)
    )
    refined: cython.int = (maps[a] * (4096 - part) + maps[a + 1] * part) >> 12
    refined += (maps[b] * (4096 - part) + maps[b + 1] * part) >> 12
    refined = _clamp((2 * p + refined + 2) >> 2, 16, 65520)

    # The arithmetic coder: the lower part of the interval, up to and including middle, stands for 1.
    low: cython.ulonglong = registers[LOW]
    high: cython.ulonglong = registers[HIGH]
    width: cython.ulonglong = high - low
    middle: cython.ulonglong = low + (width >> 16) * refined + (((width & 0xFFFF) * refined) >> 16)
    if decoding:
        decision = cython.cast(cython.ulonglong, registers[WINDOW]) <= middle
    if decision:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 24 == 0:
        at = registers[POSITION]
        if decoding:
            registers[WINDOW] = (registers[WINDOW] << 8) & LOW_32_BITS
            if at + 4 < payload.shape[0]:
                registers[WINDOW] |= payload[at + 4]
        elif at < payload.shape[0]:
            payload[at] = high >> 24
        registers[POSITION] = at + 1
        low = (low << 8) & LOW_32_BITS
        high = ((high << 8) & LOW_32_BITS) | 0xFF
    registers[LOW] = low
    registers[HIGH] = high

    # Learning.
    goal: cython.int = 65535 if decision else 0
    at = a + (part >> 11)
    maps[at] = maps[at] + ((goal - maps[at]) >> 6)
    at = b + (part >> 11)
    maps[at] = maps[at] + ((goal - maps[at]) >> 6)
    error: cython.int = (goal - p) >> 4
    for k in range(3):
        total = weights[final_at + k] + ((outputs[k] * error * 6 + (1 << 17)) >> 18)
        weights[final_at + k] = _clamp(total, -30000, 30000)
    # Fast at first, slower with every decision.
    rate: cython.int = 20 + 9830400 // (65536 + cython.cast(cython.int, registers[DECISIONS]))
    if registers[DECISIONS] < 1 << 24:
        registers[DECISIONS] += 1
    for k in range(3):
        _train(
            weights,
            cython.cast(cython.Py_ssize_t, vectors[k]) * 24,
            inputs,
            cython.cast(cython.short, _clamp(((goal - squashed[k]) * rate) >> 8, -MOST_ERROR, MOST_ERROR)),
        )
    for i in range(8):
        maps[places[i]] = maps[places[i]] + ((goal - maps[places[i]]) >> 7)
        at = slots[i] + slot
        states[at] = next_states[decision * 256 + states[at]]
    return decision


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _at(
    indices: cython.const[cython.ushort][::1],
    width: cython.Py_ssize_t,
    x: cython.Py_ssize_t,
    y: cython.Py_ssize_t,
) -> cython.int:
    """Return the index of a pixel that may lie beyond the border."""
    if x < 0:
        x = 0
        y -= 1
    elif x >= width:
        x = width - 1
    return indices[y * width + x] if y >= 0 else 0


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


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _code_rows(
    indices: cython.ushort[::1],
    payload: cython.uchar[::1],
    width: cython.Py_ssize_t,
    first_row: cython.Py_ssize_t,
    stop_row: cython.Py_ssize_t,
    flag_bits: cython.int,
    step_bits: cython.int,
    match_bits: cython.int,
    registers: cython.longlong[::1],
    states: cython.uchar[::1],
    next_states: cython.const[cython.uchar][::1],
    squash: cython.const[cython.ushort][::1],
    stretch: cython.const[cython.short][::1],
    maps: cython.ushort[::1],
    weights: cython.short[::1],
    matches: cython.uint[::1],
    unchanged: cython.uchar[::1],
    palette: cython.const[cython.uchar][:, ::1],
    tree: cython.const[cython.int][:, ::1],
    paths: cython.const[cython.int][::1],
    decoding: cython.bint,
) -> cython.void:
    keys = cython.declare(cython.ulonglong[8])
    step_keys = cython.declare(cython.ulonglong[8])
    slots = cython.declare(cython.Py_ssize_t[8])
    vectors = cython.declare(cython.int[3])
    inputs = cython.declare(cython.short[24])
    counters = cython.declare(cython.int[2])
    agree = cython.declare(cython.int[2])
    predicted = cython.declare(cython.int[2])
    levels = cython.declare(cython.int[2])
    candidates = cython.declare(cython.Py_ssize_t[2])
    n_colors: cython.int = cython.cast(cython.int, palette.shape[0])
    index_bits: cython.int = 0
    x: cython.Py_ssize_t
    y: cython.Py_ssize_t
    here: cython.Py_ssize_t
    at: cython.Py_ssize_t
    match: cython.Py_ssize_t
    i: cython.int
    j: cython.int
    k: cython.int
    broken: cython.int
    length: cython.int
    least: cython.int
    most: cython.int
    same: cython.int
    left: cython.int
    value: cython.int
    shape: cython.int
    index: cython.int
    flag: cython.int
    candidate: cython.int
    found: cython.int
    depth: cython.int
    level: cython.int
    node: cython.int
    step: cython.int
    path: cython.int = 0
    path_length: cython.int
    shift: cython.int
    channel: cython.int
    threshold: cython.int
    texture: cython.int
    differences: cython.int
    pattern: cython.ulonglong
    near: cython.ulonglong
    key: cython.ulonglong
    wide: cython.ulonglong
    broken_key: cython.ulonglong
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

    while (n_colors - 1) >> index_bits:
        index_bits += 1
    for y in range(first_row, stop_row):
        x = 0
        broken = 0
        while x < width:
            # No valid payload is used up before all is decoded.
            if decoding and registers[POSITION] > payload.shape[0]:
                return
            here = y * width + x
            if 6 <= x < width - 5 and y >= 2:
                w = indices[here - 1]
                ww = indices[here - 2]
                n = indices[here - width]
                nw = indices[here - width - 1]
                nww = indices[here - width - 2]
            else:
                w = _at(indices, width, x - 1, y)
                ww = _at(indices, width, x - 2, y)
                n = _at(indices, width, x, y - 1)
                nw = _at(indices, width, x - 1, y - 1)
                nww = _at(indices, width, x - 2, y - 1)

            # A run: where the row above repeats the one above it, and so has this one so far.
            if not broken and y >= 2 and w == nw and ww == nww:
                length = 0
                most = cython.cast(cython.int, min(LONGEST_RUN, width - x))
                while length < most and indices[here - width + length] == indices[here - 2 * width + length]:
                    length += 1
                if length < most:
                    length -= 2
                if length >= SHORTEST_RUN - 2:
                    least = 255
                    most = 0
                    same = 1
                    for j in range(length):
                        value = unchanged[x + j]
                        least = min(least, value)
                        most = max(most, value)
                        if indices[here - width + j] != w:
                            same = 0
                    left = 0
                    while left < 32 and left < x and indices[here - 1 - left] == w:
                        left += 1
                    # Does the long match foretell the same? 0: there is none; 1: it does; 2: it does not.
                    match = registers[MATCH]
                    k = 0
                    if registers[MATCH + 1] > 0:
                        k = 1
                        if match + length > here:
                            k = 2
                        else:
                            for j in range(length):
                                if indices[match + j] != indices[here - width + j]:
                                    k = 2
                                    break
                    level = _level(registers[MATCH + 1])
                    shape = 0 if length < 8 else 1 if length < 16 else 2 if length < 32 else 3
                    i = min(least, 40)
                    value = _at(indices, width, x + length, y - 1)
                    index = _at(indices, width, x + length + 1, y - 1)
                    key = cython.cast(cython.ulonglong, 1 + shape * 9 + k * 3 + same) * M_NODE
                    keys[0] = key + cython.cast(cython.ulonglong, (x >> 3)) * M_W
                    keys[1] = key + w * M_W + i * M_N
                    keys[2] = key + least * M_W
                    keys[3] = key + left * M_W + i * M_N
                    keys[4] = key + w * M_W + least * M_N
                    keys[5] = key + level * M_W
                    keys[6] = key + most * M_W
                    keys[7] = key + index * M_W + value * M_N + i * M_NW
                    for j in range(8):
                        keys[j] += cython.cast(cython.ulonglong, RUN) * M_BROKEN
                    _find_flags(states, keys, flag_bits, slots)
                    for j in range(16, 24):
                        inputs[j] = 0
                    inputs[FIRST_EXTRA] = 256
                    inputs[FIRST_EXTRA + 1] = 32 * level if k == 1 else -32 * level if k == 2 else 0
                    vectors[0] = RUN_A + i * 4
                    vectors[1] = RUN_B + (w & 255)
                    vectors[2] = RUN_C + left
                    flag = 0
                    if not decoding:
                        for j in range(length):
                            if indices[here + j] != indices[here - width + j]:
                                flag = 1
                                break
                    flag = _code_decision(
                        flag,
                        RUN,
                        RUN,
                        0,
                        w * M_W + shape * M_KIND,
                        i * M_W + (shape * 3 + k) * M_KIND,
                        inputs,
                        slots,
                        vectors,
                        registers,
                        payload,
                        states,
                        next_states,
                        squash,
                        stretch,
                        maps,
                        weights,
                        decoding,
                    )
                    if flag == 0:
                        for j in range(length):
                            if decoding:
                                indices[here + j] = indices[here - width + j]
                            if unchanged[x + j] < 255:
                                unchanged[x + j] += 1
                        registers[MATCH + 1] = min(registers[MATCH + 1] + length, 65535) if k == 1 else 0
                        registers[MATCH] = match + length
                        registers[MATCH + 3] = 0
                        x += length
                        continue
                    broken = 1

            if 6 <= x < width - 5 and y >= 2:
                at = here - width
                www = indices[here - 3]
                w4 = indices[here - 4]
                w5 = indices[here - 5]
                w6 = indices[here - 6]
                nwww = indices[at - 3]
                ne = indices[at + 1]
                nee = indices[at + 2]
                neee = indices[at + 3]
                ne4 = indices[at + 4]
                ne5 = indices[at + 5]
                at -= width
                nnww = indices[at - 2]
                nnw = indices[at - 1]
                nn = indices[at]
                nne = indices[at + 1]
                nnee = indices[at + 2]
            else:
                www = _at(indices, width, x - 3, y)
                w4 = _at(indices, width, x - 4, y)
                w5 = _at(indices, width, x - 5, y)
                w6 = _at(indices, width, x - 6, y)
                nwww = _at(indices, width, x - 3, y - 1)
                ne = _at(indices, width, x + 1, y - 1)
                nee = _at(indices, width, x + 2, y - 1)
                neee = _at(indices, width, x + 3, y - 1)
                ne4 = _at(indices, width, x + 4, y - 1)
                ne5 = _at(indices, width, x + 5, y - 1)
                nnww = _at(indices, width, x - 2, y - 2)
                nnw = _at(indices, width, x - 1, y - 2)
                nn = _at(indices, width, x, y - 2)
                nne = _at(indices, width, x + 1, y - 2)
                nnee = _at(indices, width, x + 2, y - 2)

            # Hashes of 8, 12 and 20 neighbours; and the two matches.
            key = (
                w * M_W + n * M_N + nw * M_NW + ne * M_NE + ww * M_WW + nn * M_NN + nee * M_NEE + nne * M_NNE
            )
            wide = key + nww * M_NWW + nnw * M_NNW + www * M_WWW + neee * M_NEEE
            pattern = (
                wide
                + w4 * M_W4
                + w5 * M_W5
                + w6 * M_W6
                + ne4 * M_NE4
                + ne5 * M_NE5
                + nwww * M_NWWW
                + nnee * M_NNEE
                + nnww * M_NNWW
            )
            for k in range(2):
                at = cython.cast(cython.Py_ssize_t, _hash(wide if k else pattern) >> (32 - match_bits))
                at += k << match_bits
                candidates[k] = matches[at]
                matches[at] = cython.cast(cython.uint, here)
                predicted[k] = -1
                if registers[MATCH + 2 * k + 1]:
                    predicted[k] = indices[registers[MATCH + 2 * k]]
                levels[k] = _level(registers[MATCH + 2 * k + 1])

            # What of the neighbours equals N, what W: 0, 1, else 2.
            texture = (0 if nw == n else 1 if nw == w else 2) * 27
            texture += (0 if ne == n else 1 if ne == w else 2) * 9
            texture += (0 if ww == n else 1 if ww == w else 2) * 3
            texture += 0 if nn == n else 1 if nn == w else 2
            texture = texture * 2 + (w == n)
            near = texture
            near = near * 3 + (0 if nne == n else 1 if nne == w else 2)
            near = near * 3 + (0 if nww == n else 1 if nww == w else 2)
            near = near * 3 + (0 if nee == n else 1 if nee == w else 2)

            broken_key = broken * M_BROKEN
            keys[0] = broken_key + near * M_KIND
            keys[1] = broken_key + wide
            keys[2] = broken_key + key
            keys[3] = broken_key + n * M_N + ne * M_NE + nee * M_NEE
            keys[4] = broken_key + w * M_W + n * M_N + ww * M_WW
            keys[5] = broken_key + w * M_W + n * M_N + (predicted[0] + 1) * M_NN + levels[0] * M_NODE
            keys[6] = broken_key + n * M_N + (predicted[1] + 1) * M_NN + levels[1] * M_NODE
            pattern = near * 3 + (0 if www == n else 1 if www == w else 2)
            pattern = pattern * 3 + (0 if nnw == n else 1 if nnw == w else 2)
            pattern = pattern * 3 + (0 if neee == n else 1 if neee == w else 2)
            keys[7] = broken_key + pattern * M_KIND
            _find_flags(states, keys, flag_bits, slots)

            index = indices[here] if not decoding else 0
            found = 0
            for i in range(2):
                candidate = w if i else n
                if i and (w == n or n_colors == 2):
                    break
                for j in range(16, 24):
                    inputs[j] = 0
                inputs[FIRST_EXTRA] = 256
                for k in range(2):
                    agree[k] = 0 if predicted[k] < 0 else 1 if predicted[k] == candidate else 2
                    counters[k] = MATCH_COUNTERS + ((k * MATCH_LEVELS + levels[k]) * 3 + i)
                    if agree[k] == 1:
                        inputs[FIRST_EXTRA + 1 + 2 * k] = stretch[maps[counters[k]] >> 4]
                        inputs[FIRST_EXTRA + 2 + 2 * k] = (maps[counters[k]] - 32768) >> 4
                    elif agree[k] == 2:
                        inputs[FIRST_EXTRA + 1 + 2 * k] = -stretch[maps[counters[k]] >> 4]
                vectors[0] = FLAG_A + ((i * MATCH_LEVELS + levels[0]) * 3 + agree[0]) * 4
                vectors[1] = FLAG_B + i * 256 + (candidate & 255)
                vectors[2] = FLAG_C + i * 162 + texture
                flag = _code_decision(
                    index == candidate,
                    i,
                    i,
                    i,
                    w * M_W + n * M_N + (i + 4) * M_KIND,
                    near * M_W + (i + 4) * M_KIND,
                    inputs,
                    slots,
                    vectors,
                    registers,
                    payload,
                    states,
                    next_states,
                    squash,
                    stretch,
                    maps,
                    weights,
                    decoding,
                )
                for k in range(2):
                    if agree[k] == 1:
                        maps[counters[k]] = maps[counters[k]] + (
                            ((65535 if flag else 0) - maps[counters[k]]) >> 6
                        )
                    elif agree[k] == 2 and flag:
                        maps[counters[k]] = maps[counters[k]] + ((0 - maps[counters[k]]) >> 6)
                if flag:
                    found = 1
                    index = candidate
                    break

            if not found:
                # Down the tree, from which the candidates are taken away.
                candidate = n if n_colors == 2 else w
                differences = _difference(palette, w, nw) * 3 + _difference(palette, n, nw)
                differences = (differences * 3 + _difference(palette, n, ne)) * 3 + _difference(
                    palette, w, ww
                )
                step_keys[0] = 0
                step_keys[1] = wide
                step_keys[2] = w * M_W + n * M_N
                step_keys[3] = n * M_N + ne * M_NE + nee * M_NEE
                step_keys[4] = w * M_W + n * M_N + ww * M_WW
                step_keys[5] = w * M_W + (predicted[0] + 1) * M_NN + levels[0] * M_NODE
                step_keys[6] = n * M_N + (predicted[1] + 1) * M_NN + levels[1] * M_NODE
                step_keys[7] = w * M_W + n * M_N + nw * M_NW + ne * M_NE
                if not decoding:
                    path = paths[index]
                path_length = index_bits - 1 + (path >> index_bits)
                node = 1
                depth = 0
                level = -1
                while tree[node, 0] < 0:
                    step = _forced(tree, node, n, candidate)
                    if step < 0:
                        if level != depth // 3:
                            level = depth // 3
                            _find_steps(
                                states,
                                step_keys,
                                cython.cast(cython.ulonglong, node >> (depth % 3)) * M_NODE + 1,
                                flag_bits,
                                step_bits,
                                slots,
                            )
                        channel = tree[node, 1]
                        threshold = tree[node, 2]
                        for j in range(16, 24):
                            inputs[j] = 0
                        inputs[FIRST_EXTRA] = 256
                        i = palette[w, channel]
                        j = palette[n, channel]
                        value = palette[ne, channel]
                        left = ((2 * i + j + value) >> 2) - threshold
                        inputs[FIRST_EXTRA + 1] = _clamp(
                            (_clamp(i + j - palette[nw, channel], 0, 255) - threshold) * 16, -1000, 1000
                        )
                        inputs[FIRST_EXTRA + 2] = _clamp(left * 16, -1000, 1000)
                        inputs[FIRST_EXTRA + 3] = _clamp(
                            (_clamp(i + value - j, 0, 255) - threshold) * 16, -1000, 1000
                        )
                        inputs[FIRST_EXTRA + 4] = _clamp(
                            (_clamp(2 * j - palette[nn, channel], 0, 255) - threshold) * 16, -1000, 1000
                        )
                        inputs[FIRST_EXTRA + 5] = _clamp(
                            (_clamp(2 * i - palette[ww, channel], 0, 255) - threshold) * 16, -1000, 1000
                        )
                        for k in range(2):
                            agree[k] = -1
                            if predicted[k] >= 0:
                                # Its path, as far as this node and one step further.
                                value = paths[predicted[k]]
                                shift = index_bits - 2 - depth + (value >> index_bits)
                                if shift >= 0 and value >> (shift + 1) == node:
                                    agree[k] = value >> shift & 1
                                    counters[k] = MATCH_COUNTERS + ((k * MATCH_LEVELS + levels[k]) * 3 + 2)
                                    value = stretch[maps[counters[k]] >> 4]
                                    inputs[FIRST_EXTRA + 6 + k] = value if agree[k] else -value
                        vectors[0] = STEP_A + depth * 4
                        vectors[1] = STEP_B + min(node, 1023)
                        vectors[2] = STEP_C + depth * 81 + differences
                        if not decoding:
                            step = (path >> (path_length - 1 - depth)) & 1
                        value = (_clamp(left, -128, 127) + 128) >> 3
                        step = _code_decision(
                            step,
                            STEP,
                            STEP + depth,
                            (1 << (depth % 3)) | (node & ((1 << (depth % 3)) - 1)),
                            node * M_W + value * M_N,
                            node * M_W + w * M_NW,
                            inputs,
                            slots,
                            vectors,
                            registers,
                            payload,
                            states,
                            next_states,
                            squash,
                            stretch,
                            maps,
                            weights,
                            decoding,
                        )
                        for k in range(2):
                            if agree[k] >= 0:
                                maps[counters[k]] = maps[counters[k]] + (
                                    ((65535 if agree[k] == step else 0) - maps[counters[k]]) >> 6
                                )
                    node = 2 * node + step
                    depth += 1
                index = tree[node, 0]

            if decoding:
                indices[here] = index
            if index != n:
                unchanged[x] = 0
                broken = 0
            elif unchanged[x] < 255:
                unchanged[x] += 1
            for k in range(2):
                if predicted[k] == index:
                    registers[MATCH + 2 * k] += 1
                    registers[MATCH + 2 * k + 1] = min(registers[MATCH + 2 * k + 1] + 1, 65535)
                else:
                    # What followed on the same surroundings before is a match if it was the same.
                    registers[MATCH + 2 * k] = candidates[k] + 1
                    registers[MATCH + 2 * k + 1] = candidates[k] > 0 and indices[candidates[k]] == index
            x += 1


def code_rows(
    indices: cython.ushort[::1],
    payload: cython.uchar[::1],
    width: cython.Py_ssize_t,
    first_row: cython.Py_ssize_t,
    stop_row: cython.Py_ssize_t,
    flag_bits: cython.int,
    step_bits: cython.int,
    match_bits: cython.int,
    registers: cython.longlong[::1],
    states: cython.uchar[::1],
    next_states: cython.const[cython.uchar][::1],
    squash: cython.const[cython.ushort][::1],
    stretch: cython.const[cython.short][::1],
    maps: cython.ushort[::1],
    weights: cython.short[::1],
    matches: cython.uint[::1],
    unchanged: cython.uchar[::1],
    palette: cython.const[cython.uchar][:, ::1],
    tree: cython.const[cython.int][:, ::1],
    paths: cython.const[cython.int][::1],
    decoding: cython.bint,
) -> None:
    with cython.nogil:
        _code_rows(
            indices,
            payload,
            width,
            first_row,
            stop_row,
            flag_bits,
            step_bits,
            match_bits,
            registers,
            states,
            next_states,
            squash,
            stretch,
            maps,
            weights,
            matches,
            unchanged,
            palette,
            tree,
            paths,
            decoding,
        )


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
