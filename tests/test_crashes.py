"""Killed, interrupted, out of space, forbidden, raced: the old file or the new one is there, and one line.

Everything here happens for real, to processes. Nothing depends on when it happens: where a moment is random,
what is asserted holds at every moment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import photo

import kmcodec

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="signals, limits and pipes are a matter of POSIX here"
)

KMQ = shutil.which("kmq", path=str(Path(sys.executable).parent)) or "kmq"

# As a user's shell has it: without buffers, errors of streams come at other places.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
# Threads that nothing here uses are most of what a start costs.
ENVIRONMENT["OPENBLAS_NUM_THREADS"] = "1"

# Seconds after which a process hangs for sure, on a slow machine too.
PATIENCE = 20.0

# Processes that are killed in each test.
KILLS = 25

# What a process that is killed may leave: at most a hidden file that says what it is.
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part")

_T = TypeVar("_T")
_R = TypeVar("_R")


class Ended(NamedTuple):
    """Hold how a process ended."""

    status: int
    output: bytes
    errors: bytes


class Job(NamedTuple):
    """Hold a command, the file that it writes, and what is in it before and after."""

    words: tuple[str, ...]
    output: str
    old: bytes
    new: bytes


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def in_parallel(function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Return function(item) for each item; four at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, items))


def start(
    folder: Path, *words: str | os.PathLike[str], through: Sequence[str] = (), feed: bool = False
) -> subprocess.Popen[bytes]:
    """Start kmq in a folder, through another program if one is given; feed asks for its standard input."""
    return subprocess.Popen(
        [*through, KMQ, *words],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for a process; one that hangs is killed, and fails the test."""
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, output or b"", errors or b"")


def run(folder: Path, *words: str | os.PathLike[str], through: Sequence[str] = ()) -> Ended:
    """Run kmq in a folder."""
    return end(start(folder, *words, through=through))


def run_shell(folder: Path, script: str) -> Ended:
    """Run a line of shell in a folder, in which kmq is "$KMQ"."""
    process = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env={**ENVIRONMENT, "KMQ": KMQ},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


def line_of(ended: Ended, status: int = 1) -> str:
    """Hold a process to a failure in one line without output, and return the line."""
    message = ended.errors.decode()
    assert (status, b"") == (ended.status, ended.output), message
    last = message.splitlines()[-1]
    # Below the usage, if that was wrong.
    assert last.startswith("kmq: " if status == 1 else "kmq"), message
    assert status == 2 or [last] == message.splitlines()
    return last


def hold(folder: Path, words: Sequence[str], data: bytes) -> subprocess.Popen[bytes]:
    """Start kmq and return when it is at work: it has checked its output, and waits for the rest of data.

    The rest is the last byte. The data has to be more than fits into a pipe.
    """
    process = start(folder, *words, feed=True)
    assert process.stdin is not None
    process.stdin.write(data[:-1])
    process.stdin.flush()
    return process


