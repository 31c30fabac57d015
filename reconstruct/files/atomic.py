"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; it becomes the target when the block ends well.

    The temporary name keeps the target's suffixes. Missing parent folders are made. After a failure nothing
    is left, neither the temporary file nor folders made for it, and an existing target is untouched.

    Args:
        path: the file to write.
        overwrite: replace an existing file; otherwise it is an error.

    Raises:
        InputError: the target exists and may not be replaced, or is a folder, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; a file was to be written there")
    _check_free(path, overwrite)
    made = _make_parents(path)
    temporary = _beside(path)
    try:
        yield temporary
        _check_free(path, overwrite)  # writing may have taken a while
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _remove_folders(made)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        raise


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside the target; it becomes the target when the block ends well.

    With ``overwrite`` an existing target is moved aside, replaced and then deleted; if the move fails it is
    put back. After a failure nothing is left and an existing target is untouched.

    Args:
        path: the folder to make.
        overwrite: replace an existing folder with all that is in it, see ``check_replaceable``; otherwise it is an
            error.

    Raises:
        InputError: the target exists and may not be replaced, is a file, or cannot be made.
    """
    path = Path(path)
    path = path if path.name else path.resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; a folder was to be made there")
    _check_free(path, overwrite)
    made = _make_parents(path)
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        _swap(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_folders(made)
        if isinstance(error, OSError):
            raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
        raise


def _check_free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; it is only replaced with --force")


def _beside(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(6)}.{path.name}")


def _swap(new: Path, target: Path) -> None:
    """Put ``new`` in the target's place; the old target is deleted last."""
    if not target.exists():
        new.rename(target)
        return
    old = _beside(target)
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_parents(path: Path) -> list[Path]:
    """Make the missing parent folders; returns them, outermost last."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
    return missing


def _remove_folders(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
