"""Models in any frame are put where GPS, surveyed points or known lengths say; what is wrong is named."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, EnuFrame, Sim3, umeyama
from geo3d.scene import Frame, Rig
from geo3d.sfm import (
    AdjustedModel,
    BundleOptions,
    Distance,
    GroundControl,
    GroundPoint,
    KnownPlace,
    PhotoPosition,
    bundle_adjust,
    check_known_names,
    georeference,
    georeference_adjust,
    transform_model,
)
from geo3d.sfm.georeference_adjust import GeoreferencedBundle, adjust_georeferenced
from geo3d.sfm.georeference_join import join_by_place
from geo3d.sfm.georeference_lens import lens_deviations
from geo3d.sfm.georeference_result import ModelPlacement, PhotoResidual
from geo3d.sfm.lens_fit import LensSample
from geo3d.synthetic import make_scene

PLACE = EnuFrame(46.6412, 8.0312, 1420.0)
CAMERA = Camera("SIMPLE_RADIAL", 1000, 750, [900.0, 500.0, 375.0, -0.05])


@pytest.fixture(scope="module")
def block():
    """Sixteen photos of a drone 10 m above rolling ground, as they truly are."""
    return make_scene("grid", views=16, points=900, camera=CAMERA, noise_px=0.3, seed=5).reconstruction


def hidden(model, seed=0):
    """The model in a frame of its own."""
    return transform_model(model, Sim3.exp(np.random.default_rng(seed).normal(size=7)))


def names_and_centres(model):
    return [model.views[i].name for i in model.registered()], model.centres()


def positions(model, std=(5.0, 5.0, 10.0), noise=0.0, offset=(0.0, 0.0, 0.0), rtk=False, seed=0):
    rng = np.random.default_rng(seed)
    names, centres = names_and_centres(model)
    there = centres + noise * np.array(std) * rng.normal(size=centres.shape) + offset
    return [
        PhotoPosition(name, place, np.array(std), rtk=rtk)
        for name, place in zip(names, PLACE.to_geodetic(there))
    ]


def surveyed(model, places, names=None, checks=(), click_px=0.0, seed=0):
    """Ground points at places (N, 3), marked in every photo that shows them."""
    rng = np.random.default_rng(seed)
    points = []
    for k, place in enumerate(np.atleast_2d(places)):
        clicks = {}
        for view in model.views.values():
            camera = model.cameras[view.camera_id]
            pixel = camera.project(view.cam_from_world.act(place)) + click_px * rng.normal(size=2)
            if (pixel > 0).all() and (pixel < [camera.width, camera.height]).all():
                clicks[view.name] = pixel
        name = names[k] if names else f"gcp{k + 1}"
        points.append(GroundPoint(name, PLACE.to_geodetic(place), clicks, name in checks))
    return GroundControl(points, "test")


GROUND = np.array([[1.0, 0.5, 0.2], [8.5, 0.4, 0.5], [8.0, 7.0, -0.3], [0.5, 7.5, 0.4], [4.5, 4.0, 0.1]])


def placed_error(result, model):
    """Distances of the cameras from the truth: GPS and surveyed points are in PLACE, the result about its origin."""
    centres = PLACE.from_geodetic(result.result.frame.to_geodetic(result.models[0].centres()))
    return np.linalg.norm(centres - model.centres(), axis=1)


# ------------------------------------------------------------------------------------------------------------- GPS


def test_gps_without_errors_places_exactly(block):
    done = georeference([hidden(block)], KnownPlace(positions(block)))
    assert placed_error(done, block).max() < 1e-5
    placement = done.result.models[0]
    assert placement.source == "gps" and not placement.adjusted and not done.result.warnings
    assert max(r.horizontal for r in placement.photos) < 1e-5
    up = done.models[0].views[1].cam_from_world.rotation[2]  # looks down
    assert up[2] < -0.99
    assert "ENU" not in done.result.sentence() and "EPSG:32632" in done.result.sentence()


def test_the_photos_stay_as_they_are(block):
    model = hidden(block)
    before = model.centres().copy()
    done = georeference([model], KnownPlace(positions(block)))
    np.testing.assert_array_equal(model.centres(), before)
    for i, view in done.models[0].views.items():
        old = model.views[i]
        camera = model.cameras[view.camera_id]
        rows = model.points.view_ids == i
        xyz = [m.points.xyz[m.points.point_rows[rows]] for m in (model, done.models[0])]
        np.testing.assert_allclose(
            camera.project(view.cam_from_world.act(xyz[1])),
            camera.project(old.cam_from_world.act(xyz[0])),
            atol=1e-6,
        )


def test_wrong_gps_is_named(block):
    known = positions(block, (1, 1, 2), noise=0.2)
    moved = PLACE.to_geodetic(block.centres()[4] + [30, -20, 5])
    known[4] = PhotoPosition(known[4].name, moved, known[4].std_m)
    done = georeference([hidden(block)], KnownPlace(known))
    assert [r.name for r in done.result.models[0].photos if r.outlier] == [known[4].name]
    assert any(known[4].name in w and "36" in w for w in done.result.warnings)
    assert placed_error(done, block).max() < 0.5


def test_uncertainty_is_told_and_honest(block):
    off, told = [], []
    for seed in range(8):
        done = georeference([hidden(block, seed)], KnownPlace(positions(block, (1, 1, 2), 0.3, seed=seed)))
        model, truth = done.models[0].centres(), block.centres()
        spans = [np.linalg.norm(c - c.mean(0)) for c in (model, truth)]
        off.append(np.log(spans[0] / spans[1]))
        told.append(done.result.models[0].scale_std)
    assert 0.4 < np.sqrt(np.mean(np.square(off))) / np.mean(told) < 1.8


def test_rtk_takes_out_what_the_lens_bent(block):
    """With the lens a little wrong the block is a bowl; the positions put that right, lens included."""
    exact = make_scene("grid", views=16, points=900, camera=CAMERA, noise_px=0.3, seed=5).reconstruction
    exact.cameras[1] = CAMERA.with_params([900.0, 500.0, 375.0, -0.035])
    bundle_adjust(exact, BundleOptions(refine_distortion=False))
    bowl = np.linalg.norm(
        (lambda c: c - c.mean(0))(exact.centres()) - (lambda c: c - c.mean(0))(block.centres()), axis=1
    )
    known = positions(block, (0.02, 0.02, 0.03), noise=1.0, rtk=True)
    refined = {1: np.array([5.0, 0, 0, 0.01])}
    done = georeference([hidden(exact)], KnownPlace(known, camera_std=refined))
    placement = done.result.models[0]
    assert placement.adjusted and placement.error_px < placement.error_before_px
    assert placed_error(done, block).max() < 0.06 < bowl.max()
    np.testing.assert_allclose(done.models[0].cameras[1].params[3], -0.05, atol=0.002)


def test_deviations_of_lenses_are_those_of_the_lenses_that_are_written():
    """Of an adjustment that moved them; and they tell how far from the truth the lens is."""
    off = []
    for seed in range(6):
        model = make_scene(
            "grid", views=16, points=500, camera=CAMERA, noise_px=0.5, seed=seed
        ).reconstruction
        known = positions(model, (0.02, 0.02, 0.03), noise=1.0, rtk=True, seed=seed)
        before = np.array([50.0, 0, 0, 0.1])
        start = hidden(model)
        start.cameras[1] = CAMERA.with_params([902.0, 500.0, 375.0, -0.051])
        done = georeference([start], KnownPlace(known, camera_std={1: before, 7: before}))
        placement = done.result.models[0]
        assert placement.adjusted
        assert list(placement.camera_std) == [1]  # camera 7 is in no model
        std = placement.camera_std[1]
        np.testing.assert_array_equal(std > 0, before > 0)
        recorded = json.loads(json.dumps(done.result.to_json()))["models"][0]["camera_std"]
        assert recorded == {"1": std.tolist()}
        off.append((done.models[0].cameras[1].params - CAMERA.params)[[0, 3]] / std[[0, 3]])
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 1.5


def test_deviations_of_lenses_that_did_not_move_stay(block):
    std = {1: np.array([5.0, 0, 0, np.inf])}
    done = georeference([hidden(block)], KnownPlace(positions(block), camera_std=std))
    assert not done.result.models[0].adjusted
    np.testing.assert_array_equal(done.result.models[0].camera_std[1], std[1])
    assert done.result.to_json()["models"][0]["camera_std"] == {"1": [5.0, 0.0, 0.0, None]}


def test_deviations_of_lenses_of_a_large_model_are_from_its_middle(block):
    """A sample knows the lens less well than all photos do."""
    known = positions(block, (0.02, 0.02, 0.03), noise=1.0, rtk=True)
    bundle = GeoreferencedBundle(
        {p.name: PLACE.from_geodetic(p.geodetic) for p in known},
        {p.name: p.std_m for p in known},
        free_params={1: np.array([True, False, False, True])},
    )
    whole = adjust_georeferenced(block, bundle).camera_std[1]
    few = partial(lens_deviations, sample=LensSample(points=60, views=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(georeference_adjust, "lens_deviations", few)
        part = adjust_georeferenced(block, bundle).camera_std[1]
    assert (part[[0, 3]] > 1.2 * whole[[0, 3]]).all() and (part[[0, 3]] < 20 * whole[[0, 3]]).all()


def test_gps_that_the_photos_contradict_does_not_bend_them(block):
    """Positions that are forty times worse than they state: the block keeps its shape."""
    known = positions(block, (0.02, 0.02, 0.03), noise=40.0, rtk=True, seed=3)
    done = georeference([hidden(block)], KnownPlace(known))
    fit = umeyama(done.models[0].centres(), block.centres())
    assert np.linalg.norm(fit.act(done.models[0].centres()) - block.centres(), axis=1).max() < 0.02


def test_an_adjustment_that_harms_the_photos_is_not_kept(block, monkeypatch):
    model = hidden(block)
    monkeypatch.setattr(
        "geo3d.sfm.georeference_place.adjust_georeferenced",
        lambda moved, known, threads: AdjustedModel(block, np.zeros((0, 3)), 0.30, 0.33, {}),
    )
    done = georeference([model], KnownPlace(positions(block, (0.02, 0.02, 0.03), rtk=True)))
    placement = done.result.models[0]
    assert not placement.adjusted and any("contradict" in note for note in placement.notes)
    assert done.models[0] is not block


def test_a_single_line_is_upright_by_the_cameras(block):
    line = make_scene("walk", views=12, points=500, seed=2).reconstruction
    known = positions(line, (0.5, 0.5, 1.0), noise=0.3)
    gravity = {v.name: -v.cam_from_world.rotation[:, 2] for v in line.views.values()}
    done = georeference([hidden(line)], KnownPlace(known, gravity=gravity))
    placement = done.result.models[0]
    assert placement.up_from == "gimbal" and any("gimbal" in note for note in placement.notes)
    tilt = np.rad2deg(
        np.arccos(
            np.mean(
                [
                    a.cam_from_world.rotation[:, 2] @ line.views[i].cam_from_world.rotation[:, 2]
                    for i, a in done.models[0].views.items()
                ]
            )
        )
    )
    assert tilt < 3


def parts_of(model, *groups):
    """Models of some of the views each, in frames of their own."""
    made = []
    for seed, ids in enumerate(groups, 1):
        part = hidden(model, seed)
        part.views = {i: view for i, view in part.views.items() if i in ids}
        inside = np.isin(part.points.view_ids, list(ids))
        length = np.bincount(part.points.point_rows[inside], minlength=len(part.points))
        part.points = replace(
            part.points,
            offsets=np.concatenate([[0], np.cumsum(length)]),
            view_ids=part.points.view_ids[inside],
            keypoints=part.points.keypoints[inside],
        ).subset(length >= 2)
        made.append(part)
    return made


def in_place(done, model):
    """The centres of a placed model in PLACE."""
    return PLACE.from_geodetic(done.result.frame.to_geodetic(model.centres()))


def test_parts_that_are_placed_well_become_one_model(block):
    given = parts_of(block, range(1, 10), range(10, 17))
    done = georeference(given, KnownPlace(positions(block, (0.2, 0.2, 0.4))))
    (whole,) = done.models
    assert whole.registered() == block.registered()
    np.testing.assert_allclose(in_place(done, whole), block.centres(), atol=1e-5)
    assert len(whole.points) == sum(len(part.points) for part in given)
    assert whole.cameras == given[0].cameras  # the parts know it alike
    assert [placed.model for placed in done.result.models] == [0, 0]
    (told,) = done.result.warnings
    assert "2 parts (9 + 7 photos)" in told
    assert "GPS only, to about 0.28 m on the ground and 0.57 m in height" in told  # 0.2 and 0.4 of both
    for row in (0, len(whole.points) - 1):  # tracks still lead to the keypoints that see them
        track = whole.points[row]
        for view_id, keypoint in zip(track.view_ids, track.keypoints):
            view = whole.views[view_id]
            pixel = whole.cameras[view.camera_id].project(view.cam_from_world.act(track.xyz))
            assert np.linalg.norm(pixel - view.keypoints[keypoint]) < 3


def test_a_camera_that_the_parts_know_differently_is_written_as_two(block):
    given = parts_of(block, range(1, 10), range(10, 17))
    given[1].cameras = {1: CAMERA.with_params(CAMERA.params * [1.001, 1, 1, 1])}
    given[1].views = {
        i: given[1].views.get(i, replace(view, cam_from_world=None)) for i, view in block.views.items()
    }  # those of the other part are in its list, without a pose
    std = {1: np.array([3.0, 0, 0, 0.01])}
    done = georeference(given, KnownPlace(positions(block, (0.2, 0.2, 0.4)), camera_std=std))
    (whole,) = done.models
    np.testing.assert_allclose([c.params[0] for _, c in sorted(whole.cameras.items())], [900.0, 900.9])
    assert whole.views[3].camera_id == 1 and whole.views[12].camera_id == 2
    assert [list(placed.camera_std) for placed in done.result.models] == [[1], [2]]
    assert given[1].views[12].camera_id == 1 and whole.registered() == block.registered()


@pytest.mark.parametrize(
    ("groups", "std", "words"),
    [
        ((range(1, 10), range(10, 14)), (0.2, 0.2, 0.4), "GPS of 4 photos"),
        ((range(1, 9), range(9, 17)), (3.0, 3.0, 6.0), "scale that is known to"),
    ],
)
def test_parts_that_are_placed_poorly_stay_apart_and_are_told(block, groups, std, words):
    done = georeference(parts_of(block, *groups), KnownPlace(positions(block, std, noise=0.1)))
    assert [len(model.registered()) for model in done.models] == [len(ids) for ids in groups]
    assert [placed.model for placed in done.result.models] == [0, 1]
    assert any(words in text and "model of its own" in text for text in done.result.warnings)
    assert not any("hang together" in text for text in done.result.warnings)
    for model in done.models:  # in one world all the same
        truth = [block.views[i].cam_from_world.center() for i in model.registered()]
        assert np.linalg.norm(in_place(done, model) - truth, axis=1).max() < 2 * std[2]


@pytest.mark.parametrize(("wrong", "words"), [(1, ""), (3, "GPS that is wrong for 3 of 8 photos")])
def test_a_part_with_much_wrong_gps_is_not_joined(block, wrong, words):
    known = positions(block, (0.2, 0.2, 0.4), noise=0.3)
    rng = np.random.default_rng(2)
    for row in range(12, 12 + wrong):
        away = PLACE.to_geodetic(block.centres()[row] + rng.normal(0, 30, 3))
        known[row] = PhotoPosition(known[row].name, away, known[row].std_m)
    done = georeference(parts_of(block, range(1, 9), range(9, 17)), KnownPlace(known))
    assert [len(model.registered()) for model in done.models] == ([8, 8] if words else [16])
    assert not words or any(words in text and "model of its own" in text for text in done.result.warnings)


def test_a_part_whose_gps_has_no_altitudes_is_not_joined(block):
    """Its height is arbitrary, however well its place is known."""
    known = [
        replace(p, geodetic=p.geodetic * [1, 1, np.nan if row >= 12 else 1])
        for row, p in enumerate(positions(block, (0.2, 0.2, 0.4)))
    ]
    done = georeference(parts_of(block, range(1, 10), range(10, 17)), KnownPlace(known))
    assert [len(model.registered()) for model in done.models] == [9, 7]
    assert any("part of 7 photos" in t and "altitude of 3 photos" in t for t in done.result.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"scale_std": 0.06}, "a scale that is known to 6 % only"),
        ({"heading_std_deg": 6.0}, "a direction that is known to 6 degrees only"),
        ({"tilt_std_deg": 7.0}, "a direction that is known to 7 degrees only"),
        ({"contradiction": 5.0}, "GPS that is 5 times as far off as it states"),
    ],
)
def test_a_part_whose_similarity_is_poorly_known_is_not_joined(block, change, words):
    known = positions(block, (0.2, 0.2, 0.4))
    placements = []
    for rows, changed in ((range(9), {}), (range(9, 16), change)):
        photos = [PhotoResidual(known[row].name, (0.0, 0.0, 0.0), 0.1, 0.1, 0.1, False) for row in rows]
        good = ModelPlacement("gps", Sim3.exp(np.zeros(7)), "positions", 0.01, 0.5, 0.5, photos)
        placements.append(replace(good, **changed))
    placed = [
        georeference([part], KnownPlace(known)).models[0]
        for part in parts_of(block, range(1, 10), range(10, 17))
    ]
    joined = join_by_place(placed, placements, known)
    assert [placement.model for placement in joined.placements] == ([0, 1] if words else [0, 0])
    assert words in joined.sentences[0]


def test_a_part_whose_place_is_known_worse_than_it_reaches_is_not_joined(block):
    known = [
        replace(p, std_m=np.array([9.0, 9.0, 18.0]) if row >= 9 else p.std_m)
        for row, p in enumerate(positions(block, (0.2, 0.2, 0.4)))
    ]
    done = georeference(parts_of(block, range(1, 10), range(10, 17)), KnownPlace(known))
    assert len(done.models) == 2 and "placed to about 9 m only" in done.result.joins[0]


@pytest.mark.parametrize(("away", "sizes"), [(5.0, [16]), (60.0, [9, 7]), (200_000.0, [9, 7])])
def test_a_part_that_lies_far_away_is_another_place(block, away, sizes):
    known = positions(block, (0.2, 0.2, 0.4))
    moved = PLACE.to_geodetic(block.centres() + np.array([away, 0, 0]))
    known[9:] = [replace(p, geodetic=there) for p, there in zip(known[9:], moved[9:])]
    done = georeference(parts_of(block, range(1, 10), range(10, 17)), KnownPlace(known))
    assert [len(model.registered()) for model in done.models] == sizes
    assert any("part of 7 photos lies" in text for text in done.result.warnings) == (len(sizes) > 1)


def test_parts_that_are_near_each_other_are_joined_wherever_the_rest_is(block):
    """Two places of two parts each."""
    wide = make_scene("grid", views=36, points=2500, camera=CAMERA, seed=5).reconstruction
    there = wide.centres() + np.repeat([[0.0, 0, 0], [5000.0, 0, 0]], 18, axis=0)
    known = [
        replace(p, geodetic=place)
        for p, place in zip(positions(wide, (0.2, 0.2, 0.4)), PLACE.to_geodetic(there))
    ]
    parts = parts_of(wide, range(1, 11), range(19, 28), range(11, 19), range(28, 37))
    done = georeference(parts, KnownPlace(known))
    assert [model.registered() for model in done.models] == [list(range(1, 19)), list(range(19, 37))]
    assert [placed.model for placed in done.result.models] == [0, 0, 1, 1]
    assert sum("hang together" in text for text in done.result.warnings) == 2


def test_a_part_that_holds_a_rig_keeps_it(block):
    given = parts_of(block, range(1, 10), range(10, 17))
    given[1].cameras = {1: CAMERA, 2: CAMERA}
    given[1].rigs = {1: Rig(1, {2: None})}
    done = georeference(given, KnownPlace(positions(block, (0.2, 0.2, 0.4))))
    assert [len(model.registered()) for model in done.models] == [9, 7] and done.models[1].rigs == given[
        1
    ].rigs
    assert any("part of 7 photos holds a rig" in text for text in done.result.warnings)


def test_the_largest_joined_model_comes_first_and_its_parts_with_it(block):
    known = positions(block, (0.2, 0.2, 0.4))[7:]  # the first seven photos have no GPS
    done = georeference(parts_of(block, range(1, 8), range(8, 13), range(13, 17)), KnownPlace(known))
    assert [len(model.registered()) for model in done.models] == [7, 5, 4]
    wide = make_scene("grid", views=25, points=1500, camera=CAMERA, seed=5).reconstruction
    known = positions(wide, (0.2, 0.2, 0.4))[9:]
    done = georeference(parts_of(wide, range(1, 10), range(10, 18), range(18, 26)), KnownPlace(known))
    assert [len(model.registered()) for model in done.models] == [16, 9]
    assert [(placed.source, placed.model) for placed in done.result.models] == [
        ("gps", 0),
        ("gps", 0),
        ("none", 1),
    ]
    assert [row["sparse"] for row in done.result.to_json()["models"]] == [0, 0, 1]


# --------------------------------------------------------------------------------------------------------- control


def test_surveyed_points_place_exactly(block):
    control = surveyed(block, GROUND, checks={"gcp5"})
    done = georeference([hidden(block)], KnownPlace(control=control))
    placement = done.result.models[0]
    assert placement.source == "control" and placement.up_from == "positions"
    assert placed_error(done, block).max() < 0.02  # the keypoints have noise, the points have not
    assert [r.used for r in placement.control] == [True] * 4 + [False]
    assert placement.statistics("check")["horizontal_rms_m"] < 0.005
    assert placement.statistics("control")["vertical_rms_m"] < 0.005
    sentence = done.result.sentence()
    assert placement.scale_std < 0.01 and "check points horizontal residuals" in sentence


def test_the_deviation_of_the_scale_is_that_of_the_adjusted_model(block):
    """Four points to 2 cm over 10 m: with many trials the scale errs by what is told, not by a bend that is gone."""
    off, told = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        control = surveyed(block, GROUND[:4], click_px=1.0, seed=seed)
        noisy = [
            GroundPoint(p.name, PLACE.to_geodetic(x + [0.02, 0.02, 0.03] * rng.normal(size=3)), p.clicks)
            for p, x in zip(control.points, GROUND)
        ]
        done = georeference([hidden(block)], KnownPlace(control=GroundControl(noisy, "test")))
        off.append(float(umeyama(done.models[0].centres(), block.centres()).scale) - 1)
        told.append(done.result.models[0].scale_std)
    assert max(told) < 0.006 and np.sqrt(np.mean(np.square(off))) < 2 * np.mean(told)


def test_exact_photos_and_points_give_the_exact_place():
    exact = make_scene("grid", views=9, points=300, camera=CAMERA, seed=6).reconstruction
    done = georeference([hidden(exact)], KnownPlace(control=surveyed(exact, GROUND[:3])))
    assert placed_error(done, exact).max() < 1e-5


def test_control_overrules_gps_and_says_by_how_much_it_is_off(block):
    known = KnownPlace(positions(block, noise=0.1, offset=(1.5, -0.5, 37.0)), control=surveyed(block, GROUND))
    done = georeference([hidden(block)], known)
    placement = done.result.models[0]
    assert placement.source == "control" and placed_error(done, block).max() < 0.03
    assert any("too high" in note and "37" in note for note in placement.notes)
    assert placement.statistics("photos")["vertical_median_m"] < 2


def test_a_wrong_click_and_a_wrong_coordinate_are_named(block):
    more = GROUND[:2] + np.array([2.0, 1.5, 0.0])
    control = surveyed(block, np.concatenate([GROUND, more]))
    photo = sorted(control.points[0].clicks)[0]
    control.points[0].clicks[photo] += [60.0, -40.0]
    wrong = control.points[2]
    control.points[2] = GroundPoint(wrong.name, PLACE.to_geodetic(GROUND[2] + [3, 0, 0]), wrong.clicks)
    done = georeference([hidden(block)], KnownPlace(control=control))
    assert any("gcp1" in w and photo in w for w in done.result.warnings)
    assert any("gcp3" in w and "3.0" in w for w in done.result.warnings)
    used = {r.name: r.used for r in done.result.models[0].control}
    assert not used["gcp3"] and used["gcp1"]
    assert placed_error(done, block).max() < 0.03


def test_a_point_in_one_photo_is_told_and_does_no_harm(block):
    control = surveyed(block, GROUND)
    first = sorted(control.points[1].clicks)[0]
    control.points[1].clicks.clear()
    control.points[1].clicks[first] = np.array([400.0, 300.0])
    done = georeference([hidden(block)], KnownPlace(control=control))
    (row,) = [r for r in done.result.models[0].control if r.name == "gcp2"]
    assert not row.used and "marked in 1 placed photo" in row.note and np.isnan(row.east)
    assert "gcp2 is marked in one placed photo only; two are needed; not used" in done.result.warnings
    assert placed_error(done, block).max() < 0.03


def test_one_surveyed_point_shifts_what_gps_placed(block):
    known = KnownPlace(positions(block, offset=(3.0, 1.0, 20.0)), control=surveyed(block, GROUND[4]))
    done = georeference([hidden(block)], known)
    assert done.result.models[0].source == "gps"
    assert placed_error(done, block).max() < 0.05
    assert any("20.00 m too high" in note for note in done.result.models[0].notes)
    assert "20.00 m too high" in done.result.sentence()
    assert "shifted to 1 ground control point," in done.result.sentence()


def test_check_points_speak_where_gps_places(block):
    known = KnownPlace(positions(block), control=surveyed(block, GROUND[:2], checks={"gcp1", "gcp2"}))
    done = georeference([hidden(block)], known)
    assert (
        done.result.models[0].source == "gps"
        and "check points horizontal residuals" in done.result.sentence()
    )


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (GROUND[:2], "three points"),
        (np.tile(GROUND[0], (4, 1)), "one place"),
    ],
)
def test_control_that_does_not_suffice_is_refused(block, places, words):
    with pytest.raises(ValueError, match=words):
        georeference([hidden(block)], KnownPlace(control=surveyed(block, places)))


def test_names_that_lead_nowhere_are_told_before_anything_is_computed(block):
    control = surveyed(block, GROUND)
    photos = [v.name for v in block.views.values()]
    check_known_names(photos, control, [Distance("gcp1", photos[0], 1.0)])
    with pytest.raises(ValueError, match=r"'well' is neither a photo \(they are called as 'view_0001.jpg'\)"):
        check_known_names(photos, control, [Distance("gcp1", "well", 1.0)])
    with pytest.raises(ValueError, match="none are given"):
        check_known_names(photos, None, [Distance("gcp1", photos[0], 1.0)])
    there = ["a/x.jpg", "b/x.jpg", "b/y.jpg"]
    (full,) = check_known_names(there, None, [Distance("y", "a/x", 2.0)])
    assert full == Distance("b/y.jpg", "a/x.jpg", 2.0)
    with pytest.raises(ValueError, match=r"'x' may be 'a/x\.jpg' or 'b/x\.jpg'"):
        check_known_names(there, None, [Distance("x", "y", 2.0)])
    with pytest.raises(ValueError, match="none of the 16 photos"):
        check_known_names(["a.jpg"], control, [])


def test_marks_outside_of_the_photo_and_photos_that_are_not_there(block):
    control = surveyed(block, GROUND)
    control.points[3].clicks["view_0001.jpg"] = np.array([300.5, 900.5])
    with pytest.raises(ValueError, match=r"gcp4 in view_0001.jpg at \(300, 900\) lies outside .*1000 x 750"):
        georeference([hidden(block)], KnownPlace(control=control))
    known = KnownPlace(control=GroundControl(surveyed(block, GROUND).points, "test", ["x.jpg"]))
    assert any(
        "1 photo that is not there: x.jpg" in w for w in georeference([hidden(block)], known).result.warnings
    )
    known = KnownPlace(control=GroundControl(surveyed(block, GROUND).points, "test", ["x.jpg", "y.jpg"]))
    assert any(
        "2 photos that are not there: x.jpg" in w
        for w in georeference([hidden(block)], known).result.warnings
    )


def test_control_in_another_country_is_refused(block):
    control = surveyed(block, GROUND)
    swapped = [GroundPoint(p.name, p.geodetic[[1, 0, 2]], p.clicks) for p in control.points]
    with pytest.raises(ValueError, match=r"km from the photos' GPS.*x is east or longitude"):
        georeference([hidden(block)], KnownPlace(positions(block), control=GroundControl(swapped, "test")))


# --------------------------------------------------------------------------------------------------------- lengths


def test_a_known_distance_gives_metres_and_up(block):
    names, centres = names_and_centres(block)
    known = KnownPlace(
        distances=(Distance(names[0], names[9], float(np.linalg.norm(centres[0] - centres[9]))),)
    )
    done = georeference([hidden(block)], known)
    (model,), placement = done.models, done.result.models[0]
    assert placement.source == "distance" and placement.metres and not placement.on_earth
    found = np.linalg.norm(model.centres()[0] - model.centres()[-1])
    assert found == pytest.approx(np.linalg.norm(centres[0] - centres[-1]), rel=1e-9)
    assert model.views[1].cam_from_world.rotation[2, 2] < -0.95
    assert done.result.frame is None and "known distances" in done.result.sentence()


def test_a_known_distance_beats_the_scale_of_gps(block):
    names, centres = names_and_centres(block)
    distance = Distance(names[0], names[-1], float(np.linalg.norm(centres[0] - centres[-1])))
    known = KnownPlace(positions(block, (1, 1, 2), noise=0.5), distances=(distance,))
    done = georeference([hidden(block)], known)
    spans = [np.linalg.norm(c - c.mean(0)) for c in (done.models[0].centres(), centres)]
    assert done.result.models[0].source == "gps" and spans[0] == pytest.approx(spans[1], rel=1e-6)
    (length,) = done.result.models[0].lengths
    assert length.used and length.model_m == pytest.approx(distance.metres)


@pytest.mark.parametrize("factor", [0.25, 0.8, 1.3, 3.0, 30.0])
def test_a_wrong_distance_does_not_overrule_good_gps(block, factor):
    names, centres = names_and_centres(block)
    metres = factor * float(np.linalg.norm(centres[0] - centres[-1]))
    known = KnownPlace(
        positions(block, (0.2, 0.2, 0.4), noise=0.5), distances=(Distance(names[0], names[-1], metres),)
    )
    done = georeference([hidden(block)], known)
    placement = done.result.models[0]
    assert placement.source == "gps" and placed_error(done, block).max() < 0.4
    assert any(
        f"{metres:.4g} m by your measurement" in w and "by GPS: check it" in w for w in done.result.warnings
    )
    assert not placement.lengths[0].used


def test_a_distance_that_coarse_gps_cannot_refute_stays(block):
    """Errors of phones drift: small residuals do not make a GPS of 5 m over 10 m a measure of lengths."""
    names, centres = names_and_centres(block)
    distance = Distance(names[0], names[-1], float(np.linalg.norm(centres[0] - centres[-1])))
    drifted = positions(transform_model(block, Sim3(np.array(1.1), np.eye(3), np.zeros(3))), noise=0.002)
    done = georeference([hidden(block)], KnownPlace(drifted, distances=(distance,)))
    (length,) = done.result.models[0].lengths
    assert length.used and length.model_m == pytest.approx(distance.metres)
    assert any("too coarse to refute it" in w for w in done.result.warnings)


def test_lengths_that_contradict_each_other_or_the_control_are_told(block):
    names, centres = names_and_centres(block)
    true = [float(np.linalg.norm(centres[0] - centres[k])) for k in range(1, 6)]
    lengths = [Distance(names[0], names[k], m) for k, m in enumerate(true, 1)]
    one_wrong = (*lengths[:4], Distance(names[0], names[5], 1.5 * true[4]))
    told = georeference([hidden(block)], KnownPlace(distances=one_wrong)).result.warnings
    assert sum(names[5] in w and "not used" in w for w in told) == 1 and len(told) == 1
    two = (lengths[0], Distance(names[0], names[2], 1.4 * true[1]))
    told = georeference([hidden(block)], KnownPlace(distances=two)).result.warnings
    assert any("differ by up to" in w for w in told)
    good = KnownPlace(positions(block, (0.2, 0.2, 0.4), noise=0.5), distances=two)
    assert placed_error(georeference([hidden(block)], good), block).max() < 0.4
    control = KnownPlace(control=surveyed(block, GROUND), distances=two)
    told = georeference([hidden(block)], control).result.warnings
    assert [names[2] in w and "by the ground control" in w for w in told] == [True]
    assert not georeference([hidden(block)], KnownPlace(distances=tuple(lengths))).result.warnings


def test_one_control_point_does_not_hold_a_bend(block, monkeypatch):
    monkeypatch.setattr("geo3d.sfm.georeference_place.doming_warning", lambda model, std: "may be bent")
    for places, told in ((GROUND[:1], True), (GROUND[:3], True), (GROUND, False)):
        known = KnownPlace(positions(block), control=surveyed(block, places))
        assert ("may be bent" in georeference([hidden(block)], known).result.warnings) == told


def test_lengths_between_surveyed_points_and_ends_that_are_not_there(block):
    control = surveyed(block, GROUND[:2], checks={"gcp1", "gcp2"})
    metres = float(np.linalg.norm(GROUND[0] - GROUND[1]))
    known = KnownPlace(
        positions(block),
        control=control,
        distances=(Distance("gcp1", "gcp2", metres), Distance("gcp1", "x", 1.0)),
    )
    done = georeference([hidden(block)], known)
    assert done.result.models[0].lengths[0].model_m == pytest.approx(metres)
    assert any("x could not be placed" in w for w in done.result.warnings)


# --------------------------------------------------------------------------------------------------------- nothing


def test_without_anything_the_model_stands_upright_and_says_so(block):
    done = georeference([hidden(block)], KnownPlace())
    placement = done.result.models[0]
    assert placement.source == "none" and not placement.metres
    assert placement.transform.scale == 1
    assert done.models[0].views[1].cam_from_world.rotation[2, 2] < -0.95
    assert "arbitrary" in done.result.sentence()


def test_gps_of_one_place_is_refused_with_a_reason(block):
    known = [PhotoPosition(p.name, np.array([46.0, 8.0, 5.0]), p.std_m) for p in positions(block)]
    done = georeference([hidden(block)], KnownPlace(known))
    assert done.result.models[0].source == "none"
    assert any("GPS does not place the model" in w for w in done.result.warnings)


def test_gps_that_is_wrong_for_half_of_the_photos_is_told(block):
    known = positions(block, (1, 1, 2), noise=0.2)
    lost = [
        PhotoPosition(p.name, p.geodetic - [0.0, 0.0, 500.0 * (i % 2)], p.std_m) for i, p in enumerate(known)
    ]
    done = georeference([hidden(block)], KnownPlace(lost))
    assert done.result.models[0].source == "gps"
    assert any("the GPS altitudes of the photos do not fit together" in w for w in done.result.warnings)
    done = georeference([hidden(block)], KnownPlace(positions(block, (1, 1, 2), noise=30.0)))
    assert any("positions contradict the photos (about 36 m off" in w for w in done.result.warnings), (
        done.result.warnings
    )


def test_good_gps_is_not_doubted(block):
    for seed in range(4):
        done = georeference([hidden(block, seed)], KnownPlace(positions(block, noise=1.5, seed=seed)))
        assert not any("fit together" in w for w in done.result.warnings)


def test_the_file_holds_plain_numbers(block):
    control = surveyed(block, GROUND, checks={"gcp5"})
    control.points[1].clicks.clear()
    done = georeference([hidden(block)], KnownPlace(positions(block), control=control))
    record = json.loads(json.dumps(done.result.to_json(), allow_nan=False))
    assert record["utm"]["epsg"] == 32632 and record["origin"]["latitude_deg"] == pytest.approx(
        46.6412, abs=1e-3
    )
    assert record["models"][0]["control_residuals"]["points"][1]["east"] is None
    assert record["metres"] and record["models"][0]["photo_residuals"]["horizontal_rms_m"] < 0.1
    offset = record["utm"]["offset_m"]
    assert 400_000 < offset[0] < 500_000 and abs(record["utm"]["grid_north_deg"]) < 1


def test_the_same_seed_gives_the_same_world(block):
    known = KnownPlace(positions(block, noise=0.3), control=surveyed(block, GROUND, click_px=0.5))
    first, second = (georeference([hidden(block)], known, seed=3).models[0].centres() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="models is empty"):
        georeference([], known)


def test_control_with_gps_that_knows_no_heights(block):
    known = positions(block, noise=0.1)
    for p in known:
        p.geodetic[2] = np.nan
    done = georeference([hidden(block)], KnownPlace(known, control=surveyed(block, GROUND)))
    assert placed_error(done, block).max() < 0.03
    assert all(np.isnan(r.up) for r in done.result.models[0].photos)


def test_rigs_move_with_the_world():
    model = make_scene("walk", views=4, points=50, seed=1).reconstruction
    inside = SE3.exp([0.2, 0.0, 0.1, 0.0, 0.1, 0.0])
    second = model.views[2].cam_from_world
    model.rigs[1] = Rig(1, {2: inside})
    model.frames[1] = Frame(1, (1, 2), inside.inverse() @ second)
    moved = transform_model(model, Sim3.exp([1.0, 2, 3, 0.1, 0.2, 0.3, 0.8]))
    again = moved.rigs[1].sensor_from_rig[2] @ moved.frames[1].rig_from_world
    np.testing.assert_allclose(again.matrix4(), moved.views[2].cam_from_world.matrix4(), atol=1e-12)
    assert np.array_equal(model.frames[1].rig_from_world.matrix4(), (inside.inverse() @ second).matrix4())


def test_a_measured_distance_weighs_in_the_adjustment_by_its_deviation(block):
    """GPS that is one per cent too wide, and a tape between two cameras."""
    names = [block.views[i].name for i in block.registered()]
    centres = block.centres()
    wide = centres.mean(axis=0) + 1.01 * (centres - centres.mean(axis=0))
    true = float(np.linalg.norm(centres[0] - centres[-1]))
    stretched = []
    for relative in (1e-4, 0.1):
        bundle = GeoreferencedBundle(
            positions=dict(zip(names, wide)),
            position_std=dict.fromkeys(names, np.full(3, 0.5)),
            distances=[(names[0], names[-1], true, relative * true)],
        )
        adjusted = adjust_georeferenced(block, bundle).model.centres()
        stretched.append(np.linalg.norm(adjusted[0] - adjusted[-1]) / true - 1)
    assert abs(stretched[0]) < 5e-4 and stretched[1] > 5e-3


def test_what_neither_photos_nor_rtk_determine_stays_with_what_exif_says():
    """Straight down onto a plane from one height, focal length and height are one."""
    flat = make_scene("grid", views=16, points=600, camera=CAMERA, seed=8).reconstruction
    flat.points.xyz[:, 2] *= 0.05
    rng = np.random.default_rng(0)
    for i, view in flat.views.items():
        xyz = flat.points.xyz[flat.points.point_rows[flat.points.view_ids == i]]
        view.keypoints = CAMERA.project(view.cam_from_world.act(xyz)) + 0.3 * rng.normal(size=(len(xyz), 2))
    known = positions(flat, (0.02, 0.02, 0.03), noise=1.0, rtk=True)
    free = {1: np.array([50.0, 0, 0, 0])}
    first = {1: Camera("SIMPLE_RADIAL", 1000, 750, [905.0, 500.0, 375.0, 0.0], prior_focal=True)}
    off = []
    for known_lens in ({}, first):
        model = hidden(flat)
        model.cameras[1] = CAMERA.with_params([980.0, 500.0, 375.0, -0.05])
        place = KnownPlace(known, camera_std=free, first_cameras=known_lens)
        done = georeference([model], place)
        assert done.result.models[0].adjusted
        off.append(abs(done.models[0].cameras[1].params[0] - 900))
    assert off[1] < min(off[0], 20)
