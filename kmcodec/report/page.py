"""Pictures, tables and figures -> a page of HTML.

Owns the page: its markup, style and script are page.html, and what changes from report to report goes in
here. The page is one file that loads nothing else. Knows nothing of measures, nor of how figures are drawn.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import IndexedImage
from kmcodec.metrics import AMPLIFICATION
from kmcodec.pictures import encode_picture
from kmcodec.report.text import Table

# A number, perhaps with a sign, separators and a unit: 67,738; 30.96 dB; 5.99 : 1; < 0.1 %; 4 bits.
_NUMBER = re.compile(r"[<>≤≥≈~±+\u2212-]?\s?(?:\d[\d,.\u202f]*|∞)(?: ?: ?\d[\d.]*)?(?: ?[^\W\d_]{1,7}| ?%)?")

# References within an SVG, in attributes and style sheets.
_REFERENCE = re.compile(r"url\((['\"]?)#")


class Figure(NamedTuple):
    """Hold a drawing.

    Attributes
    ----------
    name : str
        Heading, such as "The colours, in RGB".
    caption : str
        One or two sentences.
    svg : str
        A whole SVG document as matplotlib writes it. Text and axes are in currentColor, so that they suit
        light and dark.
    """

    name: str
    caption: str
    svg: str


def build_page(
    *,
    title: str,
    summary: str,
    tables: Sequence[Table],
    original: NDArray[np.uint8],
    image: IndexedImage,
    figures: Sequence[Figure],
    notes: Sequence[str],
) -> str:
    """Return a report as an HTML document that needs nothing beside it.

    The same arguments give the same document. All texts are shown as they are, never as markup; figures are
    trusted to be drawings, but no script in them would run.

    Parameters
    ----------
    title, summary : str
        Heading, and a sentence below it.
    tables : sequence of Table
    original : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        sRGB with straight alpha.
    image : IndexedImage
        What the .kmq file holds, of the same size.
    figures : sequence of Figure
    notes : sequence of str
        Small print.

    Raises
    ------
    ValueError
        If original and image differ in size, or a figure is not an SVG document.
    """
    if original.shape[:2] != image.indices.shape:
        raise ValueError(
            f"original and image must be of one size, found {original.shape[:2]} and {image.indices.shape}"
        )
    template = resources.files("kmcodec.report").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        policy=_build_policy(template),
        title=_escape(title),
        summary=_escape(summary),
        factor=AMPLIFICATION,
        tables=_format_section("tables", "Tables", [_format_table(table) for table in tables]),
        figures=_format_section(
            "figures", "Figures", [_format_figure(figure, i) for i, figure in enumerate(figures, start=1)]
        ),
        notes=_format_section("notes", "Notes", [f"<p>{_escape(note)}</p>" for note in notes]),
        data=_encode_data(original, image),
    )


def _build_policy(template: str) -> str:
    """Return a Content-Security-Policy that lets the page's own script run, and loads nothing."""
    # Between the tags, as the browser hashes it; so no placeholder may stand there.
    script = template.partition('<script type="module">')[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _escape(text: str) -> str:
    """Return text for HTML, elements and attributes alike."""
    # Names of files may have lone surrogates, which no encoding can write.
    return html.escape(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _encode_data(original: NDArray[np.uint8], image: IndexedImage) -> str:
    """Return both pictures as JSON that can stand in a script element.

    Indices are deflated as they are rather than made a PNG: a browser gives a PNG's pixels back only by way
    of a canvas, where alpha and settings of privacy change them.
    """
    indices = image.indices.astype(image.indices.dtype.newbyteorder("<"), copy=False)
    data = {
        "width": image.width,
        "height": image.height,
        "factor": AMPLIFICATION,
        "channels": image.palette.shape[1],
        "palette": _to_base64(image.palette.tobytes()),
        "indices": _to_base64(zlib.compress(indices.tobytes())),
        "alpha": original.shape[2] == 4,
        "original": _to_base64(encode_picture(original)),
    }
    return json.dumps(data).replace("<", "\\u003c")


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _format_section(name: str, label: str, parts: Sequence[str]) -> str:
    if not parts:
        return ""
    return "\n".join([f'<section class="{name}" aria-label="{label}">', *parts, "</section>"])


def _format_table(table: Table) -> str:
    numeric = _find_numeric_columns(table)
    head = ""
    if table.header:
        cells = "".join(
            _format_cell("th", text, scope="col", is_number=numeric[i]) for i, text in enumerate(table.header)
        )
        head = f"<thead><tr>{cells}</tr></thead>\n"
    rows = "\n".join(f"<tr>{_format_row(row, numeric)}</tr>" for row in table.rows)
    # With a heading of its own rather than a caption, which would scroll with a wide table.
    title = _escape(table.title)
    kind = ' class="wide"' if table.header else ""
    return (
        f'<div{kind}><h2>{title}</h2><div class="scroll"><table aria-label="{title}">\n'
        f"{head}<tbody>\n{rows}\n</tbody></table></div></div>"
    )


def _format_row(row: tuple[str, ...], numeric: Sequence[bool]) -> str:
    cells = [_format_cell("td", text, is_number=numeric[i]) for i, text in enumerate(row[1:], start=1)]
    return _format_cell("th", row[0], scope="row", is_number=numeric[0]) + "".join(cells)


def _format_cell(tag: str, text: str, *, scope: str | None = None, is_number: bool) -> str:
    attributes = (f' scope="{scope}"' if scope else "") + (' class="number"' if is_number else "")
    return f"<{tag}{attributes}>{_escape(text)}</{tag}>"


def _find_numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether it has numbers, and otherwise only words such as "exact"."""
    numeric = []
    for i in range(max((len(row) for row in (table.header, *table.rows)), default=0)):
        cells = [row[i] for row in table.rows if i < len(row)]
        numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
        numeric.append(bool(numbers) and numbers == [cell for cell in cells if re.search(r"[\d∞]", cell)])
    return numeric


def _format_figure(figure: Figure, number: int) -> str:
    svg = _inline_svg(figure.svg, label=figure.name, prefix=f"figure-{number}-")
    caption = f"<figcaption>{_escape(figure.caption)}</figcaption>"
    return f"<figure><h2>{_escape(figure.name)}</h2>\n{svg}\n{caption}</figure>"


def _inline_svg(svg: str, *, label: str, prefix: str) -> str:
    """Return an SVG document as an element for HTML, as wide as its column.

    Drawings of one page share its ids, and matplotlib gives the same ones in each: they get a prefix.
    Comments, metadata, which has the date, and namespaces, which HTML does without, are left out.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ValueError(f"a figure must be an SVG document: {error}") from None
    for element in root.iter():
        element.tag = _strip_namespace(element.tag)
        for child in [child for child in element if _strip_namespace(child.tag) == "metadata"]:
            element.remove(child)
        element.attrib = {
            _strip_namespace(name): _prefix_references(_strip_namespace(name), value, prefix)
            for name, value in element.attrib.items()
        }
        if element.tag == "style" and element.text:
            element.text = _prefix_references("style", element.text, prefix)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _strip_namespace(name: str) -> str:
    return name.rpartition("}")[2]


def _prefix_references(name: str, value: str, prefix: str) -> str:
    """Return the value of an attribute with all ids in it prefixed."""
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return _REFERENCE.sub(rf"url(\1#{prefix}", value)
