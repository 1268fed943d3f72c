"""`geo3d train --method nerf`, and what comes of it: views, meshes, densities."""

import json
from pathlib import Path

import numpy as np
import pytest

from geo3d.cli.app import run
from geo3d.images import read_image
from geo3d.io import find_field, read_ply
from geo3d.nerf import SampleOptions, TrainingOptions, train
from tests.nerf.scenes import write_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene with nerf/nerf.pt, trained just enough to have a surface."""
    folder = write_scene(tmp_path_factory.mktemp("nerf") / "scene")
    samples = SampleOptions(first=4096, last=4096, steps_per_side=48, grid=32)
    train(
        folder, options=TrainingOptions(iterations=300, levels=4, log2_entries=10, finest=48, samples=samples)
    )
    return folder


def answer(capsys, *words: str) -> tuple[int, str, str]:
    code = run(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_it_trains_and_says_what_came_out(scene, tmp_path, capsys):
    words = ["train", str(scene), "--method", "nerf", "--iterations", "2", "--log2-entries", "10"]
    code, said, _ = answer(capsys, *words, "-o", str(tmp_path / "o"))
    assert code == 0 and "million samples in 2 steps" in said and "PSNR" in said and "nerf.pt" in said
    code, said, _ = answer(capsys, *words, "-o", str(tmp_path / "p"), "--json")
    last = json.loads(said.splitlines()[-1])
    assert last["event"] == "result" and last["steps"] == 2 and Path(last["out"]) == tmp_path / "p"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "nerf", "--budget", "3k"], "--budget is of --method splat"),
        (["--method", "nerf", "--sky"], "--sky is of --method splat"),
        (["--appearance"], "--appearance is of --method nerf"),
        (["--log2-entries", "12"], "--log2-entries is of --method nerf"),
        (["--method", "nerf", "--log2-entries", "99"], "--log2-entries"),
        (["--method", "nerf", "--distortion-weight", "-1"], "--distortion-weight"),
        (["--method", "nerf", "--minutes", "3", "--iterations", "5"], "--minutes and --iterations"),
        (["--method", "magic"], "nerf"),
    ],
)
def test_options_that_cannot_be_are_answered_in_a_line(scene, capsys, words, said):
    code, _, error = answer(capsys, "train", str(scene), *words)
    assert code == 2 and said in error and error.count("\n") == 1


def test_views_are_rendered_from_the_scene_its_folder_and_the_file(scene, tmp_path, capsys):
    for number, source in enumerate((scene, scene / "nerf", scene / "nerf" / "nerf.pt")):
        out = tmp_path / f"v{number}"
        words = ["--path", "orbit", "--seconds", "0.1", "--fps", "20", "--size", "24x16", "-o", str(out)]
        code, said, _ = answer(capsys, "render", str(source), *words, "--depth", "--normals")
        assert code == 0 and "a radiance field, 2 frames" in said
        assert read_image(sorted(out.iterdir())[0]).shape == (16, 24, 3)
        assert all((tmp_path / f"v{number}-{kind}").is_dir() for kind in ("depth", "normals"))
    code, _, error = answer(
        capsys, "render", str(scene), "--backend", "reference", "-o", str(tmp_path / "v.mp4")
    )
    assert code == 2 and "radiance field" in error


def test_a_mesh_and_a_density_are_exported(scene, tmp_path, capsys):
    code, said, _ = answer(capsys, "export", str(scene), "-o", str(tmp_path / "m.ply"), "--voxel", "0.05")
    assert code == 0 and "triangles" in said
    mesh = read_ply(tmp_path / "m.ply")
    assert mesh.faces is not None and mesh.colors is not None and len(mesh.faces) > 100
    assert np.linalg.norm(mesh.points, axis=1).max() < 1.5
    code, said, _ = answer(capsys, "export", str(scene), "--format", "mesh", "--voxel", "0.08", "--json")
    assert code == 0 and (scene / "nerf" / "mesh.glb").is_file()
    assert json.loads(said.splitlines()[-1])["faces"] > 50
    code, said, _ = answer(capsys, "export", str(scene), "-o", str(tmp_path / "d.npz"), "--voxel", "0.1")
    assert code == 0 and "voxels" in said
    with np.load(tmp_path / "d.npz") as read:
        assert read["density"].ndim == 3 and read["density"].max() > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "spz"], "is a radiance field"),
        (["-o", "x.spz"], "is a radiance field"),
        (["--format", "mesh", "-o", "x.npz"], "is a radiance field"),
        (["--min-opacity", "0.5"], "--min-opacity is of splats"),
        (["--voxel", "-1"], "--voxel"),
    ],
)
def test_what_a_field_cannot_be_exported_to_is_said(scene, capsys, words, said):
    code, _, error = answer(capsys, "export", str(scene), *words)
    assert code == 2 and said in error and error.count("\n") == 1


def test_a_field_trained_elsewhere_knows_its_scene(scene, tmp_path):
    out = tmp_path / "elsewhere"
    words = ["train", str(scene), "--method", "nerf", "--iterations", "1", "--log2-entries", "10", "--quiet"]
    assert run([*words, "-o", str(out)]) == 0
    for source in (out, out / "nerf.pt"):
        found = find_field(source)
        assert found is not None and found.scene == scene and found.file == out / "nerf.pt"
    assert find_field(tmp_path) is None
