"""3D Gaussian splatting: rendering and training. Kerbl et al., SIGGRAPH 2023.

Names are imported when they are first used: options of the command line are read without numba and torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo3d.splat.adam import LearningRates, SparseAdam
    from geo3d.splat.loss import PhotometricLoss, photometric_loss
    from geo3d.splat.options import GaussianGradients, Rendering, RenderOptions
    from geo3d.splat.orthographic import OrthographicCamera
    from geo3d.splat.rasterizer import CpuRasterizer
    from geo3d.splat.rendering import render
    from geo3d.splat.trainer import train
    from geo3d.splat.training_options import DensifyOptions, RateSchedule, TrainingOptions
    from geo3d.splat.training_report import TrainingReport

_LAZY = {
    "CpuRasterizer": "rasterizer",
    "DensifyOptions": "training_options",
    "GaussianGradients": "options",
    "LearningRates": "adam",
    "OrthographicCamera": "orthographic",
    "PhotometricLoss": "loss",
    "RateSchedule": "training_options",
    "RenderOptions": "options",
    "Rendering": "options",
    "SparseAdam": "adam",
    "TrainingOptions": "training_options",
    "TrainingReport": "training_report",
    "photometric_loss": "loss",
    "render": "rendering",
    "train": "trainer",
}

__all__ = [
    "CpuRasterizer",
    "DensifyOptions",
    "GaussianGradients",
    "LearningRates",
    "OrthographicCamera",
    "PhotometricLoss",
    "RateSchedule",
    "RenderOptions",
    "Rendering",
    "SparseAdam",
    "TrainingOptions",
    "TrainingReport",
    "photometric_loss",
    "render",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"geo3d.splat.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'geo3d.splat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
