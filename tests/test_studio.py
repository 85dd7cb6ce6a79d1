"""The studio: what it computes, and, in a browser, what its page shows."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from PIL import Image
from support import KMQ, SAMPLES, fail, photo, succeed

import kmcodec
import kmcodec.studio.session
from kmcodec.errors import KmqError, KmqFormatError, PictureError
from kmcodec.pictures import load_picture
from kmcodec.studio.pace import Pace
from kmcodec.studio.sample import choose_tiles
from kmcodec.studio.session import (
    Event,
    Inspected,
    Iterated,
    Measured,
    Opened,
    Result,
    Sampled,
    Session,
    Settings,
    Traced,
)

SECONDS = 20


class Listener:
    """Collect what a session tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._condition = threading.Condition()

    def tell(self, event: Event) -> None:
        """Take an event, in any thread."""
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def wait(self, is_it: Callable[[Any], bool]) -> Any:
        """Wait for an event, and return it."""
        with self._condition:
            assert self._condition.wait_for(lambda: any(map(is_it, self.events)), SECONDS), self.events
            return next(filter(is_it, self.events))

    def wait_for_result(self, settings: Settings) -> Result:
        """Wait for the final result of settings."""
        result: Result = self.wait(
            lambda event: isinstance(event, Result) and (event.stage, event.settings) == ("full", settings)
        )
        return result


@pytest.fixture
def listener() -> Listener:
    """Return what collects events."""
    return Listener()


@pytest.fixture
def session(listener: Listener) -> Iterator[Session]:
    """Return a session that tells the listener."""
    session = Session(listener.tell)
    yield session
    session.close()


def to_png(pixels: Any) -> bytes:
    """Return a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# What it computes.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_colors": 7, "space": "oklab"},
        {"n_colors": 5, "init": "random"},
        {"dither": "diffusion"},
        {"dither": "ordered", "dither_strength": 0.5, "coding": "context"},
        {"init": "kmeans++", "seed": 5, "effort": "fast"},
        {"coding": "context", "lossy": 20},
        {"n_colors": 1},
    ],
    ids=str,
)
def test_a_result_is_what_encode_makes(session: Session, listener: Listener, options: dict[str, Any]) -> None:
    """The final result has the very bytes of kmcodec.encode with the same settings."""
    settings = Settings(**options)
    session.open_file("photo.png", to_png(photo()))
    session.set(settings)
    result = listener.wait_for_result(settings)
    chosen = {"n_colors": 16, **options}
    assert kmcodec.encode(photo(), chosen.pop("n_colors"), **chosen) == result.data
    assert session.get_result(result.version) == result


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "-k 16"),
        ({"seed": 3, "dither_strength": 0.5, "lossy": 5.0}, "-k 16"),
        ({"space": "oklab", "init": "random", "seed": 3}, "-k 16 --space oklab --init random --seed 3"),
        (
            {"effort": "fast", "dither": "diffusion", "dither_strength": 0.25, "coding": "context"},
            "-k 16 --effort fast --dither diffusion --dither-strength 0.25 --coding context",
        ),
        ({"n_colors": 8, "coding": "context", "lossy": 12.5}, "-k 8 --coding context --lossy 12.5"),
        ({"n_colors": 1, "locked": ("#123456", "#ff0000")}, "-k 2 --keep #123456 --keep #ff0000"),
    ],
    ids=str,
)
def test_a_command_makes_the_same_file(
    session: Session, listener: Listener, tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    """What kmq encode is to be told says what is not the default, and makes the very bytes of the result."""
    settings = Settings(**options)
    assert expected.split() == settings.to_arguments()
    Path(tmp_path, "photo.png").write_bytes(to_png(photo()))
    session.open_file("photo.png", to_png(photo()))
    session.set(settings)
    succeed(tmp_path, "encode", "photo.png", *settings.to_arguments(), "--quiet")
    assert Path(tmp_path, "photo.kmq").read_bytes() == listener.wait_for_result(settings).data


def test_numbers_are_those_of_the_report(session: Session, listener: Listener) -> None:
    """At last, all numbers are exact and equal to those of kmcodec.report."""
    data = to_png(photo(300, 200))
    session.open_file("photo.png", data)
    result = listener.wait_for_result(Settings())
    numbers = listener.wait(
        lambda event: (
            isinstance(event, Measured)
            and event.version == result.version
            and not event.numbers.is_rough
            and event.numbers.ssim is not None
        )
    ).numbers
    report = kmcodec.report(photo(300, 200), result.data, source_bytes=len(data), codings=False)
    names = [name for name in numbers._fields if not name.endswith("rough")]
    assert [getattr(report, name) for name in names] == [getattr(numbers, name) for name in names]
    opened = listener.wait(lambda event: isinstance(event, Opened))
    assert ("photo.png", 200, 300, 3) == opened[:4]


def test_only_the_newest_settings_end_in_results(session: Session, listener: Listener) -> None:
    """Of moves that follow each other at once, the last is done, and nothing comes after it."""
    session.open_file("photo.png", to_png(photo(400, 500)))
    for k in range(2, 40):
        session.set(Settings(k, dither="diffusion"))
    listener.wait_for_result(Settings(39, dither="diffusion"))
    results = [event for event in listener.events if isinstance(event, Result)]
    assert sorted(result.version for result in results) == [result.version for result in results]
    assert Settings(39, dither="diffusion") == results[-1].settings
    assert len([result for result in results if result.stage == "full"]) < 38


def test_previews_come_before_slow_results(session: Session, listener: Listener) -> None:
    """What is not known to be quick is shown with fewer pixels first."""
    settings = Settings(8, dither="ordered")
    session.open_file("photo.png", to_png(photo(400, 500)))
    session.set(settings)
    full = listener.wait_for_result(settings)
    stages = [event for event in listener.events if isinstance(event, Result) and event.settings == settings]
    assert ["preview", "full"] == [result.stage for result in stages]
    assert stages[0].image.width * stages[0].image.height <= 1 << 16
    assert (400, 500) == full.image.indices.shape


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time for estimates before all is coded, however busy the machine is."""
    monkeypatch.setattr(kmcodec.studio.session, "_CALM", 2)


