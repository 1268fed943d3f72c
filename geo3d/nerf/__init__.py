"""Neural radiance fields: rays, samples along them, volume rendering, fields and their training.

Names are imported when they are first used: options of the command line are read without numba and torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo3d.nerf.appearance import AppearanceEmbedding
    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.encoding import integrated_encoding, positional_encoding
    from geo3d.nerf.field_output import Field, FieldOutput
    from geo3d.nerf.field_parameters import FieldShape
    from geo3d.nerf.hash_grid_field import HashGridField
    from geo3d.nerf.mip import MipField
    from geo3d.nerf.model import FieldView, NerfModel, model_renderer, read_model, write_model
    from geo3d.nerf.occupancy import MarchedRays, MarchOptions, OccupancyGrid
    from geo3d.nerf.proposal import ProposalField
    from geo3d.nerf.proposal_training import proposal_loss
    from geo3d.nerf.published import PublishedField, PublishedNerf
    from geo3d.nerf.radiance_mlp import RadianceShape
    from geo3d.nerf.rays import Rays, camera_rays, depth_factors
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
    from geo3d.nerf.sky import LearnedSky
    from geo3d.nerf.surface import DensityGrid, density_grid, field_mesh, write_density
    from geo3d.nerf.trainer import train
    from geo3d.nerf.training_options import FieldRates, SampleOptions, TrainingOptions
    from geo3d.nerf.training_report import TrainingReport
    from geo3d.nerf.volume_rendering import RayRendering, composite, distortion_loss, ray_weights

_LAZY = {
    "AppearanceEmbedding": "appearance",
    "DensityGrid": "surface",
    "EvenSampling": "samplers",
    "Field": "field_output",
    "FieldOutput": "field_output",
    "FieldRates": "training_options",
    "FieldShape": "field_parameters",
    "FieldView": "model",
    "HashGridField": "hash_grid_field",
    "HierarchicalSampling": "samplers",
    "LearnedSky": "sky",
    "MarchOptions": "occupancy",
    "MarchedRays": "occupancy",
    "MipField": "mip",
    "NerfModel": "model",
    "OccupancyGrid": "occupancy",
    "OccupancySampling": "samplers",
    "ProposalField": "proposal",
    "ProposalSampling": "samplers",
    "PublishedField": "published",
    "PublishedNerf": "published",
    "RadianceShape": "radiance_mlp",
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
    "depth_factors": "rays",
    "density_grid": "surface",
    "distortion_loss": "volume_rendering",
    "field_mesh": "surface",
    "integrated_encoding": "encoding",
    "model_renderer": "model",
    "positional_encoding": "encoding",
    "proposal_loss": "proposal_training",
    "ray_weights": "volume_rendering",
    "read_model": "model",
    "render_rays": "rendering",
    "train": "trainer",
    "write_density": "surface",
    "write_model": "model",
}

__all__ = [
    "AppearanceEmbedding",
    "DensityGrid",
    "EvenSampling",
    "Field",
    "FieldOutput",
    "FieldRates",
    "FieldShape",
    "FieldView",
    "HashGridField",
    "HierarchicalSampling",
    "LearnedSky",
    "MarchOptions",
    "MarchedRays",
    "MipField",
    "NerfModel",
    "OccupancyGrid",
    "OccupancySampling",
    "ProposalField",
    "ProposalSampling",
    "PublishedField",
    "PublishedNerf",
    "RadianceShape",
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
    "depth_factors",
    "distortion_loss",
    "field_mesh",
    "integrated_encoding",
    "model_renderer",
    "positional_encoding",
    "proposal_loss",
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
