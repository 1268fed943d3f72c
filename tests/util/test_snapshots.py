"""Snapshots: what is saved comes back, for the same key only, and not more often than asked."""

import numpy as np
import pytest

from geo3d.util.snapshots import Snapshots


def test_a_step_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.arange(3.0), "empty": np.zeros((0, 3))}

    for _ in range(2):
        found = Snapshots(tmp_path / "new", "key", interval_s=0).step("one", compute)
        assert found["x"].tolist() == [0, 1, 2] and found["empty"].shape == (0, 3)
    assert len(calls) == 1


def test_another_key_and_a_damaged_file_are_not_there(tmp_path):
    Snapshots(tmp_path, "key", 0).save("one", lambda: {"x": np.ones(2)})
    assert Snapshots(tmp_path, "key").load("one") is not None
    assert Snapshots(tmp_path, "other").load("one") is None
    assert Snapshots(tmp_path, "key").load("two") is None
    file = tmp_path / "one.npz"
    file.write_bytes(file.read_bytes()[:-40])
    assert Snapshots(tmp_path, "key").load("one") is None
    file.write_bytes(b"")
    assert Snapshots(tmp_path, "key").load("one") is None


def test_nothing_is_written_before_the_interval_is_over(tmp_path):
    keep = Snapshots(tmp_path, "key", interval_s=1000)
    keep.save("one", lambda: pytest.fail("not yet"))
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept():
    keep = Snapshots(interval_s=0)
    assert keep.step("one", lambda: {"x": np.ones(1)})["x"].tolist() == [1]
    assert keep.load("one") is None


def test_parts_have_names_of_their_own_and_share_the_clock(tmp_path):
    keep = Snapshots(tmp_path, "key", interval_s=0)
    keep.within("a").within("b").save("one", lambda: {"x": np.zeros(1)})
    assert keep.load("one") is None and keep.within("a").within("b").load("one") is not None
    slow = Snapshots(tmp_path, "key", interval_s=1000)
    slow._last[0] -= 2000
    slow.within("a").save("two", lambda: {"x": np.zeros(1)})
    slow.within("c").save("three", lambda: pytest.fail("saved a moment ago"))
    assert slow.within("a").load("two") is not None
