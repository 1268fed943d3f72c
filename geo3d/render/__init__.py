"""What radiance fields share: posed views, photos in bounded memory, image metrics, camera paths, video, meshes."""

from geo3d.render.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from geo3d.render.metrics import lpips, psnr, ssim
from geo3d.render.photos import PhotoStream, TrainingPhoto
from geo3d.render.views import PosedView, ViewSet, load_views

__all__ = [
    "Checkpoint",
    "PhotoStream",
    "PosedView",
    "TrainingPhoto",
    "ViewSet",
    "load_views",
    "lpips",
    "psnr",
    "read_checkpoint",
    "ssim",
    "write_checkpoint",
]
