"""Structure from motion side by side: geo3d and COLMAP (pycolmap) on the same photos, in the same run.

    python benchmarks/sfm.py [SCENE ...] --data FOLDER [--json FILE] [--quick] [--only NAME ...]

FOLDER holds scenes (or is one): `images/`, perhaps `K.txt` (the calibration, pixel centres at integers) and
`gt_cameras/NAME.camera` (the true poses). Every scene is run uncalibrated, and calibrated if it has a K.txt: PINHOLE
with the intrinsics held. In both cases all photos share one camera. Features are sought at the same longest side
(--max-size; 3200 is what both take by themselves), at most 8192 a photo (both count like this by themselves; COLMAP
adds keypoints of a second orientation on top). Everything else is as a user gets it: geo3d is the command
`geo3d reconstruct`, COLMAP its SIFT, exhaustive matching, and both of its mappers with their default options, the
global one after `calibrate_view_graph` where the focal length is not known, as its documentation advises.

All run one after the other on two cores in processes of their own. `total_s` is wall time from the start of the
process to its end, COLMAP's the sum of a process for features and matches (counted for both mappers) and one for a
mapper; `cpu_s` is the processor time of the same processes, the fairer measure where others use the machine too.
`total_ratio` and `cpu_ratio` are to the COLMAP mapper that took less. geo3d's kernels are compiled once and cached:
its first run of all, with an empty cache, is `first_run_s`; the times of the table are of runs that compiled nothing.
The models of the first run and of the one after it must be the same to the last bit (`runs_identical`).

`auc_T`, `centre_mm`: see pose_accuracy.py. `reproj_px` is the mean over observations. A scene whose photos have GPS
and that holds a georeferenced cloud `*.laz` is laid on it: see cloud_accuracy.py. `--quick` takes the scene with the
fewest photos, and leaves out the first-run figure.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cloud_accuracy import Cloud, score_on_cloud
from common import make_parser, print_machine, write_figures
from pose_accuracy import Poses, largest_model, read_truth, score_model, score_poses

COLMAP = ("colmap-incremental", "colmap-global")
IMPLEMENTATIONS = ("geo3d", *COLMAP)
THREADS = 2
MAX_FEATURES = 8192
COLUMNS = (
    ("total_s", "8.1f"),
    ("total_ratio", "11.2f"),
    ("cpu_s", "8.1f"),
    ("cpu_ratio", "9.2f"),
    ("extract_s", "9.1f"),
    ("match_s", "8.1f"),
    ("map_s", "7.1f"),
    ("registered", "10.0f"),
    ("auc_0.1", "7.3f"),
    ("auc_0.5", "7.3f"),
    ("auc_1", "6.3f"),
    ("centre_mm", "9.2f"),
    ("reproj_px", "9.3f"),
    ("points", "7.0f"),
    ("track_length", "12.2f"),
)
CLOUD_COLUMNS = (
    ("gps_m", "6.2f"),
    ("world_scale", "11.4f"),
    ("cloud_scale", "11.4f"),
    ("cloud_m", "7.3f"),
    ("cloud_plane_m", "13.3f"),
)


@dataclass(frozen=True)
class Case:
    """A folder of photos, with the calibration if that is to be used, and with what is known of the truth."""

    name: str
    images: Path
    calibration: Path | None
    truth: Poses | None
    cloud: Path | None
    max_size: int


@dataclass(frozen=True)
class Timed:
    """What a process printed and took."""

    output: str
    ok: bool
    wall_s: float
    cpu_s: float


def find_cases(data: Path, wanted: list[str], max_size: int) -> list[list[Case]]:
    """The cases of each scene below `data`, in the order of names."""
    folders = [f for f in (data, *sorted(data.iterdir())) if (f / "images").is_dir()]
    if wanted:
        by_name = {f.resolve().name: f for f in folders}
        missing = [name for name in wanted if name not in by_name]
        if missing:
            sys.exit(f"{data} has no scene {', '.join(missing)}; it has {', '.join(by_name) or 'none'}")
        folders = [by_name[name] for name in wanted]
    if not folders:
        sys.exit(f"{data}: no folder here holds images/; give --data a folder of such scenes")
    scenes = []
    for folder in folders:
        truth = read_truth(folder / "gt_cameras") or None
        name, images, K = folder.resolve().name, folder / "images", folder / "K.txt"
        known = (truth, next(iter(sorted(folder.glob("*.laz"))), None), max_size)
        calibrated = [Case(f"{name}/calibrated", images, K, *known)] if K.is_file() else []
        scenes.append([*calibrated, Case(f"{name}/uncalibrated", images, None, *known)])
    return scenes


def run_timed(command: list[str], cache: Path | None = None) -> Timed:
    """Run to the end; what it wrote to stderr is shown if it fails."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
    env = {**os.environ, **threads, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    if cache:
        env.pop("NUMBA_CACHE_DIR", None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            print(f"{' '.join(command)} failed:\n{err.read()[-2000:]}", file=sys.stderr, flush=True)
        return Timed(out.read(), process.returncode == 0, wall, usage.ru_utime + usage.ru_stime)


def score(folder: Path, case: Case) -> dict[str, float]:
    """Figures of the largest model below `folder`."""
    model = largest_model(folder)
    if model is None:
        return {"registered": 0, **score_poses({}, case.truth)}
    on_cloud = score_on_cloud(model, case.images, Cloud(case.cloud)) if case.cloud else {}
    return {**score_model(model, case.truth), **on_cloud}


# ------------------------------------------------------------------------------------------------------- geo3d


def geo3d_process(case: Case, scene: Path, cache: Path | None) -> Timed:
    shutil.rmtree(scene, ignore_errors=True)
    command = [sys.executable, "-m", "geo3d", "reconstruct", str(case.images), "-o", str(scene), "--json"]
    command += ["--camera-per", "folder", "--threads", str(THREADS), "--max-size", str(case.max_size)]
    if case.calibration:
        command += ["--calib", str(case.calibration), "--fix-intrinsics"]
    return run_timed(command, cache)


def compiled_files(cache: Path | None) -> int:
    """Number of compiled kernels in the cache."""
    base = cache or os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return sum(1 for _ in (Path(base or Path.home() / ".cache") / "geo3d").rglob("*.nbc"))


def model_hash(scene: Path) -> str:
    """Of all files of the models of a scene."""
    digest = hashlib.sha256()
    for path in sorted((scene / "sparse").rglob("*.bin")):
        digest.update(path.relative_to(scene).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def run_geo3d(case: Case, scratch: Path, cache: Path | None) -> dict[str, float]:
    """Figures of geo3d; a run that had to compile is thrown away and repeated."""
    scene = scratch / "geo3d"
    before = compiled_files(cache)
    timed = geo3d_process(case, scene, cache)
    if compiled_files(cache) > before:
        timed = geo3d_process(case, scene, cache)
    figures = {"total_s": timed.wall_s, "cpu_s": timed.cpu_s}
    if timed.ok:
        stages = json.loads(timed.output.splitlines()[-1])["timings"]
        names = {"extract_s": "features", "match_s": "matches", "map_s": "poses"}
        figures |= {figure: stages[stage] for figure, stage in names.items()}
    return figures | score(scene / "sparse", case)


# ------------------------------------------------------------------------------------------------------ COLMAP


def run_colmap(case: Case, scratch: Path, mappers: list[str]) -> dict[str, dict[str, float]]:
    """Figures of COLMAP's mappers on one set of features and matches."""
    folder = scratch / "colmap"
    folder.mkdir()
    words = [str(case.images), str(case.calibration or ""), str(case.max_size), str(folder)]
    script = [sys.executable, __file__, "--colmap"]
    front = run_timed([*script, "front", *words])
    seconds = json.loads(front.output.splitlines()[-1]) if front.ok else {}
    figures = {}
    for mapper in mappers:
        timed = run_timed([*script, mapper, *words])
        mapping = json.loads(timed.output.splitlines()[-1]) if timed.ok else {}
        totals = {"total_s": front.wall_s + timed.wall_s, "cpu_s": front.cpu_s + timed.cpu_s}
        figures[mapper] = {**totals, **seconds, **mapping, **score(folder / mapper, case)}
    return figures


def colmap_worker(step: str, images: str, calibration: str, max_size: str, folder: str) -> None:
    """The other end of `run_colmap`: one step; prints its seconds."""
    import zlib  # noqa: F401  # pycolmap brings a zlib of its own; Python's has to be loaded first

    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    steps = {"front": colmap_front, "colmap-incremental": colmap_incremental, "colmap-global": colmap_global}
    K = np.loadtxt(calibration) if calibration else None
    print(json.dumps(steps[step](Path(folder), images, K, int(max_size))))


def colmap_front(folder: Path, images: str, K: np.ndarray | None, max_size: int) -> dict[str, float]:
    """Extraction and exhaustive matching, with geometric verification, into `folder/database.db`."""
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    if K is not None:
        reader.camera_model = "PINHOLE"
        reader.camera_params = f"{K[0, 0]},{K[1, 1]},{K[0, 2] + 0.5},{K[1, 2] + 0.5}"
    extraction = pycolmap.FeatureExtractionOptions(max_image_size=max_size, num_threads=THREADS)
    extraction.sift.max_num_features = MAX_FEATURES
    matching = pycolmap.FeatureMatchingOptions(num_threads=THREADS)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0
    start = time.perf_counter()
    pycolmap.extract_features(
        folder / "database.db",
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )
    middle = time.perf_counter()
    pycolmap.match_exhaustive(
        folder / "database.db", matching, verification_options=verification, device=pycolmap.Device.cpu
    )
    return {"extract_s": middle - start, "match_s": time.perf_counter() - middle}


def colmap_incremental(folder: Path, images: str, K: np.ndarray | None, _: int) -> dict[str, float]:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(num_threads=THREADS, random_seed=0)
    if K is not None:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
    out = folder / "colmap-incremental"
    out.mkdir()
    start = time.perf_counter()
    pycolmap.incremental_mapping(folder / "database.db", images, out, options)
    return {"map_s": time.perf_counter() - start}


def colmap_global(folder: Path, images: str, K: np.ndarray | None, _: int) -> dict[str, float]:
    import pycolmap

    options = pycolmap.GlobalPipelineOptions(num_threads=THREADS, random_seed=0)
    out = folder / "colmap-global"
    out.mkdir()
    database = shutil.copy(folder / "database.db", folder / "global.db")  # the calibration writes into it
    start = time.perf_counter()
    if K is None:
        pycolmap.calibrate_view_graph(database, pycolmap.ViewGraphCalibrationOptions(random_seed=0))
    else:
        bundle = options.mapper.bundle_adjustment
        bundle.refine_focal_length = bundle.refine_extra_params = False
    pycolmap.global_mapping(database, images, out, options)
    return {"map_s": time.perf_counter() - start}


# ------------------------------------------------------------------------------------------------------- table


def add_ratios(rows: dict[str, dict[str, float]]) -> None:
    """Ratios of each to the mapper of COLMAP that took less."""
    for figure, ratio in (("total_s", "total_ratio"), ("cpu_s", "cpu_ratio")):
        least = min((rows[name][figure] for name in COLMAP if name in rows), default=None)
        for row in rows.values() if least else ():
            row[ratio] = row[figure] / least


def print_rows(case: str, rows: dict[str, dict[str, float]]) -> None:
    print_table(case, COLUMNS, rows)
    if any("cloud_m" in row for row in rows.values()):
        print_table("on the georeferenced cloud", CLOUD_COLUMNS, rows)


def print_table(title: str, columns: tuple, rows: dict[str, dict[str, float]]) -> None:
    widths = [int(form.split(".")[0]) for _, form in columns]
    heads = [f"{name:>{width}s}" for (name, _), width in zip(columns, widths, strict=True)]
    print(f"\n{title}\n{'':18s} {' '.join(heads)}")
    for name, row in rows.items():
        cells = [
            format(row[figure], form) if figure in row else " " * (width - 1) + "-"
            for (figure, form), width in zip(columns, widths, strict=True)
        ]
        print(f"{name:18s} {' '.join(cells)}", flush=True)


def geomean(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Geometric means of the ratios over the cases, of each implementation."""
    means: dict[str, dict[str, float]] = {}
    for name in IMPLEMENTATIONS:
        for ratio in ("total_ratio", "cpu_ratio"):
            values = [rows[name][ratio] for rows in figures.values() if ratio in rows.get(name, {})]
            if values:
                means.setdefault(name, {})[ratio] = float(np.exp(np.mean(np.log(values))))
    return means


def run_case(case: Case, only: list[str], cache: Path | None, first_run: bool) -> dict[str, dict[str, float]]:
    """Rows of the table of one case."""
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if "geo3d" in only:
            cold = geo3d_process(case, scratch / "geo3d", cache) if first_run else None
            before = model_hash(scratch / "geo3d")
            rows["geo3d"] = run_geo3d(case, scratch, cache)
            if cold is not None:
                same = before == model_hash(scratch / "geo3d")
                rows["geo3d"] |= {"first_run_s": cold.wall_s, "runs_identical": int(same)}
        mappers = [name for name in COLMAP if name in only]
        if mappers:
            rows |= run_colmap(case, scratch, mappers)
    add_ratios(rows)
    print_rows(case.name, rows)
    if first_run and "geo3d" in rows:
        print(
            f"first run of geo3d, with nothing compiled: {rows['geo3d']['first_run_s']:.1f} s; its model is "
            f"{'bit-identical to' if rows['geo3d']['runs_identical'] else 'NOT the same as'} that of the run above",
            flush=True,
        )
    return rows


def main() -> None:
    if "--colmap" in sys.argv:
        return colmap_worker(*sys.argv[sys.argv.index("--colmap") + 1 :])
    parser = make_parser(__doc__, "folder of scenes, or one", "the smallest scene, without the first run")
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="names of scenes; all by default")
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=list(IMPLEMENTATIONS))
    parser.add_argument("--max-size", type=int, default=3200, metavar="PX", help="longest side for features")
    options = parser.parse_args()
    print_machine()
    if hasattr(os, "sched_setaffinity"):  # what follows inherits it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    scenes = find_cases(options.data, options.scenes, options.max_size)
    if options.quick:
        scenes = [min(scenes, key=lambda cases: len(list(cases[0].images.iterdir())))]
    print(f"{THREADS} threads, photos to {options.max_size} px, {MAX_FEATURES} features a photo")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for case in (case for cases in scenes for case in cases):
            first_run = not options.quick and not figures
            place = None if options.quick else Path(cache)
            figures[case.name] = run_case(case, options.only, place, first_run)
    means = geomean(figures)
    print("\ngeometric mean of the ratios" if means else "")
    for name, row in means.items():
        print(f"{name:18s} total {row['total_ratio']:.2f}, processor time {row['cpu_ratio']:.2f}")
    write_figures(options.json, {**figures, "geomean": means} if means else figures)


if __name__ == "__main__":
    main()
