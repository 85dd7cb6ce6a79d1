"""The page of the studio, and what its scripts ask the server for.

Owns what is shown where. A tab has a session of its own, which ends with it; what the session tells, from its
threads, is shown in the tab's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from fastapi import Request, Response
from nicegui import Client, app, ui
from nicegui.elements.mixins.text_element import TextElement
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from kmcodec.errors import KmqError
from kmcodec.metrics import HINT, has_scikit_image
from kmcodec.palettes.colors import list_colors
from kmcodec.report.plots import locate_colors, to_opaque
from kmcodec.studio import session as model
from kmcodec.studio.session import Numbers, Session, Settings

#: Bytes of a file that may be opened.
MOST_BYTES = 64 << 20

# What is shown where there is no number.
_NOTHING = "\N{EN DASH}"

_FAREWELL = """<script>
addEventListener("pagehide", ({ persisted }) => { if (!persisted) navigator.sendBeacon(%s); });
</script>"""

# Points of the colour space that are drawn.
_MOST_POINTS = 2000
_MOST_CENTROIDS = 1024

_ACCEPT = "image/*,.kmq,.npy,.jxl,.avif,.tif,.tiff"

_NUMBERS = (
    ("bits", "Bits per pixel"),
    ("ratio", "Ratio to raw pixels"),
    ("psnr", "PSNR"),
    ("ssim", "SSIM"),
    ("delta", "Delta E, mean"),
    ("delta95", "Delta E, 95 %"),
)


# What is meant by settings and numbers, in the order in which they stand on the page.
_TERMS = (
    ("Colours, K", "the clusters of k-means, and so the colours of the palette"),
    ("Distances in", "sRGB gives the least squared error, Oklab the least difference to the eye"),
    ("Start", "the first centroids: clusters are split; or chosen by chance, which the seed decides"),
    ("Dithering", "mixes neighbouring pixels, where a colour is between those of the palette"),
    ("Coding", "packed takes ceil(log2 K) bits a pixel; context as few as it can, and more time"),
    ("Effort", "how long to look for a lower error"),
    (
        "Lossy",
        "with context coding, takes other colours where that saves bits: 5 can hardly be seen, 100 can",
    ),
    ("Bits per pixel", "of the whole file; raw pixels take 24, with alpha 32"),
    ("PSNR", "the squared error, in decibels: more is better, and above 40 little is seen"),
    ("SSIM", "likeness of structures: 1 is the same"),
    (
        "Delta E",
        "difference to the eye, CIEDE2000: below 1 is not seen; 95 % of the pixels are below the last",
    ),
)


class Start(NamedTuple):
    """Hold a file that each new tab opens."""

    name: str
    data: bytes


class Viewer(ui.element, component="viewer.js"):
    """Show original and result under a slider."""


class Controls(ui.element, component="controls.js"):
    """Take settings."""


class Palette(ui.element, component="palette.js"):
    """Show the palette, and take colours to lock or change."""


class Stepper(ui.element, component="stepper.js"):
    """Take the number of an iteration."""


# Those that are open, by what stands in their addresses.
_tabs: dict[str, _Tab] = {}


def build_routes(start: Start | None) -> None:
    """Tell NiceGUI's app what there is."""

    @ui.page("/", title="kmq studio", dark=None)
    def build_page(client: Client, request: Request) -> None:
        tab = _Tab(client, request.scope.get("root_path", ""))
        _tabs[tab.id] = tab
        client.on_delete(tab.close)
        if start is not None:
            client.on_connect(lambda: tab.open_first(start))

    @app.get("/files/{name}")
    def send_script(name: str) -> Response:
        scripts = {"kmq.js": "kmcodec.web", "decoder.js": "kmcodec.studio"}
        if name not in scripts:
            return Response(status_code=404)
        script = resources.files(scripts[name]).joinpath(name).read_bytes()
        return Response(script, media_type="text/javascript")

    @app.post("/tabs/{tab_id}/file")
    async def take_file(tab_id: str, name: str, request: Request) -> Response:
        tab = _tabs.get(tab_id)
        if tab is None:
            return _say("this page is out of date; load it again.", 404)
        # Of files that come at once, the one is wanted that began last.
        upload = tab.upload = object()
        data = bytearray()
        try:
            async for chunk in request.stream():
                data += chunk
                if tab.upload is not upload:
                    return Response(status_code=204)
                if len(data) > MOST_BYTES:
                    return _say(f"more than the {MOST_BYTES >> 20} MiB that can be opened here.", 413)
        except ClientDisconnect:
            # Nobody is there to be told.
            return Response(status_code=400)
        message = await tab.open(tab.session.open_file, name, bytes(data))
        return Response(status_code=204) if message is None else _say(message, 422)

    @app.post("/tabs/{tab_id}/close")
    def close_tab(tab_id: str) -> Response:
        tab = _tabs.get(tab_id)
        if tab is not None:
            tab.close()
        return Response(status_code=204)

    @app.get("/tabs/{tab_id}/original")
    def send_original(tab_id: str) -> Response:
        tab = _tabs.get(tab_id)
        pixels = None if tab is None else tab.session.original
        return Response(status_code=404) if pixels is None else _send(pixels.tobytes())

    @app.get("/tabs/{tab_id}/results/{version}")
    def send_result(tab_id: str, version: int) -> Response:
        tab = _tabs.get(tab_id)
        result = None if tab is None else tab.session.get_result(version)
        return Response(status_code=404) if result is None else _send(result.data)

    @app.get("/tabs/{tab_id}/save/{version}.{suffix}")
    def save_result(tab_id: str, version: int, suffix: str) -> Response:
        tab = _tabs.get(tab_id)
        result = None if tab is None else tab.session.get_result(version)
        if result is None or suffix not in ("kmq", "png"):
            return Response(status_code=404)
        name = f"{result.name}.{suffix}"
        if suffix == "kmq":
            return _send(result.data, "image/x-kmq", name)
        return _send(result.encode_png(), "image/png", name)


