"""imageio: ``imread`` and its companions for .kmq files, once this module is imported.

imageio knows no entry points; who wants another format adds it to the lists of ``imageio.config``, as is done
here. Knows nothing of how a picture is coded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from io import UnsupportedOperation
from types import EllipsisType
from typing import Any

import numpy as np
from imageio.config import FileExtension, PluginConfig, extension_list, known_extensions, known_plugins
from imageio.core.request import RETURN_BYTES, InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import ArrayLike, NDArray

from kmcodec.codec import encode
from kmcodec.container.layout import SIGNATURE
from kmcodec.container.parts import DEFAULT_MAX_PIXELS, check_limit
from kmcodec.container.reader import KmqReader


class KmqPlugin(PluginV3):  # type: ignore[misc]  # imageio has its types, but need not be there
    """Read and write .kmq files for imageio, under the name "kmq".

    Parameters
    ----------
    request : imageio.core.Request
        What is read must begin as a .kmq file does; what is written must have the extension ".kmq".

    Raises
    ------
    InitializationError
        If it is another format; imageio then asks another plugin.
    OSError
        If the file cannot be opened.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._is_written = False
        if request.mode.io_mode == IOMode.write:
            if (request.extension or "").lower() != ".kmq":
                raise InitializationError('only files of extension ".kmq" are written')
        elif not request.firstbytes.startswith(SIGNATURE):
            raise InitializationError("not a .kmq file")

    @functools.cached_property
    def _reader(self) -> KmqReader:
        if self.request.mode.io_mode == IOMode.write:
            # Opening the file would empty it.
            raise UnsupportedOperation("the file is open for writing, not for reading")
        # Made late: damage that is found in a with-block of imageio leaves no file open. Whose limit counts
        # is said by read.
        return KmqReader(self.request.get_file(), max_pixels=None)

    def read(
        self,
        *,
        index: int | EllipsisType | None = None,
        region: Sequence[int] | None = None,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> NDArray[np.uint8]:
        """Read the picture.

        Parameters
        ----------
        index : 0, Ellipsis or None
            A file holds one picture, which is number 0; an ellipsis asks for a batch of it.
        region : (int, int, int, int), optional
            x, y, width, height of the part to read, in pixels. Without context coding, only its own bytes are
            read, and damage may go unnoticed.
        max_pixels : int or None, default 2**28
            A picture of more pixels is refused, as by kmcodec.open; None allows any.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8
            One dimension more, of length 1, where index is an ellipsis.

        Raises
        ------
        KmqFormatError
            If the file is damaged.
        LimitExceededError
            If the picture has too many pixels.
        ValueError
            If index is another one, region is none that lies in the picture, or the file is open for writing.
        """
        is_batch = _check_index(index)
        if region is not None and np.shape(region) != (4,):
            raise ValueError(f"region must be x, y, width and height, found {region!r}")
        check_limit(self._reader.header, max_pixels)
        pixels = self._reader.pixels() if region is None else self._reader.region(*region)
        return pixels[np.newaxis] if is_batch else pixels

    def iter(self, **options: Any) -> Iterator[NDArray[np.uint8]]:
        """Yield the one picture; options and errors are those of read."""
        yield self.read(**options)

    def write(self, ndimage: ArrayLike, *, is_batch: bool | None = None, **options: Any) -> bytes | None:
        """Write the picture; nothing is written unless it could be encoded.

        Parameters
        ----------
        ndimage : array_like, shape (height, width), (height, width, 3) or (height, width, 4), uint8
            Greys, sRGB, or sRGB with straight alpha; or a batch of one of them.
        is_batch : bool, optional
            Whether ndimage is a batch. Default: if it is a list, or has four dimensions.
        **options
            Options of kmcodec.encode: n_colors, coding, effort, metadata, ...

        Returns
        -------
        bytes or None
            The file, if it was asked for as "<bytes>".

        Raises
        ------
        OSError
            If the file cannot be written.
        TargetError, MissingExtraError, TypeError, ValueError
            As for kmcodec.encode; ValueError also if there is more than one picture.
        """
        if self.request.mode.io_mode != IOMode.write:
            raise UnsupportedOperation("the file is open for reading, not for writing")
        if is_batch is None:
            is_batch = isinstance(ndimage, list) or np.ndim(ndimage) == 4
        images = list(ndimage) if is_batch else [ndimage]  # type: ignore[arg-type]
        if self._is_written or len(images) != 1:
            raise ValueError(f"a .kmq file holds one picture, found {self._is_written + len(images)}")
        pixels = np.asarray(images[0])
        if pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)
        data = encode(pixels, **options)
        # Opening the file empties it.
        self.request.get_file().write(data)
        self._is_written = True
        return data if self.request.raw_uri == RETURN_BYTES else None

    def properties(self, index: int | EllipsisType | None = None) -> ImageProperties:
        """Return what imageio tells of each format alike, without decoding.

        Parameters
        ----------
        index : 0, Ellipsis or None
            As for read.

        Returns
        -------
        ImageProperties
            spacing is the distance of rows and that of columns in metres, or None where the file has no
            density per metre.

        Raises
        ------
        KmqFormatError, ValueError
            As for read.
        """
        is_batch = _check_index(index)
        header, density = self._reader.header, self._reader.metadata.density
        shape = (header.height, header.width, header.channels)
        return ImageProperties(
            shape=(1, *shape) if is_batch else shape,
            dtype=np.dtype(np.uint8),
            n_images=1 if is_batch else None,
            is_batch=is_batch,
            spacing=(1 / density.y, 1 / density.x) if density and density.is_per_metre else None,
        )

    def metadata(
        self, index: int | EllipsisType | None = None, exclude_applied: bool = True
    ) -> dict[str, Any]:
        """Return what only this format tells, without decoding.

        Parameters
        ----------
        index : 0, Ellipsis or None
            As for read.
        exclude_applied : bool, default True
            Whether to leave out the palette, which is in the pixels.

        Returns
        -------
        dict
            n_colors, coding, and, where the file has them: icc_profile, exif and xmp (bytes), texts (a dict
            by keyword), dpi or aspect (across, down), recipe (a dict); with exclude_applied=False also
            palette, an array of shape (K, 3 or 4).

        Raises
        ------
        KmqFormatError, ValueError
            As for read.
        """
        _check_index(index)
        stored, density = self._reader.metadata, self._reader.metadata.density
        found: dict[str, Any] = {
            "icc_profile": stored.icc_profile,
            "exif": stored.exif,
            "xmp": stored.xmp,
            "texts": {text.keyword: text.text for text in stored.texts} or None,
            "recipe": stored.recipe,
        }
        if density and density.is_per_metre:
            found["dpi"] = density.dpi
        elif density:
            found["aspect"] = (density.x, density.y)
        if not exclude_applied:
            found["palette"] = self._reader.palette
        header = self._reader.header
        described = {"n_colors": header.n_colors, "coding": header.coding}
        return described | {name: value for name, value in found.items() if value is not None}


def _check_index(index: int | EllipsisType | None) -> bool:
    """Return whether index asks for a batch; raise ValueError if it is that of no picture."""
    if index is not None and index is not ... and index != 0:
        raise ValueError(f"a .kmq file holds one picture, which has index 0, found {index!r}")
    return index is ...


_EXTENSION = FileExtension(name="K-means palette image", extension=".kmq", priority=["kmq"])
known_extensions[".kmq"] = [_EXTENSION]
extension_list.append(_EXTENSION)

# Where there is no name, plugins are asked in this order. This one comes first: it looks at eight bytes,
# while others load much, or warn, before they say no.
_OTHERS = dict(known_plugins)
known_plugins.clear()
known_plugins["kmq"] = PluginConfig(name="kmq", class_name="KmqPlugin", module_name=__name__)
known_plugins.update(_OTHERS)
