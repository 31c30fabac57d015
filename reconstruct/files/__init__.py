"""Splat files of every open format, both ways, and writing that leaves nothing half done."""

from .atomic import atomic_folder, atomic_write
from .convert import SPLAT_SUFFIXES, read_splats, splat_suffix, write_splats
from .splat_file import SplatFile

__all__ = [
    "SPLAT_SUFFIXES",
    "SplatFile",
    "atomic_folder",
    "atomic_write",
    "read_splats",
    "splat_suffix",
    "write_splats",
]
