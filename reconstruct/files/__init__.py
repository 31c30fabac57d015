"""Splat files of every open format, both ways, and writing that leaves nothing half done."""

from .atomic import atomic_folder, atomic_write
from .axes import direction_words
from .convert import SPLAT_SUFFIXES, read_splats, splat_suffix, write_splats
from .splat_file import MAX_SPLATS, SplatFile

__all__ = [
    "MAX_SPLATS",
    "SPLAT_SUFFIXES",
    "SplatFile",
    "atomic_folder",
    "atomic_write",
    "direction_words",
    "read_splats",
    "splat_suffix",
    "write_splats",
]
