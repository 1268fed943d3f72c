"""Optical flow: where each pixel of an image is in the next, what is hidden there, and how far to believe it.

Textured things move before a background that moves too, so that the true flow and the true occlusion are known. The
flow is found from the two images alone; what is hidden in the second follows from it without a second flow, and the
confidence tells beforehand where it is wrong.
"""

import matplotlib.pyplot as plt
import numpy as np
from figure import INK, save

from geo3d.flow import endpoint_error, flow_errors, optical_flow
from geo3d.synthetic import FlowPairOptions, make_flow_pair
from geo3d.viz.flow import flow_colors, flow_reach

options = FlowPairOptions(width=480, height=360, layers=7, thin=3, max_motion_px=12.0, patches=0.3)
pair = make_flow_pair(options, seed=23)
found = optical_flow(pair.image0, pair.image1, method="accurate")

errors = flow_errors(found.flow, pair.flow, ~pair.occlusion)
wrong = endpoint_error(found.flow, pair.flow)
recall = (found.occlusion & pair.occlusion).sum() / pair.occlusion.sum()
precision = (found.occlusion & pair.occlusion).sum() / found.occlusion.sum()
print(f"mean error where seen {errors.epe_px:.2f} px, median {errors.epe_median_px:.2f} px")
print(f"{100 * recall:.0f} % of what is hidden is found, {100 * precision:.0f} % of what is found is hidden")

reach = flow_reach(pair.flow)
hidden = np.full((*pair.occlusion.shape, 3), 255, np.uint8)
hidden[pair.occlusion & found.occlusion] = (0, 137, 123)
hidden[pair.occlusion & ~found.occlusion] = (176, 190, 197)
hidden[~pair.occlusion & found.occlusion] = (228, 87, 46)

figure, axes = plt.subplots(2, 4, figsize=(13.5, 5.6), layout="constrained")
panels = {
    "first image": pair.image0,
    "second image": pair.image1,
    "true flow": flow_colors(pair.flow, reach),
    f"found: {errors.epe_px:.2f} px off where seen": flow_colors(found.flow, reach),
    "hidden (grey: missed, red: wrong)": hidden,
    "confidence": found.confidence,
    "true error: white from 1 px on": wrong,
}
for ax, (title, picture) in zip(axes.flat, panels.items()):
    ax.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0)
    ax.set_title(title)
    ax.set_axis_off()

order = np.argsort(-found.confidence, axis=None)
kept = np.arange(1, order.size + 1)
curve = np.cumsum(wrong.ravel()[order]) / kept
best = np.cumsum(np.sort(wrong, axis=None)) / kept
ax = axes.flat[-1]
ax.plot(100 * kept / order.size, curve, color="#00897b", label="most confident first")
ax.plot(100 * kept / order.size, best, color=INK, lw=1, ls=":", label="smallest error first")
ax.set(xlabel="pixels kept, %", ylabel="their mean error, px", xlim=(0, 100), ylim=(0, None), box_aspect=0.75)
ax.yaxis.tick_right()
ax.yaxis.set_label_position("right")
ax.spines["left"].set_visible(False)
ax.set_title("what confidence is worth")
ax.legend()
save(figure, __file__)
