"""Tracks against the exact motion of made-up layers; where they end and begin; what is left out."""

import numpy as np
import pytest

from geo3d.flow import VideoTrackOptions, follow_points, track_video
from geo3d.flow.camera_motion import transfer
from geo3d.synthetic.flow import FlowPairOptions, make_flow_scene

from .clips import SIZE, shaken_clip

DIS = VideoTrackOptions(method="dis")  # the quickest
LAYERS = FlowPairOptions(
    width=SIZE[0],
    height=SIZE[1],
    layers=2,
    thin=0,
    max_motion_px=4.0,
    rotation_deg=1.0,
    zoom=0.02,
    perspective=0.01,
    plain=0.0,
    repetition=0.0,
    patches=0.0,
)


@pytest.mark.parametrize("seed", [1, 3])
def test_tracks_follow_the_truth(seed):
    count = 10
    scene = make_flow_scene(LAYERS, seed)
    tracks = track_video([scene.image(float(i)) for i in range(count)], DIS)
    places = [scene.homographies(float(i)) for i in range(count)]
    truths = [scene.truth(float(i), float(i + 1)) for i in range(count)]
    errors, strays = [], []
    for row in range(len(tracks)):
        first, points = int(tracks.first[row]), tracks.track(row)
        x, y = points[0].astype(int)
        layer = truths[first].layer[y, x]
        home = transfer(np.linalg.inv(places[first][layer]), points[0])
        for i, point in enumerate(points[1:], first + 1):
            errors.append(np.linalg.norm(point - transfer(places[i][layer], home)))
            x, y = np.minimum(point.astype(int), [SIZE[0] - 1, SIZE[1] - 1])
            strays.append(truths[i].layer[y, x] != layer)
    assert np.median(errors) < 0.3 and np.percentile(errors, 90) < 2.0
    assert np.mean(strays) < 0.03  # what is hidden ends
    assert tracks.lengths.mean() > 0.6 * count


def test_every_place_has_a_point_and_no_id_comes_twice():
    clip = shaken_clip(8)
    seen, last = set(), set()
    for tracked in follow_points(clip.frames, DIS):
        assert (np.diff(tracked.ids) > 0).all()
        now = set(tracked.ids.tolist())
        assert not (now - last) & seen  # an ended track does not begin again
        seen |= now
        last = now
        cells = {tuple(cell) for cell in (tracked.points // 24).astype(int).tolist()}
        assert len(cells) > 0.95 * (SIZE[0] / 24) * (SIZE[1] / 24)
        assert (tracked.points >= 0).all() and (tracked.points <= SIZE).all()


def test_tracks_and_frames_tell_the_same():
    frames = shaken_clip(6).frames
    walked = list(follow_points(frames, DIS))
    tracks = track_video(frames, DIS)
    assert tracks.size == SIZE and tracks.numbers.tolist() == list(range(6))
    assert (tracks.lengths >= 2).all() and tracks.lengths.sum() == len(tracks.points)
    for i, tracked in enumerate(walked):
        rows, points = tracks.at(i)
        for row, point in zip(rows, points):
            np.testing.assert_array_equal(tracks.track(row)[i - tracks.first[row]], point)
        found = {tuple(p) for p in tracked.points.astype(np.float32).tolist()}
        assert {tuple(p) for p in points.astype(np.float32).tolist()} <= found


def test_a_cut_ends_all_tracks():
    first, second = shaken_clip(4, seed=1), shaken_clip(4, seed=2)
    tracks = track_video(first.frames + second.frames, DIS)
    assert len(tracks) > 100
    assert ((tracks.first >= 4) | (tracks.first + tracks.lengths <= 4)).all()


def test_a_plain_video_has_no_points():
    tracks = track_video([np.full((48, 64, 3), 90, np.uint8)] * 3)
    assert len(tracks) == 0 and tracks.points.shape == (0, 2) and len(tracks.at(1)[0]) == 0


def test_broken_frames_are_bridged_and_named():
    frames: list = list(shaken_clip(6).frames)
    frames[2], frames[4] = None, frames[4][:100]
    tracks = track_video(frames, DIS)
    assert tracks.numbers.tolist() == [0, 1, 3, 5]
    assert [frame.number for frame in tracks.skipped] == [2, 4]
    assert (tracks.lengths == 4).mean() > 0.3


def test_refusals():
    with pytest.raises(ValueError, match="got none; frame 0 was left out: it cannot be read"):
        track_video([None])
    with pytest.raises(ValueError, match="spacing_px"):
        VideoTrackOptions(spacing_px=0)
    with pytest.raises(ValueError, match="method: expected one of"):
        VideoTrackOptions(method="eye")
