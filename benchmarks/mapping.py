"""Mapping of a large made-up aerial survey: seconds, peak memory, accuracy. No photos: features and matches are given.

    python benchmarks/mapping.py [--photos 1000] [--json FILE] [--quick]

The photos stand on a grid 80 m above rolling ground with houses, in rows flown to and fro, each tilted by up to 4
degrees; each overlaps about twenty others. A point is found in six of ten photos that see it, to half a pixel; one
match in twenty is wrong, and one pair of photos in fifty is of places that look alike.
Focal length and distortion are to be found, from a start that is 5 % off.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from common import print_machine, write_figures

from geo3d.cameras import Camera
from geo3d.geometry import SO3, rotation_angle, umeyama
from geo3d.sfm import BundleOptions, MapperOptions, MatchGraph, PairMatches, map_views, model_consistency
from geo3d.util.snapshots import Snapshots

CAMERA = Camera("SIMPLE_RADIAL", 4000, 3000, [2800.0, 2000.0, 1500.0, -0.02])
HEIGHT_M, AHEAD_M, ASIDE_M = 80.0, 22.0, 43.0
FOUND, NOISE_PX, WRONG_MATCHES, WRONG_PAIRS = 0.6, 0.5, 0.05, 0.02


def survey(photos: int, seed: int = 0) -> tuple[MatchGraph, np.ndarray, np.ndarray]:
    """The match graph, and the true rotations (V, 3, 3) and centres (V, 3)."""
    rng = np.random.default_rng(seed)
    rotations, centres = flight(photos, rng)
    points = ground(centres, rng)
    keypoints, seen = observe(rotations, centres, points, rng)
    graph = MatchGraph(
        view_ids=list(range(1, photos + 1)),
        names=[f"photo_{i:05d}.jpg" for i in range(photos)],
        camera_ids=[1] * photos,
        cameras={1: CAMERA.with_params(np.array(CAMERA.params) * [1.05, 1, 1, 0])},
        keypoints=keypoints,
        pairs=match(centres, seen, keypoints, rng),
    )
    return graph, rotations, centres


def flight(photos: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and centres of photos looking down, row by row, to and fro."""
    columns = max(round(float(np.sqrt(photos * ASIDE_M / AHEAD_M))), 1)
    row, column = np.divmod(np.arange(photos), columns)
    column = np.where(row % 2 == 0, column, columns - 1 - column)
    centres = np.column_stack([column * AHEAD_M, row * ASIDE_M, np.full(photos, HEIGHT_M)])
    centres += rng.normal(0, [1.0, 1.0, 1.5], (photos, 3))
    down = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])  # the photo's top is ahead, along x
    turn = np.where(row % 2 == 0, 0.0, np.pi)[:, None] * [0, 0, 1.0] + rng.normal(0, 0.02, (photos, 3))
    return SO3.exp(turn).matrix @ down, centres


def ground(centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P, 3) points on rolling ground with houses, about 1,000 found in each photo."""
    low, high = centres[:, :2].min(0) - 60, centres[:, :2].max(0) + 60
    footprint = (4000 / 2800 * HEIGHT_M) * (3000 / 2800 * HEIGHT_M)
    count = int(1000 / FOUND * np.prod(high - low) / footprint)
    xy = rng.uniform(low, high, (count, 2))
    z = 6 * np.sin(xy[:, 0] / 45) * np.cos(xy[:, 1] / 60)
    house = (np.abs(xy % 40 - 20) < 8).all(axis=1)
    return np.column_stack([xy, z + house * rng.uniform(0, 9, count)])


def observe(
    rotations: np.ndarray, centres: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each photo the keypoints (N, 2) and the points (N,) that they show."""
    from scipy.spatial import KDTree

    tree = KDTree(points[:, :2])
    keypoints, seen = [], []
    for rotation, centre in zip(rotations, centres):
        near = np.array(sorted(tree.query_ball_point(centre[:2], 90.0)))
        pixels = CAMERA.project((points[near] - centre) @ rotation.T)
        with np.errstate(invalid="ignore"):
            inside = ((pixels > 0) & (pixels < [CAMERA.width, CAMERA.height])).all(axis=1)
        inside &= rng.random(len(near)) < FOUND
        keypoints.append(pixels[inside] + rng.normal(0, NOISE_PX, (int(inside.sum()), 2)))
        seen.append(near[inside])
    return keypoints, seen