def release(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Give a process that is held the rest of its input."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(data[-1:])
        process.stdin.close()
    # So that communicate does not flush it again.
    process.stdin = None


@cache
def noise() -> NDArray[np.uint8]:
    """Return a picture that does not compress, whose file fills more than a pipe."""
    return np.random.default_rng(0).integers(0, 256, (260, 280, 3), np.uint8)


@cache
def encoded(n_colors: int = 256) -> bytes:
    """Return the file of that picture."""
    return kmcodec.encode(noise(), n_colors, effort="fast")


@cache
def bitmap() -> bytes:
    """Return that picture as any program would have it."""
    height, width, _ = noise().shape
    return b"P6 %d %d 255\n" % (width, height) + noise().tobytes()


@cache
def small() -> bytes:
    """Return another file, which is complete as well."""
    return kmcodec.encode(photo(), 16)


def fill(folder: Path) -> Path:
    """Make a folder with all that commands read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "noise.ppm").write_bytes(bitmap())
    np.save(folder / "noise.npy", noise())
    (folder / "noise.kmq").write_bytes(encoded())
    return folder


@cache
def jobs() -> dict[str, Job]:
    """Return the commands that write files, by a name."""
    png = ("decode", "noise.kmq", "-o", "out/new.png")
    npy = ("decode", "noise.kmq", "-o", "out/new.npy")
    whole = ("encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", "out/new.kmq")
    rows = ("encode", "noise.npy", "-k", "256", "--effort", "fast", "-o", "out/new.kmq")
    drawing = ("report", "noise.ppm", "noise.kmq", "--side-by-side", "out/new.png")
    return {
        "encode": Job(whole, "new.kmq", small(), encoded()),
        "encode rows": Job(rows, "new.kmq", small(), encoded()),
        "decode": Job(png, "new.png", b"an old picture", b""),
        "decode rows": Job(npy, "new.npy", b"an old array", b""),
        "report": Job(drawing, "new.png", b"an old drawing", b""),
    }


JOBS = ["encode", "encode rows", "decode", "decode rows", "report"]


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Job, float]]:
    """Return each job with the file that it writes when nothing happens, and the seconds that it takes."""
    place = tmp_path_factory.mktemp("complete")

    def complete_one(name: str) -> tuple[Job, float]:
        folder = fill(place / name)
        (folder / "out").mkdir()
        job = jobs()[name]
        begin = time.perf_counter()
        ended = run(folder, *job.words)
        seconds = time.perf_counter() - begin
        assert (0, b"") == (ended.status, ended.errors)
        return job._replace(new=(folder / "out" / job.output).read_bytes()), seconds

    done = dict(zip(JOBS, in_parallel(complete_one, JOBS), strict=True))
    assert encoded() == done["encode"][0].new == done["encode rows"][0].new
    return done


def signal_often(
    folder: Path, job: Job, seconds: float, number: int, count: int = KILLS
) -> list[tuple[Ended, list[str]]]:
    """Send a signal at moments that are spread over the whole run of a job, each time to another process.

    Each time the output is the old file or the new one. Return how the processes ended, and what else is
    beside the output.
    """

    def send(i: int) -> tuple[Ended, list[str]]:
        place = fill(folder / str(i))
        (place / "out").mkdir()
        path = place / "out" / job.output
        path.write_bytes(job.old)
        before = names(place)
        process = start(place, *job.words, "--force")
        # Measured with four at a time, as here; now and then a run takes longer.
        time.sleep(1.2 * seconds * i / count)
        process.send_signal(number)
        ended = end(process)
        assert path.read_bytes() in (job.old, job.new)
        assert before == names(place)
        # A success is one, and not a word on the way.
        assert ended.status != 0 or (path.read_bytes(), ended.errors) == (job.new, b"")
        left = [name for name in names(place / "out") if name != job.output]
        # Whatever was left, the next run does its work.
        if left:
            assert 0 == run(place, *job.words, "--force").status
            assert job.new == path.read_bytes()
        shutil.rmtree(place)
        return ended, left

    return in_parallel(send, range(count))


@pytest.mark.parametrize("name", ["encode", "decode rows"])
def test_killed(tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str) -> None:
    """A command that is killed leaves the old file or the new one, and at most a hidden temporary file."""
    for ended, left in signal_often(tmp_path, *complete[name], signal.SIGKILL):
        assert ended.status in (0, -signal.SIGKILL)
        assert b"" == ended.errors
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)


@pytest.mark.parametrize(("name", "signal_name"), [("encode", "SIGTERM"), ("decode rows", "SIGHUP")])
def test_terminated(
    tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str, signal_name: str
) -> None:
    """A command that is told to end leaves the old file or the new one, without a word."""
    number = signal.Signals[signal_name]
    for ended, left in signal_often(tmp_path, *complete[name], number, 12):
        assert ended.status in (0, -number, 128 + number)
        assert len(ended.errors.splitlines()) <= 1
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_is_ignored_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """What nohup, or a shell of what runs in the background, lets a command ignore does not end it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        process = hold(tmp_path, ["encode", "-", "-o", "new.kmq"], bitmap())
    finally:
        signal.signal(number, before)
    process.send_signal(number)
    release(process, bitmap())
    assert 0 == end(process).status


@pytest.mark.parametrize("name", ["encode", "decode rows"])
def test_interrupted_at_any_moment(tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str) -> None:
    """Ctrl-C leaves the old file or the new one, and nothing else, even while Python itself starts."""
    for _, left in signal_often(tmp_path, *complete[name], signal.SIGINT, 12):
        assert [] == left


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["encode", "-", "-k", "256", "--effort", "fast"], "new.kmq"),
        (["decode", "-"], "new.png"),
        (["decode", "-"], "new.npy"),
    ],
)
def test_interrupted_at_work(tmp_path: Path, words: list[str], output: str) -> None:
    """From the moment on that it works, Ctrl-C ends a command with one line at most."""
    data = bitmap() if words[0] == "encode" else encoded()

    def interrupt(i: int) -> tuple[Ended, list[str]]:
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / output).write_bytes(b"old")
        process = hold(folder, [*words, "-o", output, "--force"], data)
        release(process, data)
        time.sleep(0.1 * i / 10)
        process.send_signal(signal.SIGINT)
        return end(process), names(folder)

    for ended, left in in_parallel(interrupt, range(10)):
        # By the signal itself, if all is done but the end of Python.
        expected = ((0, b""), (130, b"kmq: interrupted\n"), (-signal.SIGINT, b""))
        assert (ended.status, ended.errors) in expected
        assert [output] == left


_WRITE_AGAIN = """
import itertools, sys
import numpy as np
import kmcodec

path, kind = sys.argv[1:]
versions = [np.random.default_rng(seed).integers(0, 256, (90, 100, 3), np.uint8) for seed in range(3)]
images = [kmcodec.quantize(version, 200, effort="fast") for version in versions]
print("ready", flush=True)
for i in itertools.cycle(range(3)):
    if kind == "write":
        kmcodec.write(path, versions[i], 200, effort="fast")
        continue
    image = images[i]
    with kmcodec.KmqWriter(path, image.palette, image.width, image.height, strip_rows=7) as writer:
        for start in range(0, image.height, 10):
            writer.append(image.indices[start : start + 10])
"""


