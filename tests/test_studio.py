"""The studio: what it computes, and, in a browser, what its page shows."""

from __future__ import annotations

import contextlib
import gc
import http.client
import http.server
import importlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from PIL import Image
from support import KMQ, SAMPLES, fail, photo, succeed

import kmcodec
import kmcodec.studio.session
from kmcodec.cli import main
from kmcodec.errors import KmqError, KmqFormatError, PictureError
from kmcodec.pictures import load_picture, parse_picture
from kmcodec.studio import session as model
from kmcodec.studio.lane import Job, Lane
from kmcodec.studio.pace import Pace
from kmcodec.studio.sample import choose_tiles
from kmcodec.studio.session import (
    Event,
    Inspected,
    Iterated,
    Measured,
    Numbers,
    Opened,
    Result,
    Sampled,
    Session,
    Settings,
    Traced,
)
from kmcodec.threads import StoppedError

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
            isinstance(event, Measured) and event.version == result.version and event.numbers.is_complete
        )
    ).numbers
    report = kmcodec.report(photo(300, 200), result.data, source_bytes=len(data), codings=False)
    names = [name for name in numbers._fields if not name.endswith(("rough", "complete"))]
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


class Gate:
    """Let a function wait, the first time that it is called, until it is opened."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._is_first = True
        self.is_reached, self._is_open = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Do what the function does."""
        if self._is_first:
            self._is_first = False
            self.is_reached.set()
            assert self._is_open.wait(SECONDS)
        return self._function(*arguments, **options)

    def open(self) -> None:
        """Let it go on."""
        self._is_open.set()


