"""Checkpoints come back as they were, or not at all."""

import numpy as np
import pytest

from geo3d.render.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

STATE = Checkpoint(
    {"means": np.arange(12, dtype=np.float32).reshape(4, 3), "seen": np.array([True, False])},
    {"step": 7, "seconds": 1.5, "options": {"seed": 3}},
)


def test_arrays_and_numbers_come_back(tmp_path):
    write_checkpoint(tmp_path / "c.npz", STATE)
    found = read_checkpoint(tmp_path / "c.npz")
    assert found is not None and found.meta == STATE.meta
    assert found.arrays.keys() == STATE.arrays.keys()
    for name, array in STATE.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_there_is_none_where_there_is_none(tmp_path):
    assert read_checkpoint(tmp_path / "c.npz") is None


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_one_is_none(tmp_path, part):
    path = tmp_path / "c.npz"
    write_checkpoint(path, STATE)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert read_checkpoint(path) is None


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, a=np.array([{}], object), allow_pickle=True)
    assert read_checkpoint(path) is None
    with pytest.raises(ValueError, match="[Oo]bject"):
        write_checkpoint(path, Checkpoint({"a": np.array([{}], object)}, {}))


def test_what_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "c.npz"
    write_checkpoint(path, STATE)
    with pytest.raises(TypeError):
        write_checkpoint(path, Checkpoint({}, {"bad": object()}))
    assert read_checkpoint(path) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]
