"""Rectified stereo: from a calibrated pair of photos to disparity and metric depth, with its uncertainty."""

from geo3d.stereo.matching import DisparityMap, match
from geo3d.stereo.options import SemiGlobalOptions, StereoOptions
from geo3d.stereo.rectification import Rectification, RectifyOptions, rectify

__all__ = [
    "DisparityMap",
    "Rectification",
    "RectifyOptions",
    "SemiGlobalOptions",
    "StereoOptions",
    "match",
    "rectify",
]
