"""A radiance field of one's own, trained from photos: a grid of densities and colours, in fifteen lines.

`render_rays` takes any callable of positions and directions, asks it along the rays and composites what it says, so
that all of it can be differentiated. The photos are rendered from a formula, a twisted ring, by the same function; two
hundred steps later the grid shows the ring from where no photo was taken.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from figure import save

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.nerf import EvenSampling, FieldOutput, Rays, RenderOptions, SceneBox, camera_rays, render_rays

BOX = SceneBox(center=(0, 0, 0), side=2)
CAMERA = Camera("PINHOLE", 120, 90, [165, 165, 60, 45])
WHITE = (1.0, 1.0, 1.0)


def ring(positions, directions):
    """What is photographed."""
    x, y, z = positions.unbind(-1)
    away, angle = torch.hypot(x, y) - 0.62, torch.atan2(y, x)
    turn = torch.atan2(z, away) + 3 * angle
    density = 60 * torch.sigmoid(60 * (0.2 + 0.06 * torch.cos(4 * turn) - torch.hypot(away, z)))
    return FieldOutput(density, 0.5 + 0.4 * torch.sin(4 * turn[:, None] + torch.tensor([0.0, 1.2, 2.4])))


class GridField(torch.nn.Module):
    """Four numbers at each node of a grid over a box: one becomes the density, three the colour."""

    def __init__(self, box, nodes):
        super().__init__()
        self.box, self.grid = box, torch.nn.Parameter(torch.zeros(1, 4, nodes, nodes, nodes))

    def forward(self, positions, directions):
        places = 2 * self.box.unit_positions(positions) - 1
        raw = torch.nn.functional.grid_sample(self.grid, places[None, None, None], align_corners=True)
        raw = raw.reshape(4, -1)
        return FieldOutput(10 * torch.nn.functional.softplus(raw[0] - 2), torch.sigmoid(raw[1:].T))


def photo_rays(angle, height):
    """The rays of a photo, between where they enter and leave the box."""
    eye = [3.2 * np.cos(angle), 3.2 * np.sin(angle), height]
    return BOX.clip(camera_rays(CAMERA, look_at(eye, [0, 0, 0]), far=10)).torch()


def together(parts):
    return Rays(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts))))


turns = np.linspace(0, 4 * np.pi, 24, endpoint=False)
rays = together([photo_rays(turn, 2 + 1.5 * np.sin(1.5 * turn)) for turn in turns])
held_out = photo_rays(0.4, 2.2)
with torch.no_grad():
    fine = RenderOptions(EvenSampling(160))
    colors, truth = (render_rays(ring, r, fine, WHITE).color for r in (rays, held_out))

field, options = GridField(BOX, 56), RenderOptions(EvenSampling(64))
adam, rng = torch.optim.Adam(field.parameters(), lr=0.2), torch.Generator().manual_seed(0)
shown = []
for step in range(201):
    if step in (15, 50, 200):
        with torch.no_grad():
            seen = render_rays(field, held_out, RenderOptions(EvenSampling(96), normals=True), WHITE)
        shown.append((step, seen))
        error = (seen.color - truth).square().mean().item()
        print(f"step {step}: {-10 * np.log10(error):.1f} dB where no photo was taken")
    batch = torch.randint(len(rays), (1024,), generator=rng)
    loss = (render_rays(field, rays[batch], options, WHITE, rng).color - colors[batch]).square().mean()
    rough = sum(field.grid.diff(dim=axis).square().mean() for axis in (2, 3, 4))  # neighbours are to be alike
    adam.zero_grad()
    (loss + 1e-3 * rough).backward()
    adam.step()

figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.6), layout="constrained")
last = shown[-1][1]
depth = torch.where(last.alpha > 0.5, last.median_range, torch.nan)
panels = [("a view that is held out", truth)]
panels += [(f"the grid after {step} steps", seen.color) for step, seen in shown]
normals = torch.where(last.alpha[:, None] > 0.5, 0.5 + 0.5 * last.normals, 1.0)
panels += [("its range", depth), ("its normals", normals)]
for ax, (title, values) in zip(axes.flat, panels):
    ax.imshow(values.reshape(90, 120, -1).clip(0, None if values is depth else 1), cmap="viridis_r")
    ax.set_title(title)
    ax.set_axis_off()
save(figure, __file__)
