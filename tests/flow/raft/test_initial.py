"""Features of a new network: white, and the same thing looks alike a fraction of a cell away."""

import pytest
import torch

from geo3d.flow.raft.architecture import FULL, REDUCED, SMALL
from geo3d.flow.raft.correlation import AllPairs
from geo3d.flow.raft.encoder import Encoder
from geo3d.flow.raft.initial import smoothed, start_features
from geo3d.flow.raft.training_pairs import training_pair


def views(shift, first=0):
    """Parts of six images, (6, 3, 96, 128), further right by `shift` pixels."""
    images = [torch.from_numpy(training_pair(first + seed, 160, 96).image0) for seed in range(6)]
    return torch.stack(images).permute(0, 3, 1, 2)[:, :, :, 8 + shift : 136 + shift] / 127.5 - 1.0


def found(encoder, shift):
    """Share of cells whose correlation is highest within a cell of where they went."""
    with torch.no_grad():
        levels = AllPairs(encoder(views(0, 50)), encoder(views(shift, 50)), 3).levels
    best = levels[0].flatten(1).argmax(1).reshape(6, 12, 16)
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(16), indexing="ij")
    off = torch.hypot((best // 16 - rows).float(), best % 16 - (columns - shift / 8.0))
    return (off < 0.8)[:, :, 2:].float().mean()


def test_correlation_finds_what_moved_before_any_training():
    torch.manual_seed(0)
    encoder = Encoder(REDUCED, 64, "instance").eval()
    before = found(encoder, 12)
    start_features(encoder, views(0))
    assert found(encoder, 12) > max(0.5, 3 * before)


@pytest.mark.parametrize("architecture", [FULL, SMALL, REDUCED])
def test_features_are_white(architecture):
    torch.manual_seed(0)
    encoder = Encoder(architecture, architecture.features, "instance").eval()
    images = views(0)
    start_features(encoder, images)
    with torch.no_grad():
        features = encoder(images).movedim(1, 3).flatten(0, 2)
    scale = features.std()
    assert 0.3 < scale < 1.5
    assert features.mean(0).abs().max() < 0.01 * scale


def test_smoothing_keeps_the_deviation():
    kernels = torch.randn(5, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    smooth = smoothed(kernels, 2)
    assert smooth.std().item() == pytest.approx(kernels.std().item(), rel=1e-4)
    assert (smooth.diff(dim=3)).std() < 0.5 * kernels.diff(dim=3).std()
    torch.testing.assert_close(smoothed(kernels, 0), kernels)
