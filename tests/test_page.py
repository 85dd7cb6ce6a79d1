"""The page of a report: what is in it, and, in a browser, what it does."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from support import SAMPLES, indexed_images, photo

import kmcodec
from kmcodec.image import IndexedImage
from kmcodec.pictures import load_picture
from kmcodec.report.page import Figure, build_page
from kmcodec.report.text import Table

HOSTILE = (
    """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'&amp;"<!-- ${}"""
)

# As matplotlib writes it, but short.
SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"
  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36"
     xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">2026-01-01</rdf:RDF></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>
 <g id="figure_1"><g clip-path="url(#p1)"><path d="M 0 0 L 72 36" style="stroke: currentColor"/></g>
 <!-- a label --><g><defs><path id="DejaVuSans-41" d="M 0 0 h 9 v 9 z"/></defs>
 <use xlink:href="#DejaVuSans-41" style="fill: url('#p2')"/></g></g>
 <defs><clipPath id="p1"><rect x="0" y="0" width="72" height="36"/></clipPath></defs>
</svg>
"""

Case = tuple[NDArray[np.uint8], IndexedImage]


def quantize(pixels: NDArray[np.uint8], n_colors: int) -> Case:
    """Return pixels, and the same in fewer colours."""
    return pixels, kmcodec.quantize(pixels, n_colors)


def many_colors() -> Case:
    """Return a picture whose indices need two bytes, in a palette with unused colours."""
    pixels, image = quantize(photo(), 300)
    palette = np.vstack([image.palette, np.zeros((1000, 3), np.uint8)])
    return pixels, IndexedImage(palette, image.indices + np.uint16(0))


def translucent() -> NDArray[np.uint8]:
    """Return a picture with all kinds of alpha."""
    alpha = np.linspace(0, 255, 64).astype(np.uint8)
    return np.dstack([photo(), np.broadcast_to(alpha, (48, 64))])


CASES: dict[str, Callable[[], Case]] = {
    "opaque": lambda: quantize(photo(), 16),
    "alpha": lambda: quantize(translucent(), 16),
    "alpha only in the original": lambda: (translucent(), kmcodec.quantize(photo(), 16)),
    "K = 1": lambda: quantize(photo(), 1),
    "K = 1300": many_colors,
    "1 x 1": lambda: quantize(photo(1, 1), 1),
    "lossless": lambda: quantize(load_picture(str(SAMPLES / "sprite.png")), 4),
    "wide": lambda: quantize(photo(2, 2500), 16),
    "tall": lambda: quantize(photo(2500, 2), 16),
}


def build(
    case: Case,
    *,
    title: str = "photo.png in 16 colours",
    tables: list[Table] | None = None,
    svgs: tuple[str, ...] = (SVG,),
    notes: tuple[str, ...] = ("A note.",),
) -> str:
    """Build a page of a picture."""
    original, image = case
    return build_page(
        title=title,
        summary="What it comes to.",
        tables=tables or [Table("What it costs", (), [("this file", "1,234 bytes")])],
        original=original,
        image=image,
        figures=[Figure("The colours", "Each is a pixel.", svg) for svg in svgs],
        notes=notes,
    )


class Reader(HTMLParser):
    """Read a document as elements with their attributes, and texts."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def read_data(page: str) -> dict[str, Any]:
    """Return the pictures' data in a page."""
    data: dict[str, Any] = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    return data


# What is in the page.


def test_texts_are_never_markup() -> None:
    """Every text that is given shows as it is, whatever it contains."""
    original, image = quantize(photo(4, 4), 2)
    page = build_page(
        title=f"title {HOSTILE}",
        summary=f"summary {HOSTILE}",
        tables=[Table(f"table {HOSTILE}", (f"header {HOSTILE}",), [(f"label {HOSTILE}", f"cell {HOSTILE}")])],
        original=original,
        image=image,
        figures=[Figure(f"figure {HOSTILE}", f"caption {HOSTILE}", SVG)],
        notes=[f"note {HOSTILE}"],
    )
    reader = Reader(page)
    assert 2 == len(reader.named("script"))
    assert [] == reader.named("img")
    for name in ("title", "summary", "table", "header", "label", "cell", "figure", "caption", "note"):
        assert f"{name} {HOSTILE}" in reader.texts
    assert f"table {HOSTILE}" == reader.named("table")[0]["aria-label"]