@pytest.mark.parametrize("kind", ["write", "KmqWriter"])
def test_killed_while_writing(tmp_path: Path, kind: str) -> None:
    """A program that is killed while it writes again and again leaves a file of which no bit is missing."""
    pictures = [np.random.default_rng(seed).integers(0, 256, (90, 100, 3), np.uint8) for seed in range(3)]
    strip_rows = 7 if kind == "KmqWriter" else None
    versions = [kmcodec.encode(picture, 200, effort="fast", strip_rows=strip_rows) for picture in pictures]

    def kill(i: int) -> None:
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "out.kmq").write_bytes(small())
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITE_AGAIN, "out.kmq", kind],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        # No multiple of the time that writing takes.
        time.sleep(0.0057 * i)
        process.kill()
        assert (-signal.SIGKILL, b"", b"") == end(process)
        data = (folder / "out.kmq").read_bytes()
        assert data in (small(), *versions)
        np.testing.assert_array_equal(kmcodec.decode(data), kmcodec.read(folder / "out.kmq"))
        left = [name for name in names(folder) if name != "out.kmq"]
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)

    in_parallel(kill, range(16))


@pytest.fixture(scope="module")
def mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip a test where no file system can be mounted."""
    try:
        with mounted(tmp_path_factory.mktemp("mounted"), "size=64k"):
            pass
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("mounting needs root, and tmpfs")


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory on a folder."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path, mounting: None) -> Iterator[Path]:
    """Return a folder, out, that is a file system of 64 KiB."""
    out = fill(tmp_path) / "out"
    out.mkdir()
    with mounted(out, "size=64k"):
        yield out


_LIMIT = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.argv[2], sys.argv[2:])
"""


def limiting(size: int) -> list[str]:
    """Return a program that starts another one, which can write no file of more than size bytes."""
    return [sys.executable, "-c", _LIMIT, str(size)]


CASES = [(name, is_new) for name in JOBS for is_new in (False, True)]


def test_full_disk(tmp_path: Path, mounting: None) -> None:
    """When the disk is full, that is said in one line, and the old file and nothing else is there."""

    def check(case: tuple[str, bool]) -> None:
        out = fill(tmp_path / "-".join(map(str, case))) / "out"
        out.mkdir()
        with mounted(out, "size=64k"):
            check_refusal(out, jobs()[case[0]], case[1], "No space left on device")

    in_parallel(check, CASES)


@pytest.mark.parametrize("size", [0, 50_000])
def test_limited_file_size(tmp_path: Path, size: int) -> None:
    """When a file may not grow as large as it has to, it is the same."""

    def check(case: tuple[str, bool]) -> None:
        out = fill(tmp_path / "-".join(map(str, case))) / "out"
        out.mkdir()
        check_refusal(out, jobs()[case[0]], case[1], "File too large", through=limiting(size))

    in_parallel(check, CASES if size else CASES[::3])


def check_refusal(out: Path, job: Job, is_new: bool, reason: str, through: Sequence[str] = ()) -> None:
    """Hold a job to a refusal of the file system in one line, with which nothing changes."""
    if not is_new and not (out / job.output).exists():
        (out / job.output).write_bytes(job.old)
    before, beside = names(out), names(out.parent)
    words = job.words if is_new else (*job.words, "--force")
    line = line_of(run(out.parent, *words, through=through))
    assert f"kmq: out/{job.output}: {reason}" == line
    assert (before, beside) == (names(out), names(out.parent))
    assert is_new or job.old == (out / job.output).read_bytes()


def write_whole(path: Path) -> None:
    """Write a picture in one call."""
    kmcodec.write(path, noise(), 256, effort="fast")


def write_rows(path: Path) -> None:
    """Write a picture that is on disk."""
    kmcodec.write(path, np.load(path.parent.parent / "noise.npy", mmap_mode="r"), 256, effort="fast")


def write_strips(path: Path) -> None:
    """Write a picture strip by strip."""
    image = kmcodec.quantize(noise(), 256, effort="fast")
    with kmcodec.KmqWriter(path, image.palette, image.width, image.height, strip_rows=10) as writer:
        for start in range(0, image.height, 15):
            writer.append(image.indices[start : start + 15])


WRITES = [write_whole, write_rows, write_strips]


@pytest.mark.parametrize("write", WRITES)
def test_full_disk_in_python(small_disk: Path, write: Callable[[Path], None]) -> None:
    """In Python, a full disk is the system's OSError, and the old file and nothing else is there."""
    path = small_disk / "new.kmq"
    for before in ([], ["new.kmq"]):
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(path)
        assert errno.ENOSPC == caught.value.errno
        assert before == names(small_disk)
        path.write_bytes(small())
    np.testing.assert_array_equal(kmcodec.decode(small()), kmcodec.read(path))


@pytest.mark.parametrize("write", WRITES)
def test_errors_name_the_file(small_disk: Path, write: Callable[[Path], None]) -> None:
    """The error of a full disk names the file that was asked for, as that of open does."""
    path = small_disk / "new.kmq"
    with pytest.raises(OSError, match="No space left on device") as caught:
        write(path)
    assert str(path) == os.fspath(caught.value.filename or "")


