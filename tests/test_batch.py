"""Many files with one command."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import KMQ, double, fail, names, photo, run, succeed

import kmcodec
from kmcodec.cli import outputs
from kmcodec.cli.crew import Crew
from kmcodec.cli.failures import CommandError

#: Of the pictures that make_pictures makes, by their paths without suffix.
SEEDS = {"a": 1, "b": 2, "more/c": 3, "more/still/d": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with pictures, other files and hidden ones, in several levels."""
    pictures = tmp_path / "pictures"
    for name, seed in SEEDS.items():
        path = pictures / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(seed=seed)).save(path)
    (pictures / "words.txt").write_text("no picture")
    (pictures / ".hidden.png").write_bytes(b"no picture")
    (pictures / ".hidden").mkdir()
    shutil.copy(pictures / "a.png", pictures / ".hidden" / "h.png")
    return tmp_path


def list_files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def make_older(path: Path) -> None:
    """Let a file have been changed an hour ago."""
    changed = path.stat().st_mtime - 3600
    os.utime(path, (changed, changed))


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_folders(folder: Path, jobs: str) -> None:
    """The pictures of a folder become files of the same names, those that encoding each alone would make."""
    words = ("encode", "pictures", "--out-dir", "out/deep", "-k", "16", "--recursive", "--jobs", jobs)
    told = succeed(folder, *words).decode()
    assert told.startswith("4 files encoded: ")
    assert [f"{name}.kmq" for name in SEEDS] == list_files(folder / "out" / "deep")
    for name, seed in SEEDS.items():
        assert kmcodec.encode(photo(seed=seed), 16) == (folder / "out" / "deep" / f"{name}.kmq").read_bytes()
    told = succeed(folder, "decode", "out", "--out-dir", "back", "-r", "-j", jobs).decode()
    assert told.startswith("4 files decoded: ")
    assert [f"deep/{name}.png" for name in SEEDS] == list_files(folder / "back")
    told = succeed(folder, "verify", "out", "-r", "-j", jobs).decode()
    paths = [os.path.join("out", "deep", *f"{name}.kmq".split("/")) for name in SEEDS]
    assert [*(f"{path}: intact" for path in paths), "4 files intact"] == told.splitlines()


def test_without_recursive_and_out_dir(folder: Path) -> None:
    """Folders of folders are left alone unless they are asked for; outputs go beside the inputs."""
    succeed(folder, "encode", "pictures", "-k", "4")
    found = [name for name in list_files(folder) if name.endswith(".kmq")]
    assert ["pictures/a.kmq", "pictures/b.kmq"] == found


def test_second_run(folder: Path) -> None:
    """What is up to date stays; what is older than its picture is made anew; --force redoes all."""
    words = ("encode", "pictures", "--out-dir", "out", "-k", "16")
    succeed(folder, *words)
    out = folder / "out"
    for name in names(out):
        make_older(out / name)
        make_older(folder / "pictures" / name.replace("kmq", "png"))
    make_older(folder / "pictures" / "b.png")
    before = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    assert b"0 files encoded; 2 up to date\n" == succeed(folder, *words)
    Image.fromarray(photo(seed=9)).save(folder / "pictures" / "a.png")
    assert succeed(folder, *words).decode().endswith("; 1 up to date\n")
    assert before["b.kmq"] == (out / "b.kmq").stat().st_mtime_ns
    assert kmcodec.encode(photo(seed=9), 16) == (out / "a.kmq").read_bytes()
    assert succeed(folder, *words, "--force").startswith(b"2 files encoded: ")
    assert before["b.kmq"] < (out / "b.kmq").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-k", "16"], "up to date"),
        (["-k", "8"], "encoded"),
        (["-k", "32"], "encoded"),
        (["-k", "16", "--coding", "context"], "encoded"),
        (["-k", "16", "--strip-rows", "7"], "encoded"),
        (["-k", "16", "--recipe"], "encoded"),
        (["-k", "16", "--max-bytes", "100000"], "up to date"),
        (["-k", "16", "--max-bytes", "900"], "encoded"),
        (["-k", "16", "--strip-metadata"], "encoded"),
    ],
)
def test_other_options(folder: Path, words: list[str], expected: str) -> None:
    """A file with another number of colours, or coding, than is asked for is not up to date.

    Nor is one that is larger, or has metadata though there is to be none.
    """
    for name in ("a", "b"):
        Image.fromarray(photo(seed=SEEDS[name])).save(folder / "pictures" / f"{name}.png", dpi=(72, 72))
    succeed(folder, "encode", "pictures", "--out-dir", "out", "-k", "16")
    told = succeed(folder, "encode", "pictures", "--out-dir", "out", *words).decode()
    assert f"0 files encoded; 2 {expected}\n" == told or told.startswith(f"2 files {expected}: ")


