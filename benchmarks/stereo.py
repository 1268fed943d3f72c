"""Dense matching of rectified pairs beside OpenCV's StereoSGBM, in the same run.

    python benchmarks/stereo.py [--data FOLDER] [--json FILE] [--quick]

Cases: `motorcycle` (Middlebury 2014, in scikit-image's wheel), the folders of FOLDER (im0.png, im1.png, disp0.pfm and
calib.txt, as Middlebury's), and made-up pairs with exact truth, one or more of each kind: those on which the
parameters were chosen have other seeds. Figures: share of pixels more than 2 px off, of those that are known and with
holes filled (OpenCV's by the background of the row, the same as ours before any refinement), mean error, and the best
time of five runs or of half a second, warm.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from common import make_parser, print_machine, write_figures

from geo3d.io import read_pfm
from geo3d.stereo import StereoOptions, disparity_errors, match
from geo3d.stereo.cleaning import fill_holes
from geo3d.synthetic import StereoPairOptions, make_stereo_pair

KINDS = {
    "mixed": {},
    "thin": {"surfaces": 4, "thin": 20, "repetition": 0.0, "plain": 0.05},
    "repetition": {"repetition": 0.5, "plain": 0.05},
    "plain": {"repetition": 0.0, "plain": 0.5},
    "noise": {"noise": 6.0, "repetition": 0.05},
    "exposure": {"gain": 0.8, "offset": 12.0, "repetition": 0.05},
    "slant": {"slant": 0.4, "repetition": 0.0, "plain": 0.05},
}
SEEDS = (200, 300)
OPENCV = {
    "opencv-3way": (cv2.STEREO_SGBM_MODE_SGBM_3WAY, 3),
    "opencv-hh4": (cv2.STEREO_SGBM_MODE_HH4, 3),
    "opencv-sgbm": (cv2.STEREO_SGBM_MODE_SGBM, 5),
    "opencv-hh": (cv2.STEREO_SGBM_MODE_HH, 3),
}


@dataclass(frozen=True, eq=False)
class Case:
    left: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    highest: int


def cases(data: Path | None, quick: bool) -> Iterator[tuple[str, Case]]:
    from skimage.data import stereo_motorcycle

    left, right, truth = stereo_motorcycle()
    yield "motorcycle", Case(left, right, truth, 63)
    for folder in sorted(data.iterdir()) if data else ():
        if (folder / "disp0.pfm").is_file():
            yield folder.name, middlebury(folder)
    base = StereoPairOptions(width=480, height=360, samples=2)
    for kind, changes in KINDS.items():
        for number, seed in enumerate(SEEDS[:1] if quick else SEEDS):
            pair = make_stereo_pair(replace(base, **changes), seed + list(KINDS).index(kind))
            yield f"{kind}-{number}", Case(pair.left, pair.right, pair.disparity, 63)


def middlebury(folder: Path) -> Case:
    left, right = (cv2.imread(str(folder / name))[..., ::-1].copy() for name in ("im0.png", "im1.png"))
    lines = (folder / "calib.txt").read_text().split() if (folder / "calib.txt").is_file() else []
    highest = next((int(word.split("=")[1]) for word in lines if word.startswith("ndisp=")), 255)
    return Case(left, right, read_pfm(folder / "disp0.pfm"), highest)


def opencv(case: Case, mode: int, block: int) -> tuple[np.ndarray, float]:
    count = -(-(case.highest + 1) // 16) * 16
    area = 3 * block**2
    matcher = cv2.StereoSGBM_create(0, count, block, 8 * area, 32 * area, 1, 63, 5, 100, 2, mode)
    left, right = case.left[..., ::-1].copy(), case.right[..., ::-1].copy()
    found, ms = timed(lambda: matcher.compute(left, right))
    found = found.astype(np.float32) / 16.0
    found[found < 0.0] = np.nan
    return found, ms


def timed(function, repeats: int = 5) -> tuple:
    """Its result and the best time, ms, of as many runs or half a second, after a first one."""
    result, times = function(), []
    while len(times) < repeats or (repeats > 1 and sum(times) < 0.5):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, 1000.0 * min(times)


def figures(sparse: np.ndarray, filled: np.ndarray, truth: np.ndarray, ms: float) -> dict[str, float]:
    known, whole = disparity_errors(sparse, truth), disparity_errors(filled, truth)
    return {
        "bad2_valid_pct": 100.0 * known.bad_2,
        "density_pct": 100.0 * known.density,
        "bad2_filled_pct": 100.0 * whole.bad_2,
        "avg_filled_px": whole.average_px,
        "ms": ms,
    }


def run_case(case: Case) -> dict[str, dict[str, float]]:
    results = {}
    for quality in ("fast", "balanced", "accurate"):
        options = StereoOptions(quality=quality, max_disparity=case.highest)
        found, ms = timed(lambda options=options: match(case.left, case.right, options))
        results[f"geo3d-{quality}"] = figures(found.disparity, found.filled, case.truth, ms)
    options = StereoOptions(method="patchmatch", quality="accurate", max_disparity=case.highest)
    found, ms = timed(lambda: match(case.left, case.right, options), repeats=1)
    results["geo3d-patchmatch"] = figures(found.disparity, found.filled, case.truth, ms)
    for name, (mode, block) in OPENCV.items():
        sparse, ms = opencv(case, mode, block)
        results[name] = figures(sparse, fill_holes(sparse), case.truth, ms)
    return results


def main() -> None:
    parser = make_parser(__doc__ or "", "folders of Middlebury pairs", "one made-up pair of each kind", False)
    arguments = parser.parse_args()
    print_machine()
    print(f"{'case':<14}{'':<18}{'bad-2':>7}{'density':>9}{'filled':>8}{'average':>9}{'ms':>8}")
    everything: dict[str, dict[str, dict[str, float]]] = {}
    for name, case in cases(arguments.data, arguments.quick):
        everything[name] = run_case(case)
        show(name, everything[name])
    made_up = [everything[name] for name in everything if name[-2:] in ("-0", "-1")]
    mean = {
        peer: {key: float(np.mean([case[peer][key] for case in made_up])) for key in values}
        for peer, values in made_up[0].items()
    }
    show("made-up, mean", mean)
    write_figures(arguments.json, {**everything, "made-up": mean})


def show(name: str, results: dict[str, dict[str, float]]) -> None:
    for peer, f in results.items():
        print(
            f"{name:<14}{peer:<18}{f['bad2_valid_pct']:>6.2f}%{f['density_pct']:>8.1f}%{f['bad2_filled_pct']:>7.2f}%"
            f"{f['avg_filled_px']:>6.2f} px{f['ms']:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
