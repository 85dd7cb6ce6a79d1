"""Long work says how far it is, and ends soon when it is interrupted."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import KMQ, photo

import kmcodec
from kmcodec.cli.progress import Progress
from kmcodec.coding import context
from kmcodec.container.reader import KmqReader
from kmcodec.container.salvage import Salvager
from kmcodec.container.writer import write_image
from kmcodec.image import IndexedImage
from kmcodec.threads import StoppedError, Workers

# Percent of the work that may go on after an interrupt; other work of the machine does not change it.
SOON = 15


class Log:
    """Keep what is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        """Be told."""
        self.told.append((name, done, total))

    def check(self, name: str, total: int, least: int = 1) -> None:
        """Hold what was told to one name, one total, and a sum that grows up to it."""
        assert least <= len(self.told)
        assert {(name, total)} == {(name, total) for name, _, total in self.told}
        done = [done for _, done, _ in self.told]
        assert sorted(done) == done
        assert total == done[-1]
        self.told.clear()


@pytest.fixture(scope="module")
def noise() -> IndexedImage:
    """Return a picture of two strips of 2,000,000 pixels that take seconds to code."""
    rng = np.random.default_rng(0)
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return IndexedImage(palette, rng.integers(0, 256, (2000, 2000), np.uint8))


@pytest.fixture(scope="module")
def files(noise: IndexedImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with that picture in both codings, and as any program has it."""
    folder = tmp_path_factory.mktemp("noise")
    (folder / "noise.pgm").write_bytes(b"P5 2000 2000 255\n" + noise.indices.tobytes())
    np.save(folder / "noise.npy", noise.to_rgb())
    (folder / "packed.kmq").write_bytes(write_image(noise, strip_rows=1000))
    (folder / "context.kmq").write_bytes(write_image(noise, strip_rows=1000, coding="context"))
    return folder


ENCODE = ["-k", "256", "--coding", "context", "--strip-rows", "1000", "--threads", "2", "-o", "new.kmq"]


@pytest.mark.skipif(os.name == "nt", reason="terminals and signals are a matter of POSIX here")
@pytest.mark.skipif(not kmcodec.COMPILED, reason="takes hours")
@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["encode", "noise.pgm", *ENCODE], "writing"),
        (["encode", "noise.npy", *ENCODE], "writing"),
        (["recode", "packed.kmq", *ENCODE[2:]], "recoding"),
        (["recode", "context.kmq", "--coding", "packed", "--force"], "recoding"),
        (["verify", "context.kmq"], "checking"),
        (["decode", "context.kmq"], "decoding"),
        (["decode", "context.kmq", "-o", "new.npy"], "decoding"),
        (["decode", "context.kmq", "--salvage"], "decoding"),
        (["decode", "context.kmq", "--region", "0,990,10,10"], "decoding"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else value,
)
def test_at_a_terminal(files: Path, words: list[str], label: str) -> None:
    """The share that is done grows in the midst of strips; then Ctrl-C ends all soon, and leaves nothing."""
    import pty

    before = {path.name: path.read_bytes() for path in files.iterdir()}
    ours, theirs = pty.openpty()
    shown, shares = "", list[int]()
    with subprocess.Popen([KMQ, *words], cwd=files, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        while len(set(shares)) < 3 and (more := read(ours)):
            shown += more
            shares = [int(share) for share in re.findall(rf"\r\x1b\[K{label}: (\d+) %, .*? left", shown)]
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    while more := read(ours):
        shown += more
    os.close(ours)
    assert len(set(shares)) >= 3, shown
    assert sorted(shares) == shares
    later = [int(share) for share in re.findall(rf"{label}: (\d+) %", shown)]
    assert later[-1] - shares[-1] < SOON
    assert (130, b"") == (process.returncode, output)
    assert shown.endswith("\r\x1b[Kkmq: interrupted\r\n")
    assert before == {path.name: path.read_bytes() for path in files.iterdir()}


def read(terminal: int) -> str:
    """Return what comes from a terminal, nothing if its other side is closed."""
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        return ""


@pytest.mark.skipif(not kmcodec.COMPILED, reason="takes hours")
def test_nothing_is_shown_elsewhere(files: Path) -> None:
    """Where standard error is no terminal, long work is done without a word."""
    words = ["decode", "context.kmq", "--region", "0,600,10,10", "-o", "-"]
    process = subprocess.run([KMQ, *words], cwd=files, capture_output=True, check=False)
    assert (0, b"") == (process.returncode, process.stderr)
    assert process.stdout.startswith(b"\x89PNG")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("coding", ["packed", "context"])
def test_in_python(coding: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers and writers tell pixels done and in all, in the midst of context-coded strips."""
    monkeypatch.setattr(context, "_PIXELS_AT_A_TIME", 130)
    log, image = Log(), kmcodec.quantize(photo(), 16)
    pixels = 64 * 48
    steps = 24 if coding == "context" else 6
    data = write_image(image, strip_rows=8, coding=coding, threads=threads, on_progress=log)
    log.check("writing", pixels, steps)
    reader = KmqReader(data, on_progress=log)
    reader.indices(threads=threads)
    log.check("decoding", pixels, steps)
    reader.pixels(threads=threads)
    log.check("decoding", pixels, steps)
    reader.verify(threads=threads)
    log.check("checking", pixels, steps)
    for _ in reader.strips(at_a_time=2, threads=threads):
        pass
    log.check("decoding", pixels, steps)
    # Of the strips from row 8 on, all that lies above row 31.
    reader.region(3, 10, 7, 21)
    log.check("decoding", 64 * (31 - 8))
    for _ in Salvager(data, on_progress=log).runs():
        pass
    log.check("decoding", pixels, steps)
    expected = kmcodec.encode(photo(), 16, coding=coding, strip_rows=8, on_progress=log)  # type: ignore[call-overload, arg-type, unused-ignore]
    assert data == expected
    log.check("writing", pixels, steps)


def test_a_strip_that_is_coded_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be done again, since it takes more bytes than noise, is taken back, and is the same."""
    rng = np.random.default_rng(0)
    image = IndexedImage(
        rng.integers(0, 256, (4000, 3), np.uint8), rng.integers(0, 4000, (20, 30)).astype(np.uint16)
    )
    told: list[int] = []
    tree = context.build_tree(image.palette)
    payload = context.encode(image.indices, tree, told.append)
    assert [600] == told
    told.clear()
    monkeypatch.setattr(context, "_SPARE_BYTES", -500)
    assert payload == context.encode(image.indices, tree, told.append)
    assert [600, -600, 600] == told


def test_failures_stop_the_others() -> None:
    """An exception ends the others' work when they tell of it; then the workers can be given other work."""
    ended = threading.Event()
    with Workers(2) as workers:
        tell = workers.count_work("testing", 1)

        def work(number: int) -> int:
            if number == 1:
                try:
                    for _ in itertools.count():
                        tell(1)
                        time.sleep(0.001)
                except StoppedError:
                    ended.set()
                    raise
            if number == 0:
                time.sleep(0.05)
                raise ValueError("zero")
            return number

        with pytest.raises(ValueError, match="zero"):
            workers.map(work, range(9))
        assert ended.is_set()
        assert [2, 3, 4] == workers.map(work, [2, 3, 4])
        tell(1)


def test_damage_stops_the_others(files: Path) -> None:
    """A damaged strip is reported as it is alone, and no other is decoded to its end."""
    data = bytearray((files / "context.kmq").read_bytes())
    data[KmqReader(data).header.strip_offset(0) + 5] ^= 1
    log = Log()
    with pytest.raises(kmcodec.KmqFormatError, match="strip_crc of strip 0"):
        KmqReader(data, on_progress=log).verify(threads=2)
    assert not log.told or log.told[-1][1] < 2_000_000


def test_works_that_take_turns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined works are shown as one, others not at all, and the line is cleared."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("kmcodec.cli.progress._PATIENCE", 0)
    monkeypatch.setattr("kmcodec.cli.progress._PAUSE", 0)
    with Progress() as progress:
        progress.join("recoding", ["decoding", "writing"])
        progress.show_share("decoding", 1, 2)
        progress.show_share("counting", 1, 1)
        progress.show_share("writing", 0, 8)
        progress.show_share("writing", 4, 8)
    shown = capsys.readouterr().err.split("\r\x1b[K")
    assert ["25 %", "25 %", "50 %"] == [line.split(", ")[0].split(": ")[1] for line in shown[1:-1]]
    assert "" == shown[-1]
