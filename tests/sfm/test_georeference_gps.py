"""What a photo says about its place, how well it is known, and which way is up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.geometry import SO3
from geo3d.images import Gps
from geo3d.sfm import (
    altitude_offset,
    estimate_up,
    local_frame,
    photo_position,
    photo_positions,
    position_std_m,
)
from geo3d.synthetic import make_scene


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (5, 10)),
        ({"dop": 1.2}, (3.6, 7.2)),
        ({"horizontal_std_m": 4.7, "dop": 1.2}, (4.7, 9.4)),
        ({"rtk": "fixed"}, (0.03, 0.06)),
        ({"rtk": "fixed", "horizontal_std_m": 0.004, "vertical_std_m": 0.009}, (0.02, 0.02)),
        ({"rtk": "float", "horizontal_std_m": 0.6, "vertical_std_m": 0.9}, (0.6, 0.9)),
        ({"rtk": "single", "dop": 1.0}, (2, 4)),
        ({"rtk": "none"}, (10, 20)),
    ],
)
def test_deviations(said, expected):
    assert position_std_m(Gps(46.6, 8.0, 1400.0, **said)) == pytest.approx(expected)


def test_positions_of_those_that_have_one():
    found = photo_positions({"b.jpg": Gps(1, 2), "c.jpg": None, "a.jpg": Gps(3, 4, 5, relative_altitude_m=6)})
    assert [p.name for p in found] == ["a.jpg", "b.jpg"]
    assert np.isnan(found[1].geodetic[2]) and found[0].relative_altitude_m == 6


@pytest.mark.parametrize("longitude", [8.0, 179.9999, -180.0])
def test_the_frame_lies_in_the_middle_also_across_the_date_line(longitude):
    rng = np.random.default_rng(0)
    longitudes = (longitude + rng.normal(size=9) * 1e-3 + 180) % 360 - 180
    places = [photo_position(str(i), Gps(-17.0 + 1e-4 * i, x, 20.0 + i)) for i, x in enumerate(longitudes)]
    places.append(photo_position("stray", Gps(60.0, 10.0, 9000.0)))
    frame = local_frame(places)
    enu = frame.from_geodetic([p.geodetic for p in places])
    assert np.linalg.norm(enu[:9], axis=1).max() < 500
    with pytest.raises(ValueError, match="positions is empty"):
        local_frame([])


def test_altitudes_are_compared():
    places = [
        photo_position(str(i), Gps(46, 8, 158.5 + h, relative_altitude_m=h))
        for i, h in enumerate([40, 40.2, 41])
    ]
    offset = altitude_offset(places)
    assert offset is not None
    assert offset.gps_minus_relative_m == pytest.approx(158.5) and offset.spread_m == pytest.approx(0)
    assert "158.5 m" in offset.sentence() and "ellipsoid or above sea level" in offset.sentence()
    rtk = altitude_offset([photo_position("a", Gps(46, 8, 100.0, above_ellipsoid=True))])
    assert rtk is not None and rtk.above_ellipsoid and "above the WGS 84 ellipsoid" in rtk.sentence()
    assert altitude_offset([photo_position("a", Gps(46, 8))]) is None


def turned(model, rotation):
    """The model in another world, and up there."""
    for view in model.views.values():
        pose = view.cam_from_world
        view.cam_from_world = type(pose)(pose.rotation @ rotation.T, pose.translation)
    return rotation[:, 2]


TURN = st.lists(st.floats(-3, 3), min_size=3, max_size=3)


@pytest.mark.parametrize(("kind", "within_deg"), [("orbit", 6), ("grid", 15), ("walk", 35)])
@given(TURN)
def test_up_from_the_way_cameras_are_held(kind, within_deg, turn):
    model = make_scene(kind, views=9, points=30, seed=2).reconstruction
    up = turned(model, SO3.exp(np.array(turn)).matrix)
    found = estimate_up(model)
    assert found.source == "cameras"
    assert found.direction @ up > np.cos(np.radians(within_deg))


@given(TURN)
def test_up_from_the_gimbal(turn):
    model = make_scene("grid", views=9, points=30, seed=2).reconstruction
    gravity = {v.name: -v.cam_from_world.rotation[:, 2] for v in model.views.values()}
    gravity[model.views[1].name] = np.array([1.0, 0, 0])  # one is broken
    up = turned(model, SO3.exp(np.array(turn)).matrix)
    found = estimate_up(model, gravity)
    assert found.source == "gimbal"
    assert found.direction @ up > np.cos(np.radians(2))


def test_a_gimbal_that_measures_nothing_is_not_believed():
    model = make_scene("orbit", views=9, points=30, seed=2).reconstruction
    rng = np.random.default_rng(0)
    gravity = {v.name: g / np.linalg.norm(g) for v in model.views.values() for g in [rng.normal(size=3)]}
    assert estimate_up(model, gravity).source == "cameras"


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (6, -90), (8, 90), (3, 180)])
def test_photos_of_a_phone_held_upright(orientation, turn):
    """Stored pixels are those of the sensor; how the phone was turned is in EXIF."""
    model = make_scene("orbit", views=9, points=30, seed=3).reconstruction
    for view in model.views.values():
        pose = view.cam_from_world
        roll = SO3.exp([0, 0, np.deg2rad(turn)]).matrix
        view.cam_from_world = type(pose)(roll @ pose.rotation, roll @ pose.translation)
    found = estimate_up(model, orientations={v.name: orientation for v in model.views.values()})
    assert found.direction[2] > np.cos(np.radians(6))
