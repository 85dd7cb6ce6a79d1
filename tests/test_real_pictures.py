"""Real photographs, screenshots and icons, where they lie beside the checkout."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support import shared_picture

import kmcodec
from kmcodec.pictures import load_picture

PICTURES = [
    "bird_small.png",
    "photo/kodim23.png",
    "photo/cq_color_chart.png",
    "art/frymire.png",
    "art/shot_terminal.png",
    "art/emoji_alpha.png",
    "art/logo_alpha.png",
    "large/Rosetta_Nebula.jpg",
]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("n_colors", [16, 64, 256])
def test_there_and_back(name: str, n_colors: int) -> None:
    """A real picture is decoded as it was quantized, and encoded again as it was encoded."""
    pixels = load_picture(shared_picture(name))
    image = kmcodec.quantize(pixels, n_colors)
    data = kmcodec.encode(pixels, n_colors)
    decoded = kmcodec.decode(data)
    np.testing.assert_array_equal(image.to_rgb(), decoded)
    assert n_colors == len(image.palette)
    assert data == kmcodec.encode(decoded, n_colors)
    bits = n_colors.bit_length() - 1
    raw_bits = 24 if pixels.shape[2] == 3 else 32
    assert kmcodec.report(pixels, data).ratio == pytest.approx(raw_bits / bits, rel=0.07)


@pytest.mark.parametrize("n_colors", [16, 64, 256])
@pytest.mark.parametrize("name", ["kodim23", "frymire", "shot_node"])
def test_indexed_pictures_are_exact(name: str, n_colors: int) -> None:
    """A picture of K colours is encoded with K colours without loss."""
    pixels = load_picture(shared_picture(f"indexed/{name}_{n_colors}.png"))
    np.testing.assert_array_equal(pixels, kmcodec.decode(kmcodec.encode(pixels, n_colors)))


def test_damage_to_a_real_file_is_detected() -> None:
    """Flipped bits and cuts anywhere in a real file are detected."""
    data = kmcodec.encode(load_picture(shared_picture("bird_small.png")), 16, strip_rows=16)
    rng = random.Random(0)
    for _ in range(300):
        place = rng.randrange(8 * len(data))
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        for damaged in (bytes(flipped), data[: rng.randrange(len(data))]):
            with pytest.raises(kmcodec.KmqFormatError):
                kmcodec.decode(damaged)
