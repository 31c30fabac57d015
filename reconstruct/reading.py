"""Files that are read whole, of a size that memory bears."""

from __future__ import annotations

import stat
from pathlib import Path

from .errors import InputError


def read_limited(path: Path, most: int) -> bytes:
    """What is in a regular file, or in the one that a link leads to.

    Args:
        path: the file.
        most: bytes; a larger file is refused before any of it is read.

    Raises:
        InputError: no such file, a directory, a device or a pipe, or a file that is too large or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: a directory, a device or a pipe, not a file")
        if found.st_size > most:
            raise InputError(
                f"{path}: {found.st_size / 1e6:,.0f} MB are too large; at most {most / 1e6:,.0f} MB"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
