"""Camera models: points to pixels and back, with Jacobians; one file per family of models."""

from geo3d.cameras.camera import Camera, Projection
from geo3d.cameras.models import MODELS, MODELS_BY_ID, CameraModel
from geo3d.cameras.nearest import ModelFit, nearest_colmap, nearest_model
from geo3d.cameras.opencv import from_opencv, has_opencv, is_opencv_fisheye, to_opencv
from geo3d.cameras.splined import Grid
from geo3d.cameras.undistort import (
    pinhole_for,
    pinhole_like,
    remap_image,
    undistort_image,
    undistort_map,
    undistort_points,
    valid_rectangle,
)

__all__ = [
    "MODELS",
    "MODELS_BY_ID",
    "Camera",
    "CameraModel",
    "Grid",
    "ModelFit",
    "Projection",
    "from_opencv",
    "has_opencv",
    "is_opencv_fisheye",
    "nearest_colmap",
    "nearest_model",
    "pinhole_for",
    "pinhole_like",
    "remap_image",
    "to_opencv",
    "undistort_image",
    "undistort_map",
    "undistort_points",
    "valid_rectangle",
]
