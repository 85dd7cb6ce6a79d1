"""A k-means palette image codec: pictures to .kmq files and back.

The names below are loaded when they are first used, so that the command line answers ``--version``
without waiting for NumPy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kmcodec.version import __version__ as __version__

if TYPE_CHECKING:
    from kmcodec.codec import decode, encode, open, read, write
    from kmcodec.container.reader import KmqReader
    from kmcodec.container.recode import recode
    from kmcodec.container.salvage import Salvaged, salvage
    from kmcodec.container.writer import KmqWriter
    from kmcodec.errors import (
        KmqError,
        KmqFormatError,
        LimitExceededError,
        MissingExtraError,
        PaletteError,
        PictureError,
        TargetError,
    )
    from kmcodec.image import IndexedImage, Section
    from kmcodec.kernels import COMPILED
    from kmcodec.metadata import Density, Metadata, Text
    from kmcodec.palettes.files import read_palette, write_palette
    from kmcodec.plugins.pillow import register
    from kmcodec.quantize.options import Iteration
    from kmcodec.quantize.quantizer import build_palette, quantize
    from kmcodec.report.measure import Report, report
    from kmcodec.report.tune import Curve, TunePoint, tune

_HOMES = {
    "COMPILED": "kernels",
    "Curve": "report.tune",
    "Density": "metadata",
    "IndexedImage": "image",
    "Iteration": "quantize.options",
    "KmqError": "errors",
    "KmqFormatError": "errors",
    "KmqReader": "container.reader",
    "KmqWriter": "container.writer",
    "LimitExceededError": "errors",
    "Metadata": "metadata",
    "MissingExtraError": "errors",
    "PaletteError": "errors",
    "PictureError": "errors",
    "Report": "report.measure",
    "Salvaged": "container.salvage",
    "Section": "image",
    "TargetError": "errors",
    "Text": "metadata",
    "TunePoint": "report.tune",
    "build_palette": "quantize.quantizer",
    "decode": "codec",
    "encode": "codec",
    "open": "codec",
    "quantize": "quantize.quantizer",
    "read": "codec",
    "read_palette": "palettes.files",
    "recode": "container.recode",
    "register": "plugins.pillow",
    "report": "report.measure",
    "salvage": "container.salvage",
    "tune": "report.tune",
    "write": "codec",
    "write_palette": "palettes.files",
}
__all__ = [
    "COMPILED",
    "Curve",
    "Density",
    "IndexedImage",
    "Iteration",
    "KmqError",
    "KmqFormatError",
    "KmqReader",
    "KmqWriter",
    "LimitExceededError",
    "Metadata",
    "MissingExtraError",
    "PaletteError",
    "PictureError",
    "Report",
    "Salvaged",
    "Section",
    "TargetError",
    "Text",
    "TunePoint",
    "build_palette",
    "decode",
    "encode",
    "open",
    "quantize",
    "read",
    "read_palette",
    "recode",
    "register",
    "report",
    "salvage",
    "tune",
    "write",
    "write_palette",
]


class _Package(ModuleType):
    """Keep the functions quantize and report in front of the packages of the same names.

    Importing a package binds its name here, which would hide the function.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
