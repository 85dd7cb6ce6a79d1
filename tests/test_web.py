"""The decoder for browsers: under Node, and in a browser; the element; the package."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import json
import re
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import ROOT, SAMPLES, RangeHandler, photo, tiny

import kmcodec
from kmcodec.container.writer import write_image

WEB = ROOT / "web"
VECTORS = ROOT / "spec" / "vectors"
#: What is asked for first: the header, and a palette of 256 colours with alpha.
FIRST_BYTES = 32 + 4 * 256 + 4
README = (WEB / "README.md").read_text(encoding="utf-8")

# Says what came of bytes: the SHA-256 of the pixels, or what was found to be wrong.
TELL = """
const hex = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
    (byte) => byte.toString(16).padStart(2, "0")).join("");
const tell = async (data, decodeSome = kmq.decode) => {
    try {
        const image = await decodeSome(data);
        return [image.width, image.height, image.hasAlpha, await hex(image.rgba)];
    } catch (error) {
        if (error instanceof kmq.KmqError) return [error.field, error.offset];
        if (error instanceof kmq.LimitError) return ["limit"];
        return [String(error.stack ?? error)];
    }
};
"""


def told(pixels: NDArray[np.uint8]) -> list[Any]:
    """Return what TELL says of pixels."""
    rgba = Image.fromarray(pixels).convert("RGBA").tobytes()
    return [pixels.shape[1], pixels.shape[0], pixels.shape[2] == 4, hashlib.sha256(rgba).hexdigest()]


def expected_of_vectors() -> dict[str, list[Any]]:
    """Return what TELL has to say of each file of the specification's."""
    expected: dict[str, list[Any]] = {}
    for path in sorted(VECTORS.glob("*/*.json")):
        name = path.relative_to(VECTORS).with_suffix(".kmq").as_posix()
        said = json.loads(path.read_text("utf-8"))
        if "breaks" in said:
            expected[name] = [said["field"], said["offset"]]
        elif said.get("limit"):
            expected[name] = ["limit"]
        else:
            with Image.open(path.with_suffix(".png")) as image:
                expected[name] = told(np.asarray(image.convert("RGBA" if said["alpha"] else "RGB")))
    return expected


# Under Node.


@pytest.fixture(scope="module")
def node() -> str:
    """Find Node."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed")
    return path


def run_node(node: str, code: str, *arguments: str, before: str = "", flags: tuple[str, ...] = ()) -> Any:
    """Run code that has kmq, read and tell; return the JSON that it prints."""
    prelude = f"""
        import {{ readFileSync as read }} from "node:fs";
        {before}
        globalThis.crypto ??= (await import("node:crypto")).webcrypto;
        const kmq = await import({json.dumps((WEB / "kmq.js").as_uri())});
        {TELL}
    """
    command = [node, *flags, "--input-type=module", "-e", prelude + code, *arguments]
    process = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    assert (0, "") == (process.returncode, process.stderr)
    return json.loads(process.stdout)


def load_conformance() -> Any:
    """Import spec/conformance.py."""
    spec = importlib.util.spec_from_file_location("conformance", ROOT / "spec" / "conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_conformance(node: str) -> None:
    """The decoder passes the specification's tests, and finds each fault where it is."""
    script = [sys.executable, str(ROOT / "spec" / "conformance.py"), "--offsets"]
    command = [*script, "--", node, str(WEB / "cli.js"), "{in}", "{out}"]
    process = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (0, "") == (process.returncode, process.stderr), process.stdout


def test_info(node: str) -> None:
    """The decoder says what is in each of the specification's files."""
    conformance = load_conformance()
    vectors = conformance.read_vectors()["info"]
    # With one command for all, since Node takes its time to start.
    command = [node, str(WEB / "cli.js"), "--info", *(str(vector.path) for vector in vectors)]
    process = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8")
    for vector, line in zip(vectors, process.stdout.strip().split("\n"), strict=True):
        try:
            found = json.loads(line, parse_int=conformance.whole_number)
        except RecursionError:
            continue  # a recipe that is too deep to be read here, and may be shown
        assert [] == list(conformance.differences(vector.expected, found)), vector.path.name


