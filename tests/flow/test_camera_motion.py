"""The motion of the camera against the exact one: with movers, cuts, broken frames and frames of other sizes."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from geo3d.flow import CameraMotionOptions, camera_motion
from geo3d.flow.camera_motion import transfer

from .clips import SIZE, shaken_clip, turn

GRID = np.stack(np.meshgrid(np.linspace(10, SIZE[0] - 10, 5), np.linspace(10, SIZE[1] - 10, 5)), 2)


def error_px(found, truth):
    """(N,) mean distance over the picture."""
    return np.array(
        [np.linalg.norm(transfer(a, GRID) - transfer(b, GRID), axis=2).mean() for a, b in zip(found, truth)]
    )


@pytest.mark.parametrize("mover", [0.0, 0.5, 0.9])
def test_steps_are_the_cameras_whatever_walks_before_it(mover):
    clip = shaken_clip(60, mover=mover)  # the mover comes to cover 0.6 of the picture
    motion = camera_motion(clip.frames)
    errors = error_px(motion.steps, clip.steps)
    assert errors.mean() < 0.1 and errors.max() < 1.0
    assert (motion.numbers == np.arange(60)).all()
    assert not motion.skipped and not len(motion.cuts) and motion.shots() == [(0, 60)]


def test_a_similarity_of_a_camera_that_rolls():
    clip = shaken_clip(2, shake_deg=0.0, pan_deg=0.0)
    roll = turn([0, 0, 0.05])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    rolled = cv2.warpPerspective(
        clip.frames[0], np.linalg.inv(half) @ roll @ half, SIZE, flags=cv2.INTER_CUBIC
    )
    motion = camera_motion([clip.frames[0], rolled], CameraMotionOptions("similarity"))
    np.testing.assert_allclose(motion.steps[0][:, :2], roll[:, :2], atol=3e-4)
    assert error_px(motion.steps, roll[None]).max() < 0.05


def test_reduced_frames_give_the_motion_of_the_full_ones():
    clip = shaken_clip(6)
    motion = camera_motion(clip.frames, CameraMotionOptions(side_px=200))
    assert error_px(motion.steps, clip.steps).max() < 0.3


def test_what_does_not_fit_is_left_out_and_named():
    clip = shaken_clip(14)
    rng = np.random.default_rng(0)
    frames: list = list(clip.frames)
    frames[3] = None
    frames[5] = frames[5][:200, :300]
    frames[8] = rng.integers(0, 255, frames[8].shape, np.uint8)  # garbage, as of a damaged file
    frames[11] = np.zeros_like(frames[11])
    motion = camera_motion(frames)
    assert motion.numbers.tolist() == [0, 1, 2, 4, 6, 7, 9, 10, 12, 13]
    assert [frame.number for frame in motion.skipped] == [3, 5, 8, 11]
    read, size, odd, dark = (frame.reason for frame in motion.skipped)
    assert "read" in read and "300x200" in size and "320x240" in size and odd == dark
    assert not len(motion.cuts)
    places = np.concatenate([np.eye(3)[None], clip.steps])
    for i in range(1, len(places)):
        places[i] = places[i] @ places[i - 1]
    wanted = places[motion.numbers]
    steps = np.stack([b @ np.linalg.inv(a) for a, b in pairwise(wanted)])
    assert error_px(motion.steps, steps).max() < 0.5


def test_a_cut_begins_a_shot():
    first, second = shaken_clip(6, seed=1), shaken_clip(6, seed=2)
    motion = camera_motion(first.frames + second.frames)
    assert motion.cuts.tolist() == [6] and motion.shots() == [(0, 6), (6, 12)]
    assert motion.support[5] == 0 and (motion.steps[5] == np.eye(3)).all()


def test_darkness_is_no_cut():
    clip = shaken_clip(4)
    frames = [*clip.frames, *[np.zeros_like(clip.frames[0])] * 3]
    motion = camera_motion(frames)
    assert not len(motion.cuts) and (motion.support[3:] == 0).all()


def test_frames_are_not_kept():
    clip, alive = shaken_clip(3), set()

    class Frame(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def walk():
        for k in range(12):
            frame = clip.frames[k % 3].copy().view(Frame)
            alive.add(id(frame))
            assert len(alive) <= 4
            yield k, frame
            del frame

    assert len(camera_motion(walk()).numbers) == 12


def test_the_first_frame_may_be_the_odd_one():
    frames = shaken_clip(4).frames
    frames[0] = frames[0][:100]
    motion = camera_motion(frames)
    assert motion.size == SIZE and motion.numbers.tolist() == [1, 2, 3]
    assert [frame.number for frame in motion.skipped] == [0]


def test_refusals():
    with pytest.raises(
        ValueError, match="two or more that can be used, got 1; frame 1 was left out: it cannot"
    ):
        camera_motion([np.zeros((48, 64), np.uint8), None])
    with pytest.raises(ValueError, match=r"frame 0 is of \(4, 4, 4\)"):
        camera_motion([np.zeros((4, 4, 4), np.uint8)])
    with pytest.raises(ValueError, match="frame 0 is int64"):
        camera_motion([np.zeros((48, 64), np.int64)])
    with pytest.raises(ValueError, match="model"):
        CameraMotionOptions(model="affine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="side_px"):
        CameraMotionOptions(side_px=10)
    with pytest.raises(ValueError, match="max_error_px"):
        CameraMotionOptions(max_error_px=0.0)
