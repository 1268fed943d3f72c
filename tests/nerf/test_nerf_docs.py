"""What docs/nerf.md shows runs."""

import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "nerf.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("one_torch_thread")
def test_a_field_of_ones_own_is_rendered():
    names = {}
    section = PAGE.split("## Your own field")[1]
    exec(compile(re.findall(r"```python\n(.*?)```", section, re.S)[0], "nerf.md", "exec"), names)
    image, alpha = names["image"], names["seen"].alpha.reshape(60, 80)
    assert alpha[30, 40] > 0.99 and alpha[0, 0] == 0
    assert torch.equal(image[0, 0], torch.ones(3))
    # Seen from -y and above, the middle of the ball shows the normal (0, -0.95, 0.32).
    torch.testing.assert_close(image[30, 40], torch.tensor([0.5, 0.03, 0.66]), rtol=0, atol=0.05)
