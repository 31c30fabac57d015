import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_on_disk_is_in_the_list():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        "cosmorama." + ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("assets", "pipeline", "reconstruct", "viewer")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == found
    assert len(listed) == len(set(listed))


def test_imports_run_one_way():
    """pipeline -> viewer -> reconstruct: a lower floor never imports from a higher one."""
    above = {"reconstruct": ("pipeline", "viewer"), "viewer": ("pipeline",)}
    for floor, higher in above.items():
        for path in (ROOT / floor).rglob("*.py"):
            for line in path.read_text().splitlines():
                if line.strip().startswith(("from ", "import ")):
                    for name in higher:
                        assert f".{name}" not in line.split(" import ")[0], f"{path}: {line}"


def test_help_needs_nothing_heavy():
    code = (
        "import sys; sys.argv = ['cosmorama', '--help']\n"
        "from cosmorama.pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'viser', 'open3d', 'numba', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "cosmorama make" in run.stdout