def test_another_palette(folder: Path) -> None:
    """A file is up to date if it has the very palette that is given, not another one of as many colours."""
    words = ("encode", "pictures", "--out-dir", "out", "--palette", "two.hex")
    for text in ("000000 ffffff", "00000040 ffffff", "000000ff fffffe"):
        (folder / "two.hex").write_text(text.replace(" ", "\n"))
        assert succeed(folder, *words).startswith(b"2 files encoded: ")
        assert b"0 files encoded; 2 up to date\n" == succeed(folder, *words)
        expected = kmcodec.read_palette(folder / "two.hex")
        np.testing.assert_array_equal(expected, kmcodec.read_palette(folder / "out" / "a.kmq"))


def test_few_colors_are_enough_for_a_picture_that_has_no_more(tmp_path: Path) -> None:
    """A picture of three colours, one of them transparent, is up to date whatever number is asked for."""
    pixels = np.zeros((5, 6, 4), np.uint8)
    pixels[2:, :] = 10, 20, 30, 255
    pixels[:, 4:] = 200, 100, 50, 128
    Image.fromarray(pixels).save(tmp_path / "few.png")
    words = ("encode", "few.png", "--out-dir", "out", "-k")
    succeed(tmp_path, *words, "16")
    assert b"0 files encoded; 1 up to date\n" == succeed(tmp_path, *words, "200")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "up to date"),
        (["--coding", "packed", "--effort", "default"], "up to date"),
        (["--effort", "fast"], "encoded"),
        (["--seed", "1"], "encoded"),
        (["--strip-metadata"], "encoded"),
    ],
)
def test_recipes(folder: Path, words: list[str], expected: str) -> None:
    """Of files that have a recipe, that and the picture say whether they are up to date, and not the time."""
    path = folder / "pictures" / "a.png"
    Image.fromarray(photo(seed=1)).save(path, dpi=(300, 300))
    succeed(folder, "encode", "pictures", "--out-dir", "out", "--recipe")
    os.utime(path)
    make_older(folder / "pictures" / "b.png")
    told = succeed(folder, "encode", path.relative_to(folder).as_posix(), "--out-dir", "out", *words).decode()
    assert f"0 files encoded; 1 {expected}\n" == told or told.startswith(f"1 file {expected}: ")


def test_recipe_of_another_picture(folder: Path) -> None:
    """A file whose recipe tells of other pixels is made anew, though it is newer than its picture."""
    succeed(folder, "encode", "pictures", "--out-dir", "out", "--recipe")
    path = folder / "pictures" / "a.png"
    Image.fromarray(photo(seed=9)).save(path)
    make_older(path)
    told = succeed(folder, "encode", "pictures", "--out-dir", "out", "--recipe").decode()
    assert told.startswith("1 file encoded: ")
    assert told.endswith("; 1 up to date\n")


def test_large_arrays(tmp_path: Path) -> None:
    """Pictures that are read in blocks are looked at in blocks, too."""
    np.save(tmp_path / "a.npy", photo())
    words = ("encode", "a.npy", "--out-dir", "out", "-k")
    succeed(tmp_path, *words, "8", "--recipe")
    assert b"0 files encoded; 1 up to date\n" == succeed(tmp_path, *words, "8")
    assert succeed(tmp_path, *words, "9").startswith(b"1 file encoded")
    assert succeed(tmp_path, *words, "10").startswith(b"1 file encoded")
    assert b"0 files encoded; 1 up to date\n" == succeed(tmp_path, *words, "10")


