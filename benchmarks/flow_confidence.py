"""Whether the confidence of optical flow holds, and how much of the occlusion is found.

    python benchmarks/flow_confidence.py [--data FOLDER] [--json FILE] [--quick] [--methods NAME ...]

Made-up pairs of the kinds of flow.py, of other seeds than those that the constants were chosen by, and the folders of
FOLDER (as Middlebury's). A vector is right if it is within one pixel of the truth. Figures, over the pixels that are
not marked as hidden: share of right vectors and mean confidence, which should be equal; the area under the ROC curve,
which is the chance that a right one has a higher confidence than a wrong one; and the shares right where the
confidence is below 0.1, 0.45 to 0.55, and above 0.9. And of the occlusion, what leaves the image left out: share of
what is marked that is hidden, of what is hidden that is marked.
"""

from dataclasses import replace

import numpy as np
from common import make_parser, print_machine, write_figures
from flow import BASE, KINDS, LEFT_OUT, MADE_UP, MIDDLEBURY, Case, mean, middlebury

from geo3d.flow import METHODS, endpoint_error, leaves_image, optical_flow
from geo3d.synthetic import make_flow_pair

FIRST_SEED = 700


def cases(arguments) -> dict[str, Case]:
    found = dict(middlebury(arguments.data)) if arguments.data else {}
    for i, (kind, changes) in enumerate(KINDS.items()):
        for number in range(1 if arguments.quick else 3):
            pair = make_flow_pair(replace(BASE, **changes), FIRST_SEED + 10 * i + number)
            found[f"{kind}-{number}"] = Case(pair.image0, pair.image1, pair.flow, pair.occlusion)
    return found


def figures(case: Case, method: str) -> dict[str, float]:
    found = optical_flow(case.image0, case.image1, method)
    error = endpoint_error(found.flow, case.truth)
    counts = np.isfinite(error) & ~found.occlusion
    right, sure = error[counts] < 1.0, found.confidence[counts].astype(float)
    ranks = np.empty(len(sure))
    ranks[np.argsort(sure, kind="stable")] = np.arange(len(sure))
    good, bad = right.sum(), (~right).sum()

    def share(low: float, high: float) -> float:
        chosen = right[(sure >= low) & (sure < high)]
        return 100.0 * float(chosen.mean()) if len(chosen) else float("nan")

    hidden, marked = np.zeros(0, bool), np.zeros(0, bool)
    if case.occluded is not None:
        inside = ~leaves_image(case.truth)
        hidden, marked = case.occluded[inside], found.occlusion[inside]
    with np.errstate(invalid="ignore"):
        return {
            "right_pct": 100.0 * float(right.mean()),
            "confidence_pct": 100.0 * float(sure.mean()),
            "roc_area": float((ranks[right].sum() - good * (good - 1) / 2) / (good * bad)),
            "below_0.1_pct": share(0.0, 0.1),
            "about_0.5_pct": share(0.45, 0.55),
            "above_0.9_pct": share(0.9, 1.01),
            "precision_pct": 100.0 * float(np.divide((hidden & marked).sum(), marked.sum())),
            "recall_pct": 100.0 * float(np.divide((hidden & marked).sum(), hidden.sum())),
        }


def show(name: str, results: dict[str, dict[str, float]]) -> None:
    for implementation, f in results.items():
        print(
            f"{name:<20}{implementation:<18}" + "".join(f"{value:>11.2f}" for value in f.values()), flush=True
        )


def main() -> None:
    parser = make_parser(__doc__ or "", "folders of Middlebury pairs", "one made-up pair of each kind", False)
    own = [name for name in METHODS if name not in LEFT_OUT]
    parser.add_argument("--methods", nargs="+", default=[*own, "dis"], help="of geo3d")
    arguments = parser.parse_args()
    print_machine()
    print(
        f"{'case':<38}{'right, %':>11}{'confid., %':>11}{'ROC area':>11}{'<0.1, %':>11}{'~0.5, %':>11}",
        end="",
    )
    print(f"{'>0.9, %':>11}{'precision':>11}{'recall':>11}")
    results: dict[str, dict[str, dict[str, float]]] = {}
    everything = cases(arguments)
    for name, case in everything.items():
        results[name] = {f"geo3d-{method}": figures(case, method) for method in arguments.methods}
        show(name, results[name])
    for label, made_up in ((MIDDLEBURY, False), (MADE_UP, True)):
        names = [name for name, case in everything.items() if (case.occluded is not None) == made_up]
        if names:
            results[label] = mean([results[name] for name in names])
            show(label, results[label])
    write_figures(arguments.json, results)


if __name__ == "__main__":
    main()
