"""Focal lengths that nobody knows, that EXIF has wrong, and of single photos that were zoomed."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.estimation import solve_eight_point
from geo3d.geometry import umeyama
from geo3d.sfm import (
    MapperOptions,
    MatchGraph,
    PairMatches,
    WorkingModel,
    build_tracks,
    check_given_focals,
    estimate_focal,
    find_odd_lenses,
    guessed_focal_warnings,
    map_views,
    replace_contradicted_focals,
    replace_guessed_focals,
    sweep_focal,
    with_own_lenses,
)
from geo3d.sfm.focal import is_perspective
from geo3d.synthetic import make_scene

PINHOLE = Camera("SIMPLE_PINHOLE", 1000, 750, [900.0, 500, 375])
TELE = Camera("SIMPLE_PINHOLE", 1000, 750, [1700.0, 500, 375])
FISHEYE = Camera("OPENCV_FISHEYE", 1000, 750, [330.0, 330, 500, 375, 0.02, 0, 0, 0])


def with_matrices(graph):
    """The graph with the fundamental matrix of each pair, as verification leaves it."""
    pairs = [
        replace(
            p,
            F=solve_eight_point(
                graph.keypoints[p.first][p.matches[:, 0]], graph.keypoints[p.second][p.matches[:, 1]]
            ),
        )
        for p in graph.pairs
    ]
    return replace(graph, pairs=pairs)


def flat_graph(focal, noise=0.5):
    """Nine photos of flat ground from straight above, which fit any focal length."""
    rng = np.random.default_rng(3)
    ground = np.column_stack([rng.uniform(-9, 9, (400, 2)), np.zeros(400)])
    keypoints, rows = [], []
    for i in range(9):
        eye = np.array([3.0 * (i % 3 - 1), 3.0 * (i // 3 - 1), 10 + 0.2 * i])
        pixels = PINHOLE.project((ground - eye) * [1, -1, -1]) + noise * rng.standard_normal((400, 2))
        seen = ((pixels > 0) & (pixels < [1000, 750])).all(axis=1)
        keypoints.append(pixels[seen])
        rows.append(np.flatnonzero(seen))
    pairs = []
    for a in range(9):
        for b in range(a + 1, 9):
            _, i, j = np.intersect1d(rows[a], rows[b], return_indices=True)
            if len(i) >= 30:
                pairs.append(PairMatches(a, b, np.column_stack([i, j])))
    camera = Camera("SIMPLE_PINHOLE", 1000, 750, [focal, 500, 375], prior_focal=True)
    names = [f"{i}.jpg" for i in range(9)]
    return MatchGraph(list(range(1, 10)), names, [1] * 9, {1: camera}, keypoints, pairs)


@pytest.mark.parametrize("kind", ["orbit", "walk", "forward"])
def test_a_guess_is_replaced_by_what_the_pairs_say(graph_of, kind):
    scene = make_scene(kind, views=8, points=400, camera=PINHOLE, noise_px=0.5)
    graph = with_matrices(
        graph_of(scene, cameras={1: Camera("SIMPLE_PINHOLE", 1000, 750, [1200.0, 500, 375])})
    )
    found = estimate_focal(graph, 1)
    assert found is not None and found.clear and found.focal_px == pytest.approx(900, rel=0.05)
    assert replace_guessed_focals(graph) == []
    assert graph.cameras[1].mean_focal == pytest.approx(found.focal_px)


def test_a_guess_that_the_photos_cannot_check_stays_and_is_said():
    graph = with_matrices(flat_graph(1200.0))
    graph.cameras[1] = replace(graph.cameras[1], prior_focal=False)
    assert replace_guessed_focals(graph) == [1] and graph.cameras[1].mean_focal == 1200


def test_a_guess_is_said_only_where_the_adjustment_did_not_find_it():
    graph = flat_graph(1200.0)
    model = WorkingModel(graph, build_tracks(graph))
    assert guessed_focal_warnings(graph, [1], [model], {}) == []  # nothing placed
    model.registered[2:] = True
    (warning,) = guessed_focal_warnings(graph, [1], [model], {1: [50.0, 1, 1]})
    assert "the focal length of 2.jpg and 6 more is a guess (1200 px)" in warning and "EXIF" in warning
    for stayed in ({}, {1: [0.0, 0, 0]}, {1: [np.inf, 0, 0]}):
        assert len(guessed_focal_warnings(graph, [1], [model], stayed)) == 1
    assert guessed_focal_warnings(graph, [1], [model], {1: [4.6, 0, 0]}) == []
    (warning,) = guessed_focal_warnings(graph, [1], [model], {}, video=True)
    assert "EXIF" not in warning and "film" in warning


@pytest.mark.parametrize("focal", [450.0, 1600.0])
def test_a_given_calibration_that_the_photos_contradict_is_said_and_kept(graph_of, focal):
    scene = make_scene("orbit", views=8, points=400, camera=PINHOLE, noise_px=0.5)
    given = replace(PINHOLE.with_params([focal, 500, 375]), prior_focal=True)
    graph = graph_of(scene, cameras={1: given})
    (warning,) = check_given_focals(graph)
    assert f"focal length {focal:.0f} px given, about 9" in warning or "about 8" in warning
    assert graph.cameras == {1: given}
    graph.cameras[1] = replace(PINHOLE, prior_focal=True)
    assert check_given_focals(graph) == []


def test_the_other_camera_of_a_pair_helps_when_it_is_known(graph_of):
    scene = make_scene("orbit", views=10, points=500, camera=[*[PINHOLE] * 4, TELE], noise_px=0.3)
    known = replace(PINHOLE, prior_focal=True)
    guess = Camera("SIMPLE_PINHOLE", 1000, 750, [1200.0, 500, 375])
    graph = with_matrices(graph_of(scene, cameras={1: known, 2: known, 3: known, 4: known, 5: guess}))
    assert estimate_focal(graph, 5).pairs == 1
    assert estimate_focal(graph, 5, known=frozenset([1, 2, 3, 4])).pairs > 10
    assert replace_guessed_focals(graph) == []
    assert graph.cameras[5].mean_focal == pytest.approx(1700, rel=0.08)


def test_a_fisheye_is_not_taken_for_a_pinhole(graph_of):
    assert is_perspective(PINHOLE) and not is_perspective(FISHEYE)
    scene = make_scene("orbit", views=8, points=400, camera=FISHEYE, noise_px=0.5)
    graph = graph_of(scene, cameras={1: Camera.from_focal("OPENCV_FISHEYE", 1000, 750, 1200.0)})
    assert replace_guessed_focals(graph) == []
    assert graph.cameras[1].mean_focal == pytest.approx(330, rel=0.2)
    assert sweep_focal(replace(graph, pairs=[]), 1) is None


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.3, 2.0])
def test_exif_that_the_photos_contradict_is_replaced(graph_of, factor):
    scene = make_scene("orbit", views=8, points=400, camera=PINHOLE, noise_px=0.5)
    exif = Camera("SIMPLE_PINHOLE", 1000, 750, [900.0 * factor, 500, 375], prior_focal=True)
    graph = graph_of(scene, cameras={1: exif})
    (warning,) = replace_contradicted_focals(graph)
    assert f"is {900 * factor:.0f} px, but the photos fit one of about" in warning
    assert "view_0001.jpg, view_0002.jpg, view_0003.jpg and 5 more" in warning
    assert graph.cameras[1].mean_focal == pytest.approx(900, rel=0.05) and not graph.cameras[1].prior_focal


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk", "forward"])
@pytest.mark.parametrize("factor", [0.94, 1.0, 1.06])
def test_exif_that_is_about_right_is_kept(graph_of, kind, factor):
    scene = make_scene(kind, views=8, points=400, noise_px=0.5)  # a lens with distortion
    exif = Camera("SIMPLE_RADIAL", 1000, 750, [900.0 * factor, 500, 375, 0.0], prior_focal=True)
    graph = graph_of(scene, cameras={1: exif})
    assert replace_contradicted_focals(graph) == [] and graph.cameras[1] == exif


@pytest.mark.parametrize("focal", [600.0, 900.0, 1800.0])
def test_flat_ground_contradicts_nothing(focal):
    graph = flat_graph(focal)
    assert replace_contradicted_focals(graph) == [] and graph.cameras[1].mean_focal == focal


def test_few_photos_with_a_wrong_exif_do_not_bend_the_others(graph_of):
    scene = make_scene("orbit", views=18, points=600, camera=[PINHOLE] * 6, noise_px=0.5)
    truth = scene.reconstruction
    right, wrong = (
        Camera("SIMPLE_PINHOLE", 1000, 750, [f, 500, 375], prior_focal=True) for f in (910.0, 1900.0)
    )
    graph = graph_of(scene, cameras={**dict.fromkeys(range(1, 6), right), 6: wrong})
    graph = replace(
        graph, camera_ids=[6 if i == 6 else 1 for i in graph.camera_ids], cameras={1: right, 6: wrong}
    )
    (warning,) = replace_contradicted_focals(graph)
    assert "1900 px" in warning and graph.cameras[1] == right
    (model,) = map_views(graph, MapperOptions()).models
    assert model.registered.all()
    true = np.array([truth.views[i].cam_from_world.center() for i in graph.view_ids])
    fit = umeyama(model.centres(), true)
    assert np.linalg.norm(fit.act(model.centres()) - true, axis=1).max() < 0.02  # metres, of 8


def zoomed_model(scene, graph, zoomed):
    """The true model, in which zoomed photos are where a shared focal length has them: at another distance."""
    model = WorkingModel(graph, build_tracks(graph))
    truth = scene.reconstruction
    for view, view_id in enumerate(graph.view_ids):
        pose = truth.views[view_id].cam_from_world
        if view in zoomed:
            ratio = PINHOLE.mean_focal / TELE.mean_focal
            pose = replace(pose, translation=pose.translation * [1, 1, ratio])
        model.set_pose(view, pose)
    model.triangulate(4.0, np.deg2rad(1.5))
    model.filter(4.0, np.deg2rad(1.5))
    return model


def test_a_zoomed_photo_gets_a_lens_of_its_own(graph_of):
    scene = make_scene("orbit", views=12, points=800, camera=[*[PINHOLE] * 5, TELE], noise_px=0.5)
    shared = replace(PINHOLE, prior_focal=True)
    graph = replace(graph_of(scene), camera_ids=[1] * 12, cameras={1: shared})
    model = zoomed_model(scene, graph, {5, 11})
    odd = find_odd_lenses([model])
    assert [lens.view for lens in odd] == [5, 11]
    for lens in odd:
        assert lens.focal_px == pytest.approx(1700, rel=0.02) and lens.points > 1.15 * lens.before
    own, warnings = with_own_lenses(graph, odd)
    assert len(own.cameras) == 3 and own.camera_ids.count(1) == 10 and graph.camera_ids == [1] * 12
    assert (
        "view_0006.jpg does not fit the focal length of its camera (900 px), but one of about 17"
        in warnings[0]
    )


def test_photos_that_fit_are_not_odd(graph_of):
    scene = make_scene("orbit", views=8, points=400, camera=PINHOLE, noise_px=1.0, outlier_ratio=0.1)
    graph = graph_of(scene)
    assert find_odd_lenses([zoomed_model(scene, graph, set())]) == []
