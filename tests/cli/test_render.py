"""`geo3d render`: of a scene with splats, of splats alone; what it writes and what it answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.geometry import look_at
from geo3d.images import read_image, read_video_info
from geo3d.io import read_colmap, read_pfm, write_colmap, write_splat_ply, write_transforms
from geo3d.render import KeyFrame, write_key_frames, write_pose
from geo3d.scene import Gaussians, Points, Reconstruction, View

CAMERA = Camera("SIMPLE_RADIAL", 64, 48, [60, 32, 24, 0.01])
PINHOLE = Camera("PINHOLE", 40, 30, [40, 40, 20, 15])


def ball(count: int = 300) -> Gaussians:
    """Red Gaussians on a ball of radius 1 around the origin."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(count, 3))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return Gaussians(
        means.astype(np.float32),
        np.tile(np.eye(1, 4, dtype=np.float32), (count, 1)),
        np.full((count, 3), -2.0, np.float32),
        np.full(count, 4.0, np.float32),
        np.tile(np.array([1.5, -1.5, -1.5], np.float32), (count, 1, 1)),
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """A scene whose photos are gone: poses and splats are left."""
    folder = tmp_path_factory.mktemp("scene")
    views = {}
    for i, turn in enumerate(np.linspace(0, 2 * np.pi, 8, endpoint=False), start=1):
        pose = look_at([4 * np.cos(turn), 4 * np.sin(turn), 1.0], [0, 0, 0])
        views[i] = View(f"{i}.jpg", 1, pose)
    write_colmap(Reconstruction({1: CAMERA}, views, Points.empty()), folder / "sparse" / "0")
    write_splat_ply(folder / "splats" / "splats.ply", ball())
    return folder


