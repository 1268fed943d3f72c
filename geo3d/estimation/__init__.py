"""From correspondences to geometry: minimal solvers, RANSAC, two-view and absolute pose, triangulation."""

from geo3d.estimation.absolute_pose import AbsolutePoseResult, estimate_absolute_pose, refine_absolute_pose
from geo3d.estimation.absolute_pose_focal import (
    AbsolutePoseFocalResult,
    estimate_absolute_pose_focal,
    solve_p4pf,
)
from geo3d.estimation.checks import EstimationError
from geo3d.estimation.eight_point import solve_eight_point, solve_eight_point_essential
from geo3d.estimation.epipolar import epipolar_lines, epipoles, sampson_error, symmetric_epipolar_error
from geo3d.estimation.essential import decompose_essential, essential_from_pose, pose_from_essential
from geo3d.estimation.essential_robust import EssentialResult, estimate_essential
from geo3d.estimation.five_point import solve_five_point
from geo3d.estimation.fundamental import FundamentalResult, estimate_fundamental
from geo3d.estimation.homography import HomographyResult, estimate_homography, solve_homography
from geo3d.estimation.homography_decomposition import PlanarMotion, decompose_homography, motions_in_front
from geo3d.estimation.p3p import solve_p3p
from geo3d.estimation.ransac import RansacOptions
from geo3d.estimation.relative_pose import RelativePoseResult, estimate_relative_pose, refine_relative_pose
from geo3d.estimation.resection import Resection, solve_resection
from geo3d.estimation.seven_point import solve_seven_point
from geo3d.estimation.similarity_2d import Similarity2dResult, estimate_similarity_2d, solve_similarity_2d
from geo3d.estimation.sqpnp import solve_sqpnp
from geo3d.estimation.tracks import (
    RobustTracks,
    TriangulatedTracks,
    triangulate_tracks,
    triangulate_tracks_robust,
)
from geo3d.estimation.triangulation import (
    Triangulation,
    correct_lindstrom,
    triangulate_dlt,
    triangulate_lindstrom,
    triangulate_midpoint,
    triangulate_multiview,
    triangulate_two_view,
)

__all__ = [
    "AbsolutePoseFocalResult",
    "AbsolutePoseResult",
    "EssentialResult",
    "EstimationError",
    "FundamentalResult",
    "HomographyResult",
    "PlanarMotion",
    "RansacOptions",
    "RelativePoseResult",
    "Resection",
    "RobustTracks",
    "Similarity2dResult",
    "TriangulatedTracks",
    "Triangulation",
    "correct_lindstrom",
    "decompose_essential",
    "decompose_homography",
    "epipolar_lines",
    "epipoles",
    "essential_from_pose",
    "estimate_absolute_pose",
    "estimate_absolute_pose_focal",
    "estimate_essential",
    "estimate_fundamental",
    "estimate_homography",
    "estimate_relative_pose",
    "estimate_similarity_2d",
    "motions_in_front",
    "pose_from_essential",
    "refine_absolute_pose",
    "refine_relative_pose",
    "sampson_error",
    "solve_eight_point",
    "solve_eight_point_essential",
    "solve_five_point",
    "solve_homography",
    "solve_p3p",
    "solve_p4pf",
    "solve_resection",
    "solve_seven_point",
    "solve_similarity_2d",
    "solve_sqpnp",
    "symmetric_epipolar_error",
    "triangulate_dlt",
    "triangulate_lindstrom",
    "triangulate_midpoint",
    "triangulate_multiview",
    "triangulate_tracks",
    "triangulate_tracks_robust",
    "triangulate_two_view",
]