@pytest.mark.parametrize("coding", ["packed", "context"])
def test_damage(node: str, tmp_path: Path, coding: str) -> None:
    """Every flipped bit of a file, and every file that is cut or goes on, is a KmqError and nothing else."""
    texts = kmcodec.Section(b"text", b"Title\0\0\0A test")
    pixels = photo(12, 16)
    image = kmcodec.quantize(pixels, 7)
    files = [
        write_image(tiny(alpha=True, sections=(texts,)), coding=coding, strip_rows=1),
        write_image(image, coding=coding, strip_rows=5),
    ]
    paths = [str(tmp_path / f"{i}.kmq") for i in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        Path(path).write_bytes(data)
    code = """
        const wrong = [];
        let tried = 0;
        const reject = async (bytes, what) => {
            const said = await tell(bytes);
            if (said.length !== 2) wrong.push([what, said]);
            tried++;
        };
        for (const path of process.argv.slice(1)) {
            const bytes = new Uint8Array(read(path));
            for (let bit = 0; bit < 8 * bytes.length; bit++) {
                bytes[bit >> 3] ^= 1 << (bit & 7);
                await reject(bytes, `bit ${bit} of ${path}`);
                bytes[bit >> 3] ^= 1 << (bit & 7);
            }
            for (let length = 0; length < bytes.length; length++) {
                await reject(bytes.subarray(0, length), `${length} bytes of ${path}`);
            }
            const longer = new Uint8Array(bytes.length + 1);
            longer.set(bytes);
            await reject(longer, `a byte behind ${path}`);
        }
        console.log(JSON.stringify({ wrong, tried }));
    """
    tried = sum(9 * len(data) + 1 for data in files)
    assert {"wrong": [], "tried": tried} == run_node(node, code, *paths)


def test_limits(node: str, tmp_path: Path) -> None:
    """Up to maxPixels are decoded, of one colour an eighth of it; what cannot be data is a TypeError."""
    paths = [tmp_path / "few.kmq", tmp_path / "one.kmq"]
    for path, n_colors in zip(paths, (4, 1), strict=True):
        path.write_bytes(kmcodec.encode(photo(6, 8), n_colors, coding="packed"))
    code = """
        const said = {};
        for (const path of process.argv.slice(1)) {
            for (const maxPixels of [47, 48, 383, 384, Infinity]) {
                const outcome = await tell(read(path), (data) => kmq.decode(data, { maxPixels }));
                (said[maxPixels] ??= []).push(outcome[0]);
            }
        }
        for (const data of ["text", null, [1, 2]]) {
            try { kmq.decode(data); } catch (error) { (said.types ??= []).push(error.name); }
        }
        console.log(JSON.stringify(said));
    """
    expected = {
        "47": ["limit", "limit"],
        "48": [8, "limit"],
        "383": [8, "limit"],
        "384": [8, 8],
        "Infinity": [8, 8],
        "types": ["TypeError"] * 3,
    }
    assert expected == run_node(node, code, *map(str, paths))


def test_same_as_kmcodec(node: str, tmp_path: Path) -> None:
    """Pictures of all depths, in both codings, have the pixels that kmcodec decodes."""
    rng = np.random.default_rng(0)
    expected: list[list[Any]] = []
    for bits in range(17):
        n_colors = max(1, 2**bits - (bits % 3))
        palette = rng.integers(0, 256, (n_colors, 3 + bits % 2), np.uint8)
        indices = np.add.outer(np.arange(23) // 3, np.arange(37) // 5) * 7919 % n_colors
        indices[rng.random(indices.shape) < 0.2] = n_colors - 1
        image = kmcodec.IndexedImage(palette, indices.astype(np.uint8 if n_colors <= 256 else np.uint16))
        for coding in ["packed", "context"][: 1 if bits == 0 else 2]:
            path = tmp_path / f"{len(expected):03}.kmq"
            path.write_bytes(write_image(image, coding=coding, strip_rows=9))
            expected.append(told(image.to_rgb()))
    code = """
        const said = [];
        for (const path of process.argv.slice(1)) said.push(await tell(read(path)));
        console.log(JSON.stringify(said));
    """
    assert expected == run_node(node, code, *map(str, sorted(tmp_path.iterdir())))


def test_module_without_a_browser(node: str, tmp_path: Path) -> None:
    """Under Node decodeAsync decodes without workers, and the module of the element can be imported."""
    pixels = kmcodec.quantize(photo(300, 400), 16)
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(pixels, coding="packed", strip_rows=90))
    code = f"""
        await import({json.dumps((WEB / "kmq-image.js").as_uri())});
        console.log(JSON.stringify(await tell(read(process.argv[1]), kmq.decodeAsync)));
    """
    assert told(pixels.to_rgb()) == run_node(node, code, str(path))


# In place of a browser's: answers as worker.js does, unless it is stuck; keeps what was sent to it.
WORKER = """
globalThis.sent = [];
globalThis.ended = 0;
globalThis.Worker = class {
    constructor() {
        setTimeout(() => this.onmessage?.({ data: "ready" }));
    }
    addEventListener() {}
    postMessage(task, transfer) {
        sent.push(transfer[0]);
        const given = structuredClone(task, { transfer });
        if (!globalThis.isStuck) setTimeout(() => this.onmessage({ data: kmq.decodeTask(given) }));
    }
    terminate() { ended++; }
};
"""


def test_kinds_of_data(node: str, tmp_path: Path) -> None:
    """Data may be any buffer or view; they are not given away, and what comes of them is no part of them."""
    pixels = kmcodec.quantize(photo(300, 400), 16)
    section = kmcodec.Section(b"abcd", b"1234")
    image = kmcodec.IndexedImage(pixels.palette, pixels.indices, sections=(section,))
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(image, coding="packed", strip_rows=90))
    code = """
        const file = read(process.argv[1]);
        const pool = Buffer.alloc(file.length + 3);
        pool.set(file, 3);
        const shared = new SharedArrayBuffer(file.length);
        new Uint8Array(shared).set(file);
        const views = {
            buffer: new Uint8Array(file).buffer,
            shared,
            view: new DataView(pool.buffer, pool.byteOffset + 3, file.length),
            Buffer: pool.subarray(3),
        };
        const outcomes = {};
        for (const [name, view] of Object.entries(views)) {
            const here = await tell(view);
            const image = await kmq.decodeAsync(view);
            const there = await tell(view, kmq.decodeAsync);
            const bytes = new Uint8Array(view.buffer ?? view, view.byteOffset, view.byteLength);
            const isKept = bytes.every((byte, i) => byte === file[i]) && !sent.includes(view.buffer ?? view);
            bytes.fill(0);
            const [{ payload }] = image.sections;
            outcomes[name] = [here, there, isKept, payload.constructor.name, String.fromCharCode(...payload)];
            bytes.set(file);
        }
        console.log(JSON.stringify(outcomes));
        process.exit();
    """
    expected = [told(image.to_rgb())] * 2 + [True, "Uint8Array", "1234"]
    names = ("buffer", "shared", "view", "Buffer")
    assert dict.fromkeys(names, expected) == run_node(node, code, str(path), before=WORKER)


def test_abort_of_what_waits(node: str, tmp_path: Path) -> None:
    """An aborted signal is answered at once, also by work that no worker has begun; the others go on."""
    pixels = kmcodec.quantize(photo(300, 400), 16)
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(pixels, coding="packed", strip_rows=90))
    code = """
        const data = new Uint8Array(read(process.argv[1]));
        globalThis.isStuck = true;
        const names = [];
        const stops = [new AbortController(), new AbortController()];
        const keep = (error) => names.push(error.name);
        const all = stops.map(({ signal }) => kmq.decodeAsync(data, { signal }).catch(keep));
        // The second one waits for the workers of the first.
        for (const i of [1, 0]) {
            setTimeout(() => stops[i].abort(), 20);
            await all[i];
        }
        globalThis.isStuck = false;
        console.log(JSON.stringify([...names, ended > 0, await tell(data, kmq.decodeAsync)]));
        process.exit();
    """
    expected = ["AbortError", "AbortError", True, told(pixels.to_rgb())]
    assert expected == run_node(node, code, str(path), before=WORKER)


def test_many_strips(node: str, tmp_path: Path) -> None:
    """What is remembered of strips is in proportion to the file, which may have one for every four bytes."""
    n_strips = 2**19
    header = struct.pack("<8s2BH4I", b"\x89KMQ\r\n\x1a\n", 16, 0, 0, 1, n_strips, 1, 0)
    parts = [header, struct.pack("<I", zlib.crc32(header)), b"abc", struct.pack("<I", zlib.crc32(b"abc"))]
    parts += [struct.pack("<I", zlib.crc32(struct.pack("<I", number))) for number in range(n_strips)]
    path = tmp_path / "a.kmq"
    path.write_bytes(b"".join(parts))
    code = """console.log(JSON.stringify([kmq.decode(read(process.argv[1])).indices.length]));"""
    assert [n_strips] == run_node(node, code, str(path), flags=("--max-old-space-size=24",))