def answer(capsys, *words: str) -> tuple[int, str, str]:
    code = run(["render", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def is_ball(image: np.ndarray, background: float = 0.0) -> None:
    """Red in the middle, background in the corners."""
    height, width = image.shape[:2]
    middle = image[height // 2, width // 2].astype(int)
    assert middle[0] > 150 and middle[1] < 60 and middle[2] < 60
    np.testing.assert_allclose(image[0, 0], 255 * background, atol=3)


@pytest.mark.parametrize("path", ["orbit", "spiral", "dolly", "views"])
def test_videos_of_a_scene(scene, tmp_path, capsys, path):
    out = tmp_path / "video.mp4"
    words = ["--path", path, "--seconds", "0.5", "--fps", "12", "-o", str(out)]
    code, said, _ = answer(capsys, str(scene), *words)
    assert code == 0 and str(out) in said and "300 Gaussians, 6 frames" in said
    info = read_video_info(out)
    assert (info.frames, info.fps) == (6, 12.0)
    # The lens of the photos without its distortion, filled up to even sides.
    assert info.width in (62, 64, 66) and info.height in (46, 48, 50)


def test_frames_show_the_scene(scene, tmp_path, capsys):
    words = ["--seconds", "0.2", "--size", "40x30", "--background", "white", "-o", str(tmp_path / "frames")]
    assert answer(capsys, str(scene), *words)[0] == 0
    frames = sorted((tmp_path / "frames").iterdir())
    assert len(frames) == 6
    for frame in frames:
        image = read_image(frame)
        assert image.shape == (30, 40, 3)
        is_ball(image, 1.0)


def test_a_view_of_splats_alone(scene, tmp_path, capsys):
    write_pose(tmp_path / "pose.json", look_at([4, 0, 0], [0, 0, 0]), PINHOLE)
    alone = tmp_path / "alone.ply"
    alone.write_bytes((scene / "splats" / "splats.ply").read_bytes())
    words = ["--pose", str(tmp_path / "pose.json"), "--depth", "--normals", "-o", str(tmp_path / "view.png")]
    code, said, _ = answer(capsys, str(alone), *words)
    assert code == 0 and "1 frame\n" in said
    image = read_image(tmp_path / "view.png")
    assert image.shape == (30, 40, 3)
    is_ball(image)
    depth = read_pfm(tmp_path / "view.depth.pfm")
    assert depth[15, 20] == pytest.approx(3.0, abs=0.3) and depth[0, 0] == 0
    assert read_image(tmp_path / "view.depth.png").shape == (30, 40, 3)
    assert read_image(tmp_path / "view.normals.png").shape == (30, 40, 3)


def test_the_camera_of_the_scene_serves_a_pose_without_one(scene, tmp_path, capsys):
    write_pose(tmp_path / "pose.json", look_at([4, 0, 0], [0, 0, 0]))
    words = ["--pose", str(tmp_path / "pose.json"), "-o", str(tmp_path / "view.png")]
    assert answer(capsys, str(scene), *words, "--size", "64x64")[0] == 0
    assert read_image(tmp_path / "view.png").shape == (64, 64, 3)
    # The file in the scene knows its scene too.
    assert answer(capsys, str(scene / "splats" / "splats.ply"), *words)[0] == 0
    alone = tmp_path / "alone.ply"
    alone.write_bytes((scene / "splats" / "splats.ply").read_bytes())
    code, _, error = answer(capsys, str(alone), *words)
    assert code == 1 and 'add "camera"' in error
    code, _, error = answer(capsys, str(alone), "--path", "orbit", "-o", str(tmp_path / "v.mp4"))
    assert code == 1 and "no cameras that --path orbit could follow" in error


def test_key_frames_and_size(scene, tmp_path, capsys):
    frames = [KeyFrame(look_at([4, y, 0], [0, 0, 0]), float(i)) for i, y in enumerate((-1, 0, 1))]
    write_key_frames(tmp_path / "path.json", frames, PINHOLE, fps=5)
    words = ["--path", str(tmp_path / "path.json"), "-o", str(tmp_path / "v.mp4")]
    assert answer(capsys, str(scene), *words)[0] == 0
    info = read_video_info(tmp_path / "v.mp4")
    assert (info.frames, info.fps, info.width, info.height) == (11, 5.0, 40, 30)
    assert answer(capsys, str(scene), *words, "--fps", "10", "--size", "20x20")[0] == 0
    info = read_video_info(tmp_path / "v.mp4")
    assert (info.frames, info.fps, info.width, info.height) == (21, 10.0, 20, 20)


def test_stereo_and_panorama(scene, tmp_path, capsys):
    words = ["--seconds", "0.1", "--fps", "20", "-o", str(tmp_path / "out")]
    assert answer(capsys, str(scene), *words, "--stereo", "--size", "40x30")[0] == 0
    image = read_image(tmp_path / "out" / "00000.png")
    assert image.shape == (30, 80, 3)
    is_ball(image[:, :40])
    is_ball(image[:, 40:])
    assert np.abs(image[:, :40].astype(int) - image[:, 40:]).max() > 20
    assert answer(capsys, str(scene), *words, "--panorama", "--size", "120x60")[0] == 0
    image = read_image(tmp_path / "out" / "00000.png")
    assert image.shape == (60, 120, 3)
    # The ball is ahead, 1 below a camera at a distance of 4: 14 degrees below the horizon.
    rows, columns = np.nonzero(image[..., 0] > 128)
    assert columns.mean() == pytest.approx(59.5, abs=2) and rows.mean() == pytest.approx(29.5 + 14 / 3, abs=2)


def test_the_outcome_as_json(scene, tmp_path, capsys):
    out = tmp_path / "v.mp4"
    code, said, _ = answer(capsys, str(scene), "--json", "--seconds", "0.1", "-o", str(out))
    assert code == 0
    result = json.loads(said.splitlines()[-1])
    assert result["event"] == "result" and result["out"] == [str(out)]
    assert (result["frames"], result["gaussians"]) == (3, 300)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["-o", "v.avi"], 2, "written as .mp4"),
        (["-o", "v.png"], 2, "written as .mp4"),
        (["-o", "v.mp4", "--path", "circle"], 2, "orbit, spiral, views, dolly"),
        (["-o", "v.mp4", "--fps", "0"], 2, "--fps 0"),
        (["-o", "v.mp4", "--seconds", "-1"], 2, "--seconds -1"),
        (["-o", "v.mp4", "--stereo", "--panorama"], 2, "--stereo and --panorama"),
        (["-o", "v.mp4", "--panorama", "--depth"], 2, "--panorama and --depth"),
        (["-o", "v.mp4", "--panorama", "--size", "100x100"], 2, "twice as wide as high"),
        (["-o", "v.mp4", "--size", "100000x100000"], 2, "megapixels"),
        (["-o", "v.mp4", "--pose", "POSE"], 2, "as .png"),
        (["-o", "v.png", "--pose", "POSE", "--path", "orbit"], 2, "leave out --path"),
        (["-o", "v.png", "--pose", "none.json"], 2, "none.json"),
        (["-o", "v.png", "--pose", "HUGE"], 1, "100000x100000 pixels, expected up to 50 megapixels"),
        (["-o", "v.mp4", "--seconds", "36000", "--fps", "1000"], 1, "36,000,000 frames"),
        (["-o", "v.mp4", "--path", "POSE"], 1, "expected key frames of geo3d"),
        (["-o", "v.mp4", "--path", "POSE", "--seconds", "3"], 2, "tells the times"),
    ],
)
def test_what_is_refused(scene, tmp_path, capsys, monkeypatch, words, code, expected):
    write_pose(tmp_path / "pose.json", look_at([4, 0, 0], [0, 0, 0]), PINHOLE)
    monkeypatch.chdir(tmp_path)
    huge = Camera("PINHOLE", 100_000, 100_000, [1e5, 1e5, 5e4, 5e4])
    write_pose(tmp_path / "huge.json", look_at([4, 0, 0], [0, 0, 0]), huge)
    words = [{"POSE": "pose.json", "HUGE": "huge.json"}.get(word, word) for word in words]
    found, _, error = answer(capsys, str(scene), *words)
    assert found == code and expected in error and len(error.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["huge.json", "pose.json"]


def test_a_transforms_json_is_a_scene(scene, tmp_path, capsys):
    (tmp_path / "splats").mkdir()
    (tmp_path / "splats" / "splats.ply").write_bytes((scene / "splats" / "splats.ply").read_bytes())
    write_transforms(read_colmap(scene / "sparse" / "0"), tmp_path / "transforms.json")
    (tmp_path / "images").mkdir()
    for number in range(1, 9):
        (tmp_path / "images" / f"{number}.jpg").touch()
    words = ["--seconds", "0.1", "-o", str(tmp_path / "frames")]
    for source in (tmp_path, tmp_path / "transforms.json"):
        assert answer(capsys, str(source), *words)[0] == 0
        is_ball(read_image(tmp_path / "frames" / "00001.png"))


def test_a_gpu_that_is_not_there_is_told(scene, tmp_path, capsys, monkeypatch):
    import geo3d.gpu

    monkeypatch.setattr(geo3d.gpu, "why_not", lambda: "no NVIDIA driver is installed")
    code, _, error = answer(capsys, str(scene), "--backend", "cuda", "-o", str(tmp_path / "v.mp4"))
    assert code == 1 and "--backend cuda cannot run here: no NVIDIA driver" in error


def test_scenes_without_splats(tmp_path, capsys):
    code, _, error = answer(capsys, str(tmp_path), "-o", str(tmp_path / "v.mp4"))
    assert code == 1 and f"geo3d train {tmp_path}" in error and "-o OUT" in error
    (tmp_path / "empty.ply").touch()
    code, _, error = answer(capsys, str(tmp_path / "empty.ply"), "-o", str(tmp_path / "v.mp4"))
    assert code == 1 and "empty.ply" in error
