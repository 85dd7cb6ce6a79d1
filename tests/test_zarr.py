"""The codecs for numcodecs and Zarr."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from support import photo, pictures

import kmcodec
from kmcodec.container import layout

numcodecs: Any = pytest.importorskip("numcodecs")
zarr: Any = pytest.importorskip("zarr", minversion="3.1")
Kmq: Any = importlib.import_module("kmcodec.plugins.numcodecs").Kmq

# A label map of some regions, and a slide of 16 colours, whose sides no chunk divides.
LABELS = (np.add.outer(np.arange(70) // 7, np.arange(100) // 9) * 30).astype(np.uint16)
SLIDE = kmcodec.quantize(photo(70, 100), 16).to_rgb()
CHUNKS = (32, 48)

DTYPES = ["u1", "i1", "?", "<u2", ">u2", "<i4", ">i4", "<f4", "S1"]


def chunk_bytes(array: Any) -> bytes:
    """Return the bytes of an array as they lie in memory."""
    return bytes(numcodecs.compat.ensure_bytes(array))


@settings(max_examples=60)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=8))
    ),
    order=st.sampled_from("CF"),
    coding=st.sampled_from(["context", "packed"]),
)
def test_labels_are_exact(array: NDArray[Any], order: Any, coding: str) -> None:
    """Items of 1, 2 or 4 bytes come back exactly, in either order, whatever shape and values."""
    codec, chunk = Kmq(coding=coding), np.array(array, order=order)
    data = codec.encode(chunk)
    decoded = codec.decode(data)
    assert chunk_bytes(chunk) == chunk_bytes(decoded)
    assert chunk.itemsize == decoded.itemsize
    out = np.empty_like(chunk)
    assert codec.decode(data, out) is out
    assert chunk_bytes(chunk) == chunk_bytes(out)


def test_rows_run_along_memory() -> None:
    """Rows of the picture are what lies together in memory; what comes before lies below each other."""
    cases: list[tuple[tuple[int, ...], Literal["C", "F"], tuple[int, int]]] = [
        ((3, 4), "C", (3, 4)),
        ((3, 4), "F", (4, 3)),
        ((2, 3, 4), "C", (6, 4)),
        ((5,), "C", (1, 5)),
    ]
    for shape, order, sides in cases:
        reader = kmcodec.KmqReader(Kmq().encode(np.zeros(shape, np.uint8, order)))
        assert sides == (reader.height, reader.width)


def test_labels_use_all_values() -> None:
    """All 256 and all 65536 values fit into a chunk; more values of four bytes do not."""
    for dtype, count in (("u1", 256), ("u2", 65536), ("u4", 65536)):
        chunk = np.arange(count).astype(dtype).reshape(16, -1)
        np.testing.assert_array_equal(chunk, Kmq(coding="packed").decode(Kmq(coding="packed").encode(chunk)))
    with pytest.raises(ValueError, match="at most 65536 different labels, found 65537"):
        Kmq().encode(np.arange(65537, dtype=np.uint32))


@pytest.mark.parametrize(
    ("label", "color"),
    [
        (np.uint8(7), (7, 7, 7)),
        (np.array(0x0102, "<u2"), (2, 1, 254)),
        (np.array(0x0102, ">u2"), (1, 2, 253)),
        (np.array(0x01020304, "<u4"), (4, 3, 2, 254)),
    ],
)
def test_colors_of_labels(label: Any, color: tuple[int, ...]) -> None:
    """A decoder of pictures shows the documented colours."""
    assert color == tuple(kmcodec.decode(Kmq().encode(label))[0, 0])


def test_buffers() -> None:
    """Anything with a buffer is taken, for chunks and for files."""
    raw = bytes(range(256)) * 3
    data = Kmq().encode(raw)
    for buffer in (bytearray(raw), memoryview(raw), np.frombuffer(raw, np.uint8)):
        assert data == Kmq().encode(buffer)
    for stored in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert raw == chunk_bytes(Kmq().decode(stored))
        out = bytearray(len(raw))
        Kmq().decode(stored, out)
        assert raw == out
        Kmq().decode(stored, out=memoryview(out).cast("B", (3, 256)))
        assert raw == out


@settings(max_examples=40)
@given(pixels=pictures(), lead=st.sampled_from([(), (1,), (1, 1)]))
def test_pictures_of_few_colors_are_exact(pixels: NDArray[np.uint8], lead: tuple[int, ...]) -> None:
    """Pictures of at most n_colors colours come back exactly, with their channels, at any rank."""
    chunk = pixels.reshape(*lead, *pixels.shape)
    codec = Kmq(65536, effort="fast")
    data = codec.encode(chunk)
    np.testing.assert_array_equal(pixels, codec.decode(data))
    out = np.empty_like(chunk)
    codec.decode(data, out)
    np.testing.assert_array_equal(chunk, out)


def test_opaque_alpha_is_kept() -> None:
    """A chunk with four channels has four when it comes back, even where none is transparent."""
    chunk = np.dstack([SLIDE, np.full(SLIDE.shape[:2], 255, np.uint8)])
    for options in ({}, {"coding": "packed", "strip_rows": 10}, {"lossy": 0}):
        codec = Kmq(16, **options)
        np.testing.assert_array_equal(chunk, codec.decode(codec.encode(chunk)))


def test_alpha_of_a_palette_is_not_kept() -> None:
    """A chunk with three channels has three when it comes back, even where a palette with alpha is given."""
    codec = Kmq(2, palette=[[255, 0, 0, 255], [0, 0, 255, 128]])
    chunk = np.array([[[255, 0, 0], [255, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(chunk, codec.decode(codec.encode(chunk)))


def test_pictures_are_encoded_with_the_options() -> None:
    """A chunk is the file that encode makes of it, and slices of a stack lie below each other."""
    pixels = photo()
    codec = Kmq(8, "packed", effort="fast", strip_rows=5)
    assert kmcodec.encode(pixels, 8, effort="fast", strip_rows=5) == codec.encode(pixels)
    stack = np.stack([pixels, pixels[::-1]])
    assert codec.encode(stack) == codec.encode(np.vstack([pixels, pixels[::-1]]))


@pytest.mark.parametrize(
    ("codec", "chunk", "error"),
    [
        (Kmq(), np.zeros((0, 3), np.uint8), ValueError),
        (Kmq(), np.zeros(3, np.int64), TypeError),
        (Kmq(), np.zeros(3, np.float64), TypeError),
        (Kmq(), np.zeros(3, "M8[s]"), TypeError),
        (Kmq(), np.zeros(3, object), TypeError),
        (Kmq(), np.zeros((9, 9), np.uint8)[::2, ::2], ValueError),
        (Kmq(4), np.zeros((0, 3, 3), np.uint8), ValueError),
        (Kmq(4), np.zeros((4, 5), np.uint8), ValueError),
        (Kmq(4), np.zeros(3, np.uint8), ValueError),
        (Kmq(4), np.zeros((4, 4, 3), np.uint16), TypeError),
        (Kmq(4), np.zeros((4, 4, 3), np.uint8, order="F"), ValueError),
    ],
)
def test_wrong_chunks(codec: Any, chunk: Any, error: type[Exception]) -> None:
    """What is no chunk of the kind is refused."""
    with pytest.raises(error):
        codec.encode(chunk)


def test_wrong_chunks_are_told_as_they_are() -> None:
    """The message about a chunk that is no picture has its own shape, or its order."""
    with pytest.raises(ValueError, match=r"\(\.\.\., height, width, 3 or 4\), found \(4, 5\)"):
        Kmq(4).encode(np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="found Fortran order"):
        Kmq(4).encode(np.zeros((4, 4, 3), np.uint8, order="F"))


@pytest.mark.parametrize(
    "config",
    [
        {"n_colors": 0},
        {"n_colors": np.int64(3)},
        {"coding": "zip"},
        {"n_colors": 3, "coding": "zip"},
        {"quality": 3},
        {"n_colors": 3, "quality": 3},
        {"effort": "fast"},
        {"n_colors": 3, "effort": "lazy"},
        {"n_colors": 3, "lossy": float("nan")},
        {"n_colors": 3, "palette": np.zeros((3, 3), np.uint8)},
    ],
)
def test_wrong_configurations(config: dict[str, Any]) -> None:
    """A configuration that no chunk could be written with, or that JSON does not hold, is refused at once."""
    with pytest.raises((TypeError, ValueError)):
        Kmq(**config)


def test_options_of_pictures_need_colors() -> None:
    """Without n_colors, chunks are label maps, and options of pictures are refused for that reason."""
    with pytest.raises(TypeError, match="no option 'effort'; those of pictures go with n_colors"):
        Kmq(effort="fast")
    with pytest.raises(TypeError, match=r"metadata must be kmcodec\.Metadata, not dict"):
        Kmq(4, metadata={"Title": "x"})


@pytest.mark.parametrize(
    "codec", [Kmq(), Kmq(coding="packed"), Kmq(16, effort="fast", lossy=5), Kmq("auto", keep=[(1, 2, 3)])]
)
def test_configuration(codec: Any) -> None:
    """A codec comes back from its configuration, from JSON, from its representation and from a pickle."""
    config = codec.get_config()
    assert "kmq" == config["id"]
    for again in (
        numcodecs.get_codec(config),
        numcodecs.get_codec(json.loads(json.dumps(config))),
        pickle.loads(pickle.dumps(codec)),
        eval(repr(codec), {"Kmq": Kmq}),
    ):
        assert isinstance(again, Kmq)
        assert codec == again
        assert repr(codec) == repr(again)
    assert codec != Kmq(3)


def test_damage() -> None:
    """Damage is found; a picture is no label map; out must have the size of the chunk."""
    data = Kmq().encode(LABELS)
    for broken in (data[:-1], data[:60] + b"!" + data[61:], b"", b"no file"):
        with pytest.raises(kmcodec.KmqFormatError):
            Kmq().decode(broken)
    with pytest.raises(ValueError, match="those of a picture"):
        Kmq().decode(Kmq(16).encode(SLIDE))
    for size in (LABELS.nbytes - 1, 2 * LABELS.nbytes):
        with pytest.raises(ValueError, match=f"must have {size} bytes, found {LABELS.nbytes}"):
            Kmq().decode(data, bytearray(size))
    with pytest.raises(TypeError, match="object"):
        Kmq().decode(data, np.empty(LABELS.nbytes // 8, object))
    with pytest.raises(ValueError, match="must have"):
        Kmq(16).decode(Kmq(16).encode(SLIDE), bytearray(SLIDE.size - 1))


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks beyond the limit are not written; nor read, unless there is room for them."""
    chunk = np.zeros((20, 20), np.uint8)
    data = Kmq().encode(chunk)
    monkeypatch.setattr("kmcodec.plugins.numcodecs.DEFAULT_MAX_PIXELS", 399)
    with pytest.raises(kmcodec.LimitExceededError, match="400 pixels, the limit is 399"):
        Kmq().encode(chunk)
    with pytest.raises(kmcodec.LimitExceededError):
        Kmq().decode(data)
    out = np.ones_like(chunk)
    Kmq().decode(data, out)
    np.testing.assert_array_equal(chunk, out)


