"""The command line, as a process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import KMQ, SAMPLES, fail, names, photo, run, succeed

import kmcodec
from kmcodec.cli import arguments
from kmcodec.pictures import load_picture
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.dither import DITHERS
from kmcodec.quantize.options import EFFORTS, INITS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a picture of 64 x 48 pixels."""
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    return tmp_path


def test_there_and_back(folder: Path) -> None:
    """Encode writes photo.kmq, decode photo.png; the pixels are those of the library."""
    output = succeed(folder, "encode", "photo.png", "-k", "16")
    assert b"photo.kmq: 64 x 48, 16 colours, 1,624 bytes" in output
    assert kmcodec.encode(photo(), 16) == (folder / "photo.kmq").read_bytes()
    assert b"" == succeed(folder, "decode", "photo.kmq", "--force")
    decoded = load_picture(folder / "photo.png")
    np.testing.assert_array_equal(kmcodec.quantize(photo(), 16).to_rgb(), decoded)
    assert ["photo.kmq", "photo.png"] == names(folder)


def test_as_a_module(folder: Path) -> None:
    """Python -m kmcodec is kmq."""
    subprocess.run(
        [sys.executable, "-m", "kmcodec", "encode", "photo.png", "--quiet"], cwd=folder, check=True
    )
    assert kmcodec.encode(photo(), 64) == (folder / "photo.kmq").read_bytes()


def test_options_reach_the_library(folder: Path) -> None:
    """Every option of encode means what it means in Python."""
    words = ["-k", "9", "--init", "kmeans++", "--seed", "4", "--strip-rows", "7", "--threads", "2"]
    succeed(folder, "encode", "photo.png", *words)
    expected = kmcodec.encode(photo(), 9, init="kmeans++", seed=4, strip_rows=7)
    assert expected == (folder / "photo.kmq").read_bytes()
    assert arguments.INITS == INITS
    assert arguments.SPACES == tuple(SPACES)
    assert arguments.EFFORTS == tuple(EFFORTS)
    assert arguments.DITHERS == ("none", *DITHERS)


def test_options_of_quantization(folder: Path) -> None:
    """Space, effort, dithering and colours to keep mean what they mean in Python."""
    words = ["-k", "9", "--space", "oklab", "--effort", "best", "--dither", "diffusion"]
    words += ["--dither-strength", "0.5", "--keep", "#ff0010", "--keep", "00ff20", "--keep", "#ff0010ff"]
    succeed(folder, "encode", "photo.png", *words)
    expected = kmcodec.encode(
        photo(),
        9,
        space="oklab",
        effort="best",
        dither="diffusion",
        dither_strength=0.5,
        keep=[(255, 0, 16), (0, 255, 32)],
    )
    assert expected == (folder / "photo.kmq").read_bytes()


def test_given_palettes(folder: Path) -> None:
    """A palette from a file is taken as it is; several pictures can have one palette."""
    (folder / "four.hex").write_text("000000\n#ffffff\nff0000\n0000ff\n")
    succeed(folder, "encode", "photo.png", "--palette", "four.hex", "-o", "a.kmq")
    expected = kmcodec.encode(photo(), palette=[(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)])
    assert expected == (folder / "a.kmq").read_bytes()
    succeed(folder, "encode", "photo.png", "--palette", "a.kmq", "-o", "b.kmq")
    assert expected == (folder / "b.kmq").read_bytes()


