"""Calibration side by side: geo3d and OpenCV on the corners of the same photos, in the same run.

    python benchmarks/calibration.py --data FOLDER [--json FILE] [--quick]

FOLDER holds sets, each a folder of photos of a checkerboard by one camera, or by two, named left... and right...: each
camera is a case of its own, SET or SET/left and SET/right. Photos named test... are left out. The board's size is
guessed, its corners are found once by geo3d (`detect_s`, seconds) and given to all.

`heldout_rms_px`: calibrated on half of the photos, in each photo of the other half only the pose is fitted, root mean
square distance over all corners; two halves, twice. geo3d holds the lens model that it chose, and the board's shape as
found from the first half. `rms_px` is over all photos, calibrated on all. A `nan` is a failure.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import make_parser, print_machine, write_figures

from geo3d.calibration import FoundBoards, choose_model, find_boards, observe
from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.calibrate import fit_robustly, start_lenses
from geo3d.calibration.start import place_boards, start_board

REPEATS = 2
Score = Callable[[Observations], np.ndarray]  # squared distances of all corners, at best poses
Fit = Callable[[Observations], Score]


def cases_of(data: Path, scratch: Path) -> dict[str, Path]:
    """Case to a folder that holds its photos alone."""
    found = {}
    for folder in sorted(p for p in data.iterdir() if p.is_dir()):
        names = sorted(p.name for p in folder.iterdir() if not p.name.startswith(("test", ".")))
        sides = {side: [n for n in names if n.startswith(side)] for side in ("left", "right")}
        parts = sides if all(sides.values()) else {"": names}
        for side, chosen in parts.items():
            place = scratch / folder.name / (side or "all")
            place.mkdir(parents=True)
            for name in chosen:
                (place / name).symlink_to((folder / name).resolve())
            found[f"{folder.name}/{side}" if side else folder.name] = place
    return found


def by_geo3d(boards: FoundBoards, model: str, shape_terms: int) -> Fit:
    """The model that was chosen."""

    def fit(observations: Observations) -> Score:
        start = start_board(observations, boards.width, boards.height)
        state = fit_robustly(observations, start_lenses(observations, start, model)[0], shape_terms)[0].state
        return lambda others: errors(others, state)

    return fit


def errors(observations: Observations, found: BoardState) -> np.ndarray:
    """(M,) squared distances at the best poses, with the camera and the board's shape as found."""
    placed = place_boards(observations, found.camera)
    if placed is None:
        return np.full(len(observations.ids), np.inf)
    none = Free(np.zeros(len(found.camera.params), bool), False)
    state = BoardState(found.camera, placed.rotations, placed.translations, found.shape)
    return np.sum(residuals_of(observations, fit_board(observations, state, none).state) ** 2, axis=1)


def by_opencv(boards: FoundBoards, fisheye: bool) -> Fit:
    """`calibrateCamera` with the rational model, or `fisheye.calibrate`, from their own starts; poses by `solvePnP`."""
    import cv2

    size = boards.width, boards.height
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)

    def fit(observations: Observations) -> Score:
        points, pixels = parts_of(observations)
        if fisheye:
            flags = cv2.CALIB_RECOMPUTE_EXTRINSIC | cv2.CALIB_FIX_SKEW
            K, d = np.eye(3), np.zeros((4, 1))
            _, K, d, *_ = cv2.fisheye.calibrate(
                [p.reshape(1, -1, 3) for p in points],
                [p.reshape(1, -1, 2) for p in pixels],
                size, K, d, flags=flags, criteria=stop,
            )  # fmt: skip
        else:
            _, K, d, *_ = cv2.calibrateCamera(
                points, pixels, size, None, None, flags=cv2.CALIB_RATIONAL_MODEL
            )
        project = (cv2.fisheye if fisheye else cv2).projectPoints

        def score(others: Observations) -> np.ndarray:
            squared = []
            for p, x in zip(*parts_of(others)):
                if fisheye:
                    _, r, t = cv2.fisheye.solvePnP(
                        p[:, None], x[:, None], K, d, flags=cv2.SOLVEPNP_ITERATIVE, criteria=stop
                    )
                else:
                    _, r, t = cv2.solvePnP(p, x, K, d)
                    r, t = cv2.solvePnPRefineLM(p, x, K, d, r, t, stop)
                seen = project(p[:, None], r, t, K, d)[0]
                squared.append(np.sum((seen.reshape(-1, 2) - x) ** 2, axis=1))
            return np.concatenate(squared)

        return score

    return fit


