"""What is installed for the desktop, tried with the desktop's own programs."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from support import KMQ, ROOT, fail, photo, run, succeed

import kmcodec
from kmcodec.cli.desktop import FILES
from kmcodec.container.layout import SIGNATURE

DATA = ROOT / "kmcodec" / "desktop"
VECTORS = ROOT / "spec" / "vectors" / "valid"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="for freedesktop systems")


def ask(*words: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return what a program prints; skip the test where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"{words[0]} is not installed")
    result = subprocess.run(
        [str(word) for word in words],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stderr)
    return result.stdout


def test_install_and_uninstall(tmp_path: Path) -> None:
    """Each file is named, a second time changes nothing, and uninstall removes what was installed."""
    first = succeed(tmp_path, "desktop", "install", "--prefix", "a b").decode()
    share = tmp_path / "a b" / "share"
    paths = [share / name for name in FILES]
    assert [f"installed {path}" for path in paths] == first.splitlines()[: len(paths)]
    contents = [path.read_bytes() for path in paths]
    assert all(contents)
    assert first == succeed(tmp_path, "desktop", "install", "--prefix", "a b").decode()
    assert contents == [path.read_bytes() for path in paths]
    removed = succeed(tmp_path, "desktop", "uninstall", "--prefix", "a b").decode()
    assert [f"removed {path}" for path in paths] == removed.splitlines()
    assert not any(path.exists() for path in paths)
    assert b"" == succeed(tmp_path, "desktop", "uninstall", "--prefix", "a b")
    assert b"" == succeed(tmp_path, "desktop", "uninstall", "--prefix", "nowhere")


def test_foreign_files(tmp_path: Path) -> None:
    """What something else has put there is neither replaced, be it through a link, nor removed."""
    share = tmp_path / "share"
    for name in FILES:
        (share / name).parent.mkdir(parents=True)
    page, script = share / "man" / "man1" / "kmq.1", share / "bash-completion" / "completions" / "kmq"
    page.write_text(".TH KMQ 1")
    assert f"{page}: exists already" in fail(tmp_path, "desktop", "install", "--prefix", ".")
    assert [page] == [path for path in share.rglob("*") if path.is_file()]
    page.unlink()
    succeed(tmp_path, "desktop", "install", "--prefix", ".")
    page.write_text(".TH KMQ 1")
    script.unlink()
    script.symlink_to("elsewhere")
    removed = succeed(tmp_path, "desktop", "uninstall", "--prefix", ".").decode().splitlines()
    assert 2 == len([line for line in removed if line.endswith("which was not made by kmcodec")])
    assert {page, script} == {
        path for path in share.rglob("*kmq*") if path.is_symlink() or path.suffix == ".1"
    }


def test_folders(tmp_path: Path) -> None:
    """Without a prefix it is $XDG_DATA_HOME, or ~/.local/share; what cannot be written is one line."""
    homes = {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path / "home")}
    run(tmp_path, "desktop", "install", environment=homes)
    assert (tmp_path / "data" / "man" / "man1" / "kmq.1").exists()
    run(tmp_path, "desktop", "install", environment=homes | {"XDG_DATA_HOME": "relative"})
    assert (tmp_path / "home" / ".local" / "share" / "man" / "man1" / "kmq.1").exists()
    (tmp_path / "file").touch()
    assert "kmq.xml: Not a directory" in fail(tmp_path, "desktop", "install", "--prefix", "file")


@pytest.mark.parametrize("name", ["photo.kmq", "photo"])
def test_media_type(name: str, tmp_path: Path) -> None:
    """A .kmq file is image/x-kmq by its name, and by its first bytes where the name says nothing."""
    for program in ("update-mime-database", "xdg-mime", "gio"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    succeed(tmp_path, "desktop", "install", "--prefix", ".")
    kmcodec.write(tmp_path / name, photo(), 4)
    # With gio, which reads the database; what xdg-mime uses without a desktop does not.
    environment = {"XDG_DATA_HOME": str(tmp_path / "share"), "XDG_CURRENT_DESKTOP": "GNOME"}
    asked = ask("xdg-mime", "query", "filetype", tmp_path / name, environment=environment)
    assert "image/x-kmq" == asked.strip()
    succeed(tmp_path, "desktop", "uninstall", "--prefix", ".")
    asked = ask("gio", "info", "-a", "standard::content-type", tmp_path / name, environment=environment)
    assert "image/x-kmq" not in asked


def test_signature() -> None:
    """The description of the media type has the signature of the specification."""
    namespace = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    match = ElementTree.parse(DATA / "kmq.xml").find(".//m:match", namespace)
    assert match is not None
    assert SIGNATURE == match.attrib["value"].encode().decode("unicode_escape").encode("latin-1")


def test_thumbnailer(tmp_path: Path) -> None:
    """The entry's command, filled in as a file manager does, writes a PNG of the size over an empty file."""
    succeed(tmp_path, "desktop", "install", "--prefix", ".")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(tmp_path / "share" / "thumbnailers" / "kmq.thumbnailer")
    entry = parser["Thumbnailer Entry"]
    assert (KMQ, "image/x-kmq;") == (entry["TryExec"], entry["MimeType"])
    source, target = tmp_path / "a photo.kmq", tmp_path / "thumbnail"
    kmcodec.write(source, photo(), 16)
    target.touch()
    places = {"%s": "32", "%i": str(source), "%o": str(target)}
    command = [places.get(word, word) for word in shlex.split(entry["Exec"])]
    subprocess.run(command, cwd="/", env={"HOME": str(tmp_path)}, check=True)
    with Image.open(target) as image:
        assert ("PNG", (32, 24)) == (image.format, image.size)


@pytest.mark.parametrize(
    "name", ["bits-00", "bits-04", "colors-65536", "alpha-300", "alpha-one-color", "context-100-colors"]
)
def test_magic(name: str) -> None:
    """File names size, colours, alpha and coding."""
    facts = json.loads((VECTORS / f"{name}.json").read_text())
    described = ask("file", "--brief", "-m", DATA / "kmq.magic", VECTORS / f"{name}.kmq").strip()
    colors = "1 colour" if facts["colors"] == 1 else f"{facts['colors']} colours"
    alpha = " with alpha" if facts["alpha"] else ""
    coding = {"packed": "packed", "context": "context-coded"}[facts["coding"]]
    size = f"{facts['width']} x {facts['height']}"
    assert f"KMQ image, version 1.0, {size}, {colors}{alpha}, {coding}" == described
    mime = ask("file", "--brief", "--mime-type", "-m", DATA / "kmq.magic", VECTORS / f"{name}.kmq")
    assert "image/x-kmq" == mime.strip()


def test_magic_is_of_nothing_else(tmp_path: Path) -> None:
    """A PNG is none; and file can compile the fragment."""
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    assert "KMQ" not in ask("file", "-m", DATA / "kmq.magic", tmp_path / "photo.png")
    shutil.copy(DATA / "kmq.magic", tmp_path)
    if shutil.which("file"):
        subprocess.run(["file", "-C", "-m", "kmq.magic"], cwd=tmp_path, check=True)
        assert (tmp_path / "kmq.magic.mgc").exists()
