"""Models of places that look alike: folds are seen and, where photos were taken in order, undone; others are left."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.geometry import rotation_angle
from geo3d.sfm import (
    BundleOptions,
    MapperOptions,
    MatchGraph,
    PairMatches,
    map_globally,
    map_views,
    mapping,
)
from geo3d.sfm.look_alikes import broken_in_order, find_look_alikes, graph_in_order
from geo3d.synthetic import make_scene, make_twins

FIXED = MapperOptions(bundle=BundleOptions(refine_focal=False, refine_distortion=False, threads=1))


def graph_of_twins(scene, order=None):
    """The matches of the house of twins; `order` (V,) is the number in the name of each photo."""
    count = len(scene.poses)
    numbers = range(count) if order is None else order
    return MatchGraph(
        view_ids=list(range(1, count + 1)),
        names=[f"IMG_{number}.jpg" for number in numbers],
        camera_ids=[1] * count,
        cameras={1: scene.camera},
        keypoints=scene.keypoints,
        pairs=[PairMatches(p.first, p.second, p.matches) for p in scene.pairs],
    )


def turned(model, scene):
    """Photos of a model that are half a turn off against the others, the fewer of both."""
    rows = np.flatnonzero(model.registered)
    true = np.array([scene.poses[row].rotation for row in rows])
    world = np.swapaxes(model.rotations[rows], 1, 2) @ true
    off = rotation_angle(np.swapaxes(world, 1, 2) @ world[0]) > np.pi / 2
    return min(int(off.sum()), int((~off).sum()))


@pytest.mark.parametrize(("photos", "span"), [(16, 360), (14, 180)])
def test_a_fold_is_seen_and_undone_along_the_order_of_the_photos(photos, span):
    scene = make_twins(photos=photos, span_deg=span, points=120)
    graph = graph_of_twins(scene)
    folded = map_globally(graph, FIXED).models[0]
    assert turned(folded, scene) > 0
    signs = find_look_alikes(folded, graph, 4.0)
    assert broken_in_order(graph, folded.registered, signs)
    kept = {(p.first, p.second) for p in graph_in_order(graph, folded.registered).pairs}
    assert kept == {(p.first, p.second) for p in scene.pairs if p.true}
    result = map_views(graph, FIXED)
    (model,) = result.models
    assert model.registered.all() and turned(model, scene) == 0 and model.graph is graph
    (note,) = result.notes
    assert "look alike" in note and "made again along the order" in note


def test_pairs_across_a_gap_in_the_order_are_kept():
    """How the two pieces lie to each other nothing says, so that nothing contradicts these pairs either."""
    graph = graph_of_twins(make_twins(photos=16, points=120))
    pairs = [p for p in graph.pairs if not (p.first < 8 <= p.second and p.second - p.first <= 2)]
    across = {(p.first, p.second) for p in pairs if p.first < 8 <= p.second}
    kept = graph_in_order(replace(graph, pairs=pairs), np.ones(16, bool)).pairs
    assert across and across <= {(p.first, p.second) for p in kept}


def test_a_fold_of_photos_in_no_order_is_told():
    scene = make_twins(photos=16, points=120)
    graph = graph_of_twins(scene, np.random.default_rng(0).permutation(16))
    result = map_views(graph, FIXED)
    assert turned(result.models[0], scene) > 0
    (note,) = result.notes
    assert "look alike" in note and "parts of it lie upon each other" in note


def test_a_fold_that_cannot_be_undone_is_kept_and_told(monkeypatch):
    scene = make_twins(photos=16, points=120)
    graph = graph_of_twins(scene)
    monkeypatch.setattr(mapping, "graph_in_order", lambda graph, *a: replace(graph, pairs=graph.pairs[:20]))
    result = map_views(graph, FIXED)
    assert result.models[0].registered.all() and turned(result.models[0], scene) > 0
    (note,) = result.notes
    assert "may lie upon each other" in note and "--matching sequential" in note


def test_a_right_model_of_twins_stays_and_the_false_pairs_are_told():
    scene = make_twins(photos=14, span_deg=140, points=120)
    assert any(not pair.true for pair in scene.pairs)
    result = map_views(graph_of_twins(scene), FIXED)
    assert turned(result.models[0], scene) == 0
    (note,) = result.notes
    assert "the model is right if these photos show different" in note


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk", "forward"])
def test_other_scenes_with_noise_and_wrong_matches_show_no_signs(graph_of, kind):
    scene = make_scene(kind, views=9, points=500, noise_px=0.8, outlier_ratio=0.1, seed=3)
    graph = graph_of(scene)
    result = map_views(graph, FIXED)
    assert find_look_alikes(result.models[0], graph, 4.0) == [] and result.notes == []


def test_numbers_in_names_count_as_numbers():
    scene = make_twins(photos=12, points=120)
    graph = graph_of_twins(scene)  # IMG_10.jpg comes after IMG_9.jpg
    signs = find_look_alikes(map_globally(graph, FIXED).models[0], graph, 4.0)
    every = np.ones(12, bool)
    near = broken_in_order(graph, every, signs)
    assert near and all(abs(sign.first - sign.second) <= 2 for sign in near)
    shuffled = replace(graph, names=[f"IMG_{n}.jpg" for n in np.random.default_rng(1).permutation(12)])
    assert broken_in_order(shuffled, every, signs) == []
