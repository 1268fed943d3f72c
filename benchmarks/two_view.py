"""Two-view geometry side by side: geo3d, PoseLib, OpenCV and pycolmap on the same matches, in the same run.

    python benchmarks/two_view.py --data FOLDER [--json FILE] [--quick] [--only NAME ...]

FOLDER holds scenes (or is one) with `images/`, `K.txt` (pixel centres at integers) and `gt_cameras/NAME.camera`.
Matches are mutual nearest neighbours with ratio 0.8 of 4,000 RootSIFT a photo; a pair takes part with at least 40
matches within 2 px (Sampson) of the true epipolar geometry. Each implementation runs in a process of its own, single
threaded. A pose error is the larger of the rotation error and the angle between the translation directions; a pair
without a pose counts as 180 degrees. `auc_5` and `auc_10` are areas under the recall curve up to 5 and 10 degrees,
`ms` is the median time of a pair. `--quick` takes every fifth pair.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import make_parser, print_machine, write_figures
from pose_accuracy import read_truth

IMPLEMENTATIONS = ("geo3d", "geo3d-fast", "poselib", "opencv", "pycolmap")
CASES = ("essential", "fundamental")
THRESHOLD_PX = 1.0  # inlier threshold of the peers, the one PoseLib and pycolmap are best at


def root_sift(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 2), top-left pixel centre (0.5, 0.5), and RootSIFT descriptors (N, 128)."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    sift = cv2.SIFT_create(4000, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(image, None)
    descriptors /= np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.array([k.pt for k in keypoints]) + 0.5, np.sqrt(descriptors)


def match(a: np.ndarray, b: np.ndarray, ratio: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Rows of mutual nearest neighbours that pass the ratio test."""
    similarity = a @ b.T
    best = similarity.argmax(axis=1)
    back = similarity.argmax(axis=0)
    top = np.partition(similarity, -2, axis=1)[:, -2:]
    distance = np.sqrt(np.maximum(2 - 2 * top, 0))
    keep = (back[best] == np.arange(len(a))) & (distance[:, 1] < ratio * distance[:, 0])
    return np.flatnonzero(keep), best[keep]


def true_inliers(x1, x2, K, R, t) -> int:
    skew = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    F = np.linalg.inv(K).T @ skew @ R @ np.linalg.inv(K)
    p, q = np.c_[x1, np.ones(len(x1))], np.c_[x2, np.ones(len(x2))]
    l2, l1 = p @ F.T, q @ F
    c = np.sum(q * l2, axis=1)
    return int(np.sum(c * c < 4.0 * (np.sum(l1[:, :2] ** 2, axis=1) + np.sum(l2[:, :2] ** 2, axis=1))))


def make_pairs(data: Path) -> list[dict]:
    """All pairs of all scenes below `data` that qualify."""
    scenes = [
        f for f in (data, *sorted(data.iterdir())) if (f / "K.txt").is_file() and (f / "gt_cameras").is_dir()
    ]
    if not scenes:
        raise SystemExit(
            f"{data}: no folder here holds K.txt and gt_cameras; give --data a folder of such scenes"
        )
    pairs = []
    for scene in scenes:
        K = np.loadtxt(scene / "K.txt")
        K[:2, 2] += 0.5
        truth = read_truth(scene / "gt_cameras")
        names = [n for n in truth if (scene / "images" / n).is_file()]
        features = {n: root_sift(scene / "images" / n) for n in names}
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                rows1, rows2 = match(features[first][1], features[second][1])
                x1, x2 = features[first][0][rows1], features[second][0][rows2]
                R = truth[second][0] @ truth[first][0].T
                t = truth[second][1] - R @ truth[first][1]
                if len(x1) >= 40 and true_inliers(x1, x2, K, R, t) >= 40:
                    pairs.append(
                        {"name": f"{scene.name}/{first}-{second}", "x1": x1, "x2": x2, "K": K, "R": R, "t": t}
                    )
    return pairs


