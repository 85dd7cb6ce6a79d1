"""The hot loops: Python that Cython compiles, and that runs, slowly, as it is.

Owns which of the two runs. One source, two speeds, the same bits: all arithmetic is on integers. A
kernel validates nothing, allocates nothing, does no I/O and releases the interpreter lock; array
arguments are contiguous and of exactly the types that it declares.

Environment
    KMCODEC_REQUIRE_COMPILED=1  importing uncompiled kernels is an error
    KMCODEC_UNCOMPILED=1        run the Python sources even where compiled kernels are installed
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

#: The kernel modules.
NAMES = ("assignment", "bits", "clusters", "context", "distances", "dithering", "grouping", "histogram")


def _give_memoryviews(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an uncompiled kernel, so that it sees elements of arrays as Python integers.

    NumPy's scalars would wrap around where C promotes to int.
    """

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*(memoryview(a) if hasattr(a, "__array_interface__") else a for a in arguments))

    return call


def load_uncompiled(name: str) -> ModuleType:
    """Load a kernel from its Python source, whatever else lies beside it, ready to be called with arrays.

    Parameters
    ----------
    name : str
        The kernel's module name, such as "bits".
    """
    path = os.path.join(os.path.dirname(__file__), f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for public in module.__all__:
        kernel = getattr(module, public)
        if isinstance(kernel, type):
            for method in [name for name in vars(kernel) if name == "__init__" or name[0] != "_"]:
                if callable(function := getattr(kernel, method)):
                    setattr(kernel, method, _give_memoryviews(function))
        else:
            setattr(module, public, _give_memoryviews(kernel))
    return module


def _load_all() -> bool:
    refuse_compiled = os.environ.get("KMCODEC_UNCOMPILED") == "1"
    compiled = True
    for name in NAMES:
        if refuse_compiled or not importlib.import_module(f"{__name__}.{name}").COMPILED:
            compiled = False
            module = load_uncompiled(name)
            sys.modules[module.__name__] = module
            globals()[name] = module
    return compiled


#: Whether the kernels run compiled.
COMPILED: bool = _load_all()

if not COMPILED and os.environ.get("KMCODEC_REQUIRE_COMPILED") == "1":
    raise ImportError("kmcodec's kernels are not compiled, and KMCODEC_REQUIRE_COMPILED=1 asks for it")
