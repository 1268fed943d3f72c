"""Reconstructions for the tests of files: every shape that files have to hold, with no regard to geometry."""

import numpy as np
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SE3, SO3
from geo3d.scene import Frame, Points, Reconstruction, Rig, View

COLMAP_NAMES = [name for name, model in MODELS.items() if model.in_colmap]
NAMES = [
    "a.jpg",
    "two words.jpg",
    "folder/b.png",
    "водопад.jpg",
    "写真/洞窟 1.jpg",
    "x'y\"z.JPG",
    "Ωmega#1.jpg",
]

CAMERA = {4: Camera("PINHOLE", 640, 480, [500, 500, 320, 240])}


def make_pose(rng: np.random.Generator) -> SE3:
    return SE3(SO3.exp(rng.normal(size=3)).matrix, rng.normal(size=3) * 10)


def make_camera(rng: np.random.Generator, model: str = "OPENCV") -> Camera:
    camera = Camera.from_focal(model, int(rng.integers(100, 4000)), int(rng.integers(100, 4000)), 900.0)
    noise = 0.01 * rng.random(len(camera.params))
    return camera.with_params(np.asarray(camera.params) * (1 + noise) + 0.001 * noise)


def make_tracks(rng: np.random.Generator, views: dict[int, View], points: int) -> Points:
    """Tracks that use each keypoint of the registered views at most once."""
    free = {
        i: list(rng.permutation(len(v.keypoints))) for i, v in views.items() if v.cam_from_world is not None
    }
    seen: list[list[tuple[int, int]]] = []
    for _ in range(points):
        ids = [i for i in free if free[i] and rng.random() < 0.7]
        seen.append([(i, int(free[i].pop())) for i in ids])
    flat = np.array([o for track in seen for o in track], np.int64).reshape(-1, 2)
    error = rng.random(points)
    error[::3] = np.nan
    return Points(
        rng.normal(size=(points, 3)) * 100,
        rng.integers(0, 256, (points, 3)).astype(np.uint8),
        error,
        np.concatenate([[0], np.cumsum([len(t) for t in seen])]).astype(np.int64),
        flat[:, 0].copy(),
        flat[:, 1].copy(),
    )


def make_scene(
    seed: int,
    views: int = 4,
    points: int = 20,
    rigged: bool = False,
    cameras: dict[int, Camera] | None = None,
) -> Reconstruction:
    """Some cameras of COLMAP's, views of which the last may be unregistered, tracks, maybe a rig of two cameras."""
    rng = np.random.default_rng(seed)
    cameras = cameras or {
        int(i): make_camera(rng, str(rng.choice(COLMAP_NAMES))) for i in rng.choice(50, 3, replace=False) + 1
    }
    ids = sorted((rng.choice(1000, views, replace=False) + 1).tolist())
    made = {
        i: View(
            f"{n}-{NAMES[n % len(NAMES)]}".replace("/", f"{n}/"),
            int(rng.choice(list(cameras))),
            make_pose(rng) if n < views - 1 or rigged or rng.random() < 0.5 else None,
            rng.uniform(0, 4000, (int(rng.integers(0, 30)), 2)),
        )
        for n, i in enumerate(ids)
    }
    scene = Reconstruction(cameras, made, make_tracks(rng, made, points))
    return _with_rig(scene, rng) if rigged else scene


def _with_rig(scene: Reconstruction, rng: np.random.Generator) -> Reconstruction:
    """Put the first two cameras in a rig, and the first two views in a frame of it."""
    first, second = sorted(scene.cameras)[:2]
    a, b = sorted(scene.views)[:2]
    sensor_from_rig = make_pose(rng)
    for view in scene.views.values():
        view.camera_id = sorted(scene.cameras)[2]
    pose = scene.views[a].cam_from_world
    assert pose is not None
    scene.views[a].camera_id, scene.views[b].camera_id = first, second
    scene.views[b].cam_from_world = sensor_from_rig @ pose
    scene.rigs[7] = Rig(first, {second: sensor_from_rig})
    scene.frames[3] = Frame(7, (a, b), pose)
    return scene


scenes = st.builds(
    make_scene,
    seed=st.integers(0, 2**32 - 1),
    views=st.integers(2, 7),
    points=st.integers(0, 40),
    rigged=st.booleans(),
)


def assert_same(found: Reconstruction, expected: Reconstruction) -> None:
    """Equal to what was written: poses to rounding, everything else exactly; unregistered views are not written."""
    assert found.cameras == expected.cameras
    assert list(found.views) == expected.registered()
    for view_id, view in found.views.items():
        other = expected.views[view_id]
        assert (view.name, view.camera_id) == (other.name, other.camera_id)
        assert np.array_equal(view.keypoints, other.keypoints)
        assert_same_pose(view.cam_from_world, other.cam_from_world)
    for name in ("xyz", "color", "error_px", "offsets", "view_ids", "keypoints"):
        a, b = getattr(found.points, name), getattr(expected.points, name)
        assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=name == "error_px"), name


def assert_same_pose(a: SE3 | None, b: SE3 | None) -> None:
    assert a is not None and b is not None
    np.testing.assert_allclose(a.rotation, b.rotation, atol=1e-14)
    np.testing.assert_allclose(a.translation, b.translation, rtol=1e-12)
