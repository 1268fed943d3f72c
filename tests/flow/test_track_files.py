"""Files of tracks hold what the tracks are."""

import json

import numpy as np
import pytest

from geo3d.flow import PointTracks, SkippedFrame
from geo3d.flow.track_files import write_tracks

TRACKS = PointTracks(
    np.array([0, 1, 3]),
    (64, 48),
    np.array([0, 1]),
    np.array([3, 2]),
    np.array([[1.5, 2.5], [2.5, 2.25], [3.5, 2.0], [10.5, 4.5], [11.5, 4.0]]),
    [SkippedFrame(2, "it cannot be read")],
)


def test_npz(tmp_path):
    write_tracks(tmp_path / "a.npz", TRACKS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["frames"].tolist() == [0, 1, 3] and file["size"].tolist() == [64, 48]
        assert file["first"].tolist() == [0, 1] and file["lengths"].tolist() == [3, 2]
        assert (file["points"] == TRACKS.points).all() and file["skipped"].tolist() == [2]


def test_json(tmp_path):
    write_tracks(tmp_path / "a.json", TRACKS)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["size"] == [64, 48] and found["frames"] == [0, 1, 3]
    assert found["skipped"] == [{"frame": 2, "reason": "it cannot be read"}]
    for row, track in enumerate(found["tracks"]):
        assert track["first"] == TRACKS.first[row] and track["points"] == TRACKS.track(row).tolist()


def test_no_tracks_and_another_ending(tmp_path):
    none = PointTracks(np.array([0]), (64, 48), np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)), [])
    write_tracks(tmp_path / "a.json", none)
    assert json.loads((tmp_path / "a.json").read_text())["tracks"] == []
    with pytest.raises(ValueError, match=r"\.npz or \.json"):
        write_tracks(tmp_path / "a.csv", TRACKS)