# A server of one file, which answers as `serve` says; keeps the ranges that it was asked for.
SERVER = """
const file = new Uint8Array(read(process.argv[1]));
const asked = [];
const signals = new Set();
const answer = (start, end, headers = {}) => {
    const range = { "Content-Range": `bytes ${start}-${Math.min(end, file.length) - 1}/${file.length}` };
    return new Response(file.slice(start, end), { status: 206, headers: { ...range, ...headers } });
};
const whole = (headers = {}) => new Response(file, { headers });
const region = async (serve, options = {}) => {
    asked.length = 0;
    const fetch = async (url, { headers, signal }) => {
        const range = headers.Range?.match(/^bytes=(\\d+)-(\\d*)$/);
        await new Promise((resolve) => setTimeout(resolve, 1));
        signal.throwIfAborted();
        asked.push(headers.Range ?? "whole");
        signals.add(signal);
        return serve(Number(range?.[1]), range?.[2] ? Number(range[2]) + 1 : Infinity, asked.length);
    };
    const place = { x: 3, y: 70, width: 5, height: 30, ...options.region };
    try {
        return Array.from((await kmq.fetchRegion("a.kmq", place, { fetch, ...options })).indices);
    } catch (error) {
        return error instanceof kmq.KmqError ? [error.field, error.offset] : error.message;
    }
};
"""


@pytest.mark.parametrize("coding", ["packed", "context"])
@pytest.mark.parametrize("verify", [False, True])
def test_servers(node: str, tmp_path: Path, coding: str, verify: bool) -> None:
    """However a server answers, the region is right, or it is said what is wrong; nothing is sent twice."""
    image = kmcodec.quantize(photo(120, 160), 5)
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(image, coding=coding, strip_rows=25))
    options = json.dumps({"verify": verify})
    code = f"""
        {SERVER}
        const said = {{}};
        const gzip = {{ "Content-Encoding": "gzip" }};
        for (const [name, serve] of Object.entries({{
            plain: answer,
            "more than was asked for": (start, end) => answer(start, end + 7),
            "no size": (start, end) => answer(start, end, {{
                "Content-Range": `bytes ${{start}}-${{end - 1}}/*` }}),
            "no Content-Range": (start, end) => answer(start, end, {{ "Content-Range": "" }}),
            "no ranges": () => whole(),
            "no ranges later": (start, end, time) => time > 1 ? whole() : answer(start, end),
            "encoded ranges": (start, end, time) => time > 1 ? whole() : answer(start, end, gzip),
            "another ETag": (start, end, time) => answer(start, end, {{ ETag: String(time) }}),
            "another date": (start, end, time) => answer(start, end, {{ "Last-Modified": String(time) }}),
            "another size": (start, end, time) => answer(start, end, time > 1 && {{
                "Content-Range": `bytes ${{start}}-${{end - 1}}/99999` }}),
            "another whole": (start, end, time) => time > 1 ? new Response("short") : answer(start, end),
            "another place": (start, end, time) => answer(start, end, time > 1 && {{
                "Content-Range": `bytes 1-${{end - 1}}/${{file.length}}` }}),
            "less": (start, end, time) => answer(start, time > 1 ? end - 1 : end, {{ "Content-Range": "" }}),
        }})) {{
            said[name] = [await region(serve, {options}), asked.length];
        }}
        console.log(JSON.stringify(said));
    """
    expected = image.indices[70:100, 3:8].ravel().tolist()
    changed = "a.kmq changed while it was read"
    said = run_node(node, code, str(path))
    end = said.pop("less")
    assert "file" == end[0][0]
    assert {
        "plain": [expected, 2],
        "more than was asked for": [expected, 2],
        "no size": [expected, 2],
        "no Content-Range": [expected, 2],
        "no ranges": [expected, 1],
        "no ranges later": [expected, 2],
        "encoded ranges": [expected, 2],
        "another ETag": [changed, 2],
        "another date": [changed, 2],
        "another size": [changed, 2],
        "another whole": [changed, 2],
        "another place": [said["another place"][0], 2],
    } == said
    assert said["another place"][0].startswith("a.kmq: bytes from 1 on instead of ")


def test_regions_of_context_coded_files(node: str, tmp_path: Path) -> None:
    """Of a context-coded file, the region's strips are fetched, also where the file's size is not known."""
    image = kmcodec.quantize(photo(400, 300), 40)
    data = write_image(image, coding="context", strip_rows=25)
    path = tmp_path / "a.kmq"
    path.write_bytes(data)
    code = f"""
        {SERVER}
        const said = [];
        for (const y of [0, 70, 370]) {{
            for (const size of [true, false]) {{
                let sent = 0;
                const serve = (start, end) => {{
                    sent += Math.min(end, file.length) - start;
                    return answer(start, end, size ? {{}} : {{ "Content-Range": "" }});
                }};
                const indices = await region(serve, {{ region: {{ y }} }});
                said.push([y, indices, asked.length, sent < file.length / 2]);
            }}
        }}
        console.log(JSON.stringify(said));
    """
    expected = [
        [y, image.indices[y : y + 30, 3:8].ravel().tolist(), 2, True] for y in (0, 70, 370) for _ in range(2)
    ]
    assert expected == run_node(node, code, str(path))


def test_high_regions(node: str, tmp_path: Path) -> None:
    """What a region's rows have between them does not come in one piece, however much it is."""
    width, height = 2**16, 5000
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((height, width), np.uint8))
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(image, coding="packed"))
    code = f"""
        {SERVER}
        let most = 0;
        const said = await region((start, end) => {{
            most = Math.max(most, end - start);
            return answer(start, end);
        }}, {{ region: {{ y: 0, height: {height} }} }});
        console.log(JSON.stringify([said.length, said.some(Boolean), most <= 2 ** 24]));
    """
    assert [5 * height, False, True] == run_node(node, code, str(path))


def test_failure_ends_other_requests(node: str, tmp_path: Path) -> None:
    """When one of several requests fails, the others are ended, and no more are made."""
    indices = np.random.default_rng(0).integers(0, 16, (200, 30_000)).astype(np.uint8)
    path = tmp_path / "a.kmq"
    path.write_bytes(write_image(kmcodec.IndexedImage(np.zeros((16, 3), np.uint8), indices), coding="packed"))
    code = f"""
        {SERVER}
        const busy = new Response("", {{ status: 503 }});
        const said = await region((start, end, time) => time === 3 ? busy : answer(start, end));
        await new Promise((resolve) => setTimeout(resolve, 50));
        const areEnded = [...signals].every((signal) => signal.aborted);
        console.log(JSON.stringify([said, asked.length < 10, areEnded]));
    """
    assert ["a.kmq: HTTP status 503", True, True] == run_node(node, code, str(path))


