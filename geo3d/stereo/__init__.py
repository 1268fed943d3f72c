"""Rectified stereo: from a calibrated pair of photos to disparity and metric depth, with its uncertainty."""

from geo3d.stereo.depth import DepthMap, depth_to_points, disparity_to_depth
from geo3d.stereo.epipolar_check import (
    PairGeometry,
    check_order,
    check_rectified,
    disparity_range,
    measure_pair,
)
from geo3d.stereo.fusion import PointCloud, PosedDepth, fuse_depths
from geo3d.stereo.matching import DisparityMap, match
from geo3d.stereo.metrics import DisparityErrors, disparity_errors
from geo3d.stereo.options import QUALITIES, SemiGlobalOptions, StereoOptions
from geo3d.stereo.pair_images import PairImages, prepare_pair
from geo3d.stereo.rectification import Rectification, RectifyOptions, rectify
from geo3d.stereo.scene_depth import scene_pair_depth
from geo3d.stereo.scene_pairs import ScenePair, choose_scene_pairs
from geo3d.stereo.uncalibrated import UncalibratedRectification, rectify_uncalibrated

__all__ = [
    "QUALITIES",
    "DepthMap",
    "DisparityErrors",
    "DisparityMap",
    "PairGeometry",
    "PairImages",
    "PointCloud",
    "PosedDepth",
    "Rectification",
    "RectifyOptions",
    "ScenePair",
    "SemiGlobalOptions",
    "StereoOptions",
    "UncalibratedRectification",
    "check_order",
    "check_rectified",
    "choose_scene_pairs",
    "depth_to_points",
    "disparity_errors",
    "disparity_range",
    "disparity_to_depth",
    "fuse_depths",
    "match",
    "measure_pair",
    "prepare_pair",
    "rectify",
    "rectify_uncalibrated",
    "scene_pair_depth",
]
