"""What commands show of long work: on a terminal only, not before a second, and nothing that stays."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import KMQ, names, photo

import kmcodec
from kmcodec.cli import progress as module
from kmcodec.cli.progress import Progress

pty = pytest.importorskip("pty", reason="there are no terminals here")


class FakeTerminal:
    """Keep what is written to it."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def isatty(self) -> bool:
        """Pretend."""
        return True

    def write(self, text: str) -> int:
        """Keep text."""
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def lines(self) -> list[str]:
        """Return what was shown, one after another."""
        return [line for line in "".join(self.written).split("\r\x1b[K") if line]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """Return a terminal that is standard error, for somebody without patience."""
    fake = FakeTerminal()
    monkeypatch.setattr(module, "sys", types.SimpleNamespace(stderr=fake))
    for name in ("_PATIENCE", "_PAUSE"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "_TICK", 0.01)
    return fake


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition is true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_share_says_what_is_left(terminal: FakeTerminal) -> None:
    """A time is told from the first thing done on, and the line is cleared."""
    with Progress() as progress:
        progress.show_share("coding", 0, 4)
        progress.show_share("coding", 2, 4)
    assert ["coding: 0 %", "coding: 50 %, 0 s left"] == terminal.lines()
    assert "".join(terminal.written).endswith("\r\x1b[K")


def test_task_has_a_clock_of_its_own(terminal: FakeTerminal) -> None:
    """A task is shown again and again while nothing is heard of it, and only until something else is told."""
    with Progress() as progress:
        progress.show_task("SSIM", 1, 3)
        wait_until(lambda: len(terminal.lines()) > 3)
        assert {"SSIM: step 2 of 3, 0 s"} == set(terminal.lines())
        progress.show_task("delta E", 3, 3)
        progress.show_task("drawing")
        progress.show_step("k-means", 4, 10)
        count = len(terminal.lines())
        assert ["delta E: step 3 of 3, 0 s", "drawing: 0 s", "k-means: iteration 5 of at most 10"] == [
            line for line in terminal.lines() if "SSIM" not in line
        ]
        time.sleep(0.1)
        assert count == len(terminal.lines())
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_tick)")]


def test_impatience_is_not_needed(terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done within a second shows nothing; nor does anything where there is no terminal."""
    monkeypatch.setattr(module, "_PATIENCE", 1.0)
    with Progress() as progress:
        progress.show_task("SSIM")
        progress.show_share("coding", 1, 2)
    assert [] == terminal.written
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    monkeypatch.setattr(FakeTerminal, "isatty", lambda self: False)
    with Progress() as progress:
        progress.show_task("SSIM")
        progress.show_share("coding", 1, 2)
    assert [] == terminal.written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a picture that takes long, and its file."""
    folder = tmp_path_factory.mktemp("long")
    pixels = photo(900, 1200)
    Image.fromarray(pixels).save(folder / "a.png", compress_level=1)
    (folder / "a.kmq").write_bytes(kmcodec.encode(pixels, 64))
    return folder


def read_all(descriptor: int) -> Iterator[bytes]:
    """Yield what is shown on a terminal until it is closed."""
    while select.select([descriptor], [], [], 120)[0]:
        try:
            data = os.read(descriptor, 1 << 16)
        except OSError:
            # What Linux says at the end.
            return
        if not data:
            return
        yield data


def test_commands_show_what_they_do(folder: Path) -> None:
    """A report on a terminal shows work that takes more than a second, and leaves nothing of it."""
    own, theirs = pty.openpty()
    command = [KMQ, "report", "a.png", "a.kmq", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b"".join(read_all(own)).decode()
        assert process.stdout is not None
        assert b'"codings"' in process.stdout.read()
    os.close(own)
    assert 0 == process.returncode
    # A fast machine may be done within the second.
    lines = [line for line in shown.split("\r\x1b[K") if line]
    task, share = r"(reading|SSIM|delta E): (step \d of 2, )?\d+ s", r"context coding: \d+ %(, \d+ s left)?"
    assert all(re.fullmatch(f"{task}|{share}", line) for line in lines)
    assert not lines or shown.endswith("\r\x1b[K")


INTERRUPTED = {
    "report": ["report", "a.png", "a.kmq", "--compare", "--html", "new.html", "--side-by-side", "new.png"],
    "tune": ["tune", "a.png", "--plot", "new.png"],
    "plot": ["plot", "rgb", "a.png", "-o", "new.png"],
    "animate": ["animate", "a.png", "-k", "6", "-o", "new.gif"],
}


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupted(folder: Path, tmp_path: Path, name: str) -> None:
    """Ctrl-C ends a command at any moment of its work, with one line at most and no part of an output."""
    pytest.importorskip("matplotlib")
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for delay in np.linspace(0.3, 3, 6):
        process = subprocess.Popen(
            [KMQ, *INTERRUPTED[name]], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
        if process.returncode == 0:
            # Done before.
            break
        # Files come whole, and in their turn.
        left = {*names(tmp_path)} - {"a.kmq", "a.png"}
        assert left <= {word for word in INTERRUPTED[name] if word.startswith("new")}
        assert not left or name == "report" or process.returncode == -signal.SIGINT
        for new in left:
            (tmp_path / new).unlink()
        assert b"" == output
        assert (process.returncode, errors) in ((130, b"kmq: interrupted\n"), (-signal.SIGINT, b""))
