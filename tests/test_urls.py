"""URLs as inputs and outputs of the command line."""

from __future__ import annotations

import functools
import http.server
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from support import RangeHandler, fail, names, photo, run, serving, succeed

import kmcodec
from kmcodec.cli import main


@pytest.fixture
def remote() -> Iterator[str]:
    """Return the URL of an empty folder in memory."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(url):
        filesystem.rm(url, recursive=True)


def test_http(tmp_path: Path, server: str) -> None:
    """Pictures and .kmq files come from a web server, of which a region fetches a part only."""
    Image.fromarray(photo()).save(tmp_path / "a picture.png")
    large = photo(600, 400)
    (tmp_path / "large.kmq").write_bytes(kmcodec.encode(large, 256))
    here = tmp_path / "here"
    here.mkdir()
    succeed(here, "encode", f"{server}/a%20picture.png", "-k", "16")
    assert kmcodec.encode(photo(), 16) == (here / "a picture.kmq").read_bytes()
    assert b"intact" in succeed(here, "verify", f"{server}/large.kmq")
    assert b"600" in succeed(here, "info", f"{server}/large.kmq")
    assert b"ratio" in succeed(here, "report", f"{server}/a picture.png", "a picture.kmq")
    RangeHandler.sent = 0
    succeed(here, "decode", f"{server}/large.kmq", "--region", "0,0,9,9", "-o", "part.png")
    region = kmcodec.KmqReader((tmp_path / "large.kmq").read_bytes()).region(0, 0, 9, 9)
    np.testing.assert_array_equal(region, np.asarray(Image.open(here / "part.png")))
    ended = run(here, "encode", f"{server}/a picture.png", f"{server}/none.png", "--out-dir", "out")
    assert (1, f"kmq: {server}/none.png: No such file\n") == (ended.returncode, ended.stderr.decode())
    assert ["a picture.kmq"] == names(here / "out")


@pytest.mark.parametrize("length", [True, False])
def test_servers_without_ranges(tmp_path: Path, length: bool) -> None:
    """A server that sends whole files only, with their length or without, is read from the beginning."""
    (tmp_path / "a.kmq").write_bytes(kmcodec.encode(photo(), 16))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def send_header(self, keyword: str, value: str) -> None:
            if length or keyword != "Content-Length":
                super().send_header(keyword, value)

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(functools.partial(Handler, directory=str(tmp_path))) as url:
        assert b"intact" in succeed(tmp_path, "verify", f"{url}/a.kmq")
        assert b"16 " in succeed(tmp_path, "info", f"{url}/a.kmq")
        for words in ([], ["--region", "3,4,5,6"]):
            succeed(tmp_path, "decode", f"{url}/a.kmq", "-o", "a.png", "--force", *words)
    region = kmcodec.decode((tmp_path / "a.kmq").read_bytes())[4:10, 3:8]
    np.testing.assert_array_equal(region, np.asarray(Image.open(tmp_path / "a.png").convert("RGB")))


def test_urls_that_name_no_file(tmp_path: Path) -> None:
    """Where a URL ends with a slash, or has what no name has, the output has a name all the same."""
    Image.fromarray(photo()).save(tmp_path / "a.png")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return str(tmp_path / "a.png")

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Handler) as url:
        for words in ([f"{url}/b/"], [f"{url}/b/", "--out-dir", "out"], [f"{url}/a%00c.png"]):
            succeed(tmp_path, "encode", *words)
    assert ["ac.kmq", "index.kmq", "out/index.kmq"] == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.kmq")
    )


def test_what_web_servers_answer(tmp_path: Path) -> None:
    """What is forbidden is not said to be missing, nor is any password told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Handler) as url:
        address = url.removeprefix("http://")
        message = fail(tmp_path, "verify", f"http://me:secret@{address}/a.kmq")
    assert message.startswith(f"kmq: http://me:***@{address}/a.kmq: 403, message='Forbidden'")
    assert "secret" not in message


