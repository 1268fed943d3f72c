"""Optical flow and dense correspondence: where each pixel of an image is in another one, and how far to believe it."""

from geo3d.flow.accurate import AccurateOptions, MedianOptions
from geo3d.flow.compose import compose_flows, invert_flow
from geo3d.flow.confidence import estimate_confidence, smaller_eigenvalue
from geo3d.flow.fast import FastOptions
from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.lucas_kanade import LucasKanadeOptions, TrackedPoints, TrackOptions, track_points
from geo3d.flow.metrics import (
    FlowErrors,
    InterpolationErrors,
    endpoint_error,
    flow_errors,
    interpolation_error,
)
from geo3d.flow.occlusion import Consistency, consistency, estimate_occlusion
from geo3d.flow.optical_flow import METHODS, FlowMethod, optical_flow
from geo3d.flow.peers import DisOptions, FarnebackOptions
from geo3d.flow.residual import Residual, warp_residual
from geo3d.flow.result import FlowResult
from geo3d.flow.splat import Splatted, splat_forward
from geo3d.flow.tv_l1 import TvL1Options
from geo3d.flow.variational import VariationalOptions
from geo3d.flow.warp import leaves_image, warp_backward

__all__ = [
    "METHODS",
    "AccurateOptions",
    "Consistency",
    "DisOptions",
    "FarnebackOptions",
    "FastOptions",
    "FlowErrors",
    "FlowImages",
    "FlowMethod",
    "FlowResult",
    "InterpolationErrors",
    "LucasKanadeOptions",
    "MedianOptions",
    "Residual",
    "Splatted",
    "TrackOptions",
    "TrackedPoints",
    "TvL1Options",
    "VariationalOptions",
    "compose_flows",
    "consistency",
    "endpoint_error",
    "estimate_confidence",
    "estimate_occlusion",
    "flow_errors",
    "interpolation_error",
    "invert_flow",
    "leaves_image",
    "optical_flow",
    "prepare_pair",
    "smaller_eigenvalue",
    "splat_forward",
    "track_points",
    "warp_backward",
    "warp_residual",
]