def parts_of(observations: Observations) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points (N, 3) and pixels (N, 2) of each photo, as OpenCV wants them: its pixel centres are whole numbers."""
    starts = np.searchsorted(observations.view, np.arange(observations.views + 1))
    parts = [slice(a, b) for a, b in pairwise(starts)]
    points = [observations.points[observations.ids[p]].astype(np.float32) for p in parts]
    return points, [(observations.pixels[p] - 0.5).astype(np.float32) for p in parts]


def measure(observations: Observations, fit: Fit) -> dict[str, float]:
    """Figures of one implementation; none where it fails, on all photos or on a half."""
    import cv2

    begin = time.perf_counter()
    try:
        rms = float(np.sqrt(fit(observations)(observations).mean()))
        seconds = time.perf_counter() - begin
        rng, squared = np.random.default_rng(0), []
        for _ in range(REPEATS):
            order = rng.permutation(observations.views)
            for half in (0, 1):
                seen, unseen = np.sort(order[half::2]), np.sort(order[1 - half :: 2])
                squared.append(fit(observations.select(seen))(observations.select(unseen)))
    except (cv2.error, ValueError) as error:
        print(f"  failed: {str(error).strip().splitlines()[-1][:110]}")
        return {}
    held_out = float(np.sqrt(np.concatenate(squared).mean()))
    return {"heldout_rms_px": held_out, "rms_px": rms, "seconds": seconds}


def run_case(folder: Path) -> dict[str, dict[str, float]]:
    begin = time.perf_counter()
    boards = find_boards(folder)
    detect_s = time.perf_counter() - begin
    _, observations = observe(boards.detections, boards.target)
    begin = time.perf_counter()
    chosen, _ = choose_model(observations, boards.width, boards.height)
    choose_s = time.perf_counter() - begin
    print(
        f"  {len(boards.detections)} photos, {len(observations.ids)} corners of {boards.target.columns}x"
        f"{boards.target.rows}; geo3d chose {chosen.model}"
    )
    rows = {
        "geo3d": measure(observations, by_geo3d(boards, chosen.model, 3)),
        "geo3d, 5 shape terms": measure(observations, by_geo3d(boards, chosen.model, 5)),
        "opencv": measure(observations, by_opencv(boards, False)),
        "opencv-fisheye": measure(observations, by_opencv(boards, True)),
    }
    rows["geo3d"] |= {"frames_used": len(boards.detections), "detect_s": detect_s, "choose_s": choose_s}
    return rows


def show(rows: dict[str, dict[str, float]]) -> None:
    columns = ("heldout_rms_px", "rms_px", "seconds")
    print(f"  {'':<22}" + "".join(f"{name:>16}" for name in columns))
    for name, row in rows.items():
        print(f"  {name:<22}" + "".join(f"{row[c]:>16.4f}" if c in row else f"{'-':>16}" for c in columns))
    best = min(row["heldout_rms_px"] for name, row in rows.items() if "opencv" in name and row)
    own = rows["geo3d"]
    print(
        f"  held out, geo3d to the better of OpenCV: {own['heldout_rms_px'] / best:.2f}; detection "
        f"{own['detect_s']:.1f} s, choice of model {own['choose_s']:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = make_parser(__doc__, "folder of sets of photos of a checkerboard", "the first set only")
    options = parser.parse_args()
    print_machine()
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        cases = cases_of(options.data, Path(scratch))
        for case, folder in list(cases.items())[: 1 if options.quick else None]:
            print(f"\n{case}", flush=True)
            figures[case] = run_case(folder)
            show(figures[case])
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
