"""RAFT learns: its error on unseen made-up pairs over the time of a training on the CPU.

    python benchmarks/raft_training.py [--json FILE] [--quick] [--steps N] [--keep FILE] [--data FOLDER]

A reduced network is trained on made-up pairs of 128x96 pixels; the error is that of 32 pairs of other seeds. The curve
has to fall to a third of its start, the smaller of the errors of the untrained network and of no flow at all, within 15
minutes on 2 cores. Stopped and started again with the same `--keep FILE`, the training goes on. `--data`, a folder of
Middlebury pairs, measures the trained network on these too: photographs of 640x480, of which it has seen none.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from common import make_parser, print_machine, write_figures

from geo3d.flow import flow_errors, prepare_pair
from geo3d.flow.raft.estimate import infer
from geo3d.flow.raft.training import Training, TrainingOptions, train_raft
from geo3d.flow.raft.training_pairs import training_pair
from geo3d.io import read_flow
from geo3d.util.progress import LineProgress

LIMIT_S = 15 * 60.0
QUICK_STEPS = 600


def middlebury(training: Training, data: Path) -> dict[str, dict[str, float]]:
    found = {}
    for folder in sorted(data.iterdir()):
        if not (folder / "flow10.flo").is_file():
            continue
        images = [cv2.imread(str(folder / f"frame{i}.png"))[..., ::-1] for i in (10, 11)]
        truth = read_flow(folder / "flow10.flo")
        flow = infer(training.network, prepare_pair(*images), 20)
        none = flow_errors(np.zeros_like(flow), truth).epe_px
        found[folder.name] = {"epe_px": flow_errors(flow, truth).epe_px, "zero_epe_px": none}
        print(
            f"{folder.name:<14}{found[folder.name]['epe_px']:8.3f} px, of no flow {none:8.3f} px", flush=True
        )
    return found


def main() -> int:
    parser = make_parser(
        __doc__ or "", "folders of Middlebury pairs", f"{QUICK_STEPS} steps", needs_data=False
    )
    parser.add_argument("--steps", type=int, help="of the training, in all")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="the checkpoint, kept and gone on with")
    arguments = parser.parse_args()
    print_machine()
    steps = arguments.steps or (QUICK_STEPS if arguments.quick else TrainingOptions().steps)
    options = replace(TrainingOptions(), steps=steps)
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.keep or Path(scratch) / "raft.pth"
        training = train_raft(path, training_pair, options, LineProgress(interval_s=30.0))
    start = min(training.zero_epe_px, training.curve[0].epe_px)
    print(f"no flow at all {training.zero_epe_px:8.3f} px")
    print(f"{'step':>6}{'seconds':>9}{'EPE':>9} px{'of start':>10}")
    for point in training.curve:
        print(
            f"{point.step:>6}{point.seconds:>9.0f}{point.epe_px:>9.3f}   {100 * point.epe_px / start:>8.0f}%"
        )
    in_time = [point for point in training.curve if point.seconds <= LIMIT_S]
    share = in_time[-1].epe_px / start
    print(f"after {in_time[-1].seconds:.0f} s: {100 * share:.0f} % of the start (at most 33 % is asked for)")
    cases = {
        f"step-{p.step}": {"geo3d-cpu": {"seconds": p.seconds, "epe_px": p.epe_px}} for p in training.curve
    }
    cases["start"] = {"zero-flow": {"epe_px": training.zero_epe_px}}
    if arguments.data:
        cases |= {
            name: {"geo3d-cpu": figures} for name, figures in middlebury(training, arguments.data).items()
        }
    write_figures(arguments.json, cases)
    return 0 if share <= 1.0 / 3.0 else 1


if __name__ == "__main__":
    sys.exit(main())