def test_pipes(folder: Path) -> None:
    """A dash is standard input or output; standard input goes to standard output by default."""
    picture = (folder / "photo.png").read_bytes()
    encoded = succeed(folder, "encode", "-", "-k", "8", stdin=picture)
    assert kmcodec.encode(photo(), 8) == encoded
    png = succeed(folder, "decode", "-", stdin=encoded)
    decoded = load_picture(io.BytesIO(png))
    np.testing.assert_array_equal(kmcodec.decode(encoded), decoded)
    succeed(folder, "encode", "-", "-o", "out.kmq", "-k", "8", "--quiet", stdin=picture)
    assert encoded == (folder / "out.kmq").read_bytes()
    assert png == succeed(folder, "decode", "out.kmq", "-o", "-")
    assert b"intact" in succeed(folder, "verify", "-", stdin=encoded)
    assert b"8 colours" in succeed(folder, "info", "-", stdin=encoded)
    assert b"PSNR" in succeed(folder, "report", "photo.png", "-", stdin=encoded)
    assert b"PSNR" in succeed(folder, "report", "-", "out.kmq", stdin=picture)


def test_json(folder: Path) -> None:
    """JSON has the keys that programs rely on, and nothing else is printed."""
    sizes = [
        "width",
        "height",
        "colors",
        "index_bits",
        "file_bytes",
        "raw_bytes",
        "source_bytes",
        "ratio",
        "bits_per_pixel",
    ]
    encoded = json.loads(succeed(folder, "encode", "photo.png", "-k", "16", "--json"))
    assert [*sizes, "coding", "seconds"] == list(encoded)
    assert ("packed", 1624, 64 * 48 * 3) == (encoded["coding"], encoded["file_bytes"], encoded["raw_bytes"])
    reported = json.loads(succeed(folder, "report", "photo.png", "photo.kmq", "--json"))
    measures = ["mse", "psnr_db", "ssim", "delta_e_mean", "delta_e_p95"]
    assert [*sizes, *measures] == list(reported)[: len(sizes) + len(measures)]
    expected = kmcodec.report(photo(), (folder / "photo.kmq").read_bytes())
    assert (expected.mse, expected.psnr_db) == (reported["mse"], reported["psnr_db"])
    info = json.loads(succeed(folder, "info", "photo.kmq", "--json"))
    assert ("1.0", 16, 16) == (info["version"], info["colors"], len(info["palette"]))


def test_report_and_its_picture(folder: Path) -> None:
    """The report prints ratio, bits per pixel and PSNR, and draws both pictures beside each other."""
    succeed(folder, "encode", "photo.png", "-k", "16")
    output = succeed(folder, "report", "photo.png", "photo.kmq", "--side-by-side", "both.png").decode()
    for words in (
        "4 bits per pixel instead of 24",
        "4.229 bits per pixel",
        "5.67 : 1 to the raw pixels",
        "PSNR",
    ):
        assert words in output
    with Image.open(folder / "both.png") as image:
        assert image.width > 2 * 64
    assert "both.png: exists already" in fail(
        folder, "report", "photo.png", "photo.kmq", "--side-by-side", "both.png"
    )


def test_info(folder: Path) -> None:
    """Info names version, size, palette, coding, strips and sections."""
    image = kmcodec.quantize(photo(), 16)
    image = kmcodec.IndexedImage(image.palette, image.indices, (kmcodec.Section(b"xyzw", b"12345"),))
    from kmcodec.container.writer import write_image

    (folder / "photo.kmq").write_bytes(write_image(image, strip_rows=10))
    output = succeed(folder, "info", "photo.kmq").decode()
    for words in (
        "version 1.0",
        "64 x 48 pixels",
        "16 colours",
        "packed, 4 bits",
        "5 of 10 rows",
        "xyzw, 5 bytes",
    ):
        assert words in output


def test_region(folder: Path) -> None:
    """A region is a part of the picture."""
    succeed(folder, "encode", "photo.png", "-k", "16", "--strip-rows", "5")
    succeed(folder, "decode", "photo.kmq", "-o", "part.png", "--region", "3,7,20,30")
    part = load_picture(folder / "part.png")
    np.testing.assert_array_equal(kmcodec.quantize(photo(), 16).to_rgb()[7:37, 3:23], part)
    assert "--region" in fail(folder, "decode", "photo.kmq", "-o", "x.png", "--region", "60,0,20,20")
    assert "X,Y,W,H" in fail(folder, "decode", "photo.kmq", "-o", "x.png", "--region", "1,2,3", status=2)


