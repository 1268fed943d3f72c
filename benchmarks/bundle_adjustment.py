"""Bundle adjustment side by side: geo3d and Ceres (in pycolmap) on the same problems, in the same run.

    python benchmarks/bundle_adjustment.py --data FOLDER [--json FILE] [--quick]

FOLDER holds problems of "Bundle Adjustment in the Large" (`problem-*.txt`, or `.txt.bz2`). Such a camera looks down
-z with y up and its principal point at 0; turned about x it is COLMAP's RADIAL with a principal point held at 0.
Observations that start behind their camera are dropped for both: neither would count them there.

Both run on one thread, each in a process of its own, free gauge, every parameter but the principal points free.
`cost` is half the sum of squares in px^2 where each ends (function tolerance 1e-6, at most 100 iterations), computed
for both by `evaluate` below. `seconds` is the time to reach 1.0005 times the lower of the two: runs are repeated with
ever fewer iterations allowed, and the shortest that gets there is timed (best of five), `iterations` being how many
it takes. Times are of the solvers with their preparation, from arrays for geo3d, from a built problem for Ceres.
`--quick` times one run each.
"""

import bz2
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib  # noqa: F401, must be loaded before pycolmap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import make_parser, print_machine, write_figures

IMPLEMENTATIONS = ("geo3d", "ceres")
MAX_ITERATIONS = 100
SLACK = 1.0005


@dataclass(frozen=True)
class Problem:
    """Arrays of a problem; x right, y down, z forward."""

    rotations: np.ndarray  # (V, 3, 3)
    translations: np.ndarray  # (V, 3)
    radial: np.ndarray  # (V, 3): f, k1, k2
    points: np.ndarray  # (P, 3)
    obs_view: np.ndarray  # (O,)
    obs_point: np.ndarray  # (O,)
    obs_xy: np.ndarray  # (O, 2)


def read_problem(path: Path) -> Problem:
    """A problem without the observations that start behind their camera."""
    from geo3d.geometry import SO3

    data = path.read_bytes()
    numbers = np.array((bz2.decompress(data) if path.suffix == ".bz2" else data).split(), np.float64)
    views, points, observations = numbers[:3].astype(int)
    obs, numbers = numbers[3 : 3 + 4 * observations].reshape(-1, 4), numbers[3 + 4 * observations :]
    camera, xyz = numbers[: 9 * views].reshape(-1, 9), numbers[9 * views :].reshape(points, 3)
    turn = np.diag([1.0, -1.0, -1.0])
    whole = Problem(
        turn @ SO3.exp(camera[:, :3]).matrix,
        camera[:, 3:6] @ turn,
        camera[:, 6:],
        xyz,
        obs[:, 0].astype(np.int64),
        obs[:, 1].astype(np.int64),
        obs[:, 2:] * [1, -1],
    )
    front = in_camera(whole)[:, 2] > 0
    print(
        f"{path.name}: {views} views, {points} points, {observations} observations, {(~front).sum()} dropped"
    )
    return replace(
        whole, obs_view=whole.obs_view[front], obs_point=whole.obs_point[front], obs_xy=whole.obs_xy[front]
    )


def in_camera(p: Problem) -> np.ndarray:
    """(O, 3) observed points in the frames of their cameras."""
    return (
        np.einsum("oij,oj->oi", p.rotations[p.obs_view], p.points[p.obs_point]) + p.translations[p.obs_view]
    )


def evaluate(p: Problem) -> float:
    """Half the sum of squared residuals in px^2; what is behind its camera counts zero."""
    x = in_camera(p)
    front = x[:, 2] > np.finfo(float).eps
    f, k1, k2 = p.radial[p.obs_view[front]].T
    plane = x[front, :2] / x[front, 2:]
    r2 = (plane**2).sum(1)
    pixels = (f * (1 + r2 * (k1 + r2 * k2)))[:, None] * plane
    return 0.5 * float(((pixels - p.obs_xy[front]) ** 2).sum())


def run_geo3d(p: Problem, iterations: int) -> tuple[float, int, Problem]:
    """Seconds, iterations and result of geo3d."""
    from geo3d.cameras import Camera
    from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, solve_bundle

    cameras = [Camera("RADIAL", 1, 1, [f, 0.0, 0.0, k1, k2]) for f, k1, k2 in p.radial]
    bundle = BundleProblem(
        p.rotations,
        p.translations,
        np.arange(len(cameras)),
        cameras,
        p.points,
        p.obs_view,
        p.obs_point,
        p.obs_xy,
    )
    start = time.perf_counter()
    result = solve_bundle(
        bundle, BundleOptions(max_iterations=iterations, function_tolerance=1e-6, threads=1)
    )
    seconds = time.perf_counter() - start
    radial = np.array([camera.params[[0, 3, 4]] for camera in result.cameras])
    return (
        seconds,
        result.iterations,
        replace(
            p,
            rotations=result.rotations,
            translations=result.translations,
            radial=radial,
            points=result.points,
        ),
    )


