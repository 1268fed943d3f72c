"""Why a photo has no pose: blurred, nothing to see, or nothing special about it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.sfm import MatchGraph, TrackSet, WorkingModel, explain_weak_photos
from geo3d.synthetic import house_poses, make_house, photograph_facades

CAMERA = Camera("SIMPLE_RADIAL", 400, 300, [340.0, 200, 150, -0.04])
NAMES = [f"{folder}/{i}.jpg" for folder in ("a", "b") for i in (1, 2, 9, 10, 11)]
BLURRED, DARK, APART = 3, 6, 8


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten photos in two folders: one blurred, one of nothing, one that just does not match."""
    folder = tmp_path_factory.mktemp("weak")
    photos = photograph_facades(make_house(), CAMERA, house_poses(10, 0, 60))
    for i, (name, photo) in enumerate(zip(NAMES, photos)):
        photo = cv2.GaussianBlur(photo, (0, 0), 3) if i == BLURRED else photo
        photo = np.full_like(photo, 9) if i == DARK else photo
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(folder / name, quality=95)
    return folder


def model(registered, points=200):
    """A model of these views that rests on nothing but its flags."""
    counts = [3 if i == DARK else 300 for i in range(len(NAMES))]
    keypoints = [np.zeros((n, 2)) for n in counts]
    ids = list(range(1, len(NAMES) + 1))
    graph = MatchGraph(ids, list(NAMES), [1] * len(ids), {1: CAMERA}, keypoints, [])
    view = np.repeat(np.arange(len(NAMES)), [min(n, points) for n in counts])
    empty = TrackSet(
        np.arange(len(view) + 1), view, np.concatenate([np.arange(min(n, points)) for n in counts])
    )
    found = WorkingModel(graph, empty)
    found.registered[registered] = True
    found.used[:] = found.registered[found.obs_view]
    return graph, found


def test_each_gets_its_own_reason(images):
    rest = [i for i in range(10) if i not in (BLURRED, DARK, APART)]
    graph, found = model(rest)
    weak = explain_weak_photos(images, graph, [found])
    assert set(weak.reasons) == {BLURRED, DARK} and not weak.warnings
    assert "it is blurred: by about 4 pixels, far more than" in weak.reasons[BLURRED][0]
    assert "steady hand" in weak.reasons[BLURRED][1]
    assert weak.reasons[DARK][0].startswith("it shows nothing to hold on to (3 features)")
    graph.keypoints[DARK] = np.zeros((29, 2))
    weak = explain_weak_photos(images, graph, [found], compared=set(NAMES) - {NAMES[APART]})
    assert weak.reasons[DARK][0] == "only 29 features were found in it, of usually 300"
    assert weak.reasons[APART][0] == "it was compared with no other photo"
    assert "--matching exhaustive" in weak.reasons[APART][1] and set(weak.reasons) == {BLURRED, DARK, APART}


def test_a_photo_without_features_is_not_said_to_have_been_left_out(images):
    graph, found = model([i for i in range(10) if i != DARK])
    graph.keypoints[DARK] = np.zeros((0, 2))
    weak = explain_weak_photos(images, graph, [found], compared=set(NAMES) - {NAMES[DARK]})
    assert weak.reasons[DARK][0].startswith("it shows nothing to hold on to (0 features)")


def test_photos_that_are_all_dark_are_said_to_be(images):
    graph, _ = model([])
    graph.keypoints = [np.zeros((2, 2))] * len(NAMES)
    assert set(explain_weak_photos(images, graph, []).reasons) == set(range(len(NAMES)))


def test_a_blurred_photo_with_a_pose_from_few_points_is_said(images):
    graph, found = model(range(10))
    found.used[np.flatnonzero(found.obs_view == BLURRED)[20:]] = False
    weak = explain_weak_photos(images, graph, [found])
    assert not weak.reasons and len(weak.warnings) == 2  # the dark one too
    assert weak.warnings[0].startswith("a/10.jpg: it is blurred")
    assert "from 20 points only" in weak.warnings[0]


def test_a_pose_from_very_few_points_is_said_without_a_reason(images):
    graph, found = model(range(10))
    for points, said in ((40, False), (15, True)):
        found.used[np.flatnonzero(found.obs_view == APART)[points:]] = False
        warnings = [w for w in explain_weak_photos(images, graph, [found]).warnings if NAMES[APART] in w]
        assert bool(warnings) == said
    assert "its pose is from 15 points only, of usually 200, and may be wrong" in warnings[0]


def test_photos_that_are_all_alike_are_not_called_blurred(images, tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with Image.open(images / name) as photo:
            soft = cv2.GaussianBlur(np.asarray(photo), (0, 0), 3)
        Image.fromarray(soft).save(tmp_path / name, quality=95)
    graph, found = model([i for i in range(10) if i not in (0, APART)])
    assert explain_weak_photos(tmp_path, graph, [found]).reasons == {}


def test_nothing_placed_and_nothing_to_read(tmp_path):
    graph, _ = model([])
    assert set(explain_weak_photos(tmp_path, graph, []).reasons) == {DARK}
