"""Files that are somewhere else: fsspec's URLs, such as https://, s3:// or memory://.

The only importer of fsspec, which comes with the extra kmcodec[urls].
"""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import unquote

from kmcodec.cli.failures import CommandError, hide_password, naming, show_path
from kmcodec.files import open_atomically

# Of two letters at least: one is a drive of Windows.
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://")

# Letters of an error of others.
_MOST_LETTERS = 200

# Of HTTP.
_NOT_FOUND = 404


def is_url(path: str) -> bool:
    """Return whether path is a URL, and not the path of a file."""
    return _SCHEME.match(path) is not None


def find_path(path: str) -> str:
    """Return the path that is in a URL; another path as it is."""
    if not is_url(path):
        return path
    scheme, _, rest = path.rpartition("::")[2].partition("://")
    if scheme in ("http", "https"):
        # Elsewhere these are letters like others.
        rest = unquote(re.split("[?#]", rest, maxsplit=1)[0])
    return "/" + rest.partition("/")[2]


def find_name(path: str) -> str:
    """Return the last part of a path, or of the path in a URL, as the name of a file to write."""
    # No file has a zero in its name.
    return os.path.basename(find_path(path)).replace("\0", "") or "index"


def join(folder: str, name: str) -> str:
    """Return the path of a file in a folder, which may be a URL."""
    if not is_url(folder):
        return os.path.join(folder, name)
    return posixpath.join(folder, name.replace(os.sep, "/"))


def exists(url: str) -> bool:
    """Return whether there is a file.

    Raises
    ------
    CommandError
        If that cannot be found out.
    """
    with _naming(url):
        filesystem, path = _find(url)
        return bool(filesystem.exists(path))


@contextmanager
def reading(url: str) -> Iterator[BinaryIO]:
    """Open a file to read; it is seekable where its server allows it.

    Raises
    ------
    CommandError
        If it cannot be opened.
    """
    with _naming(url):
        filesystem, path = _find(url)
        # What is asked for is all that is fetched.
        file = _RemoteFile(partial(filesystem.open, path, "rb", cache_type="none"))
    with closing(file):
        yield file  # type: ignore[misc]  # it has all that is asked of a BinaryIO here


@contextmanager
def writing(url: str) -> Iterator[BinaryIO]:
    """Open what becomes a file at the end of the with-block, which is sent only if there is no exception.

    Raises
    ------
    CommandError
        If it cannot be written.
    """
    with _naming(url):
        filesystem, path = _find(url)
    if isinstance(filesystem.protocol, tuple) and "file" in filesystem.protocol:
        # fsspec would begin by emptying the old file.
        with naming(url):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open_atomically(path, overwrite=True) as file:
                yield file
        return
    # Imported here: to load it takes a while, and most outputs are files.
    import tempfile

    with naming(url), tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, "output")
        with open(local, "wb") as file:
            yield file
        with _naming(url):
            filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
            # As a whole: of a file that is open, stores keep what was sent before an error.
            filesystem.put_file(local, path)


class _RemoteFile:
    """Read a file of fsspec, with OSError for whatever goes wrong.

    Parameters
    ----------
    open_file : callable
        Opens the file, with options of fsspec.
    """

    def __init__(self, open_file: Callable[..., Any]) -> None:
        self._open = open_file
        self._file = open_file()

    def seekable(self) -> bool:
        """Return whether parts can be read: some web servers send nothing but the whole file."""
        try:
            self._file.seek(1)
            self._file.read(1)
            self._file.seek(0)
        except Exception:  # each file system has errors of its own
            self._file.close()
            try:
                # A stream, to fsspec.
                self._file = self._open(block_size=0)
            except Exception as error:
                raise OSError(_describe(error)) from error
            return False
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._file.read(size)
        except Exception as error:
            raise OSError(_describe(error)) from error
        return data

    def close(self) -> None:
        self._file.close()


def _find(url: str) -> tuple[Any, str]:
    try:
        # Imported here: few commands are given URLs.
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise CommandError(f"{show_path(url)}: URLs need fsspec: pip install 'kmcodec[urls]'") from None
    filesystem, path = url_to_fs(url)
    return filesystem, path


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Turn whatever a file system of fsspec raises into a CommandError that names the URL."""
    try:
        yield
    except CommandError:
        raise
    except FileNotFoundError as error:
        # So fsspec calls whatever a web server answers, and that there is none.
        cause = error.__cause__
        reason = "No such file" if cause is None or _is_not_found(cause) else _describe(cause)
        raise CommandError(f"{show_path(url)}: {reason}") from None
    # Each has errors of its own, such as those of HTTP clients.
    except Exception as error:
        raise CommandError(f"{show_path(url)}: {_describe(error)}") from error


def _is_not_found(error: BaseException) -> bool:
    return getattr(error, "status", None) == _NOT_FOUND


def _describe(error: BaseException) -> str:
    """Return an error on one line, which may have quoted a whole file."""
    text = hide_password(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
