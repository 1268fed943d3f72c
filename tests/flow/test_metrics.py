"""Errors of flows and of interpolated images, against their closed forms."""

import numpy as np
import pytest

from geo3d.flow import endpoint_error, flow_errors, interpolation_error

RNG = np.random.default_rng(0)


def test_a_known_error_is_told():
    truth = RNG.normal(0, 20, (30, 40, 2))
    flow = truth + np.array([3.0, 4.0])
    found = flow_errors(flow, truth)
    assert found.count == 1200
    assert found.density_pct == 100.0
    for value in (found.epe_px, found.epe_median_px, found.epe_rms_px):
        np.testing.assert_allclose(value, 5.0, rtol=1e-5)
    assert found.r0_5_pct == found.r3_pct == 100.0
    expected = 100.0 * (0.05 * np.hypot(*np.moveaxis(truth, 2, 0)) < 5.0).mean()
    np.testing.assert_allclose(found.fl_all_pct, expected)


def test_angular_error_is_the_angle_between_directions_of_space_and_time():
    flow, truth = np.zeros((5, 6, 2)), np.zeros((5, 6, 2))
    flow[..., 0] = 1.0
    np.testing.assert_allclose(flow_errors(flow, truth).angular_error_deg, 45.0)
    flow, truth = RNG.normal(size=(2, 20, 20, 2))
    a, b = (np.dstack([f, np.ones((20, 20))]) for f in (flow, truth))
    cosine = (a * b).sum(2) / np.linalg.norm(a, axis=2) / np.linalg.norm(b, axis=2)
    np.testing.assert_allclose(
        flow_errors(flow, truth).angular_error_deg, np.degrees(np.arccos(cosine)).mean(), rtol=1e-6
    )


def test_unknown_truth_does_not_count():
    truth = np.zeros((4, 5, 2), np.float32)
    truth[0], truth[1, 0], truth[1, 1] = np.nan, np.inf, 1.7e9
    flow = np.full((4, 5, 2), 0.6, np.float32)
    flow[2, 0] = np.nan
    found = flow_errors(flow, truth)
    assert found.count == 13
    np.testing.assert_allclose(found.density_pct, 100 * 12 / 13)
    np.testing.assert_allclose(found.epe_px, 0.6 * 2**0.5, rtol=1e-6)
    assert found.r0_5_pct == 100.0
    assert found.r1_pct == 0.0
    assert np.isnan(endpoint_error(flow, truth)).sum() == 8


def test_a_mask_counts_alone():
    flow = np.zeros((4, 4, 2))
    flow[0] = 10.0
    mask = np.ones((4, 4), bool)
    mask[0] = False
    assert flow_errors(flow, np.zeros((4, 4, 2)), mask).epe_px == 0.0


@pytest.mark.parametrize(
    ("flow", "truth", "mask", "message"),
    [
        (np.zeros((4, 4, 2)), np.zeros((4, 5, 2)), None, "one size, got flow 4x4, truth 5x4"),
        (np.zeros((4, 4, 2)), np.full((4, 4, 2), np.nan), None, "no pixel where both are known"),
        (np.zeros((4, 4, 2)), np.zeros((4, 4, 2)), np.zeros((4, 4), bool), "within mask"),
        (np.zeros((4, 4)), np.zeros((4, 4, 2)), None, "flow: expected"),
        (np.zeros((4, 4, 2)), np.zeros((4, 4, 2)), np.ones((4, 5), bool), "one size"),
    ],
)
def test_what_can_not_be_compared_is_refused(flow, truth, mask, message):
    with pytest.raises(ValueError, match=message):
        flow_errors(flow, truth, mask)


def test_interpolation_error():
    truth = RNG.integers(20, 200, (20, 30, 3), np.uint8)
    found = interpolation_error(truth + np.uint8(8), truth)
    assert found.rms == 8.0
    assert 0 < found.normalized_rms < 8.0
    flat = np.full((20, 30), 0.5)
    found = interpolation_error(flat + 10 / 255, flat)  # no gradient: the same figure twice
    np.testing.assert_allclose([found.rms, found.normalized_rms], 10.0)
    holes = flat + 10 / 255
    holes[3:] = np.nan
    np.testing.assert_allclose(interpolation_error(holes, flat).rms, 10.0)
    assert interpolation_error(flat, flat, np.eye(20, 30, dtype=bool)).rms == 0.0
    with pytest.raises(ValueError, match="one shape"):
        interpolation_error(flat, truth)
    with pytest.raises(ValueError, match="one type"):
        interpolation_error(truth / 255.0, truth)
    with pytest.raises(ValueError, match="no pixel"):
        interpolation_error(flat * np.nan, flat)
