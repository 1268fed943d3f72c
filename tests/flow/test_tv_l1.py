"""TV-L1: the iterations are those of the reference and lower the energy, and known motions are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import TvL1Options, optical_flow
from geo3d.flow.tv_l1_kernels import primal_dual, primal_dual_reference

HEIGHT, WIDTH, BORDER = 96, 128, 14


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W) float32: a smooth texture at the places (x, y), a sum of plane waves 9 to 30 px long."""
    rng = np.random.default_rng(5)
    image = np.full(x.shape, 0.5)
    for _ in range(24):
        length, turn, phase = rng.uniform(9, 30), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        image += 0.03 * np.sin(2 * np.pi / length * (np.cos(turn) * x + np.sin(turn) * y) + phase)
    return np.clip(image, 0, 1).astype(np.float32)


def problem(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flow to begin with, slopes and rho, random."""
    rng = np.random.default_rng(1)
    flow, slopes = rng.normal(0, 1, (2, 2, height, width)).astype(np.float32)
    slopes *= 0.05
    slopes[:, 3:5] = 0.0
    return flow, slopes, rng.normal(0, 0.05, (height, width)).astype(np.float32)


def energy(flow: np.ndarray, slopes: np.ndarray, rho: np.ndarray, attachment: float) -> float:
    right, down = np.zeros_like(flow), np.zeros_like(flow)
    right[:, :, :-1], down[:, :-1] = np.diff(flow, axis=2), np.diff(flow, axis=1)
    return float(attachment * np.abs(rho + (slopes * flow).sum(axis=0)).sum() + np.hypot(right, down).sum())


@pytest.mark.parametrize("size", [(16, 16), (23, 37)])
def test_iterations_are_those_of_the_reference(size: tuple[int, int]) -> None:
    flow, slopes, rho = problem(*size)
    dual = np.zeros((2, *flow.shape), np.float32)
    expected, expected_dual = primal_dual_reference(flow, dual, slopes, rho, 20.0, 12)
    primal_dual(flow, np.empty_like(flow), dual, slopes, rho, np.float32(20.0), 12)
    assert np.abs(flow - expected).max() < 1e-3
    assert np.abs(dual - expected_dual).max() < 1e-3


def test_the_minimum_is_approached() -> None:
    """The energy falls; no small change of the result lowers it further by much."""
    flow, slopes, rho = problem(24, 32)
    start = energy(flow, slopes, rho, 20.0)
    dual = np.zeros((2, *flow.shape), np.float32)
    primal_dual(flow, np.empty_like(flow), dual, slopes, rho, np.float32(20.0), 3000)
    least = energy(flow.astype(np.float64), slopes, rho, 20.0)
    assert least < 0.5 * start
    rng = np.random.default_rng(2)
    for scale in (1e-3, 1e-2, 0.1):
        other = energy(flow + rng.normal(0, scale, flow.shape), slopes, rho, 20.0)
        assert other > least * (1 - 1e-4)


@given(dx=st.floats(-6, 6), dy=st.floats(-6, 6))
@settings(max_examples=10, deadline=None)
def test_translations_are_found(dx: float, dy: float) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    flow = optical_flow(waves(x, y), waves(x - dx, y - dy), "tv-l1").flow
    inner = flow[BORDER:-BORDER, BORDER:-BORDER]
    assert np.linalg.norm(inner - [dx, dy], axis=-1).mean() < 0.05


def test_equal_images_have_no_flow() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    image = waves(x, y)
    assert np.abs(optical_flow(image, image, "tv-l1").flow).max() < 1e-3


def test_reruns_are_the_same_to_the_last_bit() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    first, second = (optical_flow(waves(x, y), waves(x - 1.5, y), "tv-l1").flow for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("size", [(16, 16), (16, 70), (40, 17)])
def test_the_flow_is_always_a_number(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for image0, image1 in (
        rng.random((2, *size)),
        np.round(rng.random((2, *size))),
        np.eye(*size)[None].repeat(2, 0),
    ):
        flow = optical_flow(image0, image1, "tv-l1").flow
        assert flow.shape == (*size, 2)
        assert np.isfinite(flow).all()


@pytest.mark.parametrize("options", [{"attachment": 0.0}, {"warps": 0}, {"iterations": 0}])
def test_options_out_of_range_are_named(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TvL1Options(**options)
