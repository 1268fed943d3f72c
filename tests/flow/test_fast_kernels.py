"""The fast method's kernels are their plain formulas."""

import numpy as np
import pytest

from geo3d.flow.bicubic_step import bicubic, bicubic_reference
from geo3d.flow.fast_kernels import FEATURES, assemble_step, features
from geo3d.flow.fast_reference import (
    data_terms_reference,
    edges_reference,
    features_reference,
    patch_cost_reference,
)
from geo3d.flow.inverse_search import MARGIN, SIZE, STRIDE, densify, inverse_search
from geo3d.flow.variational_kernels import buffer_layout, relax_bands, take_flow
from geo3d.util.jit import njit

f4 = np.float32
WEIGHTS = (0.7, 4.0, 2.5)
ZETA, EPS = 0.03, 0.001


def smooth(rng: np.random.Generator, height: int, width: int, passes: int = 3) -> np.ndarray:
    """(H, W) float32 noise, averaged over neighbours a few times, in [0, 1]."""
    image = rng.random((height, width))
    for _ in range(passes):
        padded = np.pad(image, 1, mode="edge")
        image = (
            padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + padded[1:-1, 1:-1]
        ) / 5
    return ((image - image.min()) / (image.max() - image.min())).astype(np.float32)


@njit()
def _bicubic_once(values, rows, columns, a, b, out, at):
    bicubic(values, rows, columns, a, b, out, at)


def test_eight_values_are_read_at_once() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(6 * 7 * 8, dtype=np.float32)
    rows, columns = (0, 56, 112, 280), (8, 16, 16, 40)
    a, b = (tuple(rng.normal(0, 1, 4).astype(np.float32)) for _ in range(2))
    found, expected = np.zeros(24, np.float32), np.zeros(24, np.float32)
    _bicubic_once(values, rows, columns, a, b, found, 8)
    bicubic_reference(values, rows, columns, a, b, expected, 8)
    assert np.abs(found - expected).max() < 1e-5
    assert not found[:8].any()
    assert not found[16:].any()


@pytest.mark.parametrize("size", [(16, 16), (17, 31)])
def test_features_are_differences_over_five_pixels(size: tuple[int, int]) -> None:
    image = smooth(np.random.default_rng(1), *size)
    planes, pixels = np.empty((6, *size), np.float32), np.empty((*size, FEATURES), np.float32)
    features(image, planes, pixels)
    assert np.abs(planes - features_reference(image)).max() < 1e-5
    assert np.array_equal(np.moveaxis(pixels, -1, 0)[:6], planes)
    assert not pixels[..., 6:].any()


def assembled(height: int, width: int) -> tuple:
    """Images, flow and contrast; then data, edges, buffer and layout of `assemble_step`."""
    rng = np.random.default_rng(height)
    image0, image1 = smooth(rng, height, width), smooth(rng, height, width)
    flow = np.stack([3.0 * smooth(rng, height, width, 9) - 1.0, 2.0 * smooth(rng, height, width, 9)])
    flow = np.where(np.arange(width) < width // 2, flow, flow + f4(2.5)).astype(
        np.float32
    )  # a motion boundary
    contrast = smooth(rng, height, width)
    first, second = np.empty((6, height, width), np.float32), np.empty((height, width, FEATURES), np.float32)
    features(image0, first, second)
    features(image1, np.empty_like(first), second)
    data, edges = np.empty((7, height, width), np.float32), np.empty((2, height, width), np.float32)
    buffer, layout = buffer_layout(height, width)
    weights = (f4(WEIGHTS[0]), f4(WEIGHTS[1]), f4(WEIGHTS[2]))
    assemble_step(first, second, contrast, flow, weights, f4(ZETA), f4(EPS), data, edges, buffer, layout)
    return image0, image1, flow, contrast, data, edges, buffer, layout


@pytest.mark.parametrize("size", [(16, 16), (19, 34)])
def test_a_step_is_that_of_the_formulas(size: tuple[int, int]) -> None:
    image0, image1, flow, contrast, data, edges, _, _ = assembled(*size)
    expected = data_terms_reference(image0, image1, flow, WEIGHTS[0], WEIGHTS[1], ZETA, EPS)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(data[:5] - expected) / scale).max() < 1e-3
    assert np.allclose(edges, edges_reference(flow.astype(np.float64), contrast, WEIGHTS[2], EPS), rtol=1e-3)