@pytest.mark.usefixtures("calm")
def test_context_coding_has_an_estimate_first(session: Session, listener: Listener) -> None:
    """Until all is coded, a sample tells the size; of a small picture, exactly."""
    settings = Settings(16, coding="context")
    session.open_file("photo.png", to_png(photo(200, 300)))
    session.set(settings)
    result = listener.wait_for_result(settings)
    estimated = listener.wait(lambda event: isinstance(event, Measured) and event.numbers.is_size_rough)
    assert len(result.data) == estimated.numbers.file_bytes
    assert kmcodec.report(photo(200, 300), result.data, codings=False).ratio == estimated.numbers.ratio


@pytest.mark.usefixtures("calm")
def test_estimates_learn_from_the_sizes_before(session: Session, listener: Listener) -> None:
    """An estimate is corrected by how wrong the one before was for the picture."""
    pixels = photo(512, 640)
    # What the tiles do not show is of one colour, and costs next to nothing.
    covered = np.zeros(pixels.shape[:2], bool)
    covered[choose_tiles(512, 640)] = True
    pixels[~covered] = pixels[0, 0]
    session.open_file("photo.png", to_png(pixels))
    errors = []
    for k in (16, 17):
        settings = Settings(k, coding="context")
        session.set(settings)
        size = len(listener.wait_for_result(settings).data)
        # Its numbers are those of a size that is known.
        listener.wait(partial(_has_size, file_bytes=size))
        estimates = [event.numbers for event in listener.events if isinstance(event, Measured)]
        errors.append(max(e.file_bytes or 0 for e in estimates if e.is_size_rough and e.colors == k) / size)
    assert errors[0] > 1.5
    assert errors[1] == pytest.approx(1, abs=0.1)


def _has_size(event: Event, file_bytes: int) -> bool:
    return isinstance(event, Measured) and event.numbers.file_bytes == file_bytes


@given(integers(1, 3000), integers(1, 3000))
def test_samples_lie_in_the_picture(height: int, width: int) -> None:
    """A sample has no pixel twice, none outside, and at most 2^16; of a small picture, all."""
    rows, columns = (places.ravel() for places in choose_tiles(height, width))
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert 0 <= rows.min() <= rows.max() < height
    assert 0 <= columns.min() <= columns.max() < width
    assert len(rows) * len(columns) <= 1 << 16
    if height * width <= 1 << 16:
        assert height * width == len(rows) * len(columns)


