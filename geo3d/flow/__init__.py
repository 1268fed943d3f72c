"""Optical flow and dense correspondence: where each pixel of an image is in another one, and how far to believe it."""

from geo3d.flow.accurate import AccurateOptions, MedianOptions
from geo3d.flow.both_ways import BothFlows, find_both_flows
from geo3d.flow.camera_motion import CameraMotion, CameraMotionOptions, camera_motion
from geo3d.flow.compose import compose_flows, invert_flow
from geo3d.flow.confidence import estimate_confidence, smaller_eigenvalue
from geo3d.flow.depth import FlowDepth, FlowDepthOptions, flow_to_depth
from geo3d.flow.ego_motion import EgoMotion, EgoMotionOptions, fundamental_from_flow, separate_motion
from geo3d.flow.epipolar_search import EpipolarGeometry
from geo3d.flow.fast import FastOptions
from geo3d.flow.frames import Frames, SkippedFrame, UsableFrames, VideoFrame
from geo3d.flow.guided import GuidedOptions, guided_flow
from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.interpolate import InterpolateOptions, interpolate, interpolated_frames
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
from geo3d.flow.patch_match import PatchMatchOptions, patch_match
from geo3d.flow.peers import DisOptions, FarnebackOptions
from geo3d.flow.residual import Residual, warp_residual
from geo3d.flow.result import FlowResult
from geo3d.flow.splat import Splatted, splat_forward
from geo3d.flow.stabilise import Stabilisation, StabiliseOptions, plan_stabilisation, stabilised_frames
from geo3d.flow.tracks import (
    PointTracks,
    TrackedFrame,
    TrackGatherer,
    VideoTrackOptions,
    follow_points,
    track_video,
)
from geo3d.flow.tv_l1 import TvL1Options
from geo3d.flow.variational import VariationalOptions
from geo3d.flow.warp import leaves_image, warp_backward

__all__ = [
    "METHODS",
    "AccurateOptions",
    "BothFlows",
    "CameraMotion",
    "CameraMotionOptions",
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
    "Frames",
    "GuidedOptions",
    "InterpolateOptions",
    "InterpolationErrors",
    "LucasKanadeOptions",
    "MedianOptions",
    "PatchMatchOptions",
    "PointTracks",
    "Residual",
    "SkippedFrame",
    "Splatted",
    "Stabilisation",
    "StabiliseOptions",
    "TrackGatherer",
    "TrackOptions",
    "TrackedFrame",
    "TrackedPoints",
    "TvL1Options",
    "UsableFrames",
    "VariationalOptions",
    "VideoFrame",
    "VideoTrackOptions",
    "camera_motion",
    "compose_flows",
    "consistency",
    "endpoint_error",
    "estimate_confidence",
    "estimate_occlusion",
    "find_both_flows",
    "flow_errors",
    "flow_to_depth",
    "follow_points",
    "fundamental_from_flow",
    "guided_flow",
    "interpolate",
    "interpolated_frames",
    "interpolation_error",
    "invert_flow",
    "leaves_image",
    "optical_flow",
    "patch_match",
    "plan_stabilisation",
    "prepare_pair",
    "separate_motion",
    "smaller_eigenvalue",
    "splat_forward",
    "stabilised_frames",
    "track_points",
    "track_video",
    "warp_backward",
    "warp_residual",
]
