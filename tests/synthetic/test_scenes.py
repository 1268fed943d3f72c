"""Scenes of points: what they promise is true, noise is as asked, the seed decides everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.synthetic import look_at, make_resection, make_scene, make_two_view, perturbed

KINDS = ("orbit", "grid", "walk", "forward")


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(KINDS), st.integers(2, 12), st.integers(1, 200), st.integers(0, 1000))
def test_every_track_is_the_projection_of_its_point_and_lies_in_the_image(kind, views, points, seed):
    scene = make_scene(kind, views, points, seed=seed)
    recon = scene.reconstruction
    assert len(recon.views) == views and len(recon.points) == points
    assert recon.points.track_lengths.min() >= 2
    assert sum(len(v.keypoints) for v in recon.views.values()) == recon.points.offsets[-1]
    for row, track in enumerate(recon.points):
        assert np.unique(track.view_ids).size == len(track.view_ids)
        for view_id, keypoint in zip(track.view_ids, track.keypoints):
            view = recon.views[int(view_id)]
            camera = recon.cameras[view.camera_id]
            assert scene.point_rows[int(view_id)][keypoint] == row
            pixel = camera.project(view.cam_from_world.act(track.xyz))
            np.testing.assert_allclose(view.keypoints[keypoint], pixel, atol=1e-9)
            assert (pixel >= 0).all() and (pixel <= [camera.width, camera.height]).all()


def test_noise_and_outliers_are_as_asked_and_leave_the_truth_alone():
    clean = make_scene("orbit", 10, 800, seed=3)
    noisy = make_scene("orbit", 10, 800, noise_px=0.7, outlier_ratio=0.2, seed=3)
    np.testing.assert_array_equal(clean.reconstruction.points.xyz, noisy.reconstruction.points.xyz)
    np.testing.assert_array_equal(
        clean.reconstruction.points.keypoints, noisy.reconstruction.points.keypoints
    )
    moved = np.concatenate([noisy.outliers[i] for i in noisy.reconstruction.views])
    error = np.concatenate(
        [v.keypoints - noisy.exact_keypoints[i] for i, v in noisy.reconstruction.views.items()]
    )
    assert abs(moved.mean() - 0.2) < 0.02
    assert abs(error[~moved].std() - 0.7) < 0.02
    assert np.median(np.linalg.norm(error[moved], axis=1)) > 100


def test_the_same_seed_gives_the_same_scene():
    a, b, c = (make_scene("walk", 5, 50, noise_px=1, seed=s).reconstruction for s in (1, 1, 2))
    np.testing.assert_array_equal(a.points.xyz, b.points.xyz)
    np.testing.assert_array_equal(a.views[3].keypoints, b.views[3].keypoints)
    assert not np.array_equal(a.points.xyz, c.points.xyz)


def test_cameras_are_taken_in_turn():
    cameras = [Camera.from_focal("PINHOLE", 800, 600, 700.0), Camera.from_focal("OPENCV", 640, 480, 500.0)]
    recon = make_scene("grid", 5, 60, camera=cameras).reconstruction
    assert [recon.views[i].camera_id for i in range(1, 6)] == [1, 2, 1, 2, 1]
    assert recon.cameras == {1: cameras[0], 2: cameras[1]}


def test_perturbed_moves_by_what_was_asked_and_copies():
    truth = make_scene("orbit", 6, 300, seed=5).reconstruction
    before = truth.points.xyz.copy()
    moved = perturbed(truth, rotation_deg=2.0, translation=0.3, point_sigma=0.1, seed=1)
    np.testing.assert_array_equal(truth.points.xyz, before)
    assert abs((moved.points.xyz - before).std() - 0.1) < 0.01
    np.testing.assert_allclose(np.linalg.norm(moved.centres() - truth.centres(), axis=1), 0.3, atol=1e-9)
    for i, view in truth.views.items():
        turn = moved.views[i].cam_from_world.rotation @ view.cam_from_world.rotation.T
        np.testing.assert_allclose(np.degrees(np.arccos((np.trace(turn) - 1) / 2)), 2.0, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(("general", "plane")),
    st.sampled_from(("general", "sideways", "forward", "rotation")),
    st.floats(0, 15),
    st.integers(0, 1000),
)
def test_two_views_obey_the_epipolar_constraint(structure, motion, rotation_deg, seed):
    data = make_two_view(50, structure=structure, motion=motion, rotation_deg=rotation_deg, seed=seed)
    ray1, ray2 = data.camera1.unproject(data.x1), data.camera2.unproject(data.x2)
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", ray2, data.E, ray1), 0, atol=1e-9)
    assert data.inliers.all() and (data.points[:, 2] > 0).all()
    if structure == "plane":
        centred = data.points - data.points.mean(axis=0)
        assert np.linalg.svd(centred, compute_uv=False)[2] < 1e-9
    if motion == "rotation":
        turned = ray1 @ data.cam2_from_cam1.rotation.T
        np.testing.assert_allclose(turned, ray2, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(("general", "plane")), st.integers(0, 1000))
def test_resection_data_projects_exactly(structure, seed):
    data = make_resection(40, structure=structure, seed=seed)
    np.testing.assert_allclose(
        data.camera.project(data.cam_from_world.act(data.points)), data.pixels, atol=1e-8
    )
    noisy = make_resection(400, structure=structure, noise_px=0.5, outlier_ratio=0.5, seed=seed)
    assert 0.35 < noisy.inliers.mean() < 0.65


def test_look_at_is_upright_and_a_drone_looking_down_has_north_up():
    pose = look_at(np.array([4.0, -2, 3]), np.array([1.0, 1, 0]))
    np.testing.assert_allclose(pose.act(np.array([1.0, 1, 0])), [0, 0, np.sqrt(27)], atol=1e-12)
    assert pose.rotation[0, 2] == 0 and pose.rotation[1, 2] < 0  # image x is level, image y goes down
    down = look_at(np.array([0.0, 0, 10]), np.zeros(3))
    np.testing.assert_allclose(down.rotation, [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_scene("spiral"), "kind is 'spiral'"),
        (lambda: make_scene(views=1), "at least 2 views"),
        (lambda: make_scene(outlier_ratio=1.0), "outlier_ratio"),
        (lambda: make_two_view(structure="line"), "structure is 'line'"),
        (lambda: make_two_view(rotation_deg=179.0, motion="rotation", seed=1), "in common"),
        (lambda: look_at(np.zeros(3), np.zeros(3)), "same point"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