# In a browser.


class WebHandler(RangeHandler):
    """Serve the checkout and a folder; keep what was asked for; hold back the rest of some files."""

    folder: Path
    asked: list[tuple[str, str | None]]
    knows_ranges: bool
    go_on: threading.Event

    def translate_path(self, path: str) -> str:
        """Return the path of a file."""
        clean = path.partition("?")[0]
        root, rest = (self.folder, clean[7:]) if clean.startswith("/files/") else (ROOT, clean[1:])
        return str(root / rest)

    def end_headers(self) -> None:
        """Say what kind of file it is, on which modules depend."""
        kinds = {".js": "text/javascript", ".html": "text/html", ".png": "image/png"}
        suffix = Path(self.path.partition("?")[0]).suffix
        self.send_header("Content-Type", kinds.get(suffix, "application/octet-stream"))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        """Send a file, or a part of it."""
        if "favicon" in self.path:
            self.send_response(204)
            super().end_headers()
            return
        path = Path(self.translate_path(self.path))
        if self.path.startswith("/files/") and path.suffix == ".kmq":
            self.asked.append((path.name, self.headers.get("Range")))
        if not path.is_file():
            self.send_error(404)
        elif "slow" in self.path or "stuck" in self.path:
            if "stuck" in self.path:
                self.go_on.wait(20)
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:40])
            self.wfile.flush()
            self.go_on.wait(20)
            self.wfile.write(data[40:])
        else:
            if not self.knows_ranges:
                del self.headers["Range"]
            super().do_GET()


class Site:
    """A server, a folder that it serves below /files, and pages that look at it."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.handler: Any = type(
            "Handler",
            (WebHandler,),
            {"folder": folder, "asked": [], "knows_ranges": True, "go_on": threading.Event()},
        )
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.thread = threading.Thread(target=self.httpd.serve_forever, daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.contexts: list[Any] = []

    def show(self, html: str, **options: Any) -> Any:
        """Return a page; its script can use kmq and tell."""
        prelude = f"<script type=module>import * as kmq from '/web/kmq.js'; {TELL} window.kmq = kmq;"
        head = f"<!doctype html><meta charset=utf-8>{prelude} window.tell = tell;</script>"
        (self.folder / "page.html").write_text(head + html, encoding="utf-8")
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        page = context.new_page()
        page.goto(f"{self.address}/files/page.html")
        page.wait_for_function("window.tell !== undefined")
        return page

    def close(self) -> None:
        """End all."""
        self.handler.go_on.set()
        for context in self.contexts:
            context.close()
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()


@pytest.fixture
def site(browser: Any, tmp_path: Path) -> Iterator[Site]:
    """Serve a folder."""
    site = Site(browser, tmp_path)
    yield site
    site.close()


def test_vectors_in_a_browser(site: Site) -> None:
    """The decoder passes the specification's tests in a browser, on the page's thread and in workers."""
    expected = expected_of_vectors()
    page = site.show("")
    # All in one go: many hundreds of requests would take their time.
    data = {name: (VECTORS / name).read_bytes().hex() for name in expected}
    code = """async ([data, name]) => {
        const said = {};
        for (const [file, digits] of Object.entries(data)) {
            const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
            said[file] = await tell(bytes, kmq[name]);
        }
        return said;
    }"""
    for name in ("decode", "decodeAsync"):
        assert expected == page.evaluate(code, [data, name])


@pytest.mark.parametrize("coding", ["packed", "context"])
@pytest.mark.parametrize("strip_rows", [None, 41])
def test_workers(site: Site, coding: str, strip_rows: int | None) -> None:
    """Workers decode the pixels and indices that the page's thread does, and find the same faults."""
    image = kmcodec.quantize(photo(300, 400), 20)
    data = write_image(image, coding=coding, strip_rows=strip_rows or 300)
    (site.folder / "a.kmq").write_bytes(data)
    page = site.show("")
    code = """async () => {
        const data = await (await fetch("a.kmq")).arrayBuffer();
        const outcomes = [];
        for (const rgba of [false, true]) {
            outcomes.push(await tell(data, (bytes) => kmq.decodeAsync(bytes, { rgba })));
        }
        const [here, there] = [kmq.decode(data), await kmq.decodeAsync(data)];
        const same = here.indices.every((index, i) => index === there.indices[i]);
        const damaged = new Uint8Array(data.slice());
        for (const part of [0.5, 0.9]) damaged[Math.floor(part * damaged.length)] ^= 1;
        const faults = [await tell(damaged), await tell(damaged, kmq.decodeAsync)];
        return { outcomes, same, faults, left: data.byteLength };
    }"""
    said = page.evaluate(code)
    assert [told(image.to_rgb())] * 2 == said["outcomes"]
    assert said["same"]
    assert len(data) == said["left"]
    assert page.workers
    assert said["faults"][0] == said["faults"][1]
    assert "strip_crc" == said["faults"][0][0]


def test_abort(site: Site) -> None:
    """An aborted signal ends decoding with its reason, and what comes after is decoded all the same."""
    image = kmcodec.quantize(photo(300, 400), 20)
    (site.folder / "a.kmq").write_bytes(write_image(image, coding="context", strip_rows=30))
    page = site.show("")
    code = """async () => {
        const data = await (await fetch("a.kmq")).arrayBuffer();
        const names = [];
        const stop = new AbortController();
        const before = kmq.decodeAsync(data, { signal: AbortSignal.abort() });
        const during = kmq.decodeAsync(data, { signal: stop.signal });
        setTimeout(() => stop.abort(), 5);
        for (const promise of [before, during]) {
            await promise.then(() => names.push("done"), (error) => names.push(error.name));
        }
        return [names, await tell(data, kmq.decodeAsync)];
    }"""
    assert [["AbortError"] * 2, told(image.to_rgb())] == page.evaluate(code)