def test_other_formats(folder: Path) -> None:
    """The suffix of the output decides its format."""
    succeed(folder, "encode", "photo.png", "-k", "16")
    for name, format_name in (("a.webp", "WEBP"), ("a.bmp", "BMP"), ("a.GIF", "GIF")):
        succeed(folder, "decode", "photo.kmq", "-o", name)
        with Image.open(folder / name) as image:
            assert format_name == image.format
    assert "suffix '.xyz'" in fail(folder, "decode", "photo.kmq", "-o", "a.xyz")
    assert "suffix ''" in fail(folder, "decode", "photo.kmq", "-o", "a")


def test_verify_goes_on_after_a_bad_file(folder: Path) -> None:
    """Each file is named, the bad one with what is wrong; the status is 1 if any was bad."""
    succeed(folder, "encode", "photo.png", "-k", "4")
    data = bytearray((folder / "photo.kmq").read_bytes())
    data[-10] ^= 1
    (folder / "bad.kmq").write_bytes(data)
    process = run(folder, "verify", "bad.kmq", "missing.kmq", "photo.kmq")
    assert (1, b"photo.kmq: intact\n1 file intact; 2 failed\n") == (process.returncode, process.stdout)
    first, second = process.stderr.decode().splitlines()
    assert first.startswith("kmq: bad.kmq: strip_crc of strip 0 at offset")
    assert "kmq: missing.kmq: No such file or directory" == second


def test_existing_files_are_kept(folder: Path) -> None:
    """An existing file is replaced only with --force."""
    (folder / "photo.kmq").write_bytes(b"mine")
    assert "photo.kmq: exists already; --force replaces it" in fail(folder, "encode", "photo.png")
    assert b"mine" == (folder / "photo.kmq").read_bytes()
    succeed(folder, "encode", "photo.png", "--force")
    assert "photo.png: exists already" in fail(folder, "decode", "photo.kmq")
    assert ["photo.kmq", "photo.png"] == names(folder)


