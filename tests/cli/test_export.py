"""`geo3d export`: every format from a scene and from each other, crops, what is said, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.geometry import SE3
from geo3d.io import (
    SPLAT_FORMATS,
    WorldFrame,
    find_splat_format,
    read_ply,
    read_splats,
    splat_format_of_name,
    write_colmap,
    write_splat_ply,
)
from geo3d.io.world_frame import read_world_file
from geo3d.scene import Gaussians, Reconstruction, View
from tests.io.splats import FRAME, make_gaussians

READ = [name for name, known in SPLAT_FORMATS.items() if known.read]
GEOREFERENCE = {
    "metres": True,
    "origin": {"latitude_deg": 46.6412, "longitude_deg": 8.0312, "altitude_m": 1420.0},
    "utm": {"epsg": 32632, "offset_m": [425832.25, 5165960.125, 1420.0]},
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "scene"
    write_splat_ply(folder / "splats" / "splats.ply", make_gaussians(0, 300, 2))
    (folder / "georeference.json").write_text(json.dumps(GEOREFERENCE))
    return folder


def answer(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("format", READ)
def test_every_format_keeps_the_world_of_the_scene(scene: Path, capsys, format: str) -> None:
    out = scene.parent / f"x{SPLAT_FORMATS[format].suffix}"
    assert run(["export", str(scene), "-o", str(out), "--json"]) == 0
    said = answer(capsys)
    read = read_splats(out)
    assert find_splat_format(out) == format == splat_format_of_name(out) == said["format"]
    assert read.frame == FRAME == WorldFrame.from_json(said["world"])
    assert len(read.gaussians) == 300 == said["gaussians"] and said["bytes"] == out.stat().st_size
    assert sorted(read.gaussians.means.mean(0)) == pytest.approx(
        sorted(make_gaussians(0, 300, 2).means.mean(0)), abs=1e-2
    )
    assert 0 <= said["loss"]["position"]["mean"] <= said["loss"]["position"]["largest"] < 0.02
    assert said["loss"]["size"]["largest"] < 0.033 and said["loss"]["opacity"]["largest"] < 0.0021
    assert said["loss"]["sh_degree"] == read.gaussians.sh_degree == (0 if format == "splat" else 2)


@pytest.mark.parametrize("source", READ)
@pytest.mark.parametrize("target", READ)
def test_each_is_converted_to_each(scene: Path, capsys, source: str, target: str) -> None:
    first = scene.parent / "first.bin"
    SPLAT_FORMATS[source].write(first.with_suffix(SPLAT_FORMATS[source].suffix), make_gaussians(0, 40), FRAME)
    second = scene.parent / "second.bin"
    words = [str(first.with_suffix(SPLAT_FORMATS[source].suffix)), "-o", str(second), "--format", target]
    assert run(["export", *words, "--json"]) == 0
    assert answer(capsys)["gaussians"] == 40
    assert SPLAT_FORMATS[target].read(second).frame == FRAME


def test_without_a_name_it_lies_beside_the_splats(scene: Path, capsys) -> None:
    assert run(["export", str(scene), "--format", "spz"]) == 0
    said = capsys.readouterr().out
    assert (scene / "splats" / "splats.spz").is_file()
    assert (
        "300 Gaussians" in said
        and "bytes each" in said
        and "Rounded by at most: centres" in said
        and " m (mean" in said
    )
    assert run(["export", str(scene / "splats" / "splats.spz"), "--format", "compressed-ply"]) == 0
    assert (scene / "splats" / "splats.compressed.ply").is_file()
    assert run(["export", str(scene), "-o", str(scene.parent / "copy.ply")]) == 0
    assert "No number is rounded." in capsys.readouterr().out
    assert run(["export", str(scene), "-o", str(scene.parent / "x.splat")]) == 0
    assert "no longer change with the direction" in capsys.readouterr().out


def test_a_page(scene: Path, capsys) -> None:
    assert run(["export", str(scene), "--format", "html"]) == 0
    page = scene / "splats" / "splats.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert f"Open it in a browser: {page.as_uri()}" in capsys.readouterr().out
    assert run(["export", str(page), "--format", "ply"]) == 1
    assert "no file of Gaussians: expected .ply, .compressed.ply" in capsys.readouterr().err


def test_crop_opacity_and_degree(scene: Path, capsys) -> None:
    out = scene.parent / "x.ply"
    words = ["--crop=-2,-2,-2,2,2,2", "--min-opacity", "0.2", "--max-sh-degree", "1"]
    assert run(["export", str(scene), "-o", str(out), *words, "--json"]) == 0
    g = make_gaussians(0, 300, 2)
    kept = (np.abs(g.means) <= 2).all(1) & (1 / (1 + np.exp(-g.logit_opacities)) >= 0.2)
    found = read_splats(out).gaussians
    assert np.array_equal(found.means, g.means[kept]) and np.array_equal(found.sh, g.sh[kept, :4])
    assert answer(capsys)["left_out"] == 300 - kept.sum() > 0


def test_a_mesh_lies_where_the_splats_do(tmp_path: Path, capsys) -> None:
    """A floor of flat, opaque splats, seen by six cameras above it."""
    scene, half = tmp_path / "scene", 16
    grid = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, 2 * half)] * 2), -1).reshape(-1, 2)
    n = len(grid)
    floor = Gaussians(
        np.column_stack([grid, np.zeros(n)]).astype(np.float32),
        np.tile(np.eye(1, 4, dtype=np.float32), (n, 1)),
        np.tile(np.log([0.075, 0.075, 0.003]).astype(np.float32), (n, 1)),
        np.full(n, 6, np.float32),
        np.tile(np.array([1.0, 0, -1.0], np.float32), (n, 1, 1)),
    )
    write_splat_ply(scene / "splats" / "splats.ply", floor, FRAME)
    down = np.diag([1.0, -1, -1])
    places = [[x, y, 2.0] for x in (-0.3, 0, 0.3) for y in (-0.2, 0.2)]
    views = {i: View(f"{i}.jpg", 1, SE3(down, -down @ place)) for i, place in enumerate(places, 1)}
    camera = Camera("PINHOLE", 80, 60, [75, 75, 40, 30])
    write_colmap(Reconstruction({1: camera}, views), scene / "sparse" / "0")
    out = tmp_path / "floor.ply"
    assert run(["export", str(scene), "--format", "mesh", "-o", str(out), "--voxel", "0.04", "--json"]) == 0
    mesh = read_ply(out)
    assert mesh.faces is not None and answer(capsys)["faces"] == len(mesh.faces) > 500
    assert np.abs(mesh.points[:, 2]).max() < 0.04 and np.ptp(mesh.points[:, :2], axis=0).min() > 1.2
    assert run(["export", str(scene), "--format", "mesh", "--quiet"]) == 0
    assert (scene / "splats" / "mesh.glb").read_bytes()[:4] == b"glTF"
    assert read_world_file(scene / "splats" / "mesh.glb")[0].metric


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["scene", "--format", "ply"], 2, "splats.ply is the source"),
        (["scene"], 2, "give --format"),
        (["scene", "-o", "x.obj"], 2, "its name tells no format"),
        (["scene", "-o", "scene", "--format", "spz"], 2, "is a folder"),
        (["scene", "-o", "x.spz", "--crop", "1,2,3"], 2, "expected six numbers"),
        (["scene", "-o", "x.spz", "--crop", "1,2,3,0,5,5"], 2, "expected six numbers"),
        (["scene", "-o", "x.spz", "--min-opacity", "7"], 2, "--min-opacity 7: expected from 0 to 1"),
        (["scene", "-o", "x.spz", "--max-sh-degree", "5"], 2, "--max-sh-degree 5"),
        (["scene", "-o", "x.spz", "--crop", "50,50,50,60,60,60"], 1, "none of the 300 Gaussians"),
        (["scene", "--format", "mesh", "-o", "x.obj"], 2, "written as .glb or .ply"),
        (["scene", "--format", "mesh", "--voxel", "0"], 2, "--voxel 0: expected a length above 0"),
        (["scene", "--format", "spz", "--voxel", "1"], 2, "--voxel is of --format mesh"),
        (["scene/splats/splats.ply", "--format", "mesh"], 2, "give the scene's folder"),
        (["copy.ply", "--format", "mesh"], 2, "give the scene's folder"),
        (["nowhere.ply", "-o", "x.spz"], 2, "does not exist"),
        (["empty", "-o", "x.spz"], 1, "train it first, geo3d train"),
        (["other.txt", "-o", "x.spz"], 1, "no file of Gaussians"),
        (["cut.ply", "-o", "x.spz"], 1, "truncated"),
    ],
)
def test_what_is_refused(scene: Path, capsys, monkeypatch, words: list[str], code: int, message: str) -> None:
    monkeypatch.chdir(scene.parent)
    Path("empty").mkdir()
    Path("other.txt").write_text("hello")
    Path("copy.ply").write_bytes((scene / "splats" / "splats.ply").read_bytes())
    Path("cut.ply").write_bytes((scene / "splats" / "splats.ply").read_bytes()[:-1])
    assert run(["export", *words]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("x.spz").exists()
