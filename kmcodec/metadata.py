"""What goes with a picture: colour profile, EXIF, XMP, text, density, recipe; and its form in a .kmq file.

Owns the payloads of sections (specification, section 5). Profiles, EXIF and XMP are bytes of unknown authors:
they are carried, and nothing is read out of them but what says that they are what they claim to be. Knows no
picture file.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kmcodec.checks import check_integer
from kmcodec.image import Section

_ICC_PROFILE = b"iccp"
_EXIF = b"exif"
_XMP = b"axmp"
_TEXT = b"text"
_DENSITY = b"dens"
_RECIPE = b"rcpe"

_DENSITY_FIELDS = struct.Struct("<IIB")
_U32_MAX = 2**32 - 1

METRES_PER_INCH = 0.0254

# The part of an ICC profile that is always there, and where it says what kind of colours it is for.
_PROFILE_HEADER_BYTES = 128
_PROFILE_SPACE = slice(16, 20)
_PROFILE_SIGNATURE = slice(36, 40)

# Of TIFF, on which EXIF is built: its first bytes say the order of bytes.
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION_TAG = 0x0112
# Types of one value that stands in the entry itself: bytes, and 16 and 32 bits.
_INTEGER_FORMATS = {1: "B", 3: "H", 4: "I"}


class Text(NamedTuple):
    """Hold a text, as PNG has it.

    Attributes
    ----------
    keyword : str
        Not empty; Title, Author, Comment, ...
    text : str
    language : str
        A tag such as "en-GB", ASCII; or empty.
    translated_keyword : str
        The keyword in that language; or empty.
    """

    keyword: str
    text: str
    language: str = ""
    translated_keyword: str = ""


class Density(NamedTuple):
    """Hold how dense pixels lie.

    Attributes
    ----------
    x, y : int
        Pixels per unit, across and down; 1..2**32 - 1.
    is_per_metre : bool
        Whether the unit is the metre; else only the ratio of x and y has a meaning.
    """

    x: int
    y: int
    is_per_metre: bool = True

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch, across and down; None if the unit is unknown."""
        return (self.x * METRES_PER_INCH, self.y * METRES_PER_INCH) if self.is_per_metre else None


