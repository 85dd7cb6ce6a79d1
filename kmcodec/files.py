"""Whole files, written so that a reader finds the old one or the new one and never a part.

Knows nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO


def write_atomically(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write data to a file; parameters and errors are those of open_atomically."""
    with open_atomically(path, overwrite=overwrite) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file for writing under a temporary name, and move it to its place at the end of the with-block.

    A link is followed. A device or a pipe is written to directly. An existing file's permissions are kept.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    FileExistsError
        If there is a file and overwrite is false, even one that came while this one was written.
    OSError
        If the file system refuses. After this and any other exception nothing is left behind.
    """
    name = os.fspath(path)
    if name.endswith((os.sep, os.altsep or os.sep)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        # A folder makes open raise the error that says so.
        with open(name, "wb") as file:
            yield file
        return
    if mode is not None and not overwrite:
        raise FileExistsError(errno.EEXIST, "exists already", name)
    target = os.path.realpath(name)
    # Short, so that it is legal wherever the target's own name is; and hidden.
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.part")
    try:
        # With permissions no wider than in the end.
        with open(temporary, "xb", opener=functools.partial(os.open, mode=mode or 0o666)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        _move(temporary, target, overwrite)
    except OSError as error:
        # What the user has heard of.
        if error.filename in (None, temporary):
            error.filename = name
        raise
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(temporary)


def _move(temporary: str, target: str, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
    elif os.name == "nt":
        # There, rename refuses to replace.
        os.rename(temporary, target)
    else:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links: all that can be done is to look once more.
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "exists already", target) from None
            os.replace(temporary, target)
