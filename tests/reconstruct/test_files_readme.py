"""The table of round-trip errors in reconstruct/files/README.md says what is measured."""

import importlib.util
from pathlib import Path

import pytest

from cosmorama.pipeline.commands import bench_formats
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import SPLAT_SUFFIXES
from cosmorama.reconstruct.files.roundtrip import orbit_cameras, round_trip, sample_splats

README = Path(__file__).parents[2] / "reconstruct" / "files" / "README.md"
HAS_USD = importlib.util.find_spec("pxr") is not None
MEASURED = [".ply", ".compressed.ply", ".splat", ".ksplat", ".spz", ".sog", ".glb"]
MEASURED += [".usdc"] if HAS_USD else []


def table() -> dict[str, list[str]]:
    """Cells of each format's row."""
    text = README.read_text().split("<!-- cosmorama bench formats -->\n")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert rows[0] == list(bench_formats.COLUMNS)
    return {row[0]: row for row in rows[2:]}


def numbers(cells: list[str]) -> list[float]:
    words = " ".join(cells[1:]).replace("(", "").replace(")", "").replace("equal", "99").split()
    return [float(word) for word in words]


def test_every_format_is_there():
    assert tuple(table()) == SPLAT_SUFFIXES


@pytest.fixture(scope="module")
def scene():
    splats = sample_splats()
    return splats, orbit_cameras(splats)


@pytest.mark.parametrize("suffix", MEASURED)
def test_table_says_what_is_measured(suffix, scene, tmp_path):
    splats, cameras = scene
    row = round_trip(splats, suffix, tmp_path, cameras=cameras).to_json()
    lines = bench_formats.markdown_table([row], bench_formats.COLUMNS).splitlines()
    found = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert numbers(found) == pytest.approx(numbers(table()[suffix]), rel=0.1, abs=1e-4)


def test_table_goes_between_its_marks(tmp_path):
    path = tmp_path / "doc.md"
    path.write_text("a\n<!-- cosmorama bench formats -->\nold\n<!-- end -->\nb\n")
    bench_formats.insert_table(path, "new\n")
    bench_formats.insert_table(path, "newer\n")
    assert path.read_text() == "a\n<!-- cosmorama bench formats -->\nnewer\n<!-- end -->\nb\n"
    path.write_text("no marks\n")
    with pytest.raises(InputError, match="no lines"):
        bench_formats.insert_table(path, "new\n")
    assert path.read_text() == "no marks\n"
