"""Confidence, claims and residual: the kernels beside their formulas."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import estimate_confidence, prepare_pair, smaller_eigenvalue, warp_backward, warp_residual
from geo3d.flow.claims import claim_targets
from geo3d.flow.confidence import confidence_reference
from geo3d.flow.residual import fit_exposure
from geo3d.synthetic import FlowPairOptions, make_flow_pair

PAIR = make_flow_pair(FlowPairOptions(width=128, height=96), 5)


def test_the_confidence_is_the_formula():
    images = prepare_pair(PAIR.image0, PAIR.image1)
    residual = warp_residual(images, PAIR.flow)
    steps = [
        np.abs(np.diff(PAIR.flow, axis=a, append=np.take(PAIR.flow, [-1], a))).sum(axis=2) for a in (0, 1)
    ]
    change = cv2.blur(np.maximum(*steps), (13, 13), borderType=cv2.BORDER_REPLICATE)
    structure = smaller_eigenvalue(images.gray0)
    seen = np.zeros(change.shape, bool)
    strayed = np.random.default_rng(0).random(change.shape).astype(np.float32)
    for e in (None, strayed):
        found = estimate_confidence(images, PAIR.flow, residual, seen, e)
        expected = confidence_reference(structure, residual.wide, residual.typical, change, e)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not estimate_confidence(images, PAIR.flow, residual, ~seen).any()


def test_structure_is_the_smaller_eigenvalue():
    gray = prepare_pair(PAIR.image0, PAIR.image1).gray0
    ix, iy = (cv2.Sobel(gray, -1, *d, scale=1 / 8, borderType=cv2.BORDER_REPLICATE) for d in ((1, 0), (0, 1)))
    mean = [
        cv2.blur(a, (7, 7), borderType=cv2.BORDER_REPLICATE) for a in (ix * ix, ix * iy, ix * iy, iy * iy)
    ]
    expected = np.linalg.eigvalsh(np.stack(mean, axis=2).reshape(96, 128, 2, 2))[..., 0]
    np.testing.assert_allclose(smaller_eigenvalue(gray), expected, atol=1e-7)
    edge = np.zeros((30, 30), np.float32)
    edge[:, 15:] = 1.0
    assert smaller_eigenvalue(edge).max() < 1e-6


@given(gain=st.floats(0.5, 1.8), offset=st.floats(-0.2, 0.2), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_exposure_is_found_beside_a_third_of_outliers(gain, offset, seed):
    rng = np.random.default_rng(seed)
    second = rng.random(3000)
    first = gain * second + offset + rng.normal(0, 0.003, 3000)
    first[:900] += rng.uniform(0.3, 0.8, 900)
    found = fit_exposure(first, second)
    np.testing.assert_allclose(found, (gain, offset), atol=0.02)


def test_what_is_no_exposure_change_is_none():
    rng = np.random.default_rng(0)
    assert fit_exposure(rng.random(500), np.full(500, 0.5)) == (1.0, 0.0)
    assert fit_exposure(rng.random(500), 1.0 - 1e-3 * rng.random(500)) == (1.0, 0.0)


def test_the_residual_is_the_difference_along_the_flow():
    images = prepare_pair(PAIR.image0, PAIR.image1)
    found = warp_residual(images, PAIR.flow)
    warped = found.gain * warp_backward(images.image1, PAIR.flow) + found.offset
    difference = np.abs(images.image0 - warped).mean(axis=2)
    np.testing.assert_allclose(
        found.near, cv2.blur(difference, (3, 3), borderType=cv2.BORDER_REPLICATE), atol=1e-6
    )
    assert abs(found.gain - 1.0) < 0.05


def test_the_cheapest_takes_the_place():
    rng = np.random.default_rng(1)
    flow = rng.uniform(-4, 4, (12, 14, 2)).astype(np.float32)
    cost = rng.random((12, 14)).astype(np.float32)
    cost[rng.random((12, 14)) < 0.2] = np.inf
    landed, least = claim_targets(flow, cost)
    for y in range(12):
        for x in range(14):
            claims = [
                (cost[j, i], j, i)
                for j in range(12)
                for i in range(14)
                if max(abs(i + flow[j, i, 0] - x), abs(j + flow[j, i, 1] - y)) < 1 and np.isfinite(cost[j, i])
            ]
            if not claims:
                assert np.isnan(landed[y, x]).all()
                continue
            price, j, i = min(claims)
            assert least[y, x] == price
            np.testing.assert_array_equal(landed[y, x], flow[j, i])