def test_failures_do_not_stop_the_rest(folder: Path) -> None:
    """All else is done; each failure is told in one line at the end, and the status is 1."""
    (folder / "pictures" / "bad.png").write_bytes(b"no picture")
    (folder / "out").mkdir()
    (folder / "out" / "b.kmq").write_bytes(b"something else")
    ended = run(folder, "encode", "pictures", "gone.png", "--out-dir", "out", "-k", "4")
    assert 1 == ended.returncode
    assert [
        f"kmq: {os.path.join('out', 'b.kmq')}: exists already; --force replaces it (it is no .kmq file)",
        f"kmq: {os.path.join('pictures', 'bad.png')}: not a picture of a known format",
        "kmq: gone.png: No such file or directory",
    ] == ended.stderr.decode().splitlines()
    assert ended.stdout.startswith(b"1 file encoded: ")
    assert ended.stdout.endswith(b"; 3 failed\n")
    assert b"something else" == (folder / "out" / "b.kmq").read_bytes()
    (folder / "out" / "bad.kmq").write_bytes(b"damaged")
    ended = run(folder, "verify", "out")
    assert (1, 2) == (ended.returncode, len(ended.stderr.splitlines()))
    assert f"{os.path.join('out', 'a.kmq')}: intact\n1 file intact; 2 failed\n" == ended.stdout.decode()
    ended = run(folder, "decode", "out", "--out-dir", "back")
    assert (1, 2) == (ended.returncode, len(ended.stderr.splitlines()))
    assert ["a.png"] == names(folder / "back")


def test_originals_stay(folder: Path) -> None:
    """Decoding beside the pictures that were encoded replaces none of them."""
    succeed(folder, "encode", "pictures", "-k", "4")
    before = (folder / "pictures" / "a.png").read_bytes()
    make_older(folder / "pictures" / "a.png")
    make_older(folder / "pictures" / "b.png")
    ended = run(folder, "decode", "pictures")
    assert 1 == ended.returncode
    assert 2 == ended.stderr.count(b"exists already; --force replaces it")
    assert before == (folder / "pictures" / "a.png").read_bytes()


def test_decoded_otherwise(folder: Path) -> None:
    """A picture of a part, and what was salvaged of a damaged file, are not taken for the whole later on."""
    succeed(folder, "encode", "pictures", "--out-dir", "out", "-k", "4")
    words = ("decode", "out", "--out-dir", "back")
    for region in ([], ["--region", "1,2,3,4"]):
        succeed(folder, *words, *region, "--force")
        assert b"0 files decoded; 2 up to date\n" == succeed(folder, *words, *region)
    ended = run(folder, *words)
    assert (1, 2) == (ended.returncode, ended.stderr.count(b"exists already; --force replaces it"))
    data = bytearray((folder / "out" / "a.kmq").read_bytes())
    data[-9] ^= 1
    (folder / "out" / "a.kmq").write_bytes(data)
    for more in (["--force"], []):
        ended = run(folder, *words, "--salvage", *more)
        assert (1, 1) == (ended.returncode, ended.stderr.count(b"\n"))
        assert ended.stderr.startswith(f"kmq: {os.path.join('out', 'a.kmq')}: ".encode())
    assert ended.stdout.endswith(b"1 up to date; 1 failed\n")


def test_one_output_for_two_inputs(folder: Path) -> None:
    """Of two pictures whose outputs would have one name the second fails; the same one twice is done once."""
    Image.fromarray(photo(seed=5)).save(folder / "pictures" / "a.bmp")
    ended = run(folder, "encode", "pictures/a.png", "pictures/a.png", "pictures/a.bmp", "--out-dir", "out")
    assert 1 == ended.returncode
    assert b"kmq: pictures/a.bmp: its output out/a.kmq is that of pictures/a.png\n" == ended.stderr
    assert kmcodec.encode(photo(seed=1)) == (folder / "out" / "a.kmq").read_bytes()


def test_one_input_by_several_names(folder: Path) -> None:
    """A picture that is named in several ways, also through a link to a folder, is encoded once."""
    (folder / "link").symlink_to("pictures")
    words = ("encode", "pictures/a.png", "./pictures/a.png", "link/a.png", str(folder / "pictures" / "a.png"))
    for more in ([], ["--out-dir", "out"]):
        assert succeed(folder, *words, *more).startswith(b"1 file encoded: ")


@pytest.mark.parametrize("words", [["b.png", "a.kmq"], ["b.png", "--palette", "a.kmq"]])
def test_inputs_stay(folder: Path, words: list[str]) -> None:
    """No output replaces another input, or the palette, not even with --force."""
    pictures = folder / "pictures"
    succeed(pictures, "encode", "a.png")
    before = (pictures / "a.kmq").read_bytes()
    ended = run(pictures, "encode", "a.png", *words, "--force")
    assert 1 == ended.returncode
    assert b"kmq: a.png: its output is the input a.kmq" in ended.stderr.splitlines()
    assert before == (pictures / "a.kmq").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="file systems of POSIX")
