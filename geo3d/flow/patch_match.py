"""PatchMatch correspondence fields: dense matches of two different views of one place, turned and scaled.

From the coarsest level of a pyramid to the finest: propagation of the neighbours' matches and random search around
each pixel's own, over place, scale and angle, from random matches at the start (Barnes et al., "PatchMatch", 2009, and
"The generalized PatchMatch correspondence algorithm", 2010). Both directions are sought at once, and each takes over
what the other has found. What does not come back to where it started is dropped, as are small islands: in the manner of
Hacohen et al., "Non-rigid dense correspondence with applications for image enhancement", 2011.

It knows neither smoothness nor geometry: it finds what moved, turned or became larger however far, where there is
texture, and leaves the rest open. Of photos whose epipolar geometry is known `guided_flow` finds more.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow import patch_match_kernels as kernels
from geo3d.flow.consistent import drop_inconsistent
from geo3d.flow.images import prepare_pair
from geo3d.flow.result import FlowResult
from geo3d.util.require import require

_COARSEST_PX = 40  # shorter side of the coarsest level
_TRIES = 24  # random matches of each pixel at the start
_COARSE_SWEEPS = 12


@dataclass(frozen=True)
class PatchMatchOptions:
    """How long it is looked for matches, and which are believed.

    Attributes
    ----------
    sweeps : int
        Rounds of propagation and random search on each level but the coarsest, which has more.
    max_error_px : float
        Farther than this from where it started, there and back, a pixel is not believed.
    min_correlation : float
        Below this correlation of its patches a match is not believed.
    min_area_px : int
        Smaller islands are dropped.
    seed : int
        Of the random search; not negative.
    """

    sweeps: int = 3
    max_error_px: float = 1.5
    min_correlation: float = 0.5
    min_area_px: int = 100
    seed: int = 0


def patch_match(
    image0: np.ndarray, image1: np.ndarray, options: PatchMatchOptions | None = None
) -> FlowResult:
    """Match two views of one place densely, whatever turned and however far it moved.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        Of one size.
    options : PatchMatchOptions, optional

    Returns
    -------
    FlowResult
        The flow is NaN, and occlusion True, where no match was found or there and back disagree. Confidence is the
        correlation of the patches.

    Raises
    ------
    ValueError
        If the images do not fit each other.
    """
    options = options or PatchMatchOptions()
    images = prepare_pair(image0, image1)
    pyramids = [_pyramid(image) for image in (images.image0, images.image1)]
    fields: list[np.ndarray] = []
    costs: list[np.ndarray] = []
    for level in range(len(pyramids[0]) - 1, -1, -1):
        pair = pyramids[0][level], pyramids[1][level]
        is_coarsest = level == len(pyramids[0]) - 1
        shape = pair[0].shape[:2]
        seed = 1000 * (options.seed * 64 + 4 * level)
        if is_coarsest:
            fields = [np.empty((*shape, 4), np.float32) for _ in range(2)]
            costs = [np.empty(shape, np.float32) for _ in range(2)]
            for i in range(2):
                kernels.begin(pair[i], pair[1 - i], fields[i], costs[i], _TRIES, seed + 500 * i)
        else:
            fields = [_finer(field, shape) for field in fields]
            costs = [np.empty(shape, np.float32) for _ in range(2)]
            for i in range(2):
                kernels.evaluate(pair[i], pair[1 - i], fields[i], costs[i])
        _sweep(pair, fields, costs, options.sweeps, is_coarsest, level, seed)
    flows = [_flow(field, cost, options.min_correlation) for field, cost in zip(fields, costs)]
    confidence = np.clip(1.0 - costs[0], 0.0, 1.0)
    return drop_inconsistent(
        flows[0], flows[1], confidence, images, "patchmatch", options.max_error_px, options.min_area_px
    )


def patch_cost_reference(image: np.ndarray, other: np.ndarray, x: int, y: int, match: np.ndarray) -> float:
    """1 - correlation as the formula says, of a patch and a match (4,) whose patches are within both images."""
    offsets = np.arange(-kernels.RADIUS, kernels.RADIUS + 1)
    j, i = (o.ravel().astype(np.float64) for o in np.meshgrid(offsets, offsets, indexing="ij"))
    scale, angle = 2.0 ** match[2], match[3]
    at_x = match[0] + scale * (np.cos(angle) * i - np.sin(angle) * j)
    at_y = match[1] + scale * (np.sin(angle) * i + np.cos(angle) * j)
    column, row = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    fx, fy = (at_x - column)[:, None], (at_y - row)[:, None]
    above = (1 - fx) * other[row, column] + fx * other[row, column + 1]
    below = (1 - fx) * other[row + 1, column] + fx * other[row + 1, column + 1]
    there = (1 - fy) * above + fy * below
    here = image[(y + j).astype(int), (x + i).astype(int)].astype(np.float64)
    here, there = here - here.mean(axis=0), there - there.mean(axis=0)
    return float(1.0 - (here * there).sum() / np.sqrt((here**2).sum() * (there**2).sum()))


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    """(H, W, 3) float32 and its halves, the finest first."""
    cv2 = require("cv2")
    levels = [image]
    while min(levels[-1].shape[:2]) >= 2 * _COARSEST_PX:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.ascontiguousarray(half))
    return levels


def _finer(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The field on the next level, where lengths are about twice as long."""
    ratio = np.array([shape[1] / field.shape[1], shape[0] / field.shape[0]], np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    row = np.minimum((y + 0.5) / ratio[1], field.shape[0] - 1).astype(np.int64)
    column = np.minimum((x + 0.5) / ratio[0], field.shape[1] - 1).astype(np.int64)
    parent = field[row, column]
    dx, dy = x - ((column + 0.5) * ratio[0] - 0.5), y - ((row + 0.5) * ratio[1] - 0.5)
    scale = np.exp2(parent[..., 2])
    c, s = scale * np.cos(parent[..., 3]), scale * np.sin(parent[..., 3])
    at_x, at_y = (parent[..., 0] + 0.5) * ratio[0] - 0.5, (parent[..., 1] + 0.5) * ratio[1] - 0.5
    out = np.stack([at_x + c * dx - s * dy, at_y + s * dx + c * dy, parent[..., 2], parent[..., 3]], axis=-1)
    return np.ascontiguousarray(out, np.float32)


def _sweep(
    pair: tuple[np.ndarray, np.ndarray],
    fields: list[np.ndarray],
    costs: list[np.ndarray],
    sweeps: int,
    is_coarsest: bool,
    level: int,
    seed: int,
) -> None:
    """All sweeps of a level; fields and costs change in place."""
    radius = np.float32(max(pair[0].shape[:2]) if is_coarsest else 4.0)
    least = np.float32(0.06 if level == 0 else 0.25)
    for turn in range(_COARSE_SWEEPS if is_coarsest else sweeps):
        for i in range(2):
            for color in (0, 1):
                draw = seed + 97 * turn + 1600 * i + 13
                kernels.sweep(
                    pair[i], pair[1 - i], fields[i], fields[1 - i], costs[i], radius, least, color, draw
                )


def _flow(field: np.ndarray, costs: np.ndarray, min_correlation: float) -> np.ndarray:
    """(H, W, 2) float32, NaN where the patches are not alike."""
    y, x = np.mgrid[: field.shape[0], : field.shape[1]].astype(np.float32)
    flow = np.stack([field[..., 0] - x, field[..., 1] - y], axis=-1)
    flow[costs > 1.0 - min_correlation] = np.nan
    return flow
