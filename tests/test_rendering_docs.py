"""What docs/rendering.md shows runs: five lines that render a PLY, JSON that is read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from geo3d.images import read_image
from geo3d.io import write_splat_ply
from geo3d.render import read_camera_path, read_pose
from geo3d.scene import Gaussians

PAGE = (Path(__file__).parents[1] / "docs" / "rendering.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_five_lines_render_a_ply(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    means = rng.normal([0, 0, 4], 0.5, (50, 3)).astype(np.float32)
    grey = np.full((50, 1, 3), 1.0, np.float32)
    ones = np.ones(50, np.float32)
    splats = Gaussians(means, np.tile(np.eye(1, 4, dtype=np.float32), (50, 1)), means * 0 - 2, ones, grey)
    write_splat_ply(tmp_path / "splats.ply", splats)
    monkeypatch.chdir(tmp_path)
    code = blocks("python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    exec(compile(code, "rendering.md", "exec"), {})
    for number in (0, 1):
        image = read_image(tmp_path / f"view-{number}.png")
        assert image.shape == (480, 640, 3) and image.max() > 100 and image[0, 0].max() < 20


@pytest.mark.parametrize(("row", "read"), [(0, read_pose), (1, read_camera_path)])
def test_the_json_of_the_page_is_read(tmp_path, row, read):
    text = blocks("json")[row]
    json.loads(text)
    (tmp_path / "file.json").write_text(text)
    found = read(tmp_path / "file.json")
    assert len(found) == 61 if row else found.camera.width == 1280