def test_folders_hold_anything(folder: Path) -> None:
    """A pipe, and a link that leads nowhere or to itself, fail, and nothing waits for them; folders pass."""
    pictures = folder / "pictures"
    os.mkfifo(pictures / "pipe.png")
    (pictures / "loop.png").symlink_to("loop.png")
    (pictures / "nowhere.png").symlink_to("nothing.png")
    (pictures / "folder.png").mkdir()
    (pictures / "linked.png").symlink_to("more")
    ended = run(folder, "encode", "pictures", "--out-dir", "out")
    assert 1 == ended.returncode
    expected = [
        "kmq: pictures/pipe.png: is no regular file",
        "kmq: pictures/loop.png: Too many levels of symbolic links",
        "kmq: pictures/nowhere.png: No such file or directory",
    ]
    assert expected == ended.stderr.decode().splitlines()
    assert ["a.kmq", "b.kmq"] == names(folder / "out")


@pytest.mark.skipif(os.name == "nt", reason="file systems of POSIX")
def test_deep_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders in each other, more than a thousand of them, are walked; what cannot be made is one line."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("a")
        os.chdir("a")
    Path("x.png").touch()
    message = f"{os.path.join('out', *1500 * 'a')}: lies too deep in folders"
    try:
        ended = run(tmp_path, "encode", "a", "--recursive", "--out-dir", "out/a")
    finally:
        # Too deep for what pytest removes folders with.
        subprocess.run(["rm", "-r", "a"], cwd=tmp_path, check=True)
    assert (1, f"kmq: {message}\n") == (ended.returncode, ended.stderr.decode())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["encode", "a.png", "b.png", "-o", "c.kmq"], "-o names one output: for several use --out-dir"),
        (["encode", "a.png", "--out-dir", "out", "-o", "c.kmq"], "-o names one output"),
        (["encode", "-", "a.png"], "standard input goes alone"),
        (["decode", "-", "--out-dir", "out"], "standard input goes alone"),
        (["encode", "a.png", "--recursive"], "--recursive is for folders and for several inputs"),
        (["decode", "a.kmq", "--jobs", "2"], "--jobs is for folders and for several inputs"),
        (["encode", "a.png", "--jobs", "0"], "must be an integer of 1..1024"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, words: list[str], expected: str) -> None:
    """Options that make no sense together are refused before anything is done."""
    assert expected in fail(tmp_path, *words, status=2)
    assert [] == names(tmp_path)


def test_folder_for_outputs_that_cannot_be_made(folder: Path) -> None:
    """A file where the folder for outputs should be is one error, and not one for each input."""
    (folder / "out").write_bytes(b"in the way")
    assert "kmq: out: is no folder\n" == fail(folder, "encode", "pictures", "--out-dir", "out")


def test_json(folder: Path) -> None:
    """--json tells sums, and of each file what became of it, as encoding it alone does."""
    (folder / "pictures" / "bad.png").write_bytes(b"no picture")
    ended = run(folder, "encode", "pictures", "--out-dir", "out", "-k", "16", "--json")
    told = json.loads(ended.stdout)
    assert (2, 0, 1) == (told["done"], told["current"], told["failed"])
    assert ["done", "done", "failed"] == [file["state"] for file in told["files"]]
    assert sum((folder / "out" / name).stat().st_size for name in ("a.kmq", "b.kmq")) == told["file_bytes"]
    alone = json.loads(succeed(folder, "encode", "pictures/a.png", "-o", "a.kmq", "-k", "16", "--json"))
    first = told["files"][0]
    assert alone | {"seconds": 0} == {name: first[name] for name in alone} | {"seconds": 0}
    [error] = told["errors"]
    assert (os.path.join("pictures", "bad.png"), True) == (error["input"], "not a picture" in error["error"])