def test_input_is_never_the_output(folder: Path) -> None:
    """Not even with --force, and not by another name."""
    before = (folder / "photo.png").read_bytes()
    (folder / "link.kmq").symlink_to("photo.png")
    for output in ("photo.png", "./photo.png", "link.kmq"):
        assert "is the input itself" in fail(folder, "encode", "photo.png", "-o", output, "--force", status=2)
    assert before == (folder / "photo.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "missing.png"], "missing.png: No such file or directory"),
        (["encode", "empty.png"], "empty.png: not a picture of a known format"),
        (["encode", "text.png"], "text.png: not a picture of a known format"),
        (
            ["encode", "folder.png"],
            "folder.png: no pictures in this folder; --recursive looks",
        ),
        (["encode", "photo.png", "-o", "no/such/out.kmq"], "no/such/out.kmq: its folder does not exist"),
        (["encode", "photo.png", "-o", "folder.png"], "folder.png: is a folder"),
        (["encode", "photo.png", "--palette", "missing.gpl"], "missing.gpl: No such file or directory"),
        (["encode", "photo.png", "--palette", "text.png"], "text.png: not a picture of a known format"),
        (["encode", "photo.png", "--palette", "folder.png"], "folder.png: Is a directory"),
        (
            ["decode", "text.png", "-o", "x.png"],
            "text.png: not a .kmq file: signature at offset 0: expected 89",
        ),
        (["decode", "empty.png", "-o", "x.png"], "empty.png: not a .kmq file: signature at offset 0"),
        (["decode", "folder.png"], "folder.png: no .kmq files in this folder"),
        (["info", "photo.png"], "photo.png: not a .kmq file: signature at offset 0"),
        (["report", "photo.png", "text.png"], "text.png: not a .kmq file: signature at offset 0"),
        (["report", "missing.png", "text.png"], "missing.png: No such file or directory"),
    ],
)
def test_what_the_data_or_the_file_system_refuse(folder: Path, words: list[str], message: str) -> None:
    """Status 1 and one line: which file, what, where and what was expected. Nothing is left behind."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "folder.png").mkdir()
    before = names(folder)
    assert f"kmq: {message}" in fail(folder, *words)
    assert before == names(folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: kmq COMMAND"),
        (["compress", "photo.png"], "no command 'compress'; did you mean encode?"),
        (["encode"], "INPUT is missing, as in: kmq encode photo.png"),
        (["encode", "photo.png", "-k", "0"], "must be an integer of 1..65536, found '0'"),
        (["encode", "photo.png", "-k", "many"], "must be an integer of 1..65536, found 'many'"),
        (["encode", "photo.png", "--init", "best"], "--init must be split, kmeans++ or random, found 'best'"),
        (["encode", "photo.png", "--seed", "-1"], "--seed"),
        (["encode", "photo.png", "--json", "-o", "-"], "standard output"),
        (["encode", "photo.png", "--effort", "all"], "--effort must be fast, default or best, found 'all'"),
        (["encode", "photo.png", "--dither-strength", "2"], "must be a number of 0..1, found '2'"),
        (["encode", "photo.png", "--keep", "red"], "expected a colour as #rrggbb or #rrggbbaa, found 'red'"),
        (["encode", "photo.png", "-k", "1", "--keep", "000000", "--keep", "ffffff"], "--keep asks for 2"),
        (["encode", "photo.png", "--palette", "a.gpl", "-k", "4"], "does not go with -k"),
        (["encode", "photo.png", "--palette", "a.gpl", "--keep", "000000"], "does not go with --keep"),
        (["report", "-", "-"], "standard input"),
    ],
)
def test_wrong_usage(folder: Path, words: list[str], message: str) -> None:
    """Status 2, and what was wrong."""
    assert message in fail(folder, *words, status=2)


def test_sizes_that_differ(folder: Path) -> None:
    """A report on another picture's file is refused in one line."""
    succeed(folder, "encode", "photo.png", "-k", "4")
    Image.new("RGB", (10, 10)).save(folder / "other.png")
    assert "photo.kmq: the original has 10 x 10 pixels" in fail(folder, "report", "other.png", "photo.kmq")


