"""mrcal on corners that were found already; run by `calibration.py` with the interpreter that has mrcal.

    python3 benchmarks/calibration_mrcal.py IN.npz OUT.npz

In: `pixels` (V, rows, columns, 2), the centre of the top-left pixel at (0, 0), NaN where a corner was not found;
`seen` (F, V) bool, the photos to calibrate on, one fit a row; `square`, `width`, `height`. Out: `squared` (F, V, rows,
columns), squared distances of all corners, those of photos not calibrated on with the best pose and the board's shape
as found; `seconds` (F,), of the calibration.

As `mrcal-calibrate-cameras` does it: a stereographic seed, then LENSMODEL_OPENCV8, then with the board's warp, both
with outliers rejected. The focal length that the seed asks for is tried at several values.
"""

import sys
import time
from pathlib import Path

import mrcal
import numpy as np

LENS = "LENSMODEL_OPENCV8"
FOCALS = (0.25, 0.5, 1.0)  # of the longer side
POSE_STARTS = 4  # a pose alone may end in another minimum


def observations_of(pixels):
    """(V, rows, columns, 3): x, y, weight; a negative weight is no observation."""
    known = np.isfinite(pixels[..., :1])
    return np.concatenate([np.where(known, pixels, -1.0), np.where(known, 1.0, -1.0)], axis=-1)


def indices_of(count):
    return np.column_stack([np.arange(count), np.zeros(count), np.full(count, -1)]).astype(np.int32)


def solve(lens, observed, intrinsics, frames, square, size, **options):
    """`mrcal.optimize` of one camera that sees a moving board; changes its arguments."""
    return mrcal.optimize(
        intrinsics=intrinsics,
        extrinsics_rt_fromref=np.zeros((0, 6)),
        frames_rt_toref=frames,
        points=None,
        observations_board=observed,
        indices_frame_camintrinsics_camextrinsics=indices_of(len(observed)),
        observations_point=None,
        indices_point_camintrinsics_camextrinsics=None,
        lensmodel=lens,
        imagersizes=np.array([size], np.int32),
        calibration_object_spacing=square,
        verbose=False,
        **options,
    )


def seeded(focal, pixels, square, size):
    """Intrinsics and warp from one focal length to start with."""
    observed = observations_of(pixels)
    intrinsics, _, frames = mrcal.seed_stereographic(
        imagersizes=[size],
        focal_estimate=focal * max(size),
        indices_frame_camera=indices_of(len(observed))[:, :2].copy(),
        observations=observed,
        object_spacing=square,
    )
    for core in (False, True):
        solve(
            "LENSMODEL_STEREOGRAPHIC", observed, intrinsics, frames, square, size,
            do_optimize_intrinsics_core=core,
            do_optimize_intrinsics_distortions=False,
            do_optimize_calobject_warp=False,
            do_apply_outlier_rejection=False,
            do_apply_regularization=False,
        )  # fmt: skip
    extra = 1e-6 * np.random.default_rng(0).uniform(-1, 1, mrcal.lensmodel_num_params(LENS) - 4)
    extra[5:8] *= 1e-3
    intrinsics = np.concatenate([intrinsics, extra[None]], axis=1)
    solve(LENS, observed, intrinsics, frames, square, size, do_optimize_calobject_warp=False)
    warp = np.zeros(2)
    solve(LENS, observed, intrinsics, frames, square, size, calobject_warp=warp)
    return intrinsics, warp


def calibrate(pixels, square, size):
    """Intrinsics and warp, of several seeds the ones that explain all corners best."""
    found = []
    for focal in FOCALS:
        try:
            lens = seeded(focal, pixels, square, size)
            found.append((np.nanmean(errors(pixels, square, size, *lens)), *lens))
        except Exception as error:  # mrcal raises many kinds; another seed may do
            print(f"focal length {focal} of the longer side: {error}", file=sys.stderr)
    return min(found, key=lambda entry: entry[0])[1:]


def errors(pixels, square, size, intrinsics, warp):
    """(V, rows, columns) squared distances of all corners at the best poses, each the best from several starts."""
    observed = observations_of(pixels)
    rows, columns = pixels.shape[1:3]
    board = mrcal.ref_calibration_object(columns, rows, square, calobject_warp=warp)
    begin = mrcal.rt_from_Rt(
        mrcal.estimate_monocular_calobject_poses_Rt_tocam(
            indices_of(len(observed))[:, :2].copy(), observed, square, [(LENS, intrinsics[0])]
        )
    )
    rng, best = np.random.default_rng(0), None
    for start in range(POSE_STARTS):
        frames = begin + (start > 0) * rng.normal(0, 0.08, begin.shape) * ([1, 1, 1] + 3 * [square])
        solve(
            LENS, observed, intrinsics.copy(), frames, square, size,
            calobject_warp=warp.copy(),
            do_optimize_intrinsics_core=False,
            do_optimize_intrinsics_distortions=False,
            do_optimize_calobject_warp=False,
            do_apply_outlier_rejection=False,
            do_apply_regularization=False,
        )  # fmt: skip
        points = mrcal.transform_point_rt(frames[:, None, None, :], board)
        squared = np.sum((mrcal.project(points, LENS, intrinsics[0]) - pixels) ** 2, axis=-1)
        if best is None:
            best = squared
        better = np.nansum(squared, axis=(1, 2)) < np.nansum(best, axis=(1, 2))
        best = np.where(better[:, None, None], squared, best)
    return best


def main():
    given = np.load(sys.argv[1])
    pixels, square = given["pixels"], float(given["square"])
    size = int(given["width"]), int(given["height"])
    squared, seconds = [], []
    for seen in given["seen"]:
        begin = time.perf_counter()
        intrinsics, warp = calibrate(pixels[seen], square, size)
        seconds.append(time.perf_counter() - begin)
        squared.append(errors(pixels, square, size, intrinsics, warp))
    np.savez(Path(sys.argv[2]), squared=np.array(squared), seconds=np.array(seconds))


if __name__ == "__main__":
    main()
