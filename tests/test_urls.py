"""URLs as inputs and outputs of the command line."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from support import RangeHandler, names, photo, run, succeed

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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/a.png", "kmq: http://127.0.0.1:1/a.png: "),
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