@pytest.mark.parametrize("write", WRITES)
def test_errors_do_not_name_the_temporary_file(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Where a folder refuses a new file, the error names the file that was asked for."""
    out = fill(tmp_path) / "out"
    with pytest.raises(FileNotFoundError) as caught:
        write(out / "new.kmq")
    assert str(out / "new.kmq") == os.fspath(caught.value.filename)


_APPEND_TOO_MUCH = """
import resource, sys
import numpy as np
import kmcodec

indices = np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)
palette = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
writer = kmcodec.KmqWriter("new.kmq", palette, 400, 300, strip_rows=10)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
try:
    for start in range(0, 300, int(sys.argv[1])):
        writer.append(indices[start : start + int(sys.argv[1])])
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
try:
    writer.close()
except (OSError, ValueError):
    print("not closed")
"""


@pytest.mark.parametrize("rows", [10, 150, 300])
def test_failed_append_cannot_be_closed(tmp_path: Path, rows: int) -> None:
    """Once rows could not be written, closing the writer does not put what there is in the file's place."""
    path = tmp_path / "new.kmq"
    path.write_bytes(small())
    process = subprocess.run(
        [sys.executable, "-c", _APPEND_TOO_MUCH, str(rows)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert b"File too large" == process.stdout.splitlines()[0]
    assert small() == path.read_bytes()
    assert b"not closed" == process.stdout.splitlines()[-1]
    assert ["new.kmq"] == names(tmp_path)


# Root may do anything by two capabilities, which are taken from it here. What is root's stays readable.
_OBEY = """
import ctypes, os, sys
if os.geteuid() == 0:
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def obeying(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a program that starts another one to which permissions apply, whoever runs the tests."""
    through = [sys.executable, "-c", _OBEY]
    locked = tmp_path_factory.mktemp("locked")
    locked.chmod(0o500)
    done = subprocess.run([*through, "/bin/sh", "-c", ": >new"], cwd=locked, capture_output=True, check=False)
    locked.chmod(0o700)
    if names(locked) or b"enied" not in done.stderr:
        pytest.skip("permissions do not apply here")
    return through


def test_write_protected_folder(tmp_path: Path, obeying: list[str]) -> None:
    """A folder that takes no new file is an error of one line; the old file is not written to directly."""

    def check(case: tuple[str, bool]) -> None:
        out = fill(tmp_path / "-".join(map(str, case))) / "out"
        out.mkdir()
        job = jobs()[case[0]]
        if not case[1]:
            (out / job.output).write_bytes(job.old)
        out.chmod(0o500)
        try:
            check_refusal(out, job, case[1], "Permission denied", obeying)
        finally:
            out.chmod(0o700)

    in_parallel(check, CASES)


def test_write_protected_file_system(tmp_path: Path, mounting: None) -> None:
    """A file system that is mounted for reading is an error of one line."""
    with contextlib.ExitStack() as stack:
        # All before any process is started, which for a moment would have a copy of an open file.
        for name in JOBS:
            job, out = jobs()[name], fill(tmp_path / name) / "out"
            out.mkdir()
            stack.enter_context(mounted(out, "size=64k"))
            (out / job.output).write_bytes(job.old)
            subprocess.run(["mount", "-o", "remount,ro", out], check=True)

        def check(name: str) -> None:
            check_refusal(tmp_path / name / "out", jobs()[name], False, "Read-only file system")

        in_parallel(check, JOBS)


def test_write_protected_file(tmp_path: Path, obeying: list[str]) -> None:
    """A write-protected file is replaced on request only, as by mv -f, and stays write-protected."""
    path = fill(tmp_path) / "new.kmq"
    path.write_bytes(small())
    path.chmod(0o444)
    words = ["encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", "new.kmq"]
    assert "kmq: new.kmq: exists already; --force replaces it" == line_of(
        run(tmp_path, *words, through=obeying)
    )
    assert small() == path.read_bytes()
    assert 0 == run(tmp_path, *words, "--force", through=obeying).status
    assert encoded() == path.read_bytes()
    assert 0o444 == stat.S_IMODE(path.stat().st_mode)


def test_unreadable_input(tmp_path: Path, obeying: list[str]) -> None:
    """A file that may not be read is named in one line, and nothing is written."""
    (fill(tmp_path) / "secret").write_bytes(encoded())
    (tmp_path / "secret").chmod(0)
    before = names(tmp_path)

    def check(words: str) -> None:
        line = line_of(run(tmp_path, *words.split(), through=obeying))
        assert (words, "kmq: secret: Permission denied") == (words, line)

    commands = [
        "encode secret -o new.kmq",
        "encode noise.ppm --palette secret -o new.kmq",
        "decode secret -o new.png",
        "decode secret -o new.png --salvage",
        "info secret",
        "verify secret",
        "report secret noise.kmq",
        "report noise.ppm secret --side-by-side new.png",
    ]
    in_parallel(check, commands)
    assert before == names(tmp_path)


PRINTING = [
    ["encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", "new.kmq", "--force"],
    ["encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", "new.kmq", "--force", "--json"],
    ["encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", "-"],
    ["decode", "noise.kmq", "-o", "-"],
    ["decode", "noise.kmq", "-o", "-", "--region", "0,0,2,2"],
    ["info", "noise.kmq", "--json"],
    ["verify", "noise.kmq"],
    ["report", "noise.ppm", "noise.kmq"],
]
EXPLAINING = [["--version"], ["--help"], ["encode", "--help"]]


@pytest.mark.parametrize("commands", [PRINTING, EXPLAINING], ids=["results", "help"])
@pytest.mark.parametrize("sink", ["pipe", "/dev/full"])
def test_standard_output_that_takes_nothing(tmp_path: Path, sink: str, commands: list[list[str]]) -> None:
    """Whatever a command prints, a pipe without a reader and a full disk are errors of one line."""
    fill(tmp_path)
    reason = "closed by its reader"
    if sink == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        if not Path(sink).exists():
            pytest.skip("no such device here")
        writing, reason = os.open(sink, os.O_WRONLY), "No space left on device"

    def check(words: list[str]) -> tuple[list[str], int, str]:
        process = subprocess.run(
            [KMQ, *words],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE,
        )
        return words, process.returncode, process.stderr.decode()

    ended = in_parallel(check, commands)
    os.close(writing)
    assert [(words, 1, f"kmq: standard output: {reason}\n") for words in commands] == ended
    # What was written before the words about it is there.
    if commands is PRINTING:
        assert encoded() == (tmp_path / "new.kmq").read_bytes()


@pytest.mark.parametrize("commands", [PRINTING, EXPLAINING], ids=["results", "help"])
def test_reader_that_goes_away(tmp_path: Path, commands: list[list[str]]) -> None:
    """A reader that has enough, as head and true, makes a command end: well, or with one line."""
    fill(tmp_path)

    def check(case: tuple[list[str], int]) -> None:
        words, count = case
        process = start(tmp_path, *words)
        assert process.stdout is not None
        # Past the buffer, which may be larger than all that comes.
        os.read(process.stdout.fileno(), count)
        process.stdout.close()
        process.stdout = None
        ended = end(process)
        line = b"kmq: standard output: closed by its reader\n"
        assert (ended.status, ended.errors) in ((0, b""), (1, line))
        # More than a pipe takes.
        assert ended.status == 1 or words[-1] != "-"

    in_parallel(
        check, [(words, count) for words in commands for count in (0, 10) if count == 0 or words[-1] == "-"]
    )


def test_closed_standard_error(tmp_path: Path) -> None:
    """Without standard error, work is done as ever, errors show in the status, and no word goes elsewhere."""

    def check(closed: str) -> None:
        folder = fill(tmp_path / str(len(closed)))
        words = "noise.ppm -k 256 --effort fast -o new.kmq --quiet"
        assert (0, b"", b"") == run_shell(folder, f'"$KMQ" encode {words} {closed}')
        assert encoded() == (folder / "new.kmq").read_bytes()
        assert (1, b"", b"") == run_shell(folder, f'"$KMQ" decode noise.ppm -o new.png {closed}')
        assert (1, b"", b"") == run_shell(folder, f'"$KMQ" verify noise.ppm {closed}')
        assert (2, b"", b"") == run_shell(folder, f'"$KMQ" encode {closed}')
        assert ["new.kmq", "noise.kmq", "noise.npy", "noise.ppm"] == names(folder)

    in_parallel(check, ("2>&-", "<&- 2>&-", "<&- >&- 2>&-"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_full_standard_error(tmp_path: Path) -> None:
    """Words that standard error does not take change neither the status nor what is written."""
    fill(tmp_path)
    # Of this one something is to be said.
    Image.fromarray(photo()).save(tmp_path / "noted.png", icc_profile=b"no profile")
    assert b"left out" in run(tmp_path, "encode", "noted.png", "-k", "16", "-o", "noted.kmq").errors
    expected = (tmp_path / "noted.kmq").read_bytes()
    ended = run_shell(tmp_path, '"$KMQ" encode noted.png -k 16 -o new.kmq --json 2>/dev/full')
    assert 0 == ended.status
    assert expected == (tmp_path / "new.kmq").read_bytes()
    assert (1, b"") == run_shell(tmp_path, '"$KMQ" decode noise.ppm -o new.png 2>/dev/full')[:2]
    ended = run_shell(tmp_path, '"$KMQ" verify noise.ppm noise.kmq 2>/dev/full')
    assert (1, b"noise.kmq: intact\n1 file intact; 1 failed\n") == ended[:2]


def test_closed_or_empty_standard_input(tmp_path: Path) -> None:
    """Without standard input, or with nothing in it, a command that needs it says so in one line."""
    before = names(fill(tmp_path))
    commands = [
        "encode - -o new.kmq",
        "decode - -o new.png",
        "decode - -o new.png --salvage",
        "info -",
        "verify -",
        "report - noise.kmq",
        "report noise.ppm -",
    ]

    def check(script: str) -> None:
        assert "kmq: standard input: " in line_of(run_shell(tmp_path, script))

    in_parallel(check, [f'"$KMQ" {words} {way}' for words in commands for way in ("<&-", "</dev/null")])
    assert before == names(tmp_path)


def test_closed_standard_output_for_a_picture(tmp_path: Path) -> None:
    """A picture for a standard output that is closed is not lost without an error."""
    fill(tmp_path)
    for words in ("encode noise.ppm -o -", "decode noise.kmq -o -"):
        assert "kmq: standard output: " in line_of(run_shell(tmp_path, f'"$KMQ" {words} >&-'))


ROUNDS = 3


@pytest.mark.parametrize("is_old", [False, True])
def test_race_with_force(tmp_path: Path, is_old: bool) -> None:
    """Of four processes that replace one file at once, all succeed, and one of their files is there."""
    versions = [encoded(n_colors) for n_colors in (256, 255, 254, 253)]
    for i in range(ROUNDS):
        folder = tmp_path / str(i)
        folder.mkdir()
        if is_old:
            (folder / "new.kmq").write_bytes(small())
        ended = race(
            folder,
            [
                ["encode", "-", "-k", str(k), "--effort", "fast", "-o", "new.kmq", "--force"]
                for k in range(256, 252, -1)
            ],
        )
        assert [(0, b"")] * 4 == [(status, errors) for status, _, errors in ended]
        assert (folder / "new.kmq").read_bytes() in versions
        assert ["new.kmq"] == names(folder)


def test_race_without_force(tmp_path: Path) -> None:
    """Of four processes that write one new file at once, one succeeds, and the file is its."""
    for i in range(ROUNDS):
        folder = tmp_path / str(i)
        folder.mkdir()
        ended = race(
            folder,
            [["encode", "-", "-k", str(k), "--effort", "fast", "-o", "new.kmq"] for k in range(256, 252, -1)],
        )
        winners = [j for j in range(4) if ended[j].status == 0]
        assert 1 == len(winners)
        for j in set(range(4)) - set(winners):
            assert "kmq: new.kmq: exists already; --force replaces it" == line_of(ended[j])
        assert encoded(256 - winners[0]) == (folder / "new.kmq").read_bytes()
        assert ["new.kmq"] == names(folder)


def race(folder: Path, commands: Sequence[Sequence[str]]) -> list[Ended]:
    """Run commands side by side, which all have checked their outputs before the first one may write."""
    processes = in_parallel(lambda words: hold(folder, words, bitmap()), commands)
    for process in processes:
        release(process, bitmap())
    return in_parallel(end, processes)


@pytest.mark.parametrize(
    "cases",
    [
        [
            ("encode noise.ppm -o new", "noise.ppm"),
            ("encode noise.npy -o new", "noise.npy"),
            ("decode noise.kmq --region 0,0,2,2 -o new.png", "noise.kmq"),
            ("decode noise.kmq --salvage -o new.npy", "noise.kmq"),
        ],
        [("encode noise.ppm --palette few.hex -o new", "few.hex")],
        [
            ("report noise.ppm noise.kmq --side-by-side new", "noise.ppm"),
            ("report noise.ppm noise.kmq --side-by-side new", "noise.kmq"),
        ],
    ],
    ids=["picture", "palette", "report"],
)
def test_no_input_is_the_output(tmp_path: Path, cases: list[tuple[str, str]]) -> None:
    """Nothing that a command reads is what it writes, not even with --force, whatever it is called."""

    def check(i: int) -> None:
        folder = fill(tmp_path / str(i))
        (folder / "few.hex").write_text("000000\nffffff\n")
        words, source = cases[i // 2][0].split(), folder / cases[i // 2][1]
        if i % 2:
            (folder / words[-1]).hardlink_to(source)
        else:
            (folder / words[-1]).symlink_to(source)
        before, data = names(folder), source.read_bytes()
        assert "is the input itself" in line_of(run(folder, *words, "--force"), status=2)
        assert data == source.read_bytes()
        assert before == names(folder)

    in_parallel(check, range(2 * len(cases)))


@pytest.mark.parametrize(
    "cases",
    [
        [
            ("info folder", "Is a directory"),
            ("verify folder", "no .kmq files in this folder"),
            ("report folder noise.kmq", "Is a directory"),
            ("report noise.ppm folder", "Is a directory"),
            ("decode noise.kmq -o folder --force", "is a folder"),
            ("report noise.ppm noise.kmq --side-by-side folder --force", "is a folder"),
            ("encode noise.ppm -o folder/ --force", "is a folder"),
            ("encode noise.ppm -o way --force", "is a folder"),
            ("encode noise.ppm -o round --force", "Too many levels of symbolic links"),
        ],
        # What ends like a folder is meant to be one.
        [("encode noise.ppm -o nothing/", "folder")],
    ],
    ids=["there", "missing"],
)
def test_folders_and_links_astray(tmp_path: Path, cases: list[tuple[str, str]]) -> None:
    """A folder, a link to one, and a link to itself are refused in one line, and stay what they are."""
    (fill(tmp_path) / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "round").symlink_to("round")
    before = names(tmp_path)

    def check(case: tuple[str, str]) -> None:
        assert case[1] in line_of(run(tmp_path, *case[0].split()))

    in_parallel(check, cases)
    assert (before, []) == (names(tmp_path), names(tmp_path / "folder"))


@pytest.mark.parametrize("source", ["empty", "/dev/null"])
def test_no_bytes(tmp_path: Path, source: str) -> None:
    """A file without a byte is refused in one line that names it, and nothing is written."""
    (fill(tmp_path) / "empty").touch()
    before = names(tmp_path)

    def check(words: str) -> None:
        line = line_of(run(tmp_path, *words.replace("SOURCE", source).split()))
        assert line.startswith(f"kmq: {source}: ")

    commands = [
        "encode SOURCE -o new.kmq",
        "encode noise.ppm --palette SOURCE -o new.kmq",
        "decode SOURCE -o new.png",
        "decode SOURCE -o new.npy --salvage",
        "info SOURCE",
        "info SOURCE --json",
        "verify SOURCE",
        "report SOURCE noise.kmq",
        "report noise.ppm SOURCE --side-by-side new.png",
    ]
    in_parallel(check, commands)
    assert before == names(tmp_path)


def feed(fifo: Path, data: bytes) -> threading.Thread:
    """Write data to a named pipe from a thread, which waits for a reader."""

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), fifo.open("wb") as file:
            file.write(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_named_pipe_as_input(tmp_path: Path) -> None:
    """A file, and the original of a report, are read from a named pipe as from anywhere."""

    def check(case: tuple[str, bytes, bytes]) -> None:
        words, data, expected = case
        folder = fill(tmp_path / words.replace(" ", "-"))
        os.mkfifo(folder / "fifo")
        thread = feed(folder / "fifo", data)
        ended = run(folder, *words.split())
        thread.join(PATIENCE)
        assert (0, b"") == (ended.status, ended.errors)
        assert expected in ended.output
        if words.startswith("decode"):
            np.testing.assert_array_equal(kmcodec.decode(encoded()), np.load(folder / "new.npy"))

    cases = [
        ("decode fifo -o new.npy", encoded(), b""),
        ("info fifo", encoded(), b"280 x 260"),
        ("verify fifo", encoded(), b"fifo: intact"),
        ("report noise.ppm fifo", encoded(), b"PSNR"),
        ("report fifo noise.kmq", bitmap(), b"PSNR"),
    ]
    in_parallel(check, cases)


@pytest.mark.parametrize("is_named", [False, True])
def test_pipe_as_picture(tmp_path: Path, is_named: bool) -> None:
    """A picture is read from a named pipe, and from one that a shell gives a name, as from anywhere."""
    fill(tmp_path)
    words = ["-k", "256", "--effort", "fast", "-o", "new.kmq", "--quiet"]
    if is_named:
        os.mkfifo(tmp_path / "fifo")
        thread = feed(tmp_path / "fifo", bitmap())
        ended = run(tmp_path, "encode", "fifo", *words)
        thread.join(PATIENCE)
    else:
        ended = run_shell(tmp_path, f'cat noise.ppm | "$KMQ" encode /dev/fd/0 {" ".join(words)}')
    assert (0, b"", b"") == ended
    assert encoded() == (tmp_path / "new.kmq").read_bytes()


def test_pipe_as_palette(tmp_path: Path) -> None:
    """A palette is read from a pipe as from anywhere."""
    fill(tmp_path)
    ended = run_shell(
        tmp_path,
        'printf "000000\\nffffff\\n" | "$KMQ" encode noise.ppm --palette /dev/fd/0 -o new.kmq --quiet',
    )
    assert (0, b"", b"") == ended
    assert (
        kmcodec.encode(noise(), palette=[(0, 0, 0), (255, 255, 255)]) == (tmp_path / "new.kmq").read_bytes()
    )


def test_named_pipe_as_output(tmp_path: Path, complete: dict[str, tuple[Job, float]]) -> None:
    """A named pipe is written to, and stays a pipe; one whose reader goes away is an error of one line."""

    def check(name: str) -> None:
        job, folder = complete[name][0], fill(tmp_path / name)
        (folder / "out").mkdir()
        fifo = folder / "out" / job.output
        os.mkfifo(fifo)
        process = start(folder, *job.words)
        assert job.new == fifo.read_bytes()
        ended = end(process)
        assert (0, b"") == (ended.status, ended.errors)
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        process = start(folder, *job.words)
        with fifo.open("rb", buffering=0) as file:
            file.read(10)
        assert f"kmq: out/{job.output}: Broken pipe" == line_of(end(process))
        assert [job.output] == names(folder / "out")

    in_parallel(check, ("encode", "encode rows", "decode", "decode rows"))


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_pipe_by_its_number_as_output(tmp_path: Path, name: str) -> None:
    """A pipe that has only a number, as a shell makes them of >(...), is written to."""
    fill(tmp_path)
    ended = run_shell(tmp_path, f'"$KMQ" encode noise.ppm -k 256 --effort fast --quiet -o {name} | cat')
    assert (0, encoded(), b"") == ended


def test_long_names(tmp_path: Path) -> None:
    """Names as long as a file system takes are taken; one that would be too long is refused in one line."""
    if sys.platform == "darwin":
        pytest.skip("names are counted in characters there")
    fill(tmp_path)
    longest = os.fsdecode(b"\xff" * 251) + ".kmq"
    assert 0 == run(tmp_path, "encode", "noise.ppm", "-k", "256", "--effort", "fast", "-o", longest).status
    assert encoded() == (tmp_path / longest).read_bytes()
    assert 0 == run(tmp_path, "decode", longest).status
    picture = "n" * 253 + ".p"
    (tmp_path / picture).write_bytes(bitmap())
    before = names(tmp_path)
    for words in (["encode", picture], ["encode", "noise.ppm", "-o", "n" * 256], ["info", "n" * 256]):
        assert "File name too long" in line_of(run(tmp_path, *words))
    assert before == names(tmp_path)


def test_leading_dashes(tmp_path: Path) -> None:
    """A name that begins with a dash is taken after two dashes, and behind a folder."""
    fill(tmp_path)
    (tmp_path / "-n.ppm").write_bytes(bitmap())
    assert (0, b"") == run(tmp_path, "encode", "-k", "256", "--effort", "fast", "--quiet", "--", "-n.ppm")[:2]
    assert encoded() == (tmp_path / "-n.kmq").read_bytes()
    assert (0, b"./-n.kmq: intact\n", b"") == run(tmp_path, "verify", "./-n.kmq")
    assert (0, b"-n.kmq: intact\n", b"") == run(tmp_path, "verify", "--", "-n.kmq")
    assert (0, b"", b"") == run(tmp_path, "decode", "--", "-n.kmq")
    assert (tmp_path / "-n.png").exists()


def test_names_in_messages(tmp_path: Path) -> None:
    """An output whose name, or whose folder's name, breaks lines does not break the message."""

    def check(name: str) -> None:
        folder = fill(tmp_path / name)
        path = Path(name, "noise.kmq")
        assert "exists already" in line_of(run(tmp_path, "encode", Path(name, "noise.ppm")))
        assert "exists already" in line_of(run(tmp_path, "encode", "noise.ppm", "-o", path))
        assert "No such file" in line_of(run(tmp_path, "info", Path(name, "none")))
        assert "its folder" in line_of(run(folder, "encode", "noise.ppm", "-o", Path(name, name)))
        assert encoded() == (tmp_path / path).read_bytes()

    in_parallel(check, ("two\nlines", "\x1b[31m", "\r", os.fsdecode(b"\xff\n")))


HELD = [
    (["encode", "-", "-k", "256", "--effort", "fast", "-o", "out/new.kmq"], "new.kmq"),
    (["decode", "-", "-o", "out/new.png"], "new.png"),
    (["decode", "-", "-o", "out/new.npy"], "new.npy"),
]


def each_held(folder: Path, check: Callable[[Path, list[str], str, bytes], None]) -> None:
    """Call check(folder, words, output, data) for each command that can be held, with and without --force."""

    def call(i: int) -> None:
        words, output = HELD[i // 2]
        (folder / str(i) / "out").mkdir(parents=True)
        data = bitmap() if words[0] == "encode" else encoded()
        check(folder / str(i), words + ["--force"] * (i % 2), output, data)

    in_parallel(call, range(2 * len(HELD)))


def test_folder_that_goes_away(tmp_path: Path) -> None:
    """A folder that is removed while the work is done is an error of one line, and is not made again."""

    def check(folder: Path, words: list[str], output: str, data: bytes) -> None:
        process = hold(folder, words, data)
        (folder / "out").rmdir()
        release(process, data)
        assert f"kmq: out/{output}: No such file or directory" == line_of(end(process))
        assert [] == names(folder)

    each_held(tmp_path, check)


def test_folder_that_comes(tmp_path: Path) -> None:
    """A folder that takes the output's place while the work is done stays, and is an error of one line."""

    def check(folder: Path, words: list[str], output: str, data: bytes) -> None:
        path = folder / "out" / output
        if "--force" in words:
            path.write_bytes(b"old")
        process = hold(folder, words, data)
        path.unlink(missing_ok=True)
        path.mkdir()
        release(process, data)
        assert line_of(end(process)).startswith(f"kmq: out/{output}: ")
        assert ([output], []) == (names(folder / "out"), names(path))

    each_held(tmp_path, check)


def test_file_that_comes(tmp_path: Path) -> None:
    """A file that takes the output's place while the work is done is replaced on request only."""

    def check(folder: Path, words: list[str], output: str, data: bytes) -> None:
        path = folder / "out" / output
        process = hold(folder, words, data)
        path.write_bytes(b"theirs")
        release(process, data)
        ended = end(process)
        if "--force" in words:
            assert 0 == ended.status
            assert b"theirs" != path.read_bytes()
        else:
            assert f"kmq: out/{output}: exists already; --force replaces it" == line_of(ended)
            assert b"theirs" == path.read_bytes()
        assert [output] == names(folder / "out")

    each_held(tmp_path, check)


@pytest.mark.parametrize("name", ["encode rows", "decode rows"])
def test_folder_that_goes_away_while_it_is_written_to(
    tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str
) -> None:
    """A folder that is removed with the temporary file in it is an error of one line."""
    job = complete[name][0]

    def remove(i: int) -> None:
        place = fill(tmp_path / str(i))
        out = place / "out"
        out.mkdir()
        before = set(names(place)) - {"out"}
        process = start(place, *job.words)
        while process.poll() is None and not names(out):
            time.sleep(0.0005)
        # So that nothing comes while all is removed.
        process.send_signal(signal.SIGSTOP)
        shutil.rmtree(out)
        process.send_signal(signal.SIGCONT)
        ended = end(process)
        # It may have been done before.
        assert ended.status == 0 or (f"kmq: out/{job.output}: No such file or directory" == line_of(ended))
        assert before == set(names(place))

    in_parallel(remove, range(4))
