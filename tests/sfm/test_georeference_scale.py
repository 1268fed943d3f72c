"""Known lengths and printed markers: the scale they agree on, the ones that do not, and markers found in photos."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import Sim3
from geo3d.scene import Reconstruction, View
from geo3d.sfm import (
    Distance,
    KnownLength,
    KnownPlace,
    Marker,
    find_markers,
    georeference,
    locate_marks,
    measure_distances,
    measure_markers,
    scale_from_lengths,
    transform_model,
)
from geo3d.synthetic import look_at, make_scene

CAMERA = Camera("SIMPLE_RADIAL", 800, 600, [760.0, 400.0, 300.0, -0.03])
SIZE = 0.24
"""Edge of the printed markers, metres."""


def lengths(ratios):
    return [KnownLength(str(i), 2.0 * r, 2.0) for i, r in enumerate(ratios)]


def test_the_scale_is_what_most_lengths_say():
    found = scale_from_lengths(lengths([3.0, 3.003, 2.997, 3.001, 3.9]))
    assert found is not None and found.scale == pytest.approx(3.0, rel=1e-3)
    assert found.used == [True] * 4 + [False] and 0.0005 < found.spread < 0.002 and found.std < 0.002


def test_one_length_and_none():
    found = scale_from_lengths(lengths([0.5]))
    assert found is not None and found.scale == pytest.approx(0.5) and found.std == 0.01 and found.spread == 0
    assert scale_from_lengths([]) is None


def test_two_that_disagree_are_both_kept_and_the_spread_tells():
    found = scale_from_lengths(lengths([1.0, 1.2]))
    assert found is not None and found.used == [True, True] and found.spread > 0.08 and found.std > 0.05


@pytest.mark.parametrize("wrong", [("a", "a", 1.0), ("a", "b", 0.0), ("a", "b", np.nan)])
def test_distances_that_are_none(wrong):
    with pytest.raises(ValueError, match="distance"):
        Distance(*wrong)
    with pytest.raises(ValueError, match="same place"):
        scale_from_lengths([KnownLength("a to b", 1.0, 0.0)])


def test_distances_in_a_model():
    model = make_scene(views=4, points=50).reconstruction
    names = [v.name for v in model.views.values()]
    wanted = [
        Distance(names[0], names[2], 5.0),
        Distance(names[0], "well", 1.0),
        Distance("gone", "well", 1.0),
    ]
    found = measure_distances(model, wanted, {"well": np.array([0.0, 0, 1])})
    assert found.lengths[0].model == pytest.approx(np.linalg.norm(model.centres()[0] - model.centres()[2]))
    assert len(found.lengths) == 2 and "gone could not be placed" in found.unused[0]


def test_a_distance_that_is_nothing_in_the_model_gives_no_scale():
    model = make_scene(views=4, points=50).reconstruction
    views = list(model.views.values())
    near = views[1].cam_from_world
    views[0].cam_from_world = replace(near, translation=near.translation + np.array([1e-4, 0, 0]))
    found = measure_distances(model, [Distance(views[0].name, views[1].name, 3.0)], {})
    assert not found.lengths and "too short to be measured" in found.unused[0]


def printed(place, across, number, family="DICT_5X5_250"):
    """Corners (4, 3) of a marker in the world and its picture with a white margin."""
    import cv2

    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, family))
    picture = cv2.copyMakeBorder(
        cv2.aruco.generateImageMarker(dictionary, number, 210), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=255
    )
    down = np.cross([0.0, 0, 1], across) * -1
    corners = np.array(place) + SIZE * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ np.array([across, down])
    return corners, picture


@pytest.fixture(scope="module")
def photographed(tmp_path_factory):
    """Five photos of two markers on the ground, the model that belongs to them, and the true corners."""
    import cv2

    folder = tmp_path_factory.mktemp("markers")
    turned = np.array([np.cos(0.4), np.sin(0.4), 0.0])
    markers = [
        printed([-0.5, 0.3, 0.0], np.array([1.0, 0, 0]), 7),
        printed([0.4, -0.2, 0.0], turned, 23, "DICT_APRILTAG_36h11"),
    ]
    model = Reconstruction(cameras={1: CAMERA})
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = CAMERA.unproject(np.stack([columns, rows], -1) + 0.5)
    for i in range(5):
        pose = look_at([1.6 * np.cos(i), 1.6 * np.sin(i), 1.8 + 0.1 * i], [0.0, 0, 0])
        eye, ahead = pose.center(), rays @ pose.rotation
        ground = eye + ahead * (-eye[2] / ahead[..., 2])[..., None]
        image = np.full((CAMERA.height, CAMERA.width), 140.0) + 6 * rng.standard_normal(
            (CAMERA.height, CAMERA.width)
        )
        for corners, picture in markers:
            axes = np.array([corners[1] - corners[0], corners[3] - corners[0]]) / SIZE**2
            at = (ground - corners[0]) @ axes.T * 210 + 60  # picture, corners of pixels
            value = cv2.remap(
                cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.float32),
                (at[..., 0] - 0.5).astype(np.float32),
                (at[..., 1] - 0.5).astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=-1,
            )
            image = np.where(value >= 0, 0.8 * value + 20, image)
        view = View(f"photo_{i}.png", 1, pose)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / view.name)
        model.views[i + 1] = view
    return folder, model, [corners for corners, _ in markers]


def test_markers_are_found_where_they_are(photographed):
    folder, model, truth = photographed
    markers = find_markers(folder, [v.name for v in model.views.values()], threads=2)
    by_name = {m.name: m for m in markers}
    for name, corners in zip(("marker 5X5_250 7", "marker APRILTAG_36h11 23"), truth):
        marker = by_name[name]
        assert len(marker.corners) >= 4
        off = [
            marker.corners[v.name] - CAMERA.project(v.cam_from_world.act(corners))
            for v in model.views.values()
            if v.name in marker.corners
        ]
        assert np.abs(np.mean(off, axis=(0, 1))).max() < 0.15  # half a pixel more or less would show
        assert np.sqrt(np.mean(np.square(off))) < 0.5


def test_markers_give_the_scale(photographed):
    folder, model, _ = photographed
    hidden = transform_model(model, Sim3.exp([1.0, 2, 3, 0.3, -0.2, 0.9, 1.1]))
    markers = find_markers(folder, [v.name for v in model.views.values()], threads=2)
    done = georeference([hidden], KnownPlace(markers=markers, marker_size_m=SIZE))
    placement = done.result.models[0]
    assert placement.source == "marker" and "printed markers" in done.result.sentence()
    spans = [np.linalg.norm(c - c.mean(0)) for c in (done.models[0].centres(), model.centres())]
    assert spans[0] / spans[1] == pytest.approx(1, abs=0.005)
    assert {r.name for r in placement.lengths} >= {"marker 5X5_250 7", "marker APRILTAG_36h11 23"}


def test_what_is_no_square_is_no_marker(photographed):
    _, model, truth = photographed
    bent = truth[0].copy()
    bent[2] += [0.05, 0, 0.05]

    def seen(corners):
        return {v.name: CAMERA.project(v.cam_from_world.act(corners)) for v in model.views.values()}

    found = measure_markers(model, [Marker("X", 1, seen(truth[0])), Marker("X", 2, seen(bent))], SIZE)
    assert [x.name for x in found.lengths] == ["marker X 1"] and "marker X 2" in found.unused[0]
    assert found.lengths[0].model == pytest.approx(SIZE)
    none = georeference([model], KnownPlace(marker_size_m=SIZE))
    assert any("no marker" in w for w in none.result.warnings) and none.result.models[0].source == "none"


def test_marks_that_do_not_meet():
    model = make_scene(views=4, points=50).reconstruction
    names = [v.name for v in model.views.values()]
    x = np.array([0.3, -0.2, 0.5])
    marks = {v.name: model.cameras[1].project(v.cam_from_world.act(x)) for v in model.views.values()}
    np.testing.assert_allclose(locate_marks(model, marks).xyz, x, atol=1e-9)
    assert locate_marks(model, {names[0]: marks[names[0]], "other.jpg": np.zeros(2)}).xyz is None
    moved = {**marks, names[1]: marks[names[1]] + [0, 80.0]}
    found = locate_marks(model, moved)
    assert found.wrong == [names[1]] and len(found.marks) == 3
    np.testing.assert_allclose(found.xyz, x, atol=1e-9)
    two = locate_marks(model, {n: moved[n] for n in names[:2]})
    assert two.xyz is None and two.wrong == names[:2]
