"""Photographs of the habitat, with exact truth: the first data that a newcomer sees, and what `geo3d demo` works on.

The world is ENU, metres, about an origin on Earth; poses `cam_from_world`; pixels with the top-left centre at
(0.5, 0.5). Photos are JPEG with what a camera writes: make, model, focal length, time, and GPS with its errors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, look_at
from geo3d.scene import Reconstruction, View
from geo3d.synthetic.habitat import make_habitat, render_depth, render_linear
from geo3d.synthetic.hut import hut_landmarks
from geo3d.synthetic.place import MEADOW, enu_to_geodetic
from geo3d.synthetic.rays import pixel_rays
from geo3d.synthetic.terrain import CELL, ORIGIN
from geo3d.synthetic.tracing import ground_height
from geo3d.util.files import atomic_path
from geo3d.util.progress import Progress

PATHS = ("drone", "orbit", "walk")
SENSOR_WIDTH_MM = 6.4  # of the camera that EXIF describes


@dataclass(frozen=True)
class HabitatOptions:
    """What to photograph and how.

    Attributes
    ----------
    path : "drone", "orbit" or "walk"
        A drone's grid south of the hut, looking down obliquely; around it in two rings; on foot.
    photos : int
        Number of photos.
    width, height : int
        Size of the default camera's photos, pixels; 27 mm equivalent focal length and some barrel distortion.
    camera : Camera or None
        Any camera instead of the default one.
    samples : int
        Rays a pixel, along each side.
    noise : float
        Standard deviation of the image noise in grey levels of 255, at middle grey.
    exposure_sigma : float
        Standard deviation of the exposure between photos, in stops.
    vignetting : float
        Share of light lost in the corners.
    gps_sigma_m : float or None
        Standard deviation of the position in EXIF, per axis, metres (twice that for the height); None: no GPS.
    quality : int
        Of the JPEG, 1 to 100.
    seed : int
        Of the plants and stones, of noise and GPS; not negative.

    Raises
    ------
    ValueError
        For a number out of range or an unknown path.
    """

    path: str = "drone"
    photos: int = 16
    width: int = 800
    height: int = 600
    camera: Camera | None = None
    samples: int = 2
    noise: float = 1.5
    exposure_sigma: float = 0.04
    vignetting: float = 0.12
    gps_sigma_m: float | None = 0.8
    quality: int = 92
    seed: int = 0

    def __post_init__(self) -> None:
        if self.path not in PATHS:
            raise ValueError(f"path is {self.path!r}; expected one of {', '.join(PATHS)}")
        if self.photos < 1 or self.samples < 1:
            raise ValueError(f"photos and samples have to be at least 1; got {self.photos}, {self.samples}")
        if self.camera is None and min(self.width, self.height) < 16:
            raise ValueError(f"photos of at least 16 x 16 pixels, please; got {self.width} x {self.height}")
        if min(self.noise, self.exposure_sigma, self.vignetting, self.gps_sigma_m or 0) < 0:
            raise ValueError("noise, exposure_sigma, vignetting and gps_sigma_m may not be negative")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality: expected that of a JPEG, 1 to 100, got {self.quality}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number that is not negative, got {self.seed}")


@dataclass(frozen=True)
class HabitatTruth:
    """What is true of a set of photos of the habitat.

    Attributes
    ----------
    camera : Camera
        The one of all photos.
    names : tuple of str
        File names, in the order of the flight.
    poses : tuple of SE3
        `cam_from_world` of each photo; the world is ENU about the origin.
    origin : (float, float, float)
        Latitude and longitude in degrees and height in metres of the world's origin, WGS 84.
    landmarks : (8, 3) float64
        World points that are easy to see: corners of the ridge beam and of the chimney (see `hut_landmarks`).
    seed : int
        Of the habitat.
    """

    camera: Camera
    names: tuple[str, ...]
    poses: tuple[SE3, ...]
    origin: tuple[float, float, float]
    landmarks: np.ndarray
    seed: int

    def reconstruction(self) -> Reconstruction:
        """The truth as cameras and views without points, to be written or compared with."""
        views = {i + 1: View(n, 1, p) for i, (n, p) in enumerate(zip(self.names, self.poses))}
        return Reconstruction(cameras={1: self.camera}, views=views)


def render_habitat(
    folder: str | os.PathLike,
    options: HabitatOptions | None = None,
    progress: Progress | None = None,
    truth_folder: str | os.PathLike | None = None,
) -> HabitatTruth:
    """Photograph the habitat into `folder`.

    Parameters
    ----------
    folder : path
        Made if missing; photos of the same names are replaced.
    options : HabitatOptions
    progress : Progress
        Told of each photo.
    truth_folder : path, optional
        The true camera and poses are written there as a COLMAP text model.

    Returns
    -------
    HabitatTruth
        Camera, names and poses of the photos.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    options = options or HabitatOptions()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    camera = options.camera or _default_camera(options.width, options.height)
    rng = np.random.default_rng([options.seed, 5])
    poses = tuple(habitat_poses(options.path, options.photos, options.seed))
    names = tuple(f"{options.path}_{i + 1:03d}.jpg" for i in range(options.photos))
    truth = HabitatTruth(camera, names, poses, MEADOW, hut_landmarks(), options.seed)
    with (progress or Progress()).stage("photograph the habitat", total=options.photos) as stage:
        habitat = make_habitat(options.seed)
        rays = pixel_rays(camera, options.samples)
        shade = 1 - options.vignetting * _corner_distance2(camera)
        for i, (name, pose) in enumerate(zip(names, poses)):
            linear = render_linear(habitat, rays, options.samples**2, pose, 1 / _focal(camera))
            exposure = 2 ** (options.exposure_sigma * rng.standard_normal())
            image = develop(linear * (exposure * shade[..., None]), options.noise, rng)
            gps = None
            if options.gps_sigma_m is not None:
                error = options.gps_sigma_m * np.array([1, 1, 2]) * rng.standard_normal(3)
                gps = enu_to_geodetic(-pose.rotation.T @ pose.translation + error, MEADOW)
            _write_jpeg(folder / name, image, camera, gps, i, options.quality)
            stage.update(i + 1, text=name)
    if truth_folder is not None:
        from geo3d.io import write_colmap

        write_colmap(truth.reconstruction(), truth_folder, format="txt")
    return truth


