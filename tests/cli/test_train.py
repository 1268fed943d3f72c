"""`geo3d train`: what it says, and how it answers what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.geometry import SE3
from geo3d.io import find_splats, write_transforms
from geo3d.scene import Reconstruction, View
from geo3d.viz.viewer_scene import load_viewer_scene


@pytest.fixture
def scene(tmp_path):
    """Four grey photos of nothing in particular."""
    folder = tmp_path / "scene"
    (folder / "images").mkdir(parents=True)
    camera = Camera("PINHOLE", 32, 24, [30, 30, 16, 12])
    rng = np.random.default_rng(0)
    views = {}
    for k in range(4):
        Image.fromarray(rng.integers(90, 160, (24, 32, 3), np.uint8)).save(folder / "images" / f"{k}.png")
        views[k + 1] = View(f"{k}.png", 1, SE3(np.eye(3), [0.2 * k, 0.0, 3.0]))
    write_transforms(Reconstruction({1: camera}, views), folder / "transforms.json")
    return folder


def test_it_trains_and_says_what_came_out(scene, capsys):
    command = ["train", str(scene), "--iterations", "3", "--budget", "0.2k", "--initial-points", "150"]
    assert run(command) == 0
    said = capsys.readouterr()
    assert "Gaussians after 3 steps" in said.out and "PSNR" in said.out
    assert "0 points: 150 random ones" in said.err
    assert (scene / "splats" / "splats.ply").is_file()


def test_json_ends_with_the_result(scene, tmp_path, capsys):
    out = tmp_path / "o"
    command = ["train", str(scene), "-o", str(out), "--iterations", "2", "--initial-points", "150", "--json"]
    assert run(command) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "result" and last["steps"] == 2 and Path(last["out"]) == out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "3", "--iterations", "5"], "--minutes and --iterations"),
        (["--budget", "many"], "300k"),
        (["--hold-out", "1"], "--hold-out"),
        (["--hold-out", "0", "--target-psnr", "30"], "--target-psnr"),
        (["--strategy", "magic"], "mcmc"),
        (["--sh-degree", "4"], "--sh-degree"),
        (["--minutes", "-1"], "--minutes"),
    ],
)
def test_options_that_cannot_be_are_answered_in_a_line(scene, capsys, words, said):
    assert run(["train", str(scene), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_gpu_that_cannot_be_used_is_answered_with_the_reason(scene, capsys, monkeypatch):
    monkeypatch.setattr("geo3d.gpu.why_not", lambda: "no NVIDIA driver is installed")
    assert run(["train", str(scene), "--backend", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert (
        "--backend cuda cannot run here: no NVIDIA driver is installed. Leave it out to train on the CPU"
        in said
    )


def test_what_is_no_scene_is_named(tmp_path, capsys):
    assert run(["train", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "empty").mkdir()
    assert run(["train", str(tmp_path / "empty")]) == 1
    assert "empty" in capsys.readouterr().err


def test_splats_trained_elsewhere_know_their_scene(scene, tmp_path, capsys):
    out = tmp_path / "elsewhere"
    assert run(["train", str(scene), "-o", str(out), "--iterations", "2", "--initial-points", "150"]) == 0
    for source in (out, out / "splats.ply"):
        video = str(tmp_path / "orbit.mp4")
        assert run(["render", str(source), "--path", "orbit", "--seconds", "0.1", "-o", video]) == 0
    capsys.readouterr()
    assert run(["render", str(scene), "--path", "orbit", "-o", str(tmp_path / "v.mp4")]) == 1
    assert (
        f"train it first, geo3d train {scene}; if that was done with -o OUT, give OUT"
        in capsys.readouterr().err
    )
    assert find_splats(out).scene == scene
    shown = load_viewer_scene(out)
    assert len(shown.cameras) == 4 and shown.splats is not None and shown.splat_file == out / "splats.ply"
    scene.rename(tmp_path / "moved")
    assert find_splats(out).scene is None
    assert load_viewer_scene(out).splats is not None


def test_a_damaged_photo_is_told(scene, capsys):
    photo = scene / "images" / "2.png"
    photo.write_bytes(photo.read_bytes()[:-500])
    assert run(["train", str(scene), "--iterations", "5", "--initial-points", "150"]) == 0
    said = capsys.readouterr()
    assert "1 photo left out: 2.png" in said.out
    assert "2.png is left out" in said.err and "damaged or truncated" in said.err
