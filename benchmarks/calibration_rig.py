"""The stereo cases of `calibration.py`: geo3d and OpenCV's stereoCalibrate on the same corners of pairs of photos.

`joint_rms_px`: root mean square distance over all corners of both cameras with one pose of the board a pair, over the
pairs that the implementation takes to have been taken together (`pairs_used`; OpenCV: all). `epipolar_rms_px`: Sampson
distance of corresponding corners over the same pairs, pixels of the photos as they are.
`heldout_epipolar_rms_px`: calibrated on half of the pairs, measured on the other half, nothing fitted there; two
halves, twice; over the pairs that geo3d, given all, takes to have been taken together, for both implementations.
`heldout_all_epipolar_rms_px`: the same over all pairs, also those that were not.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.calibration import (
    CalibrateOptions,
    FoundBoards,
    HeldOut,
    calibrate,
    calibrate_rig,
    epipolar_distances,
    moments_by_name,
    sampson_distances,
)
from geo3d.cameras import Camera, from_opencv
from geo3d.geometry import SE3

REPEATS = 2


@dataclass(frozen=True, eq=False)
class Rig:
    """Two cameras, and over which pairs they were found."""

    cameras: Sequence[Camera]
    second_from_first: SE3
    joint_rms_px: float
    pairs: set[str]


Pairs = dict[str, tuple[str, str]]
Fit = Callable[[Pairs], Rig]


def pairs_of(boards: Sequence[FoundBoards]) -> Pairs:
    """Names of the photos of each moment that both cameras saw."""
    keyed = moments_by_name([list(found.detections) for found in boards])
    assert keyed is not None, "names do not tell which photos belong together"
    return {key: (name, keyed[1][key]) for key, name in keyed[0].items() if key in keyed[1]}


def by_geo3d(boards: Sequence[FoundBoards], chosen: Sequence[HeldOut]) -> Fit:
    """Lens models as chosen from all photos of each camera."""
    terms = max(entry.shape_terms for entry in chosen)

    def fit(pairs: Pairs) -> Rig:
        seen = [{p[c]: found.detections[p[c]] for p in pairs.values()} for c, found in enumerate(boards)]
        target = boards[0].target
        alone = [
            calibrate(photos, target, found.width, found.height, CalibrateOptions(entry.model, terms))
            for photos, found, entry in zip(seen, boards, chosen)
        ]
        rig = calibrate_rig(alone, seen, target)
        key = {names[0]: key for key, names in pairs.items()}
        together = rig.shared_moments
        errors = np.concatenate([rig.errors_px[photo] for photos in together for photo in photos])
        joint = float(np.sqrt(np.mean(errors**2)))
        return Rig(rig.cameras, rig.cam_from_first[1], joint, {key[photos[0][1]] for photos in together})

    return fit


def by_opencv(boards: Sequence[FoundBoards]) -> Fit:
    """`calibrateCamera` for each, then `stereoCalibrate` with all of it free; rational model."""
    import cv2

    target, size = boards[0].target, (boards[0].width, boards[0].height)
    model = cv2.CALIB_RATIONAL_MODEL
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)

    def fit(pairs: Pairs) -> Rig:
        points, left, right = [], [], []
        for names in pairs.values():
            a, b = (found.detections[name] for found, name in zip(boards, names))
            ids, i, j = np.intersect1d(a.ids, b.ids, return_indices=True)
            points.append(target.points[ids].astype(np.float32))
            left.append((a.pixels[i] - 0.5).astype(np.float32))
            right.append((b.pixels[j] - 0.5).astype(np.float32))
        lenses = []
        for pixels in (left, right):
            _, K, d, *_ = cv2.calibrateCamera(points, pixels, size, None, None, flags=model)
            lenses += [K, d]
        rms, *found = cv2.stereoCalibrate(
            points, left, right, *lenses, size, flags=cv2.CALIB_USE_INTRINSIC_GUESS | model, criteria=stop
        )
        cameras = [from_opencv(found[k], found[k + 1].ravel()[:8], *size) for k in (0, 2)]
        # the sum over both images, by the points of one
        return Rig(cameras, SE3(found[4], found[5].ravel()), float(rms), set(pairs))

    return fit


def epipolar_squared(rig: Rig, boards: Sequence[FoundBoards], pairs: Pairs) -> dict[str, np.ndarray]:
    """Squared Sampson distances of the corners of each pair; NaN where a camera has no ray."""
    squared = {}
    for key, names in pairs.items():
        a, b = (found.detections[name] for found, name in zip(boards, names))
        _, i, j = np.intersect1d(a.ids, b.ids, return_indices=True)
        off = epipolar_distances(*rig.cameras, rig.second_from_first, a.pixels[i], b.pixels[j])
        squared[key] = sampson_distances(off) ** 2
    return squared


def rms(squared: Sequence[np.ndarray]) -> float:
    """Root mean square, of corners that have rays."""
    return float(np.sqrt(np.nanmean(np.concatenate(squared))))


def measure(fit: Fit, boards: Sequence[FoundBoards], pairs: Pairs, together: set[str] | None) -> dict:
    """Figures of one implementation, and under "pairs" what it takes to have been taken together."""
    begin = time.perf_counter()
    whole = fit(pairs)
    seconds = time.perf_counter() - begin
    own = epipolar_squared(whole, boards, {key: pairs[key] for key in whole.pairs})
    keys, rng, held, held_all = sorted(pairs), np.random.default_rng(0), [], []
    for _ in range(REPEATS):
        order = rng.permutation(len(keys))
        for half in (0, 1):
            seen = {keys[k] for k in order[half::2]}
            rig = fit({key: pairs[key] for key in seen})
            for key, values in epipolar_squared(rig, boards, pairs).items():
                if key not in seen:
                    held_all.append(values)
                    held += [values] if key in (together or whole.pairs) else []
    return {
        "joint_rms_px": whole.joint_rms_px,
        "epipolar_rms_px": rms(list(own.values())),
        "heldout_epipolar_rms_px": rms(held),
        "heldout_all_epipolar_rms_px": rms(held_all),
        "heldout_no_ray": float(np.isnan(np.concatenate(held)).mean()),
        "pairs_used": len(whole.pairs),
        "seconds": seconds,
        "pairs": whole.pairs,
    }


def run_rig(boards: Sequence[FoundBoards], chosen: Sequence[HeldOut]) -> dict[str, dict[str, float]]:
    """The figures of a stereo rig, by implementation."""
    import cv2

    pairs = pairs_of(boards)
    rows = {"geo3d": measure(by_geo3d(boards, chosen), boards, pairs, None)}
    together = rows["geo3d"].pop("pairs")
    print(f"  {len(pairs)} pairs; not taken together: {', '.join(sorted(set(pairs) - together)) or 'none'}")
    try:
        rows["opencv"] = measure(by_opencv(boards), boards, pairs, together)
        del rows["opencv"]["pairs"]
    except (cv2.error, ValueError) as error:
        print(f"  opencv failed: {str(error).strip().splitlines()[-1][:110]}")
        rows["opencv"] = {}
    return rows


def show_rig(rows: dict[str, dict[str, float]]) -> None:
    """The table."""
    columns = [name for name in rows["geo3d"] if name != "seconds"]
    print(f"  {'':<10}" + "".join(f"{name:>29}" for name in columns))
    for name, row in rows.items():
        print(f"  {name:<10}" + "".join(f"{row[c]:>29.4g}" if c in row else f"{'-':>29}" for c in columns))
    if rows["opencv"]:
        key = "heldout_epipolar_rms_px"
        print(
            f"  geo3d to OpenCV: joint {rows['geo3d']['joint_rms_px'] / rows['opencv']['joint_rms_px']:.2f}, held-out "
            f"epipolar {rows['geo3d'][key] / rows['opencv'][key]:.2f}",
            flush=True,
        )
