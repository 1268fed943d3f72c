"""The global mapper recovers synthetic scenes, leaves out nothing that can be placed, and goes on after a kill."""

import copy

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.sfm import (
    BundleOptions,
    MapperOptions,
    MatchGraph,
    PairMatches,
    map_globally,
    model_consistency,
    retrack,
)
from geo3d.sfm.track_kernels import choose_tracks, rigid_groups
from geo3d.synthetic import make_scene
from geo3d.util.snapshots import Snapshots

from .test_incremental import pose_errors

FIXED = MapperOptions(bundle=BundleOptions(refine_focal=False, refine_distortion=False, threads=1))


def side_by_side(a: MatchGraph, b: MatchGraph, pairs=()) -> MatchGraph:
    """Two graphs as one; `pairs` go from views of the first to views of the second."""
    views = len(a) + len(b)
    moved = [PairMatches(p.first + len(a), p.second + len(a), p.matches) for p in b.pairs]
    return MatchGraph(
        view_ids=list(range(1, views + 1)),
        names=[*(f"a{n}" for n in a.names), *(f"b{n}" for n in b.names)],
        camera_ids=[1] * views,
        cameras=a.cameras,
        keypoints=[*a.keypoints, *b.keypoints],
        pairs=[*a.pairs, *moved, *pairs],
    )


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk", "forward"])
def test_exact_recovery_without_noise(graph_of, kind):
    scene = make_scene(kind, views=8, points=400, seed=3)
    result = map_globally(graph_of(scene), FIXED)
    model = result.models[0]
    assert model.registered.all() and not result.reasons
    rotation, centre = pose_errors(model, scene)
    assert rotation.max() < 1e-4 and centre.max() < 1e-5
    assert model_consistency(model).share > 0.85  # forward: not all points have a wide angle


def test_noise_and_wrong_matches_are_survived(graph_of):
    scene = make_scene("orbit", views=10, points=600, noise_px=0.5, outlier_ratio=0.1, seed=5)
    model = map_globally(graph_of(scene), FIXED).models[0]
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
    options = MapperOptions(bundle=BundleOptions(threads=1))
    model = map_globally(graph_of(scene, cameras={1: start}), options).models[0]
    assert model.registered.all()
    np.testing.assert_allclose(model.cameras[0].params, true.params, rtol=2e-3, atol=2e-3)


def test_photos_of_another_place_make_a_model_of_their_own(graph_of):
    a, b = make_scene("orbit", views=7, points=300, seed=1), make_scene("walk", views=5, points=300, seed=2)
    ga, gb = graph_of(a), graph_of(b)
    alone = map_globally(ga, FIXED).models[0]
    rng = np.random.default_rng(0)
    # Matches between the places that a rigid scene happens to explain: those of another pair, mislabelled.
    lie = ga.pairs[3].matches[rng.permutation(len(ga.pairs[3].matches))[:40]]
    lie = lie[(lie[:, 0] < len(ga.keypoints[2])) & (lie[:, 1] < len(gb.keypoints[1]))]
    result = map_globally(side_by_side(ga, gb, [PairMatches(2, 8, lie)]), FIXED)
    assert [int(m.registered.sum()) for m in result.models] == [7, 5] and not result.reasons
    model = result.models[0]
    assert model.registered[:7].all()
    assert np.allclose(pose_errors_of(model, range(7), a), pose_errors_of(alone, range(7), a), atol=1e-4)


def pose_errors_of(model, rows, scene):
    """Centre errors of some rows of a model, which are the first views of a scene."""
    part = copy.copy(model)
    part.registered = np.isin(np.arange(len(model.registered)), rows)
    return pose_errors(part, scene)[1]


