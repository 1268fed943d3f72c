"""Photos: which there are, their pixels, what their EXIF says, their masks."""

from geo3d.images.blur import blur_px
from geo3d.images.bring import bring_frames, bring_photos
from geo3d.images.camera_guess import CameraGuess, camera_from_exif, camera_key, focal_from_exif, group_key
from geo3d.images.exif import Exif, Gps, read_exif
from geo3d.images.folder import PHOTO_SUFFIXES, VIDEO_SUFFIXES, list_photos, list_videos
from geo3d.images.frames import (
    ChosenFrames,
    FrameMeasures,
    FrameOptions,
    choose_frames,
    measure_frames,
    select_frames,
)
from geo3d.images.mask import find_mask, find_mask_folder, read_mask, unused_masks
from geo3d.images.photo import Photo, PhotoError, photo_size, read_image, read_photo
from geo3d.images.scan import SAME_PHOTO, Scan, ScannedPhoto, find_photos, hash_photos, scan_photos
from geo3d.images.sensors import sensor_width_mm
from geo3d.images.undistort import UndistortedPhotos, readable_sizes, undistort_photo, undistort_photos
from geo3d.images.video import VideoError, VideoInfo, find_other_sizes, read_frames, read_video_info
from geo3d.images.xmp import DroneXmp, gimbal_gravity, read_drone_xmp

__all__ = [
    "PHOTO_SUFFIXES",
    "SAME_PHOTO",
    "VIDEO_SUFFIXES",
    "CameraGuess",
    "ChosenFrames",
    "DroneXmp",
    "Exif",
    "FrameMeasures",
    "FrameOptions",
    "Gps",
    "Photo",
    "PhotoError",
    "Scan",
    "ScannedPhoto",
    "UndistortedPhotos",
    "VideoError",
    "VideoInfo",
    "blur_px",
    "bring_frames",
    "bring_photos",
    "camera_from_exif",
    "camera_key",
    "choose_frames",
    "find_mask",
    "find_mask_folder",
    "find_other_sizes",
    "find_photos",
    "focal_from_exif",
    "gimbal_gravity",
    "group_key",
    "hash_photos",
    "list_photos",
    "list_videos",
    "measure_frames",
    "photo_size",
    "read_drone_xmp",
    "read_exif",
    "read_frames",
    "read_image",
    "read_mask",
    "read_photo",
    "read_video_info",
    "readable_sizes",
    "scan_photos",
    "select_frames",
    "sensor_width_mm",
    "undistort_photo",
    "undistort_photos",
    "unused_masks",
]
