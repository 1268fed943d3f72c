"""A model meets GPS: scale, rotation and place from camera positions, some of them badly wrong.

A reconstruction has a scale and a frame of its own. The similarity that takes its camera centres to the GPS
positions in their photos turns it into metres, east, north and up. Least squares is drawn away by every wrong fix;
the robust estimate finds those that agree, and says which.
"""

import matplotlib.pyplot as plt
import numpy as np
from figure import FAINT, ORANGE, TEAL, save

from geo3d.geometry import Sim3, umeyama, umeyama_robust

rng = np.random.default_rng(3)
turn = np.linspace(0, 2.6 * np.pi, 46)
flight = np.stack([38 * np.cos(turn) + 9 * turn, 26 * np.sin(turn), 40 + 4 * np.sin(1.7 * turn)], axis=1)

model_from_world = Sim3.exp([3.0, -1.0, 2.0, 0.4, -0.9, 0.6, np.log(0.08)])
centres = model_from_world.act(flight) + 0.004 * rng.normal(size=flight.shape)

gps = flight + rng.normal(size=flight.shape) * [1.0, 1.0, 1.8]
wrong = rng.permutation(len(gps)) < 0.35 * len(gps)
gps[wrong] += rng.uniform(12, 32, (wrong.sum(), 1)) * [0.85, 0.6, 0.3]  # reflections: all to one side

plain = umeyama(centres, gps)
fit = umeyama_robust(centres, gps, max_error=6.0, seed=0)

figure, axes = plt.subplots(1, 2, figsize=(12, 4.9), sharex=True, sharey=True, layout="constrained")
for ax, transform, name in ((axes[0], plain, "least squares"), (axes[1], fit.transform, "robust")):
    moved = transform.act(centres)
    error = np.linalg.norm(moved - flight, axis=1).mean()
    used = fit.inliers if name == "robust" else np.ones(len(gps), bool)
    ax.plot(*flight[:, :2].T, color=FAINT, lw=5, solid_capstyle="round", label="true path")
    for fix, centre in zip(gps[used], moved[used]):
        ax.plot(*np.stack([fix, centre])[:, :2].T, color=FAINT, lw=0.8)
    ax.scatter(*gps[used, :2].T, s=22, c=ORANGE, label="GPS", zorder=3)
    ax.scatter(*gps[~used, :2].T, s=22, facecolors="none", edgecolors=ORANGE, label="GPS, left out", zorder=3)
    ax.plot(*moved[:, :2].T, color=TEAL, lw=1.6, marker="o", ms=3.5, label="model, aligned")
    ax.set(aspect="equal", xlabel="east, m", title=f"{name}: {error:.1f} m off on average")
axes[0].set_ylabel("north, m")
handles, labels = axes[1].get_legend_handles_labels()
axes[1].legend(handles, labels, loc="center", bbox_to_anchor=(0.64, 0.4), fontsize=9)
print(f"{fit.inliers.sum()} of {len(gps)} positions agree; wrong ones taken: {np.sum(wrong & fit.inliers)}")
save(figure, __file__)