def test_undecodable_names_can_be_written() -> None:
    """The name of a file that is not valid UTF-8 does not make a page that cannot be encoded."""
    page = build(quantize(photo(4, 4), 2), title=b"caf\xe9.png".decode("utf-8", "surrogateescape"))
    assert "caf\ufffd.png" in page.encode().decode()


def test_the_page_loads_nothing() -> None:
    """No element refers to anything outside the page."""
    page = build(quantize(photo(4, 4), 2))
    assert re.search(r"https?:|@import|//\w+\.", page) is None
    for tag, attributes in Reader(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert attributes.get("src") is None
        assert (attributes.get("href") or "#").startswith("#")


def test_only_its_own_script_may_run() -> None:
    """The policy allows the script by its hash, and nothing else but inline styles and data."""
    page = build(quantize(photo(4, 4), 2))
    script = page.partition('<script type="module">')[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta["content"] for meta in Reader(page).named("meta") if "http-equiv" in meta)
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def test_same_input_same_page() -> None:
    """The page depends on nothing but what it is built from."""
    case = quantize(photo(), 16)
    assert build(case) == build(case)


@settings(max_examples=30)
@given(image=indexed_images())
def test_data_is_exact(image: IndexedImage) -> None:
    """Palette, indices and original are in the page bit for bit."""
    original = image.to_rgb()
    data = read_data(build((original, image)))
    assert (image.width, image.height) == (data["width"], data["height"])
    assert image.palette.tobytes() == base64.b64decode(data["palette"])
    dtype = "u1" if len(image.palette) <= 256 else "<u2"
    indices = np.frombuffer(zlib.decompress(base64.b64decode(data["indices"])), dtype)
    assert image.indices.ravel().tolist() == indices.tolist()
    np.testing.assert_array_equal(original, load_picture(io.BytesIO(base64.b64decode(data["original"]))))


def test_drawings_keep_their_ids_apart() -> None:
    """No id is twice in a page, and each drawing refers to its own."""
    page = build(quantize(photo(4, 4), 2), svgs=(SVG, SVG))
    reader = Reader(page)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert ["#figure-1-DejaVuSans-41", "#figure-2-DejaVuSans-41"] == [
        attributes["href"] for attributes in reader.named("use")
    ]
    references = re.findall(r"url\((.+?)\)", page.partition("<main>")[2].partition("</main>")[0])
    assert [
        "#figure-1-p1", "'#figure-1-p2'", "#figure-2-p1", "'#figure-2-p2'",
    ] == references  # fmt: skip


def test_drawings_are_as_wide_as_their_column() -> None:
    """A drawing has a name and the proportions of its viewBox, and neither size, date nor comments."""
    page = build(quantize(photo(4, 4), 2))
    svg = Reader(page).named("svg")[0]
    assert ("0 0 72 36", "img", "The colours") == (svg["viewbox"], svg["role"], svg["aria-label"])
    assert {"width", "height"} & set(svg) == set()
    assert "2026" not in page
    assert "a label" not in page


def test_drawings_must_be_svg() -> None:
    """What is not an SVG document is refused."""
    with pytest.raises(ValueError, match="SVG"):
        build(quantize(photo(4, 4), 2), svgs=("<svg",))


def test_sizes_must_agree() -> None:
    """An original of another size than the image is refused."""
    with pytest.raises(ValueError, match="size"):
        build((photo(4, 4), kmcodec.quantize(photo(4, 5), 2)))


def test_tables_name_rows_and_columns() -> None:
    """Headers of columns and rows say what they are; columns of numbers, and only those, are set apart."""
    rows = [
        ("PNG", "240,512", "3.55 : 1", "exact", "2 files of 3", "< 0.1 %"),
        ("this file", "67,738", "1.00 : 1", "30.96 dB", "", "∞"),
    ]
    table = Table("Formats", ("format", "bytes", "ratio", "PSNR", "remark", "share"), rows)
    reader = Reader(build(quantize(photo(4, 4), 2), tables=[table]))
    assert ["col"] * 6 + ["row"] * 2 == [attributes["scope"] for attributes in reader.named("th")]
    numeric = ["number", "number", "number", None, "number"]
    assert numeric * 2 == [attributes.get("class") for attributes in reader.named("td")]


def test_what_is_empty_is_left_out() -> None:
    """Without tables, figures and notes there are no empty sections."""
    original, image = quantize(photo(4, 4), 2)
    page = build_page(
        title="A", summary="B.", tables=[], original=original, image=image, figures=[], notes=[]
    )
    assert 1 == len(Reader(page).named("section"))


# What it does.


class Window:
    """Show a page in a window of its own, and keep what the browser complains of."""

    def __init__(self, browser: Any, path: Path, html: str, **options: Any) -> None:
        path.write_text(html, encoding="utf-8")
        self.complaints: list[str] = []
        self.context = browser.new_context(
            **({"viewport": {"width": 1400, "height": 900}, "color_scheme": "light"} | options)
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("#viewer[aria-busy=false]")

    def evaluate(self, code: str) -> Any:
        """Run JavaScript."""
        return self.page.evaluate(code)

    def read_canvas(self, name: str) -> NDArray[np.uint8]:
        """Return the pixels of a canvas, shape (height, width, 4)."""
        self.wait_for_frames()
        shape, text = self.evaluate(
            f"""() => {{
                const canvas = document.getElementById({name!r}), {{width, height}} = canvas;
                const {{data}} = canvas.getContext("2d").getImageData(0, 0, width, height);
                return [[height, width, 4], Array.from(data, (byte) => String.fromCharCode(byte)).join("")];
            }}"""
        )
        return np.frombuffer(text.encode("latin-1"), np.uint8).reshape(shape)

    def shoot(self, selector: str = "#viewer") -> NDArray[np.uint8]:
        """Return what is seen of an element, shape (height, width, 3)."""
        self.wait_for_frames()
        return load_picture(io.BytesIO(self.page.locator(selector).screenshot()))[:, :, :3]

    def show_difference(self) -> None:
        """Choose the view of the difference."""
        self.page.locator("label", has_text="Difference").click()

    def wait_for_frames(self) -> None:
        """Let the page draw what it has put off to the next frame."""
        self.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def find_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return where in the window a place in the picture, in its pixels, is."""
        box = self.page.locator("#original").bounding_box()
        width, height = self.evaluate("[original.width, original.height]")
        return box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height

    def point_at(self, x: int, y: int) -> str:
        """Move the mouse to the middle of a pixel, and return the readout."""
        self.page.mouse.move(*self.find_pixel(x + 0.5, y + 0.5))
        return self.read_out()

    def read_out(self) -> str:
        """Return the readout."""
        text: str = self.page.locator("#readout").inner_text()
        return " ".join(text.split())

    def wait_until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        # Not by playwright's own means, which the policy of the page forbids.
        deadline = time.monotonic() + 10
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.wait_for_frames()


Opener = Callable[..., Window]


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Give a function that builds a page and opens it in a window, which is closed after the test."""
    windows: list[Window] = []

    def open_window(case: Case, *, options: dict[str, Any] | None = None, **arguments: Any) -> Window:
        html = build(case, **arguments)
        windows.append(Window(browser, tmp_path / f"page {len(windows)} #?%.html", html, **(options or {})))
        return windows[-1]

    yield open_window
    for window in windows:
        window.context.close()


@pytest.mark.parametrize("name", CASES)
def test_nothing_to_complain_of(show: Opener, name: str) -> None:
    """From a file, with any picture and whatever one does, there is no error, warning or failed request."""
    window = show(CASES[name](), svgs=(SVG, SVG))
    window.point_at(0, 0)
    window.page.locator("[role=option]").last.hover()
    window.show_difference()
    for button in ("#in", "#out", "#actual", "#fit"):
        window.page.locator(button).click()
    window.page.get_by_text("By index").click()
    window.wait_for_frames()
    assert [] == window.complaints
    assert not window.page.locator("#message").is_visible()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("alpha")])
