"""Does the stated deviation of a disparity hold? Fitted on made-up pairs, checked on others and on real ones.

    python benchmarks/stereo_deviation.py [--boards FOLDER RIG ...] [--json FILE]

Fitted on made-up pairs as cameras would store them, three of each kind of KINDS; checked on one of each kind of other
seeds, on Middlebury's motorcycle (scikit-image's wheel), and on boards: of every third pair of FOLDER (leftN, rightN)
that RIG rectifies, the pixels on the chessboard of 9 x 6 corners against the plane that fits their disparities best.
Real ones take no part in the fit. Printed is the share of errors within one and two deviations (68 and 95 %), of the
errors below GROSS_PX, and the weights for geo3d/stereo/deviation.py.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from common import print_machine, write_figures
from scipy.optimize import minimize

from geo3d.images import read_photo
from geo3d.io import read_rig
from geo3d.stereo import DisparityMap, StereoOptions, match, rectify
from geo3d.stereo.deviation import GROSS_PX, deviation_of
from geo3d.stereo.options import Quality
from geo3d.synthetic import StereoPairOptions, as_photographed, make_stereo_pair

KINDS = {
    "mixed": {"patches": 0.5},
    "thin": {"surfaces": 4, "thin": 20, "repetition": 0.0, "plain": 0.05, "patches": 0.3},
    "repetition": {"repetition": 0.5, "plain": 0.05, "patches": 0.3},
    "plain": {"repetition": 0.0, "plain": 0.5, "patches": 0.4},
    "noise": {"noise": 6.0, "repetition": 0.05, "patches": 0.3},
    "exposure": {"gain": 0.8, "offset": 12.0, "repetition": 0.05, "patches": 0.5},
    "slant": {"slant": 0.4, "repetition": 0.0, "plain": 0.05, "patches": 0.6},
}
QUALITIES: tuple[Quality, ...] = ("fast", "balanced", "accurate")
FIT_SEEDS, CHECK_SEED = (700, 701, 702), 705
BORDER, SAMPLES = 6, 6000
FREEDOM = 5.0


@dataclass(frozen=True, eq=False)
class Errors:
    """Of the known pixels of one pair: errors (N,) and what the deviation is taken from (7, N)."""

    error: np.ndarray
    features: np.ndarray

    def without_gross(self) -> "Errors":
        keep = np.abs(self.error) < GROSS_PX
        return Errors(self.error[keep], self.features[:, keep])


def known_of(left, right, quality: Quality, highest: int = 63) -> tuple[DisparityMap, np.ndarray]:
    """What is found, and which pixels are known and not of the border."""
    found = match(left, right, StereoOptions(quality=quality, max_disparity=highest))
    keep = np.zeros(found.disparity.shape, bool)
    keep[BORDER:-BORDER, BORDER:-BORDER] = True
    return found, keep & np.isfinite(found.disparity)


def made_up(quality: Quality, seeds: tuple[int, ...]) -> Iterator[Errors]:
    base = StereoPairOptions(width=400, height=300, samples=2)
    for i, changes in enumerate(KINDS.values()):
        for seed in seeds:
            exact = make_stereo_pair(replace(base, **changes), seed + 10 * i)
            pair = as_photographed(exact, seed + 10 * i)
            found, keep = known_of(pair.left, pair.right, quality)
            keep &= ~pair.occluded
            yield Errors((found.disparity - pair.disparity)[keep], found.deviation_features[:, keep])


def motorcycle(quality: Quality) -> Errors:
    from skimage.data import stereo_motorcycle

    left, right, truth = stereo_motorcycle()
    found, keep = known_of(left, right, quality)
    keep &= np.isfinite(truth)
    return Errors((found.disparity - truth)[keep], found.deviation_features[:, keep])


def boards(folder: Path, rig_path: Path, quality: Quality) -> Iterator[Errors]:
    for path in sorted(folder.glob("left*"))[::3]:
        photos = [path, path.with_name(path.name.replace("left", "right"))]
        left, right = (read_photo(photo).pixels for photo in photos)
        rig = read_rig(rig_path, (left.shape[1], left.shape[0]))
        sight = rectify(rig.cameras[0], rig.cameras[1], rig.cam_from_rig[1] @ rig.cam_from_rig[0].inverse())
        left, right = sight.rectify_left(left), sight.rectify_right(right)
        gray = left if left.ndim == 2 else cv2.cvtColor(left, cv2.COLOR_RGB2GRAY)
        seen, corners = cv2.findChessboardCornersSB(gray, (9, 6))
        if not seen:
            continue
        mask = np.zeros(gray.shape, np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.reshape(-1, 2)).astype(np.int32), 1)
        found, keep = known_of(left, right, quality, 159)
        y, x = np.nonzero((cv2.erode(mask, np.ones((5, 5))) > 0) & keep)
        error, near = off_plane(x, y, found.disparity[y, x].astype(np.float64))
        if near.mean() > 0.5:
            yield Errors(error, found.deviation_features[:, y, x])


def off_plane(x: np.ndarray, y: np.ndarray, disparity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the plane that most lie on, and which lie within GROSS_PX of it."""
    design = np.column_stack([x, y, np.ones(len(x))])
    near, error = np.ones(len(x), bool), np.zeros(len(x))
    for _ in range(8):
        plane = np.linalg.lstsq(design[near], disparity[near], rcond=None)[0]
        error = disparity - design @ plane
        near = np.abs(error - np.median(error)) < GROSS_PX
    return np.asarray(error - np.median(error[near])), np.asarray(near)


