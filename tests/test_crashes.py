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

# Seconds after which a process hangs for sure, on a slow machine too.
PATIENCE = 20.0

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
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)


@cache
def encoded(n_colors: int = 256) -> bytes:
    """Return the file of that picture."""
    return kmcodec.encode(noise(), n_colors)


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
    whole = ("encode", "noise.ppm", "-k", "256", "-o", "out/new.kmq")
    rows = ("encode", "noise.npy", "-k", "256", "-o", "out/new.kmq")
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
    folder = fill(tmp_path_factory.mktemp("complete"))
    (folder / "out").mkdir()
    done = {}
    for name in JOBS:
        job = jobs()[name]
        run(folder, *job.words, "--force")
        begin = time.perf_counter()
        ended = run(folder, *job.words, "--force")
        seconds = time.perf_counter() - begin
        assert (0, b"") == (ended.status, ended.errors)
        done[name] = (job._replace(new=(folder / "out" / job.output).read_bytes()), seconds)
    assert encoded() == done["encode"][0].new == done["encode rows"][0].new
    return done


def signal_often(folder: Path, job: Job, seconds: float, number: int) -> list[tuple[Ended, list[str]]]:
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
        # A little longer than it takes, since with four at a time it takes longer.
        time.sleep(1.5 * seconds * i / KILLS)
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

    return in_parallel(send, range(KILLS))


@pytest.mark.parametrize("name", ["encode", "encode rows", "decode", "decode rows"])
def test_killed(tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str) -> None:
    """A command that is killed leaves the old file or the new one, and at most a hidden temporary file."""
    for ended, left in signal_often(tmp_path, *complete[name], signal.SIGKILL):
        assert ended.status in (0, -signal.SIGKILL)
        assert b"" == ended.errors
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)


@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
@pytest.mark.parametrize("name", ["encode", "decode rows"])
def test_terminated(
    tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str, number: signal.Signals
) -> None:
    """A command that is told to end leaves the old file or the new one, without a word."""
    for ended, left in signal_often(tmp_path, *complete[name], number):
        assert ended.status in (0, -number, 128 + number)
        assert len(ended.errors.splitlines()) <= 1
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)


@pytest.mark.parametrize("name", ["encode", "decode", "decode rows"])
def test_interrupted_at_any_moment(tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str) -> None:
    """Ctrl-C leaves the old file or the new one, and nothing else, even while Python itself starts."""
    for _, left in signal_often(tmp_path, *complete[name], signal.SIGINT):
        assert [] == left


