"""The loss, and a training that learns, stops, goes on, and tells what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geo3d.flow.raft import training
from geo3d.flow.raft.__main__ import main
from geo3d.flow.raft.architecture import REDUCED
from geo3d.flow.raft.loss import sequence_loss
from geo3d.flow.raft.training import TrainingOptions, learning_rate, train_raft
from geo3d.flow.raft.training_pairs import training_pair
from geo3d.flow.raft.weights import load_raft

TINY = TrainingOptions(
    architecture=replace(REDUCED, stages=(8, 8, 8), features=16, hidden=16, context=8, mask=16, radius=2),
    steps=6,
    batch=2,
    iterations=2,
    unseen=3,
    points=2,
)


def small_pair(seed):
    return training_pair(seed, 72, 64)


def test_the_loss_is_a_weighted_sum():
    truth = torch.zeros(1, 2, 4, 4)
    flows = [torch.full_like(truth, 1.0), torch.full_like(truth, -2.0), torch.full_like(truth, 3.0)]
    assert sequence_loss(flows, truth, 0.5).item() == pytest.approx(0.25 * 1 + 0.5 * 2 + 3)


def test_what_is_not_known_does_not_count():
    truth = torch.zeros(1, 2, 2, 2)
    truth[0, 0, 0, 0], truth[0, 1, 1, 1] = torch.nan, 500.0
    flow = torch.ones_like(truth, requires_grad=True)
    loss = sequence_loss([flow], truth)
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert flow.grad is not None
    assert flow.grad[0, :, 0, 0].tolist() == [0.0, 0.0] == flow.grad[0, :, 1, 1].tolist()
    assert torch.isfinite(flow.grad).all()


def test_the_learning_rate_rises_and_falls():
    options = TrainingOptions(steps=200, learning_rate=0.01)
    rates = [learning_rate(step, options) for step in range(200)]
    assert np.argmax(rates) in (9, 10) and max(rates) == pytest.approx(0.01)
    assert 0.0 < rates[0] <= 0.0011 and 0.0 < rates[-1] < 1e-4
    assert all(np.diff(rates[10:]) < 0)


def test_steps_on_one_pair_lower_its_error(tmp_path):
    options = replace(TINY, steps=40, batch=1, unseen=1, points=1, learning_rate=4e-3)
    done = train_raft(tmp_path / "raft.pth", lambda seed: small_pair(1), options)
    assert done.curve[-1].epe_px < 0.6 * done.zero_epe_px


def test_a_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    def stopping(seed):
        if seed == 8:
            raise KeyboardInterrupt
        return small_pair(seed)

    often = replace(TINY, save_every_s=0.0)
    whole = train_raft(tmp_path / "whole.pth", small_pair, often)
    with pytest.raises(KeyboardInterrupt):
        train_raft(tmp_path / "parts.pth", stopping, often)
    assert (tmp_path / "parts.pth").exists()
    seen = []
    parts = train_raft(tmp_path / "parts.pth", lambda seed: (seen.append(seed), small_pair(seed))[1], often)
    assert min(seen) == 8
    assert [point.step for point in parts.curve] == [point.step for point in whole.curve] == [0, 3, 6]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], value, msg=name)
        torch.testing.assert_close(load_raft(tmp_path / "parts.pth").state_dict()[name], value, msg=name)


def test_a_done_training_is_not_done_again(tmp_path):
    first = train_raft(tmp_path / "raft.pth", small_pair, TINY)
    again = train_raft(tmp_path / "raft.pth", small_pair, TINY)
    assert again.curve == first.curve and again.zero_epe_px == first.zero_epe_px


def test_another_training_is_not_gone_on_with(tmp_path):
    train_raft(tmp_path / "raft.pth", small_pair, replace(TINY, steps=1))
    with pytest.raises(ValueError, match=r"other options \(steps, batch\)"):
        train_raft(tmp_path / "raft.pth", small_pair, replace(TINY, steps=2, batch=1))
    torch.save(load_raft(tmp_path / "raft.pth").state_dict(), tmp_path / "plain.pth")
    with pytest.raises(ValueError, match="not a checkpoint of a training"):
        train_raft(tmp_path / "plain.pth", small_pair, TINY)


def test_divergence_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "sequence_loss", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(ValueError, match="diverged in step 1; lower learning_rate"):
        train_raft(tmp_path / "raft.pth", small_pair, TINY)
    assert not (tmp_path / "raft.pth").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"steps": 0}, "steps: expected at least 1"), ({"learning_rate": 1.5}, "learning_rate")],
)
def test_wrong_options_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**change)


def test_a_size_that_does_not_fit_is_told(tmp_path):
    with pytest.raises(ValueError, match="multiples of 8 pixels a side, at least 64, got 72x60"):
        train_raft(tmp_path / "raft.pth", lambda seed: training_pair(seed, 72, 60), TINY)


def test_training_pairs_have_a_seed():
    first, again, other = training_pair(3), training_pair(3), training_pair(4)
    np.testing.assert_array_equal(first.flow, again.flow)
    np.testing.assert_array_equal(first.image1, again.image1)
    assert (first.flow != other.flow).any()
    assert first.image0.shape == (96, 128, 3)


def test_stopped_at_the_command_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("geo3d.flow.raft.training.train_raft", interrupted)
    assert main([str(tmp_path / "raft.pth")]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("geo3d.flow.raft.training.TrainingOptions", lambda: replace(TINY, steps=9))
    assert main([str(tmp_path / "raft.pth"), "--steps", "1"]) == 0
    assert "px on unseen pairs" in capsys.readouterr().out
    assert load_raft(tmp_path / "raft.pth").architecture == TINY.architecture
    assert main([str(tmp_path / "raft.pth"), "--steps", "2"]) == 1
    assert "other options (steps)" in capsys.readouterr().err