def fit(pairs: list[Errors]) -> np.ndarray:
    """The weights: most likely under Student's t, then the factor for 68 and 95 %."""
    rng = np.random.default_rng(0)
    errors, features = [], []
    for pair in pairs:
        clean = pair.without_gross()
        some = rng.choice(len(clean.error), min(SAMPLES, len(clean.error)), replace=False)
        errors.append(np.abs(clean.error[some]).astype(np.float64))
        features.append(clean.features[:, some].T.astype(np.float64))
    error, design = np.concatenate(errors), np.concatenate(features)

    def surprise(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_sigma = design @ weights
        square = (error * np.exp(-log_sigma)) ** 2 / FREEDOM
        slope = 1.0 - (FREEDOM + 1.0) * square / (1.0 + square)
        cost = np.mean(log_sigma + 0.5 * (FREEDOM + 1.0) * np.log1p(square))
        return float(cost), (design * slope[:, None]).mean(axis=0)

    weights = minimize(surprise, np.r_[-1.0, np.zeros(design.shape[1] - 1)], jac=True, method="BFGS").x
    ratio = error / np.exp(design @ weights)
    weights[0] += 0.5 * np.log(np.quantile(ratio, 0.68) * np.quantile(ratio, 0.95) / 2.0)
    return weights


def covered(pairs: list[Errors], number: float) -> float:
    clean = [pair.without_gross() for pair in pairs]
    return float(np.mean([np.mean(np.abs(p.error) < number * deviation_of(p.features)) for p in clean]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--boards", nargs="+", type=Path, default=[], metavar="FOLDER RIG")
    arguments = parser.parse_args()
    print_machine()
    weights = fit([pair for quality in QUALITIES for pair in made_up(quality, FIT_SEEDS)])
    print("fitted weights:", ", ".join(f"{w:.2f}" for w in weights))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for quality in QUALITIES:
        cases = {"made-up": list(made_up(quality, (CHECK_SEED,))), "motorcycle": [motorcycle(quality)]}
        for folder, rig in zip(arguments.boards[::2], arguments.boards[1::2]):
            cases[folder.name] = list(boards(folder, rig, quality))
        for name, pairs in cases.items():
            row = {"within_1": covered(pairs, 1.0), "within_2": covered(pairs, 2.0)}
            figures.setdefault(name, {})[quality] = row
            print(f"{name:16} {quality:10} {100 * row['within_1']:5.1f} % {100 * row['within_2']:5.1f} %")
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
