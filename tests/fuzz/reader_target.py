"""Read arbitrary bytes in every way that kmcodec has: a target for atheris.

    python tests/fuzz/reader_target.py [OPTION OF LIBFUZZER]... [CORPUS]

Inputs are .kmq files as they are; the seeds are the specification's test files, the few large ones cut short,
and libFuzzer writes what it finds to CORPUS alone. Most mutated inputs get right checksums, so that what lies
behind these is reached.
"""

from __future__ import annotations

import importlib
import io
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import kmcodec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fuzz import mutations

#: Keep single runs short.
MAX_PIXELS = 1 << 20
MAX_BYTES = 1 << 11

_T = TypeVar("_T")


def attempt(function: Callable[[], _T]) -> _T | kmcodec.KmqError:
    """Return what function returns, or the KmqError that it raises; no other exception is allowed for."""
    try:
        return function()
    except kmcodec.KmqError as error:
        return error


def check_reader(data: bytes, max_pixels: int | None = MAX_PIXELS) -> None:
    """Read data in every way.

    Raises
    ------
    AssertionError
        If two ways disagree.
    Exception
        If any raises what is not a KmqError.
    """
    outcome = attempt(lambda: kmcodec.decode(data, max_pixels=max_pixels))
    check_verify(data, outcome, max_pixels=max_pixels)
    check_salvaged(attempt(lambda: kmcodec.salvage(data, max_pixels=max_pixels)), outcome)
    for source in (data, io.BytesIO(data)):
        reader = attempt(lambda source=source: kmcodec.KmqReader(source, max_pixels=max_pixels))  # type: ignore[misc]
        if isinstance(reader, kmcodec.KmqError):
            assert_same(outcome, reader)
        else:
            check_parts(reader, outcome)


def check_verify(data: bytes, outcome: NDArray[np.uint8] | kmcodec.KmqError, **options: Any) -> None:
    """Check that KmqReader.verify finds what decoding found, and nothing else."""
    verified = attempt(lambda: kmcodec.KmqReader(data, **options).verify())
    if isinstance(outcome, kmcodec.KmqError):
        assert_same(outcome, verified)
    else:
        assert verified is None, f"decoded, but not verified: {verified}"


def check_salvaged(
    saved: kmcodec.Salvaged | kmcodec.KmqError, outcome: NDArray[np.uint8] | kmcodec.KmqError
) -> None:
    """Check that salvage has all of an intact picture, and faults of any other, or has refused that."""
    if isinstance(saved, kmcodec.KmqError):
        assert isinstance(outcome, kmcodec.KmqError), f"decoded, but not salvaged: {saved}"
    elif isinstance(outcome, kmcodec.KmqError):
        assert isinstance(outcome, kmcodec.KmqFormatError), f"salvaged, but over a limit: {outcome}"
        assert str(outcome) in map(str, saved.faults), f"not among the faults: {outcome}"
    else:
        assert (saved.lost, saved.unchecked, saved.faults) == ([], [], [])
        assert np.array_equal(outcome, saved.pixels)


def check_parts(reader: kmcodec.KmqReader, outcome: NDArray[np.uint8] | kmcodec.KmqError) -> None:
    """Read the parts of a file whose header and palette are right; those of a picture are the picture's."""
    ways: list[Callable[[], NDArray[np.uint8]]] = [
        reader.pixels,
        lambda: reader.palette[reader.indices()],
        lambda: reader.image().to_rgb(),
        lambda: np.concatenate(list(reader)),
    ]
    for way in ways:
        assert_same(outcome, attempt(way))
    attempt(lambda: reader.sections)
    attempt(lambda: reader.metadata)
    width, height = reader.width, reader.height
    x, y = width // 3, height // 2
    regions = [(0, 0, width, height), (x, y, width - x, 1), (0, y, width, height - y), (x, 0, 1, height)]
    for left, top, columns, rows in regions:
        for verify in (None, False, True):
            part = attempt(lambda a=(left, top, columns, rows), v=verify: reader.region(*a, verify=v))  # type: ignore[misc]
            if not isinstance(outcome, kmcodec.KmqError):
                assert_same(outcome[top : top + rows, left : left + columns], part)


def assert_same(expected: object, found: object) -> None:
    """Check that two outcomes are equal pixels, or the same error."""
    if isinstance(expected, np.ndarray) and isinstance(found, np.ndarray):
        assert np.array_equal(expected, found), "not the same pixels"
    else:
        assert (type(expected), str(expected)) == (type(found), str(found))


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    # Here alone, so that whoever has no atheris can use the rest.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["kmcodec"]):
        for name in ("kmcodec.codec", "kmcodec.container.salvage", "kmcodec.metadata"):
            importlib.import_module(name)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.getrandbits(1):
            mutated = bytes(atheris.Mutate(data, max_size))
        else:
            mutated = mutations.mutate(data, rng)[:max_size]
        way = rng.getrandbits(2)
        if way >= 2:
            mutated = mutations.fit(mutated, max_size)
        return mutations.repair(mutated) if way >= 1 else mutated

    seeds = ",".join(str(path) for path in sorted(mutations.VECTORS.glob("*/*.kmq")))
    # The command line comes last, and so can say otherwise.
    arguments = [sys.argv[0], f"-max_len={MAX_BYTES}", f"-seed_inputs={seeds}", *sys.argv[1:]]
    atheris.Setup(arguments, check_reader, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