def test_what_takes_longer_is_foretold() -> None:
    """How long work takes is known from the last time, more for more colours; of a new kind, not."""
    pace = Pace()
    assert pace.expect("oklab", 16) is None
    pace.note("oklab", 16, 0.5)
    assert 0.5 == pace.expect("oklab", 16) == pace.expect("oklab", 2)
    assert 0.5 < (pace.expect("oklab", 32) or 0) < 1
    assert pace.expect("srgb", 16) is None


def test_locked_colors_stay_and_replaced_ones_change(session: Session, listener: Listener) -> None:
    """A locked colour is in the palette; in the place of a replaced one stands the other."""
    session.open_file("photo.png", to_png(photo()))
    first = listener.wait_for_result(Settings())
    old = "#" + first.image.palette[3].tobytes().hex()
    settings = Settings(9, locked=("#123456",), replaced=((old, "#ff0000"),))
    session.set(settings)
    image = listener.wait_for_result(settings).image
    colors = image.palette.tolist()
    assert 9 == len(colors)
    assert [0x12, 0x34, 0x56] in colors
    assert first.image.palette[3].tolist() not in colors
    assert (image.indices == colors.index([255, 0, 0])).any()
    # They are those of this picture.
    session.open_file("another.png", to_png(photo(seed=1)))
    listener.wait_for_result(Settings(9))


def test_settings_are_checked() -> None:
    """What a page sends is not relied upon."""
    good = Settings(3, locked=("#010203",), replaced=(("#010203", "#04050607"),))
    values = json.loads(json.dumps(good._asdict()))
    assert good == Settings.read(values)
    for name, value in (
        ("n_colors", 0),
        ("n_colors", "3"),
        ("space", "cmyk"),
        ("init", None),
        ("dither", "x"),
        ("coding", []),
        ("locked", ["red"]),
        ("replaced", [["#000000"]]),
        ("effort", "none"),
        ("seed", -1),
        ("dither_strength", 1.5),
        ("lossy", "much"),
    ):
        with pytest.raises((TypeError, ValueError)):
            Settings.read({**values, name: value})


def test_curve_and_iterations(session: Session, listener: Listener) -> None:
    """The curve is that of kmcodec.tune; iterations are those of kmcodec.quantize, and each can be seen."""
    session.open_file("photo.png", to_png(photo()))
    settings = Settings(6, init="random")
    session.set(settings)
    session.trace_curve()
    session.trace_iterations()
    curve = kmcodec.tune(photo(), perceptual=False)
    traced = listener.wait(lambda event: isinstance(event, Traced))
    assert curve.elbow == traced.elbow
    assert [(p.colors, p.psnr_db) for p in curve.points if p.mse] == list(
        zip(traced.n_colors, traced.psnr_db, strict=True)
    )
    history: list[kmcodec.Iteration] = []
    kmcodec.quantize(photo(), 6, init="random", on_iteration=history.append)
    iterated = listener.wait(lambda event: isinstance(event, Iterated))
    assert [iteration.inertia / (48 * 64) for iteration in history] == iterated.errors
    session.show_iteration(0)
    shown = listener.wait(lambda event: isinstance(event, Result) and event.stage == "iteration")
    assert np.rint(history[0].centroids).astype(np.uint8).tolist() == shown.image.palette.tolist()
    sampled = listener.wait(lambda event: isinstance(event, Sampled))
    assert 3 == sampled.colors.shape[1]


def test_a_file_is_shown_as_it_is(session: Session, listener: Listener) -> None:
    """Of a .kmq file, its own bytes are shown, and what kmq info says; it can be taken for a picture."""
    data = kmcodec.encode(photo(), 5, coding="context")
    session.open_file("photo.kmq", data)
    inspected = listener.wait(lambda event: isinstance(event, Inspected))
    result = listener.wait(lambda event: isinstance(event, Result))
    assert (data, "file", []) == (result.data, result.stage, inspected.faults)
    assert ("picture", "64 x 48 pixels") in inspected.rows
    session.compress_again()
    result = listener.wait_for_result(Settings())
    assert result.image.to_rgb().tolist() == kmcodec.decode(data).tolist()


