"""Trails lead from where points are to where they were, and do not grow without end."""

import numpy as np

from geo3d.viz.flow_trails import Trails

DARK = np.zeros((60, 80, 3), np.uint8)


def test_a_trail_leads_back():
    trails = Trails()
    for x in (20.5, 21.5, 22.5, 23.5):
        picture = trails.draw(DARK, np.array([4]), np.array([[x, 30.5]]))
    lit = np.argwhere(picture.any(axis=2))
    assert lit[:, 0].min() >= 28 and lit[:, 0].max() <= 32
    assert lit[:, 1].min() in (19, 20) and lit[:, 1].max() in (24, 25)
    red, green, blue = picture[30, 21].astype(int)
    assert red > green + 20 and red > blue + 20  # to the right


def test_what_stands_still_is_a_white_dot():
    trails = Trails()
    for _ in range(3):
        picture = trails.draw(DARK[..., 0], np.array([0]), np.array([[40.5, 30.5]]))
    assert (picture[30, 40] == 255).all() and (picture.any(axis=2)).sum() < 20


def test_ended_points_are_forgotten_and_long_trails_cut():
    trails = Trails(frames=5)
    for k in range(10):
        picture = trails.draw(DARK, np.array([k]), np.array([[40.5, 5.5 * k + 1]]))
    assert not picture[:40].any() and picture[45:].any()
    for k in range(8):
        picture = trails.draw(DARK, np.array([99]), np.array([[8.0 * k + 2, 30.5]]))
    assert not picture[:, :40].any()


def test_of_many_points_some_are_drawn_and_stay_the_same():
    trails, rng = Trails(), np.random.default_rng(0)
    points = rng.uniform([0, 0], [80, 60], (2000, 2))
    ids = np.arange(2000)
    first = trails.draw(DARK, ids, points)
    second = trails.draw(DARK, ids, points)
    assert ((first > 0) == (second > 0)).all()
    assert 0.05 < (first > 0).any(axis=2).mean() < 1.0


def test_without_points_the_frame_is_shown():
    frame = np.full((20, 30, 3), 200, np.uint8)
    picture = Trails().draw(frame, np.zeros(0, np.int64), np.zeros((0, 2)))
    assert (picture == 120).all()
