"""The exceptions that kmcodec raises of its own accord.

A wrong argument is ValueError or TypeError, and a failing file system OSError, as everywhere in Python;
everything else that can go wrong with a picture or a file is a KmqError.
"""

from __future__ import annotations


class KmqError(Exception):
    """Be the base of all of kmcodec's exceptions; str() is one line that a user can act on."""


class KmqFormatError(KmqError):
    """Say that bytes are not a valid .kmq file.

    Attributes
    ----------
    offset : int
        Byte of the file at which the field begins.
    field : str
        Name of the field, as the specification has it.
    found, expected : str
        What stands there, and what the specification asks for.
    """

    def __init__(self, offset: int, field: str, *, found: str, expected: str) -> None:
        # Most often, it is a file of another kind.
        what = "not a .kmq file: " if field == "signature" else ""
        super().__init__(f"{what}{field} at offset {offset}: expected {expected}, found {found}")
        self.offset = offset
        self.field = field
        self.found = found
        self.expected = expected


class LimitExceededError(KmqError):
    """Say that a picture is larger than the caller allows; it may well be valid."""


class PictureError(KmqError):
    """Say that a file could not be read as a picture, or a picture not be written as such a file."""


class PaletteError(KmqError):
    """Say that a file could not be read as a palette."""


class MissingExtraError(KmqError):
    """Say that an optional package is needed and not installed, and how to install it."""


class TargetError(KmqError):
    """Say that no number of colours reaches a quality or a size that was asked for, and what is in reach."""


class PayloadError(Exception):
    """Say what is wrong in the payload of a strip; the reader, who knows where the strip lies, translates it.

    Attributes
    ----------
    bit : int
        Bit of the payload, counted from the most significant bit of its first byte.
    field : str
    found, expected : str
    """

    def __init__(self, bit: int, field: str, *, found: str, expected: str) -> None:
        super().__init__(f"{field} at bit {bit} of the payload: expected {expected}, found {found}")
        self.bit = bit
        self.field = field
        self.found = found
        self.expected = expected
