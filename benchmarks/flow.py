"""Optical flow beside OpenCV's Farnebäck and DIS, scikit-image's TV-L1, and OpenCV contrib's DeepFlow, in the same run.

    python benchmarks/flow.py --data FOLDER [--json FILE] [--quick] [--methods NAME ...] [--contrib-python PATH]

Cases: the folders of FOLDER (frame10.png, frame11.png and flow10.flo, as Middlebury's), and made-up pairs with exact
truth, of seeds that nothing was tuned on. Peers run in processes of their own; DeepFlow needs opencv-contrib-python,
which replaces OpenCV, and so is run by the Python of another environment, `--contrib-python venv/bin/python`.
Figures: mean endpoint error over the pixels whose truth is known, the same over those that are seen in both images
where the truth says it, outliers of KITTI's kind (Fl-all), angular error, and the best time of three, warm.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from common import make_parser, print_machine, write_figures

from geo3d.flow import METHODS, flow_errors, optical_flow
from geo3d.io import read_flow
from geo3d.synthetic import FlowPairOptions, make_flow_pair

PEERS = ("farneback", "dis-fast", "dis-medium", "skimage-tv-l1")
LEFT_OUT = ("farneback", "dis", "raft")  # OpenCV's are measured as peers; RAFT needs a file of weights
KINDS = {
    "mixed": {},
    "small": {"max_motion_px": 3.0},
    "large": {"max_motion_px": 30.0, "layers": 6},
    "thin": {"thin": 14, "layers": 2},
    "exposure": {"brightness": 0.25},
    "noise": {"noise": 8.0},
    "plain": {"plain": 0.6, "patches": 0.2},
}
BASE = FlowPairOptions(width=512, height=384, layers=8, thin=4, samples=3)
FIRST_SEED = 900
MIDDLEBURY = "Middlebury, mean"
MADE_UP = "made-up, mean"


@dataclass(frozen=True, eq=False)
class Case:
    image0: np.ndarray
    image1: np.ndarray
    truth: np.ndarray
    occluded: np.ndarray | None


def middlebury(data: Path) -> Iterator[tuple[str, Case]]:
    for folder in sorted(data.iterdir()):
        truth = folder / "flow10.flo"
        if truth.is_file():
            images = (cv2.imread(str(folder / f"frame{i}.png"))[..., ::-1].copy() for i in (10, 11))
            yield folder.name, Case(*images, read_flow(truth), None)


def made_up(quick: bool) -> Iterator[tuple[str, Case]]:
    for i, (kind, changes) in enumerate(KINDS.items()):
        for number in range(1 if quick else 2):
            pair = make_flow_pair(replace(BASE, **changes), FIRST_SEED + 10 * i + number)
            yield f"{kind}-{number}", Case(pair.image0, pair.image1, pair.flow, pair.occlusion)


def run_peer(
    peer: str, python: str, cases: dict[str, Case], repeats: int
) -> dict[str, tuple[np.ndarray, float]]:
    """Flow and time of a peer for each case, found in a process of its own."""
    script = Path(__file__).with_name("flow_peers.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, case in enumerate(cases.values()):
            np.savez(folder / f"{i:03d}.npz", image0=case.image0, image1=case.image1)
        subprocess.run([python, script, peer, folder, str(repeats)], check=True)
        found = {}
        for i, case_name in enumerate(cases):
            with np.load(folder / f"{i:03d}.{peer}.npz") as result:
                found[case_name] = result["flow"], float(result["ms"])
    return found


def run_method(method: str, case: Case, repeats: int) -> tuple[np.ndarray, float]:
    """Flow and best time, ms, of the whole call with occlusion and confidence, after a first one."""
    found, times = optical_flow(case.image0, case.image1, method), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = optical_flow(case.image0, case.image1, method)
        times.append(1000.0 * (time.perf_counter() - start))
    return found.flow, min(times)


def figures(flow: np.ndarray, ms: float, case: Case) -> dict[str, float]:
    whole = flow_errors(flow, case.truth)
    seen = whole if case.occluded is None else flow_errors(flow, case.truth, ~case.occluded)
    return {
        "epe_px": whole.epe_px,
        "epe_seen_px": seen.epe_px,
        "fl_all_pct": whole.fl_all_pct,
        "angular_error_deg": whole.angular_error_deg,
        "ms": ms,
    }


def mean(cases: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: float(np.mean([case[name][key] for case in cases])) for key in values}
        for name, values in cases[0].items()
    }


def show(name: str, results: dict[str, dict[str, float]]) -> None:
    for implementation, f in results.items():
        print(
            f"{name:<20}{implementation:<18}{f['epe_px']:>8.3f} px{f['epe_seen_px']:>8.3f} px{f['fl_all_pct']:>8.2f}%"
            f"{f['angular_error_deg']:>7.2f} deg{f['ms']:>8.0f}",
            flush=True,
        )


def main() -> None:
    parser = make_parser(
        __doc__ or "", "folders of Middlebury pairs", "one repeat, and no TV-L1 of scikit-image"
    )
    parser.add_argument(
        "--methods", nargs="+", default=[name for name in METHODS if name not in LEFT_OUT], help="of geo3d"
    )
    parser.add_argument(
        "--contrib-python", metavar="PATH", help="Python with opencv-contrib-python, for DeepFlow"
    )
    arguments = parser.parse_args()
    print_machine()
    real = dict(middlebury(arguments.data))
    invented = dict(made_up(arguments.quick))
    cases = real | invented
    repeats = 1 if arguments.quick else 3
    results: dict[str, dict[str, dict[str, float]]] = {name: {} for name in cases}
    for method in arguments.methods:
        for name, case in cases.items():
            results[name][f"geo3d-{method}"] = figures(*run_method(method, case, repeats), case)
    peers = [(peer, sys.executable) for peer in PEERS[: 3 if arguments.quick else 4]]
    if arguments.contrib_python:
        peers.append(("deepflow", arguments.contrib_python))
    for peer, python in peers:
        for name, (flow, ms) in run_peer(peer, python, cases, repeats).items():
            results[name][peer] = figures(flow, ms, cases[name])
    for label, names in ((MIDDLEBURY, list(real)), (MADE_UP, list(invented))):
        if names:
            results[label] = mean([results[name] for name in names])
    print(f"{'case':<20}{'':<18}{'EPE':>11}{'seen':>11}{'Fl-all':>9}{'angle':>11}{'ms':>8}")
    for name, found in results.items():
        show(name, found)
    write_figures(arguments.json, results)


if __name__ == "__main__":
    main()