def test_file(tmp_path: Path) -> None:
    """A file:// URL is replaced by a complete file only, as its path would be."""
    data = bytearray(kmcodec.encode(photo(), 16))
    data[-9] ^= 1
    (tmp_path / "damaged.kmq").write_bytes(data)
    (tmp_path / "a.npy").write_bytes(b"old")
    (tmp_path / "link.npy").hardlink_to(tmp_path / "a.npy")
    words = ("damaged.kmq", "-o", f"file://{tmp_path}/a.npy", "--force")
    fail(tmp_path, "decode", *words)
    assert b"old" == (tmp_path / "a.npy").read_bytes()
    assert 1 == run(tmp_path, "decode", *words, "--salvage").returncode
    assert photo().shape == np.load(tmp_path / "a.npy").shape
    # What was written into the old file would be here, too.
    assert b"old" == (tmp_path / "link.npy").read_bytes()


def test_memory(tmp_path: Path, remote: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs go to URLs, too, and replace what is there with --force only; batches take and make them."""
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    words = ["encode", str(path), "-k", "16", "-o", f"{remote}/a.kmq"]
    assert 0 == main(words)
    with fsspec.open(f"{remote}/a.kmq") as file:
        assert kmcodec.encode(photo(), 16) == file.read()
    assert 1 == main(words)
    assert 0 == main([*words, "--force"])
    assert 0 == main(["decode", f"{remote}/a.kmq", "-o", f"{remote}/back.png"])
    assert 0 == main(["encode", str(path), "--out-dir", f"{remote}/deep/er", "-j", "1"])
    assert 1 == main(["encode", str(path), "--out-dir", f"{remote}/deep/er", "-j", "1"])
    assert 0 == main(["recode", f"{remote}/a.kmq", "--coding", "context", "-o", f"{remote}/c.kmq"])
    assert 0 == main(["recode", f"{remote}/c.kmq", "--coding", "packed", "--force"])
    assert 2 == main(["decode", f"{remote}/c.kmq", "-o", f"{remote}/c.kmq", "--force"])
    errors = capsys.readouterr().err.splitlines()
    assert f"kmq: {remote}/a.kmq: exists already; --force replaces it" == errors[0]
    assert f"kmq: {remote}/deep/er/a.kmq: exists already; --force replaces it" == errors[1]


def test_nothing_is_sent_of_what_fails(tmp_path: Path, remote: str) -> None:
    """Where an output cannot be finished, nothing appears at its URL."""
    data = bytearray(kmcodec.encode(photo(), 16))
    data[-9] ^= 1
    (tmp_path / "damaged.kmq").write_bytes(data)
    assert 1 == main(["decode", str(tmp_path / "damaged.kmq"), "-o", f"{remote}/a.npy"])
    assert not fsspec.filesystem("memory").exists(f"{remote}/a.npy")


def test_no_place_for_temporary_files(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an output cannot be kept before it is sent, that is told of its URL, not of standard output."""
    Image.fromarray(photo()).save(tmp_path / "a.png")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert 1 == main(["encode", str(tmp_path / "a.png"), "-o", f"{remote}/a.kmq"])
    assert f"kmq: {remote}/a.kmq: No such file or directory\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/a.png", "kmq: http://127.0.0.1:1/a.png: Cannot connect to host 127.0.0.1:1"),
        ("unknown://a/b.png", "kmq: unknown://a/b.png: Protocol not known: unknown"),
        ("file:///no/such/file.png", "kmq: file:///no/such/file.png: No such file"),
        ("https://", "kmq: https://: "),
        ("http://[/a.png", "kmq: http://[/a.png: "),
    ],
)
def test_what_cannot_be_had(tmp_path: Path, url: str, expected: str) -> None:
    """Whatever goes wrong is told in one line that names the URL."""
    for words in (["encode", url, "-o", "out.kmq"], ["verify", url], ["encode", url, "--out-dir", "out"]):
        ended = run(tmp_path, *words)
        assert 1 == ended.returncode
        assert ended.stderr.decode().startswith(expected)
        assert 1 == ended.stderr.count(b"\n")
    assert not list(tmp_path.rglob("*.kmq"))


def test_without_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fsspec is not installed, URLs are refused with what is missing."""
    (tmp_path / "fsspec").mkdir()
    (tmp_path / "fsspec" / "__init__.py").write_text("raise ModuleNotFoundError(name='fsspec')")
    ended = run(tmp_path, "verify", "http://127.0.0.1/a.kmq", environment={"PYTHONPATH": str(tmp_path)})
    assert b"kmq: http://127.0.0.1/a.kmq: URLs need fsspec: pip install 'kmcodec[urls]'\n" == ended.stderr
