"""Stand in for the cython module where it is not installed and the kernels run as plain Python.

Has just the names that the kernels use. Types mean nothing here: annotations are never evaluated.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

_C = TypeVar("_C")
_F = TypeVar("_F", bound=Callable[..., Any])

compiled = False


class _Type:
    """Be a type of C; with a number in brackets, an array of that many."""

    def __getitem__(self, length: builtins.int) -> list[builtins.int]:
        return [0] * length


bint = double = Py_ssize_t = uchar = ushort = short = int = uint = longlong = ulonglong = _Type()


def fused_type(*types: object) -> None:
    """Stand for any of the types, which nobody asks for."""


def declare(type_: Any, value: Any = None) -> Any:
    """Return the value of a module's constant, or a new array."""
    return list(type_) if value is None else value


def cast(type_: object, value: Any) -> Any:
    """Return the value as an integer: nothing else is cast, and Python's integers hold all of them."""
    return builtins.int(value)


def cfunc(function: _F) -> _F:
    """Return the function as it is."""
    return function


inline = cfunc


def cclass(class_: type[_C]) -> type[_C]:
    """Return the class as it is."""
    return class_


final = cclass


def exceptval(*, check: bool) -> Callable[[_F], _F]:
    """Return a decorator that changes nothing."""
    return cfunc


class _NoGil(contextlib.nullcontext[None]):
    """Serve as decorator and as context manager, as cython.nogil does."""

    def __call__(self, function: _F) -> _F:
        return function


nogil = _NoGil()
