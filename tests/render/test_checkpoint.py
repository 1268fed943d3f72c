"""Checkpoints come back as they were; damaged, foreign and lying files are refused."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, floating_dtypes, integer_dtypes

from geo3d.render import read_checkpoint, write_checkpoint

ARRAYS = {"means": np.arange(12, dtype=np.float32).reshape(4, 3), "step.count": np.array(7)}


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "header"),
        arrays(floating_dtypes() | integer_dtypes(), array_shapes(min_dims=0, min_side=0)),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(), max_size=4),
)
def test_what_is_written_is_read(tmp_path_factory, values, header):
    path = tmp_path_factory.getbasetemp() / "round.npz"
    write_checkpoint(path, "splat", values, header)
    found = read_checkpoint(path, "splat")
    assert found.header == header
    assert set(found.arrays) == set(values)
    for name, array in values.items():
        assert found.arrays[name].dtype == array.dtype and found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def test_arrays_can_be_changed_and_keep_their_order(tmp_path):
    write_checkpoint(tmp_path / "c.npz", "splat", {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3))}, {})
    array = read_checkpoint(tmp_path / "c.npz", "splat").arrays["a"]
    array += 1
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_failure_leaves_the_older_one(tmp_path):
    path = tmp_path / "c.npz"
    write_checkpoint(path, "splat", ARRAYS, {"step": 1})
    with pytest.raises(TypeError):
        write_checkpoint(path, "splat", ARRAYS, {"step": object()})
    with pytest.raises(ValueError, match="expected numbers"):
        write_checkpoint(path, "splat", {"a": np.array([None])}, {})
    with pytest.raises(ValueError, match="name of an array"):
        write_checkpoint(path, "splat", {"../a": np.zeros(1)}, {})
    assert read_checkpoint(path, "splat").header == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "c.npz"
    write_checkpoint(path, "splat", ARRAYS, {"step": 1})
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"c\.npz: not a checkpoint"):
            read_checkpoint(path, "splat")


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    path = tmp_path / "c.npz"
    write_checkpoint(path, "splat", ARRAYS, {"step": 1})
    data = path.read_bytes()
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        try:
            read_checkpoint(path, "splat")
        except ValueError as error:
            assert "c.npz" in str(error)


def test_another_kind_is_refused(tmp_path):
    write_checkpoint(tmp_path / "c.npz", "nerf", ARRAYS, {})
    with pytest.raises(ValueError, match=r"expected a checkpoint of 'splat'.*found 'nerf'"):
        read_checkpoint(tmp_path / "c.npz", "splat")
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "d.npz", "splat")


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_lying_files_cost_nothing_and_run_nothing(tmp_path):
    path = tmp_path / "c.npz"
    header = npy(
        np.frombuffer(json.dumps({"geo3d_checkpoint": 1, "kind": "splat", "header": {}}).encode(), np.uint8)
    )
    for member in (
        npy(np.array([{"a": 1}]), allow_pickle=True),  # a pickle
        npy(np.zeros(3)).replace(b"'shape': (3,), }         ", b"'shape': (3000000000,), }", 1),
        npy(np.zeros(3))[:-8],
        b"",
        b"\x93NUMPY\x09\x00",
    ):
        archive(path, {"header": header, "a": member})
        with pytest.raises(ValueError, match=r"c\.npz: not a checkpoint"):
            read_checkpoint(path, "splat")
    archive(path, {"header": header, "a": npy(np.zeros(100_000))}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="bytes, in a file of"):
        read_checkpoint(path, "splat")
    archive(path, {"a": npy(np.zeros(3))})
    with pytest.raises(ValueError, match="header"):
        read_checkpoint(path, "splat")