def geo3d_solver(case: str, fast: bool):
    from geo3d import estimation
    from geo3d.cameras import Camera

    if fast:
        options = estimation.RansacOptions(max_error_px=THRESHOLD_PX)
    else:
        options = estimation.RansacOptions(max_error_px=THRESHOLD_PX, min_iterations=1000)

    def essential(x1, x2, K):
        camera = Camera("PINHOLE", 1, 1, [K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        pose = estimation.estimate_relative_pose(x1, x2, camera, camera, options).cam2_from_cam1
        return pose.rotation, pose.translation

    def fundamental(x1, x2, K):
        found = estimation.estimate_fundamental(x1, x2, options)
        return pose_of_fundamental(found.F, x1, x2, K, found.inliers)

    return {"essential": essential, "fundamental": fundamental}[case]


def poselib_solver(case: str, fast: bool):
    import poselib

    ransac = {"max_epipolar_error": THRESHOLD_PX, "seed": 0}

    def essential(x1, x2, K):
        camera = {"model": "PINHOLE", "width": 1, "height": 1, "params": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]}
        pose, _ = poselib.estimate_relative_pose(x1, x2, camera, camera, ransac)
        return pose.R, pose.t

    def fundamental(x1, x2, K):
        F, info = poselib.estimate_fundamental(x1, x2, ransac)
        return pose_of_fundamental(F, x1, x2, K, np.array(info["inliers"], bool))

    return {"essential": essential, "fundamental": fundamental}[case]


def opencv_solver(case: str, fast: bool):
    import cv2

    cv2.setNumThreads(1)

    def essential(x1, x2, K):
        E, mask = cv2.findEssentialMat(x1, x2, K, cv2.USAC_MAGSAC, 0.9999, THRESHOLD_PX)
        _, R, t, _ = cv2.recoverPose(E[:3], x1, x2, K, mask=mask)
        return R, t.ravel()

    def fundamental(x1, x2, K):
        F, mask = cv2.findFundamentalMat(x1, x2, cv2.USAC_MAGSAC, THRESHOLD_PX, 0.9999, 10000)
        return pose_of_fundamental(F, x1, x2, K, mask.ravel() > 0)

    return {"essential": essential, "fundamental": fundamental}[case]


def pycolmap_solver(case: str, fast: bool):
    import zlib  # noqa: F401  # pycolmap brings a zlib of its own; Python's has to be loaded first

    import pycolmap

    options = pycolmap.RANSACOptions(max_error=THRESHOLD_PX, random_seed=0)

    def essential(x1, x2, K):
        camera = pycolmap.Camera(
            model="PINHOLE", width=1, height=1, params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
        )
        pose = pycolmap.estimate_essential_matrix(x1, x2, camera, camera, options)["cam2_from_cam1"]
        return pose.rotation.matrix(), pose.translation

    def fundamental(x1, x2, K):
        found = pycolmap.estimate_fundamental_matrix(x1, x2, options)
        return pose_of_fundamental(found["F"], x1, x2, K, np.asarray(found["inlier_mask"]))

    return {"essential": essential, "fundamental": fundamental}[case]


def pose_of_fundamental(F, x1, x2, K, inliers):
    """The pose of `K^T F K` with the most inliers in front; the same code for all, outside of none's own time."""
    import cv2

    E = K.T @ np.asarray(F)[:3] @ K
    _, R, t, _ = cv2.recoverPose(E, x1[inliers], x2[inliers], K)
    return R, t.ravel()


def worker(implementation: str, case: str, pairs_file: Path, out: Path) -> None:
    """Run one implementation over all pairs; write errors (degrees) and seconds."""
    makers = {
        "geo3d": geo3d_solver,
        "poselib": poselib_solver,
        "opencv": opencv_solver,
        "pycolmap": pycolmap_solver,
    }
    solve = makers[implementation.removesuffix("-fast")](case, implementation.endswith("-fast"))
    pairs = np.load(pairs_file, allow_pickle=True)["pairs"]
    first = pairs[0]
    solve(first["x1"], first["x2"], first["K"])  # compilation and lazy imports
    errors, seconds = [], []
    for pair in pairs:
        start = time.perf_counter()
        try:
            R, t = solve(pair["x1"], pair["x2"], pair["K"])
            found = np.all(np.isfinite(R)) and np.linalg.norm(t) > 0
        except Exception as error:  # a peer may fail in its own ways; that is a pair without a pose
            print(f"{implementation} {pair['name']}: {error}", file=sys.stderr)
            found = False
        seconds.append(time.perf_counter() - start)
        errors.append(pose_error(R, t, pair["R"], pair["t"]) if found else 180.0)
    out.write_text(json.dumps({"errors": errors, "seconds": seconds}))


def pose_error(R, t, true_R, true_t) -> float:
    turn = np.degrees(np.arccos(np.clip((np.trace(R @ true_R.T) - 1) / 2, -1, 1)))
    cosine = t @ true_t / (np.linalg.norm(t) * np.linalg.norm(true_t))
    return float(max(turn, np.degrees(np.arccos(np.clip(cosine, -1, 1)))))


def auc(errors: list[float], limit: float) -> float:
    """Area under the recall curve of errors in [0, limit], over limit."""
    return float(np.mean(np.clip(1 - np.array(errors) / limit, 0, 1)))


def main() -> None:
    if "--worker" in sys.argv:
        implementation, case, pairs_file, out = sys.argv[sys.argv.index("--worker") + 1 :]
        return worker(implementation, case, Path(pairs_file), Path(out))
    parser = make_parser(__doc__, "folder of scenes, or one", "take every fifth pair")
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=IMPLEMENTATIONS)
    options = parser.parse_args()
    print_machine()
    pairs = make_pairs(options.data)[:: 5 if options.quick else 1]
    print(f"{len(pairs)} pairs, {np.median([len(p['x1']) for p in pairs]):.0f} matches in the median")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        pairs_file, out = Path(scratch) / "pairs.npz", Path(scratch) / "out.json"
        np.savez(pairs_file, pairs=np.array(pairs, dtype=object))
        for case in CASES:
            print(f"\n{case:12s} {'AUC@5':>7s} {'AUC@10':>7s} {'ms':>8s} {'ms ratio':>9s}")
            figures[case] = {}
            for implementation in options.only:
                command = [
                    sys.executable,
                    __file__,
                    "--worker",
                    implementation,
                    case,
                    str(pairs_file),
                    str(out),
                ]
                subprocess.run(command, check=True)
                result = json.loads(out.read_text())
                row = {
                    "auc_5": auc(result["errors"], 5),
                    "auc_10": auc(result["errors"], 10),
                    "ms": 1000 * float(np.median(result["seconds"])),
                }
                figures[case][implementation] = row
                ratio = row["ms"] / figures[case][options.only[0]]["ms"]
                print(
                    f"{implementation:12s} {row['auc_5']:7.3f} {row['auc_10']:7.3f} {row['ms']:8.1f} {ratio:9.2f}",
                    flush=True,
                )
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
