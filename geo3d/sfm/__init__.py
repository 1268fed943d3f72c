"""Structure from motion: tracks, view graph, global and incremental mapping, bundle adjustment."""

from geo3d.sfm.bundle_adjustment import (
    BundleOptions,
    BundleProblem,
    BundleReport,
    BundleResult,
    apply_bundle,
    bundle_adjust,
    bundle_problem,
    solve_bundle,
)
from geo3d.sfm.bundle_covariance import BundleCovariance, bundle_covariance, two_view_gauge
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.bundle_rigs import BundleRigs
from geo3d.sfm.colors import keypoint_colors
from geo3d.sfm.doming import BlockShape, block_shape, distortion_is_free, doming_warning
from geo3d.sfm.first_cameras import first_cameras, known_camera, set_known_cameras
from geo3d.sfm.focal import FocalEstimate, estimate_focal, replace_guessed_focals
from geo3d.sfm.focal_check import check_given_focals, guessed_focal_warnings, replace_contradicted_focals
from geo3d.sfm.focal_sweep import sweep_focal
from geo3d.sfm.georeference import Georeferenced, check_known_names, georeference
from geo3d.sfm.georeference_adjust import (
    AdjustedModel,
    ControlPoint,
    GeoreferencedBundle,
    adjust_georeferenced,
)
from geo3d.sfm.georeference_clicks import Located, locate_marks
from geo3d.sfm.georeference_crs import UtmZone, geodetic_from_crs, read_crs, utm_zone
from geo3d.sfm.georeference_fit import PositionFit, UpDirection, fit_positions
from geo3d.sfm.georeference_gps import (
    AltitudeOffset,
    PhotoPosition,
    altitude_offset,
    local_frame,
    photo_position,
    photo_positions,
    position_std_m,
)
from geo3d.sfm.georeference_known import KnownPlace
from geo3d.sfm.georeference_markers import Marker, find_markers, measure_markers
from geo3d.sfm.georeference_model import transform_model
from geo3d.sfm.georeference_result import (
    ControlResidual,
    GeoreferenceResult,
    LengthResidual,
    ModelPlacement,
    PhotoResidual,
)
from geo3d.sfm.georeference_scale import (
    Distance,
    KnownLength,
    MeasuredLengths,
    ScaleEstimate,
    measure_distances,
    scale_from_lengths,
)
from geo3d.sfm.georeference_up import estimate_up
from geo3d.sfm.global_mapper import map_globally
from geo3d.sfm.global_positioning import PositioningOptions, Positions, position_views
from geo3d.sfm.ground_control import GroundControl, GroundPoint, match_photos_of_control, read_ground_control
from geo3d.sfm.incremental import map_incrementally
from geo3d.sfm.known_poses import register_photos, triangulate_known_poses
from geo3d.sfm.lens_fit import LensSample, camera_deviations
from geo3d.sfm.lens_prior import lens_prior
from geo3d.sfm.mapper import NOTHING_FROM_THESE, MapperOptions, MappingResult
from geo3d.sfm.mapping import map_views, mapping_key
from geo3d.sfm.match_graph import MatchGraph, PairMatches, load_match_graph
from geo3d.sfm.merging import merge_models
from geo3d.sfm.odd_lenses import OddLens, find_odd_lenses, with_own_lenses
from geo3d.sfm.retracking import Consistency, model_consistency, retrack
from geo3d.sfm.rotation_averaging import (
    AveragedRotations,
    RotationAveragingOptions,
    average_relative_rotations,
)
from geo3d.sfm.self_calibration import SelfCalibrationOptions, Trial, self_calibrate
from geo3d.sfm.tracks import TrackSet, build_tracks
from geo3d.sfm.view_graph import (
    ViewGraph,
    ViewGraphOptions,
    build_view_graph,
    consistent_edges,
    loop_errors,
    matches_of_edges,
)
from geo3d.sfm.weak_photos import WeakPhotos, explain_weak_photos
from geo3d.sfm.working_model import WorkingModel

__all__ = [
    "NOTHING_FROM_THESE",
    "AdjustedModel",
    "AltitudeOffset",
    "AveragedRotations",
    "BlockShape",
    "BundleCovariance",
    "BundleOptions",
    "BundlePriors",
    "BundleProblem",
    "BundleReport",
    "BundleResult",
    "BundleRigs",
    "Consistency",
    "ControlPoint",
    "ControlResidual",
    "Distance",
    "FocalEstimate",
    "GeoreferenceResult",
    "Georeferenced",
    "GeoreferencedBundle",
    "GroundControl",
    "GroundPoint",
    "KnownLength",
    "KnownPlace",
    "LengthResidual",
    "LensSample",
    "Located",
    "MapperOptions",
    "MappingResult",
    "Marker",
    "MatchGraph",
    "MeasuredLengths",
    "ModelPlacement",
    "OddLens",
    "PairMatches",
    "PhotoPosition",
    "PhotoResidual",
    "PositionFit",
    "PositioningOptions",
    "Positions",
    "RotationAveragingOptions",
    "ScaleEstimate",
    "SelfCalibrationOptions",
    "TrackSet",
    "Trial",
    "UpDirection",
    "UtmZone",
    "ViewGraph",
    "ViewGraphOptions",
    "WeakPhotos",
    "WorkingModel",
    "adjust_georeferenced",
    "altitude_offset",
    "apply_bundle",
    "average_relative_rotations",
    "block_shape",
    "build_tracks",
    "build_view_graph",
    "bundle_adjust",
    "bundle_covariance",
    "bundle_problem",
    "camera_deviations",
    "check_given_focals",
    "check_known_names",
    "consistent_edges",
    "distortion_is_free",
    "doming_warning",
    "estimate_focal",
    "estimate_up",
    "explain_weak_photos",
    "find_markers",
    "find_odd_lenses",
    "first_cameras",
    "fit_positions",
    "geodetic_from_crs",
    "georeference",
    "guessed_focal_warnings",
    "keypoint_colors",
    "known_camera",
    "lens_prior",
    "load_match_graph",
    "local_frame",
    "locate_marks",
    "loop_errors",
    "map_globally",
    "map_incrementally",
    "map_views",
    "mapping_key",
    "match_photos_of_control",
    "matches_of_edges",
    "measure_distances",
    "measure_markers",
    "merge_models",
    "model_consistency",
    "photo_position",
    "photo_positions",
    "position_std_m",
    "position_views",
    "read_crs",
    "read_ground_control",
    "register_photos",
    "replace_contradicted_focals",
    "replace_guessed_focals",
    "retrack",
    "scale_from_lengths",
    "self_calibrate",
    "set_known_cameras",
    "solve_bundle",
    "sweep_focal",
    "transform_model",
    "triangulate_known_poses",
    "two_view_gauge",
    "utm_zone",
    "with_own_lenses",
]
