"""Neural radiance fields: rays, samples along them, volume rendering, fields and their training.

Names are imported when they are first used: options of the command line are read without numba and torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.field_output import Field, FieldOutput
    from geo3d.nerf.model import FieldView, NerfModel, model_renderer, read_model, write_model
    from geo3d.nerf.occupancy import MarchedRays, MarchOptions, OccupancyGrid
    from geo3d.nerf.rays import Rays, camera_rays
    from geo3d.nerf.rendering import RenderedRays, RenderOptions, render_rays
    from geo3d.nerf.samplers import (
        EvenSampling,
        HierarchicalSampling,
        OccupancySampling,
        ProposalSampling,
        Spacing,
        Stage,
    )
    from geo3d.nerf.samples import RaySamples
    from geo3d.nerf.surface import DensityGrid, density_grid, field_mesh, write_density
    from geo3d.nerf.trainer import train
    from geo3d.nerf.training_options import FieldRates, SampleOptions, TrainingOptions
    from geo3d.nerf.training_report import TrainingReport
    from geo3d.nerf.volume_rendering import RayRendering, composite, distortion_loss, ray_weights

_LAZY = {
    "DensityGrid": "surface",
    "EvenSampling": "samplers",
    "Field": "field_output",
    "FieldOutput": "field_output",
    "FieldRates": "training_options",
    "FieldView": "model",
    "HierarchicalSampling": "samplers",
    "MarchOptions": "occupancy",
    "MarchedRays": "occupancy",
    "NerfModel": "model",
    "OccupancyGrid": "occupancy",
    "OccupancySampling": "samplers",
    "ProposalSampling": "samplers",
    "RayRendering": "volume_rendering",
    "RaySamples": "samples",
    "Rays": "rays",
    "RenderOptions": "rendering",
    "RenderedRays": "rendering",
    "SampleOptions": "training_options",
    "SceneBox": "contraction",
    "Spacing": "samplers",
    "Stage": "samplers",
    "TrainingOptions": "training_options",
    "TrainingReport": "training_report",
    "camera_rays": "rays",
    "composite": "volume_rendering",
    "density_grid": "surface",
    "distortion_loss": "volume_rendering",
    "field_mesh": "surface",
    "model_renderer": "model",
    "ray_weights": "volume_rendering",
    "read_model": "model",
    "render_rays": "rendering",
    "train": "trainer",
    "write_density": "surface",
    "write_model": "model",
}

__all__ = [
    "DensityGrid",
    "EvenSampling",
    "Field",
    "FieldOutput",
    "FieldRates",
    "FieldView",
    "HierarchicalSampling",
    "MarchOptions",
    "MarchedRays",
    "NerfModel",
    "OccupancyGrid",
    "OccupancySampling",
    "ProposalSampling",
    "RayRendering",
    "RaySamples",
    "Rays",
    "RenderOptions",
    "RenderedRays",
    "SampleOptions",
    "SceneBox",
    "Spacing",
    "Stage",
    "TrainingOptions",
    "TrainingReport",
    "camera_rays",
    "composite",
    "density_grid",
    "distortion_loss",
    "field_mesh",
    "model_renderer",
    "ray_weights",
    "read_model",
    "render_rays",
    "train",
    "write_density",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"geo3d.nerf.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'geo3d.nerf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
