"""Adobe's palettes: colour tables (.act) and swatches for exchange (.ase).

Owns these formats, which are big-endian; a parse function reads each, and a build function writes it. Adobe
describes the first; the second is known from what Adobe's programs write.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import PaletteError
from kmcodec.palettes.colors import join_colors, list_colors
from kmcodec.pictures import has_gif_alpha

_ACT_COLORS = 256
_ACT_TABLE_BYTES = 3 * _ACT_COLORS
# In place of the index of the transparent colour.
_ACT_OPAQUE = 0xFFFF

#: Begins a file of swatches.
ASE_SIGNATURE = b"ASEF"
# Signature, major and minor version, number of blocks.
_ASE_HEADER = struct.Struct(">4sHHI")
# Type, and bytes that follow.
_ASE_BLOCK = struct.Struct(">HI")
_ASE_COLOR, _ASE_GROUP_START, _ASE_GROUP_END = 0x0001, 0xC001, 0xC002
# Of a colour that is neither global nor a spot colour.
_ASE_NORMAL = 2

# Colour models, in capitals, since some programs write GRAY for Gray; and the range of each of their values.
_UNIT = (0, 1)
_ASE_MODELS = {
    b"RGB ": (_UNIT, _UNIT, _UNIT),
    b"GRAY": (_UNIT,),
    b"CMYK": (_UNIT, _UNIT, _UNIT, _UNIT),
    b"LAB ": (_UNIT, (-128, 128), (-128, 128)),
}

# What still rounds to a value of 8 bits.
_TOLERANCE = 1 / 512

# L* a* b* refer to the white of D50; sRGB to that of D65, to which the matrix adapts, by Bradford's method.
# Source: B. Lindbloom, brucelindbloom.com.
_WHITE = np.array([0.96422, 1.0, 0.82521])
_XYZ_TO_RGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)


def parse_act(data: bytes) -> NDArray[np.uint8]:
    """Return the colours of a colour table."""
    # 256 colours; then, if there is more, how many of them count, and which is transparent.
    if len(data) not in (_ACT_TABLE_BYTES, _ACT_TABLE_BYTES + 4):
        raise PaletteError(f"expected a colour table of 768 or 772 bytes, found {len(data)}")
    colors = np.frombuffer(data[:_ACT_TABLE_BYTES], np.uint8).reshape(-1, 3)
    if len(data) == _ACT_TABLE_BYTES:
        return colors.copy()
    count, transparent = struct.unpack_from(">HH", data, _ACT_TABLE_BYTES)
    if not 1 <= count <= _ACT_COLORS:
        raise PaletteError(f"expected a count of 1..256 at offset 768, found {count}")
    colors = colors[:count]
    if transparent >= count:
        return colors.copy()
    alpha = np.full((count, 1), 255, np.uint8)
    alpha[transparent] = 0
    return np.hstack([colors, alpha])


def build_act(palette: NDArray[np.uint8]) -> bytes:
    """Return a colour table."""
    if len(palette) > _ACT_COLORS:
        raise PaletteError(f"an Adobe colour table has at most 256 colours, found {len(palette)}")
    if not has_gif_alpha(palette):
        raise PaletteError(
            "an Adobe colour table has one transparent colour at most, and none in part;"
            " .hex, .json, .css and .png have alpha"
        )
    transparent = np.flatnonzero((palette[:, 3:] == 0).any(axis=1))
    table = palette[:, :3].tobytes().ljust(_ACT_TABLE_BYTES, b"\0")
    return table + struct.pack(">HH", len(palette), *transparent if len(transparent) else [_ACT_OPAQUE])


def parse_ase(data: bytes) -> NDArray[np.uint8]:
    """Return the colours of a file of swatches, of all its groups as they come.

    RGB and grey are taken as they are; L* a* b* is converted to sRGB and clipped to it; and CMYK becomes
    what it is without a profile, for the file has none: (1 - C) (1 - K), and so on.
    """
    if len(data) < _ASE_HEADER.size:
        raise PaletteError(f"offset {len(data)}: expected a header of 12 bytes, found the end of the file")
    signature, major, _, n_blocks = _ASE_HEADER.unpack_from(data)
    if signature != ASE_SIGNATURE:
        raise PaletteError(f"offset 0: expected {ASE_SIGNATURE!r}, found {signature!r}")
    if major != 1:
        raise PaletteError(f"offset 4: expected version 1, found {major}")
    colors = []
    at = _ASE_HEADER.size
    for _ in range(n_blocks):
        if len(data) - at < _ASE_BLOCK.size:
            raise PaletteError(f"offset {at}: expected a block, found the end of the file")
        kind, length = _ASE_BLOCK.unpack_from(data, at)
        at += _ASE_BLOCK.size
        if length > len(data) - at:
            raise PaletteError(
                f"offset {at - 4}: expected a length of at most {len(data) - at}, found {length}"
            )
        if kind == _ASE_COLOR:
            colors.append(_parse_swatch(data[at : at + length], at))
        elif kind not in (_ASE_GROUP_START, _ASE_GROUP_END):
            raise PaletteError(
                f"offset {at - _ASE_BLOCK.size}: expected a colour or a group, found a block of type"
                f" {kind:#06x}"
            )
        at += length
    if at < len(data):
        raise PaletteError(f"offset {at}: expected the end of the file, found {len(data) - at} bytes more")
    return join_colors(colors)


def _parse_swatch(block: bytes, offset: int) -> list[int]:
    """Return the colour of a block that lies at offset: a name, a colour model, values."""
    name_bytes = 2 * int.from_bytes(block[:2], "big")
    at = 2 + name_bytes
    model = block[at : at + 4].upper()
    if model not in _ASE_MODELS:
        raise PaletteError(f"offset {offset + at}: expected RGB, Gray, CMYK or LAB, found {model!r}")
    ranges = _ASE_MODELS[model]
    at += 4
    if len(block) - at < 4 * len(ranges):
        raise PaletteError(
            f"offset {offset + at}: expected {len(ranges)} values, found {len(block) - at} bytes"
        )
    values = struct.unpack_from(f">{len(ranges)}f", block, at)
    for i, (value, (least, greatest)) in enumerate(zip(values, ranges, strict=True)):
        if not least - _TOLERANCE < value < greatest + _TOLERANCE:
            raise PaletteError(
                f"offset {offset + at + 4 * i}: expected a value of {least}..{greatest}, found {value:g}"
            )
    if model == b"CMYK":
        rgb = (1 - np.array(values[:3])) * (1 - values[3])
    elif model == b"LAB ":
        rgb = _convert_lab(100 * values[0], *values[1:])
    else:
        rgb = np.resize(values, 3)
    levels: list[int] = np.floor(255 * np.clip(rgb, 0, 1) + 0.5).astype(int).tolist()
    return levels


def _convert_lab(lightness: float, a: float, b: float) -> NDArray[np.float64]:
    """Return a colour of CIE L* a* b* in sRGB, 0..1, and beyond where sRGB has no such colour."""
    y = (lightness + 16) / 116
    roots = np.array([y + a / 500, y, y - b / 200])
    xyz = _WHITE * np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    linear = _XYZ_TO_RGB @ xyz
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    rgb: NDArray[np.float64] = np.where(linear > 0.0031308, curved, 12.92 * linear)
    return rgb


def build_ase(palette: NDArray[np.uint8]) -> bytes:
    """Return a file of swatches in RGB, which are called by their hexadecimal numbers."""
    if palette.shape[1] == 4:
        raise PaletteError("an Adobe swatch has no place for alpha; .hex, .json, .css and .png have")
    parts = [_ASE_HEADER.pack(ASE_SIGNATURE, 1, 0, len(palette))]
    for color, words in zip(palette.tolist(), list_colors(palette), strict=True):
        name = f"{words}\0".encode("utf-16-be")
        values = struct.pack(">4s3fH", b"RGB ", *(value / 255 for value in color), _ASE_NORMAL)
        block = struct.pack(">H", len(name) // 2) + name + values
        parts += [_ASE_BLOCK.pack(_ASE_COLOR, len(block)), block]
    return b"".join(parts)
