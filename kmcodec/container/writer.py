"""IndexedImage -> bytes of a .kmq file."""

from __future__ import annotations

from kmcodec.checks import check_integer
from kmcodec.coding import packed
from kmcodec.container import layout
from kmcodec.image import IndexedImage

# Pixels that a strip has by default: enough that 4 bytes of checksum do not count, few enough that
# a region, a thread or a damage concerns a small part of a large picture.
_STRIP_PIXELS = 1 << 20


def default_strip_rows(width: int, height: int) -> int:
    """Return the rows of a strip where the caller does not say."""
    return min(max(1, _STRIP_PIXELS // width), height)


def write_image(image: IndexedImage, *, strip_rows: int | None = None) -> bytes:
    """Return the file that holds an image.

    Parameters
    ----------
    image : IndexedImage
    strip_rows : int, optional
        Rows of a strip, at least 1; more than the picture has stands for all. Default: about a
        million pixels.

    Raises
    ------
    TypeError, ValueError
        If strip_rows is out of range, or a section cannot be stored.
    """
    if strip_rows is None:
        strip_rows = default_strip_rows(image.width, image.height)
    strip_rows = check_integer("strip_rows", strip_rows, 1)
    sections = layout.build_sections(image.sections)
    header = layout.Header(
        width=image.width,
        height=image.height,
        last_index=len(image.palette) - 1,
        has_alpha=image.palette.shape[1] == 4,
        strip_rows=min(strip_rows, image.height),
        sections_bytes=len(sections),
    )
    # Section 4: all colours, then all alphas.
    palette = image.palette[:, :3].tobytes() + image.palette[:, 3:].tobytes()
    parts = [header.to_bytes(), palette, layout.crc_bytes(palette), sections]
    for number in range(header.strip_count):
        first_row = number * header.strip_rows
        rows = image.indices[first_row : first_row + header.strip_rows]
        payload = packed.pack(rows.reshape(-1), header.index_bits)
        parts += [payload, layout.strip_crc(number, payload)]
    return b"".join(parts)
