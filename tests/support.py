"""What several test modules need: strategies, pictures made on the spot, and plain restatements."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import kmcodec
from kmcodec.image import to_indices

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
SPECIFICATION = (ROOT / "spec" / "kmq-1.md").read_text(encoding="utf-8")
#: The command, as it is installed beside the Python that runs the tests.
KMQ = shutil.which("kmq", path=str(Path(sys.executable).parent)) or "kmq"
SHARED_IMAGES = ROOT.parent / "shared" / "images"


def shared_picture(name: str) -> Path:
    """Return one of the pictures that lie beside some checkouts; skip the test where they do not."""
    path = SHARED_IMAGES / name
    if not path.exists():
        pytest.skip("the shared test pictures are not beside this checkout")
    return path


@st.composite
def pictures(draw: st.DrawFn, max_side: int = 24, channels: tuple[int, ...] = (3, 4)) -> NDArray[np.uint8]:
    """Draw small pictures of few colours, of many, and of noise."""
    shape = (
        draw(st.integers(1, max_side)),
        draw(st.integers(1, max_side)),
        draw(st.sampled_from(channels)),
    )
    if draw(st.booleans()):
        return draw(hnp.arrays(np.uint8, shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.integers(0, 256, (draw(st.integers(1, 300)), shape[2]), np.uint8)
    return palette[rng.integers(0, len(palette), shape[:2])]


@st.composite
def indexed_images(draw: st.DrawFn, max_side: int = 20) -> kmcodec.IndexedImage:
    """Draw valid indexed images with any K, alpha or not, and sections."""
    n_colors = draw(st.one_of(st.integers(1, 300), st.sampled_from([1, 2, 256, 257, 4096, 65535, 65536])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.integers(0, 256, (n_colors, draw(st.sampled_from((3, 4)))), np.uint8)
    shape = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    indices = to_indices(rng.integers(0, n_colors, shape), n_colors)
    return kmcodec.IndexedImage(palette, indices, tuple(draw(st.lists(sections(), max_size=3))))


@st.composite
def sections(draw: st.DrawFn) -> kmcodec.Section:
    """Draw optional sections."""
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first = draw(st.sampled_from(letters[:26]))
    rest = draw(st.lists(st.sampled_from(letters), min_size=3, max_size=3))
    return kmcodec.Section(bytes([first, *rest]), draw(st.binary(max_size=40)))


def tiny(*, alpha: bool = False, sections: tuple[kmcodec.Section, ...] = ()) -> kmcodec.IndexedImage:
    """Return the picture of the specification's example."""
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    if alpha:
        palette = np.hstack([palette, np.array([[255], [128], [0]], np.uint8)])
    return kmcodec.IndexedImage(palette, np.array([[0, 1, 2], [2, 1, 0]], np.uint8), sections)


def photo(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Make a picture with the smooth gradients and the noise of a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 90 * np.sin(x / 9 + phase) * np.cos(y / (7 + phase)) + rng.normal(0, 6, (height, width))
        for phase in (0, 1, 2)
    ]
    pixels: NDArray[np.uint8] = np.clip(np.dstack(planes), 0, 255).astype(np.uint8)
    return pixels


def squared_distances(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the squared error of every pixel against every palette colour, shape (pixels, K)."""
    flat = pixels.reshape(-1, 1, pixels.shape[-1]).astype(np.int64)
    distances: NDArray[np.int64] = ((flat - palette.astype(np.int64)) ** 2).sum(axis=2)
    return distances


def set_bits(data: bytes) -> Iterator[bytes]:
    """Yield data with each of its bits flipped, one at a time."""
    for i in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[i // 8] ^= 1 << i % 8
        yield bytes(flipped)


def run(
    folder: Path,
    *words: str | os.PathLike[str],
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run kmq in a folder."""
    return subprocess.run(
        [KMQ, *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def succeed(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    """Run kmq, hold it to success and to silence on standard error, and return its output."""
    process = run(folder, *words, stdin=stdin)
    assert (0, b"") == (process.returncode, process.stderr)
    return process.stdout


def fail(folder: Path, *words: str, stdin: bytes = b"", status: int = 1) -> str:
    """Run kmq, hold it to failure in one line without output, and return the line."""
    process = run(folder, *words, stdin=stdin)
    assert (status, b"") == (process.returncode, process.stdout)
    message = process.stderr.decode()
    assert "Traceback" not in message
    if status == 1:
        assert message.startswith("kmq: ")
        assert 1 == len(message.splitlines())
    return message


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def double(task: int, on_share: Callable[[float], None]) -> int | None:
    """Return twice a task; die of some. It is here to be found by processes of its own."""
    on_share(0.5)
    if task == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * task


@contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests of HTTP; give the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files with HTTP Range, and count what is sent."""

    sent = 0

    def do_GET(self) -> None:  # named by http.server
        """Send the range that is asked for."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = self.headers.get("Range")
        if asked is None:
            start, stop, status = 0, len(data), 200
        else:
            first, last = asked.removeprefix("bytes=").split("-")
            start, stop, status = int(first), min(int(last or len(data)) + 1, len(data)), 206
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        RangeHandler.sent += stop - start
        self.wfile.write(data[start:stop])

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""
