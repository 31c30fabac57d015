"""``cosmorama bench formats``: what each splat format loses, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

COLUMNS = {
    "format": "suffix",
    "bytes/splat": "bytes_per_splat",
    "position, median (max), ‰ of scene": "position_median",
    "rotation, max °": "rotation_max_deg",
    "scale, max %": "scale_max",
    "opacity, max": "opacity_max",
    "colour, max": "color_max",
    "SH degree": "sh_degree",
    "SH, mean": "sh_mean",
    "seen colour, mean": "view_color_mean",
    "PSNR, dB": "psnr_db",
}
_TIMES = {"write, s": "write_s", "read, s": "read_s"}
_BEGIN, _END = "<!-- cosmorama bench formats -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class BenchFormats:
    """Write splats in every format, read them back and compare."""

    splats: Path | None = None
    """A scene folder or a splat file; default a made-up scene with harmonics of degree 3."""
    count: int = 20_000
    """Splats of the made-up scene."""
    formats: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SUFFIX...")] = ()
    """Default all."""
    repeats: int = 1
    """Write and read so often; the least times are told."""
    markdown: Path | None = None
    """Put the table, without times, into this file between the lines that say so."""
    side_px: int = 256
    """Side of the renders."""
    json: bool = False
    """One JSON object on stdout instead of the table."""

    def run(self) -> None:
        """Measure every format, in the given order."""
        import tempfile

        from ...reconstruct.errors import InputError
        from ...reconstruct.files import SPLAT_SUFFIXES
        from ...reconstruct.files.roundtrip import orbit_cameras, round_trip, sample_splats
        from ...reconstruct.scene import load_scene

        unknown = [suffix for suffix in self.formats if suffix not in SPLAT_SUFFIXES]
        if unknown:
            raise InputError(f"{unknown[0]} is not a splat format; known are {', '.join(SPLAT_SUFFIXES)}")
        splats = sample_splats(self.count) if self.splats is None else load_scene(self.splats).gaussians
        cameras = orbit_cameras(splats, side_px=self.side_px)
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                round_trip(splats, suffix, Path(folder), cameras=cameras, repeats=self.repeats).to_json()
                for suffix in self.formats or SPLAT_SUFFIXES
            ]
        if self.markdown is not None:
            insert_table(self.markdown, markdown_table(rows, COLUMNS))
        if self.json:
            json.dump(
                {"splats": len(splats), "sh_degree": splats.sh_degree, "formats": rows}, sys.stdout, indent=1
            )
            print(flush=True)
        else:
            print(markdown_table(rows, COLUMNS | _TIMES), end="", flush=True)


def insert_table(path: Path, table: str) -> None:
    """Replace what stands between the two marks of a Markdown file.

    Raises:
        InputError: the file or one of its marks is missing.
    """
    from ...reconstruct.errors import InputError

    text = path.read_text() if path.is_file() else ""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{path} has no lines {_BEGIN.strip()} and {_END.strip()} to put the table between")
    path.write_text(before + begin + table + end + after)


def markdown_table(rows: list[dict], columns: dict[str, str]) -> str:
    """The measurements as a table, one format a line.

    Args:
        rows: ``RoundTrip`` as plain values.
        columns: heading and field of each column.
    """
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row, key) for key in columns.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(row: dict, key: str) -> str:
    value = row[key]
    if key == "position_median":
        return f"{value:.2g} ({row['position_max']:.2g})"
    if key == "psnr_db":
        return "—" if value is None else "equal" if value >= 98.9 else f"{value:.1f}"
    if key in ("bytes_per_splat", "write_s", "read_s"):
        return f"{value:.2f}" if key.endswith("_s") else f"{value:.1f}"
    if key == "scale_max":
        return f"{100 * value:.2g}"
    return value if isinstance(value, str) else f"{value:.2g}"