def test_no_workers(site: Site) -> None:
    """Where workers are forbidden, the page's thread decodes."""
    image = kmcodec.quantize(photo(300, 400), 20)
    (site.folder / "a.kmq").write_bytes(write_image(image, coding="packed", strip_rows=99))
    policy = """<meta http-equiv="Content-Security-Policy" content="worker-src 'none'">"""
    page = site.show(policy)
    code = """async () => tell(await (await fetch("a.kmq")).arrayBuffer(), kmq.decodeAsync)"""
    assert told(image.to_rgb()) == page.evaluate(code)


def test_another_origin(site: Site) -> None:
    """A module from another origin has workers, too, and fetches regions of files of unknown size."""
    image = kmcodec.quantize(photo(300, 400), 20)
    (site.folder / "a.kmq").write_bytes(write_image(image, coding="context", strip_rows=50))
    page = site.show("")
    code = """async (origin) => {
        const kmq = await import(`${origin}/web/kmq.js`);
        const data = await (await fetch("a.kmq")).arrayBuffer();
        const region = await kmq.fetchRegion(`${origin}/files/a.kmq`, { x: 9, y: 280, width: 3, height: 2 });
        return [await tell(data, kmq.decodeAsync), Array.from(region.indices)];
    }"""
    expected = [told(image.to_rgb()), image.indices[280:282, 9:12].ravel().tolist()]
    assert expected == page.evaluate(code, site.address.replace("127.0.0.1", "localhost"))
    assert page.workers


FETCH = """async ([name, region, options]) => {
    try {
        const image = await kmq.fetchRegion(name, region, options);
        return [image.width, image.height, Array.from(image.indices)];
    } catch (error) {
        return error instanceof kmq.KmqError ? [error.field, error.offset] : [error.name];
    }
}"""
REGIONS = [(0, 0, 1, 1), (0, 0, 130, 100), (129, 99, 1, 1), (17, 39, 61, 7), (5, 0, 1, 100)]


@pytest.mark.parametrize("n_colors", [1, 2, 20, 200, 300, 3000])
def test_regions(site: Site, n_colors: int) -> None:
    """A region of a packed file is that of the whole, and costs the bytes from its first row to its last."""
    indices = np.random.default_rng(0).integers(0, n_colors, (100, 130)).astype(np.uint16)
    palette = np.zeros((n_colors, 3), np.uint8)
    image = kmcodec.IndexedImage(palette, indices.astype(np.uint8) if n_colors <= 256 else indices)
    data = write_image(image, coding="packed", strip_rows=14)
    (site.folder / "a.kmq").write_bytes(data)
    page = site.show("")
    bits = (n_colors - 1).bit_length()
    for x, y, width, height in REGIONS:
        region = {"x": x, "y": y, "width": width, "height": height}
        expected = [width, height, indices[y : y + height, x : x + width].ravel().tolist()]
        for verify in (False, True):
            RangeHandler.sent = 0
            assert expected == page.evaluate(FETCH, ["a.kmq", region, {"verify": verify}])
            rows = height + 2 * 14 if verify else height
            limit = FIRST_BYTES + 3 * n_colors + (130 * rows * bits) // 8 + 4 * (rows // 14 + 2)
            assert RangeHandler.sent <= limit


def test_regions_of_wide_pictures(site: Site) -> None:
    """Rows that lie far from each other are asked for one by one, many of them some together."""
    indices = np.random.default_rng(0).integers(0, 16, (200, 30_000)).astype(np.uint8)
    image = kmcodec.IndexedImage(np.zeros((16, 3), np.uint8), indices)
    (site.folder / "a.kmq").write_bytes(write_image(image, coding="packed", strip_rows=64))
    page = site.show("")
    for height, requests in [(10, 11), (200, 41)]:
        site.handler.asked.clear()
        RangeHandler.sent = 0
        region = {"x": 12_345, "y": 0, "width": 9, "height": height}
        expected = [9, height, indices[:height, 12_345:12_354].ravel().tolist()]
        assert expected == page.evaluate(FETCH, ["a.kmq", region, {}])
        assert requests == len(site.handler.asked)
        if height == 10:
            assert RangeHandler.sent <= FIRST_BYTES + 10 * 6


@pytest.mark.parametrize("coding", ["packed", "context"])
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_regions_of_whole_files(site: Site, coding: str, knows_ranges: bool) -> None:
    """The region is the same from parts of a file, and from the whole where parts are not to be had."""
    image = kmcodec.quantize(photo(60, 80), 9)
    (site.folder / "a.kmq").write_bytes(write_image(image, coding=coding, strip_rows=25))
    site.handler.knows_ranges = knows_ranges
    page = site.show("")
    region = {"x": 7, "y": 20, "width": 30, "height": 33}
    expected = [30, 33, image.indices[20:53, 7:37].ravel().tolist()]
    assert expected == page.evaluate(FETCH, ["a.kmq", region, {}])


def test_regions_that_are_not_there(site: Site) -> None:
    """A region beyond the picture is a RangeError; a damaged or cut file a KmqError that says where."""
    image = kmcodec.quantize(photo(60, 800), 9)
    data = bytearray(write_image(image, coding="packed", strip_rows=20))
    (site.folder / "a.kmq").write_bytes(data)
    (site.folder / "cut.kmq").write_bytes(data[:-100])
    (site.folder / "empty.kmq").write_bytes(b"")
    data[-1000] ^= 1
    (site.folder / "damaged.kmq").write_bytes(data)
    unknown = ROOT / "spec" / "vectors" / "invalid" / "section-required-alone.kmq"
    (site.folder / "unknown.kmq").write_bytes(unknown.read_bytes())
    page = site.show("")
    region: dict[str, float] = {"x": 0, "y": 40, "width": 800, "height": 20}
    wrongs: list[dict[str, float]] = [{"x": 1}, {"y": 41}, {"width": 0}, {"x": -1}, {"height": 0.5}]
    for wrong in wrongs:
        assert ["RangeError"] == page.evaluate(FETCH, ["a.kmq", region | wrong, {}])
    assert ["LimitError"] == page.evaluate(FETCH, ["a.kmq", region, {"maxPixels": 100}])
    assert ["Error"] == page.evaluate(FETCH, ["missing.kmq", region, {}])
    assert ["file", len(data) - 100] == page.evaluate(FETCH, ["cut.kmq", region, {}])
    assert ["signature", 0] == page.evaluate(FETCH, ["empty.kmq", region, {}])
    assert ["strip_crc", len(data) - 4] == page.evaluate(FETCH, ["damaged.kmq", region, {"verify": True}])
    assert 3 == len(page.evaluate(FETCH, ["a.kmq", region, {"verify": True}]))
    pixel = {"x": 0, "y": 0, "width": 1, "height": 1}
    assert "section type" == page.evaluate(FETCH, ["unknown.kmq", pixel, {}])[0]