def run_ceres(p: Problem, iterations: int) -> tuple[float, int, Problem]:
    """Seconds, iterations and result of Ceres; the seconds leave out building its problem."""
    import pycolmap

    model = pycolmap.Reconstruction()
    order = np.argsort(p.obs_view, kind="stable")
    ends = np.searchsorted(p.obs_view[order], np.arange(len(p.rotations) + 1))
    element = np.empty(len(order), np.int64)  # row of each observation in its image
    for v, (f, k1, k2) in enumerate(p.radial):
        rows = order[ends[v] : ends[v + 1]]
        element[rows] = np.arange(len(rows))
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(camera_id=v + 1, model="RADIAL", width=1, height=1, params=[f, 0, 0, k1, k2])
        )
        image = pycolmap.Image(name=str(v), keypoints=p.obs_xy[rows], camera_id=v + 1, image_id=v + 1)
        pose = pycolmap.Rigid3d(np.column_stack([p.rotations[v], p.translations[v]]))
        model.add_image_with_trivial_frame(image, pose)
    by_point = np.argsort(p.obs_point, kind="stable")
    ends = np.searchsorted(p.obs_point[by_point], np.arange(len(p.points) + 1))
    ids = []
    for i, xyz in enumerate(p.points):
        rows = by_point[ends[i] : ends[i + 1]]
        track = pycolmap.Track([pycolmap.TrackElement(p.obs_view[o] + 1, element[o]) for o in rows])
        ids.append(model.add_point3D(xyz, track))
    config = pycolmap.BundleAdjustmentConfig()
    for v in range(len(p.rotations)):
        config.add_image(v + 1)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False, refine_principal_point=False)
    solver = options.ceres.solver_options
    solver.max_num_iterations, solver.num_threads = iterations, 1
    solver.function_tolerance, solver.gradient_tolerance, solver.parameter_tolerance = 1e-6, 1e-10, 1e-8
    adjuster = pycolmap.create_default_bundle_adjuster(options, config, model)
    start = time.perf_counter()
    summary = adjuster.solve()
    seconds = time.perf_counter() - start
    poses = [model.image(v + 1).cam_from_world() for v in range(len(p.rotations))]
    result = replace(
        p,
        rotations=np.array([pose.rotation.matrix() for pose in poses]),
        translations=np.array([pose.translation for pose in poses]),
        radial=np.array([model.camera(v + 1).params[[0, 3, 4]] for v in range(len(p.rotations))]),
        points=np.array([model.point3D(i).xyz for i in ids]),
    )
    words = summary.brief_report().replace(",", " ").split()  # "... Iterations: 33, ..."
    return seconds, int(words[words.index("Iterations:") + 1]), result


def iterations_to(run, problem: Problem, target: float, most: int) -> int:
    """The fewest iterations that end at `target` or below."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if evaluate(run(problem, middle)[2]) <= target else (middle, high)
    return high


def measure(implementation: str, path: Path, target: float | None, repeats: int) -> dict[str, float]:
    """What a process of its own does: solve to the end, or time the way to the target."""
    run = {"geo3d": run_geo3d, "ceres": run_ceres}[implementation]
    problem = read_problem(path)
    if target is None:
        _, iterations, result = run(problem, MAX_ITERATIONS)
        return {"start": evaluate(problem), "cost": evaluate(result), "iterations": iterations}
    iterations = iterations_to(run, problem, target, MAX_ITERATIONS)
    return {"seconds": min(run(problem, iterations)[0] for _ in range(repeats)), "iterations": iterations}


def child(implementation: str, path: Path, target: float | None, repeats: int) -> dict[str, float]:
    """`measure` in a new process, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        words = [implementation, str(path), repr(target), str(repeats), str(out)]
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        subprocess.run(
            [sys.executable, __file__, "--child", *words],
            check=True,
            env={**os.environ, **one},
            stdout=subprocess.DEVNULL,
        )
        return json.loads(out.read_text())


def run_child(words: list[str]) -> None:
    """The other end of `child`."""
    implementation, path, target, repeats, out = words
    wanted = None if target == "None" else float(target)
    Path(out).write_text(json.dumps(measure(implementation, Path(path), wanted, int(repeats))))


def compare(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Figures of both on one problem, printed."""
    ends = {name: child(name, path, None, 1) for name in IMPLEMENTATIONS}
    target = SLACK * min(end["cost"] for end in ends.values())
    figures = {}
    for name in IMPLEMENTATIONS:
        reached = child(name, path, target, repeats)
        figures[name] = {**reached, "cost": ends[name]["cost"]}
        print(
            f"{name:>8}: {reached['seconds']:8.3f} s, {reached['iterations']:3.0f} iterations to {target:.1f}; "
            f"from {ends[name]['start']:.1f} to {ends[name]['cost']:.2f} in {ends[name]['iterations']:.0f}"
        )
    print(
        f"   ratio: Ceres takes {figures['ceres']['seconds'] / figures['geo3d']['seconds']:.2f} times as long"
    )
    return figures


def main() -> None:
    if "--child" in sys.argv:
        return run_child(sys.argv[sys.argv.index("--child") + 1 :])
    options = make_parser(
        __doc__, "folder with problems", "time one run instead of the best of five"
    ).parse_args()
    print_machine()
    paths = sorted(p for p in options.data.rglob("problem-*.txt*") if p.suffix in (".txt", ".bz2"))
    if not paths:
        sys.exit(f"no problem-*.txt or problem-*.txt.bz2 in {options.data}")
    figures = {}
    for path in paths:
        problem = read_problem(path)
        print(f"  {len(problem.obs_xy)} observations cost {evaluate(problem):.1f} px^2 at the start")
        figures[path.name.split(".")[0]] = compare(path, 1 if options.quick else 5)
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