def test_pixels_are_exact(show: Opener, name: str) -> None:
    """Both pictures are drawn in exactly their colours."""
    original, image = CASES[name]()
    window = show((original, image))
    for canvas, pixels in (("original", original), ("compressed", image.to_rgb())):
        drawn = window.read_canvas(canvas)
        np.testing.assert_array_equal(pixels, drawn[:, :, :3])
        assert 255 == drawn[:, :, 3].min()


def test_alpha_is_seen(show: Opener) -> None:
    """Where a picture is transparent, a pattern of squares shows."""
    clear = np.zeros((16, 16, 4), np.uint8)
    window = show(quantize(clear, 1))
    assert 2 == len(np.unique(window.shoot()[400:500, 150:170].reshape(-1, 3), axis=0))


RED_AND_BLUE: Case = (
    np.full((16, 16, 3), (255, 0, 0), np.uint8),
    IndexedImage(np.array([[0, 0, 255]], np.uint8), np.zeros((16, 16), np.uint8)),
)


def measure_share(window: Window) -> float:
    """Return the share of red beside blue in the lower part of the viewer, where nothing else is."""
    row = window.shoot()[-20]
    red, blue = (int(np.all(row == color, axis=1).sum()) for color in ((255, 0, 0), (0, 0, 255)))
    return red / (red + blue)