# The element.

ELEMENT = "<script type=module src=/web/kmq-image.js></script>"
BOX = """(selector) => {
    const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect();
    return [x, y, width, height].map((value) => Math.round(100 * value) / 100);
}"""


def put_picture(site: Site, height: int = 40, width: int = 60, name: str = "a") -> kmcodec.IndexedImage:
    """Put a picture into the folder, as .kmq and as .png."""
    image = kmcodec.quantize(photo(height, width), 9)
    (site.folder / f"{name}.kmq").write_bytes(write_image(image))
    Image.fromarray(image.to_rgb()).save(site.folder / f"{name}.png")
    return image


@pytest.mark.parametrize(
    "css",
    [
        "",
        "width: 30px",
        "height: 100px",
        "width: 50%",
        "width: 50%; height: auto",
        "max-width: 100%; width: 400px; height: auto",
        "max-width: 45px",
        "max-height: 20px; width: auto",
        "width: 33px; height: 44px",
        "display: block; width: 100%; height: auto",
        "display: block; margin: 0 auto",
        "display: block; height: 30px; width: auto",
        "position: absolute; left: 7px; top: 9px; width: 80px",
        "float: right; border: 3px solid; padding: 2px",
        "min-width: 150px; height: auto",
        "vertical-align: middle",
    ],
)
def test_layout_is_that_of_img(site: Site, css: str) -> None:
    """The element takes the space that an <img> of the same pixels takes."""
    put_picture(site)
    rows = []
    for attributes in ["", "width=120", "height=80", "width=120 height=50", "width=50%"]:
        for tag, suffix in [("img", "png"), ("kmq-image", "kmq")]:
            picture = f'<{tag} src=a.{suffix} {attributes} style="{css}" class=picture></{tag}>'
            style = "width: 300px; display: flow-root; position: relative"
            rows.append(f"<div class=row style='{style}'>A {picture} b</div>")
    page = site.show(ELEMENT + "".join(rows))
    page.wait_for_function(
        "[...document.querySelectorAll('.picture')].every((one) => one.complete && one.naturalWidth === 60)"
    )
    boxes = page.evaluate(
        """[...document.querySelectorAll(".row")].map((row) => {
            const outer = row.getBoundingClientRect();
            const inner = row.querySelector(".picture").getBoundingClientRect();
            const all = [inner.x - outer.x, inner.y - outer.y, inner.width, inner.height, outer.height];
            return all.map((value) => Math.round(10 * value) / 10);
        })"""
    )
    assert boxes[0::2] == boxes[1::2]


def test_layout_before_the_picture_is_there(site: Site) -> None:
    """With width and height nothing moves when the picture comes; without, nothing after its header."""
    image = put_picture(site)
    page = site.show(
        f"{ELEMENT}<kmq-image id=one src=a.kmq?slow></kmq-image><br>"
        "<kmq-image id=two src=a.kmq?slow width=120 height=50></kmq-image><br>"
        "<kmq-image id=three src=a.kmq?stuck width=30 height=20 "
        "style='width: 90px; height: auto'></kmq-image>"
    )
    page.wait_for_function("document.querySelector('#one').naturalWidth > 0")
    page.wait_for_function("document.querySelector('#two').naturalWidth > 0")
    before = [page.evaluate(BOX, name) for name in ("#one", "#two")]
    assert [[60, 40], [120, 50]] == [box[2:] for box in before]
    complete = "['#one', '#two'].map((name) => document.querySelector(name).complete)"
    assert [False, False] == page.evaluate(complete)
    assert [90, 60] == page.evaluate(BOX, "#three")[2:]
    site.handler.go_on.set()
    said = page.evaluate("""async () => {
        const element = document.querySelector("#one");
        await Promise.all([element.decode(), document.querySelector("#two").decode()]);
        const canvas = element.shadowRoot.querySelector("canvas");
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return tell(null, () => ({ width, height, hasAlpha: false, rgba: data }));
    }""")
    assert told(image.to_rgb()) == said
    assert before == [page.evaluate(BOX, name) for name in ("#one", "#two")]


def test_failures(site: Site) -> None:
    """A picture that cannot be shown says so with an event, and shows its alternative text."""
    put_picture(site)
    (site.folder / "damaged.kmq").write_bytes((site.folder / "a.kmq").read_bytes()[:-1])
    wide = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1, 32_768), np.uint8))
    (site.folder / "wide.kmq").write_bytes(write_image(wide))
    page = site.show(f"{ELEMENT}<kmq-image alt='A cat'></kmq-image>")
    page.wait_for_function("customElements.get('kmq-image') !== undefined")
    code = """async (src) => {
        const element = document.querySelector("kmq-image");
        const event = new Promise((resolve) => {
            const answer = ({ type, error }) => resolve([type, error?.name]);
            for (const name of ["load", "error"]) element.addEventListener(name, answer, { once: true });
        });
        element.src = src;
        const outcome = await element.decode().then(() => "shown", (error) => error.name);
        return [...(await event), outcome, element.naturalWidth, element.complete];
    }"""
    assert 0 == page.get_by_text("A cat").count()
    assert ["error", "Error", "Error", 0, True] == page.evaluate(code, "missing.kmq")
    assert page.get_by_text("A cat").is_visible()
    assert page.get_by_role("img", name="A cat", exact=True).is_visible()
    assert ["error", "KmqError", "KmqError", 0, True] == page.evaluate(code, "damaged.kmq")
    assert ["error", "LimitError", "LimitError", 0, True] == page.evaluate(code, "wide.kmq")
    assert ["load", None, "shown", 60, True] == page.evaluate(code, "a.kmq")
    assert 0 == page.get_by_text("A cat").count()
    assert page.get_by_role("img", name="A cat", exact=True).is_visible()
    page.evaluate("document.querySelector('kmq-image').alt = ''")
    assert 0 == page.get_by_role("img").count()


def test_another_source(site: Site) -> None:
    """A new src ends what the former one began: only the new one is shown, and told of."""
    put_picture(site)
    put_picture(site, 10, 20, "b")
    page = site.show(f"{ELEMENT}<kmq-image src=a.kmq?slow></kmq-image>")
    page.wait_for_function("document.querySelector('kmq-image').naturalWidth === 60")
    said = page.evaluate("""async () => {
        const element = document.querySelector("kmq-image");
        const events = [];
        for (const name of ["load", "error"]) element.addEventListener(name, () => events.push(name));
        const former = element.decode().catch((error) => error.name);
        element.src = "b.kmq";
        await element.decode();
        return [await former, events, element.naturalWidth, element.currentSrc.split("/").pop()];
    }""")
    site.handler.go_on.set()
    assert ["AbortError", ["load"], 20, "b.kmq"] == said
    page.evaluate("document.querySelector('kmq-image').removeAttribute('src')")
    page.wait_for_function("document.querySelector('kmq-image').naturalWidth === 0")
    assert [0, 0] == page.evaluate(BOX, "kmq-image")[2:]