def test_a_damaged_file_tells_what_could_be_saved(session: Session, listener: Listener) -> None:
    """Of a damaged file, what is wrong is told, and what is intact is shown."""
    data = bytearray(kmcodec.encode(photo(), 5, strip_rows=16))
    data[-5] ^= 1
    session.open_file("photo.kmq", bytes(data))
    inspected = listener.wait(lambda event: isinstance(event, Inspected))
    assert "32 of 48 rows could be saved; rows 32..47 are lost" in inspected.faults[-1]
    shown = listener.wait(lambda event: isinstance(event, Result)).image.to_rgb()
    saved = kmcodec.salvage(bytes(data)).pixels
    assert saved.tolist() == shown.tolist()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", PictureError),
        (b"no picture", PictureError),
        (to_png(photo())[:200], PictureError),
        (kmcodec.encode(photo(), 5)[:40], KmqFormatError),
    ],
    ids=["empty", "text", "cut", "without palette"],
)
def test_wrong_files(session: Session, data: bytes, expected: type[KmqError]) -> None:
    """What is no picture, or damaged beyond saving, is an error that says so; what was open stays open."""
    session.open_file("photo.png", to_png(photo()))
    with pytest.raises(expected):
        session.open_file("bad", data)
    assert session.original is not None


# What the page shows. The server runs as users run it; the page, in a Chromium.


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve a studio; when all is done, it ends at Ctrl-C, without a word."""
    pytest.importorskip("nicegui")
    process = subprocess.Popen(
        [KMQ, "studio", str(SAMPLES / "chelsea.png"), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.fullmatch(
        r"kmq studio: (http://127\.0\.0\.1:\d+/\S{32}/) \(Ctrl-C ends it\)\n", process.stdout.readline()
    )
    try:
        assert found is not None
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=SECONDS)
    assert (0, ("", "")) == (process.returncode, output)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a Chromium, if there is one."""
    api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        yield browser
        browser.close()


@pytest.fixture
def open_page(address: str, browser: Any) -> Iterator[Callable[[], Any]]:
    """Return what opens the page in a tab; none may ask elsewhere, nor have errors."""
    contexts, faults = [], []

    def open_tab() -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if own(request.url) else faults.append(request.url))
        page.goto(address)
        wait_for_numbers(page, "16 colours")
        return page

    def own(url: str) -> bool:
        return url.startswith((address, f"ws{address.removeprefix('http')}", "blob:", "data:"))

    yield open_tab
    for context in contexts:
        context.close()
    assert [] == faults


def wait_for_numbers(page: Any, caption: str) -> dict[str, str]:
    """Wait until a result is shown in full, and its numbers are exact; return them."""
    page.wait_for_function(
        """(caption) => document.querySelector(".viewer").dataset.stage === "full"
        && document.querySelector(".tag.right")?.textContent === caption
        && [...document.querySelectorAll("[data-number]")].every(({ textContent }) =>
          /^(exact|\\d)/.test(textContent))""",
        arg=caption,
    )
    return {
        e.get_attribute("data-number"): e.text_content() for e in page.query_selector_all("[data-number]")
    }


def set_number(page: Any, k: int) -> dict[str, str]:
    """Type K, and wait for it."""
    page.fill("#k-number", str(k))
    return wait_for_numbers(page, f"{k} colours")


def save(page: Any, suffix: str, path: Path) -> None:
    """Save the result."""
    with page.expect_download() as download:
        page.click(f"[data-save={suffix}]")
    assert f"chelsea.{suffix}" == download.value.suggested_filename
    download.value.save_as(path)


