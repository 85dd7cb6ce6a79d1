"""Palettes as text: GIMP palettes, lists of hexadecimal numbers, JSON, custom properties of CSS.

Owns these formats, each of which is read by a parse function and written by a build function.
"""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import PaletteError
from kmcodec.palettes.colors import join_colors, list_colors, parse_color

# Names of the list of colours in an object of JSON, as others have it and as kmq prints it.
_JSON_LISTS = ("colors", "palette")

_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
# A custom property and its value, which ends where something else begins.
_CSS_PROPERTY = re.compile(r"(?:^|[{;\s])(--[^\s:;{}]+)\s*:\s*([^;{}]*)")
_CSS_SHORT = re.compile(r"#[0-9a-fA-F]{3,4}")
_CSS_FUNCTION = re.compile(r"rgba?\(([^()]*)\)", re.IGNORECASE)
_CSS_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(%?)")


def _decode(data: bytes) -> str:
    # A byte that is not UTF-8 can only stand in a name or a comment, or is an error of its line.
    return data.decode("utf-8-sig", errors="replace")


def parse_gpl(data: bytes) -> NDArray[np.uint8]:
    """Return the colours of a GIMP palette."""
    lines = _decode(data).splitlines()
    if not (lines and lines[0].startswith("GIMP Palette")):
        raise PaletteError("line 1: expected 'GIMP Palette'")
    colors: list[list[int]] = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words or words[0].startswith("#") or (not colors and words[0] in ("Name:", "Columns:")):
            continue
        try:
            color = [int(word) for word in words[:3]]
        except ValueError:
            color = []
        if len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise PaletteError(
                f"line {number}: expected red, green and blue in 0..255, found {reprlib.repr(line.strip())}"
            )
        colors.append(color)
    return join_colors(colors)


def build_gpl(palette: NDArray[np.uint8], title: str) -> bytes:
    """Return a GIMP palette of this name."""
    if palette.shape[1] == 4:
        raise PaletteError("a GIMP palette has no place for alpha; .hex, .json, .css and .png have")
    name = "".join(character if character.isprintable() else "?" for character in title)
    lines = [f"GIMP Palette\nName: {name}\nColumns: 16\n#"]
    for color, words in zip(palette.tolist(), list_colors(palette), strict=True):
        lines.append("{:3} {:3} {:3}\t{}".format(*color, words))
    return _encode(lines)


def parse_hex(data: bytes) -> NDArray[np.uint8]:
    """Return the colours of a text with one a line, in hexadecimal."""
    colors = []
    for number, line in enumerate(_decode(data).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith((";", "//")):
            continue
        try:
            colors.append(parse_color(text))
        except ValueError as error:
            raise PaletteError(f"line {number}: {error}") from None
    return join_colors(colors)


def build_hex(palette: NDArray[np.uint8]) -> bytes:
    """Return a text with a colour a line, in hexadecimal."""
    # Without the sign, which some programs do not take.
    return _encode([color.removeprefix("#") for color in list_colors(palette)])


def parse_json(data: bytes) -> NDArray[np.uint8]:
    """Return the colours of a list, which may be a member "colors" or "palette" of an object."""
    try:
        colors = json.loads(_decode(data))
    except json.JSONDecodeError as error:
        raise PaletteError(f"line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise PaletteError("expected a list of colours, found lists of lists") from None
    except ValueError:
        raise PaletteError("expected a list of colours, found a number of thousands of digits") from None
    if isinstance(colors, dict):
        members = [colors.get(name) for name in _JSON_LISTS]
        colors = next((member for member in members if isinstance(member, list)), None)
    if not isinstance(colors, list):
        raise PaletteError("expected a list of colours, or an object with one that is called 'colors'")
    return join_colors([_parse_entry(number, entry) for number, entry in enumerate(colors, 1)])


def _parse_entry(number: int, entry: Any) -> tuple[int, ...]:
    """Return a colour of a list, which begins with number 1."""
    if isinstance(entry, str):
        try:
            return parse_color(entry)
        except ValueError as error:
            raise PaletteError(f"entry {number}: {error}") from None
    # What is true is an int in Python.
    if not (
        isinstance(entry, list)
        and len(entry) in (3, 4)
        and all(type(value) is int and 0 <= value <= 255 for value in entry)
    ):
        raise PaletteError(
            f'entry {number}: expected "#rrggbb", or three or four integers in 0..255,'
            f" found {reprlib.repr(entry)}"
        )
    return tuple(entry)


def build_json(palette: NDArray[np.uint8]) -> bytes:
    """Return a list of colours as JSON, one a line."""
    return _encode([json.dumps(list_colors(palette), indent=2)])


def parse_css(data: bytes) -> NDArray[np.uint8]:
    """Return the values of all custom properties of a style sheet, as they come."""
    text = _CSS_COMMENT.sub(lambda comment: " " + "\n" * comment[0].count("\n"), _decode(data))
    colors = []
    line, end = 1, 0
    for found in _CSS_PROPERTY.finditer(text):
        # Counted from one to the next: the file may be long.
        line, end = line + text.count("\n", end, found.start(1)), found.start(1)
        color = _parse_css_color(found[2].strip())
        if color is None:
            raise PaletteError(
                f"line {line}: expected a colour as #rgb, #rrggbb, #rrggbbaa or rgb(), found"
                f" {reprlib.repr(found[2].strip())}"
            )
        colors.append(color)
    return join_colors(colors)


def _parse_css_color(text: str) -> tuple[int, ...] | None:
    """Return a colour as CSS has it; None if it is none, or of a kind that is not read."""
    if _CSS_SHORT.fullmatch(text):
        text = "#" + "".join(2 * digit for digit in text[1:])
    if text.startswith("#"):
        try:
            return parse_color(text)
        except ValueError:
            return None
    function = _CSS_FUNCTION.fullmatch(text)
    if function is None:
        return None
    numbers = [_CSS_NUMBER.fullmatch(word) for word in re.split(r"[\s,/]+", function[1].strip())]
    if len(numbers) not in (3, 4):
        return None
    color = []
    for channel, number in enumerate(numbers):
        if number is None:
            return None
        # A percentage, a channel of 0..255, or alpha of 0..1.
        whole = 100 if number[2] else 255 if channel < 3 else 1
        value = float(number[1])
        if value > whole:
            return None
        color.append(int(value * 255 / whole + 0.5))
    return tuple(color)


def build_css(palette: NDArray[np.uint8], title: str) -> bytes:
    """Return custom properties of the root, which are called by title and number."""
    name = re.sub(r"[^\w-]+", "-", title)
    lines = [f"  --{name}-{number}: {color};" for number, color in enumerate(list_colors(palette))]
    return _encode([":root {", *lines, "}"])


def _encode(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