def test_former_picture_stays(site: Site) -> None:
    """A picture is shown until the one that replaces it is there, and not only its header."""
    put_picture(site)
    put_picture(site, 10, 20, "b")
    page = site.show(f"{ELEMENT}<kmq-image src=a.kmq></kmq-image>")
    page.wait_for_function("document.querySelector('kmq-image').complete")
    with page.expect_response("**/b.kmq?slow"):
        page.evaluate("document.querySelector('kmq-image').src = 'b.kmq?slow'")
    page.wait_for_timeout(100)
    sizes = """() => {
        const element = document.querySelector("kmq-image");
        const canvas = element.shadowRoot.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
        return [element.naturalWidth, canvas.width, data[3]];
    }"""
    assert [60, 60, 255] == page.evaluate(sizes)
    site.handler.go_on.set()
    page.wait_for_function("document.querySelector('kmq-image').complete")
    assert [20, 20, 255] == page.evaluate(sizes)


def test_lazy_loading(site: Site) -> None:
    """With loading=lazy, a file is asked for when its place comes near."""
    put_picture(site)
    page = site.show(
        f"{ELEMENT}<div style='height: 5000px'></div>"
        "<kmq-image src=a.kmq loading=lazy width=60 height=40></kmq-image>"
    )
    page.wait_for_function("customElements.get('kmq-image') !== undefined")
    page.wait_for_timeout(200)
    assert [] == site.handler.asked
    page.evaluate("scrollTo(0, 5000)")
    page.wait_for_function("document.querySelector('kmq-image').complete")
    assert [("a.kmq", None)] == site.handler.asked


@pytest.mark.parametrize("loading", ["eager", "lazy"])
def test_elements_of_a_program(site: Site, loading: str) -> None:
    """An element that a program makes loads on the page and off it, and decode() waits for no scrolling."""
    put_picture(site)
    page = site.show(f"{ELEMENT}<div style='height: 5000px'></div>")
    page.wait_for_function("customElements.get('kmq-image') !== undefined")
    said = page.evaluate(
        """async (loading) => {
            const sizes = [];
            for (const isAppended of [true, false]) {
                const element = document.createElement("kmq-image");
                Object.assign(element, { loading, src: "a.kmq", alt: "A cat" });
                const shown = element.decode();
                if (isAppended) document.body.append(element);
                await shown;
                sizes.push(element.naturalWidth, element.width, element.complete);
            }
            return sizes;
        }""",
        loading,
    )
    assert [60, 60, True, 60, 60, True] == said


def test_properties_before_the_module(site: Site) -> None:
    """What a program sets before the element is defined counts as what it sets later."""
    put_picture(site)
    page = site.show("")
    said = page.evaluate("""async () => {
        const element = document.createElement("kmq-image");
        Object.assign(element, { src: "a.kmq", alt: "A cat", width: 30 });
        document.body.append(element);
        await import("/web/kmq-image.js");
        await element.decode();
        return [element.naturalWidth, element.getAttribute("alt"), element.width, element.height];
    }""")
    assert [60, "A cat", 30, 20] == said


def test_empty_source(site: Site) -> None:
    """An empty src is an error, as for <img>, and does not fetch the page."""
    page = site.show(f"{ELEMENT}<kmq-image></kmq-image>")
    page.wait_for_function("customElements.get('kmq-image') !== undefined")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    said = page.evaluate("""() => new Promise((resolve) => {
        const element = document.querySelector("kmq-image");
        element.onerror = ({ message }) => resolve(message);
        element.src = "";
    })""")
    assert ("src is empty", []) == (said, requests)


def test_another_document(site: Site) -> None:
    """An element that is moved into a frame looks there as it did."""
    put_picture(site)
    page = site.show(f"{ELEMENT}<kmq-image src=a.kmq width=120></kmq-image><iframe></iframe>")
    page.wait_for_function("document.querySelector('kmq-image').complete")
    said = page.evaluate("""() => {
        const element = document.querySelector("kmq-image");
        document.querySelector("iframe").contentDocument.body.append(element);
        const { width, height } = element.getBoundingClientRect();
        return [width, height];
    }""")
    assert [120, 80] == said


def test_page_without_scripts(site: Site) -> None:
    """Where there are no scripts, what is within the element is shown; where there are, it is not."""
    put_picture(site)
    html = f"{ELEMENT}<kmq-image src=a.kmq alt='A cat'><noscript><img src=a.png></noscript></kmq-image>"
    page = site.show(html)
    page.wait_for_function("document.querySelector('kmq-image').complete")
    assert 0 == page.locator("img").count()
    context = site.browser.new_context(java_script_enabled=False)
    site.contexts.append(context)
    page = context.new_page()
    page.goto(f"{site.address}/files/page.html")
    assert page.locator("img").is_visible()


@pytest.mark.parametrize("fit", ["fill", "contain", "cover"])
def test_object_fit(site: Site, fit: str) -> None:
    """object-fit and object-position do what they do to <img>."""
    put_picture(site)
    css = (
        f"object-fit: {fit}; object-position: 0 100%; width: 90px; height: 30px; position: absolute; left: 0"
    )
    page = site.show(
        f"{ELEMENT}<style>img {{ image-rendering: pixelated }}</style>"
        f"<img class=one src=a.png style='{css}; top: 0'>"
        f"<kmq-image class=one src=a.kmq style='{css}; top: 50px'></kmq-image>"
    )
    page.wait_for_function("document.querySelector('kmq-image').naturalWidth === 60")
    page.evaluate("Promise.all([...document.querySelectorAll('.one')].map((one) => one.decode()))")
    page.add_style_tag(content="kmq-image::part(canvas) { image-rendering: pixelated !important }")
    shots = [page.screenshot(clip={"x": 0, "y": y, "width": 90, "height": 30}) for y in (0, 50)]
    assert shots[0] == shots[1]