@dataclass(frozen=True)
class Metadata:
    """Hold what goes with a picture.

    Attributes
    ----------
    icc_profile : bytes or None
        A profile for RGB colours.
    exif : bytes or None
        Beginning with the header of TIFF. Its orientation is stored as 1: the picture is upright.
    xmp : bytes or None
        UTF-8.
    texts : tuple of Text
    density : Density or None
    recipe : mapping or None
        How the file was made, ready for JSON.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    texts: tuple[Text, ...] = ()
    density: Density | None = None
    recipe: Mapping[str, Any] | None = None

    @classmethod
    def from_sections(cls, sections: tuple[Section, ...]) -> Metadata:
        """Return the metadata in the sections of a file; what is malformed or unknown is left out."""
        first: dict[bytes, bytes] = {}
        for section in sections:
            first.setdefault(section.type, section.payload)
        profile, exif, xmp = (first.get(type_) for type_ in (_ICC_PROFILE, _EXIF, _XMP))
        texts = [parse_text(section.payload) for section in sections if section.type == _TEXT]
        return cls(
            icc_profile=profile if profile is not None and is_rgb_profile(profile) else None,
            exif=exif if exif is not None and is_exif(exif) else None,
            xmp=xmp if xmp is not None and is_utf8(xmp) else None,
            texts=tuple(text for text in texts if text is not None),
            density=parse_density(first.get(_DENSITY, b"")),
            recipe=parse_recipe(first.get(_RECIPE, b"")),
        )

    def to_sections(self) -> tuple[Section, ...]:
        """Return the sections of a file that hold the metadata.

        Raises
        ------
        TypeError, ValueError
            If something cannot be stored.
        """
        sections = []
        for type_, payload, is_valid, kind in (
            (_ICC_PROFILE, self.icc_profile, is_rgb_profile, "an ICC profile for RGB"),
            (_EXIF, self.exif, is_exif, "EXIF data that begins as TIFF does"),
            (_XMP, self.xmp, is_utf8, "XMP in UTF-8"),
        ):
            if payload is not None:
                if not isinstance(payload, bytes):
                    raise TypeError(f"metadata must be bytes, found {type(payload).__name__}")
                if not is_valid(payload):
                    raise ValueError(f"not {kind}: {payload[:16]!r}...")
                # The picture is upright, whatever it was before.
                sections.append(Section(type_, reset_orientation(payload) if type_ == _EXIF else payload))
        sections += [Section(_TEXT, _build_text(text)) for text in self.texts]
        if self.density is not None:
            x, y = (check_integer("a density", side, 1, _U32_MAX) for side in self.density[:2])
            sections.append(Section(_DENSITY, _DENSITY_FIELDS.pack(x, y, bool(self.density[2]))))
        if self.recipe is not None:
            if not isinstance(self.recipe, Mapping):
                raise TypeError(f"a recipe must be a mapping, found {type(self.recipe).__name__}")
            text = json.dumps(self.recipe, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            sections.append(Section(_RECIPE, text.encode()))
        return tuple(sections)


def check_metadata(metadata: Any) -> Metadata:
    """Return metadata, or what has none in place of None; raise TypeError for anything else."""
    if metadata is None:
        return Metadata()
    if not isinstance(metadata, Metadata):
        raise TypeError(f"metadata must be kmcodec.Metadata, not {type(metadata).__name__}")
    return metadata


def describe_section(section: Section) -> dict[str, Any]:
    """Return what a section says, ready for JSON; nothing for payloads that are carried, or malformed."""
    if section.type == _TEXT and (text := parse_text(section.payload)) is not None:
        return text._asdict()
    if section.type == _DENSITY and (density := parse_density(section.payload)) is not None:
        return {"x": density.x, "y": density.y, "unit": int(density.is_per_metre)}
    if section.type == _RECIPE and (recipe := parse_recipe(section.payload)) is not None:
        return {"recipe": recipe}
    return {}


def is_rgb_profile(payload: bytes) -> bool:
    """Return whether payload looks like an ICC profile for RGB colours."""
    return (
        len(payload) >= _PROFILE_HEADER_BYTES
        and payload[_PROFILE_SIGNATURE] == b"acsp"
        and payload[_PROFILE_SPACE] == b"RGB "
    )


def is_exif(payload: bytes) -> bool:
    """Return whether payload begins as EXIF data does."""
    return payload[:4] in _TIFF_ORDERS


def reset_orientation(exif: bytes) -> bytes:
    """Return EXIF data with the orientation, where it has one, set to 1, and every other byte as it was.

    To take the data apart and build it anew would break what makers of cameras keep at fixed places.
    """
    order = _TIFF_ORDERS.get(exif[:4])
    if order is None or len(exif) < 8:
        return exif
    patched = bytearray(exif)
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return exif
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, type_, values = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION_TAG and values == 1 and type_ in _INTEGER_FORMATS:
            struct.pack_into(order + _INTEGER_FORMATS[type_], patched, entry + 8, 1)
    return bytes(patched)


def reset_xmp_orientation(xmp: bytes) -> bytes:
    """Return XMP data with the orientation, where it has one, set to 1, and every other byte as it was."""
    return re.sub(rb'(tiff:Orientation(?:="|>))[0-9]', rb"\g<1>1", xmp)


def parse_text(payload: bytes) -> Text | None:
    """Return the text in a payload (5.2), or None if it is malformed."""
    parts = payload.split(b"\0")
    if len(parts) != 4 or not parts[0] or not parts[1].isascii():
        return None
    try:
        keyword, language, translated_keyword, text = (part.decode() for part in parts)
    except UnicodeDecodeError:
        return None
    return Text(keyword, text, language, translated_keyword)


def is_text(text: Text) -> bool:
    """Return whether a text can be stored."""
    whole = "".join(text)
    # Half a surrogate pair, which a string may have, is no character: it comes back as a question mark.
    is_unicode = whole.encode(errors="replace").decode() == whole
    return bool(text.keyword) and text.language.isascii() and "\0" not in whole and is_unicode


def _build_text(text: Text) -> bytes:
    text = Text(*text)
    if not all(isinstance(part, str) for part in text):
        raise TypeError(f"a text must be of str, found {text!r}")
    if not is_text(text):
        raise ValueError(f"a text has a keyword, a language in ASCII and no zero bytes, found {text!r}")
    return "\0".join((text.keyword, text.language, text.translated_keyword, text.text)).encode()


def parse_density(payload: bytes) -> Density | None:
    """Return the density in a payload (5.3), or None if it is malformed."""
    if len(payload) != _DENSITY_FIELDS.size:
        return None
    x, y, unit = _DENSITY_FIELDS.unpack(payload)
    return Density(x, y, bool(unit)) if x and y and unit <= 1 else None


def parse_recipe(payload: bytes) -> dict[str, Any] | None:
    """Return the recipe in a payload (5.4), or None if it is malformed."""
    try:
        recipe = json.loads(payload.decode(), parse_constant=_refuse, parse_float=_parse_float)
    # Deeply nested lists end in RecursionError.
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which json would let pass."""
    raise ValueError(constant)


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def is_utf8(payload: bytes) -> bool:
    """Return whether payload is text."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
