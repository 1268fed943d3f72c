"""What radiance fields share: posed views, photos in bounded memory, image metrics, camera paths, video, meshes."""

from geo3d.render.photos import PhotoStream, TrainingPhoto
from geo3d.render.views import PosedView, ViewSet, load_views

__all__ = [
    "PhotoStream",
    "PosedView",
    "TrainingPhoto",
    "ViewSet",
    "load_views",
]