def test_snap_in_a_box_of_its_own(site: Site) -> None:
    """With snap, the picture is in the middle of the content box, padded and transformed as it may be."""
    put_picture(site)
    box = "position: absolute; left: 0; top: 0; width: 130px; height: 90px; padding: 20px 0 0 10px"
    css = f"{box}; transform: scale(2); transform-origin: 0 0"
    page = site.show(f"{ELEMENT}<kmq-image src=a.kmq snap style='{css}'></kmq-image>")
    page.wait_for_function("document.querySelector('kmq-image').complete")
    page.wait_for_timeout(50)
    said = page.evaluate("""() => {
        const canvas = document.querySelector("kmq-image").shadowRoot.querySelector("canvas");
        const { x, y, width, height } = canvas.getBoundingClientRect();
        return [x, y, width, height].map((value) => value / 2);
    }""")
    assert [10 + 5, 20 + 5, 120, 80] == said


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
def test_square_pixels(site: Site, ratio: float) -> None:
    """Enlarged pixels are squares, reduced ones are mixed; with snap they are whole device pixels wide."""
    put_picture(site)
    page = site.show(
        f"{ELEMENT}<style>kmq-image {{ position: absolute; left: 0; top: 0 }}</style>"
        "<kmq-image id=large src=a.kmq width=200></kmq-image>"
        "<kmq-image id=smooth src=a.kmq width=200 rendering=smooth></kmq-image>"
        "<kmq-image id=small src=a.kmq width=20></kmq-image>"
        "<kmq-image id=snap src=a.kmq width=200 snap></kmq-image>",
        device_scale_factor=ratio,
    )
    page.wait_for_function("[...document.querySelectorAll('kmq-image')].every((one) => one.complete)")
    page.wait_for_timeout(50)
    renderings = page.evaluate("""["large", "smooth", "small"].map((id) =>
        getComputedStyle(document.getElementById(id).shadowRoot.querySelector("canvas")).imageRendering)""")
    assert ["pixelated", "auto", "auto"] == renderings
    left, _, width, height = page.evaluate("""() => {
        const canvas = document.getElementById("snap").shadowRoot.querySelector("canvas");
        const { x, y, width, height } = canvas.getBoundingClientRect();
        return [x, y, width, height].map((value) => value * devicePixelRatio);
    }""")
    times = int(200 * ratio / 60)
    assert (60 * times, 40 * times) == (round(width, 1), round(height, 1))
    assert abs(left - round(left)) < 0.05


def test_example(site: Site) -> None:
    """The page of the README shows a picture, and its module decodes one and fetches a region."""
    example = re.search(r"<!-- example -->\n```html\n(.*?)```", README, re.DOTALL)
    module = re.search(r"<!-- module -->\n```js\n(.*?)```", README, re.DOTALL)
    assert example is not None
    assert module is not None
    for name in ("kmq.js", "worker.js", "kmq-image.js"):
        shutil.copy(WEB / name, site.folder)
    pixels = np.asarray(Image.open(SAMPLES / "chelsea.png").convert("RGB"))
    (site.folder / "chelsea.kmq").write_bytes(kmcodec.encode(pixels, 16))
    code = f"{module[1]}\nwindow.sizes = [pixels.width, image.height, eye.width, eye.height];"
    page = site.show("")
    (site.folder / "example.html").write_text(f"{example[1]}<script type=module>{code}</script>", "utf-8")
    page.goto(f"{site.address}/files/example.html")
    page.wait_for_function("window.sizes !== undefined && document.querySelector('kmq-image').complete")
    assert [451, 300, 64, 48] == page.evaluate("window.sizes")
    assert [451, 300] == page.evaluate(BOX, "kmq-image")[2:]
    assert 451 == page.evaluate("document.querySelector('kmq-image').naturalWidth")


# The package.


def test_package() -> None:
    """The package has what its users need, and no more."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "pack", "--dry-run", "--json"]
    process = subprocess.run(command, cwd=WEB, capture_output=True, check=True, text=True)
    packed = json.loads(process.stdout)
    (package,) = packed.values() if isinstance(packed, dict) else packed
    expected = ["LICENSE", "README.md", "cli.js", "kmq-image.d.ts", "kmq-image.js", "kmq.d.ts", "kmq.js"]
    assert [*expected, "package.json", "worker.js"] == sorted(file["path"] for file in package["files"])


def test_package_says_what_is_so() -> None:
    """The package has the version and the licence of kmcodec."""
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    assert (kmcodec.__version__, "MIT") == (package["version"], package["license"])
    assert (ROOT / "LICENSE").read_text("utf-8") == (WEB / "LICENSE").read_text("utf-8")
    named = [package["types"], *package["bin"].values(), *package["sideEffects"]]
    assert [] == [name for name in named if not (WEB / name).is_file()]


@pytest.fixture
def tsc() -> str:
    """Find TypeScript."""
    path = shutil.which("tsc")
    if path is None:
        pytest.skip("tsc is not installed (npm install --global typescript)")
    return path


def check_types(*command: str, cwd: Path) -> None:
    """Run TypeScript, which has to be content."""
    process = subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True)
    assert (0, "") == (process.returncode, process.stdout)


def test_types(tsc: str) -> None:
    """The sources satisfy TypeScript, and the types that the package declares."""
    check_types(tsc, "--project", ".", cwd=WEB)


def test_types_for_users(tsc: str, tmp_path: Path) -> None:
    """A program in strict TypeScript uses the package, whichever way modules are looked for."""
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "kmq").symlink_to(WEB)
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf-8")
    code = """
        import { decode, decodeAsync, fetchRegion, KmqError, type Image } from "kmq";
        import { KmqImage } from "kmq/kmq-image.js";
        const image: Image = decode(new SharedArrayBuffer(8), { maxPixels: 3 });
        new ImageData(image.rgba, image.width, image.height);
        const promise: Promise<Image> = decodeAsync(new Uint8Array(8).buffer, { rgba: true });
        fetchRegion(new URL("a:b"), { x: 0, y: 0, width: 1, height: 1 }, { verify: true, fetch });
        promise.catch((error) => error instanceof KmqError && error.offset.toFixed());
        const element: KmqImage = document.createElement("kmq-image");
        element.loading = "lazy";
        export const keyword: string | undefined = image.metadata.texts[0]?.keyword;
    """
    (tmp_path / "a.ts").write_text(code, "utf-8")
    for kind in ("nodenext", "esnext"):
        module = ("--module", kind, "--moduleResolution", "bundler" if kind == "esnext" else kind)
        check_types(tsc, "--noEmit", "--strict", "--target", "es2022", *module, "a.ts", cwd=tmp_path)
