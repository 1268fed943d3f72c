"""`geo3d flow --method raft`: weights of one's own or none."""

import cv2
import numpy as np
import pytest
import torch

from geo3d.cli.app import run
from geo3d.flow.raft.architecture import REDUCED
from geo3d.flow.raft.model import Raft
from geo3d.io import read_flow


@pytest.fixture
def words(tmp_path):
    """The command, without weights."""
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), np.roll(image, 2, axis=1))
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "flow.flo")]
    return ["flow", names[0], names[1], "-o", names[2], "--method", "raft"]


def test_flow_by_given_weights(words, tmp_path):
    torch.save(Raft(REDUCED).state_dict(), tmp_path / "raft.pth")
    assert run([*words, "--weights", str(tmp_path / "raft.pth")]) == 0
    assert read_flow(tmp_path / "flow.flo").shape == (70, 90, 2)


def test_without_weights_it_says_where_they_are(words, tmp_path, capsys):
    assert run(words) != 0
    told = capsys.readouterr().err
    assert "https://github.com/princeton-vl/RAFT" in told and "python -m geo3d.flow.raft" in told
    assert not (tmp_path / "flow.flo").exists()


def test_a_file_that_is_no_network_is_told(words, tmp_path, capsys):
    (tmp_path / "raft.pth").write_bytes(b"not weights")
    assert run([*words, "--weights", str(tmp_path / "raft.pth")]) != 0
    assert "raft.pth: not a file of weights" in " ".join(capsys.readouterr().err.split())
