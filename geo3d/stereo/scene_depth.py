"""Depth of a pair of photos of a reconstructed scene."""

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Reconstruction
from geo3d.stereo.depth import disparity_to_depth
from geo3d.stereo.fusion import PosedDepth
from geo3d.stereo.matching import match
from geo3d.stereo.options import Quality, StereoOptions
from geo3d.stereo.rectification import RectifyOptions, rectify
from geo3d.stereo.scene_pairs import ScenePair

_LEAST_CONFIDENCE = 0.95
_MARGIN = 0.25  # of the range of the points' disparities


def scene_pair_depth(
    scene: Reconstruction,
    pair: ScenePair,
    photos: tuple[np.ndarray, np.ndarray],
    quality: Quality = "balanced",
) -> PosedDepth:
    """Rectify the two photos, match them between the disparities of the points that they share, and give the depth.

    Parameters
    ----------
    scene : Reconstruction
    pair : ScenePair
        Of `choose_scene_pairs`. The depth is that of the photo that stands to the left.
    photos : two (H, W, 3) uint8
        In the order of the pair, of any size with the shape of their cameras.
    quality : "fast", "balanced" or "accurate"

    Raises
    ------
    ValueError
        If the photos can't be rectified or matched: one before the other, nothing in common, no texture.
    """
    poses: list[SE3] = []
    cameras: list[Camera] = []
    for view_id, photo in zip(pair.view_ids, photos):
        view = scene.views[view_id]
        assert view.cam_from_world is not None
        poses.append(view.cam_from_world)
        cameras.append(scene.cameras[view.camera_id].rescaled(photo.shape[1], photo.shape[0]))
    centre = (poses[1] @ poses[0].inverse()).center()
    if centre[0] < -abs(centre[1]):
        poses, cameras, photos = poses[::-1], cameras[::-1], (photos[1], photos[0])
    found = rectify(cameras[0], cameras[1], poses[1] @ poses[0].inverse(), RectifyOptions(blank=1.0))
    turn = SE3(found.rectified_from_left, np.zeros(3))
    depths = (turn @ poses[0]).act(scene.points.xyz[pair.points])[:, 2]
    scale = found.focal_px * found.baseline_m
    low, high = np.percentile(scale / depths[depths > 0.0], [1, 99])
    margin = _MARGIN * (high - low) + 4.0
    first, last = max(int(low - margin), 0), int(np.ceil(high + margin))
    disparity = match(
        found.rectify_left(photos[0]),
        found.rectify_right(photos[1]),
        StereoOptions(quality=quality, min_disparity=first, max_disparity=max(last, first + 15)),
    )
    sure = found.left_valid & (disparity.confidence >= _LEAST_CONFIDENCE)
    sure &= (disparity.disparity > first + 1) & (disparity.disparity < last - 1)
    depth = disparity_to_depth(
        np.where(sure, disparity.disparity, np.float32(np.nan)),
        found.focal_px,
        found.baseline_m,
        sigma_px=disparity.sigma_px,
    )
    assert depth.sigma is not None
    return PosedDepth(depth.depth, depth.sigma, found.rectify_left(photos[0]), found.camera, turn @ poses[0])