def test_slider_divides(show: Opener) -> None:
    """The slider, by keyboard too, and the divider say how much of the original is seen."""
    window = show(RED_AND_BLUE)
    assert measure_share(window) == pytest.approx(0.5, abs=0.01)
    slider = window.page.get_by_label("Part that shows the original")
    slider.press("End")
    assert 1 == measure_share(window)
    slider.press("Home")
    assert 0 == measure_share(window)
    slider.press("PageUp")
    assert measure_share(window) == pytest.approx(0.1, abs=0.01)
    window.page.mouse.move(*window.find_pixel(1.6, 8))
    window.page.mouse.down()
    window.page.mouse.move(*window.find_pixel(12, 9))
    window.page.mouse.up()
    assert measure_share(window) == pytest.approx(0.75, abs=0.01)


def test_zoom_keeps_pixels_square(show: Opener) -> None:
    """At any zoom above 1 : 1 each pixel of the picture is a square of the same size, in its colour."""
    original = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    window = show((original, kmcodec.quantize(original, 2)))
    window.page.get_by_label("Part that shows the original").press("End")
    seen = set()
    for _ in range(6):
        window.page.locator("#out").click()
        zoom = int(window.page.locator("#zoom").inner_text().split()[0]) // 100
        seen.add(zoom)
        x, y = (round(place) for place in window.find_pixel(0, 0))
        # The divider stands at the right border, and the label may lie in the upper corner.
        found = window.shoot("html")[y + 4 * zoom : y + 16 * zoom, x : x + 15 * zoom]
        expected = original[4:, :15].repeat(zoom, axis=0).repeat(zoom, axis=1)
        np.testing.assert_array_equal(expected, found)
    assert 6 == len(seen)


def test_pictures_stay_aligned(show: Opener) -> None:
    """Zooming with Ctrl and wheel, and dragging, keep the pixel below the pointer, and move both pictures."""
    window = show(CASES["opaque"]())
    for _ in range(5):
        window.page.locator("#in").click()
    before = window.point_at(33, 25)
    window.page.keyboard.down("Control")
    window.page.mouse.wheel(0, 100)
    window.page.keyboard.up("Control")
    window.wait_until("zoom.textContent === '4800 %'")
    assert before == window.read_out()
    window.page.mouse.down()
    window.page.mouse.move(500, 500)
    window.page.mouse.up()
    assert before == window.read_out()
    original, compressed = (window.page.locator(name).bounding_box() for name in ("#original", "#compressed"))
    assert original == compressed


def test_wheel_scrolls_the_page(show: Opener) -> None:
    """Without Ctrl the wheel scrolls the page, also over the pictures."""
    window = show(CASES["opaque"]())
    before = window.page.locator("#zoom").inner_text()
    window.point_at(30, 20)
    window.page.mouse.wheel(0, 200)
    window.wait_until("scrollY > 100")
    assert before == window.page.locator("#zoom").inner_text()