def test_wrong_pairs_of_repeated_structure_do_not_bend_the_model(graph_of):
    scene = make_scene("orbit", views=12, points=600, noise_px=0.3, seed=4)
    graph = graph_of(scene)
    true = map_globally(graph, FIXED).models[0]
    # Views 0 and 6 look as if they stood beside each other: they share matches of views 0 and 1.
    near = next(p for p in graph.pairs if (p.first, p.second) == (0, 1))
    keypoints = [k.copy() for k in graph.keypoints]
    count = min(80, len(near.matches))
    keypoints[6] = np.concatenate([keypoints[6], keypoints[1][near.matches[:count, 1]]])
    new = np.arange(len(graph.keypoints[6]), len(keypoints[6]))
    graph.keypoints = keypoints
    graph.pairs = [p for p in graph.pairs if (p.first, p.second) != (0, 6)]
    graph.pairs.append(PairMatches(0, 6, np.column_stack([near.matches[:count, 0], new])))
    model = map_globally(graph, FIXED).models[0]
    assert model.registered.all()
    assert pose_errors(model, scene)[1].max() < 2 * pose_errors(true, scene)[1].max() + 1e-3


def test_a_view_without_a_relative_pose_is_rescued_by_its_points(graph_of):
    scene = make_scene("orbit", views=8, points=500, noise_px=0.3, seed=7)
    graph = graph_of(scene)
    # The last view shares only a few matches with each of the others: none of its pairs is an edge.
    graph.pairs = [
        PairMatches(p.first, p.second, p.matches[9 * p.first : 9 * p.first + 9]) if p.second == 7 else p
        for p in graph.pairs
    ]
    result = map_globally(graph, FIXED)
    assert result.models[0].registered.all() and not result.reasons


def test_groups_that_hang_on_one_view_become_two_models(graph_of):
    a, b = make_scene("orbit", views=6, points=300, seed=1), make_scene("orbit", views=6, points=300, seed=1)
    ga, gb = graph_of(a), graph_of(b)
    # Views 5 and 6 share plenty of points with each other, but none that a third view sees.
    rng = np.random.default_rng(1)
    extra = rng.uniform(100, 700, (60, 2))
    ga.keypoints[5] = np.concatenate([ga.keypoints[5], extra])
    gb.keypoints[0] = np.concatenate([gb.keypoints[0], extra + [30, 5] * rng.uniform(0.5, 1, (60, 1))])
    bridge = np.column_stack(
        [np.arange(-60, 0) + len(ga.keypoints[5]), np.arange(-60, 0) + len(gb.keypoints[0])]
    )
    result = map_globally(side_by_side(ga, gb, [PairMatches(5, 6, bridge)]), FIXED)
    assert [int(m.registered.sum()) for m in result.models] == [6, 6]


def test_photos_of_which_no_three_share_a_point_make_a_model_of_two(graph_of):
    graph = graph_of(make_scene("orbit", views=3, points=300, seed=11))
    graph.pairs = [
        PairMatches(p.first, p.second, p.matches[np.isin(p.matches[:, 0] % 3, p.first + p.second - 1)])
        for p in graph.pairs
    ]
    result = map_globally(graph, FIXED)
    assert result.models[0].registered.sum() >= 2


def test_nothing_to_reconstruct_gives_no_model_and_says_why(graph_of):
    graph = graph_of(make_scene("orbit", views=3, points=60, seed=4))
    graph.pairs = []
    result = map_globally(graph, FIXED)
    assert result.models == [] and set(result.reasons) == {0, 1, 2}
    assert all("matches" in reason for reason in result.reasons.values())


def same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(x.rotations, y.rotations)
        and np.array_equal(x.translations, y.translations)
        and np.array_equal(x.points[x.placed], y.points[y.placed])
        for x, y in zip(a, b)
    )


