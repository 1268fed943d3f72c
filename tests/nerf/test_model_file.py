"""Files of fields: round trips, and what is refused."""

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.model import NerfModel, model_renderer, read_model, write_model
from geo3d.nerf.model_file import read_tensors, write_tensors
from geo3d.nerf.occupancy import MarchOptions
from tests.nerf.scenes import CAMERA, poses

SHAPE = FieldShape(levels=3, log2_entries=8, coarsest=4, finest=16)


def model(**changes):
    made = NerfModel(
        SHAPE, initial_parameters(SHAPE, seed=3), SceneBox((0.1, 0.2, 0.3), 2.0), 0.5, float("inf"),
        MarchOptions(1 / 32), np.full(16**3, 0.5, np.float32), 0.01,
    )  # fmt: skip
    return replace(made, **changes)


def test_arrays_and_header_come_back(tmp_path):
    arrays = {
        "a.b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "steps": np.array(7),
        "none": np.zeros((0, 2)),
    }
    write_tensors(tmp_path / "x.pt", "thing", arrays, {"step": 3, "far": float("inf")})
    found = read_tensors(tmp_path / "x.pt", "thing")
    assert found.header == {"step": 3, "far": float("inf")} and set(found.arrays) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    with pytest.raises(ValueError, match="expected 'other'"):
        read_tensors(tmp_path / "x.pt", "other")
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "y.pt", "thing")


def test_a_model_comes_back_and_shows_the_same(tmp_path):
    given = model()
    write_model(tmp_path / "nerf.pt", given)
    read = read_model(tmp_path / "nerf.pt")
    assert (read.shape, read.box, read.near, read.far, read.march) == (
        given.shape, given.box, given.near, given.far, given.march,
    )  # fmt: skip
    views = [model_renderer(one, (1.0, 1.0, 1.0), normals=True)(CAMERA, poses(3)[1]) for one in (given, read)]
    for name in ("color", "alpha", "depth", "median_depth", "normals"):
        np.testing.assert_array_equal(getattr(views[0], name), getattr(views[1], name))


class Bad:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    for number, data in enumerate((pickle.dumps(Bad(tmp_path / "ran")), None)):
        path = tmp_path / f"{number}.pt"
        if data is None:
            torch.save({"header": Bad(tmp_path / "ran")}, path)
        else:
            path.write_bytes(data)
        with pytest.raises(ValueError, match="not a field of geo3d"):
            read_tensors(path, "nerf")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, kept):
    path = tmp_path / "nerf.pt"
    write_model(path, model())
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(ValueError, match="damaged"):
        read_model(path)


def test_a_tensor_that_claims_more_than_the_file_has_is_refused(tmp_path):
    wide = torch.zeros(1).expand(1 << 40)
    header = torch.tensor(
        list(json.dumps({"kind": "nerf", "geo3d_field": 1, "header": {}}).encode()), dtype=torch.uint8
    )
    torch.save({"header": header, "grid": wide}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="larger than the file"):
        read_tensors(tmp_path / "x.pt", "nerf")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    write_model(tmp_path / "nerf.pt", model())
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(tmp_path / "nerf.pt") as given,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as taken,
    ):
        for name in given.namelist():
            taken.writestr(name, given.read(name))
    (tmp_path / "nerf.pt").write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match="compressed"):
        read_model(tmp_path / "nerf.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"near": -1.0},
        {"far": 0.1},
        {"occupancy": np.zeros(1000, np.float32)},
        {"occupancy": np.zeros((8, 8, 8), np.float32)},
        {"parameters": initial_parameters(FieldShape(levels=2, log2_entries=8))},
    ],
)
def test_a_model_that_cannot_be_is_refused(tmp_path, changes):
    write_model(tmp_path / "nerf.pt", model(**changes))
    with pytest.raises(ValueError, match="not a field of geo3d"):
        read_model(tmp_path / "nerf.pt")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    given = model()
    given.parameters["color_1"][0, 0] = np.nan
    write_model(tmp_path / "nerf.pt", given)
    with pytest.raises(ValueError, match="not finite"):
        read_model(tmp_path / "nerf.pt")
