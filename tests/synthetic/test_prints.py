"""Photos of prints: a checkerboard of rectangles looks as one of squares does, discs are where they are."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import BoardOptions, PrintOptions, board_poses, render_board, render_print

CAMERA = Camera("OPENCV_FISHEYE", 160, 120, [73.0, 73, 81, 59, 0.05, -0.01, 0.002, 0.0])


def test_a_checkerboard_is_that_of_render_board():
    options = BoardOptions(columns=5, rows=4, noise=0.0)
    pose = board_poses(CAMERA, 1, options, margin_px=3, seed=1)[0]
    s = options.square_m
    squares = [(s * (i - 1), s * (j - 1), s, s) for j in range(5) for i in range(6) if (i + j) % 2 == 0]
    paper = np.array([-2, -2, 8, 7]) * s
    image = render_print(CAMERA, pose, np.array(squares), np.empty((0, 3)), paper, PrintOptions(noise=0.0))
    difference = np.abs(image.astype(int) - render_board(CAMERA, pose, options).image)
    assert difference.max() <= 1


def test_a_disc_has_its_area_and_place():
    camera = Camera("PINHOLE", 100, 80, [100.0, 100, 50, 40])
    pose = SE3(SO3.identity().matrix, np.array([0.0, 0.0, 1.0]))
    options = PrintOptions(blur_px=0.0, noise=0.0)
    image = render_print(
        camera, pose, np.empty((0, 4)), np.array([[0.1, -0.05, 0.2]]), np.array([-1, -1, 2, 2]), options
    )
    dark = (255 * 0.86 - image) / (255 * (0.86 - 0.07))
    dark[dark < 0.01] = 0  # white is rounded to a grey level
    y, x = np.indices(image.shape) + 0.5
    assert dark.sum() == pytest.approx(np.pi * 20**2, rel=0.01)
    assert (dark * x).sum() / dark.sum() == pytest.approx(60, abs=0.05)
    assert (dark * y).sum() / dark.sum() == pytest.approx(35, abs=0.05)


def test_the_same_seed_gives_the_same_photo():
    pose = SE3(SO3.identity().matrix, np.array([0.0, 0.0, 1.0]))
    square = np.array([[0.0, 0.0, 1.0, 1.0]])
    a, b, c = (
        render_print(CAMERA, pose, square, np.empty((0, 3)), np.array([-1, -1, 2, 2]), seed=seed)
        for seed in (1, 1, 2)
    )
    assert (a == b).all() and (a != c).any()
