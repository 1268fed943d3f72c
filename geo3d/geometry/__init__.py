"""Rotations, rigid motions and similarities; quaternions; averages and alignments. Pure NumPy, float64."""

from geo3d.geometry.alignment import SimilarityFit, umeyama, umeyama_robust
from geo3d.geometry.averaging import average_rotations
from geo3d.geometry.enu import EnuFrame, ecef_from_geodetic
from geo3d.geometry.homogeneous import from_homogeneous, to_homogeneous
from geo3d.geometry.look_at import look_at
from geo3d.geometry.quaternions import (
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_slerp,
    quaternion_to_matrix,
)
from geo3d.geometry.se3 import SE3
from geo3d.geometry.sim3 import Sim3
from geo3d.geometry.so3 import SO3, closest_rotation, rotation_angle, skew
from geo3d.geometry.spherical_harmonics import SH_C0, sh_basis, sh_rotation

__all__ = [
    "SE3",
    "SH_C0",
    "SO3",
    "EnuFrame",
    "Sim3",
    "SimilarityFit",
    "average_rotations",
    "closest_rotation",
    "ecef_from_geodetic",
    "from_homogeneous",
    "look_at",
    "matrix_to_quaternion",
    "quaternion_multiply",
    "quaternion_slerp",
    "quaternion_to_matrix",
    "rotation_angle",
    "sh_basis",
    "sh_rotation",
    "skew",
    "to_homogeneous",
    "umeyama",
    "umeyama_robust",
]
