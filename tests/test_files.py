"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from kmcodec.files import write_atomically


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_new_and_replaced(tmp_path: Path) -> None:
    """A new file is made; an old one is replaced only on request."""
    path = tmp_path / "out"
    write_atomically(path, b"one", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomically(path, b"two", overwrite=False)
    assert b"one" == path.read_bytes()
    write_atomically(path, b"two", overwrite=True)
    assert b"two" == path.read_bytes()
    assert ["out"] == names(tmp_path)


@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """When the disk fails, the old file is still there and no part of the new one."""
    path = tmp_path / "out"
    if overwrite:
        path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", overwrite=overwrite)
    assert (["out"] if overwrite else []) == names(tmp_path)
    assert not overwrite or path.read_bytes() == b"old"


def test_file_that_comes_in_between_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without overwrite, a file that another program makes meanwhile is not lost."""
    path = tmp_path / "out"
    monkeypatch.setattr(os, "fsync", lambda descriptor: path.write_bytes(b"theirs"))
    with pytest.raises(FileExistsError):
        write_atomically(path, b"ours", overwrite=False)
    assert b"theirs" == path.read_bytes()
    assert ["out"] == names(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="hard links are a matter of POSIX here")
def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links are not possible, files are written all the same."""

    def fail(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    path = tmp_path / "out"
    write_atomically(path, b"one", overwrite=False)
    assert b"one" == path.read_bytes()
    with pytest.raises(FileExistsError):
        write_atomically(path, b"two", overwrite=False)


@pytest.mark.skipif(os.name == "nt", reason="permission bits and umask are a matter of POSIX")
def test_permissions_are_as_usual(tmp_path: Path) -> None:
    """A new file has the permissions that umask leaves, a replaced one those it had."""
    path = tmp_path / "out"
    old = os.umask(0o027)
    try:
        write_atomically(path, b"", overwrite=False)
    finally:
        os.umask(old)
    assert 0o640 == stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o604)
    write_atomically(path, b"", overwrite=True)
    assert 0o604 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_links_are_followed(tmp_path: Path) -> None:
    """A link stays a link, and what it points to is replaced."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert b"new" == (tmp_path / "real").read_bytes()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no such device here")
def test_devices_are_written_to() -> None:
    """A device is written to, not replaced."""
    write_atomically("/dev/null", b"data", overwrite=False)
    assert not Path("/dev/null").is_file()


def test_long_names(tmp_path: Path) -> None:
    """The longest legal name can be written."""
    path = tmp_path / ("n" * 255 if sys.platform != "win32" else "n" * 100)
    write_atomically(path, b"data", overwrite=False)
    assert b"data" == path.read_bytes()


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder cannot be an output."""
    with pytest.raises(OSError, match=r"directory|denied"):
        write_atomically(tmp_path, b"data", overwrite=True)