def test_the_system_relaxes_to_its_solution() -> None:
    """Sweeps until nothing changes give what numpy solves directly, (A + L) w = b, L the graph's Laplacian."""
    height, width = 16, 18
    _, _, flow, _, data, edges, buffer, layout = assembled(height, width)
    count = height * width
    matrix, number = np.zeros((2 * count, 2 * count)), np.arange(count).reshape(height, width)
    for c, (dy, dx) in enumerate(((0, 1), (1, 0))):
        here, there = number[: height - dy, : width - dx].ravel(), number[dy:, dx:].ravel()
        weight = edges[c, : height - dy, : width - dx].ravel().astype(np.float64)
        for shift in (0, count):
            np.add.at(matrix, (here + shift, here + shift), weight)
            np.add.at(matrix, (there + shift, there + shift), weight)
            np.add.at(matrix, (here + shift, there + shift), -weight)
            np.add.at(matrix, (there + shift, here + shift), -weight)
    p = number.ravel()
    a11, a12, a22, b1, b2 = data[:5].reshape(5, -1).astype(np.float64)
    matrix[p, p] += a11
    matrix[p, p + count] += a12
    matrix[p + count, p] += a12
    matrix[p + count, p + count] += a22
    expected = np.linalg.solve(matrix, np.concatenate([b1, b2])).reshape(2, height, width)
    for turn in range(300):
        relax_bands(buffer, layout, height, width, 16 * (turn % 2), 10, f4(1.8))
    take_flow(buffer, layout, flow)
    assert np.abs(flow - expected).max() < 5e-3


def search(image0: np.ndarray, image1: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(3, rows, columns) displacements and costs."""
    planes = features_reference(image0)[1:3].astype(np.float32)
    padded0, padded1 = (np.pad(image, MARGIN, mode="edge") for image in (image0, image1))
    patches = [-(-(size - SIZE) // STRIDE) + 1 for size in image0.shape]
    found, spread = np.empty((2, 3, *patches), np.float32)
    inverse_search(padded0, padded1, planes, flow, found, spread, 10)
    return found


def test_patches_find_their_place_and_tell_its_cost() -> None:
    rng = np.random.default_rng(4)
    wide = smooth(rng, 60, 80)
    image0, image1 = wide[5:45, 8:60].copy(), wide[8:48, 4:56].copy()  # moves by (4, -3)
    flow = np.zeros((2, 40, 52), np.float32)
    flow[:, 20, 26] = 3.0, -2.0  # one pixel knows about it; its patches' neighbours learn it
    found = search(image0, image1, flow)
    rows, columns = found.shape[1:]
    for row in range(rows):
        for column in range(columns):
            x, y = min(column * STRIDE, 52 - SIZE), min(row * STRIDE, 40 - SIZE)
            cost = patch_cost_reference(image0, image1, x, y, found[:2, row, column])
            assert found[2, row, column] == pytest.approx(cost, rel=1e-3, abs=1e-4)
            assert cost <= patch_cost_reference(image0, image1, x, y, np.zeros(2)) + 1e-6
    assert np.abs(found[:2, 5, 6] - [4.0, -3.0]).max() < 0.05


def test_the_mean_of_a_patch_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    wide = 0.5 * smooth(rng, 60, 80)
    image0, image1 = wide[5:45, 8:60].copy(), wide[6:46, 7:59].copy()
    flow = np.zeros((2, 40, 52), np.float32)
    assert np.abs(search(image0, image1, flow) - search(image0, image1 + f4(0.25), flow)).max() < 0.02


def test_the_dense_flow_is_the_weighted_mean() -> None:
    rng = np.random.default_rng(6)
    height, width = 21, 27
    patches = [-(-(size - SIZE) // STRIDE) + 1 for size in (height, width)]
    found = rng.random((3, *patches), dtype=np.float32)
    sums = np.zeros((3, height, width))
    for row in range(patches[0]):
        for column in range(patches[1]):
            y, x = min(row * STRIDE, height - SIZE), min(column * STRIDE, width - SIZE)
            weight = 1.0 / (found[2, row, column] + 0.1)
            sums[:, y : y + SIZE, x : x + SIZE] += (weight * np.array([*found[:2, row, column], 1.0]))[
                :, None, None
            ]
    out = np.empty((2, height, width), np.float32)
    densify(found, f4(0.1), out)
    assert np.abs(out - sums[:2] / sums[2]).max() < 1e-5
