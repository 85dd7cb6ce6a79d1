"""The plugin for imageio."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import SAMPLES, photo

import kmcodec

imageio: Any = pytest.importorskip("imageio")
iio: Any = pytest.importorskip("imageio.v3")
plugin: Any = importlib.import_module("kmcodec.plugins.imageio")

PIXELS = photo()
FILE = kmcodec.encode(PIXELS, 16, strip_rows=8)
RESTORED = kmcodec.decode(FILE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a .kmq file."""
    path = tmp_path / "x.kmq"
    path.write_bytes(FILE)
    return path


def test_read(path: Path) -> None:
    """Names, paths, bytes, memory and files are read, with the plugin named, given, hinted at or found."""
    with path.open("rb") as file:
        sources = [str(path), path, FILE, memoryview(FILE), io.BytesIO(FILE), file]
        for source in sources:
            np.testing.assert_array_equal(RESTORED, iio.imread(source))
    for options in ({"plugin": "kmq"}, {"plugin": plugin.KmqPlugin}, {"extension": ".kmq"}):
        np.testing.assert_array_equal(RESTORED, iio.imread(FILE, **options))


def test_read_any_name(tmp_path: Path) -> None:
    """A file is known by its first bytes, whatever its name is; others are left to other plugins."""
    (tmp_path / "x.png").write_bytes(FILE)
    np.testing.assert_array_equal(RESTORED, iio.imread(tmp_path / "x.png"))
    sprite = SAMPLES / "sprite.png"
    (tmp_path / "x.kmq").write_bytes(sprite.read_bytes())
    for source in (tmp_path / "x.kmq", sprite.read_bytes(), io.BytesIO(sprite.read_bytes())):
        np.testing.assert_array_equal(iio.imread(sprite), iio.imread(source))


def test_batches(path: Path) -> None:
    """A file holds one picture, of index 0, and a batch of it where an ellipsis asks for one."""
    for index in (None, 0):
        np.testing.assert_array_equal(RESTORED, iio.imread(path, index=index))
    np.testing.assert_array_equal(RESTORED[None], iio.imread(path, index=...))
    np.testing.assert_array_equal([RESTORED], list(iio.imiter(path)))
    for read in (iio.imread, iio.improps, iio.immeta):
        for index in (1, -1):
            with pytest.raises(ValueError, match="one picture, which has index 0"):
                read(path, index=index)


def test_region(path: Path) -> None:
    """A part can be read, which must lie in the picture."""
    np.testing.assert_array_equal(RESTORED[3:9, 2:7], iio.imread(path, region=(2, 3, 5, 6)))
    with pytest.raises(ValueError, match="region"):
        iio.imread(path, region=(60, 0, 5, 1))
    for region in ((0, 0, 5), (0, 0, 5, 5, 5), "abcd", 5):
        with pytest.raises(ValueError, match="region must be x, y, width and height, found"):
            iio.imread(path, region=region)


def test_limit(path: Path) -> None:
    """A picture larger than the limit is refused, but its properties can be had."""
    n_pixels = PIXELS[..., 0].size
    np.testing.assert_array_equal(RESTORED, iio.imread(path, max_pixels=n_pixels))
    with pytest.raises(kmcodec.LimitExceededError):
        iio.imread(path, max_pixels=n_pixels - 1)
    with pytest.raises(TypeError, match="max_pixels must be a number, not str"):
        iio.imread(path, max_pixels="all")
    # Of one colour, which counts eightfold, and beyond the default limit.
    large = kmcodec.encode(np.zeros((2**13, 2**13, 3), np.uint8), 1, effort="fast")
    assert (2**13, 2**13, 3) == iio.improps(large).shape
    with pytest.raises(kmcodec.LimitExceededError):
        iio.imread(large)


@pytest.mark.parametrize("options", [{}, {"plugin": "kmq"}, {"extension": ".kmq"}])
def test_damage(tmp_path: Path, options: dict[str, str]) -> None:
    """Damage is told as everywhere in kmcodec, and leaves no file open."""
    path = tmp_path / "x.kmq"
    for data in (FILE[:-1], FILE[:20], FILE[:100] + b"!" + FILE[101:]):
        path.write_bytes(data)
        for source in (path, data):
            with pytest.raises(kmcodec.KmqFormatError):
                iio.imread(source, **options)
    for ask in (iio.improps, iio.immeta):
        with pytest.raises(kmcodec.KmqFormatError):
            ask(FILE[:20])


