"""Whole files, written so that a reader finds the old one or the new one and never a part.

Knows nothing of what is in them.
"""

from __future__ import annotations

import contextlib
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
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        # A folder makes open raise the error that says so.
        with open(target, "wb") as file:
            yield file
        return
    if mode is not None and not overwrite:
        raise FileExistsError(f"exists already: {os.fspath(path)}")
    # Short, so that it is legal wherever the target's own name is; and hidden.
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        _move(temporary, target, overwrite)
    finally:
        with contextlib.suppress(FileNotFoundError):
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
                raise FileExistsError(f"exists already: {target}") from None
            os.replace(temporary, target)
