"""Lucas-Kanade solves its least squares, finds known motions, and says which points it lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import LucasKanadeOptions, TrackOptions, optical_flow, track_points
from geo3d.flow.lucas_kanade import window_step
from geo3d.flow.lucas_kanade_kernels import descend, normal_matrix, read, solve_step, window
from geo3d.flow.warp import warp_backward_reference

HEIGHT, WIDTH, MARGIN = 96, 128, 24


def waves(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W) float32: a smooth texture at the places (x, y), a sum of plane waves 9 to 40 px long."""
    rng = np.random.default_rng(seed)
    image = np.full(x.shape, 0.5)
    for _ in range(24):
        length, turn, phase = rng.uniform(9, 40), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        image += 0.03 * np.sin(2 * np.pi / length * (np.cos(turn) * x + np.sin(turn) * y) + phase)
    return np.clip(image, 0, 1).astype(np.float32)


def moved(matrix: np.ndarray, shift: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images of a plane that moves p -> c + matrix (p - c) + shift, c the middle, and points (N, 4) of both."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    before = (np.stack([x, y], -1) - middle - shift) @ np.linalg.inv(matrix).T + middle
    points = np.random.default_rng(seed).uniform(MARGIN, [WIDTH - MARGIN, HEIGHT - MARGIN], (20, 2))
    there = (points - middle) @ matrix.T + middle + shift
    return waves(x, y, seed), waves(before[..., 0], before[..., 1], seed), np.hstack([points, there])


def test_images_are_read_as_the_reference_does() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((20, 30), dtype=np.float32)
    places = rng.uniform(0, [29, 19], (50, 2))
    flow = places[None].copy()
    flow[0, :, 0] -= np.arange(50)
    expected = warp_backward_reference(image[..., None], flow, "bicubic")[0, :, 0]
    found = [read(image, x, y) for x, y in places]
    assert np.abs(np.array(found) - expected).max() < 1e-5


@pytest.mark.parametrize("count", [2, 6])
def test_the_step_is_that_of_direct_least_squares(count: int) -> None:
    """The first Gauss-Newton step equals numpy's least squares over the window's equations."""
    image0, image1, _ = moved(np.eye(2), np.array([0.4, -0.3]), seed=2)
    radius = 7
    values, descents = np.empty(225), np.empty((225, 6))
    window(image0, 50.3, 40.8, radius, values, descents)
    dx, dy = np.meshgrid(np.arange(-radius, radius + 1.0), np.arange(-radius, radius + 1.0))
    there = np.array([read(image1, 50.3 + i, 40.8 + j) for i, j in zip(dx.ravel(), dy.ravel())])
    change = there - there.mean() - values
    expected = np.linalg.lstsq(descents[:, :count], change, rcond=None)[0]
    matrix, step = np.empty((6, 6)), np.zeros(6)
    normal_matrix(descents, count, matrix)
    assert solve_step(matrix, descents.T @ change, count, step)
    assert np.abs(step[:count] - expected).max() < 1e-9
    motion = np.array([50.3, 40.8, 1.0, 0.0, 0.0, 1.0])
    descend(image1, motion, radius, 2, 1, values, descents, np.empty(225))
    if count == 2:
        assert np.abs(motion[:2] - ([50.3, 40.8] - expected)).max() < 1e-9


def test_descents_are_the_derivatives_of_the_values() -> None:
    """Window values of a moved image, by the six parameters, against differences."""
    image = waves(*(np.mgrid[:64, :64][::-1] + 0.5))
    radius, step = 5, 1e-3
    values, descents = np.empty(121), np.empty((121, 6))
    window(image, 30.2, 31.7, radius, values, descents)
    dx, dy = np.meshgrid(np.arange(-radius, radius + 1.0), np.arange(-radius, radius + 1.0))
    moves = [np.ones_like(dx), np.zeros_like(dx), dx, np.zeros_like(dx), dy, np.zeros_like(dx)]
    across = [np.zeros_like(dx), np.ones_like(dx), np.zeros_like(dx), dx, np.zeros_like(dx), dy]
    for c in range(6):
        ends = [
            np.array(
                [
                    read(image, 30.2 + i + s * step * a, 31.7 + j + s * step * b)
                    for i, j, a, b in zip(dx.ravel(), dy.ravel(), moves[c].ravel(), across[c].ravel())
                ]
            )
            for s in (-1, 1)
        ]
        slope = (ends[1] - ends[0]) / (2 * step)
        slope -= slope.mean()
        assert np.abs(slope - descents[:, c]).max() < 0.15 * np.abs(slope).max()


def test_a_singular_system_is_told() -> None:
    assert not solve_step(np.zeros((6, 6)), np.zeros(6), 2, np.zeros(6))
    assert not solve_step(np.ones((6, 6)), np.zeros(6), 2, np.zeros(6))


@given(dx=st.floats(-9, 9), dy=st.floats(-9, 9), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_points_follow_a_translation(dx: float, dy: float, seed: int) -> None:
    image0, image1, points = moved(np.eye(2), np.array([dx, dy]), seed)
    found = track_points(image0, image1, points[:, :2])
    assert found.tracked.mean() > 0.8
    assert np.nanmax(np.abs(found.points - points[:, 2:])) < 0.05


@given(parts=st.tuples(*[st.floats(-0.08, 0.08)] * 4))
@settings(max_examples=15, deadline=None)
def test_points_follow_an_affine_motion_and_report_it(parts: tuple) -> None:
    matrix = np.eye(2) + np.reshape(parts, (2, 2))
    image0, image1, points = moved(matrix, np.array([1.5, -0.5]))
    found = track_points(image0, image1, points[:, :2])
    assert found.tracked.mean() > 0.8
    assert np.nanmax(np.abs(found.points - points[:, 2:])) < 0.05
    assert np.abs(found.affine[found.tracked] - matrix).max() < 0.05


def test_a_change_of_exposure_does_not_move_points() -> None:
    image0, image1, points = moved(np.eye(2), np.array([2.0, 1.0]))
    found = track_points(image0, np.clip(image1 + 0.1, 0, 1), points[:, :2])
    assert np.nanmax(np.abs(found.points - points[:, 2:])) < 0.05


def test_guesses_lead_far() -> None:
    rng = np.random.default_rng(0)
    far = np.kron(rng.random((24, 64)), np.ones((4, 4))).astype(np.float32)
    image0, image1 = far[:, 60 : 60 + WIDTH], far[:, :WIDTH]  # moves by 60 px
    points = np.array([[40.5, 48.5], [30.5, 40.5]])
    found = track_points(image0, image1, points, guesses=points + np.array([59, 1]))
    assert np.abs(found.points - points - [60, 0]).max() < 0.05


def test_what_is_lost_is_told() -> None:
    """Plain windows, points outside, unknown points, and a place that is covered in the other image."""
    image0, image1, _ = moved(np.eye(2), np.zeros(2))
    image0[:30, :30] = image1[:30, :30] = 0.5
    image1[50:90, 80:120] = np.random.default_rng(0).random((40, 40))
    points = np.array([[12.0, 12.0], [-5.0, 40.0], [np.nan, 3.0], [100.0, 70.0], [60.0, 40.0]])
    found = track_points(image0, image1, points)
    assert found.tracked.tolist() == [False, False, False, False, True]
    assert np.isnan(found.points[:4]).all()
    assert np.abs(found.points[4] - points[4]).max() < 1e-3
    assert np.isinf(found.return_px[2])


def test_no_points_are_no_trouble() -> None:
    image = moved(np.eye(2), np.zeros(2))[0]
    found = track_points(image, image, np.empty((0, 2)))
    assert found.points.shape == (0, 2)
    assert found.affine.shape == (0, 2, 2)


def test_wrong_arguments_are_named() -> None:
    image = moved(np.eye(2), np.zeros(2))[0]
    with pytest.raises(ValueError, match=r"points: expected \(N, 2\)"):
        track_points(image, image, np.zeros(2))
    with pytest.raises(ValueError, match="guesses: expected one for each of 1 points"):
        track_points(image, image, np.zeros((1, 2)), guesses=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="radius_px"):
        TrackOptions(radius_px=0)
    with pytest.raises(ValueError, match="max_return_px"):
        TrackOptions(max_return_px=-1.0)
    with pytest.raises(ValueError, match="sigma_px"):
        LucasKanadeOptions(sigma_px=0.0)
    with pytest.raises(ValueError, match="iterations"):
        LucasKanadeOptions(iterations=0)


def test_the_dense_step_is_that_of_direct_least_squares() -> None:
    """At one pixel: the Gaussian window's equations, solved by numpy."""
    image0, image1, _ = moved(np.eye(2), np.array([0.3, 0.2]))
    sigma, x, y, reach = 2.0, 60, 50, 12
    mean, change = 0.5 * (image0 + image1).astype(np.float64), image1.astype(np.float64) - image0
    gy, gx = np.gradient(mean, axis=0), np.gradient(mean, axis=1)
    j, i = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    weight = np.sqrt(np.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2))).ravel()
    equations = np.stack([gx[j, i].ravel(), gy[j, i].ravel()], 1) * weight[:, None]
    expected = np.linalg.lstsq(equations, -change[j, i].ravel() * weight, rcond=None)[0]
    assert np.abs(window_step(image0, image1, sigma)[:, y, x] - expected).max() < 0.01


