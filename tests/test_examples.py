"""The examples run, make their picture, and stand in the gallery."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
QUICK = ("05_alignment.py",)


def test_there_are_examples():
    assert len(SCRIPTS) >= 5
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_is_explained_and_shown(script):
    gallery = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert f'--8<-- "examples/{script.name}"' in gallery
    assert f"(images/{script.stem}.jpg)" in gallery
    assert (ROOT / "docs" / "images" / f"{script.stem}.jpg").stat().st_size < 600_000
    assert len(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "") > 100


@pytest.mark.parametrize(
    "script",
    [pytest.param(s, id=s.stem, marks=() if s.name in QUICK else pytest.mark.slow) for s in SCRIPTS],
)
def test_each_runs(script, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(tmp_path / "examples" / script.name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "docs" / "images").iterdir()] == [f"{script.stem}.jpg"]
