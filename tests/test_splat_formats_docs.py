"""What docs/splat-formats.md shows runs: its commands, its lines of Python."""

import re
import shlex
from pathlib import Path

import pytest

from geo3d.cli.app import run
from geo3d.io import read_splats, write_splat_ply
from tests.io.splats import make_gaussians

PAGE = (Path(__file__).parents[1] / "docs" / "splat-formats.md").read_text(encoding="utf-8")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_splat_ply(tmp_path / "scene" / "splats" / "splats.ply", make_gaussians(0, 200))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_lines_of_python(scene: Path) -> None:
    exec(compile(blocks("python")[0], "splat-formats.md", "exec"), {})
    assert 0 < len(read_splats(scene / "two.spz").gaussians) < 400


def test_the_commands(scene: Path) -> None:
    (scene / "garden.spz").symlink_to(scene / "scene" / "splats" / "splats.spz")
    lines = [shlex.split(line, comments=True) for line in blocks("sh")[0].splitlines()]
    assert len(lines) == 5
    for words in lines:
        assert words[0] == "geo3d" and run(words[1:]) == 0, words
    made = {path.name for path in scene.iterdir()}
    assert {"garden.html", "garden.glb", "plot.ply", "small.spz"} <= made
