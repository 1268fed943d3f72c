"""What radiance fields share: posed views, photos in bounded memory, image metrics, camera paths, video, meshes."""

from geo3d.render.camera_path import (
    CameraPath,
    dolly_path,
    orbit_path,
    path_camera,
    spiral_path,
    views_path,
)
from geo3d.render.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from geo3d.render.key_frames import (
    KeyFrame,
    key_frame_path,
    read_camera_path,
    read_pose,
    write_key_frames,
    write_nerfstudio_path,
    write_pose,
)
from geo3d.render.metrics import lpips, psnr, ssim
from geo3d.render.path_spline import spline_path
from geo3d.render.photos import PhotoStream, TrainingPhoto
from geo3d.render.scene_shape import SceneShape, scene_shape
from geo3d.render.views import PosedView, ViewSet, load_views

__all__ = [
    "CameraPath",
    "Checkpoint",
    "KeyFrame",
    "PhotoStream",
    "PosedView",
    "SceneShape",
    "TrainingPhoto",
    "ViewSet",
    "dolly_path",
    "key_frame_path",
    "load_views",
    "lpips",
    "orbit_path",
    "path_camera",
    "psnr",
    "read_camera_path",
    "read_checkpoint",
    "read_pose",
    "scene_shape",
    "spiral_path",
    "spline_path",
    "ssim",
    "views_path",
    "write_checkpoint",
    "write_key_frames",
    "write_nerfstudio_path",
    "write_pose",
]