def test_keys_zoom_and_move(show: Opener) -> None:
    """With the focus on the pictures, + and -, 0, 1 and the arrow keys do what buttons and mouse do."""
    window = show(CASES["opaque"]())
    viewer, zoom = window.page.locator("#viewer"), window.page.locator("#zoom")
    whole = zoom.inner_text()
    for key, percent in (("1", "100 %"), ("+", "200 %"), ("-", "100 %"), ("0", whole), ("+", "1600 %")):
        viewer.press(key)
        assert percent == zoom.inner_text()
    for _ in range(4):
        viewer.press("+")
    x, y = window.find_pixel(0, 0)
    viewer.press("ArrowRight")
    viewer.press("ArrowUp")
    assert (x - 64, y + 64) == window.find_pixel(0, 0)


def test_readout_tells_the_pixel(show: Opener) -> None:
    """Over the picture the readout has place, both colours and index, and the palette marks the colour."""
    original, image = CASES["opaque"]()
    window = show((original, image))
    index = image.indices[13, 7]
    colors = [f"#{bytes(color).hex()}" for color in (original[13, 7], image.palette[index])]
    expected = f"x 7 y 13 original {colors[0]} compressed {colors[1]} index {index}"
    assert expected == window.point_at(7, 13)
    assert str(index) == window.page.locator("li.below").get_attribute("data-index")
    window.page.locator("[role=option]").last.click()
    window.wait_for_frames()
    assert window.read_out().startswith("highlighted")
    assert expected == window.point_at(7, 13)
    window.wait_for_frames()
    assert expected == window.read_out()


@pytest.mark.parametrize("name", ["opaque", "alpha", "K = 1", "K = 1300", "lossless"])
def test_colors_show_where_they_are_used(show: Opener, name: str) -> None:
    """While the mouse is on a colour of the palette, pixels of other colours are dimmed, and no others."""
    _, image = case = CASES[name]()
    window = show(case)
    assert not window.page.locator("#overlay").is_visible()
    option = window.page.locator("[role=option]").nth(min(2, len(image.palette) - 1))
    index = int(option.get_attribute("data-index"))
    option.hover()
    veil = window.read_canvas("overlay")[:, :, 3]
    assert window.page.locator("#overlay").is_visible()
    np.testing.assert_array_equal(image.indices == index, veil == 0)
    assert {0, int(veil.max())} >= set(np.unique(veil).tolist())
    window.point_at(0, 0)
    window.wait_for_frames()
    assert not window.page.locator("#overlay").is_visible()


def test_colors_can_be_chosen_by_keys(show: Opener) -> None:
    """The palette is one stop of the tab key; arrow keys move in it; Enter keeps, Escape drops."""
    _, image = case = CASES["opaque"]()
    window = show(case)
    assert 1 == window.page.locator("[role=option][tabindex='0']").count()
    window.page.get_by_label("By share").focus()
    window.page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        window.page.keyboard.press(key)
    counts = np.bincount(image.indices.ravel())
    second = int(np.argsort(-counts, kind="stable")[1])
    window.page.keyboard.press("Tab")
    np.testing.assert_array_equal(image.indices == second, window.read_canvas("overlay")[:, :, 3] == 0)
    assert str(second) == window.page.locator("[aria-selected=true]").get_attribute("data-index")
    window.page.keyboard.press("Escape")
    window.wait_for_frames()
    assert not window.page.locator("#overlay").is_visible()


def test_a_tap_keeps_a_color(show: Opener) -> None:
    """On a touch screen a tap on a colour shows where it is used, and another one ends that."""
    window = show(CASES["opaque"](), options={"has_touch": True, "viewport": {"width": 360, "height": 740}})
    option = window.page.locator("[role=option]").nth(1)
    for is_shown in (True, False):
        option.tap()
        window.wait_for_frames()
        assert is_shown == window.page.locator("#overlay").is_visible()


def test_palette_has_shares(show: Opener) -> None:
    """Colours are listed by their share or their index; those that no pixel has are marked."""
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [255, 255, 255]], np.uint8)
    indices = np.repeat([1, 0, 3], [70, 5, 25]).astype(np.uint8).reshape(10, 10)
    image = IndexedImage(palette, indices)
    window = show((image.to_rgb(), image))
    options = window.page.locator("[role=option]")
    expected = [
        "#040506 1 70.00 %",
        "#ffffff 3 25.00 %",
        "#010203 0 5.00 %",
        "#070809 2 unused",
    ]
    assert expected == [" ".join(text.split()) for text in options.all_inner_texts()]
    window.page.get_by_text("By index").click()
    assert sorted(expected, key=lambda text: text.split()[1]) == [
        " ".join(text.split()) for text in options.all_inner_texts()
    ]