def test_not_a_kmq_file(tmp_path: Path) -> None:
    """What is something else, or nothing, is an OSError."""
    (tmp_path / "x.kmq").write_bytes(b"")
    for source in (
        b"",
        FILE[:7],
        SAMPLES / "sprite.png",
        tmp_path / "x.kmq",
        tmp_path,
        tmp_path / "none.kmq",
    ):
        with pytest.raises(OSError, match=r"can not handle|No such file|folders"):
            iio.imread(source, plugin="kmq")


def test_write(tmp_path: Path) -> None:
    """Options are those of encode; names, files, archives and bytes are written."""
    path, file = tmp_path / "x.kmq", io.BytesIO()
    assert iio.imwrite(path, PIXELS, n_colors=16, strip_rows=8) is None
    assert path.read_bytes() == FILE
    assert iio.imwrite(file, PIXELS, extension=".kmq", n_colors=16, strip_rows=8) is None
    assert FILE == file.getvalue()
    assert FILE == iio.imwrite("<bytes>", PIXELS, extension=".kmq", n_colors=16, strip_rows=8)
    iio.imwrite(f"{tmp_path}/x.zip/x.KMQ", PIXELS, n_colors=16)
    np.testing.assert_array_equal(RESTORED, iio.imread(f"{tmp_path}/x.zip/x.KMQ"))


@pytest.mark.parametrize(
    ("ndimage", "expected"),
    [
        (PIXELS[..., 0], np.dstack([PIXELS[..., 0]] * 3)),
        (PIXELS[None], PIXELS),
        ([PIXELS], PIXELS),
        ([PIXELS[..., 0]], np.dstack([PIXELS[..., 0]] * 3)),
        (np.dstack([PIXELS, PIXELS[..., 1]]), np.dstack([PIXELS, PIXELS[..., 1]])),
    ],
    ids=["grey", "batch of one", "list of one", "list of one grey", "alpha"],
)
def test_write_shapes(ndimage: Any, expected: Any) -> None:
    """Greys become RGB, a batch of one is that one, and alpha is kept."""
    data = iio.imwrite("<bytes>", ndimage, extension=".kmq", n_colors=65536)
    np.testing.assert_array_equal(expected, iio.imread(data))


@pytest.mark.parametrize(
    ("ndimage", "options", "error"),
    [
        ([PIXELS, PIXELS], {}, ValueError),
        ([], {}, ValueError),
        (np.stack([PIXELS, PIXELS]), {}, ValueError),
        (PIXELS, {"is_batch": True}, ValueError),
        (PIXELS[..., :2], {}, ValueError),
        (PIXELS / 255, {}, TypeError),
        (PIXELS > 100, {}, TypeError),
        (PIXELS, {"n_colors": 0}, ValueError),
        (PIXELS, {"quality": 80}, TypeError),
    ],
)
def test_write_errors(path: Path, ndimage: Any, options: dict[str, Any], error: type[Exception]) -> None:
    """What cannot be written is refused, and an older file stays as it is."""
    with pytest.raises(error):
        iio.imwrite(path, ndimage, **options)
    assert path.read_bytes() == FILE


def test_write_once(tmp_path: Path) -> None:
    """A second picture does not fit into a file."""
    with iio.imopen(tmp_path / "x.kmq", "w") as file:
        file.write(PIXELS, n_colors=16)
        with pytest.raises(ValueError, match="one picture, found 2"):
            file.write(PIXELS)
    np.testing.assert_array_equal(RESTORED, iio.imread(tmp_path / "x.kmq"))


def test_other_extensions_are_not_written(tmp_path: Path) -> None:
    """The plugin writes no .kmq file under the name of another format."""
    for name in (tmp_path / "x.png", "<bytes>"):
        with pytest.raises(OSError, match="can not handle"):
            iio.imwrite(name, PIXELS, plugin="kmq")


def test_properties() -> None:
    """Shape, dtype and spacing are told as imageio has them."""
    properties = iio.improps(FILE)
    assert (48, 64, 3) == properties.shape
    assert np.uint8 == properties.dtype
    assert (None, False, None) == (properties.n_images, properties.is_batch, properties.spacing)
    properties = iio.improps(FILE, index=...)
    assert ((1, 48, 64, 3), 1, True) == (properties.shape, properties.n_images, properties.is_batch)
    metadata = kmcodec.Metadata(density=kmcodec.Density(2000, 4000))
    alpha = np.dstack([PIXELS, PIXELS[..., 0]])
    properties = iio.improps(kmcodec.encode(alpha, metadata=metadata))
    assert ((48, 64, 4), (1 / 4000, 1 / 2000)) == (properties.shape, properties.spacing)
    metadata = kmcodec.Metadata(density=kmcodec.Density(1, 2, is_per_metre=False))
    assert iio.improps(kmcodec.encode(PIXELS, metadata=metadata)).spacing is None


