"""Calibration side by side: geo3d, OpenCV and mrcal on the corners of the same photos, in the same run.

    python benchmarks/calibration.py --data FOLDER [--json FILE] [--quick]

FOLDER holds sets, each a folder of photos of a checkerboard by one camera, or by two, named left... and right...: each
camera is a case of its own, SET or SET/left and SET/right, and two are SET/rig (see `calibration_rig`). Photos named
test... are left out. The board's size is guessed, its corners are found once by geo3d (`detect_s`, seconds) and given
to all.

`heldout_rms_px`: calibrated on half of the photos, in each photo of the other half only the pose is fitted, root mean
square distance over all corners, none left out; two halves, twice. geo3d and mrcal hold the board's shape as found from
the first half; geo3d's lens model, and how many terms its shape has, are chosen from all photos. `rms_px` is over all
photos, calibrated on all, in `seconds`; `frames_used` of `frames_found`; `total_s` is geo3d's whole job: detection,
choice and calibration. mrcal (Debian: `apt install python3-mrcal`) runs in a process of its own, where it is installed.
An implementation without figures failed.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from calibration_rig import run_rig, show_rig
from common import make_parser, print_machine, write_figures

from geo3d.calibration import (
    CalibrateOptions,
    FoundBoards,
    HeldOut,
    calibrate,
    choose_model,
    find_boards,
    observe,
)
from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.calibrate import fit_model
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
    """A lens model, and a shape of the board of so many terms."""

    def fit(observations: Observations) -> Score:
        start = start_board(observations, boards.width, boards.height)
        state = fit_model(observations, start, model, shape_terms)[0].state
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


def halves(views: int) -> list[np.ndarray]:
    """(V,) bool each: the photos to calibrate on."""
    rng, found = np.random.default_rng(0), []
    for _ in range(REPEATS):
        order = rng.permutation(views)
        found += [np.isin(np.arange(views), order[half::2]) for half in (0, 1)]
    return found


def measure(observations: Observations, fit: Fit) -> dict[str, float]:
    """Figures of one implementation; none where it fails, on all photos or on a half."""
    import cv2

    begin = time.perf_counter()
    try:
        rms = float(np.sqrt(fit(observations)(observations).mean()))
        seconds = time.perf_counter() - begin
        squared = [
            fit(observations.select(np.flatnonzero(seen)))(observations.select(np.flatnonzero(~seen)))
            for seen in halves(observations.views)
        ]
    except (cv2.error, ValueError) as error:
        print(f"  failed: {str(error).strip().splitlines()[-1][:110]}")
        return {}
    held_out = float(np.sqrt(np.concatenate(squared).mean()))
    return {"heldout_rms_px": held_out, "rms_px": rms, "seconds": seconds}


def python_of_mrcal() -> str | None:
    """An interpreter that has mrcal; distributions install it for their own."""
    for python in ("/usr/bin/python3", shutil.which("python3")):
        if python and subprocess.run([python, "-c", "import mrcal"], capture_output=True).returncode == 0:
            return python
    return None


def measure_mrcal(observations: Observations, boards: FoundBoards) -> dict[str, float]:
    """Figures of mrcal; none where it is not installed or fails."""
    python = python_of_mrcal()
    if python is None:
        return {}
    columns, rows = boards.target.columns, boards.target.rows
    pixels = np.full((observations.views, rows * columns, 2), np.nan)
    pixels[observations.view, observations.ids] = observations.pixels - 0.5
    seen = [np.ones(observations.views, bool), *halves(observations.views)]
    with tempfile.TemporaryDirectory() as scratch:
        given, found = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        np.savez(
            given,
            pixels=pixels.reshape(-1, rows, columns, 2),
            seen=np.array(seen),
            square=boards.target.square_m,
            width=boards.width,
            height=boards.height,
        )
        script = Path(__file__).with_name("calibration_mrcal.py")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run([python, script, given, found], env=clean, capture_output=True, text=True)
        if done.returncode:
            print(f"  mrcal failed: {done.stderr.strip().splitlines()[-1][:110]}")
            return {}
        with np.load(found) as result:
            squared, seconds = result["squared"], float(result["seconds"][0])
    held_out = np.concatenate([s[~part].ravel() for s, part in zip(squared[1:], seen[1:])])
    return {
        "heldout_rms_px": float(np.sqrt(np.nanmean(held_out))),
        "rms_px": float(np.sqrt(np.nanmean(squared[0]))),
        "seconds": seconds,
    }


def run_case(folder: Path) -> tuple[dict[str, dict[str, float]], FoundBoards, HeldOut]:
    """The figures of one camera, by implementation; its corners and the lens that was chosen."""
    begin = time.perf_counter()
    boards = find_boards(folder)
    detect_s = time.perf_counter() - begin
    _, observations = observe(boards.detections, boards.target)
    begin = time.perf_counter()
    chosen, _ = choose_model(observations, boards.width, boards.height)
    choose_s = time.perf_counter() - begin
    begin = time.perf_counter()
    options = CalibrateOptions(chosen.model, chosen.shape_terms)
    done = calibrate(boards.detections, boards.target, boards.width, boards.height, options)
    fit_s = time.perf_counter() - begin
    print(
        f"  {len(boards.detections)} photos, {len(observations.ids)} corners of {boards.target.columns}x"
        f"{boards.target.rows}; geo3d chose {chosen.model} and {chosen.shape_terms} terms of the board's shape"
    )
    rows = {
        "geo3d": measure(observations, by_geo3d(boards, chosen.model, chosen.shape_terms)),
        "geo3d, 3 shape terms": measure(observations, by_geo3d(boards, chosen.model, 3)),
        "opencv": measure(observations, by_opencv(boards, False)),
        "opencv-fisheye": measure(observations, by_opencv(boards, True)),
        "mrcal": measure_mrcal(observations, boards),
    }
    rows["geo3d"] |= {
        "frames_found": len(boards.detections),
        "frames_used": len(done.names),
        "detect_s": detect_s,
        "choose_s": choose_s,
        "total_s": detect_s + choose_s + fit_s,
    }
    return rows, boards, chosen


def show(rows: dict[str, dict[str, float]]) -> None:
    columns = ("heldout_rms_px", "rms_px", "seconds")
    print(f"  {'':<22}" + "".join(f"{name:>16}" for name in columns))
    for name, row in rows.items():
        print(f"  {name:<22}" + "".join(f"{row[c]:>16.4f}" if c in row else f"{'-':>16}" for c in columns))
    own, peers = rows["geo3d"], [row for name, row in rows.items() if "geo3d" not in name and row]
    ratio = (
        own.get("heldout_rms_px", np.nan) / min(row["heldout_rms_px"] for row in peers) if peers else np.nan
    )
    print(
        f"  held out, geo3d to the best peer: {ratio:.2f}; {own['frames_used']} of {own['frames_found']} photos used; "
        f"in all {own['total_s']:.1f} s, of it detection {own['detect_s']:.1f} s, choice of model "
        f"{own['choose_s']:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = make_parser(__doc__, "folder of sets of photos of a checkerboard", "the first set only")
    options = parser.parse_args()
    print_machine()
    figures, sides = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        cases = cases_of(options.data, Path(scratch))
        for case, folder in list(cases.items())[: 1 if options.quick else None]:
            print(f"\n{case}", flush=True)
            figures[case], *sides[case] = run_case(folder)
            show(figures[case])
            name, _, side = case.partition("/")
            if side == "right":
                print(f"\n{name}/rig", flush=True)
                boards, chosen = zip(sides[f"{name}/left"], sides[case])
                figures[f"{name}/rig"] = run_rig(boards, chosen)
                show_rig(figures[f"{name}/rig"])
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
