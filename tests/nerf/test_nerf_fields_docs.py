"""What docs/nerf-fields.md shows runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from geo3d.nerf import (
    FieldShape,
    MarchOptions,
    NerfModel,
    RadianceShape,
    Rays,
    SceneBox,
    proposal_loss,
    render_rays,
)
from geo3d.nerf.field_parameters import initial_parameters

PAGE = (Path(__file__).parents[2] / "docs" / "nerf-fields.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("one_torch_thread")
def test_the_trainings_of_the_page():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "nerf-fields.md", "exec"), names)
    directions = torch.nn.functional.normalize(torch.ones(6, 3), dim=-1)
    zero = torch.zeros(6)
    rays = Rays(-directions, directions, zero, zero + 2, zero + 0.01, zero.int())
    colors = torch.full((6, 3), 0.5)
    (small,) = re.findall(r"`(RadianceShape\(6.*?\))`", PAGE)
    box = SceneBox((0.0, 0.0, 0.0), 2.0)
    shape = eval(small, {"RadianceShape": RadianceShape})
    errors = []
    for steps in (0, 30):
        nerf, options = names["train_published"](box, rays, colors, steps, shape, batch=4)
        errors.append((render_rays(nerf.fine, rays, options, (1.0, 1.0, 1.0)).color - colors).square().mean())
    assert errors[1] < errors[0]
    field, options, sky = names["fields_of_a_landscape"](SceneBox((0.0, 0.0, 0.0), 2.0, unbounded=True))
    seen = render_rays(field, rays, options, sky)
    assert (seen.color >= -0.002).all() and proposal_loss(seen) >= 0
    hash_grid = FieldShape(levels=2, log2_entries=8, width=16)
    start = initial_parameters(hash_grid, seed=3)
    march = MarchOptions(1 / 64)
    model = NerfModel(hash_grid, start, box, 0.0, 2.0, march, np.zeros(8**3, np.float32), 0.01)
    assert np.array_equal(names["trained_field"](model).grid.detach(), start["grid"])