def test_page_from_move_to_file(open_page: Callable[[], Any], tmp_path: Path) -> None:
    """After a move of K, numbers are those of kmq report, and the saved file is that of kmq encode."""
    page = open_page()
    before = page.get_attribute(".viewer", "data-version")
    page.focus("#k")
    page.keyboard.press("ArrowRight")
    numbers = wait_for_numbers(page, "17 colours")
    assert int(before) < int(page.get_attribute(".viewer", "data-version"))
    save(page, "kmq", tmp_path / "saved.kmq")
    save(page, "png", tmp_path / "saved.png")
    chelsea = str(SAMPLES / "chelsea.png")
    succeed(tmp_path, "encode", chelsea, "-k", "17", "-o", "own.kmq", "--quiet")
    assert (tmp_path / "own.kmq").read_bytes() == (tmp_path / "saved.kmq").read_bytes()
    decoded = kmcodec.read(tmp_path / "own.kmq")
    assert load_picture(str(tmp_path / "saved.png")).tolist() == decoded.tolist()
    report = json.loads(succeed(tmp_path, "report", chelsea, "own.kmq", "--json"))
    expected = {
        "size": f"{report['file_bytes']:,} bytes",
        "bits": f"{report['bits_per_pixel']:.3f}",
        "ratio": f"{report['ratio']:.2f} : 1",
        "source": f"{report['source_ratio']:.2f} : 1",
        "psnr": f"{report['psnr_db']:.2f} dB",
        "ssim": f"{report['ssim']:.4f}",
        "delta": f"{report['delta_e_mean']:.2f}",
        "delta95": f"{report['delta_e_p95']:.2f}",
    }
    assert expected == numbers
    # What is drawn is what the browser decoder makes of the file.
    drawn = page.evaluate(
        """() => { const canvas = document.querySelector("canvas[aria-label=Result]");
        return [...canvas.getContext("2d").getImageData(0, 40, canvas.width, 1).data]; }"""
    )
    assert decoded[40].tolist() == np.array(drawn).reshape(-1, 4)[:, :3].tolist()


def test_page_with_all_settings(open_page: Callable[[], Any]) -> None:
    """Space, start, dithering and coding change the result, each in its way."""
    page = open_page()
    first = set_number(page, 8)
    for name, value in (
        ("space", "oklab"),
        ("init", "random"),
        ("dither", "diffusion"),
        ("coding", "context"),
    ):
        page.check(f"input[name={name}][value={value}]", force=True)
        number = "size" if name == "coding" else "psnr"
        page.wait_for_function(
            "([number, before]) => document.querySelector(`[data-number=${number}]`).textContent !== before",
            arg=[number, first[number]],
        )
        now = wait_for_numbers(page, "8 colours")
        assert now != first
        first = now
    assert float(first["bits"]) < 3


def test_page_locks_and_changes_colors(open_page: Callable[[], Any]) -> None:
    """A colour that is locked stays when K moves; one that is changed is what was chosen."""
    page = open_page()
    swatches = page.locator(".swatches button")
    swatches.nth(4).click()
    locked = page.locator(".editor .hex").text_content()
    page.check(".editor input[type=checkbox]")
    set_number(page, 9)
    assert [locked] == [
        name[:7] for name in swatches.evaluate_all("es => es.map(e => e.ariaLabel)") if "locked" in name
    ]
    page.fill(".editor input[type=color]", "#00ff00")
    page.wait_for_selector(".swatch[aria-label^='#00ff00'][aria-label$='locked']")
    page.click("text=Unlock all")
    page.wait_for_function("() => !document.querySelector('.swatch[aria-label*=locked]')")


def test_page_studies(open_page: Callable[[], Any]) -> None:
    """The curve says where the elbow is; iterations can be gone through; the colours are drawn in space."""
    page = open_page()
    for name in ("space", "curve", "iterations"):
        page.click(f"[data-study={name}] summary")
    elbow = kmcodec.tune(load_picture(str(SAMPLES / "chelsea.png")), perceptual=False).elbow
    page.wait_for_selector(f"text=The elbow of the error is at {elbow} colours")
    page.wait_for_selector("[data-study=space] canvas")
    step = page.locator("#iteration")
    page.wait_for_function("() => +document.querySelector('#iteration').max > 3")
    step.focus()
    page.keyboard.press("Home")
    page.wait_for_selector("[data-stage=iteration]")
    page.wait_for_selector("text=Iteration 0 of")
    page.keyboard.press("End")
    wait_for_numbers(page, "16 colours")