def test_quiet(folder: Path) -> None:
    """--quiet leaves errors only."""
    for words in (
        ["encode", "pictures", "--out-dir", "out"],
        ["decode", "out", "--out-dir", "back"],
        ["verify", "out"],
    ):
        assert b"" == succeed(folder, *words, "--quiet")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C ends all processes soon, without a word of theirs; finished files stay, and nothing else."""
    for i in range(40):
        Image.fromarray(photo(200, 300, seed=i)).save(tmp_path / f"{i:02}.png")
    words = ["encode", ".", "--out-dir", "out", "-k", "256", "--coding", "context", "--lossy", "5", "-j", "2"]
    process = subprocess.Popen(
        [KMQ, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A group of its own, as a shell gives to a command; all of it hears of Ctrl-C.
        start_new_session=True,
    )
    while not list(tmp_path.glob("out/*.kmq")):
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    expected = (130, b"kmq: interrupted\n") if number == signal.SIGINT else (143, b"")
    assert (*expected, b"") == (process.returncode, errors, output)
    assert {".kmq"} == {path.suffix for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("is_copied", [True, False])
def test_crew(is_copied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task has its result, and those of a process that dies have none; whatever way processes begin."""
    if is_copied and (sys.platform != "linux" or threading.active_count() > 1):
        pytest.skip("processes are not copied here")
    monkeypatch.setattr(sys, "platform", sys.platform if is_copied else "other")
    shares: list[tuple[int, float]] = []
    tasks = [3, 13, 5, 13, 7]
    with Crew(double, 2) as crew:
        results = dict(crew.work_through(tasks, lambda *share: shares.append(share)))
    assert {0: 6, 1: None, 2: 10, 3: None, 4: 14} == results
    assert set(shares) <= {(number, 0.5) for number in range(5)}


def test_crew_that_is_killed() -> None:
    """A process that dies costs the task on which it worked, and no other."""
    with Crew(double, 2) as crew:
        works = crew.work_through([1, 2, 3, 5, 6, 7], lambda *share: None)
        results = dict([next(works)])
        # One of them waits now for the next task, the other one may work.
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        results |= works
    assert {2: 6, 3: 10, 4: 12, 5: 14} == {number: results[number] for number in (2, 3, 4, 5)}
    assert {results[0], results[1]} <= {2, 4, None}
    assert {results[0], results[1]} & {2, 4}


@pytest.mark.parametrize("most", [0, 1])
def test_crew_that_cannot_be_hired(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no more processes, those that there are do the work, or else this one."""
    start = multiprocessing.process.BaseProcess.start

    def start_some(self: Any) -> None:
        if len(multiprocessing.active_children()) >= most:
            raise BlockingIOError("no more")
        start(self)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", start_some)
    with Crew(double, 3) as crew:
        results = dict(crew.work_through([1, 2, 3, 4], lambda *share: None))
    assert {0: 2, 1: 4, 2: 6, 3: 8} == results


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_processes_hold_signals_until_they_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, while processes that are no copies begin, is not answered in Python's own words."""
    monkeypatch.setattr(sys, "platform", "other")
    start = multiprocessing.process.BaseProcess.start
    blocked = []

    def watch(self: Any) -> None:
        start(self)
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", watch)
    with Crew(double, 2) as crew:
        assert {0: 2, 1: 4} == dict(crew.work_through([1, 2], lambda *share: None))
    expected = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert [True, True] == [expected <= mask for mask in blocked]
    assert not expected & signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("where", ["process", "worker"])
def test_signals_that_come_twice(where: str, tmp_path: Path) -> None:
    """A second signal, such as that of the group and that of the parent, does not disturb the tidying up."""
    script = """
import signal, sys
from kmcodec.cli import _terminated_in_order, crew

def work():
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        print("tidy", flush=True)

if sys.argv[1] == "process":
    with _terminated_in_order():
        work()
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, crew._end)
work()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, where], cwd=tmp_path, capture_output=True, check=False
    )
    assert (143, b"tidy\n", b"") == (ended.returncode, ended.stdout, ended.stderr)


def test_files_that_vanish(tmp_path: Path) -> None:
    """Of a file that is removed while it is worked on, only this one fails: its error has its name."""
    with pytest.raises(CommandError, match=r"gone\.kmq: No such file"):
        outputs.measure(str(tmp_path / "gone.kmq"))


def test_crew_of_one() -> None:
    """One worker is this process, and no other is begun."""
    shares: list[Any] = []
    with Crew(partial(double), 1) as crew:
        assert [(0, 2), (1, 4)] == list(crew.work_through([1, 2], lambda *share: shares.append(share)))
    assert [(0, 0.5), (1, 0.5)] == shares
