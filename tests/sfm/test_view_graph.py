"""The view graph: relative poses are right, loops throw out wrong edges and no others."""

import numpy as np
import pytest

from geo3d.geometry import SO3, rotation_angle
from geo3d.sfm import (
    PairMatches,
    ViewGraph,
    ViewGraphOptions,
    build_view_graph,
    consistent_edges,
    loop_errors,
    matches_of_edges,
)
from geo3d.synthetic import make_scene


def random_graph(rng, views=14, share=0.7, noise_deg=1.0):
    """Truth and a view graph of it, some pairs missing; edges point either way."""
    truth = SO3.exp(rng.standard_normal((views, 3))).matrix
    first, second = np.triu_indices(views, 1)
    chosen = rng.random(len(first)) < share
    flip = rng.random(chosen.sum()) < 0.5
    first, second = first[chosen], second[chosen]
    first, second = np.where(flip, second, first), np.where(flip, first, second)
    noise = SO3.exp(np.radians(noise_deg) * rng.standard_normal((len(first), 3))).matrix
    relative = noise @ truth[second] @ np.swapaxes(truth[first], 1, 2)
    count = len(first)
    directions = np.tile([0.0, 0.0, 1.0], (count, 1))
    return ViewGraph(
        views, first, second, relative, directions, rng.integers(50, 500, count), np.arange(count)
    )


def test_relative_poses_of_a_scene(graph_of):
    scene = make_scene("orbit", views=6, points=300, noise_px=0.3, outlier_ratio=0.1, seed=1)
    graph = graph_of(scene)
    edges = build_view_graph(graph, threads=1)
    assert len(edges) == len(graph.pairs) and edges.views == 6
    poses = [scene.reconstruction.views[i].cam_from_world for i in graph.view_ids]
    for e in range(len(edges)):
        true = poses[edges.second[e]] @ poses[edges.first[e]].inverse()
        assert np.degrees(rotation_angle(edges.rotations[e] @ true.rotation.T)) < 0.3
        direction = true.translation / np.linalg.norm(true.translation)
        assert edges.directions[e] @ direction > np.cos(np.radians(1.0))
    again = build_view_graph(graph, threads=2)
    assert np.array_equal(edges.rotations, again.rotations)


def test_pairs_that_no_pose_explains_are_left_out(graph_of):
    scene = make_scene("orbit", views=4, points=200, seed=2)
    graph = graph_of(scene)
    rng = np.random.default_rng(0)
    wrong = graph.pairs[0]
    graph.pairs[0] = PairMatches(
        wrong.first,
        wrong.second,
        np.column_stack([wrong.matches[:, 0], rng.permutation(wrong.matches[:, 1])]),
    )
    edges = build_view_graph(graph, threads=1)
    assert 0 not in edges.pair and len(edges) == len(graph.pairs) - 1


def test_matches_far_off_the_pose_of_their_edge_are_left_out(graph_of):
    scene = make_scene("orbit", views=4, points=300, noise_px=0.1, seed=3)
    graph = graph_of(scene)
    moved = graph.keypoints[1].copy()
    moved[::10] += [
        0.0,
        3.0,
    ]  # half a dozen times the others' errors, and within any threshold of verification
    graph.keypoints[1] = moved
    edges = build_view_graph(graph, threads=1)
    left = matches_of_edges(graph, edges)
    assert [(p.first, p.second) for p in left.pairs] == [(p.first, p.second) for p in graph.pairs]
    for before, after in zip(graph.pairs, left.pairs):
        share = len(after.matches) / len(before.matches)
        assert 0.85 < share < 0.95 if 1 in (before.first, before.second) else share > 0.98


def test_a_second_threshold_is_for_photos_that_are_less_sharp(graph_of):
    scene = make_scene("orbit", views=4, points=300, noise_px=2.0, seed=4)
    graph = graph_of(scene)
    strict = ViewGraphOptions(loose_error_px=1.0, min_share=0.5)
    assert len(build_view_graph(graph, strict)) == 0 < len(build_view_graph(graph))


def test_pairs_of_a_view_are_bounded_and_the_strongest_taken(graph_of):
    graph = graph_of(make_scene("orbit", views=9, points=250, seed=5))
    assert len(graph.pairs) == 36
    edges = build_view_graph(graph, ViewGraphOptions(max_pairs=3), threads=1)
    rank = {
        v: sorted((-len(p.matches), i) for i, p in enumerate(graph.pairs) if v in (p.first, p.second))
        for v in range(9)
    }
    best = {i for v in range(9) for _, i in rank[v][:3]}
    assert set(edges.pair.tolist()) == best and len(best) < 27


def test_loops_of_right_rotations_close():
    graph = random_graph(np.random.default_rng(3), noise_deg=0.0)
    triangles, errors = loop_errors(graph.first, graph.second, graph.rotations, graph.views)
    adjacent = np.zeros((graph.views, graph.views), np.int64)
    adjacent[graph.first, graph.second] = adjacent[graph.second, graph.first] = 1
    assert len(triangles) == np.trace(adjacent @ adjacent @ adjacent) // 6
    assert len(np.unique(np.sort(triangles, axis=1), axis=0)) == len(triangles)
    assert errors.max() < 1e-7


@pytest.mark.parametrize("seed", range(6))
def test_wrong_edges_go_and_right_ones_stay(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, noise_deg=0.7)
    bad = rng.random(len(graph)) < 0.25
    turn = SO3.exp(rng.uniform(-1.5, 1.5, (int(bad.sum()), 3)))
    graph.rotations[bad] = turn.matrix @ graph.rotations[bad]
    graph.inliers[bad] //= 4  # repeated structure makes few matches
    keep = consistent_edges(graph)
    assert keep[~bad].mean() > 0.97
    # What cannot be told from the loops that are left is left to the average.
    left = graph.subset(keep)
    triangles, errors = loop_errors(left.first, left.second, left.rotations, left.views)
    far = np.zeros(len(graph), bool)
    far[np.flatnonzero(bad)[np.linalg.norm(turn.log(), axis=1) > np.radians(15)]] = True
    assert np.count_nonzero(far & keep) <= 1 and not far[keep][triangles].any()
    assert np.mean(errors < np.radians(5)) > 0.98


def test_strong_edges_are_believed_against_weak_ones():
    # Of two triangles over one strong edge, one does not close: the weak edge is to blame.
    identity = np.tile(np.eye(3), (5, 1, 1))
    first, second = np.array([0, 0, 1, 0, 1]), np.array([1, 2, 2, 3, 3])
    identity[4] = SO3.exp([0.5, 0, 0]).matrix
    graph = ViewGraph(
        4, first, second, identity, np.ones((5, 3)), np.array([500, 400, 400, 300, 20]), np.arange(5)
    )
    assert consistent_edges(graph).tolist() == [True, True, True, True, False]


def test_edges_in_no_triangle_stay():
    graph = random_graph(np.random.default_rng(5), views=6, share=1.0)
    chain = graph.subset(np.abs(graph.first - graph.second) == 1)
    assert len(chain) == 5 and consistent_edges(chain).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_error_px": 0},
        {"min_inliers": 3},
        {"min_share": 2},
        {"max_loop_deg": 0},
        {"max_pairs": 1},
        {"seed": -1},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ViewGraphOptions(**wrong)