def habitat_depth(truth: HabitatTruth, name: str) -> np.ndarray:
    """The true depth of each pixel of a photo of the habitat.

    Parameters
    ----------
    truth : HabitatTruth
        As `render_habitat` returns it.
    name : str
        Of the photo, one of `truth.names`.

    Returns
    -------
    (H, W) float64
        Depth (z in the camera's frame, not the length of the ray) at the pixel centres, metres: infinite in the sky,
        NaN beyond the lens.

    Raises
    ------
    ValueError
        If there is no photo of that name.
    """
    if name not in truth.names:
        raise ValueError(f"no photo named {name!r}; there are {truth.names[0]} to {truth.names[-1]}")
    return render_depth(
        make_habitat(truth.seed), pixel_rays(truth.camera, 1), truth.poses[truth.names.index(name)]
    )


def habitat_view(camera: Camera, cam_from_world: SE3, seed: int = 0, samples: int = 2) -> np.ndarray:
    """The habitat from anywhere, without noise: what a new view of a reconstructed habitat is compared with.

    Parameters
    ----------
    camera : Camera
        Of any model; its size is the photo's.
    cam_from_world : SE3
        Metres; the world is east, north, up about the meadow's origin.
    seed : int
        Of the plants and stones, as in `HabitatOptions`.
    samples : int
        Rays a pixel, along each side.

    Returns
    -------
    (H, W, 3) uint8
        RGB.
    """
    rays = pixel_rays(camera, samples)
    linear = render_linear(make_habitat(seed), rays, samples**2, cam_from_world, 1 / _focal(camera))
    return develop(linear, 0.0, np.random.default_rng(seed))


