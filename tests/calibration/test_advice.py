"""Each piece of advice is given when it is due, and only then; coverage is what its words say."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.calibration import (
    BoardView,
    CameraEvidence,
    CircleGrid,
    Detection,
    HeldOut,
    advise,
    measure_coverage,
)
from geo3d.calibration.advice_rules import has_pattern, listed
from geo3d.calibration.coverage import SIDES, residual_cells
from geo3d.geometry import SE3, SO3

from .common import LENSES, TARGET
from .evidence import evidence, keep_points

GOOD = evidence()
W, H = GOOD.camera.width, GOOD.camera.height


def views_where(found: CameraEvidence, keep) -> CameraEvidence:
    return replace(found, views=[v for v, kept in zip(found.views, keep) if kept])


def test_nothing_is_wrong_with_a_good_calibration():
    told = advise(GOOD)
    assert told.problems == [] and told.hints == []
    assert [verdict.use for verdict in told.verdicts] == ["structure from motion", "stereo"]
    assert all(verdict.good and verdict.text.startswith("Good enough") for verdict in told.verdicts)
    assert len(told.fine) == 11 and all(re.search(r"\d|no pattern", line) for line in told.fine)


def without_top_left(found):
    return keep_points(found, lambda p: (p > [W / 3, H / 3]).any(axis=1))


def few_at_the_bottom(found):
    def keep(p):
        there = (p[:, 1] > 2 * H / 3) & (np.abs(p[:, 0] - W / 2) < W / 6)
        return ~there | ((1000 * p[:, 0]).astype(int) % 40 == 0)

    return keep_points(found, keep)


def near_the_middle(found):
    return keep_points(found, lambda p: np.linalg.norm(p - found.camera.principal_point, axis=1) < 280)


def never_to_the_bottom(found):
    return views_where(found, ~measure_coverage(found).tilted_to[:, SIDES.index("bottom")])


def barely_tilted(found):
    return views_where(found, measure_coverage(found).tilts_rad < np.deg2rad(20))


def from_one_distance(found):
    far = measure_coverage(found).distances_m
    return views_where(found, (far > 0.9 * np.median(far)) & (far < 1.2 * np.median(far)))


def as_small_boards(found):
    views = []
    for view in found.views:
        keep = np.isin(view.detection.ids, [0, 1, 2, 9, 10, 11])
        views.append(
            replace(view, detection=Detection(view.detection.ids[keep], view.detection.pixels[keep]))
        )
    return views_where(replace(found, views=views), [len(v.detection) > 3 for v in views])


def with_one_bad_photo(found):
    bad = found.views[4]
    moved = Detection(bad.detection.ids, bad.detection.pixels + np.array([1.0, 0.5]))
    return replace(found, views=[*found.views[:4], replace(bad, detection=moved), *found.views[5:]])


def with_corners_off(found):
    used = np.ones(len(found.views[2].detection), bool)
    used[::2] = False
    return replace(found, views=[*found.views[:2], replace(found.views[2], used=used), *found.views[3:]])


def blurred(found, rows, blur_px):
    views = [replace(v, blur_px=blur_px) if i in rows else v for i, v in enumerate(found.views)]
    return replace(found, views=views)


def another_lens(found):
    params = found.camera.params.copy()
    params[4] += 0.004
    return replace(found, camera=found.camera.with_params(params))


DUE = {
    "empty ninth": (
        without_top_left,
        "problems",
        r"No point of the board lies in the top left ninth .* four tilted",
    ),
    "thin ninth": (few_at_the_bottom, "hints", r"Fewer than 10 points .* in the bottom \(\d\) ninth"),
    "reach": (
        near_the_middle,
        "hints",
        r"farthest point of the board lies 6\d % .* corner of the image; .* Add four",
    ),
    "side": (
        never_to_the_bottom,
        "hints",
        r"bottom 0\)\. .* add three photos.* with the bottom edge .* nearer\.",
    ),
    "no tilt": (barely_tilted, "problems", r"0 photos of \d+ .* \(three for each"),
    "distance": (
        from_one_distance,
        "hints",
        r"only 1\.\d+ times as far as near\. Add four photos from 0\.\d+",
    ),
    "few photos": (
        lambda e: views_where(e, np.arange(40) < 9),
        "hints",
        "Only 9 photos are used: add 6 or more",
    ),
    "very few photos": (
        lambda e: views_where(e, np.arange(40) < 5),
        "problems",
        "Only 5 photos are used: add 10",
    ),
    "small board": (as_small_boards, "hints", r"spans [01]\.\d % of the image .* go nearer"),
    "focal length": (
        lambda e: replace(e, params_std=np.full(8, 2.1)),
        "hints",
        r"known to 0\.51 % .* 1\.6 pixels at the edge .* add six photos",
    ),
    "unknown focal length": (
        lambda e: replace(e, params_std=np.full(8, 8.0)),
        "problems",
        r"known to 1\.9 %",
    ),
    "bow": (
        lambda e: replace(e, shape=np.array([0.003, 0, 0])),
        "hints",
        r"by 3\.0 mm, more than 2 mm.*Glue it",
    ),
    "blur": (
        lambda e: blurred(e, (3, 7), 2.4),
        "hints",
        r"2 photos are blurred .* by 0\.6: take 03.jpg \(2\.4\) and 07",
    ),
    "all blurred": (lambda e: blurred(e, range(40), 2.4), "hints", r"blurred by 2\.4 pixels \(median\)"),
    "left out": (
        lambda e: replace(e, left_out={"a.jpg": "not seen", "b.jpg": "not seen"}),
        "hints",
        r"2 photos are not used \(not seen\): a.jpg and b.jpg\. .* take it again",
    ),
    "most left out": (
        lambda e: replace(e, left_out={f"{i}x.jpg": "not seen" for i in range(60)}),
        "problems",
        r"60 photos are not used .* and 56 more",
    ),
    "points off": (with_corners_off, "hints", r"\d+ of \d+ points \(\d\.\d %\) .* in 02.jpg"),
    "error": (lambda e: replace(e, held_out_rms_px=1.3), "problems", r"in photos held out is 1\.30 pixels"),
    "gap": (
        lambda e: replace(e, held_out_rms_px=0.28),
        "hints",
        r"2\.0 times that of the fit .* Add ten photos",
    ),
    "one photo": (
        with_one_bad_photo,
        "hints",
        r"1 photo has an error of more than 2\.5 times .* at 04.jpg \(1\.\d+\)",
    ),
    "pattern": (
        another_lens,
        "hints",
        r"The errors have a pattern: .* chance makes 0\.0\d\. .* --model FULL_OPENCV",
    ),
}


@pytest.mark.parametrize("case", DUE)
def test_advice_is_given_when_it_is_due(case):
    change, where, words = DUE[case]
    told = advise(change(GOOD))
    assert any(re.search(words, line) for line in getattr(told, where)), "\n".join(told.problems + told.hints)


@pytest.mark.parametrize("seed", range(1, 3))
def test_other_good_sets_are_good(seed):
    told = advise(evidence(noise_px=0.3, seed=seed, count=60))
    assert told.problems == [] and told.hints == []


def test_models_that_were_tried_are_not_recommended():
    tried = [
        HeldOut("FULL_OPENCV", 3, 12, np.zeros(1), 0.1, "has a pole"),
        HeldOut("OPENCV", 3, 8, np.zeros(1), 0.2),
    ]
    (line,) = [h for h in advise(replace(another_lens(GOOD), tried=tried)).hints if "pattern" in h]
    assert "FULL_OPENCV" not in line and "THIN_PRISM_FISHEYE" in line


def test_without_lengths_nothing_is_in_metres():
    told = advise(replace(GOOD, metric=False, shape=np.array([0.01, 0, 0])))
    text = " ".join(told.problems + told.hints + told.fine)
    assert "mm" not in text and " m " not in text and "3.3 % of its length, more than 0.8 %" in text


def test_a_grid_of_discs_has_to_stay_in_the_photo():
    grid = CircleGrid(9, 6, 0.03, 0.015)
    (line,) = [h for h in advise(replace(near_the_middle(GOOD), target=grid)).hints if "farthest point" in h]
    assert "the whole grid stays in the photo" in line


@pytest.mark.parametrize(
    ("changes", "sfm", "stereo", "words"),
    [
        ({"held_out_rms_px": 0.7}, True, False, r"held out is 0\.70 px \(at most 0\.5: rows"),
        ({"held_out_rms_px": 1.2}, False, False, r"held out is 1\.20 px"),
        ({"uncertainty_px": np.full((3, 4), 0.6)}, True, False, r"certain to 0\.6 px \(at most 0\.25"),
        ({"uncertainty_px": np.full((3, 4), 2.0)}, False, False, r"certain to 2 px"),
        (
            {"uncertainty_px": None, "params_std": np.full(8, 0.7)},
            True,
            False,
            r"focal length alone .* 0\.54 px",
        ),
        ({"uncertainty_px": None, "held_out_rms_px": None}, True, True, r"error of the fit is 0\.14 px"),
    ],
)
def test_verdicts_say_what_they_rest_on(changes, sfm, stereo, words):
    verdicts = advise(replace(GOOD, **changes)).verdicts
    assert [v.good for v in verdicts] == [sfm, stereo]
    said = verdicts[1].text
    assert re.search(words, said)
    if not stereo:
        assert "at least" not in said  # what holds is not among the reasons


def test_stereo_wants_all_of_the_image():
    sfm, stereo = advise(without_top_left(GOOD)).verdicts
    assert (
        sfm.good
        and not stereo.good
        and "8 of 9 ninths of the image, none in top left (at least 9)" in stereo.text
    )


def test_what_is_black_in_all_photos_is_not_asked_for():
    x, y = np.meshgrid((np.arange(24) + 0.5) / 24 * W, (np.arange(18) + 0.5) / 18 * H)
    circle = np.hypot(x - W / 2, y - H / 2) < 215
    inside = keep_points(GOOD, lambda p: np.linalg.norm(p - [W / 2, H / 2], axis=1) < 210)
    dark = replace(inside, lit=circle, uncertainty_px=np.where(circle, 0.1, 9.0))
    assert not advise(inside).verdicts[1].good and advise(dark).verdicts[1].good
    covered = measure_coverage(dark)
    assert not covered.visible[[0, 0, 2, 2], [0, 2, 0, 2]].any() and covered.visible.sum() == 5
    assert covered.reach > 0.9 > measure_coverage(inside).reach
    assert not any("No point" in line for line in advise(dark).problems)


@settings(max_examples=30, deadline=None)
@given(st.floats(21, 60), st.sampled_from(SIDES), st.floats(0, 2 * np.pi), st.booleans())
def test_the_side_of_a_tilt_is_that_of_the_nearer_edge(tilt_deg, side, turn, flipped):
    axis = {"left": [0, -1, 0], "right": [0, 1, 0], "top": [1, 0, 0], "bottom": [-1, 0, 0]}[side]
    tilt = SO3.exp(np.deg2rad(tilt_deg) * np.array(axis, float)) @ SO3.exp([0, 0, turn])
    rotation = (
        tilt.matrix @ np.diag([1, -1, -1]) if flipped else tilt.matrix
    )  # seen from behind: the same plane
    middle = TARGET.points.mean(axis=0)
    pose = SE3(rotation, np.array([0, 0, 0.6]) - rotation @ middle)
    points = pose.act(TARGET.points)
    toward = {"left": -points[:, 0], "right": points[:, 0], "top": -points[:, 1], "bottom": points[:, 1]}[
        side
    ]
    assert np.corrcoef(toward, points[:, 2])[0, 1] < -0.9  # that edge is the nearer one
    camera = LENSES["OPENCV"]
    view = BoardView("a", Detection(np.arange(54), camera.project(points)), pose)
    found = measure_coverage(CameraEvidence(camera, TARGET, [view], np.zeros(0), np.ones(8)))
    assert found.tilted_to[0].tolist() == [name == side for name in SIDES]
    assert np.rad2deg(found.tilts_rad[0]) == pytest.approx(tilt_deg, abs=1e-6)
    assert found.distances_m[0] == pytest.approx(0.6)


def test_points_are_counted_in_the_ninth_where_they_are():
    pixels = np.array([[1.0, 1], [2, 3], [W - 1, 1], [W / 2, H / 2], [W - 1, H - 1], [W, H]])
    view = BoardView("a", Detection(np.arange(6), pixels), SE3(np.eye(3), [0, 0, 1.0]))
    found = measure_coverage(CameraEvidence(LENSES["OPENCV"], TARGET, [view], np.zeros(0), np.ones(8)))
    assert found.ninths.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 2]]
    assert found.shares[0] == pytest.approx(0.5, abs=0.01) and found.reach == pytest.approx(1, abs=0.01)


def noisy(seed):
    """The good set with other noise."""
    rng = np.random.default_rng(seed)
    views = [
        replace(
            v,
            detection=Detection(
                v.detection.ids, v.detection.pixels + rng.normal(0, 0.5, (len(v.detection), 2))
            ),
        )
        for v in GOOD.views
    ]
    return replace(GOOD, views=views)


def test_noise_has_no_pattern_and_a_wrong_lens_has_one():
    assert not any(has_pattern(residual_cells(noisy(seed))) for seed in range(8))
    cells = residual_cells(another_lens(GOOD))
    assert has_pattern(cells)
    middle, edge = cells.mean_px.shape[0] // 2, cells.mean_px.shape[1] - 1
    size = np.linalg.norm(cells.mean_px, axis=-1)
    assert size[middle, edge] > 2 * size[middle, edge // 2]  # as the distortion, it grows outwards


def test_errors_of_one_photo_are_one_sample():
    views = [replace(v) for v in GOOD.views]
    rng = np.random.default_rng(0)
    for i, view in enumerate(views):  # each photo is off as a whole, in a direction of its own
        moved = Detection(view.detection.ids, view.detection.pixels + rng.normal(0, 1, 2))
        views[i] = replace(view, detection=moved)
    assert not has_pattern(residual_cells(replace(GOOD, views=views)))


def test_lists_of_names():
    assert (
        listed(["a"]) == "a" and listed(["a", "b"]) == "a and b" and listed(["a", "b", "c"]) == "a, b and c"
    )
    assert listed(list("abcdefg")) == "a, b, c, d and 3 more"


def test_no_photos_are_refused():
    with pytest.raises(ValueError, match="one photo and more"):
        advise(replace(GOOD, views=[]))
