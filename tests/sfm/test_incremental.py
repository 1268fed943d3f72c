"""The mapper recovers synthetic scenes: exactly without noise, to the noise with it, every component, and no more."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import umeyama
from geo3d.sfm import (
    BundleOptions,
    MapperOptions,
    MatchGraph,
    PairMatches,
    map_incrementally,
    register_photos,
    triangulate_known_poses,
)
from geo3d.synthetic import make_scene

FIXED = MapperOptions(bundle=BundleOptions(refine_focal=False, refine_distortion=False, threads=1))


def pose_errors(model, scene):
    """Rotation error in degrees and centre error in units of the scene, after a similarity alignment."""
    rows = np.flatnonzero(model.registered)
    truth = [scene.reconstruction.views[model.graph.view_ids[v]].cam_from_world for v in rows]
    centres = np.array([pose.center() for pose in truth])
    fit = umeyama(model.centres()[rows], centres)
    rotation = []
    for v, pose in zip(rows, truth):
        difference = model.rotations[v] @ fit.rotation.T @ pose.rotation.T
        rotation.append(np.degrees(np.arccos(np.clip((np.trace(difference) - 1) / 2, -1, 1))))
    return np.array(rotation), np.linalg.norm(fit.act(model.centres()[rows]) - centres, axis=1)


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk", "forward"])
def test_exact_recovery_without_noise(graph_of, kind):
    scene = make_scene(kind, views=8, points=400, seed=3)
    result = map_incrementally(graph_of(scene), FIXED)
    model = result.models[0]
    assert model.registered.all() and not result.reasons
    rotation, centre = pose_errors(model, scene)
    assert rotation.max() < 1e-4 and centre.max() < 1e-5
    assert model.mean_error_px() < 1e-4


def test_noise_and_wrong_matches_are_survived(graph_of):
    scene = make_scene("orbit", views=10, points=600, noise_px=0.5, outlier_ratio=0.1, seed=5)
    model = map_incrementally(graph_of(scene), FIXED).models[0]
    assert model.registered.all()
    rotation, centre = pose_errors(model, scene)
    assert rotation.max() < 0.05 and centre.max() < 0.02
    wrong = np.concatenate([scene.outliers[i] for i in sorted(scene.outliers)])
    number = model.graph.keypoint_offsets()[model.obs_view] + model.obs_keypoint
    assert wrong[number[model.used]].mean() < 0.005  # by chance on the epipolar line


def test_focal_and_distortion_are_found_from_a_wrong_start(graph_of):
    scene = make_scene("orbit", views=10, points=600, noise_px=0.3, seed=6)
    true = scene.reconstruction.cameras[1]
    start = Camera(true.model, true.width, true.height, true.params * [0.9, 1, 1, 0])
    model = map_incrementally(
        graph_of(scene, cameras={1: start}), MapperOptions(bundle=BundleOptions(threads=1))
    ).models[0]
    assert model.registered.all()
    np.testing.assert_allclose(model.cameras[0].params, true.params, rtol=2e-3, atol=2e-3)


def test_every_component_is_reconstructed_and_strays_are_explained(graph_of):
    a = make_scene("orbit", views=6, points=300, seed=1)
    b = make_scene("walk", views=5, points=300, seed=2)
    ga, gb = graph_of(a), graph_of(b)
    both = MatchGraph(
        view_ids=list(range(1, 13)),
        names=[f"a{n}" for n in ga.names] + [f"b{n}" for n in gb.names] + ["stray.jpg"],
        camera_ids=[1] * 12,
        cameras=ga.cameras,
        keypoints=[*ga.keypoints, *gb.keypoints, np.zeros((3, 2))],
        pairs=[*ga.pairs, *(PairMatches(p.first + 6, p.second + 6, p.matches) for p in gb.pairs)],
    )
    result = map_incrementally(both, FIXED)
    assert [int(m.registered.sum()) for m in result.models] == [6, 5]
    assert list(result.reasons) == [11] and "matches" in result.reasons[11]


def test_nothing_to_reconstruct_gives_no_model(graph_of):
    scene = make_scene("orbit", views=3, points=60, seed=4)
    graph = graph_of(scene)
    graph.pairs = []
    assert map_incrementally(graph, FIXED).models == []


def test_same_seed_same_bits_whatever_the_threads(graph_of):
    scene = make_scene("orbit", views=8, points=400, noise_px=0.5, outlier_ratio=0.1, seed=8)
    runs = []
    for threads in (1, 2):
        bundle = BundleOptions(refine_focal=False, refine_distortion=False, threads=threads)
        model = map_incrementally(graph_of(scene), MapperOptions(bundle=bundle)).models[0]
        runs.append((model.rotations, model.translations, model.points[model.placed]))
    for first, second in zip(*runs):
        assert np.array_equal(first, second)


def test_known_poses_are_kept_and_their_points_found(graph_of):
    scene = make_scene("orbit", views=6, points=300, noise_px=0.3, seed=9)
    truth = scene.reconstruction
    made = triangulate_known_poses(graph_of(scene), truth, FIXED)
    for view in made.registered():
        assert np.array_equal(
            made.views[view].cam_from_world.rotation, truth.views[view].cam_from_world.rotation
        )
    assert len(made.points) > 290
    rows = {(int(v), int(k)): i for i, t in enumerate(truth.points) for v, k in zip(t.view_ids, t.keypoints)}
    for track in made.points:
        i = rows[int(track.view_ids[0]), int(track.keypoints[0])]
        assert np.linalg.norm(track.xyz - truth.points.xyz[i]) < 0.05


def test_new_photos_join_an_existing_model_without_moving_it(graph_of):
    scene = make_scene("orbit", views=8, points=400, noise_px=0.3, seed=10)
    known = scene.reconstruction
    truth = {view: known.views[view].cam_from_world for view in known.views}
    for view in (3, 6):
        known.views[view].cam_from_world = None
    made = register_photos(graph_of(scene), known, FIXED)
    assert made.registered() == sorted(truth)
    for view, pose in truth.items():
        found = made.views[view].cam_from_world
        if view in (3, 6):
            assert np.linalg.norm(found.center() - pose.center()) < 0.01
        else:
            assert np.array_equal(found.translation, pose.translation)


@pytest.mark.parametrize("wrong", [{"max_error_px": -1}, {"growth": 0.5}, {"local_views": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MapperOptions(**wrong)


def test_photos_without_known_poses_are_refused(graph_of):
    scene = make_scene("orbit", views=4, points=100, seed=11)
    graph = graph_of(scene)
    graph.names = ["other.jpg"] * 4
    with pytest.raises(ValueError, match="0 of the 4 photos have a pose"):
        triangulate_known_poses(graph, scene.reconstruction, FIXED)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("points", [30, 60])
def test_a_view_that_is_thrown_out_again_and_again_is_given_up(graph_of, seed, points):
    # The fifth view is off by 4.5 to 8 px: near enough to be resected, too far to keep its points.
    scene = make_scene("orbit", views=5, points=300, seed=seed)
    rng = np.random.default_rng(seed)
    keypoints = scene.reconstruction.views[5].keypoints
    turn = rng.uniform(0, 2 * np.pi, len(keypoints))
    off = rng.uniform(4.5, 8, len(keypoints))
    keypoints += off[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    graph = graph_of(scene)
    graph.pairs = [
        PairMatches(p.first, p.second, p.matches[: points if p.second == 4 else None]) for p in graph.pairs
    ]
    result = map_incrementally(graph, FIXED)
    assert result.models[0].registered[:4].all()


def test_known_poses_of_photos_of_another_size_are_refused(graph_of):
    scene = make_scene("orbit", views=4, points=100, seed=12)
    graph = graph_of(scene)
    camera = graph.cameras[1]
    graph.cameras = {1: camera.rescaled(camera.width * 2, camera.height * 2)}
    with pytest.raises(ValueError, match="2000x1500 in the match graph and 1000x750"):
        triangulate_known_poses(graph, scene.reconstruction, FIXED)