@given(dx=st.floats(-6, 6), dy=st.floats(-6, 6))
@settings(max_examples=10, deadline=None)
def test_the_dense_flow_follows_a_translation(dx: float, dy: float) -> None:
    image0, image1, _ = moved(np.eye(2), np.array([dx, dy]))
    flow = optical_flow(image0, image1, "lucas-kanade").flow
    inner = flow[MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert np.linalg.norm(inner - [dx, dy], axis=-1).mean() < 0.05


@pytest.mark.parametrize("size", [(16, 16), (16, 70), (40, 17)])
def test_the_dense_flow_is_always_a_number(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for image0, image1 in (
        rng.random((2, *size)),
        np.round(rng.random((2, *size))),
        np.eye(*size)[None].repeat(2, 0),
    ):
        flow = optical_flow(image0, image1, "lucas-kanade").flow
        assert flow.shape == (*size, 2)
        assert np.isfinite(flow).all()


def test_equal_images_have_no_flow_and_reruns_are_the_same() -> None:
    image0, image1, points = moved(np.eye(2), np.array([2.0, 1.0]))
    assert np.abs(optical_flow(image0, image0, "lucas-kanade").flow).max() < 1e-4
    first, second = (optical_flow(image0, image1, "lucas-kanade").flow for _ in range(2))
    assert np.array_equal(first, second)
    tracks = [track_points(image0, image1, points[:, :2]).points for _ in range(2)]
    assert np.array_equal(tracks[0], tracks[1])