def test_long_palettes_are_cut(show: Opener) -> None:
    """Of more than 256 colours those are listed that are used most, and the page says how many are not."""
    window = show(CASES["K = 1300"]())
    assert 256 == window.page.locator("[role=option]").count()
    assert "1,300 colours" == window.page.locator("#palette-title").inner_text()
    assert "1,044 more are left out" in window.page.locator("#palette-help").inner_text()


def test_difference_is_amplified(show: Opener) -> None:
    """The third view has eight times the difference of each sample, and says so."""
    original, image = CASES["opaque"]()
    window = show((original, image))
    window.show_difference()
    difference = np.abs(original.astype(int) - image.to_rgb())
    np.testing.assert_array_equal(np.minimum(255, 8 * difference), window.read_canvas("difference")[:, :, :3])
    assert (
        "difference \N{MULTIPLICATION SIGN} 8; black where equal"
        == window.page.locator("#difference-label").inner_text()
    )
    assert not window.page.locator("#compressed").is_visible()


def test_difference_counts_alpha(show: Opener) -> None:
    """With alpha the difference is the larger of those on black and on white."""
    original = np.array([[[255, 0, 0, 0], [255, 0, 0, 255]]], np.uint8)
    image = IndexedImage(np.array([[0, 0, 0, 0], [250, 0, 0, 250]], np.uint8), np.array([[0, 1]], np.uint8))
    window = show((original, image))
    window.show_difference()
    # Nothing differs where nothing is seen. On black 255 - 250 * 250 / 255 = 9.9; on white 5 more are seen.
    assert [[0, 0, 0, 255], [79, 40, 40, 255]] == window.read_canvas("difference")[0].tolist()


def test_exact_copies_are_called_so(show: Opener) -> None:
    """Where there is no difference, the view of it is not just black."""
    window = show(CASES["lossless"]())
    window.show_difference()
    assert "every pixel is exact" in window.page.locator("#difference-label").inner_text()


@pytest.mark.parametrize("name", ["opaque", "lossless", "wide", "tall", "K = 1300"])
def test_narrow_windows_need_no_scrolling_sideways(show: Opener, name: str) -> None:
    """On a phone the page is as wide as the window, whatever names and tables it has."""
    table = Table(
        "T" * 99, tuple(f"column {i}" for i in range(12)), [("x" * 80,) + ("1,234,567 bytes",) * 11]
    )
    window = show(
        CASES[name](),
        options={"viewport": {"width": 360, "height": 740}},
        title=f"{'x' * 300}.png",
        tables=[table],
        notes=("y" * 300,),
    )
    width, room = window.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert width <= room


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable(show: Opener, scheme: str) -> None:
    """The page is light or dark as the system is, and every text has the contrast that WCAG AA asks for."""
    window = show(CASES["opaque"](), options={"color_scheme": scheme})

    def luminance(name: str) -> float:
        color = window.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')")
        samples = np.frombuffer(bytes.fromhex(color.strip()[1:]), np.uint8) / 255
        linear = np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    assert (luminance("page") < 0.05) == (scheme == "dark")
    assert (window.shoot("body")[0, 0].mean() < 50) == (scheme == "dark")
    for text, ground in (("text", "page"), ("muted", "page"), ("muted", "tint"), ("muted", "bar")):
        high, low = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_scripts_in_drawings_do_not_run(show: Opener) -> None:
    """The policy of the page holds: nothing but its own script runs."""
    svg = SVG.replace("<defs>", '<script>window.hacked = 1</script><g onclick="window.hacked = 1"/><defs>', 1)
    window = show(CASES["1 x 1"](), svgs=(svg,))
    assert window.evaluate("window.hacked === undefined")


def test_without_scripts(show: Opener) -> None:
    """Without JavaScript the page says what is missing, and shows the rest."""
    window = show(CASES["opaque"](), options={"java_script_enabled": False})
    assert window.page.locator("noscript p").is_visible()
    assert not window.page.locator("#viewer").is_visible()
    assert window.page.get_by_text("1,234 bytes").is_visible()
