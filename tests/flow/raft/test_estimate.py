"""`optical_flow` by RAFT: any image, any size, never NaN; what is missing is told."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from geo3d.flow import optical_flow
from geo3d.flow.raft import RaftOptions, estimate
from geo3d.flow.raft.architecture import FULL, REDUCED, SMALL
from geo3d.flow.raft.model import Raft


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """File of an untrained network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "reduced.pth"
    torch.save(Raft(REDUCED).state_dict(), path)
    return path


def texture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 130), (63, 65), (64, 64), (97, 131)])
def test_any_size(weights, height, width):
    found = optical_flow(texture(height, width), texture(height, width, 1), "raft", RaftOptions(weights, 3))
    assert found.flow.shape == (height, width, 2) and found.flow.dtype == np.float32
    assert np.isfinite(found.flow).all() and np.isfinite(found.confidence).all()
    assert found.method == "raft"


@pytest.mark.parametrize("architecture", [FULL, SMALL])
def test_the_papers_networks(tmp_path, architecture):
    torch.save(Raft(architecture).state_dict(), tmp_path / "raft.pth")
    options = RaftOptions(tmp_path / "raft.pth", iterations=2)
    assert np.isfinite(optical_flow(texture(70, 90), texture(70, 90, 1), "raft", options).flow).all()


def test_constant_grey_and_unknown_pixels(weights):
    options = RaftOptions(weights, 2)
    plain = np.full((40, 50), 90, np.uint8)
    found = optical_flow(plain, plain, "raft", options)
    assert not found.flow.any() and not found.confidence.any()
    grey = texture(40, 50)[..., 0] / np.float32(255.0)
    holes = grey.copy()
    holes[10:20, 10:20] = np.nan
    found = optical_flow(holes, grey, "raft", options)
    assert np.isfinite(found.flow).all()
    assert not found.confidence[10:20, 10:20].any()


def test_the_same_bits_each_time(weights):
    pair = texture(72, 80), texture(72, 80, 1)
    runs = [optical_flow(*pair, "raft", RaftOptions(weights, 4)).flow for _ in range(2)]
    np.testing.assert_array_equal(*runs)


def test_the_whole_pyramid_gives_the_same(weights, monkeypatch):
    """What a GPU does, on the CPU."""
    pair = texture(72, 80), texture(72, 80, 1)
    on_demand = optical_flow(*pair, "raft", RaftOptions(weights, 3)).flow
    forward = Raft.forward
    monkeypatch.setattr(Raft, "forward", lambda self, a, b, n, on_demand: forward(self, a, b, n, False))
    np.testing.assert_allclose(
        optical_flow(*pair, "raft", RaftOptions(weights, 3)).flow, on_demand, atol=1e-3
    )


def test_padding_is_about_the_image():
    assert [estimate._padding(size) for size in (16, 63, 64, 65, 72)] == [
        (24, 24),
        (0, 1),
        (0, 0),
        (3, 4),
        (0, 0),
    ]


def test_without_weights_it_says_where_there_are():
    with pytest.raises(ValueError, match=r"github.com/princeton-vl/RAFT.*python -m geo3d.flow.raft"):
        optical_flow(texture(64, 64), texture(64, 64, 1), "raft")


def test_wrong_options_are_told(tmp_path):
    with pytest.raises(ValueError, match="iterations: expected at least 1, got 0"):
        RaftOptions(iterations=0)
    with pytest.raises(FileNotFoundError):
        optical_flow(texture(64, 64), texture(64, 64, 1), "raft", RaftOptions(tmp_path / "none.pth"))


def test_torch_is_loaded_when_it_is_used():
    code = "import sys, geo3d.flow, geo3d.flow.raft as r; r.RaftOptions(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