def habitat_poses(path: str, photos: int, seed: int = 0) -> list[SE3]:
    """The poses of the photos of a path, a little unsteady as real ones are.

    Parameters
    ----------
    path : "drone", "orbit" or "walk"
        As in `HabitatOptions`.
    photos : int
        Number of poses.
    seed : int
        Of the unsteadiness, and of the habitat that is walked on.

    Returns
    -------
    list of SE3
        `cam_from_world`, metres; the world is east, north, up about the meadow's origin.
    """
    rng = np.random.default_rng([seed, 3])
    s = np.arange(photos) / photos
    if path == "orbit":  # two turns in one: every other photo is higher and further away
        turn = 2 * np.pi * s - 2.2
        high = np.arange(photos) % 2
        radius = np.where(high, 17.5, 14.5)
        eyes = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.where(high, 13.0, 9.0)], axis=1)
        targets = np.stack([-0.08 * eyes[:, 0], -0.08 * eyes[:, 1], np.full(photos, 0.8)], axis=1)
    elif (
        path == "drone"
    ):  # rows to and fro south of the hut, looking north and down, turned a little to the hut
        columns = max(int(np.ceil(np.sqrt(photos))), 1)
        row, column = np.divmod(np.arange(photos), columns)
        column = np.where(row % 2, columns - 1 - column, column)
        x = (column - (columns - 1) / 2) * 24.0 / columns
        y = row * 17.0 / (row.max() + 1) - 20.0
        eyes = np.stack([x - 1.0, y, 11.5 + 0.2 * (y + 20.0)], axis=1)
        targets = np.stack([0.45 * x - 1.5, 0.45 * y + 4.5, np.zeros(photos)], axis=1)
    else:  # walk: an arc past the pond, the door and the fence, eyes on the hut
        x = -13.0 + 24.0 * s * photos / max(photos - 1, 1)
        y = -13.5 + 1.2 * np.sin(x / 3.0)
        ground = make_habitat(seed).scene[3]
        z = np.array([ground_height(ground, ORIGIN, CELL, a, b) for a, b in zip(x, y)])
        eyes = np.stack([x, y, z + 1.75], axis=1)
        targets = np.stack([0.45 * x - 0.5, np.zeros(photos), np.full(photos, 1.5)], axis=1)
    shake = 0.06 if path == "walk" else 0.3
    eyes = eyes + shake * rng.standard_normal(eyes.shape)
    targets = targets + 0.3 * rng.standard_normal(targets.shape)
    roll = np.deg2rad(1.0) * rng.standard_normal(photos)
    return [_rolled(look_at(eye, target), angle) for eye, target, angle in zip(eyes, targets, roll)]


def _rolled(pose: SE3, angle: float) -> SE3:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return SE3(turn @ pose.rotation, turn @ pose.translation)


def develop(linear: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Linear light (H, W, 3) to an 8-bit sRGB image: film-like curve (Narkowicz 2015), then noise in grey levels."""
    c = 0.62 * linear
    c = np.clip(c * (2.51 * c + 0.03) / (c * (2.43 * c + 0.59) + 0.14), 0, 1)
    image = 255 * np.where(c < 0.0031308, 12.92 * c, 1.055 * np.maximum(c, 1e-9) ** (1 / 2.4) - 0.055)
    if noise > 0:
        image = image + noise * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _default_camera(width: int, height: int) -> Camera:
    return Camera("SIMPLE_RADIAL", width, height, [0.75 * width, width / 2, height / 2, -0.06])


def _focal(camera: Camera) -> float:
    """Pixels per radian on the axis; for a lens without a focal length (a panorama) over the whole width."""
    if camera.model == "EQUIRECTANGULAR":
        return camera.width / (2 * np.pi)
    return camera.mean_focal


def _corner_distance2(camera: Camera) -> np.ndarray:
    """(H, W) squared distance from the image centre, 1 in the corners."""
    y, x = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    x, y = x / camera.width - 0.5, y / camera.height - 0.5
    return 2 * (x * x + y * y)


def _write_jpeg(
    path: Path, image: np.ndarray, camera: Camera, gps: np.ndarray | None, index: int, quality: int
) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "geo3d", "Habitat"
    time = f"2024:09:14 10:{index // 12 % 60:02d}:{index % 12 * 5:02d}"
    exif[0x0132] = time
    detail = exif.get_ifd(0x8769)
    detail[0x9003] = time
    detail[0x920A] = round(_focal(camera) / camera.width * SENSOR_WIDTH_MM, 4)  # FocalLength, mm
    detail[0xA405] = round(_focal(camera) / camera.width * 36)  # FocalLengthIn35mmFilm
    detail[0xA002], detail[0xA003] = camera.width, camera.height
    if gps is not None:
        exif.get_ifd(0x8825).update(_gps_tags(gps))
    with atomic_path(path) as scratch:
        Image.fromarray(image).save(scratch, "JPEG", quality=quality, subsampling=0, exif=exif)


def _gps_tags(place: np.ndarray) -> dict:
    from PIL.TiffImagePlugin import IFDRational

    def sexagesimal(angle: float) -> tuple:
        total = round(abs(angle) * 3600 * 100000)  # 0.3 mm
        degrees, rest = divmod(total, 3600 * 100000)
        minutes, rest = divmod(rest, 60 * 100000)
        return IFDRational(degrees, 1), IFDRational(minutes, 1), IFDRational(rest, 100000)

    latitude, longitude, height = (float(v) for v in place)
    return {
        1: "N" if latitude >= 0 else "S",
        2: sexagesimal(latitude),
        3: "E" if longitude >= 0 else "W",
        4: sexagesimal(longitude),
        5: b"\x00" if height >= 0 else b"\x01",
        6: IFDRational(round(abs(height) * 1000), 1000),
        18: "WGS-84",
    }