def match(
    centres: np.ndarray, seen: list[np.ndarray], keypoints: list[np.ndarray], rng: np.random.Generator
) -> list[PairMatches]:
    """Pairs of photos that overlap enough, with wrong matches among theirs, and wrong pairs among them."""
    from scipy.spatial import KDTree

    pairs = []
    for i, j in sorted(KDTree(centres).query_pairs(80.0)):
        _, at_i, at_j = np.intersect1d(seen[i], seen[j], assume_unique=True, return_indices=True)
        if len(at_i) >= 60:
            wrong = np.flatnonzero(rng.random(len(at_j)) < WRONG_MATCHES)
            at_j[wrong] = rng.integers(0, len(seen[j]), len(wrong))
            pairs.append(PairMatches(i, j, np.column_stack([at_i, at_j])))
    taken = {(pair.first, pair.second) for pair in pairs}
    for pair in [pairs[k] for k in rng.choice(len(pairs), int(WRONG_PAIRS * len(pairs)), replace=False)]:
        # Another photo shows a place that looks like that of the second.
        other, count = (
            int(rng.integers(pair.first + 1, len(seen) + 1)) % len(seen),
            min(60, len(pair.matches)),
        )
        if pair.first < other and (pair.first, other) not in taken:
            new = len(keypoints[other]) + np.arange(count)
            keypoints[other] = np.concatenate(
                [keypoints[other], keypoints[pair.second][pair.matches[:count, 1]]]
            )
            pairs.append(PairMatches(pair.first, other, np.column_stack([pair.matches[:count, 0], new])))
            taken.add((pair.first, other))
    return sorted(pairs, key=lambda p: (p.first, p.second))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="100 photos")
    parser.add_argument("--snapshots", type=Path, metavar="FOLDER", help="go on from there, save there")
    arguments = parser.parse_args()
    photos = 100 if arguments.quick else arguments.photos
    print_machine()
    graph, rotations, centres = survey(photos)
    matches = sum(len(p.matches) for p in graph.pairs)
    print(
        f"{photos} photos, {np.mean([len(k) for k in graph.keypoints]):.0f} keypoints a photo, {len(graph.pairs)} "
        f"pairs ({2 * len(graph.pairs) / photos:.0f} a photo), {matches} matches",
        flush=True,
    )
    started, cpu, said = time.perf_counter(), time.process_time(), [""]

    def progress(done: int, text: str) -> None:
        line = f"{done} {text}"
        if line != said[0]:
            said[0] = line
            print(
                f"  {time.perf_counter() - started:6.1f} s  {done} photos, {text}",
                file=sys.stderr,
                flush=True,
            )

    keep = Snapshots(arguments.snapshots, graph.digest())
    result = map_views(graph, MapperOptions(bundle=BundleOptions(threads=os.cpu_count())), progress, keep)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    model = result.models[0]
    rows = np.flatnonzero(model.registered)
    fit = umeyama(model.centres()[rows], centres[rows])
    error = np.linalg.norm(fit.act(model.centres()[rows]) - centres[rows], axis=1)
    turned = model.rotations[rows] @ fit.rotation.T @ np.swapaxes(rotations[rows], 1, 2)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = {
        "seconds": seconds,
        "cpu_s": cpu,
        "memory_gib": memory,
        "models": len(result.models),
        "registered": len(rows),
        "points": int(model.placed.sum()),
        "observations": int(model.used.sum()),
        "explained": model_consistency(model).share,
        "centre_m_median": float(np.median(error)),
        "centre_m_max": float(error.max()),
        "rotation_deg_max": float(np.degrees(rotation_angle(turned)).max()),
        "focal_px": float(model.cameras[0].mean_focal),
        "reproj_px": model.mean_error_px(),
    }
    for name, value in figures.items():
        print(f"  {name:16} {value:.6g}")
    for note in result.notes:
        print("  note:", note)
    write_figures(arguments.json, {f"survey-{photos}": {"geo3d": figures}})


if __name__ == "__main__":
    main()