def test_the_file_opened_last_is_shown(
    session: Session, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two files at once, the later one is told of; of the earlier one nothing, however long it takes."""
    gate = Gate(parse_picture)
    monkeypatch.setattr(model, "parse_picture", gate)
    earlier = threading.Thread(target=session.open_file, args=("slow.png", b"no picture"))
    earlier.start()
    assert gate.is_reached.wait(SECONDS)
    session.open_file("quick.png", to_png(photo()))
    gate.open()
    earlier.join(SECONDS)
    assert ["quick.png"] == [event.name for event in listener.events if isinstance(event, Opened)]
    assert photo().tolist() == np.asarray(session.original).tolist()


def test_what_is_closed_takes_nothing(
    session: Session, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is being read when a tab is closed does not fill it again."""
    gate = Gate(parse_picture)
    monkeypatch.setattr(model, "parse_picture", gate)
    opening = threading.Thread(target=session.open_file, args=("slow.png", to_png(photo())))
    opening.start()
    assert gate.is_reached.wait(SECONDS)
    session.close()
    gate.open()
    opening.join(SECONDS)
    session.open_file("late.png", to_png(photo()))
    assert (None, []) == (session.original, listener.events)


def test_no_result_of_another_picture_follows(
    session: Session, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that is about to be told when another picture is opened comes before that, or never."""
    another = threading.Thread(target=session.open_file, args=("another.png", to_png(photo(9, 9))))
    versions = iter(session._versions)

    def count() -> Iterator[int]:
        another.start()
        # It has all the time that it could want, unless it has to wait for this.
        another.join(0.5)
        yield from versions

    monkeypatch.setattr(session, "_versions", count())
    session.open_file("photo.png", to_png(photo()))
    listener.wait(lambda event: isinstance(event, Opened) and event.name == "another.png")
    listener.wait(lambda event: isinstance(event, Result) and event.image.width == 9)
    names = [event.name for event in listener.events if isinstance(event, (Opened, Result))]
    assert ["photo.png", "photo", "another.png", "another"] == names


def test_results_keep_the_name_of_their_picture(session: Session, listener: Listener) -> None:
    """What is saved after another file was opened has the name of what it shows."""
    session.open_file("photo.png", to_png(photo()))
    first = listener.wait_for_result(Settings())
    session.open_file("file.kmq", kmcodec.encode(photo(), 3))
    second = listener.wait(lambda event: isinstance(event, Result) and event.stage == "file")
    assert ("photo", "file") == (first.name, second.name)
    assert first == session.get_result(first.version)


def test_moves_wait_until_a_result_is_told_with_its_measures(session: Session, listener: Listener) -> None:
    """No move comes between a result and the wish for its numbers, which would be out of date."""
    lane, waited = session._lanes["measures"], list[bool]()
    submit = lane.submit

    def submit_slowly(work: Callable[[Job], None]) -> None:
        mover = threading.Thread(target=session.set, args=(Settings(5),))
        if not waited:
            mover.start()
            # It has all the time that it could want, unless it has to wait for this.
            mover.join(0.3)
            waited.append(mover.is_alive())
        submit(work)

    lane.submit = submit_slowly  # type: ignore[method-assign]
    session.open_file("photo.png", to_png(photo()))
    listener.wait_for_result(Settings(5))
    assert [True] == waited


def test_iterations_are_those_of_the_settings(session: Session, listener: Listener) -> None:
    """After a move, no centroids of the settings before take the place of the result."""
    session.open_file("photo.png", to_png(photo()))
    session.trace_iterations()
    listener.wait(lambda event: isinstance(event, Iterated))
    # The result again, as at the end of them.
    session.set(Settings())
    session.show_iteration(0)
    listener.wait(lambda event: isinstance(event, Result) and event.stage == "iteration")
    session.set(Settings(5))
    session.show_iteration(0)
    listener.wait_for_result(Settings(5))
    last = [event for event in listener.events if isinstance(event, Result)][-1]
    assert ("full", Settings(5)) == (last.stage, last.settings)


def test_numbers_end_where_there_is_no_more_to_know(session: Session, listener: Listener) -> None:
    """Of a picture that is too small for SSIM, numbers are complete without it."""
    session.open_file("photo.png", to_png(photo(3, 5)))
    numbers = listener.wait(lambda event: isinstance(event, Measured) and event.numbers.is_complete).numbers
    assert numbers.ssim is None
    assert numbers.delta_e_mean is not None


def test_numbers_end_without_scikit_image(
    session: Session, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing measures what the eye sees, numbers are complete without that."""
    monkeypatch.setattr(kmcodec.metrics, "has_scikit_image", lambda: False)
    session.open_file("photo.png", to_png(photo()))
    numbers = listener.wait(lambda event: isinstance(event, Measured) and event.numbers.is_complete).numbers
    assert (None, None) == (numbers.ssim, numbers.delta_e_mean)
    assert numbers.file_bytes is not None


def test_locked_colors_do_not_change_how_long_a_picture_takes(session: Session, listener: Listener) -> None:
    """What is known to be quick has no preview only because a colour is locked, or coded in another way."""
    settings = Settings(4)
    session.open_file("photo.png", to_png(photo(300, 300)))
    session.set(settings)
    listener.wait_for_result(settings)
    assert session._subject is not None
    session._subject.pace.note((0, settings.kind), 4, 0.001)
    settings = Settings(4, coding="context", locked=("#123456",))
    session.set(settings)
    listener.wait_for_result(settings)
    results = [event for event in listener.events if isinstance(event, Result) and event.settings == settings]
    assert ["coding", "full"] == [result.stage for result in results]


def test_work_that_was_stopped_has_no_errors() -> None:
    """What goes wrong in work that nobody wants is told to nobody."""
    errors: list[Exception] = []
    lane = Lane(errors.append, 1)
    is_running, is_stopped, is_done = threading.Event(), threading.Event(), threading.Event()

    def go_wrong(job: Job) -> None:
        is_running.set()
        assert is_stopped.wait(SECONDS)
        raise MemoryError

    lane.submit(go_wrong)
    assert is_running.wait(SECONDS)
    lane.submit(lambda job: is_done.set())
    is_stopped.set()
    assert is_done.wait(SECONDS)
    lane.close()
    assert [] == errors


@pytest.mark.parametrize("is_stopped", [False, True])
def test_lanes_keep_nothing(is_stopped: bool) -> None:
    """Work that is done, or stopped, leaves nothing in memory, and a lane that is closed no thread."""

    class Picture:
        pass

    threads: set[threading.Thread] = set()
    is_forgotten = threading.Event()
    lane = Lane(lambda error: None, 2)

    def submit() -> weakref.ref[Picture]:
        picture = Picture()

        def look(_: int) -> Picture:
            threads.add(threading.current_thread())
            if is_stopped and threading.current_thread() is not lane._thread:
                raise StoppedError
            return picture

        def work(job: Job) -> None:
            look(0)
            job.workers.map(look, range(4))

        lane.submit(work)
        return weakref.ref(picture, lambda _: is_forgotten.set())

    # Not only where somebody looks for cycles.
    gc.disable()
    try:
        reference = submit()
        assert is_forgotten.wait(SECONDS)
    finally:
        gc.enable()
    assert reference() is None
    lane.close()
    for thread in threads:
        thread.join(SECONDS)
    assert [False] * len(threads) == [thread.is_alive() for thread in threads]


# What the page shows. The server runs as users run it; the page, in a Chromium.


@contextlib.contextmanager
def serving(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a studio; give its process and the address that it has printed."""
    process = subprocess.Popen(
        [KMQ, "studio", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"kmq studio: (http://127\.0\.0\.1:\d+/\S{32}/) \(Ctrl-C ends it\)\n", line)
        assert found is not None, line
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve a studio; when all is done, it ends at Ctrl-C, without a word."""
    pytest.importorskip("nicegui")
    with serving(str(SAMPLES / "chelsea.png"), "--no-browser") as (process, address):
        yield address
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
def open_page(address: str, browser: Any) -> Iterator[Callable[..., Any]]:
    """Return what opens the page in a tab; none may ask elsewhere, nor have errors."""
    contexts, faults = [], []

    def open_tab(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
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
        "saving": f"{100 - 100 * report['file_bytes'] / report['source_bytes']:.1f} % smaller",
        "original": f"{report['source_bytes']:,} bytes before",
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
    # Two may be changed to the same, and one of them taken back.
    swatches.nth(0).click()
    first = page.text_content(".editor .hex")
    page.fill(".editor input[type=color]", "#00ff00")
    page.wait_for_function(
        "() => document.querySelectorAll('.swatch[aria-label^=\\'#00ff00\\']').length === 2"
    )
    page.click(f"text=Back to {first}")
    page.wait_for_selector(f".swatch[aria-label^='{first}']")
    page.click(".swatch[aria-label^='#00ff00']")
    # What is changed twice can be had back, in one step; and all that was chosen, in another.
    page.fill(".editor input[type=color]", "#0000ff")
    page.wait_for_selector(".swatch[aria-label^='#0000ff'][aria-label$='locked']")
    assert 0 == page.locator(".swatch[aria-label^='#00ff00']").count()
    page.click(f"text=Back to {locked}")
    page.wait_for_selector(f".swatch[aria-label^='{locked}'][aria-label$='locked']")
    assert 1 == page.locator(".swatch[aria-label*=locked]").count()
    page.click(".swatch:not([aria-label$='locked'])")
    page.check(".editor input[type=checkbox]")
    page.wait_for_function("() => document.querySelectorAll('.swatch[aria-label$=locked]').length === 2")
    page.focus("text=Reset colours")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !document.querySelector('.swatch[aria-label*=locked]')")
    page.wait_for_function("() => document.activeElement.matches('.swatch')")


def test_page_leaves_the_focus_where_one_works(open_page: Callable[[], Any]) -> None:
    """The editor of a colour is reached from it, and left to it by Escape; arrows lead to other colours."""
    page = open_page()
    page.focus(".swatches button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert "checkbox" == page.evaluate("document.activeElement.type")
    page.keyboard.press("Space")
    page.wait_for_selector(".swatch[aria-label$='locked']")
    page.keyboard.press("Escape")
    page.wait_for_selector(".editor", state="detached")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.swatches button')[1]")


def test_page_studies(open_page: Callable[[], Any]) -> None:
    """The curve says where the elbow is; iterations can be gone through; the colours are drawn in space."""
    page = open_page()
    for name in ("space", "curve", "iterations"):
        page.click(f"[data-study={name}] summary")
    elbow = kmcodec.tune(load_picture(str(SAMPLES / "chelsea.png")), perceptual=False).elbow
    page.wait_for_selector(f"text=The elbow of the error is at {elbow} colours")
    page.wait_for_selector("[data-study=space] canvas")
    assert "Most pixels have #" in page.get_attribute("[data-study=space] .chart", "aria-label")
    assert f"{elbow}, " in page.get_attribute("[data-study=curve] .chart", "aria-label")
    # By keys and by buttons it is turned from where it is.
    view = "() => { const id = document.querySelector('[data-study=space] .nicegui-echart').id;"
    view += " const view = getElement(+id.slice(1)).chart?.getOption().grid3D?.[0].viewControl;"
    view += " return view && `${Math.round(view.beta)} ${Math.round(view.alpha)}`; }"
    page.wait_for_function(f"() => ({view})() === '40 20'")
    page.focus("[data-study=space] .chart")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.wait_for_function(f"() => ({view})() === '55 35'")
    page.click("[aria-label='Turn left']")
    page.wait_for_function(f"() => ({view})() === '40 35'")

    # Texts of the curve follow the theme.
    def color() -> str:
        return str(page.evaluate("getComputedStyle(document.querySelector('[data-study=curve] text')).fill"))

    light = color()
    page.emulate_media(color_scheme="dark")
    assert light != color()
    step = page.locator("#iteration")
    page.wait_for_function("() => +document.querySelector('#iteration').max > 3")
    step.focus()
    page.keyboard.press("Home")
    page.wait_for_selector("[data-stage=iteration]")
    page.wait_for_selector("text=Iteration 0 of")
    page.keyboard.press("End")
    wait_for_numbers(page, "16 colours")


def make_tab() -> Any:
    """Return a tab in the place of a browser, whose parts take what they are told."""
    pytest.importorskip("nicegui")
    parts: dict[str, Any] = {
        "_stages": {1: "full"},
        "_shown": {},
        "_values": {},
        "_saves": {},
        "_traced": None,
    }
    return Mock(_settings=Settings(), _n_shown=1, _is_damaged=False, **parts)


def test_page_takes_no_numbers_from_before_a_move() -> None:
    """What was told before a move is shown after it, so that something moves; but with no numbers."""
    tab = make_tab()
    page_module()._Tab._change(tab, {"n_colors": 5})
    image = kmcodec.quantize(photo(), 4)
    numbers = Numbers(4, 1, 1, 1, 1, 1, 1, 1, 1, is_exact=False, is_rough=False)
    page_module()._Tab._show_measured(tab, Measured(1, numbers))
    page_module()._Tab._show_result(tab, Result(2, "full", b"", image, Settings(), "photo"))
    page_module()._Tab._show_measured(tab, Measured(2, numbers))
    assert ["work", "show"] == [call.args[0] for call in tab._viewer.run_method.call_args_list]
    assert [{"add": "stale"}] == [call.kwargs for call in tab._numbers.classes.call_args_list]


def test_page_takes_no_colors_along_to_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours that were sent while another picture was opened are not those of its first result."""
    tab, late = make_tab(), Settings(locked=("#123456",))
    tab.session.settings = late
    page_module()._Tab._change_colors(tab, shown=0, locked=["#123456"], replaced=[])
    assert not tab._change.called
    monkeypatch.setattr(page_module(), "has_scikit_image", lambda: False)
    page_module()._Tab._show_opened(tab, Opened("a.png", 1, 1, 3, 1, ("what is not taken along",), 1))
    assert [((Settings(),),)] == [call[:1] for call in tab.session.set.call_args_list]
    # What is missing is said where the numbers would be.
    assert "not taken along. SSIM and delta E need scikit-image" in tab._notes.set_text.call_args.args[0]


def test_page_traces_a_curve_once() -> None:
    """A move that does not change the curve asks for none, once there is one."""
    tab = make_tab()
    tab._shown, tab._traced = {"curve": True}, Traced("srgb", [2], [20.0], 2)
    page_module()._Tab._change(tab, {"n_colors": 5})
    assert (False, True) == (tab._study.called, tab._draw_curve.called)
    page_module()._Tab._change(tab, {"space": "oklab"})
    tab._study.assert_called_once_with("curve")


def page_module() -> Any:
    """Return the module of the page, which needs NiceGUI."""
    return importlib.import_module("kmcodec.studio.page")


def test_page_waits_for_a_picture(browser: Any) -> None:
    """Without a picture, a move starts no work; of a tiny one, what cannot be measured is a dash."""
    with serving("--no-browser") as (_, address):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("text=Drop a picture")
        page.fill("#k-number", "5")
        page.wait_for_selector(".numbers.stale", state="attached")
        assert "Working" not in page.inner_text(".frame")
        picture = {"name": "tiny.png", "mimeType": "image/png", "buffer": to_png(photo(3, 5))}
        page.set_input_files("input[type=file]", files=[picture])
        page.wait_for_selector("[data-number=ssim]:text-is('\N{EN DASH}')")
        page.wait_for_selector("[role=status]:has-text('5 colours: ')", state="attached")
        page.close()


def test_page_says_that_a_browser_draws_nothing_in_space(open_page: Callable[[], Any]) -> None:
    """Without WebGL, there is a sentence in the place of the chart; nothing fails."""
    page = open_page()
    page.evaluate(
        """() => { const get = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest); }; }"""
    )
    page.click("[data-study=space] summary")
    page.wait_for_selector("text=This browser has no WebGL")
    assert 0 == page.locator("[data-study=space] button:visible, [data-study=space] canvas").count()


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
    assert 0 == page.get_by_role("alert").count()
    page.click("text=Compress these pixels again")
    wait_for_numbers(page, "5 colours")
    page.click("text=The same by kmq encode")
    command = "kmq encode good.kmq -k 16 -o good-again.kmq"
    page.wait_for_selector(f"text={command}")
    with page.expect_download() as download:
        page.click("[data-save=kmq]")
    succeed(tmp_path, *command.split()[1:], "--quiet")
    assert Path(tmp_path, "good-again.kmq").read_bytes() == Path(download.value.path()).read_bytes()
    page.set_input_files("input[type=file]", tmp_path / "bad.kmq")
    page.wait_for_selector("[role=alert]:has-text('32 of 48 rows could be saved')")
    page.click("text=Compress these pixels again")
    page.wait_for_selector("text=kmq decode --salvage has to come first")
    page.set_input_files("input[type=file]", SAMPLES / "icon.png")
    wait_for_numbers(page, "16 colours")
    assert "icon.png" in page.text_content(".viewer .name")


def test_page_tabs_are_independent(open_page: Callable[[], Any]) -> None:
    """What is done in one tab does not show in another."""
    one, other = open_page(), open_page()
    numbers = wait_for_numbers(other, "16 colours")
    assert set_number(one, 3) != numbers
    assert numbers == wait_for_numbers(other, "16 colours")


@pytest.mark.parametrize("width", [320, 1440])
def test_page_can_be_used_without_a_mouse(open_page: Callable[[], Any], width: int) -> None:
    """All that can be operated has a name, and nothing is wider than the window."""
    page = open_page()
    page.set_viewport_size({"width": width, "height": 800})
    assert width >= page.evaluate("document.documentElement.scrollWidth")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("main :is(button, input, a, summary, [tabindex='0'])")]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert [] == unnamed
    assert "chelsea.png" in page.title()
    page.focus(".frame")
    page.keyboard.press("+")
    page.keyboard.press("+")
    before = page.get_attribute("canvas[aria-label=Result]", "style")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(style) => document.querySelector('canvas[aria-label=Result]').getAttribute('style') !== style",
        arg=before,
    )
    # The divider is a slider of its own.
    divider = page.get_by_role("slider", name="Part that shows the original")
    divider.focus()
    for key, value in (("ArrowRight", "52"), ("PageDown", "42"), ("Home", "0"), ("End", "100")):
        page.keyboard.press(key)
        assert value == divider.get_attribute("aria-valuenow")
    page.get_by_role("button", name="original").press("Enter")
    assert "50" == divider.get_attribute("aria-valuenow")


def test_page_keeps_settings_and_says_the_command(open_page: Callable[..., Any], tmp_path: Path) -> None:
    """Settings stay when the page is loaded again; the command that is shown makes the saved file."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.click("text=More settings")
    # What means nothing is not there.
    assert 0 == page.locator("input[name=seed], input[name=lossy], input[name=dither_strength]").count()
    page.check("input[name=init][value=random]", force=True)
    page.fill("input[name=seed]", "7")
    page.check("input[name=coding][value=context]", force=True)
    page.fill("input[name=lossy]", "20")
    page.fill("#k-number", "12")
    page.reload()
    command = "kmq encode chelsea.png -k 12 --init random --seed 7 --coding context --lossy 20"
    page.wait_for_function("(text) => document.querySelector('.command').textContent === text", arg=command)
    page.wait_for_selector(".viewer[data-stage=full]:not(:has(.activity span))")
    page.click("text=The same by kmq encode")
    page.click("text=Copy")
    page.wait_for_selector("text=Copied")
    assert command == page.evaluate("navigator.clipboard.readText()")
    save(page, "kmq", tmp_path / "saved.kmq")
    shutil.copy(SAMPLES / "chelsea.png", tmp_path)
    succeed(tmp_path, *shlex.split(command)[1:], "--quiet")
    assert Path(tmp_path, "chelsea.kmq").read_bytes() == Path(tmp_path, "saved.kmq").read_bytes()
    page.click("text=More settings")
    page.click("text=Reset to defaults")
    wait_for_numbers(page, "16 colours")
    assert "kmq encode chelsea.png -k 16" == page.text_content(".command")


# What hands do. Drops, pastes and fingers are events as the browser makes them.

DROP = """([where, names, options]) => {
  const data = new DataTransfer();
  for (const [name, bytes] of names) data.items.add(new File([new Uint8Array(bytes)], name));
  if (options.text) data.setData("text/plain", options.text);
  if (options.folder) {
    const item = data.items[0];
    item.webkitGetAsEntry = () => ({ isDirectory: true, name: options.folder });
    Object.defineProperty(data, "items", { value: [item] });
  }
  const target = document.querySelector(where);
  const init = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  if (options.paste) return target.dispatchEvent(new ClipboardEvent("paste", init));
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, init);
    target.dispatchEvent(event);
    if (!event.defaultPrevented) return type;
  }
}"""


def test_page_takes_files_that_are_dropped_or_pasted(open_page: Callable[[], Any]) -> None:
    """A file may be dropped anywhere, and pasted; of what cannot be opened, a sentence says why."""
    page = open_page()
    picture = list(to_png(photo()))

    def drop(where: str, *names: str, **options: Any) -> None:
        page.evaluate(DROP, [where, [[name, picture] for name in names], options])

    def wait_for_name(name: str) -> None:
        page.wait_for_function(
            "(name) => document.querySelector('.name').textContent.includes(name)", arg=name
        )
        wait_for_numbers(page, "16 colours")
        assert 0 == page.get_by_role("alert").count()

    drop(".frame", "frame.png")
    wait_for_name("frame.png")
    drop("h1", "title.png")
    wait_for_name("title.png")
    drop("h1", "clipboard.png", paste=True)
    wait_for_name("clipboard.png")
    drop(".frame", "one.png", "other.png")
    page.wait_for_selector("[role=alert]:has-text('2 files were dropped: here it is one at a time.')")
    drop(".frame", "pictures", folder="pictures")
    page.wait_for_selector("[role=alert]:has-text('pictures is a folder.')")
    drop(".frame", text="words")
    page.wait_for_selector("[role=alert]:has-text('What was dropped is no file.')")
    page.click("[aria-label='Dismiss the message']")
    assert "file" == page.evaluate("document.activeElement.type")
    # Where a text can be typed, it can be dropped.
    assert "dragenter" == page.evaluate(DROP, ["#k-number", [], {"text": "8"}])
    assert "clipboard.png" in page.text_content(".name")


def get_box(page: Any, selector: str) -> dict[str, float]:
    """Return where an element is."""
    box: dict[str, float] = page.locator(selector).bounding_box()
    return box


RESULT = "canvas[aria-label=Result]"


def test_page_follows_the_mouse(open_page: Callable[[], Any]) -> None:
    """The wheel zooms to the pointer; the picture is dragged, not beyond its end; so is the divider."""
    page = open_page()
    frame = get_box(page, ".frame")
    fitted = get_box(page, RESULT)
    x, y = frame["x"] + 100, frame["y"] + 120

    def find() -> tuple[float, float]:
        """Return what part of the picture is under the pointer."""
        box = get_box(page, RESULT)
        return (x - box["x"]) / box["width"], (y - box["y"]) / box["height"]

    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.wait_for_function("() => document.querySelector('canvas').clientWidth > 2 * 450")
    before = find()
    page.mouse.wheel(0, -100)
    page.wait_for_function("() => document.querySelector('canvas').clientWidth > 4 * 450")
    assert np.allclose(before, find(), atol=0.003)
    # Dragged, it goes along; and no farther than to its corner.
    start = get_box(page, RESULT)
    page.mouse.down()
    page.mouse.move(x + 10, y + 20)
    moved = get_box(page, RESULT)
    assert [10, 20] == [moved["x"] - start["x"], moved["y"] - start["y"]]
    page.mouse.move(x + 4000, y + 4000)
    moved = get_box(page, RESULT)
    assert [frame["x"], frame["y"]] == [moved["x"], moved["y"]]
    page.mouse.up()
    page.mouse.dblclick(x, y)
    assert fitted == get_box(page, RESULT)
    page.mouse.dblclick(x, y)
    assert 2 * fitted["width"] <= get_box(page, RESULT)["width"]
    # The divider goes by as much as the pointer, wherever it was taken; and no farther than the frame.
    middle = frame["x"] + frame["width"] / 2
    page.mouse.move(middle + 5, y)
    page.mouse.down()
    page.mouse.move(middle + 5 + frame["width"] / 4, y)
    assert "75" == page.get_attribute(".divider", "aria-valuenow")
    page.mouse.move(5000, y)
    page.mouse.up()
    assert "100" == page.get_attribute(".divider", "aria-valuenow")
    # All of it is seen again in a smaller window.
    page.keyboard.press("0")
    page.set_viewport_size({"width": 700, "height": 500})
    page.wait_for_function("() => document.querySelector('canvas').clientWidth < 450")


def test_page_follows_fingers(open_page: Callable[..., Any]) -> None:
    """Two fingers zoom and move, from where the whole picture is shown, on; what lies between them, stays."""
    page = open_page(viewport={"width": 390, "height": 800}, has_touch=True, device_scale_factor=2)
    frame = get_box(page, ".frame")
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    fitted = get_box(page, RESULT)
    width = fitted["width"]
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def pinch(*spreads: int) -> None:
        touch("touchStart", (x - spreads[0], y - spreads[0]))
        touch("touchStart", (x - spreads[0], y - spreads[0]), (x + spreads[0], y + spreads[0]))
        for spread in spreads[1:]:
            touch("touchMove", (x - spread, y - spread), (x + spread, y + spread))

    page.evaluate(
        """() => { window.fingers = [];
        window.addEventListener("pointerdown", (event) => window.fingers.push(event.pointerId)); }"""
    )
    pinch(30, 35, 40, 50, 60, 75, 90)
    page.wait_for_function(
        "(width) => document.querySelector('canvas').clientWidth > 2.9 * width", arg=fitted["width"]
    )
    large = get_box(page, RESULT)
    assert abs(3 * width - large["width"]) < 3
    assert abs(large["x"] + large["width"] / 2 - x) < 2
    # One of them goes, which cannot be had from the protocol alone; the other one moves on.
    page.evaluate(
        """() => document.querySelector(".frame").dispatchEvent(
        new PointerEvent("pointerup", { pointerId: window.fingers.at(-1), bubbles: true }))"""
    )
    touch("touchMove", (x - 70, y - 90), (x + 90, y + 90))
    page.wait_for_function(
        "(left) => document.querySelector('canvas').getBoundingClientRect().x > left + 15", arg=large["x"]
    )
    touch("touchEnd")
    moved = get_box(page, RESULT)
    # Browsers guess where a finger is by now.
    assert 15 < moved["x"] - large["x"] < 35
    assert moved["width"] == large["width"]
    # And back; never beyond what the page can show.
    pinch(90, 60, 30, 10)
    touch("touchEnd")
    page.wait_for_function(
        "(width) => document.querySelector('canvas').clientWidth <= width", arg=fitted["width"]
    )
    page.click("text=Fit")
    assert fitted == get_box(page, RESULT)
    # A pixel of the picture is one of the screen, or so many: squares stay square.
    page.click("text=1:1")
    box = get_box(page, RESULT)
    assert [451 / 2, 300 / 2] == [box["width"], box["height"]]
    page.focus(".frame")
    for _ in range(3):
        page.keyboard.press("+")
    style = page.evaluate("document.querySelector('canvas').style.cssText")
    left, top, *size = (float(n) for n in re.findall(r": (-?[\d.]+)px", style))
    assert [451 * 2, 300 * 2] == size
    assert [0, 0] == [2 * left % 1, 2 * top % 1]


def test_page_shows_work_that_takes_time(open_page: Callable[[], Any]) -> None:
    """While a result is not there yet, the page says so."""
    page = open_page()
    page.evaluate(
        """() => { window.seen = new Set();
        new MutationObserver(() => window.seen.add(document.querySelector(".numbers").className))
          .observe(document.querySelector(".numbers"), { attributes: true }); }"""
    )
    page.check("input[name=coding][value=context]", force=True)
    page.wait_for_selector(".activity span", state="attached")
    page.wait_for_function("() => [...window.seen].some((name) => name.includes('stale'))")
    wait_for_numbers(page, "16 colours")
    page.wait_for_selector(".activity span", state="detached")
    page.wait_for_selector(".numbers:not(.stale)")


def test_page_serves_those_who_impose_colors(open_page: Callable[[], Any]) -> None:
    """With forced colours, swatches keep theirs, and what is chosen differs from what is not."""
    page = open_page()
    page.emulate_media(forced_colors="active")
    colors = page.evaluate(
        """() => [...document.querySelectorAll(".swatch")].map((e) => getComputedStyle(e).backgroundImage)"""
    )
    assert 16 == len({color for color in colors if "gradient" in color})
    chosen, other = page.evaluate(
        """() => [":checked", ":not(:checked)"].map((state) =>
        getComputedStyle(document.querySelector(`.segments ${state} + span`)).backgroundColor)"""
    )
    assert chosen != other


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


@pytest.mark.parametrize(
    ("port", "headers", "expected"),
    [
        (8080, [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], True),
        (8080, [("host", "localhost:8080")], True),
        (8080, [], False),
        (8080, [("host", "127.0.0.1")], False),
        (80, [("host", "127.0.0.1"), ("origin", "http://127.0.0.1")], True),
        (8080, [("host", "evil.example"), ("host", "127.0.0.1:8080")], False),
        (8080, [("host", "127.0.0.1:8080"), ("origin", "https://127.0.0.1:8080")], False),
        (8080, [("host", "127.0.0.1:8080"), ("origin", "null")], False),
        (8080, [("host", "127.0.0.1:8080"), ("origin", "http://[")], False),
        (
            80,
            [("host", "localhost"), ("origin", "http://evil.example"), ("origin", "http://localhost")],
            False,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_guard(kind: str, port: int, headers: list[tuple[str, str]], expected: bool) -> None:
    """Only what names this server, once, as browsers do, and comes from its pages or from none, passes."""
    pytest.importorskip("nicegui")
    from kmcodec.studio.server import Guard

    passed, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def send(message: Any) -> None:
        sent.append(message.get("status", message.get("code")))

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers]}
    # There is nothing to wait for, and thus no need of a loop.
    with pytest.raises(StopIteration):
        Guard(app, port)(scope, None, send).send(None)  # type: ignore[arg-type]
    refusal = {"http": [403, None], "websocket": [1008]}[kind]
    assert ([scope], []) == (passed, sent) if expected else ([], refusal) == (passed, sent)


def find_tab(address: str) -> str:
    """Return the path of a tab that is made for this."""
    path = "/" + address.split("/", 3)[3]
    tab = re.search(r"tabs/[\w-]+", ask(address, path)[1].decode())
    assert tab is not None
    return path + tab[0]


def test_page_takes_no_file_that_is_too_large(address: str) -> None:
    """A file above the limit is refused while it comes."""
    status, message = ask(
        address, f"{find_tab(address)}/file?name=x", method="POST", body=bytes((64 << 20) + 1)
    )
    assert (413, b"more than the 64 MiB that can be opened here.") == (status, message)


def start_upload(address: str, tab: str) -> socket.socket:
    """Send the beginning of a file."""
    host, port = address.split("/")[2].split(":")
    connection = socket.create_connection((host, int(port)), SECONDS)
    head = f"POST {tab}/file?name=x HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100000\r\n\r\n"
    connection.sendall(head.encode() + bytes(1000))
    return connection


def test_page_forgets_uploads(address: str) -> None:
    """A file that does not come to its end is no error; one that is overtaken is not read on."""
    tab = find_tab(address)
    start_upload(address, tab).close()
    with start_upload(address, tab) as slow:
        # Until it has begun, it cannot be overtaken.
        assert 200 == ask(address, address[address.index("/", 8) :])[0]
        assert 204 == ask(address, f"{tab}/file?name=x.png", method="POST", body=to_png(photo()))[0]
        slow.sendall(bytes(1000))
        assert slow.recv(100).startswith(b"HTTP/1.1 204 ")


def test_tabs_that_are_closed_are_forgotten(open_page: Callable[[], Any], address: str) -> None:
    """When a page is left, its pictures are given up at once, and not when it could have come back."""
    page = open_page()
    base = page.evaluate("document.querySelector('[data-save]').pathname").rsplit("/save", 1)[0]
    original = f"{address.rsplit('/', 2)[0]}{base}/original"
    assert page.request.get(original).ok
    page.goto("about:blank")
    for _ in range(100):
        if not page.request.get(original).ok:
            break
        page.wait_for_timeout(50)
    assert 404 == page.request.get(original).status


def test_page_tells_that_the_studio_has_ended(browser: Any) -> None:
    """A page whose studio has ended says so, aloud where pages are read out."""
    with serving("--no-browser") as (process, address):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".invitation")
        process.send_signal(signal.SIGINT)
        page.get_by_role("alert").get_by_text("kmq studio does not answer. Is it still running?").wait_for()
        page.close()


def test_command_fails_in_words(tmp_path: Path) -> None:
    """A file that is missing, and a port that is taken, are errors of one line."""
    pytest.importorskip("nicegui")
    assert "kmq: missing.png: No such file or directory\n" == fail(tmp_path, "studio", "missing.png")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
        message = fail(tmp_path, "studio", "--no-browser", "--port", str(port))
    assert f"kmq: port {port}: Address already in use\n" == message


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 0), ("SIGHUP", 129)])
def test_it_ends_at_once(name: str, status: int) -> None:
    """A signal, even twice, ends it without a word, though a file is being sent to it and it is at work."""
    pytest.importorskip("nicegui")
    with serving("--no-browser") as (process, address):
        tab = find_tab(address)
        assert 204 == ask(address, f"{tab}/file?name=x", method="POST", body=to_png(photo(1000, 1500)))[0]
        with start_upload(address, tab):
            process.send_signal(getattr(signal, name))
            process.send_signal(getattr(signal, name))
            output = process.communicate(timeout=SECONDS)
    assert (status, ("", "")) == (process.returncode, output)


