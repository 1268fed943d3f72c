"""Photos: which there are, their pixels, what their EXIF says, their masks."""

from geo3d.images.camera_guess import CameraGuess, camera_from_exif, camera_key, focal_from_exif, group_key
from geo3d.images.exif import Exif, Gps, read_exif
from geo3d.images.folder import PHOTO_SUFFIXES, list_photos
from geo3d.images.mask import find_mask, find_mask_folder, read_mask
from geo3d.images.photo import Photo, PhotoError, photo_size, read_image, read_photo
from geo3d.images.scan import Scan, ScannedPhoto, bring_photos, find_photos, hash_photos, scan_photos
from geo3d.images.sensors import sensor_width_mm
from geo3d.images.xmp import DroneXmp, gimbal_gravity, read_drone_xmp

__all__ = [
    "PHOTO_SUFFIXES",
    "CameraGuess",
    "DroneXmp",
    "Exif",
    "Gps",
    "Photo",
    "PhotoError",
    "Scan",
    "ScannedPhoto",
    "bring_photos",
    "camera_from_exif",
    "camera_key",
    "find_mask",
    "find_mask_folder",
    "find_photos",
    "focal_from_exif",
    "gimbal_gravity",
    "group_key",
    "hash_photos",
    "list_photos",
    "photo_size",
    "read_drone_xmp",
    "read_exif",
    "read_image",
    "read_mask",
    "read_photo",
    "scan_photos",
    "sensor_width_mm",
]
