import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = {"pillow": "PIL", "opencv-python-headless": "cv2", "usd-core": "pxr"}
"""Import names where they are not the package's."""
BROUGHT = {"numba": ["llvmlite"], "viser": ["websockets"]}
"""What dependencies bring and we import, too."""


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


def declared(*extras: str) -> set[str]:
    """Import names of the dependencies, with those of some extras."""
    lines = [
        *PROJECT["dependencies"],
        *(line for name in extras for line in PROJECT["optional-dependencies"][name]),
    ]
    packages = [re.split(r"[<>=]", line)[0] for line in lines]
    return {
        name for p in packages for name in (NAMES.get(p, p.replace("-", "_")), *BROUGHT.get(p, []))
    }  # fmt: skip


def imported(folder: str) -> dict[str, Path]:
    """Outside modules that a folder's files import, and who imports each."""
    found: dict[str, Path] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            found |= {module.split(".")[0]: path for module in modules}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names}


def test_what_is_imported_is_declared():
    """All of it by some extra; what a place from a sentence needs by those that `make demo` installs."""
    every = declared(*PROJECT["optional-dependencies"]) | {
        "lpips"
    }  # used where someone has it, see learned_distance
    for folder, there in (
        ("reconstruct", every), ("viewer", every), ("pipeline", every), ("pipeline/world", declared("photo", "world")),
        ("pipeline/depth", declared("photo")), ("reconstruct/rasterize/cpu", declared()),
    ):  # fmt: skip
        unknown = {name: path for name, path in imported(folder).items() if name not in there}
        assert not unknown, unknown


def test_doctor_knows_the_extras():
    from cosmorama.pipeline.doctor import EXTRAS

    told = {
        name: {NAMES.get(p, p.replace("-", "_")) for p in packages} for name, (packages, _) in EXTRAS.items()
    }
    assert told == {
        name: declared(name) - declared() for name in PROJECT["optional-dependencies"] if name != "dev"
    }
