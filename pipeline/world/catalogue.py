"""The furniture catalogue: 820 free models of the Debian package ``sweethome3d-furniture`` (CC0 and CC-BY 3.0).

The package is looked for in our own cache, then where the system would have installed it, and at last fetched with
``apt-get download`` and unpacked into the cache, which needs no root. Only data files are taken from it.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...reconstruct.errors import InputError
from ..cache import cache_dir

logger = logging.getLogger(__name__)

PACKAGE = "sweethome3d-furniture"
SYSTEM_FOLDER = Path("/usr/share/sweethome3d/furniture")
ARCHIVES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0",
    "Reallusion": "CC-BY-3.0",
    "Scopia": "CC-BY-3.0",
}
"""Archive name -> licence of the models in it, as the package's copyright file states."""


@dataclass(frozen=True)
class CatalogueItem:
    """One entry of the catalogue; lengths in metres."""

    key: str
    """``archive/number``, stable for a version of the package."""
    name: str
    category: str
    creator: str
    licence: str
    archive: Path
    model: str
    """Path of the OBJ file inside the archive."""
    size: tuple[float, float, float]
    """Width (x), depth (y), height (z)."""
    elevation: float
    """Height of the model's bottom above the floor when mounted as usual."""
    top: float | None
    """Height above its bottom at which things can stand on it; None where nothing can."""
    door_or_window: bool
    light_color: tuple[float, float, float] | None
    rotation: tuple[float, ...] | None
    """Row-major 3x3 rotation that stands the OBJ upright (OBJ axes, y up)."""
    obj_bytes: int


def find_furniture() -> Path:
    """Folder of the catalogue's ``.sh3f`` archives, fetched into the cache when it is nowhere else.

    Raises:
        InputError: when it cannot be found or fetched.
    """
    own = cache_dir() / "world" / "furniture"
    for folder in (own, SYSTEM_FOLDER):
        if all((folder / f"{name}.sh3f").exists() for name in ARCHIVES):
            return folder
    _download(own)
    return own


def furniture_available() -> bool:
    """True when the catalogue is on this machine already (nothing is fetched)."""
    own = cache_dir() / "world" / "furniture"
    return any(all((f / f"{name}.sh3f").exists() for name in ARCHIVES) for f in (own, SYSTEM_FOLDER))


def _download(target: Path) -> None:
    """Fetch and unpack the Debian package without root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise InputError(
            f"the furniture models are missing: install the Debian package {PACKAGE}, or copy its .sh3f files to {target}"
        )
    logger.info("fetching the Debian package %s (114 MB) with apt-get download", PACKAGE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        try:
            subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, check=True, capture_output=True)
            package = next(Path(scratch).glob("*.deb"))
            subprocess.run(["dpkg", "-x", package, scratch], check=True, capture_output=True)
        except (subprocess.CalledProcessError, StopIteration) as error:
            raise InputError(
                f"the furniture models could not be fetched: install the Debian package {PACKAGE}, "
                f"or copy its .sh3f files to {target}"
            ) from error
        unpacked = Path(scratch, *SYSTEM_FOLDER.parts[1:])
        target.mkdir(exist_ok=True)
        for archive in unpacked.glob("*.sh3f"):
            archive.replace(target / archive.name)


@cache
def load_catalogue() -> tuple[CatalogueItem, ...]:
    """Every entry of the catalogue, in a fixed order."""
    folder = find_furniture()
    return tuple(item for name in ARCHIVES for item in _read_archive(folder / f"{name}.sh3f"))


def _read_archive(path: Path) -> list[CatalogueItem]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    entries: dict[int, dict[str, str]] = defaultdict(dict)
    for match in re.finditer(r"^(\w+)#(\d+)=(.*?)\s*$", text, re.MULTILINE):
        entries[int(match[2])][match[1]] = _unescape(match[3])
    items = (_item(path, number, entry, sizes) for number, entry in sorted(entries.items()))
    return [item for item in items if item is not None]


def _unescape(value: str) -> str:
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value).replace("\\:", ":")


def _item(path: Path, number: int, entry: dict[str, str], sizes: dict[str, int]) -> CatalogueItem | None:
    model = entry["model"].lstrip("/")
    if model not in sizes:
        logger.warning("%s names the model %s, which the archive lacks", path.name, model)
        return None

    def metres(name: str) -> float:
        return float(entry.get(name, "0")) / 100.0

    top = entry.get("dropOnTopElevation")
    light = entry.get("lightSourceColor")
    rotation = entry.get("modelRotation")
    return CatalogueItem(
        key=f"{path.stem}/{number}",
        name=entry["name"],
        category=entry["category"],
        creator=entry.get("creator", "") or path.stem,
        licence=ARCHIVES[path.stem],
        archive=path,
        model=model,
        size=(metres("width"), metres("depth"), metres("height")),
        elevation=metres("elevation"),
        top=metres("dropOnTopElevation") if top is not None and float(top) > 0 else None,
        door_or_window=entry.get("doorOrWindow") == "true",
        light_color=_hex_color(light.split()[0]) if light else None,
        rotation=tuple(float(v) for v in rotation.split()) if rotation else None,
        obj_bytes=sizes[model],
    )


def _hex_color(text: str) -> tuple[float, float, float]:
    value = int(text.lstrip("#"), 16)
    return ((value >> 16) / 255, (value >> 8 & 255) / 255, (value & 255) / 255)


def attribution(items: Sequence[CatalogueItem] | None = None) -> list[dict[str, str]]:
    """Name, author, licence and origin of the given models (default: of the whole catalogue)."""
    chosen = load_catalogue() if items is None else items
    return [
        {
            "key": item.key,
            "name": item.name,
            "author": item.creator,
            "licence": item.licence,
            "file": f"{item.archive.name}/{item.model}",
            "source": "Sweet Home 3D additional models, Debian package sweethome3d-furniture, sweethome3d.com/importModels.jsp",
        }
        for item in sorted({i.key: i for i in chosen}.values(), key=lambda i: i.key)
    ]