@pytest.mark.parametrize(
    ("words", "output"),
    [(["encode", "-", "-k", "256"], "new.kmq"), (["decode", "-"], "new.png"), (["decode", "-"], "new.npy")],
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
        time.sleep(0.2 * i / KILLS)
        process.send_signal(signal.SIGINT)
        return end(process), names(folder)

    for ended, left in in_parallel(interrupt, range(KILLS)):
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
images = [kmcodec.quantize(version, 200) for version in versions]
print("ready", flush=True)
for i in itertools.cycle(range(3)):
    if kind == "write":
        kmcodec.write(path, versions[i], 200)
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
    options = {"strip_rows": 7} if kind == "KmqWriter" else {}
    versions = [kmcodec.encode(picture, 200, **options) for picture in pictures]

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
        time.sleep(0.0037 * i)
        process.kill()
        assert (-signal.SIGKILL, b"", b"") == end(process)
        data = (folder / "out.kmq").read_bytes()
        assert data in (small(), *versions)
        np.testing.assert_array_equal(kmcodec.decode(data), kmcodec.read(folder / "out.kmq"))
        left = [name for name in names(folder) if name != "out.kmq"]
        assert len(left) <= 1
        assert all(TEMPORARY.fullmatch(name) for name in left)

    in_parallel(kill, range(KILLS))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder, out, that is a file system of 64 KiB."""
    out = fill(tmp_path) / "out"
    out.mkdir()
    with mounted(out, "size=64k"):
        yield out


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory on a folder, or skip the test where that is refused."""
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("mounting needs root, and tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


_LIMIT = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.argv[2], sys.argv[2:])
"""


def limiting(size: int) -> list[str]:
    """Return a program that starts another one, which can write no file of more than size bytes."""
    return [sys.executable, "-c", _LIMIT, str(size)]


@pytest.mark.parametrize("is_new", [False, True], ids=["replacing", "new"])
@pytest.mark.parametrize("name", JOBS)
def test_full_disk(small_disk: Path, name: str, is_new: bool) -> None:
    """When the disk is full, that is said in one line, and the old file and nothing else is there."""
    job = jobs()[name]
    check_refusal(small_disk, job, is_new, "No space left on device")


@pytest.mark.parametrize("is_new", [False, True], ids=["replacing", "new"])
@pytest.mark.parametrize("size", [0, 1, 50_000])
@pytest.mark.parametrize("name", JOBS)
def test_limited_file_size(tmp_path: Path, name: str, size: int, is_new: bool) -> None:
    """When a file may not grow as large as it has to, it is the same."""
    out = fill(tmp_path) / "out"
    out.mkdir()
    check_refusal(out, jobs()[name], is_new, "File too large", through=limiting(size))


def check_refusal(out: Path, job: Job, is_new: bool, reason: str, through: Sequence[str] = ()) -> None:
    """Hold a job to a refusal of the file system in one line, with which nothing changes."""
    if not is_new:
        (out / job.output).write_bytes(job.old)
    before, beside = names(out), names(out.parent)
    words = job.words if is_new else (*job.words, "--force")
    line = line_of(run(out.parent, *words, through=through))
    assert f"kmq: out/{job.output}: {reason}" == line
    assert (before, beside) == (names(out), names(out.parent))
    assert is_new or job.old == (out / job.output).read_bytes()


def write_whole(path: Path) -> None:
    """Write a picture in one call."""
    kmcodec.write(path, noise(), 256)


def write_rows(path: Path) -> None:
    """Write a picture that is on disk."""
    kmcodec.write(path, np.load(path.parent.parent / "noise.npy", mmap_mode="r"), 256)


def write_strips(path: Path) -> None:
    """Write a picture strip by strip."""
    image = kmcodec.quantize(noise(), 256)
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


@pytest.mark.parametrize("is_new", [False, True], ids=["replacing", "new"])
@pytest.mark.parametrize("name", JOBS)
def test_write_protected_folder(tmp_path: Path, obeying: list[str], name: str, is_new: bool) -> None:
    """A folder that takes no new file is an error of one line; the old file is not written to directly."""
    job, out = jobs()[name], fill(tmp_path) / "out"
    out.mkdir()
    if not is_new:
        (out / job.output).write_bytes(job.old)
    out.chmod(0o500)
    try:
        check_refusal_without_writing(out, job, is_new, "Permission denied", obeying)
    finally:
        out.chmod(0o700)


@pytest.mark.parametrize("name", JOBS)
def test_write_protected_file_system(tmp_path: Path, name: str) -> None:
    """A file system that is mounted for reading is an error of one line."""
    job, out = jobs()[name], fill(tmp_path) / "out"
    out.mkdir()
    with mounted(out, "size=64k"):
        (out / job.output).write_bytes(job.old)
        subprocess.run(["mount", "-o", "remount,ro", out], check=True)
        check_refusal_without_writing(out, job, False, "Read-only file system", [])


def check_refusal_without_writing(
    out: Path, job: Job, is_new: bool, reason: str, through: Sequence[str]
) -> None:
    """As check_refusal, for an output that is as it has to be."""
    words = job.words if is_new else (*job.words, "--force")
    line = line_of(run(out.parent, *words, through=through))
    assert f"kmq: out/{job.output}: {reason}" == line
    assert ([] if is_new else [job.output]) == names(out)
    assert is_new or job.old == (out / job.output).read_bytes()


def test_write_protected_file(tmp_path: Path, obeying: list[str]) -> None:
    """A write-protected file is replaced on request only, as by mv -f, and stays write-protected."""
    path = fill(tmp_path) / "new.kmq"
    path.write_bytes(small())
    path.chmod(0o444)
    words = ["encode", "noise.ppm", "-k", "256", "-o", "new.kmq"]
    assert "kmq: new.kmq: exists already; --force replaces it" == line_of(
        run(tmp_path, *words, through=obeying)
    )
    assert small() == path.read_bytes()
    assert 0 == run(tmp_path, *words, "--force", through=obeying).status
    assert encoded() == path.read_bytes()
    assert 0o444 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "words",
    [
        ["encode", "secret", "-o", "new.kmq"],
        ["encode", "noise.ppm", "--palette", "secret", "-o", "new.kmq"],
        ["decode", "secret", "-o", "new.png"],
        ["decode", "secret", "-o", "new.png", "--salvage"],
        ["info", "secret"],
        ["verify", "secret"],
        ["report", "secret", "noise.kmq"],
        ["report", "noise.ppm", "secret", "--side-by-side", "new.png"],
    ],
)
def test_unreadable_input(tmp_path: Path, obeying: list[str], words: list[str]) -> None:
    """A file that may not be read is named in one line, and nothing is written."""
    (fill(tmp_path) / "secret").write_bytes(encoded())
    (tmp_path / "secret").chmod(0)
    before = names(tmp_path)
    assert "kmq: secret: Permission denied" == line_of(run(tmp_path, *words, through=obeying))
    assert before == names(tmp_path)


PRINTING = [
    ["encode", "noise.ppm", "-k", "256", "-o", "new.kmq", "--force"],
    ["encode", "noise.ppm", "-k", "256", "-o", "new.kmq", "--force", "--json"],
    ["encode", "noise.ppm", "-o", "-"],
    ["decode", "noise.kmq", "-o", "-"],
    ["decode", "noise.kmq", "-o", "-", "--region", "0,0,2,2"],
    ["info", "noise.kmq", "--json"],
    ["verify", "noise.kmq"],
    ["report", "noise.ppm", "noise.kmq"],
    ["--version"],
    ["--help"],
    ["encode", "--help"],
]


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_standard_output_that_takes_nothing(tmp_path: Path, words: list[str]) -> None:
    """Whatever a command prints, a pipe without a reader and a full disk are errors of one line."""
    fill(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    sinks = [(writing, b"closed by its reader")]
    if Path("/dev/full").exists():
        sinks.append((os.open("/dev/full", os.O_WRONLY), b"No space left on device"))
    for sink, reason in sinks:
        process = subprocess.run(
            [KMQ, *words],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=sink,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE,
        )
        os.close(sink)
        assert (1, b"kmq: standard output: " + reason + b"\n") == (process.returncode, process.stderr)
        # What was written before the words about it is there.
        if "new.kmq" in words:
            assert encoded() == (tmp_path / "new.kmq").read_bytes()


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
@pytest.mark.parametrize("count", [0, 10])
def test_reader_that_goes_away(tmp_path: Path, words: list[str], count: int) -> None:
    """A reader that has enough, as head and true, makes a command end: well, or with one line."""
    process = start(fill(tmp_path), *words)
    assert process.stdout is not None
    process.stdout.read(count)
    process.stdout.close()
    process.stdout = None
    ended = end(process)
    line = b"kmq: standard output: closed by its reader\n"
    assert (ended.status, ended.errors) in ((0, b""), (1, line))
    if "-" in words and "--region" not in words:
        # More than a pipe takes.
        assert 1 == ended.status


def test_closed_standard_error(tmp_path: Path) -> None:
    """Without standard error, work is done as ever, errors show in the status, and no word goes elsewhere."""
    fill(tmp_path)
    for closed in ("2>&-", "<&- 2>&-", "<&- >&- 2>&-"):
        ended = run_shell(tmp_path, f'"$KMQ" encode noise.ppm -k 256 -o new.kmq --quiet --force {closed}')
        assert (0, b"", b"") == ended
        assert encoded() == (tmp_path / "new.kmq").read_bytes()
        assert (1, b"", b"") == run_shell(tmp_path, f'"$KMQ" decode noise.ppm -o new.png {closed}')
        assert (1, b"", b"") == run_shell(tmp_path, f'"$KMQ" verify noise.ppm {closed}')
        assert (2, b"", b"") == run_shell(tmp_path, f'"$KMQ" encode {closed}')
    assert ["new.kmq", "noise.kmq", "noise.npy", "noise.ppm"] == names(tmp_path)


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
    assert (1, b"noise.kmq: intact\n") == ended[:2]


@pytest.mark.parametrize(
    "words",
    [
        "encode - -o new.kmq",
        "decode - -o new.png",
        "decode - -o new.png --salvage",
        "info -",
        "verify -",
        "report - noise.kmq",
        "report noise.ppm -",
    ],
)
def test_closed_or_empty_standard_input(tmp_path: Path, words: str) -> None:
    """Without standard input, or with nothing in it, a command that needs it says so in one line."""
    before = names(fill(tmp_path))
    for source in ("<&-", "</dev/null", "<&- 3</dev/null"):
        assert "kmq: standard input: " in line_of(run_shell(tmp_path, f'"$KMQ" {words} {source}'))
    assert before == names(tmp_path)


def test_closed_standard_output_for_a_picture(tmp_path: Path) -> None:
    """A picture for a standard output that is closed is not lost without an error."""
    fill(tmp_path)
    for words in ("encode noise.ppm -o -", "decode noise.kmq -o -"):
        assert "kmq: standard output: " in line_of(run_shell(tmp_path, f'"$KMQ" {words} >&-'))


ROUNDS = 4


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
            folder, [["encode", "-", "-k", str(k), "-o", "new.kmq", "--force"] for k in range(256, 252, -1)]
        )
        assert [(0, b"")] * 4 == [(status, errors) for status, _, errors in ended]
        assert (folder / "new.kmq").read_bytes() in versions
        assert ["new.kmq"] == names(folder)


def test_race_without_force(tmp_path: Path) -> None:
    """Of four processes that write one new file at once, one succeeds, and the file is its."""
    for i in range(ROUNDS):
        folder = tmp_path / str(i)
        folder.mkdir()
        ended = race(folder, [["encode", "-", "-k", str(k), "-o", "new.kmq"] for k in range(256, 252, -1)])
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


@pytest.mark.parametrize("is_hard", [False, True], ids=["symbolic", "hard"])
@pytest.mark.parametrize(
    ("words", "source"),
    [
        (["encode", "noise.ppm", "-o", "new"], "noise.ppm"),
        (["encode", "noise.npy", "-o", "new"], "noise.npy"),
        (["encode", "noise.ppm", "--palette", "few.hex", "-o", "new"], "few.hex"),
        (["decode", "noise.kmq", "-o", "new.png"], "noise.kmq"),
        (["decode", "noise.kmq", "-o", "new.npy", "--salvage"], "noise.kmq"),
        (["report", "noise.ppm", "noise.kmq", "--side-by-side", "new"], "noise.ppm"),
        (["report", "noise.ppm", "noise.kmq", "--side-by-side", "new"], "noise.kmq"),
    ],
)
def test_no_input_is_the_output(tmp_path: Path, words: list[str], source: str, is_hard: bool) -> None:
    """Nothing that a command reads is what it writes, not even with --force, whatever it is called."""
    (fill(tmp_path) / "few.hex").write_text("000000\nffffff\n")
    output = tmp_path / words[-1 if "--salvage" not in words else -2]
    if is_hard:
        output.hardlink_to(tmp_path / source)
    else:
        output.symlink_to(source)
    before, data = names(tmp_path), (tmp_path / source).read_bytes()
    assert "is the input itself" in line_of(run(tmp_path, *words, "--force"), status=2)
    assert data == (tmp_path / source).read_bytes()
    assert before == names(tmp_path)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["info", "folder"], "Is a directory"),
        (["verify", "folder"], "Is a directory"),
        (["report", "folder", "noise.kmq"], "Is a directory"),
        (["report", "noise.ppm", "folder"], "Is a directory"),
        (["decode", "noise.kmq", "-o", "folder", "--force"], "is a folder"),
        (["report", "noise.ppm", "noise.kmq", "--side-by-side", "folder", "--force"], "is a folder"),
        (["encode", "noise.ppm", "-o", "folder/", "--force"], "is a folder"),
        (["encode", "noise.ppm", "-o", "way", "--force"], "is a folder"),
        (["encode", "noise.ppm", "-o", "nothing/"], "folder"),
        (["encode", "noise.ppm", "-o", "round"], "Too many levels of symbolic links"),
    ],
)
def test_folders_and_links_astray(tmp_path: Path, words: list[str], reason: str) -> None:
    """A folder, a link to one, and a link to itself are refused in one line, and stay what they are."""
    (fill(tmp_path) / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "round").symlink_to("round")
    before = names(tmp_path)
    assert reason in line_of(run(tmp_path, *words))
    assert (before, []) == (names(tmp_path), names(tmp_path / "folder"))


@pytest.mark.parametrize("source", ["empty", "/dev/null"])
@pytest.mark.parametrize(
    "words",
    [
        ["encode", "SOURCE", "-o", "new.kmq"],
        ["encode", "noise.ppm", "--palette", "SOURCE", "-o", "new.kmq"],
        ["decode", "SOURCE", "-o", "new.png"],
        ["decode", "SOURCE", "-o", "new.npy", "--salvage"],
        ["info", "SOURCE"],
        ["info", "SOURCE", "--json"],
        ["verify", "SOURCE"],
        ["report", "SOURCE", "noise.kmq"],
        ["report", "noise.ppm", "SOURCE", "--side-by-side", "new.png"],
    ],
)
def test_no_bytes(tmp_path: Path, words: list[str], source: str) -> None:
    """A file without a byte is refused in one line that names it, and nothing is written."""
    (fill(tmp_path) / "empty").touch()
    before = names(tmp_path)
    line = line_of(run(tmp_path, *[source if word == "SOURCE" else word for word in words]))
    assert line.startswith(f"kmq: {source}: ")
    assert before == names(tmp_path)


def feed(fifo: Path, data: bytes) -> threading.Thread:
    """Write data to a named pipe from a thread, which waits for a reader."""

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), fifo.open("wb") as file:
            file.write(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["decode", "fifo", "-o", "new.npy"], b""),
        (["info", "fifo"], b"400 x 300"),
        (["verify", "fifo"], b"fifo: intact"),
        (["report", "noise.ppm", "fifo"], b"PSNR"),
    ],
)
def test_named_pipe_as_file(tmp_path: Path, words: list[str], expected: bytes) -> None:
    """A file is read from a named pipe as from anywhere."""
    os.mkfifo(fill(tmp_path) / "fifo")
    thread = feed(tmp_path / "fifo", encoded())
    ended = run(tmp_path, *words)
    thread.join(PATIENCE)
    assert (0, b"") == (ended.status, ended.errors)
    assert expected in ended.output
    if words[0] == "decode":
        np.testing.assert_array_equal(kmcodec.decode(encoded()), np.load(tmp_path / "new.npy"))


def test_named_pipe_as_original(tmp_path: Path) -> None:
    """The original of a report is read from a named pipe as from anywhere."""
    os.mkfifo(fill(tmp_path) / "fifo")
    thread = feed(tmp_path / "fifo", bitmap())
    ended = run(tmp_path, "report", "fifo", "noise.kmq")
    thread.join(PATIENCE)
    assert (0, b"") == (ended.status, ended.errors)


@pytest.mark.parametrize("is_named", [False, True])
def test_pipe_as_picture(tmp_path: Path, is_named: bool) -> None:
    """A picture is read from a named pipe, and from one that a shell gives a name, as from anywhere."""
    fill(tmp_path)
    words = ["-k", "256", "-o", "new.kmq", "--quiet"]
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


@pytest.mark.parametrize("name", ["encode", "encode rows", "decode"])
def test_named_pipe_as_output(tmp_path: Path, complete: dict[str, tuple[Job, float]], name: str) -> None:
    """A named pipe is written to, and stays a pipe; one whose reader goes away is an error of one line."""
    job = complete[name][0]
    (fill(tmp_path) / "out").mkdir()
    fifo = tmp_path / "out" / job.output
    os.mkfifo(fifo)
    process = start(tmp_path, *job.words)
    assert job.new == fifo.read_bytes()
    assert (0, b"") == (end(process).status, process.returncode and b"")[:1] + (b"",)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    process = start(tmp_path, *job.words)
    with fifo.open("rb") as file:
        file.read(10)
    assert f"kmq: out/{job.output}: Broken pipe" == line_of(end(process))
    assert [job.output] == names(tmp_path / "out")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_pipe_by_its_number_as_output(tmp_path: Path, name: str) -> None:
    """A pipe that has only a number, as a shell makes them of >(...), is written to."""
    fill(tmp_path)
    ended = run_shell(tmp_path, f'"$KMQ" encode noise.ppm -k 256 --quiet -o {name} | cat')
    assert (0, encoded(), b"") == ended


def test_long_names(tmp_path: Path) -> None:
    """Names as long as a file system takes are taken; one that would be too long is refused in one line."""
    if sys.platform == "darwin":
        pytest.skip("names are counted in characters there")
    fill(tmp_path)
    longest = os.fsdecode(b"\xff" * 251) + ".kmq"
    assert 0 == run(tmp_path, "encode", "noise.ppm", "-k", "256", "-o", longest).status
    assert encoded() == (tmp_path / longest).read_bytes()
    assert 0 == run(tmp_path, "decode", longest).status
    picture = "n" * 253 + ".p"
    (tmp_path / picture).write_bytes(bitmap())
    before = names(tmp_path)
    for words in (["encode", picture], ["encode", "noise.ppm", "-o", "n" * 256], ["info", "n" * 256]):
        assert "File name too long" in line_of(run(tmp_path, *words))
    assert before == names(tmp_path)


def test_leading_dashes(tmp_path: Path) -> None:
    """A name that begins with a dash is taken after --, and behind ./"""
    fill(tmp_path)
    (tmp_path / "-n.ppm").write_bytes(bitmap())
    assert (0, b"") == run(tmp_path, "encode", "-k", "256", "--quiet", "--", "-n.ppm")[:2]
    assert encoded() == (tmp_path / "-n.kmq").read_bytes()
    assert (0, b"./-n.kmq: intact\n", b"") == run(tmp_path, "verify", "./-n.kmq")
    assert (0, b"-n.kmq: intact\n", b"") == run(tmp_path, "verify", "--", "-n.kmq")
    assert (0, b"", b"") == run(tmp_path, "decode", "-o", "./-", "--", "-n.kmq")[:0] + (0, b"", b"")


def test_names_in_messages(tmp_path: Path) -> None:
    """An output whose name, or whose folder's name, breaks lines does not break the message."""
    for name in ("two\nlines", "\x1b[31m", "\r", os.fsdecode(b"\xff\n")):
        folder = fill(tmp_path / name)
        path = Path(name, "noise.kmq")
        assert "exists already" in line_of(run(tmp_path, "encode", Path(name, "noise.ppm")))
        assert "exists already" in line_of(run(tmp_path, "encode", Path(name, "noise.ppm"), "-o", path))
        assert "no such" in line_of(run(tmp_path, "info", Path(name, "none"))).lower()
        assert "its folder" in line_of(run(folder, "encode", "noise.ppm", "-o", Path(name, name)))
        assert encoded() == (tmp_path / path).read_bytes()


HELD = [
    (["encode", "-", "-k", "256", "-o", "out/new.kmq"], "new.kmq"),
    (["decode", "-", "-o", "out/new.png"], "new.png"),
    (["decode", "-", "-o", "out/new.npy"], "new.npy"),
]


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize(("words", "output"), HELD)
def test_folder_that_goes_away(tmp_path: Path, words: list[str], output: str, force: list[str]) -> None:
    """A folder that is removed while the work is done is an error of one line, and is not made again."""
    (tmp_path / "out").mkdir()
    data = bitmap() if words[0] == "encode" else encoded()
    process = hold(tmp_path, [*words, *force], data)
    (tmp_path / "out").rmdir()
    release(process, data)
    assert f"kmq: out/{output}: No such file or directory" == line_of(end(process))
    assert [] == names(tmp_path)


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize(("words", "output"), HELD)
def test_folder_that_comes(tmp_path: Path, words: list[str], output: str, force: list[str]) -> None:
    """A folder that takes the output's place while the work is done stays, and is an error of one line."""
    path = tmp_path / "out" / output
    path.parent.mkdir()
    if force:
        path.write_bytes(b"old")
    data = bitmap() if words[0] == "encode" else encoded()
    process = hold(tmp_path, [*words, *force], data)
    if force:
        path.unlink()
    path.mkdir()
    release(process, data)
    assert line_of(end(process)).startswith(f"kmq: out/{output}: ")
    assert ([output], []) == (names(tmp_path / "out"), names(path))


@pytest.mark.parametrize(("words", "output"), HELD)
def test_file_that_comes(tmp_path: Path, words: list[str], output: str) -> None:
    """A file that takes the output's place while the work is done is replaced on request only."""
    path = tmp_path / "out" / output
    path.parent.mkdir()
    data = bitmap() if words[0] == "encode" else encoded()
    process = hold(tmp_path, words, data)
    path.write_bytes(b"theirs")
    release(process, data)
    assert f"kmq: out/{output}: exists already; --force replaces it" == line_of(end(process))
    assert b"theirs" == path.read_bytes()
    path.unlink()
    process = hold(tmp_path, [*words, "--force"], data)
    path.write_bytes(b"theirs")
    release(process, data)
    assert 0 == end(process).status
    assert b"theirs" != path.read_bytes()
    assert [output] == names(tmp_path / "out")


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
            pass
        # So that nothing comes while all is removed.
        process.send_signal(signal.SIGSTOP)
        shutil.rmtree(out)
        process.send_signal(signal.SIGCONT)
        ended = end(process)
        # It may have been done before.
        assert ended.status == 0 or (f"kmq: out/{job.output}: No such file or directory" == line_of(ended))
        assert before == set(names(place))

    in_parallel(remove, range(8))
