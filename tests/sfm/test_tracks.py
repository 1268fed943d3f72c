"""Tracks are the connected components of the matches, without two keypoints of one photo."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.sfm import MatchGraph, PairMatches, build_tracks
from geo3d.sfm.track_kernels import widest_angles

CAMERA = Camera("SIMPLE_PINHOLE", 100, 100, [100, 50, 50])


def graph_of(counts, pairs):
    return MatchGraph(
        view_ids=list(range(1, len(counts) + 1)),
        names=[f"{i}.jpg" for i in range(len(counts))],
        camera_ids=[1] * len(counts),
        cameras={1: CAMERA},
        keypoints=[np.zeros((n, 2)) for n in counts],
        pairs=[PairMatches(a, b, np.array(m, np.int64).reshape(-1, 2)) for (a, b), m in pairs.items()],
    )


def as_sets(tracks):
    return {
        frozenset(zip(tracks.view[a:b].tolist(), tracks.keypoint[a:b].tolist()))
        for a, b in zip(tracks.offsets[:-1], tracks.offsets[1:])
    }


def test_matches_of_three_photos_become_one_track():
    graph = graph_of([2, 2, 2], {(0, 1): [[0, 1]], (1, 2): [[1, 0]]})
    assert as_sets(build_tracks(graph)) == {frozenset({(0, 0), (1, 1), (2, 0)})}


def test_a_match_that_contradicts_a_stronger_pair_is_left_out():
    # 0:0-1:0 from the stronger pair; 1:0-2:0 joins; 0:1-2:0 would put two keypoints of photo 0 into the track.
    graph = graph_of(
        [3, 3, 3], {(0, 1): [[0, 0], [2, 2], [1, 1]], (1, 2): [[0, 0], [2, 2]], (0, 2): [[1, 0]]}
    )
    tracks = as_sets(build_tracks(graph))
    assert frozenset({(0, 0), (1, 0), (2, 0)}) in tracks
    assert frozenset({(0, 1), (1, 1)}) in tracks


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_no_track_has_two_keypoints_of_one_photo_and_no_keypoint_two_tracks(seed, views):
    rng = np.random.default_rng(seed)
    pairs = {}
    for a in range(views):
        for b in range(a + 1, views):
            count = int(rng.integers(0, 8))
            pairs[a, b] = np.column_stack([rng.permutation(8)[:count], rng.permutation(8)[:count]])
    tracks = build_tracks(graph_of([8] * views, pairs))
    members = [tuple(m) for m in zip(tracks.view.tolist(), tracks.keypoint.tolist())]
    assert len(members) == len(set(members))
    for a, b in zip(tracks.offsets[:-1], tracks.offsets[1:]):
        assert b - a >= 2
        assert len(set(tracks.view[a:b].tolist())) == b - a
        assert (np.diff(tracks.view[a:b]) > 0).all()


def test_no_matches_give_no_tracks():
    assert len(build_tracks(graph_of([3, 3], {}))) == 0


def test_widest_angle_counts_used_rays_only():
    centres = np.array([[-1.0, 0, 0], [1, 0, 0], [100, 0, 0]])
    offsets, view = np.array([0, 3]), np.array([0, 1, 2])
    point = np.array([[0.0, 0, 1]])
    right_angle = widest_angles(point, centres, offsets, view, np.array([True, True, False]))
    np.testing.assert_allclose(right_angle, np.pi / 2)
    assert widest_angles(point, centres, offsets, view, np.array([True, False, False])) == 0