def _say(message: str, status: int) -> Response:
    return Response(message, status, media_type="text/plain")


def _send(data: bytes, media_type: str = "application/octet-stream", name: str | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if name is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(data, media_type=media_type, headers=headers)


class _Tab:
    """Show what a session tells in one tab of a browser."""

    def __init__(self, client: Client, root: str) -> None:
        self.id = secrets.token_urlsafe(12)
        self._client = client
        self._loop = asyncio.get_running_loop()
        self.session = Session(self._tell)
        self._base = f"{root}/tabs/{self.id}"
        self._settings = Settings()
        # The version of what is shown, and its stage; none if that is about to be replaced.
        self._stages: dict[int, str] = {}
        # The number of the picture, or .kmq file, that is shown.
        self._n_shown = 0
        # The newest that is on its way.
        self.upload: object | None = None
        self._is_started = False
        self._shown: dict[str, bool] = {}
        self._image: Any = None
        self._source_bytes = 0
        # Of the picture that was opened last.
        self._name = ""
        self._is_damaged = False
        self._build()

    def close(self) -> None:
        """Forget all."""
        _tabs.pop(self.id, None)
        self.upload = None
        self.session.close()

    # --- The page.

    def _build(self) -> None:
        ui.add_css(resources.files("kmcodec.studio").joinpath("style.css").read_text(encoding="utf-8"))
        ui.add_head_html('<meta name="color-scheme" content="light dark">')
        # One whose connection is lost is waited for; this one does not come back.
        ui.add_head_html(_FAREWELL % json.dumps(f"{self._base}/close"))
        with ui.element("div").classes("studio"):
            with ui.element("header"):
                _Text("h1", "kmq studio")
                _Text("p", "Pictures in few colours, chosen by k-means").classes("small")
            self._viewer = Viewer()
            self._viewer.props["base"] = self._base
            self._viewer.props["accept"] = _ACCEPT
            self._viewer.props["most-bytes"] = MOST_BYTES
            with ui.element("div").classes("panel"):
                self._controls = Controls()
                self._controls.props["start"] = {
                    name: value
                    for name, value in self._settings._asdict().items()
                    if name not in ("locked", "replaced")
                }
                self._controls.on("settings", lambda event: self._change(event.args))
                self._build_numbers()
                self._contents = ui.element("section").classes("contents").props('aria-label="The file"')
                self._contents.set_visibility(False)
            self._numbers.set_visibility(False)
            self._palette = Palette()
            self._palette.on("colors", lambda event: self._change_colors(**event.args))
            self._studies = ui.element("div").classes("studies")
            with self._studies:
                self._build_space()
                self._build_curve()
                self._build_iterations()
            self._studies.set_visibility(False)
            with ui.element("details").classes("more help"):
                _Text("summary", "What all this means")
                with ui.element("dl").classes("rows"):
                    for term, meaning in _TERMS:
                        with ui.element("div"):
                            _Text("dt", term)
                            _Text("dd", meaning)

    def _build_numbers(self) -> None:
        self._values = {}
        with (
            ui.element("section").classes("numbers").props('aria-labelledby="numbers-title"') as self._numbers
        ):
            with ui.element("div").classes("bar"):
                self._numbers_title = _Text("h2", "Result").props("id=numbers-title")
                with ui.element("span").classes("group"):
                    self._saves = {
                        suffix: ui.element("a").classes("button").props(f'download data-save="{suffix}"')
                        for suffix in ("kmq", "png")
                    }
                    self._saves["kmq"].classes("primary")
                    for suffix, link in self._saves.items():
                        with link:
                            ui.label(f"Save .{suffix}" if suffix == "kmq" else "Save PNG")
                        link.set_visibility(False)
            with ui.element("div").classes("saving") as self._saving:
                for keys in ("size", "saving"), ("original", "source"):
                    with ui.element("p"):
                        for key in keys:
                            self._values[key] = _Text("span", _NOTHING).props(f'data-number="{key}"')
            with ui.element("dl") as self._list:
                for key, label in _NUMBERS:
                    with ui.element("div"):
                        _Text("dt", label)
                        self._values[key] = _Text("dd", _NOTHING).props(f'data-number="{key}"')
            # For those who hear the page: one sentence when all is known, rather than each number.
            self._status = _Text("p", "").classes("unseen").props('role="status"')
            self._notes = _Text("p", "").classes("small")
            with ui.element("details").classes("more") as self._command_part:
                _Text("summary", "The same by kmq encode")
                with ui.element("div").classes("inner"):
                    self._command = _Text("code", "").classes("command")
                    self._command_note = _Text("p", "").classes("small")
                    with ui.element("button").props("type=button").on("click", js_handler=_COPY):
                        ui.label("Copy")

    def _build_details(self, name: str, title: str) -> ui.element:
        """Return a part that is folded, and for which nothing is computed, or loaded, until it is opened."""
        details = ui.element("details").classes("study").props(f'data-study="{name}"')

        def toggle(is_open: bool, has_webgl: bool) -> None:
            self._shown[name] = is_open
            self._has_webgl = has_webgl
            if is_open:
                self._study(name)

        details.on("toggle", lambda event: toggle(*map(bool, event.args)), js_handler=_TELL_TOGGLE)
        with details:
            _Text("summary", title)
        return details

    def _build_space(self) -> None:
        self._sample: Any = None
        self._space: ui.echart | None = None
        with self._build_details("space", "Colours in space"):
            with ui.element("div") as self._space_parts:
                self._space_place = ui.element("div").classes("chart").props("role=img tabindex=0")
                self._space_place.props["aria-label"] = "Colours in space"
                self._space_place.on("keydown", js_handler=_turn("TURNS[event.key]"))
                with ui.element("span").classes("group").props('role="group" aria-label="Turn"'):
                    for sign, direction in (("←", "Left"), ("→", "Right"), ("↑", "Up"), ("↓", "Down")):
                        button = ui.element("button").props("type=button")
                        button.props["aria-label"] = f"Turn {direction.lower()}"
                        button.on("click", js_handler=_turn(f"TURNS.Arrow{direction}"))
                        with button:
                            ui.label(sign)
            self._space_text = _Text(
                "p", "Small: colours of the original. Large: those of the palette, by their share."
            ).classes("small")

    def _build_curve(self) -> None:
        self._traced: model.Traced | None = None
        self._curve: ui.echart | None = None
        with self._build_details("curve", "How many colours"):
            self._curve_place = ui.element("div").classes("chart").props("role=img")
            self._curve_place.props["aria-label"] = "How many colours"
            self._curve_text = _Text("p", "").classes("small")

    def _build_iterations(self) -> None:
        with self._build_details("iterations", "Iterations of k-means"):
            self._stepper = Stepper()
            self._stepper.on("step", lambda event: self._show_iteration(int(event.args)))
            _Text(
                "p", "The picture shows the centroids of that iteration; the end is the result again."
            ).classes("small")
            self._n_iterations = 0

    # --- What the user does.

    def open_first(self, start: Start) -> None:
        """Open the file of the command line, once."""
        if not self._is_started:
            self._is_started = True

            async def open_it() -> None:
                message = await self.open(self.session.open_file, start.name, start.data)
                if message is not None:
                    self._viewer.run_method("tell", f"{start.name}: {message}")

            # Kept, since the loop would not.
            self._opening = asyncio.get_running_loop().create_task(open_it())

    async def open(self, do: Callable[..., None], *arguments: Any) -> str | None:
        """Let the session open something, in a thread; return what is wrong, in a sentence, or None."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, do, *arguments)
        except KmqError as error:
            return f"{error}."
        except MemoryError:
            return "there is not enough memory for it."
        return None

    async def _compress_again(self) -> None:
        message = await self.open(self.session.compress_again)
        if message is not None:
            self._viewer.run_method("tell", message)

    def _change(self, values: Mapping[str, Any]) -> None:
        """Take settings, or those of colours, as the page sends them."""
        try:
            self._settings = Settings.read({**self._settings._asdict(), **values})
        except (KeyError, TypeError, ValueError) as error:
            self._viewer.run_method("tell", f"{error}.")
            return
        self._viewer.run_method("work")
        self._numbers.classes(add="stale")
        # What is on its way was measured before the move.
        self._stages.clear()
        self.session.set(self._settings)
        self._show_command()
        if self._traced is not None and self._traced.space == self._settings.space:
            self._draw_curve()
        elif self._shown.get("curve"):
            self._study("curve")
        if self._shown.get("iterations"):
            self._study("iterations")

    def _change_colors(self, shown: int, **colors: Any) -> None:
        """Take colours, unless they are of the picture before: the page may be a moment behind."""
        if shown == self._n_shown:
            self._change(colors)

    def _study(self, name: str) -> None:
        if name == "curve":
            self._curve_text.set_text("…")
            self.session.trace_curve()
        elif name == "iterations":
            self.session.trace_iterations()
        elif name == "space":
            self._draw_space()

    def _show_iteration(self, number: int) -> None:
        if number < self._n_iterations:
            self.session.show_iteration(number)
        else:
            self.session.set(self._settings)

    # --- What the session tells.

    def _tell(self, event: model.Event) -> None:
        # The loop may have ended before the thread.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._show, event)

    def _show(self, event: model.Event) -> None:
        if self.id not in _tabs:
            return
        with self._client:
            getattr(self, f"_show_{type(event).__name__.lower()}")(event)

    def _show_failed(self, event: model.Failed) -> None:
        self._viewer.run_method("tell", f"{event.message}.")

    def _show_opened(self, event: model.Opened) -> None:
        facts = f"{event.width:,} x {event.height:,}, {event.n_colors:,} colours"
        self._viewer.run_method("load", event.name, facts, event.width, event.height, event.channels)
        self._start_anew()
        self._name, self._source_bytes = event.name, event.source_bytes
        self._is_damaged &= event.name.endswith(".kmq")
        # A move between the session's change to this picture and now had the colours of the one before.
        if self.session.settings != self._settings:
            self.session.set(self._settings)
        self._show_command()
        notes = event.notes if has_scikit_image() else (*event.notes, HINT)
        self._notes.set_text(" ".join(f"{note}." for note in notes))
        self._set_mode(is_file=False)
        for name in ("curve", "iterations"):
            if self._shown.get(name):
                self._study(name)

    def _show_inspected(self, event: model.Inspected) -> None:
        self._viewer.run_method("load", event.name, "", 0, 0, 0)
        self._start_anew()
        if event.faults:
            self._viewer.run_method("tell", f"{event.name}: {' '.join(event.faults)}")
        self._is_damaged = bool(event.faults)
        self._set_mode(is_file=True)
        self._contents.clear()
        with self._contents:
            _Text("h2", "What is in the file" if event.rows else "What could be saved of the file")
            button = ui.element("button").props("type=button").classes("button")
            button.on("click", self._compress_again)
            with button:
                ui.label("Compress these pixels again")
            with ui.element("dl").classes("rows"):
                for label, value in event.rows:
                    with ui.element("div"):
                        _Text("dt", label)
                        _Text("dd", value)

    def _set_mode(self, *, is_file: bool) -> None:
        """Show what there is to say of a .kmq file, or what can be done with a picture."""
        self._contents.set_visibility(is_file)
        self._numbers_title.set_text("File" if is_file else "Result")
        self._numbers.set_visibility(True)
        for part in (self._controls, self._studies, self._saving, self._list, self._command_part):
            part.set_visibility(not is_file)

    def _start_anew(self) -> None:
        self._stages.clear()
        self._n_shown += 1
        # Colours of another picture mean nothing here.
        self._settings = self._settings._replace(locked=(), replaced=())
        self._palette.run_method("forget", self._n_shown)
        self._sample = self._traced = self._image = None
        self._n_iterations = 0
        self._stepper.run_method("load", [])
        self._notes.set_text("")
        for label in self._values.values():
            label.set_text(_NOTHING)
        for link in self._saves.values():
            link.set_visibility(False)

    def _show_result(self, event: model.Result) -> None:
        # What a move has overtaken is shown all the same, so that something moves; but not its numbers.
        is_overtaken = event.settings != self._settings
        self._stages = {} if is_overtaken else {event.version: event.stage}
        k = len(event.image.palette)
        caption = f"{k:,} colours" if k != 1 else "1 colour"
        if event.stage == "preview":
            caption += ", preview"
        elif event.stage == "iteration":
            caption += ", iteration"
        is_slow = event.stage == "full" and event.settings.coding == "context"
        self._viewer.run_method("show", event.version, event.stage, caption, is_slow)
        self._image = event.image
        is_final = event.stage in ("full", "file")
        for suffix, link in self._saves.items():
            if is_final:
                link.props(f'href="{self._base}/save/{event.version}.{suffix}"')
            link.set_visibility(is_final)
        if event.stage == "iteration":
            for label in self._values.values():
                label.set_text(_NOTHING)
        if event.stage in ("full", "iteration") and self._shown.get("space"):
            self._draw_space()

    def _show_measured(self, event: model.Measured) -> None:
        stage = self._stages.get(event.version)
        # Numbers of what is no longer shown would be taken for those of what is.
        if stage is None:
            return
        self._numbers.classes(remove="stale")
        numbers = _format(event.numbers, self._source_bytes, is_preview=stage == "preview")
        for key, value in numbers.items():
            self._values[key].set_text(value)
        if event.numbers.is_complete:
            known = ", ".join(numbers[key] for key in ("size", "saving", "psnr"))
            self._status.set_text(f"{event.numbers.colors} colours: {known}")

    def _show_sampled(self, event: model.Sampled) -> None:
        colors = event.colors
        self._sample = colors[:: -(-len(colors) // _MOST_POINTS) or 1]
        if self._shown.get("space"):
            self._draw_space()

    def _show_traced(self, event: model.Traced) -> None:
        self._traced = event
        self._draw_curve()

    def _show_iterated(self, event: model.Iterated) -> None:
        self._n_iterations = len(event.errors)
        self._stepper.run_method("load", event.errors)

    def _draw_curve(self) -> None:
        """Draw the curve, and lines at today's K and at the elbow."""
        if self._traced is None or not self._shown.get("curve"):
            return
        k, elbow = self._settings.n_colors, self._traced.elbow
        points = list(zip(self._traced.n_colors, self._traced.psnr_db, strict=True))
        beyond = ", beyond the curve" if k > _CURVE["xAxis"]["max"] else ""
        text = f"The elbow of the error is at {elbow} colours; K is {k:,} now{beyond}."
        self._curve_text.set_text(text)
        values = ", ".join(f"{psnr_db:.1f} dB at {n_colors}" for n_colors, psnr_db in points)
        self._curve_place.props["aria-label"] = f"PSNR by the number of colours: {values}. {text}"
        now = {"xAxis": k, "lineStyle": {"type": "solid"}, "label": {"formatter": f"K = {k}"}}
        label = {"formatter": "elbow", "position": "insideStartBottom"}
        lines = [now, {"xAxis": elbow, "lineStyle": {"type": "dashed"}, "label": label}]
        series = _CURVE["series"][0]
        mark = {**series["markLine"], "data": lines[1:] if beyond else lines}
        options = {
            **_CURVE,
            "series": [{**series, "data": [list(point) for point in points], "markLine": mark}],
        }
        if self._curve is None:
            # As SVG, whose texts have the colours that the style gives them, whichever the theme.
            with self._curve_place:
                self._curve = ui.echart(options, renderer="svg")
        else:
            self._curve.options.update(options)
            self._curve.update()

    def _draw_space(self) -> None:
        if not self._has_webgl:
            self._space_text.set_text(
                "This browser has no WebGL to draw them with; kmq plot rgb draws them, too."
            )
            self._space_parts.set_visibility(False)
            return
        counts = self._count_pixels()
        series = [{**each} for each in _SPACE["series"]]
        space = "rgb" if self._settings.space == "srgb" else "oklab"
        if self._sample is not None:
            series[0]["data"] = _list_points(self._sample, space, np.full(len(self._sample), 3.0))
        if self._image is not None and len(self._image.palette) <= _MOST_CENTROIDS:
            sizes = 7 + 40 * np.sqrt(counts / counts.sum())
            series[1]["data"] = _list_points(to_opaque(self._image.palette), space, sizes)
        names = ("R", "G", "B") if space == "rgb" else ("a", "b", "L")
        axes = {f"{axis}Axis3D": {**_AXIS, "name": name} for axis, name in zip("xyz", names, strict=True)}
        self._space_place.props["aria-label"] = self._describe_space(space, counts)
        options = {**_SPACE, **axes, "series": series}
        if self._space is None:
            with self._space_place:
                self._space = ui.echart(options, enable_3d=True)
        else:
            # It stays as it was turned.
            self._space.options.pop("grid3D", None)
            self._space.options.update({**axes, "series": series})
            self._space.update()

    def _count_pixels(self) -> NDArray[np.intp]:
        """Return how many pixels have each colour of the palette."""
        if self._image is None:
            return np.zeros(0, np.intp)
        return np.bincount(self._image.indices.ravel(), minlength=len(self._image.palette))

    def _describe_space(self, space: str, counts: NDArray[np.intp]) -> str:
        """Return what there is to see of the colours, for those who do not see it."""
        label = f"Colours of the original and of the palette in {'sRGB' if space == 'rgb' else 'Oklab'}."
        if self._image is not None:
            first = [int(index) for index in np.argsort(-counts, kind="stable")[:3]]
            shares = 100 * counts / counts.sum()
            colors = list_colors(self._image.palette[first])
            most = ", ".join(
                f"{color} with {shares[i]:.1f} %" for i, color in zip(first, colors, strict=True)
            )
            label += f" Most pixels have {most}."
        return f"{label} Arrow keys turn it."

    def _show_command(self) -> None:
        name = f"./{self._name}" if self._name.startswith("-") else self._name
        command = ["kmq", "encode", name, *self._settings.to_arguments()]
        note = "It makes the very bytes that are saved here."
        if name.endswith(".kmq"):
            command += ["-o", f"{name.removesuffix('.kmq')}-again.kmq"]
        if self._is_damaged:
            note = "The file is damaged: kmq decode --salvage has to come first."
        elif self._settings.replaced:
            note = "Colours that were changed come out as k-means found them: kmq encode changes none."
        self._command.set_text(shlex.join(command))
        self._command_note.set_text(note)


def _turn(step: str) -> str:
    """Return the script that turns the colours in space by a step, from where a mouse or a key left them."""
    return f"""(event) => {{
        const TURNS = {{ ArrowLeft: [-15, 0], ArrowRight: [15, 0], ArrowUp: [0, 15], ArrowDown: [0, -15] }};
        const step = {step}, place = event.currentTarget.closest(".study").querySelector(".nicegui-echart");
        const chart = place && getElement(+place.id.slice(1)).chart;
        if (!step || !chart || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        const {{ alpha, beta }} = chart.getOption().grid3D[0].viewControl;
        const viewControl = {{ alpha: Math.min(90, Math.max(-90, alpha + step[1])), beta: beta + step[0] }};
        chart.setOption({{ grid3D: {{ viewControl }} }});
    }}"""


# Whether it is open, and whether the browser draws in space.
_TELL_TOGGLE = """({ target }) =>
    emit(target.open, !!document.createElement("canvas").getContext("webgl"))"""

# What may not be copied is selected.
_COPY = """async ({ currentTarget: button }) => {
    const code = button.closest(".inner").querySelector("code");
    try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
        getSelection().selectAllChildren(code);
    }
}"""


class _Text(TextElement):
    """Be an element of any tag that holds a text."""

    def __init__(self, tag: str, text: str) -> None:
        super().__init__(tag=tag, text=text)


def _format(numbers: Numbers, source_bytes: int, *, is_preview: bool) -> dict[str, str]:
    """Return numbers as they are shown, beside those of the original; a sign says which are rough."""
    rough, size = ("≈ " if flag else "" for flag in (numbers.is_rough, numbers.is_size_rough))

    unknown = _NOTHING if numbers.is_complete else "…"

    def show(value: float | None, pattern: str, sign: str = "") -> str:
        return unknown if value is None else sign + format(value, pattern)

    psnr = "exact" if numbers.is_exact else show(numbers.psnr_db, ".2f", rough if is_preview else "") + " dB"
    ratio, source = show(numbers.ratio, ".2f", size), show(numbers.source_ratio, ".2f", size)
    return {
        "size": "…" if numbers.file_bytes is None else f"{size}{numbers.file_bytes:,} bytes",
        "saving": "…" if numbers.file_bytes is None else size + _compare(numbers.file_bytes, source_bytes),
        "original": f"{source_bytes:,} bytes before",
        "bits": show(numbers.bits_per_pixel, ".3f", size),
        "ratio": ratio if numbers.ratio is None else f"{ratio} : 1",
        "source": source if numbers.source_ratio is None else f"{source} : 1",
        "psnr": psnr,
        "ssim": show(numbers.ssim, ".4f", rough),
        "delta": show(numbers.delta_e_mean, ".2f", rough),
        "delta95": show(numbers.delta_e_p95, ".2f", rough),
    }


def _compare(file_bytes: int, source_bytes: int) -> str:
    """Return how much smaller a file is than another."""
    percent = 100 * (1 - file_bytes / source_bytes)
    if percent <= -100:
        return f"{file_bytes / source_bytes:.1f} times larger"
    return f"{abs(percent):.1f} % {'smaller' if percent >= 0 else 'larger'}"


def _list_points(colors: Any, space: str, sizes: Any) -> list[dict[str, Any]]:
    places = locate_colors(colors, space).round(4).tolist()
    return [
        {
            "value": place,
            "symbolSize": round(float(size), 1),
            "itemStyle": {"color": "#" + bytes(color).hex()},
        }
        for place, color, size in zip(places, colors, sizes, strict=True)
    ]


_GREY = "#808488"
_AXIS = {
    "type": "value",
    "axisLine": {"lineStyle": {"color": _GREY}},
    "splitLine": {"lineStyle": {"color": _GREY, "opacity": 0.25}},
    "axisLabel": {"show": False},
    "nameGap": 12,
    # In lines of the usual height, the letters are cut.
    "nameTextStyle": {"color": _GREY, "fontSize": 19, "fontWeight": "bold", "lineHeight": 57},
}
_SPACE: dict[str, Any] = {
    "animation": False,
    "grid3D": {
        "viewControl": {"beta": 40, "alpha": 20, "distance": 220},
        "axisPointer": {"show": False},
        "temporalSuperSampling": {"enable": False},
    },
    "series": [
        {"type": "scatter3D", "data": [], "silent": True, "itemStyle": {"opacity": 0.7}},
        {
            "type": "scatter3D",
            "data": [],
            "silent": True,
            "itemStyle": {"opacity": 1, "borderColor": _GREY, "borderWidth": 1},
        },
    ],
}
_CURVE: dict[str, Any] = {
    "animation": False,
    "grid": {"left": 52, "right": 24, "top": 24, "bottom": 44},
    "xAxis": {
        "type": "log",
        "logBase": 2,
        "min": 2,
        "max": 256,
        "name": "colours",
        "nameLocation": "middle",
        "nameGap": 26,
        "axisLabel": {"color": _GREY},
        "nameTextStyle": {"color": _GREY},
        "splitLine": {"show": False},
    },
    "yAxis": {
        "type": "value",
        "scale": True,
        "name": "PSNR, dB",
        "axisLabel": {"color": _GREY},
        "nameTextStyle": {"color": _GREY},
        "splitLine": {"lineStyle": {"color": _GREY, "opacity": 0.25}},
    },
    "series": [
        {
            "type": "line",
            "data": [],
            "symbolSize": 7,
            "markLine": {"symbol": "none", "silent": True, "data": [], "label": {"color": _GREY}},
        }
    ],
}