def test_page_opens_files(open_page: Callable[[], Any], tmp_path: Path) -> None:
    """Wrong files give a sentence; a .kmq file shows what is in it; a picture can be opened after it."""
    page = open_page()
    Path(tmp_path, "note.png").write_bytes(b"no picture")
    page.set_input_files("input[type=file]", tmp_path / "note.png")
    page.wait_for_selector("[role=alert]:has-text('note.png: not a picture of a known format.')")
    data = bytearray(kmcodec.encode(photo(), 5, strip_rows=16))
    Path(tmp_path, "good.kmq").write_bytes(data)
    data[-5] ^= 1
    Path(tmp_path, "bad.kmq").write_bytes(data)
    page.set_input_files("input[type=file]", tmp_path / "good.kmq")
    page.wait_for_selector("[data-stage=file]")
    page.wait_for_selector(".contents :text('64 x 48 pixels')")
    assert 0 == page.locator("[role=alert]").count()
    page.set_input_files("input[type=file]", tmp_path / "bad.kmq")
    page.wait_for_selector("[role=alert]:has-text('32 of 48 rows could be saved')")
    page.set_input_files("input[type=file]", SAMPLES / "icon.png")
    wait_for_numbers(page, "16 colours")
    assert "icon.png" in page.text_content(".viewer .name")


def test_page_tabs_are_independent(open_page: Callable[[], Any]) -> None:
    """What is done in one tab does not show in another."""
    one, other = open_page(), open_page()
    numbers = wait_for_numbers(other, "16 colours")
    assert set_number(one, 3) != numbers
    assert numbers == wait_for_numbers(other, "16 colours")


@pytest.mark.parametrize("width", [360, 1440])
def test_page_can_be_used_without_a_mouse(open_page: Callable[[], Any], width: int) -> None:
    """All that can be operated has a name, and nothing is wider than the window."""
    page = open_page()
    page.set_viewport_size({"width": width, "height": 800})
    assert width >= page.evaluate("document.documentElement.scrollWidth")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("main button, main input, main a, main summary")]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert [] == unnamed
    page.focus(".frame")
    page.keyboard.press("+")
    page.keyboard.press("+")
    before = page.get_attribute("canvas[aria-label=Result]", "style")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(style) => document.querySelector('canvas[aria-label=Result]').getAttribute('style') !== style",
        arg=before,
    )


def ask(
    address: str, path: str, *, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """Send a request, and return status and body."""
    host = address.split("/")[2]
    with contextlib.closing(http.client.HTTPConnection(host, timeout=SECONDS)) as connection:
        connection.request(method, path, body, headers={"Host": host, **headers})
        response = connection.getresponse()
        return response.status, response.read()


def test_page_is_for_those_who_know_the_address(address: str) -> None:
    """Without the token there is nothing; from pages of others, and by other names, neither."""
    path = "/" + address.split("/", 3)[3]
    assert 200 == ask(address, path)[0]
    for other in (
        "/",
        "/docs",
        "/openapi.json",
        f"{path[:-2]}/",
        "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    ):
        assert 404 == ask(address, other)[0]
    for other in (
        "files/page.py",
        "files/..%2fpage.py",
        "files/%2e%2e/kmq.js",
        "tabs/x/original",
        "tabs/x/results/1",
    ):
        assert ask(address, path + other)[0] in (404, 422)
    assert 403 == ask(address, path, Host="evil.example")[0]
    assert 403 == ask(address, path, Origin="http://evil.example")[0]
    assert 200 == ask(address, path, Origin=address[:-1].rsplit("/", 1)[0])[0]


def test_page_takes_no_file_that_is_too_large(address: str) -> None:
    """A file above the limit is refused while it comes."""
    path = "/" + address.split("/", 3)[3]
    page = ask(address, path)[1].decode()
    tab = re.search(r"/tabs/([\w-]+)", page)
    assert tab is not None
    status, message = ask(
        address, f"{path}tabs/{tab[1]}/file?name=x", method="POST", body=bytes((64 << 20) + 1)
    )
    assert (413, b"more than the 64 MiB that can be opened here.") == (status, message)


def test_command_fails_in_words(tmp_path: Path) -> None:
    """A file that is missing, and a port that is taken, are errors of one line."""
    pytest.importorskip("nicegui")
    assert "kmq: missing.png: No such file or directory\n" == fail(tmp_path, "studio", "missing.png")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
        message = fail(tmp_path, "studio", "--no-browser", "--port", str(port))
    assert f"kmq: port {port}: Address already in use\n" == message
