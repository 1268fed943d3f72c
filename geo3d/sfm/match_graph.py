"""What the mapper starts from: photos, their keypoints, and the verified matches between them.

Views are addressed by their row here (photos in the order of their names); `view_ids` are the ids of the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cameras import Camera

if TYPE_CHECKING:
    from geo3d.io import ColmapDatabase


@dataclass(frozen=True)
class PairMatches:
    """Verified matches of the views `first < second`."""

    first: int
    second: int
    matches: np.ndarray  # (M, 2) int64, rows of the keypoints of first and second
    F: np.ndarray | None = None  # (3, 3), x2^T F x1 = 0 in pixels, when known


@dataclass
class MatchGraph:
    """Photos as nodes, verified matches as edges.

    Attributes
    ----------
    view_ids, names, camera_ids : lists of length V
        Database id, photo name and camera id of each view.
    cameras : dict of int to Camera
    keypoints : list of (N_v, 2) float64
        Pixels.
    pairs : list of PairMatches
    """

    view_ids: list[int]
    names: list[str]
    camera_ids: list[int]
    cameras: dict[int, Camera]
    keypoints: list[np.ndarray]
    pairs: list[PairMatches]

    def __len__(self) -> int:
        return len(self.view_ids)

    def keypoint_offsets(self) -> np.ndarray:
        """(V + 1,) int64: keypoint k of view v is number `offsets[v] + k` over all photos."""
        return np.concatenate([[0], np.cumsum([len(k) for k in self.keypoints])]).astype(np.int64)

    def digest(self) -> str:
        """Hash of all that a model depends on: cameras, keypoints, matches and their F, and which photo is which."""
        hashed = hashlib.blake2b(digest_size=16)
        cameras = [
            (i, c.model, c.width, c.height, c.params.tolist(), c.prior_focal)
            for i, c in sorted(self.cameras.items())
        ]
        hashed.update(repr((self.view_ids, self.names, self.camera_ids, cameras)).encode())
        for keypoints in self.keypoints:
            hashed.update(keypoints.tobytes())
        for pair in self.pairs:
            hashed.update(f"{pair.first} {pair.second} {len(pair.matches)} ".encode())
            hashed.update(pair.matches.tobytes())
            hashed.update(b"" if pair.F is None else np.asarray(pair.F, np.float64).tobytes())
        return hashed.hexdigest()

    def inlier_counts(self) -> np.ndarray:
        """(V, V) int64, symmetric: verified matches between each two views."""
        counts = np.zeros((len(self), len(self)), np.int64)
        for pair in self.pairs:
            counts[pair.first, pair.second] = counts[pair.second, pair.first] = len(pair.matches)
        return counts


def load_match_graph(database: ColmapDatabase, min_matches: int = 15) -> MatchGraph:
    """Read the photos, keypoints and verified matches of a database.

    Parameters
    ----------
    database : ColmapDatabase
    min_matches : int
        Pairs with fewer verified matches are left out.

    Raises
    ------
    ValueError
        If the database holds matches of photos or keypoints that it does not have.
    """
    images = sorted(database.images().items(), key=lambda item: item[1].name)
    row = {image_id: i for i, (image_id, _) in enumerate(images)}
    pairs = []
    for (id1, id2), record in sorted(database.two_view_geometries().items()):
        if len(record.matches) < min_matches:
            continue
        if id1 not in row or id2 not in row:
            missing = id1 if id1 not in row else id2
            raise ValueError(
                f"{database.path} holds matches of image {missing}, which it does not have: make it anew"
            )
        first, second, matches, F = row[id1], row[id2], np.asarray(record.matches, np.int64), record.F
        if first > second:
            first, second, matches = second, first, matches[:, ::-1]
            F = None if F is None else F.T
        pairs.append(PairMatches(first, second, np.ascontiguousarray(matches), F))
    return MatchGraph(
        view_ids=[image_id for image_id, _ in images],
        names=[image.name for _, image in images],
        camera_ids=[image.camera_id for _, image in images],
        cameras=dict(database.cameras()),
        keypoints=[np.asarray(database.keypoints(i), np.float64)[:, :2] for i, _ in images],
        pairs=pairs,
    )