def test_names_in_any_encoding(folder: Path) -> None:
    """Names need not be text, and do not break the line."""
    if sys.platform in ("darwin", "win32"):
        pytest.skip("names are always text here")
    for name in (b"caf\xe9.png", "grüße 图.png".encode(), b"two\nlines.png", b" "):
        path = folder / os.fsdecode(name)
        shutil.copy(folder / "photo.png", path)
        process = run(folder, "encode", path.name, "-k", "2", "-o", path.name + ".kmq")
        assert (0, b"") == (process.returncode, process.stderr)
        assert 1 == len(process.stdout.splitlines())
        process = run(folder, "verify", path.name)
        assert 1 == process.returncode
        assert 1 == len(process.stderr.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_closed_pipe(folder: Path) -> None:
    """A reader that goes away is an error of one line, not a traceback."""
    succeed(folder, "encode", "photo.png", "-k", "4")
    reading, writing = os.pipe()
    os.close(reading)
    for words in (
        ["decode", "photo.kmq", "-o", "-"],
        ["info", "photo.kmq"],
        ["encode", "photo.png", "-o", "-"],
    ):
        process = subprocess.run(
            [KMQ, *words], cwd=folder, stdout=writing, stderr=subprocess.PIPE, check=False
        )
        assert (1, b"kmq: standard output: closed by its reader\n") == (process.returncode, process.stderr)
    os.close(writing)


@pytest.mark.skipif(os.name == "nt", reason="signals are a matter of POSIX")
@pytest.mark.parametrize("delay", [1, 3, 6])
def test_interrupted(folder: Path, delay: int) -> None:
    """Ctrl-C ends with one line at most, and leaves nothing behind."""
    # While Python itself starts, it answers in words of its own: so long is waited for, and more.
    before = time.monotonic()
    succeed(folder, "--version")
    start_up = time.monotonic() - before
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (1500, 1500, 3), np.uint8)).save(folder / "noise.bmp")
    process = subprocess.Popen([KMQ, "encode", "noise.bmp", "-k", "256"], cwd=folder, stderr=subprocess.PIPE)
    time.sleep(delay * start_up)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    # By the signal itself, as long as nothing but loading has been done.
    assert (process.returncode, errors) in ((130, b"kmq: interrupted\n"), (-signal.SIGINT, b""))
    assert ["noise.bmp", "photo.png"] == names(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_full_disk(folder: Path) -> None:
    """A full disk is an error of one line."""
    succeed(folder, "encode", "photo.png", "-k", "4")
    assert "/dev/full: No space left on device" in fail(folder, "encode", "photo.png", "-o", "/dev/full")
    with open("/dev/full", "wb") as full:
        for words in (["decode", "photo.kmq", "-o", "-"], ["info", "photo.kmq"]):
            process = subprocess.run(
                [KMQ, *words], cwd=folder, stdout=full, stderr=subprocess.PIPE, check=False
            )
            assert 1 == process.returncode
            assert b"kmq: standard output: No space left on device\n" == process.stderr


def test_closed_standard_output(folder: Path) -> None:
    """A command without any standard output does its work all the same."""
    if os.name == "nt":
        pytest.skip("no shell to close it with")
    succeed(folder, "encode", "photo.png", "-k", "4")
    process = subprocess.run(
        f"exec '{KMQ}' info photo.kmq >&-", shell=True, cwd=folder, capture_output=True, check=False
    )
    assert (0, b"") == (process.returncode, process.stderr)


def test_uncompiled_kernels_are_announced(folder: Path) -> None:
    """Where the kernels are not compiled, kmq --version says so, and an encode says that it will be slow."""
    environment = {"KMCODEC_UNCOMPILED": "1", "KMCODEC_REQUIRE_COMPILED": "0"}
    Image.fromarray(photo(70, 70)).save(folder / "larger.png")
    process = run(folder, "encode", "larger.png", "-k", "2", environment=environment)
    assert 0 == process.returncode
    assert b"kmq: this will be slow: the kernels were not compiled" in process.stderr
    assert kmcodec.encode(photo(70, 70), 2) == (folder / "larger.kmq").read_bytes()
    process = run(folder, "encode", "photo.png", "-k", "2", environment=environment)
    assert (0, b"") == (process.returncode, process.stderr)
    process = run(folder, "encode", "larger.png", "-k", "2", "--force", "--quiet", environment=environment)
    assert (0, b"", b"") == (process.returncode, process.stdout, process.stderr)
    assert b"not compiled: slow" in run(folder, "--version", environment=environment).stdout


def test_version(tmp_path: Path) -> None:
    """The version names the kernels."""
    version = succeed(tmp_path, "--version").decode()
    assert version.startswith(f"kmq {kmcodec.__version__} (kernels ")
    assert ("kernels compiled" in version) == kmcodec.COMPILED


@pytest.mark.parametrize("name", ["sprite.png", "icon.png", "chart.png", "chelsea.png", "rocket.jpg"])
def test_samples(tmp_path: Path, name: str) -> None:
    """Photographs, drawings and icons go there and back."""
    succeed(tmp_path, "encode", str(SAMPLES / name), "-k", "16", "-o", "sample.kmq", "--quiet")
    assert b"intact" in succeed(tmp_path, "verify", "sample.kmq")
    succeed(tmp_path, "decode", "sample.kmq")
    assert b"ratio" in succeed(tmp_path, "report", str(SAMPLES / name), "sample.kmq")
    succeed(tmp_path, "encode", "sample.png", "-k", "16", "-o", "again.kmq", "--quiet")
    assert (tmp_path / "sample.kmq").read_bytes() == (tmp_path / "again.kmq").read_bytes()
