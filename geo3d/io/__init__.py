"""Files in and out. Contents are untrusted: what does not fit is a ValueError that names the file."""

from geo3d.io.calibration_file import read_calibration, read_rig
from geo3d.io.camera_json import NamedCamera, read_camera_json, write_camera_json
from geo3d.io.colmap import colmap_format, read_colmap, write_colmap
from geo3d.io.database import ColmapDatabase
from geo3d.io.database_schema import DatabaseImage, PosePrior, TwoViewRecord, pair_id, pair_of
from geo3d.io.flow_files import FLOW_ENDINGS, read_flow, write_flow
from geo3d.io.hloc import HlocImport, import_hloc
from geo3d.io.pfm import read_pfm, write_pfm
from geo3d.io.ply import PlyMesh, read_ply, write_ply
from geo3d.io.png16 import read_png16, write_png16
from geo3d.io.rig_json import read_rig_json, write_rig_json
from geo3d.io.robot_poses import read_robot_poses
from geo3d.io.scene_files import (
    SCENE_FORMATS,
    find_scene,
    read_scene,
    scene_images,
    write_points_ply,
    write_scene,
)
from geo3d.io.scene_folder import (
    GivenFiles,
    check_scene_folder,
    forget_mapped,
    given_files,
    is_own,
    mark_own,
    read_components,
    read_mapped,
    write_components,
)
from geo3d.io.splat_antimatter import read_antimatter_splat, write_antimatter_splat
from geo3d.io.splat_compressed_ply import read_compressed_ply, write_compressed_ply
from geo3d.io.splat_file import SplatFile
from geo3d.io.splat_formats import (
    SPLAT_FORMATS,
    SplatFormat,
    SplatLoss,
    find_splat_format,
    read_splats,
    splat_format_of_name,
    splat_loss,
)
from geo3d.io.splat_glb import read_splat_glb, write_splat_glb
from geo3d.io.splat_html import write_splat_html
from geo3d.io.splat_ply import read_splat_ply, write_splat_ply
from geo3d.io.splat_scene import FIELD, SPLATS, FoundSplats, find_field, find_splats
from geo3d.io.splat_sog import read_sog, write_sog
from geo3d.io.splat_spz import read_spz, write_spz
from geo3d.io.transforms import TransformsScene, read_transforms, write_transforms
from geo3d.io.undistorted_scene import UndistortedScene, undistort_scene
from geo3d.io.world_frame import WorldFrame, read_georeference
from geo3d.io.write_calibration import FORMATS, CalibrationFormat, format_holds, write_calibration

__all__ = [
    "FIELD",
    "FLOW_ENDINGS",
    "FORMATS",
    "SCENE_FORMATS",
    "SPLATS",
    "SPLAT_FORMATS",
    "CalibrationFormat",
    "ColmapDatabase",
    "DatabaseImage",
    "FoundSplats",
    "GivenFiles",
    "HlocImport",
    "NamedCamera",
    "PlyMesh",
    "PosePrior",
    "SplatFile",
    "SplatFormat",
    "SplatLoss",
    "TransformsScene",
    "TwoViewRecord",
    "UndistortedScene",
    "WorldFrame",
    "check_scene_folder",
    "colmap_format",
    "find_field",
    "find_scene",
    "find_splat_format",
    "find_splats",
    "forget_mapped",
    "format_holds",
    "given_files",
    "import_hloc",
    "is_own",
    "mark_own",
    "pair_id",
    "pair_of",
    "read_antimatter_splat",
    "read_calibration",
    "read_camera_json",
    "read_colmap",
    "read_components",
    "read_compressed_ply",
    "read_flow",
    "read_georeference",
    "read_mapped",
    "read_pfm",
    "read_ply",
    "read_png16",
    "read_rig",
    "read_rig_json",
    "read_robot_poses",
    "read_scene",
    "read_sog",
    "read_splat_glb",
    "read_splat_ply",
    "read_splats",
    "read_spz",
    "read_transforms",
    "scene_images",
    "splat_format_of_name",
    "splat_loss",
    "undistort_scene",
    "write_antimatter_splat",
    "write_calibration",
    "write_camera_json",
    "write_colmap",
    "write_components",
    "write_compressed_ply",
    "write_flow",
    "write_pfm",
    "write_ply",
    "write_png16",
    "write_points_ply",
    "write_rig_json",
    "write_scene",
    "write_sog",
    "write_splat_glb",
    "write_splat_html",
    "write_splat_ply",
    "write_spz",
    "write_transforms",
]
