"""Bundle adjustment side by side: geo3d and Ceres (in pycolmap) on the same problems, in the same run.

    python benchmarks/bundle_adjustment.py --data FOLDER [--json FILE] [--quick] [--only CASE ...]

FOLDER holds problems of "Bundle Adjustment in the Large" (`problem-*.txt`, or `.txt.bz2`), a camera for each view;
beside them are two blocks of synthetic aerial photos with one camera for all (see bundle_problems.py).

Both run on one thread, each in a process of its own, free gauge, every parameter but the principal points free.
`cost` is half the sum of squares in px^2 where each ends (function tolerance 1e-6, at most 100 iterations), computed
for both by the same code. `seconds` is the time to reach 1.0005 times the lower of the two: runs are repeated with
ever fewer iterations allowed, and the shortest that gets there is timed (best of five), `iterations` being how many
it takes. Times are processor time (of one thread) of the solvers with their preparation, from arrays for geo3d, from
a built problem for Ceres. `--quick` times one run each.

`covariance_s` is the time that the covariances of all poses take at the same solution, under COLMAP's gauge
TWO_CAMS_FROM_WORLD, and `covariance_deviation` the largest relative difference (Frobenius norm) between the two
covariances of a pose; `point_deviation` the same for points, given everything else, which is what COLMAP computes.
COLMAP's damping is off: by default it adds 1e-8 to the normal equations, which changes what is barely determined (on
problem-49-7776-pre a pose's covariance by up to 28 %).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib  # noqa: F401  # has to be loaded before pycolmap
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from bundle_problems import BLOCKS, Problem, evaluate, load_problem
from common import make_parser, print_machine, write_figures

IMPLEMENTATIONS = ("geo3d", "ceres")
MAX_ITERATIONS = 100
SLACK = 1.0005


def geo3d_problem(p: Problem):
    """The problem as geo3d takes it."""
    from geo3d.cameras import Camera
    from geo3d.sfm import BundleProblem

    cameras = [Camera("RADIAL", 1, 1, [f, 0.0, 0.0, k1, k2]) for f, k1, k2 in p.radial]
    return BundleProblem(
        p.rotations, p.translations, p.view_camera, cameras, p.points, p.obs_view, p.obs_point, p.obs_xy
    )


def run_geo3d(p: Problem, iterations: int) -> tuple[float, int, Problem]:
    """Seconds, iterations and result of geo3d."""
    from geo3d.sfm import BundleOptions, solve_bundle

    bundle = geo3d_problem(p)
    start = time.process_time()
    result = solve_bundle(
        bundle, BundleOptions(max_iterations=iterations, function_tolerance=1e-6, threads=1)
    )
    seconds = time.process_time() - start
    solution = replace(
        p,
        rotations=result.rotations,
        translations=result.translations,
        radial=np.array([camera.params[[0, 3, 4]] for camera in result.cameras]),
        points=result.points,
    )
    return seconds, result.iterations, solution


def ceres_model(p: Problem):
    """The problem as COLMAP takes it; images and cameras from id 1, and the ids of the points."""
    import pycolmap

    model = pycolmap.Reconstruction()
    for c, (f, k1, k2) in enumerate(p.radial):
        camera = pycolmap.Camera(camera_id=c + 1, model="RADIAL", width=1, height=1, params=[f, 0, 0, k1, k2])
        model.add_camera_with_trivial_rig(camera)
    order = np.argsort(p.obs_view, kind="stable")
    ends = np.searchsorted(p.obs_view[order], np.arange(len(p.rotations) + 1))
    element = np.empty(len(order), np.int64)  # row of each observation in its image
    for v in range(len(p.rotations)):
        rows = order[ends[v] : ends[v + 1]]
        element[rows] = np.arange(len(rows))
        camera_id = int(p.view_camera[v]) + 1
        image = pycolmap.Image(name=str(v), keypoints=p.obs_xy[rows], camera_id=camera_id, image_id=v + 1)
        pose = pycolmap.Rigid3d(np.column_stack([p.rotations[v], p.translations[v]]))
        model.add_image_with_trivial_frame(image, pose)
    by_point = np.argsort(p.obs_point, kind="stable")
    ends = np.searchsorted(p.obs_point[by_point], np.arange(len(p.points) + 1))
    ids = []
    for i, xyz in enumerate(p.points):
        rows = by_point[ends[i] : ends[i + 1]]
        track = pycolmap.Track([pycolmap.TrackElement(p.obs_view[o] + 1, element[o]) for o in rows])
        ids.append(model.add_point3D(xyz, track))
    return model, ids


def ceres_adjuster(model, iterations: int, two_view_gauge: bool = False):
    """A bundle adjuster of COLMAP on one thread; the options must outlive it."""
    import pycolmap

    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.images:
        config.add_image(image_id)
    if two_view_gauge:
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False, refine_principal_point=False)
    solver = options.ceres.solver_options
    solver.max_num_iterations, solver.num_threads = iterations, 1
    solver.function_tolerance, solver.gradient_tolerance, solver.parameter_tolerance = 1e-6, 1e-10, 1e-8
    return pycolmap.create_default_ceres_bundle_adjuster(options, config, model)


def run_ceres(p: Problem, iterations: int) -> tuple[float, int, Problem]:
    """Seconds, iterations and result of Ceres; the seconds leave out building its problem."""
    model, ids = ceres_model(p)
    adjuster = ceres_adjuster(model, iterations)
    start = time.process_time()
    summary = adjuster.solve()
    seconds = time.process_time() - start
    poses = [model.image(v + 1).cam_from_world() for v in range(len(p.rotations))]
    solution = replace(
        p,
        rotations=np.array([pose.rotation.matrix() for pose in poses]),
        translations=np.array([pose.translation for pose in poses]),
        radial=np.array([model.camera(c + 1).params[[0, 3, 4]] for c in range(len(p.radial))]),
        points=np.array([model.point3D(i).xyz for i in ids]),
    )
    words = summary.brief_report().replace(",", " ").split()  # "... Iterations: 33, ..."
    return seconds, int(words[words.index("Iterations:") + 1]), solution


def iterations_to(run, problem: Problem, target: float, most: int) -> int:
    """The fewest iterations that end at `target` or below."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if evaluate(run(problem, middle)[2]) <= target else (middle, high)
    return high


