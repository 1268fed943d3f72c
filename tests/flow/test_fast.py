"""The fast method finds known motions, keeps symmetries, and answers every image with numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import FastOptions, optical_flow
from geo3d.flow.fast import flow_fast
from geo3d.flow.images import prepare_pair

HEIGHT, WIDTH = 96, 128
BORDER = 12  # pixels near which what moves in or out of the image is not judged


def waves(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W, 3) float32: a smooth texture at the places (x, y), a sum of plane waves 9 to 40 px long."""
    rng = np.random.default_rng(seed)
    image = np.full((*x.shape, 3), 0.5)
    for _ in range(24):
        length, turn, phase = rng.uniform(9, 40), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi / length * (np.cos(turn) * x + np.sin(turn) * y) + phase)
        image += 0.035 * wave[..., None] * rng.uniform(0.6, 1.0, 3)
    return np.clip(image, 0, 1).astype(np.float32)


def moved(matrix: np.ndarray, shift: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images of a plane and its flow, for the motion p -> c + matrix (p - c) + shift about the middle c."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    place = np.stack([x, y], axis=-1)
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    flow = (place - middle) @ matrix.T + middle + shift - place
    before = (place - middle - shift) @ np.linalg.inv(matrix).T + middle
    return waves(x, y, seed), waves(before[..., 0], before[..., 1], seed), flow


def errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Endpoint errors of the pixels that stay inside, but for a border."""
    height, width = truth.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = x + truth[..., 0], y + truth[..., 1]
    inner = (np.minimum(x, to_x) >= BORDER) & (np.maximum(x, to_x) < width - BORDER)
    inner &= (np.minimum(y, to_y) >= BORDER) & (np.maximum(y, to_y) < height - BORDER)
    return np.linalg.norm(found - truth, axis=-1)[inner]


@given(dx=st.floats(-12, 12), dy=st.floats(-12, 12), seed=st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_translations_are_found(dx: float, dy: float, seed: int) -> None:
    image0, image1, flow = moved(np.eye(2), np.array([dx, dy]), seed)
    assert errors(optical_flow(image0, image1, "fast").flow, flow).max() < 0.05


@given(degrees=st.floats(-5, 5), dx=st.floats(-3, 3))
@settings(max_examples=8, deadline=None)
def test_rotations_are_found(degrees: float, dx: float) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    image0, image1, flow = moved(np.array([[c, -s], [s, c]]), np.array([dx, 0.0]))
    found = errors(optical_flow(image0, image1, "fast").flow, flow)
    assert found.mean() < 0.05
    assert found.max() < 0.2


@given(parts=st.tuples(*[st.floats(-0.05, 0.05)] * 4), dy=st.floats(-3, 3))
@settings(max_examples=8, deadline=None)
def test_affine_warps_are_found(parts: tuple, dy: float) -> None:
    image0, image1, flow = moved(np.eye(2) + np.reshape(parts, (2, 2)), np.array([0.0, dy]))
    found = errors(optical_flow(image0, image1, "fast").flow, flow)
    assert found.mean() < 0.05
    assert found.max() < 0.2


@given(px=st.floats(-3e-4, 3e-4), py=st.floats(-3e-4, 3e-4))
@settings(max_examples=6, deadline=None)
def test_homographies_are_found(px: float, py: float) -> None:
    homography = np.array([[1.02, 0.01, 2.0], [0, 0.99, 1.0], [px, py, 1.0]])  # about the middle
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    place = np.stack([x - WIDTH / 2, y - HEIGHT / 2, np.ones_like(x)], axis=-1)
    after, before = place @ homography.T, place @ np.linalg.inv(homography).T
    flow = after[..., :2] / after[..., 2:] - place[..., :2]
    before = before[..., :2] / before[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    found = optical_flow(waves(x, y), waves(before[..., 0], before[..., 1]), "fast").flow
    error = errors(found, flow)
    assert error.mean() < 0.05
    assert error.max() < 0.2


def test_a_change_of_brightness_does_not_matter_much() -> None:
    image0, image1, flow = moved(np.eye(2), np.array([2.5, -1.5]))
    found = optical_flow(image0, np.clip(image1 * 1.1 - 0.02, 0, 1), "fast").flow
    assert errors(found, flow).mean() < 0.1


def test_equal_images_have_no_flow() -> None:
    image = moved(np.eye(2), np.zeros(2))[0]
    assert np.abs(optical_flow(image, image, "fast").flow).max() < 1e-3


def test_a_mirror_mirrors_the_flow() -> None:
    image0, image1, _ = moved(np.array([[1.02, 0.01], [-0.02, 0.99]]), np.array([3.0, -2.0]))
    flow = optical_flow(image0, image1, "fast").flow
    left_right = optical_flow(image0[:, ::-1], image1[:, ::-1], "fast").flow[:, ::-1] * [-1, 1]
    up_down = optical_flow(image0[::-1], image1[::-1], "fast").flow[::-1] * [1, -1]
    inner = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    assert np.abs(flow - left_right)[inner].max() < 0.02
    assert np.abs(flow - up_down)[inner].max() < 0.02


def test_a_block_moves_before_its_background() -> None:
    """Two motions and a sharp boundary: right on both sides of it, but for what is hidden."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    image0, image1 = waves(x, y, 1), waves(x + 1.0, y, 1)
    front0, front1 = (waves(x - shift, y, 2) * np.array([1.0, 0.3, 0.3], np.float32) for shift in (0.0, 6.0))
    image0[30:70, 40:90], image1[30:70, 46:96] = front0[30:70, 40:90], front1[30:70, 46:96]
    flow = optical_flow(image0, image1, "fast").flow
    assert np.linalg.norm(flow[31:69, 41:89] - [6, 0], axis=-1).mean() < 0.1
    assert np.linalg.norm(flow[12:29, 12:-12] - [-1, 0], axis=-1).mean() < 0.1


def test_reruns_are_the_same_to_the_last_bit() -> None:
    image0, image1, _ = moved(np.array([[1.02, 0.01], [-0.02, 0.99]]), np.array([3.0, -2.0]))
    first, second = (optical_flow(image0, image1, "fast").flow for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (61, 17), (33, 47)])
@pytest.mark.parametrize("kind", ["noise", "one colour", "half constant", "unrelated", "black and white"])
def test_the_flow_is_always_a_number(size: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(3)
    image0, image1 = rng.random((2, *size, 3), dtype=np.float32)
    if kind == "one colour":
        image0[..., 1:] = image1[..., 1:] = 0
    if kind == "half constant":
        image0[:, : size[1] // 2] = image1[:, : size[1] // 2] = 0.3
    if kind == "unrelated":
        image0[:] = 0.5
        image0[0, 0] = 0.6
    if kind == "black and white":
        image0, image1 = np.round(image0), np.round(image1)
    flow = flow_fast(prepare_pair(image0, image1), FastOptions())
    assert flow.shape == (*size, 2)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()


def test_constant_images_do_not_move() -> None:
    image = np.full((40, 50, 3), 0.25, np.float32)
    assert not flow_fast(prepare_pair(image, image), FastOptions()).any()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"sweeps": 0}, "sweeps"),
        ({"smoothness": 0.0}, "smoothness"),
        ({"brightness": 0.0, "gradient": 0.0}, "brightness and gradient"),
        ({"gradient": float("nan")}, "brightness and gradient"),
    ],
)
def test_options_out_of_range_are_named(options: dict, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        FastOptions(**options)
