"""Bundle adjustment: shaken poses and points fall back into place.

A knot of points is photographed from all around, with half a pixel of noise. Then its cameras and points are shaken,
and bundle adjustment moves all of them at once so that the reprojection errors become least. What is left over is
the noise, less the share that the unknowns themselves take up.
"""

import matplotlib.pyplot as plt
import numpy as np
from figure import FAINT, ORANGE, TEAL, save

from geo3d.geometry import umeyama
from geo3d.scene import Points, Reconstruction, Track, View
from geo3d.sfm import BundleOptions, bundle_adjust
from geo3d.synthetic import make_scene, perturbed

NOISE_PX, VIEWS, POINTS = 0.5, 12, 1500
rng = np.random.default_rng(4)

# a trefoil knot, drawn as a tube
t = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
middle = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], axis=1)
around = rng.normal(size=(POINTS, 3))
knot = 0.8 * middle + 0.22 * around / np.linalg.norm(around, axis=1, keepdims=True)

# cameras on a ring; every one of them sees the whole knot
true = make_scene("orbit", views=VIEWS, seed=4).reconstruction
for i, view in true.views.items():
    pixels = true.cameras[view.camera_id].project(view.cam_from_world.act(knot))
    true.views[i] = View(
        view.name, view.camera_id, view.cam_from_world, pixels + NOISE_PX * rng.normal(size=pixels.shape)
    )
ids = np.arange(1, VIEWS + 1)
grey = np.zeros(3, np.uint8)
true.points = Points.from_tracks(
    [Track(x, grey, np.nan, ids, np.full(VIEWS, row)) for row, x in enumerate(knot)]
)


def residuals_px(model: Reconstruction) -> np.ndarray:
    """(V, P, 2) projection less keypoint."""
    views = [model.views[i] for i in model.registered()]
    projected = [model.cameras[v.camera_id].project(v.cam_from_world.act(model.points.xyz)) for v in views]
    return np.stack(projected) - np.stack([view.keypoints for view in views])


def aligned(model: Reconstruction) -> np.ndarray:
    """(P, 3) points in the frame of the truth: bundle adjustment leaves the world free."""
    return umeyama(model.points.xyz, knot).act(model.points.xyz)


model = perturbed(true, rotation_deg=1.0, translation=0.15, point_sigma=0.2, seed=1)
before_px, before = residuals_px(model), aligned(model)
report = bundle_adjust(model, BundleOptions(refine_focal=False, refine_distortion=False))
after_px, after = residuals_px(model), aligned(model)
print(f"{report.observations} observations, {report.result.iterations} steps, {report.error_px:.2f} px left")

colors = 0.5 + 0.4 * np.cos(t[:, None] + [0, 2.1, 4.2])
figure, axes = plt.subplots(2, 2, figsize=(10.5, 8.6), height_ratios=[1.25, 1], layout="constrained")
for ax, points, errors_px, name in (
    (axes[0, 0], before, before_px, "before"),
    (axes[0, 1], after, after_px, "after"),
):
    order = np.argsort(points[:, 2])
    ax.scatter(*points[order, :2].T, s=14, c=colors[order], linewidths=0)
    off_mm = 1000 * np.linalg.norm(points - knot, axis=1).mean()
    off_px = np.linalg.norm(errors_px, axis=-1).mean()
    ax.set(aspect="equal", xlim=(-3, 3), ylim=(-3.1, 2.3), xticks=[], yticks=[])
    ax.set_title(f"{name}: reprojection errors of {off_px:.2g} px, points {off_mm:.0f} mm off")
    ax.spines[:].set_visible(False)

freedom = 2 * report.observations - 3 * POINTS - 6 * VIEWS + 7  # numbers measured less numbers found
steps, left_over = axes[1]
cost = [entry.cost for entry in report.result.trace if entry.accepted or entry.iteration == 0]
expected = 0.5 * freedom * NOISE_PX**2
steps.axhline(expected, color=FAINT, ls="--")
steps.text(0.05, 0.85 * expected, "what the noise leaves", color="#78909c", va="top")
steps.semilogy(cost, "o-", color=TEAL, ms=5)
steps.set(
    xlabel="step",
    title="cost: half the sum of squared errors, px²",
    xticks=range(len(cost)),
    ylim=(0.4 * expected, None),
)

bins = np.linspace(0, 2.2, 56)
left_over.hist(
    np.linalg.norm(after_px, axis=-1).ravel(), bins, density=True, color=TEAL, alpha=0.75, label="after"
)
variance = NOISE_PX**2 * freedom / (2 * report.observations)
rayleigh = bins / variance * np.exp(-(bins**2) / (2 * variance))
left_over.plot(bins, rayleigh, color=ORANGE, lw=2, label="what the noise leaves")
left_over.set(xlabel="reprojection error, px", title="left over: the noise", yticks=[])
left_over.legend()
save(figure, __file__)
