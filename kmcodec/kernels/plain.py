"""Stand in for the cython module where it is not installed and the kernels run as plain Python.

Has just the names that the kernels use. Types mean nothing here: annotations are never evaluated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

_V = TypeVar("_V")
_F = TypeVar("_F", bound=Callable[..., Any])

compiled = False
uchar = ushort = int = ulonglong = None


def fused_type(*types: object) -> None:
    """Stand for any of the types, which nobody asks for."""


def declare(type_: object, value: _V) -> _V:
    """Return the value of a module's constant."""
    return value


def cast(type_: object, value: _V) -> _V:
    """Return the value as it is: Python's integers hold all of them."""
    return value


def cfunc(function: _F) -> _F:
    """Return the function as it is."""
    return function


inline = cfunc


def exceptval(*, check: bool) -> Callable[[_F], _F]:
    """Return a decorator that changes nothing."""
    return cfunc


class _NoGil(contextlib.nullcontext[None]):
    """Serve as decorator and as context manager, as cython.nogil does."""

    def __call__(self, function: _F) -> _F:
        return function


nogil = _NoGil()