def test_same_seed_same_bits_whatever_the_threads(graph_of):
    scene = make_scene("orbit", views=10, points=2000, noise_px=0.5, outlier_ratio=0.1, seed=8)
    runs = []
    for threads in (1, 2):
        bundle = BundleOptions(threads=threads)
        runs.append(map_globally(graph_of(scene), MapperOptions(bundle=bundle)).models)
    assert same(*runs)


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(graph_of, tmp_path):
    scene = make_scene("walk", views=10, points=500, noise_px=0.5, outlier_ratio=0.05, seed=9)
    graph, options = graph_of(scene), MapperOptions(bundle=BundleOptions(threads=1))

    class Killed(Exception):
        pass

    class Fragile(Snapshots):
        """Dies after the second save."""

        def __init__(self):
            super().__init__(tmp_path, "key", interval_s=0)
            self.left = [1]  # shared with its parts

        def save(self, name, make):
            super().save(name, make)
            self.left[0] -= 1
            if self.left[0] < 0:
                raise Killed

    whole = map_globally(graph, options).models
    kills = 0
    for _ in range(20):
        try:
            models = map_globally(graph, options, snapshots=Fragile()).models
        except Killed:
            kills += 1
            continue
        assert same(models, whole)
        break
    assert kills >= 3
    assert same(map_globally(graph, options, snapshots=Snapshots(tmp_path, "key", 0)).models, whole)


def test_tracks_anew_bring_back_matches_and_leave_wrong_ones(graph_of):
    scene = make_scene("orbit", views=6, points=300, noise_px=0.2, seed=10)
    graph = graph_of(scene)
    model = map_globally(graph, FIXED).models[0]
    rng = np.random.default_rng(0)
    spoiled = graph.pairs[0]
    wrong = np.column_stack([spoiled.matches[:, 0], rng.permutation(spoiled.matches[:, 1])])
    model.graph = copy.copy(graph)
    model.graph.pairs = [PairMatches(spoiled.first, spoiled.second, wrong), *graph.pairs[1:]]
    anew = retrack(model, 4.0)
    assert not anew.placed.any() and np.array_equal(anew.rotations, model.rotations)
    anew.triangulate(4.0, np.radians(1.5))
    assert anew.placed.sum() >= 0.98 * model.placed.sum()
    share = model_consistency(anew)
    assert (
        0.8 < share.share < 1.0
        and share.views == 6
        and share.matches == sum(len(p.matches) for p in graph.pairs)
    )


def test_chosen_tracks_are_long_and_enough_for_every_view():
    rng = np.random.default_rng(0)
    length = rng.integers(2, 9, 400)
    offsets = np.concatenate([[0], np.cumsum(length)])
    views = np.concatenate([np.sort(rng.choice(12, n, replace=False)) for n in length])
    chosen = choose_tracks(offsets, views, 12, 20)
    rows = np.repeat(chosen, length)
    count = np.bincount(views[rows], minlength=12)
    assert (count >= 20).all() and chosen.sum() < 120
    assert length[chosen].min() >= np.sort(length)[-150]
    assert choose_tracks(offsets, views, 12, 10**6).all()


def test_rigid_groups_need_points_that_two_of_the_group_see():
    # Two groups of four views with 30 points each; view 3 belongs to both, but no point does.
    tracks = [[0, 1, 2, 3]] * 30 + [[3, 4, 5, 6]] * 30
    offsets = np.arange(0, 4 * len(tracks) + 1, 4)
    views = np.concatenate(tracks)
    used = np.ones(len(views), bool)
    group = rigid_groups(offsets, views, used, 8, 20)
    assert group.tolist() in ([0, 0, 0, 0, 1, 1, 1, -1], [1, 1, 1, 0, 0, 0, 0, -1], [0, 0, 0, 0, 1, 1, 1, -1])
    joined = [*tracks, *([[2, 3, 4]] * 20)]
    offsets = np.concatenate([[0], np.cumsum([len(t) for t in joined])])
    views = np.concatenate(joined)
    assert rigid_groups(offsets, views, np.ones(len(views), bool), 8, 20).tolist() == [0] * 7 + [-1]
    assert (rigid_groups(offsets, views, np.zeros(len(views), bool), 8, 20) == -1).all()
