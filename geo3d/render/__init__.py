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
from geo3d.render.maps import depth_picture, normal_picture
from geo3d.render.metrics import lpips, psnr, ssim, why_no_lpips
from geo3d.render.outputs import OutputOptions, write_path, write_view
from geo3d.render.panorama import render_panorama
from geo3d.render.path_spline import spline_path
from geo3d.render.photos import PhotoStream, TrainingPhoto
from geo3d.render.rendering import RenderedView, RenderView
from geo3d.render.scene_shape import SceneShape, scene_shape
from geo3d.render.stereo_pair import render_stereo, stereo_poses
from geo3d.render.tsdf import fuse_mesh, write_mesh
from geo3d.render.video import write_image_sequence, write_png, write_video
from geo3d.render.views import PosedView, ViewSet, load_views, world_up

__all__ = [
    "CameraPath",
    "Checkpoint",
    "KeyFrame",
    "OutputOptions",
    "PhotoStream",
    "PosedView",
    "RenderView",
    "RenderedView",
    "SceneShape",
    "TrainingPhoto",
    "ViewSet",
    "depth_picture",
    "dolly_path",
    "fuse_mesh",
    "key_frame_path",
    "load_views",
    "lpips",
    "normal_picture",
    "orbit_path",
    "path_camera",
    "psnr",
    "read_camera_path",
    "read_checkpoint",
    "read_pose",
    "render_panorama",
    "render_stereo",
    "scene_shape",
    "spiral_path",
    "spline_path",
    "ssim",
    "stereo_poses",
    "views_path",
    "why_no_lpips",
    "world_up",
    "write_checkpoint",
    "write_image_sequence",
    "write_key_frames",
    "write_mesh",
    "write_nerfstudio_path",
    "write_path",
    "write_png",
    "write_pose",
    "write_video",
    "write_view",
]
