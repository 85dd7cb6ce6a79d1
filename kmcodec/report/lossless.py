"""The lossless formats that a .kmq file is compared with, and their settings.

They are given the pixels of the .kmq file, with the palette where the format has one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmcodec.errors import PictureError
from kmcodec.image import IndexedImage
from kmcodec.pictures import encode_picture, has_gif_alpha
from kmcodec.report.rival import HINT, Task, Tiers, choose_setting, find_obstacle

# Encoders that look longer find smaller files, and take minutes for a large picture: each setting is one that
# takes some ten seconds at most.
_WEBP_METHODS: Tiers = ((1 << 19, 6), (1 << 23, 5)), 4
_JXL_EFFORTS: Tiers = ((1 << 18, 10), (1 << 22, 9)), 7
# With zopfli higher levels take thrice the time, and find nothing better.
_OXIPNG_LEVELS: Tiers = ((1 << 19, 4), (1 << 23, 6)), 4
_ZOPFLI_ITERATIONS: Tiers = ((1 << 19, 15),), 0

_MOST_PALETTE_COLORS = 256
_LARGEST_GIF_SIDE = 65535
_LARGEST_WEBP_SIDE = 16383


def plan_lossless(image: IndexedImage, n_threads: int) -> list[Task]:
    """Return how each lossless format is made of an image.

    Parameters
    ----------
    image : IndexedImage
    n_threads : int
        For the encoder of JPEG XL.
    """
    png = Task(
        "PNG", f"{_name_samples(image)}, Pillow's defaults", "PNG", True, partial(encode_picture, image)
    )
    return [png, _plan_optimized_png(image), _plan_gif(image), _plan_webp(image), _plan_jxl(image, n_threads)]


def _name_samples(image: IndexedImage) -> str:
    if len(image.palette) <= _MOST_PALETTE_COLORS:
        return "palette"
    return "RGBA" if image.palette.shape[1] == 4 else "RGB"


def _plan_optimized_png(image: IndexedImage) -> Task:
    """Return how PNG is optimized: by oxipng with zopfli in it, else by zopfli, as they are installed."""
    samples = _name_samples(image)
    for name, find_optimizer in (("PNG by oxipng", _find_oxipng), ("PNG by zopfli", _find_zopfli)):
        try:
            optimize, settings = find_optimizer(image.indices.size)
        # A package that is broken is as good as none.
        except Exception:
            continue
        return Task(name, f"{samples}, {settings}", "PNG", True, partial(_optimize_png, image, optimize))
    return Task("PNG by oxipng", "", "PNG", True, bytes, HINT)


def _find_oxipng(n_pixels: int) -> tuple[Callable[[bytes], bytes], str]:
    import oxipng

    level, iterations = (choose_setting(t, n_pixels) for t in (_OXIPNG_LEVELS, _ZOPFLI_ITERATIONS))
    if not iterations:
        return partial(oxipng.optimize_from_memory, level=level), f"level {level}"
    optimize = partial(oxipng.optimize_from_memory, level=level, deflate=oxipng.Deflaters.zopfli(iterations))
    return optimize, f"level {level}, zopfli {iterations}"


def _find_zopfli(n_pixels: int) -> tuple[Callable[[bytes], bytes], str]:
    import zopfli

    return zopfli.ZopfliPNG().optimize, "zopflipy's defaults"


def _optimize_png(image: IndexedImage, optimize: Callable[[bytes], bytes]) -> bytes:
    try:
        return optimize(encode_picture(image))
    except Exception as error:
        raise PictureError(f"not optimized: {error}") from error


def _plan_gif(image: IndexedImage) -> Task:
    obstacle = find_obstacle(image, "GIF", "GIF", _LARGEST_GIF_SIDE)
    if len(image.palette) > _MOST_PALETTE_COLORS:
        obstacle = "GIF has at most 256 colours"
    elif not has_gif_alpha(image.palette):
        obstacle = "GIF has no partial alpha, and one transparent colour at most"
    return Task("GIF", "palette", "GIF", True, partial(encode_picture, image, "GIF"), obstacle)


def _plan_webp(image: IndexedImage) -> Task:
    method = choose_setting(_WEBP_METHODS, image.indices.size)
    # Exact: colours under full transparency are kept too.
    options: dict[str, Any] = {"lossless": True, "method": method, "quality": 100, "exact": True}
    return Task(
        name="lossless WebP",
        settings=f"method {method}, quality 100, exact",
        format_name="WEBP",
        is_lossless=True,
        encode=partial(_encode_pixels, image, "WEBP", options),
        obstacle=find_obstacle(image, "WEBP", "WebP", _LARGEST_WEBP_SIDE),
    )


def _plan_jxl(image: IndexedImage, n_threads: int) -> Task:
    effort = choose_setting(_JXL_EFFORTS, image.indices.size)
    options: dict[str, Any] = {"lossless": True, "effort": effort, "num_threads": n_threads}
    return Task(
        name="lossless JPEG XL",
        settings=f"effort {effort}",
        format_name="JXL",
        is_lossless=True,
        encode=partial(_encode_pixels, image, "JXL", options),
        obstacle=find_obstacle(image, "JXL", "JPEG XL"),
    )


def _encode_pixels(image: IndexedImage, format_name: str, options: dict[str, Any]) -> bytes:
    return encode_picture(image.to_rgb(), format_name, **options)