def test_metadata() -> None:
    """Metadata are told under the names that imageio's users know; the palette only if asked for."""
    assert {"n_colors": 16, "coding": "packed"} == iio.immeta(FILE)
    assert {"n_colors": 16, "coding": "packed"} == iio.immeta(FILE, index=...)
    metadata = kmcodec.Metadata(
        icc_profile=bytes(16) + b"RGB " + bytes(16) + b"acsp" + bytes(100),
        exif=b"II*\0\0\0\0\0",
        xmp=b"<x/>",
        texts=(kmcodec.Text("Title", "A wave"),),
        density=kmcodec.Density(10000, 20000),
        recipe={"n_colors": 16},
    )
    expected = {
        "n_colors": 16,
        "coding": "context",
        "icc_profile": metadata.icc_profile,
        "exif": metadata.exif,
        "xmp": metadata.xmp,
        "texts": {"Title": "A wave"},
        "dpi": (254.0, 508.0),
        "recipe": {"n_colors": 16},
    }
    data = kmcodec.encode(PIXELS, 16, coding="context", metadata=metadata)
    assert expected == iio.immeta(data)
    everything = iio.immeta(data, exclude_applied=False)
    np.testing.assert_array_equal(kmcodec.KmqReader(data).palette, everything.pop("palette"))
    assert expected == everything
    metadata = kmcodec.Metadata(density=kmcodec.Density(1, 2, is_per_metre=False))
    assert (1, 2) == iio.immeta(kmcodec.encode(PIXELS, metadata=metadata))["aspect"]


def test_context(path: Path) -> None:
    """An open file can be asked several times."""
    with iio.imopen(path, "r") as file:
        assert (48, 64, 3) == file.properties().shape
        np.testing.assert_array_equal(RESTORED, file.read())
        np.testing.assert_array_equal(RESTORED[:1], file.read(region=(0, 0, 64, 1)))
        assert 16 == file.metadata()["n_colors"]


def test_reading_what_is_written(path: Path) -> None:
    """What is open for writing is not read, nor emptied by the attempt; and the other way round."""
    for ask in ("read", "properties", "metadata"):
        with (
            iio.imopen(path, "w") as file,
            pytest.raises(io.UnsupportedOperation, match="for writing, not for reading"),
        ):
            getattr(file, ask)()
    with (
        iio.imopen(path, "r") as file,
        pytest.raises(io.UnsupportedOperation, match="for reading, not for writing"),
    ):
        file.write(PIXELS)
    assert FILE == path.read_bytes()


def test_version_2(path: Path, tmp_path: Path) -> None:
    """The functions of imageio's second version work as well."""
    v2 = pytest.importorskip("imageio.v2")
    v2.imwrite(tmp_path / "y.kmq", PIXELS, n_colors=16, strip_rows=8)
    assert (tmp_path / "y.kmq").read_bytes() == FILE
    np.testing.assert_array_equal(RESTORED, v2.imread(path))
    np.testing.assert_array_equal([RESTORED], v2.mimread(path))
    with v2.get_reader(path) as reader:
        assert 16 == reader.get_meta_data()["n_colors"]
        assert 16 == len(reader.get_data(0).meta["palette"])
    with pytest.raises(ValueError, match="one picture, found 2"):
        v2.mimwrite(tmp_path / "y.kmq", [PIXELS, PIXELS])


def test_registered_once() -> None:
    """The import lists format and plugin, and loads no other plugin to read bytes."""
    assert [".kmq"] == [e.extension for e in imageio.config.extension_list if "kmq" in e.priority]
    code = (
        "import sys, imageio.v3 as iio, kmcodec.plugins.imageio;"
        "iio.imread(sys.stdin.buffer.read());"
        "print('imageio.plugins.pillow' in sys.modules)"
    )
    folder = Path(sys.executable).parent
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], input=FILE, capture_output=True, check=True, cwd=folder
    )
    assert (b"False", b"") == (run.stdout.strip(), run.stderr)
