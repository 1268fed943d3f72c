"""Files in and out. Contents are untrusted: what does not fit is a ValueError that names the file."""

from geo3d.io.colmap import colmap_format, read_colmap, write_colmap
from geo3d.io.database import ColmapDatabase
from geo3d.io.database_schema import DatabaseImage, PosePrior, TwoViewRecord, pair_id, pair_of

__all__ = [
    "ColmapDatabase",
    "DatabaseImage",
    "PosePrior",
    "TwoViewRecord",
    "colmap_format",
    "pair_id",
    "pair_of",
    "read_colmap",
    "write_colmap",
]
