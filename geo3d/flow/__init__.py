"""Optical flow and dense correspondence: where each pixel of an image is in another one, and how far to believe it."""

from geo3d.flow.accurate import AccurateOptions, MedianOptions
from geo3d.flow.compose import compose_flows, invert_flow
from geo3d.flow.confidence import estimate_confidence, smaller_eigenvalue
from geo3d.flow.depth import FlowDepth, FlowDepthOptions, flow_to_depth
from geo3d.flow.ego_motion import EgoMotion, EgoMotionOptions, fundamental_from_flow, separate_motion
from geo3d.flow.epipolar_search import EpipolarGeometry
from geo3d.flow.fast import FastOptions
from geo3d.flow.guided import GuidedOptions, guided_flow
from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.metrics import (
    FlowErrors,
    InterpolationErrors,
    endpoint_error,
    flow_errors,
    interpolation_error,
)
from geo3d.flow.occlusion import Consistency, consistency, estimate_occlusion
from geo3d.flow.optical_flow import METHODS, FlowMethod, optical_flow
from geo3d.flow.patch_match import PatchMatchOptions, patch_match
from geo3d.flow.peers import DisOptions, FarnebackOptions
from geo3d.flow.residual import Residual, warp_residual
from geo3d.flow.result import FlowResult
from geo3d.flow.splat import Splatted, splat_forward
from geo3d.flow.variational import VariationalOptions
from geo3d.flow.warp import leaves_image, warp_backward

__all__ = [
    "METHODS",
    "AccurateOptions",
    "Consistency",
    "DisOptions",
    "EgoMotion",
    "EgoMotionOptions",
    "EpipolarGeometry",
    "FarnebackOptions",
    "FastOptions",
    "FlowDepth",
    "FlowDepthOptions",
    "FlowErrors",
    "FlowImages",
    "FlowMethod",
    "FlowResult",
    "GuidedOptions",
    "InterpolationErrors",
    "MedianOptions",
    "PatchMatchOptions",
    "Residual",
    "Splatted",
    "VariationalOptions",
    "compose_flows",
    "consistency",
    "endpoint_error",
    "estimate_confidence",
    "estimate_occlusion",
    "flow_errors",
    "flow_to_depth",
    "fundamental_from_flow",
    "guided_flow",
    "interpolation_error",
    "invert_flow",
    "leaves_image",
    "optical_flow",
    "patch_match",
    "prepare_pair",
    "separate_motion",
    "smaller_eigenvalue",
    "splat_forward",
    "warp_backward",
    "warp_residual",
]