def measure(implementation: str, problem: Problem, target: float | None, repeats: int) -> dict[str, float]:
    """Solve to the end, or time the way to the target."""
    run = {"geo3d": run_geo3d, "ceres": run_ceres}[implementation]
    _, iterations, result = run(problem, MAX_ITERATIONS)
    if target is None:
        return {"start": evaluate(problem), "cost": evaluate(result), "iterations": iterations}
    iterations = iterations_to(run, problem, target, iterations)
    return {"seconds": min(run(problem, iterations)[0] for _ in range(repeats)), "iterations": iterations}


def compare_covariances(problem: Problem) -> dict[str, float]:
    """Seconds of both, and how far the covariances are apart at geo3d's solution."""
    import pycolmap

    from geo3d.sfm import bundle_covariance, two_view_gauge
    from geo3d.sfm.bundle_problem import BundleOptions

    solution = run_geo3d(problem, MAX_ITERATIONS)[2]
    model, ids = ceres_model(solution)
    adjuster = ceres_adjuster(model, 0, two_view_gauge=True)
    adjuster.solve()  # no iterations: only sets it up
    start = time.process_time()
    wanted = pycolmap.BACovarianceOptionsParams.POSES_AND_POINTS
    theirs = pycolmap.estimate_ba_covariance(
        pycolmap.BACovarianceOptions(params=wanted, damping=0.0), model, adjuster
    )
    ceres_s = time.process_time() - start
    if theirs is None:
        return {"ceres_s": ceres_s}
    views = range(len(solution.rotations))
    blocks = [theirs.get_cam_cov_from_world(v + 1) for v in views]
    first = next(v for v in views if blocks[v] is None)
    second = next(v for v in views if blocks[v] is not None and len(blocks[v]) == 5)
    bundle = geo3d_problem(solution)
    gauge = two_view_gauge(bundle, first, second)
    options = BundleOptions(threads=1)
    start = time.process_time()
    ours = bundle_covariance(replace(bundle, constant_pose=gauge), options, sigma_px=1.0)
    geo3d_s = time.process_time() - start
    half = np.diag([0.5, 0.5, 0.5, 1, 1, 1])  # Ceres' quaternion tangent is half the rotation vector
    poses = []
    for v in views:
        if v != first:
            free = np.flatnonzero(~gauge[v])
            poses.append(relative_difference((half @ ours.poses[v] @ half)[np.ix_(free, free)], blocks[v]))
    # COLMAP's covariance of a point takes everything else as known.
    held = replace(
        bundle, constant_view=np.ones(len(views), bool), constant_camera=np.ones(len(bundle.cameras), bool)
    )
    alone = bundle_covariance(held, options, sigma_px=1.0).points
    given = [theirs.get_point_cov(i) for i in ids]
    points = [relative_difference(a, b) for a, b in zip(alone, given, strict=True) if b is not None]
    return {
        "geo3d_s": geo3d_s,
        "ceres_s": ceres_s,
        "deviation": max(poses),
        "point_deviation": max(points),
    }


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def child(task: str, folder: Path, target: float | None, repeats: int) -> dict[str, float]:
    """`measure` or `compare_covariances` on `folder/problem.npz` in a new process, on one thread."""
    words = [task, str(folder), repr(target), str(repeats)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run(
        [sys.executable, __file__, "--child", *words],
        check=True,
        env={**os.environ, **one},
        stdout=subprocess.DEVNULL,
    )
    return json.loads((folder / "result.json").read_text())


def run_child(task: str, folder: str, target: str, repeats: str) -> None:
    """The other end of `child`."""
    with np.load(Path(folder) / "problem.npz") as arrays:
        problem = Problem(**arrays)
    if task == "covariances":
        result = compare_covariances(problem)
    else:
        result = measure(task, problem, None if target == "None" else float(target), int(repeats))
    (Path(folder) / "result.json").write_text(json.dumps(result))


def compare(problem: Problem, repeats: int) -> dict[str, dict[str, float]]:
    """Figures of both on one problem, printed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "problem.npz", **asdict(problem))
        ends = {name: child(name, folder, None, 1) for name in IMPLEMENTATIONS}
        target = SLACK * min(end["cost"] for end in ends.values())
        figures = {}
        for name in IMPLEMENTATIONS:
            reached = child(name, folder, target, repeats)
            figures[name] = {**reached, "cost": ends[name]["cost"]}
            print(
                f"{name:>8}: {reached['seconds']:8.3f} s, {reached['iterations']:3.0f} iterations to {target:.1f}; "
                f"from {ends[name]['start']:.1f} to {ends[name]['cost']:.2f} in {ends[name]['iterations']:.0f}",
                flush=True,
            )
        ratio = figures["ceres"]["seconds"] / figures["geo3d"]["seconds"]
        print(f"   ratio: Ceres takes {ratio:.2f} times as long", flush=True)
        covariances = child("covariances", folder, None, 1)
    figures["ceres"]["covariance_s"] = covariances["ceres_s"]
    if "geo3d_s" not in covariances:
        print("   covariances: COLMAP finds none")
        return figures
    figures["geo3d"] |= {
        "covariance_s": covariances["geo3d_s"],
        "covariance_deviation": covariances["deviation"],
        "point_deviation": covariances["point_deviation"],
    }
    print(
        f"   covariances: geo3d {covariances['geo3d_s']:.3f} s, COLMAP {covariances['ceres_s']:.3f} s; they differ by "
        f"at most {covariances['deviation']:.1e} (poses) and {covariances['point_deviation']:.1e} (points)",
        flush=True,
    )
    return figures


def main() -> None:
    if "--child" in sys.argv:
        return run_child(*sys.argv[sys.argv.index("--child") + 1 :])
    parser = make_parser(__doc__, "folder with problems", "time one run instead of the best of five")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="names of problems and blocks")
    options = parser.parse_args()
    print_machine()
    paths = sorted(p for p in options.data.rglob("problem-*.txt*") if p.suffix in (".txt", ".bz2"))
    if not paths:
        sys.exit(f"no problem-*.txt or problem-*.txt.bz2 in {options.data}")
    cases = {path.name.split(".")[0]: str(path) for path in paths} | {name: name for name in BLOCKS}
    figures = {}
    for case, source in cases.items():
        if options.only and case not in options.only:
            continue
        problem = load_problem(source)
        views, points, observations = len(problem.rotations), len(problem.points), len(problem.obs_xy)
        print(f"{case}: {views} views, {points} points, {observations} observations")
        figures[case] = compare(problem, 1 if options.quick else 5)
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