@pytest.mark.skipif(os.name == "nt", reason="programs are found otherwise")
def test_browsers_are_given_an_address_for_once(tmp_path: Path) -> None:
    """What other users see in the list of processes opens nothing, once the browser has asked for it."""
    pytest.importorskip("nicegui")
    browser, given = tmp_path / "browser", tmp_path / "given"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(given)!r}, 'a').write(sys.argv[1] + '\\n')\n"
    )
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    with serving(env={**os.environ, "BROWSER": str(browser)}) as (process, address):
        while not given.exists() or not given.read_text().endswith("\n"):
            assert process.poll() is None
        ticket = given.read_text().strip()
        token = address.split("/")[3]
        assert token not in ticket
        path = "/" + ticket.split("/", 3)[3]
        with contextlib.closing(
            http.client.HTTPConnection(ticket.split("/")[2], timeout=SECONDS)
        ) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            assert (303, f"/{token}/") == (response.status, response.getheader("Location"))
        assert 410 == ask(address, path)[0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_page_without_an_address_is_an_error(tmp_path: Path) -> None:
    """Where the address cannot be printed, that is said, and not that something were wrong with a port."""
    pytest.importorskip("nicegui")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [KMQ, "studio", "--no-browser"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
    assert (1, "kmq: standard output: No space left on device\n") == (done.returncode, done.stderr)


def test_an_old_nicegui_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a NiceGUI that lacks what is needed, its version is told, and how to get another."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.24.2")
    assert 1 == main(["studio", "--no-browser"])
    message = (
        "kmq: kmq studio needs NiceGUI 3.7 or later, found 2.24.2: pip install --upgrade 'kmcodec[studio]'\n"
    )
    assert message == capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_names_of_files_are_text_in_the_page() -> None:
    """A name that is no valid text, or in a URL, is shown as far as it is."""
    from kmcodec.cli.studio import _find_name

    names = [_find_name(path) for path in ("a/\udcff.png", "https://a.example/b/c%20d.png?e", "-")]
    assert ["\N{REPLACEMENT CHARACTER}.png", "c d.png", "standard input"] == names
