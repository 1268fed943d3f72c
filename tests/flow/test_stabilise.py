"""After stabilising the shake is gone, no border shows, and what walks before the camera changes nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import CameraMotion, StabiliseOptions, camera_motion, plan_stabilisation, stabilised_frames
from geo3d.flow.camera_motion import transfer
from geo3d.flow.smooth_path import smooth_path

from .clips import SIZE, shaken_clip

CORNERS = np.array([[0, 0], [SIZE[0], 0], [0, SIZE[1]], SIZE], np.float64)


def motion_of(steps, cuts=()):
    count = len(steps) + 1
    return CameraMotion(np.arange(count), SIZE, steps, np.ones(count - 1), np.array(cuts, np.int64), [])


def shake(steps, warps):
    """Root mean square change of speed at the corners, of what stands still."""
    moves = [
        transfer(np.linalg.inv(warps[i + 1]) @ step @ warps[i], CORNERS) - CORNERS
        for i, step in enumerate(steps)
    ]
    return np.sqrt((np.diff(moves, axis=0) ** 2).sum(axis=2).mean())


@pytest.mark.parametrize("mover", [0.0, 0.8])
def test_the_shake_falls_by_twenty(mover):
    """Of the true motion, which the plan does not know."""
    clip = shaken_clip(60, mover=mover)
    plan = plan_stabilisation(camera_motion(clip.frames))
    before = shake(clip.steps, np.broadcast_to(np.eye(3), (60, 3, 3)))
    after = shake(clip.steps, plan.frame_from_output)
    assert before > 10 and after < before / 20
    assert plan.shake_px == pytest.approx(before, rel=0.05) and plan.left_px < before / 20
    assert 0.799 < plan.crop < 0.9


def test_no_border_shows():
    clip = shaken_clip(40, shake_deg=1.2)
    plan = plan_stabilisation(camera_motion(clip.frames), StabiliseOptions(window=0.85))
    for warp in plan.frame_from_output:
        seen = transfer(warp, CORNERS)
        assert (seen >= -1e-3).all() and (seen <= np.array(SIZE) + 1e-3).all()
    assert plan.crop > 0.8499
    white = [np.full((*SIZE[::-1], 3), 255, np.uint8)] * 40
    assert all((frame == 255).all() for _, frame in stabilised_frames(white, plan))


def test_the_picture_itself_is_steady():
    """Frames of the output differ no more than the pan makes them, while those of the video did."""
    clip = shaken_clip(40, pan_deg=0.0)
    plan = plan_stabilisation(camera_motion(clip.frames))
    steady = [frame.astype(float) for _, frame in stabilised_frames(clip.frames, plan)]
    shaken = [frame.astype(float) for frame in clip.frames]
    differ = [np.mean([np.abs(b - a).mean() for a, b in pairwise(f)]) for f in (steady, shaken)]
    assert len(steady) == 40 and steady[0].shape == shaken[0].shape
    assert differ[0] < 0.25 * differ[1]


def test_a_still_video_is_left_as_it_is():
    clip = shaken_clip(2)
    plan = plan_stabilisation(camera_motion(clip.frames[:1] * 5))
    np.testing.assert_allclose(plan.frame_from_output, np.broadcast_to(np.eye(3), (5, 3, 3)), atol=0.02)
    assert plan.crop > 0.999 and plan.shake_px < 0.02
    _, frame = next(iter(stabilised_frames(clip.frames, plan)))
    assert np.abs(frame.astype(int) - clip.frames[0]).max() <= 4


def test_each_shot_has_its_own_path():
    first, second = shaken_clip(12, seed=1), shaken_clip(12, seed=2)
    steps = np.concatenate([first.steps, np.eye(3)[None], second.steps])
    both = plan_stabilisation(motion_of(steps, [12]))
    one = plan_stabilisation(motion_of(first.steps))
    after = shake(second.steps, both.frame_from_output[12:])
    assert after < 0.2 * shake(second.steps, np.broadcast_to(np.eye(3), (12, 3, 3)))
    assert both.crop <= one.crop + 1e-9
    assert len(both.frame_from_output) == 24


def similarity(turn, zoom, x, y):
    p, q = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
    return np.array([[p, -q, x], [q, p, y], [0, 0, 1]])


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4, 20]))
def test_windows_stay_in_the_frame_and_cost_no_more_than_none(seed, count):
    rng = np.random.default_rng(seed)
    size, half = (320.0, 240.0), np.array([160.0, 120.0])
    steps = np.stack(
        [similarity(rng.normal(0, 0.01), rng.normal(0, 0.01), *rng.normal(0, 8, 2)) for _ in range(count - 1)]
    )
    margins = rng.uniform(0, 5, count)
    windows = smooth_path(steps, size, 0.8, margins)
    assert windows.shape == (count, 4)

    def matrices(b):
        return [np.array([[p, -q, x], [q, p, y], [0, 0, 1]]) for p, q, x, y in b]

    corners = 0.8 * half * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    for matrix, margin in zip(matrices(windows), margins):
        assert (np.abs(transfer(matrix, corners)) <= half - margin + 1e-3).all()

    def cost(b):
        unit, ms = np.hypot(*half), matrices(b)
        r = np.stack([np.linalg.inv(f) @ ms[i + 1] - ms[i] for i, f in enumerate(steps)])
        r = np.stack([r[:, 0, 0], r[:, 1, 0], r[:, 0, 2] / unit, r[:, 1, 2] / unit], 1)
        off = (b - [1, 0, 0, 0]) / [1, 1, unit, unit]
        terms = ((10, r), (1, np.diff(r, 1, 0)), (100, np.diff(r, 2, 0)), (0.01, off))
        return sum(w * np.abs(values).sum() for w, values in terms)

    still = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    assert cost(windows) <= cost(still) + 1e-6
    for _ in range(20):  # nor than windows a little beside it that are allowed
        other = windows + rng.normal(0, 1, windows.shape) * [1e-4, 1e-4, 0.05, 0.05]
        other[:, 0] = np.clip(other[:, 0], 1.0, 1.05)
        inside = all(
            (np.abs(transfer(m, corners)) <= half - e).all() for m, e in zip(matrices(other), margins)
        )
        assert not inside or cost(other) >= cost(windows) - 1e-5


def test_long_shots_are_solved_in_parts_without_a_seam():
    rng = np.random.default_rng(0)
    steps = np.stack([similarity(rng.normal(0, 0.003), 0.0, *rng.normal(0, 3, 2)) for _ in range(399)])
    windows = smooth_path(steps, (320.0, 240.0), 0.8, np.zeros(400))
    moves = np.stack(
        [
            transfer(np.linalg.inv(_matrix(windows[i + 1])) @ step @ _matrix(windows[i]), np.zeros(2))
            for i, step in enumerate(steps)
        ]
    )
    jolts = np.linalg.norm(np.diff(moves, axis=0), axis=1)
    assert jolts.max() < 1.0 and jolts[235:305].max() <= jolts.max()
    assert np.sqrt((jolts**2).mean()) < 0.1


def _matrix(window):
    p, q, x, y = window
    return np.array([[p, -q, x], [q, p, y], [0, 0, 1]])


@pytest.mark.parametrize("window", [0.1, 1.0, float("nan")])
def test_a_window_out_of_range(window):
    with pytest.raises(ValueError, match="window"):
        StabiliseOptions(window)
