"""The choice of lens model and shape of the board by photos that were held out."""

import numpy as np
import pytest

from geo3d.calibration import HeldOut, choose_model, choose_shape
from geo3d.calibration.calibrate import observe, start_lenses
from geo3d.calibration.held_out import held_out, why_not_over_image
from geo3d.calibration.start import start_board
from geo3d.cameras import Camera

from .common import LENSES, TARGET, photograph
from .test_board_shape import EVERY

BOW = (0.002, -0.001, 0.0005)


def seen_by(model, count=12, noise_px=0.2, shape=BOW, seed=0):
    return observe(photograph(LENSES[model], count, noise_px, shape, seed)[0], TARGET)[1]


def test_the_simplest_lens_that_is_as_good_is_chosen():
    observations = seen_by("OPENCV")
    candidates = ("PINHOLE", "OPENCV", "BROWN_CONRADY_5", "THIN_PRISM_FISHEYE")
    chosen, tried = choose_model(observations, 640, 480, candidates)
    assert chosen.model == "OPENCV" and [entry.model for entry in tried[:4]] == list(candidates)
    assert chosen.rms_px == pytest.approx(0.2 * np.sqrt(2), rel=0.2)
    assert "off even in the photos" in tried[0].refused and not tried[2].refused
    assert {entry.model for entry in tried[4:]} == {"OPENCV"}
    lens = start_lenses(observations, start_board(observations, 640, 480), "OPENCV")[0]
    assert held_out(observations, lens, 0).rms_px > 1.1 * chosen.rms_px  # the bow is there


def test_a_bent_board_is_not_taken_for_a_lens_of_many_parameters():
    observations = seen_by("EUCM", 16, 0.1, EVERY)
    chosen, tried = choose_model(observations, 640, 480, ("EUCM", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE"))
    assert (chosen.model, chosen.shape_terms) == ("EUCM", 12)
    assert [entry.shape_terms for entry in tried[3:]] == [3, 5, 8]
    assert min(entry.rms_px for entry in tried[3:]) > 1.1 * chosen.rms_px
    again, shapes = choose_shape(observations, 640, 480, "EUCM")
    assert again.shape_terms == 12 and again.rms_px == pytest.approx(chosen.rms_px, rel=1e-6)
    assert [entry.shape_terms for entry in shapes] == [3, 5, 8, 12]


def test_terms_that_are_given_are_kept():
    chosen, tried = choose_model(seen_by("OPENCV"), 640, 480, ("OPENCV",), shape_terms=5)
    assert chosen is tried[0] and len(tried) == 1 and chosen.shape_terms == 5


def test_a_board_seen_either_way_round_has_no_odd_terms():
    detections, _ = photograph(LENSES["OPENCV"], 14, 0.1, EVERY)
    for name in sorted(detections)[::2]:  # 9x6 corners named from the other end
        found = detections[name]
        detections[name] = type(found)(found.ids, found.pixels[::-1])
    _, observations = observe(detections, TARGET)
    _, tried = choose_shape(observations, 640, 480, "OPENCV")
    assert tried[-1].rms_px > 0.98 * tried[-2].rms_px  # twelve terms are no better than eight


def test_photos_of_much_noise_have_no_more_say_than_others():
    squared = np.array([1e-2, 1e-2, 1e-2, 1e-2, 1e-2, 1.0])
    one = HeldOut("PINHOLE", 3, 4, squared, 0.4)
    two = HeldOut("OPENCV", 3, 8, 0.8 * squared, 0.36)
    np.testing.assert_allclose(one.log_px - two.log_px, 0.1116, atol=2e-3)


def test_a_lens_that_turns_back_within_the_image_is_refused_with_the_place():
    observations = seen_by("OPENCV")
    assert why_not_over_image(LENSES["OPENCV"], observations) == ""
    back = Camera("SIMPLE_RADIAL", 640, 480, [400, 320, 240, -0.6])
    assert "turns back or has a pole at (" in why_not_over_image(back, observations)


def test_too_few_photos_and_models_that_do_not_fit_are_refused():
    observations = seen_by("OPENCV_FISHEYE", 8)
    with pytest.raises(ValueError, match="5 photos are too few"):
        choose_model(observations.select(np.arange(5)), 640, 480)
    few = choose_model(observations.select(np.arange(6)), 640, 480, ("OPENCV_FISHEYE",))[0]
    assert few.model == "OPENCV_FISHEYE"


def test_a_lens_that_the_photos_leave_open_is_not_taken_where_another_is_known():
    truth = Camera("OPENCV", 640, 480, [620, 618, 322, 236, -0.1, 0.03, 0, 0])
    detections, _ = photograph(truth, 14, 0.1)
    _, observations = observe(detections, TARGET)
    chosen, tried = choose_model(observations, 640, 480, ("OPENCV", "THIN_PRISM_FISHEYE"), 0)
    prism = next(entry for entry in tried if entry.model == "THIN_PRISM_FISHEYE")
    assert chosen.model == "OPENCV" and "its principal point is known to" in prism.refused
    alone, _ = choose_model(observations, 640, 480, ("THIN_PRISM_FISHEYE",), 0)
    assert not alone.refused  # nothing is better known
