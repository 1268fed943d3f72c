"""Imports only point down, and what has to start at once loads nothing heavy."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "geo3d"

LEVELS = {
    "util": 0,
    "geometry": 0,
    "gpu": 0,
    "cameras": 1,
    "optim": 1,
    "scene": 2,
    "options": 2,  # asks the cameras for the names of their models, when it is given one
    "io": 3,
    "images": 3,
    "estimation": 3,
    "features": 4,
    "synthetic": 4,
    "datasets": 4,
    "calibration": 5,
    "stereo": 5,
    "flow": 5,
    "sfm": 5,
    "render": 6,
    "nerf": 7,
    "splat": 7,
    "terrain": 8,
    "viz": 9,
    "pipeline": 10,
    "cli": 11,
    "__main__": 12,
}
HEAVY = ("torch", "open3d", "matplotlib", "numba", "scipy", "cv2", "pycolmap", "pandas")
FILES = sorted(ROOT.rglob("*.py"))


def package(path: Path) -> str:
    """The part of geo3d that a file belongs to; empty for `geo3d/__init__.py`."""
    first = path.relative_to(ROOT).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(source: str, path: Path) -> list[tuple[int, str]]:
    """(line, part of geo3d) for each import of the house, those within functions too."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "geo3d" and len(parts) > 1 and parts[1] != "__version__":
                found.append((node.lineno, parts[1]))
    return found


def violations(source: str, path: Path) -> list[str]:
    own = package(path)
    return [
        f"{path.relative_to(ROOT)}:{line}: {own} (level {LEVELS[own]}) imports {other} (level {LEVELS.get(other)})"
        for line, other in imported(source, path)
        if other != own and not LEVELS.get(other, 99) < LEVELS[own]
    ]


def test_every_part_has_a_level() -> None:
    assert {package(path) for path in FILES} - {""} <= set(LEVELS)


def test_imports_point_down() -> None:
    # `geo3d/__init__.py` is the door of the house: it names what each floor offers, lazily.
    found = [v for path in FILES if package(path) for v in violations(path.read_text(encoding="utf-8"), path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "from geo3d.sfm import tracks",
        "import geo3d.cli.app",
        "def f():\n    from geo3d.viz.report import write_report",
        "from geo3d.estimation import estimate_homography",
        "from geo3d import pipeline",
    ],
)
def test_an_upward_or_sideways_import_is_seen(line: str) -> None:
    assert violations(line, ROOT / "images" / "photo.py")


def loaded_after(code: str) -> set[str]:
    """Heavy modules that a fresh Python holds after `code`."""
    probe = f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules), file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_heavy_modules_are_seen() -> None:
    assert "matplotlib" in loaded_after("import matplotlib")


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in ("reconstruct", "train", "board", "inspect", "view", "demo", "doctor"))],
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    run = f"from geo3d.cli.app import run\nassert run({[*command, '--help']!r}) == 0"
    assert loaded_after(run) == set()


def test_import_geo3d_loads_nothing_heavy() -> None:
    assert loaded_after("import geo3d, geo3d.cli, geo3d.util, geo3d.options, geo3d.util.progress") == set()


def test_help_answers_in_half_a_second() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "geo3d", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5, seconds


def test_nothing_is_compiled_at_import() -> None:
    modules = [
        ".".join(("geo3d", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if "geo3d.util.jit" in path.read_text(encoding="utf-8") and "cli" not in path.parts
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "held = [v for m in list(sys.modules.values()) if getattr(m, '__name__', '').startswith('geo3d')\n"
        "        for v in vars(m).values() if isinstance(v, Dispatcher) and v.signatures]\n"
        "assert not held, held"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pycolmap_after_geo3d_works() -> None:
    pytest.importorskip("pycolmap")
    code = "import geo3d, pycolmap, zlib; zlib.compress(b'x' * 1000); print(geo3d.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pycolmap_before_geo3d_is_told_or_stands() -> None:
    """Whichever way the interpreter was started, the process ends in words or in success, never in an abort."""
    pytest.importorskip("pycolmap")
    code = "import pycolmap\nimport geo3d\nimport zlib\nzlib.compress(b'x' * 1000)\nprint('stands')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode in (0, 1), f"the process died: {done.returncode} {done.stderr}"
    if done.returncode == 1:
        assert "ImportError" in done.stderr
        assert "import geo3d" in done.stderr and "above" in done.stderr
    else:
        assert "stands" in done.stdout