def test_bomb() -> None:
    """A file of a few bytes that claims a huge picture is refused before it is made."""
    small = Kmq().encode(np.uint8(7))
    side = 2**32 - 1
    bomb = layout.Header(side, side, 0, False, side, 0).to_bytes() + small[layout.HEADER_BYTES :]
    kmcodec.KmqReader(bomb, max_pixels=None).verify()
    for codec in (Kmq(), Kmq(16)):
        with pytest.raises(kmcodec.LimitExceededError):
            codec.decode(bomb)
        with pytest.raises(ValueError, match="must have 100 bytes"):
            codec.decode(bomb, bytearray(100))


def zarr_options(zarr_format: int, **options: Any) -> dict[str, Any]:
    """Return what zarr.create_array wants to use the codec."""
    if zarr_format == 2:
        return {"zarr_format": 2, "compressors": Kmq(**options)}
    serializer = {"name": "kmcodec.kmq", "configuration": options}
    return {"zarr_format": 3, "serializer": serializer, "compressors": None}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["u1", "?", "<u2", ">u2", "<i4", ">i4", "<f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_zarr_labels(zarr_format: int, dtype: str, order: str) -> None:
    """Label maps come back from Zarr exactly, also by parts, after parts were written anew."""
    store: dict[str, Any] = {}
    labels = LABELS.astype(dtype)
    order_options = {"order": order} if zarr_format == 2 else {"config": {"order": order}}
    array = zarr.create_array(
        store, shape=labels.shape, chunks=CHUNKS, dtype=dtype, **zarr_options(zarr_format), **order_options
    )
    array[:] = labels
    array[5:40, 7:90] = labels[::-1][5:40, 7:90]
    expected = labels.copy()
    expected[5:40, 7:90] = labels[::-1][5:40, 7:90]
    again = zarr.open_array(store)
    np.testing.assert_array_equal(expected, again[:])
    np.testing.assert_array_equal(expected[30:35, 40:60], again[30:35, 40:60])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("channels", [3, 4])
def test_zarr_slide(zarr_format: int, channels: int) -> None:
    """A palettised slide comes back from Zarr exactly; its chunks are .kmq files."""
    slide = np.dstack([SLIDE, SLIDE[..., 0]])[..., :channels]
    store: dict[str, Any] = {}
    # One colour more, since the fill value is at the border.
    options = zarr_options(zarr_format, n_colors=17, effort="fast")
    array = zarr.create_array(store, shape=slide.shape, chunks=(*CHUNKS, channels), dtype="u1", **options)
    array[:] = slide
    again = zarr.open_array(store)
    np.testing.assert_array_equal(slide, again[:])
    chunk = store["0.0.0" if zarr_format == 2 else "c/0/0/0"].to_bytes()
    np.testing.assert_array_equal(slide[:32, :48], kmcodec.decode(chunk))


def test_zarr_volume_in_shards() -> None:
    """Chunks of three dimensions, in shards, are stored with their slices below each other."""
    volume = np.stack([LABELS, LABELS[::-1], LABELS // 2])
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=volume.shape, chunks=(2, 32, 32), shards=(2, 64, 128), dtype="u2", **zarr_options(3)
    )
    array[:] = volume
    np.testing.assert_array_equal(volume, zarr.open_array(store)[:])


def test_zarr_large_chunk_of_one_label() -> None:
    """A chunk of one label takes some fifty bytes, and comes back."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=(3, 1000, 1000), chunks=(3, 1000, 1000), dtype="u1", **zarr_options(3)
    )
    array[:] = 9
    assert 51 == len(store["c/0/0/0"].to_bytes())
    assert (zarr.open_array(store)[:] == 9).all()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_damage(zarr_format: int) -> None:
    """Damage of a stored chunk is found."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=LABELS.shape, chunks=CHUNKS, dtype="u2", **zarr_options(zarr_format)
    )
    array[:] = LABELS
    key = "0.0" if zarr_format == 2 else "c/0/0"
    stored = store[key].to_bytes()
    store[key] = type(store[key]).from_bytes(stored[:80] + b"!" + stored[81:])
    with pytest.raises(kmcodec.KmqFormatError):
        zarr.open_array(store)[:]


def test_entry_points() -> None:
    """Numcodecs and Zarr find the codecs without kmcodec being imported first."""
    code = (
        "import sys, numcodecs, zarr.registry;"
        "assert 'kmcodec' not in sys.modules;"
        "print(numcodecs.get_codec({'id': 'kmq', 'n_colors': 16}));"
        "print(zarr.registry.get_codec_class('kmcodec.kmq').__name__)"
    )
    folder = Path(sys.executable).parent
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert ["Kmq(n_colors=16, coding='context')", "KmqCodec"] == run.stdout.splitlines()
