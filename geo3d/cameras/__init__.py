"""Camera models: points to pixels and back, with Jacobians; one file per family of models."""

from geo3d.cameras.camera import Camera, Projection
from geo3d.cameras.models import MODELS, MODELS_BY_ID, CameraModel
from geo3d.cameras.undistort import undistort_points

__all__ = ["MODELS", "MODELS_BY_ID", "Camera", "CameraModel", "Projection", "undistort_points"]
