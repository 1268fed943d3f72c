"""Photos of printed targets with exact truth, for the tests of detection."""

import numpy as np

from geo3d.calibration import Target
from geo3d.calibration.artwork import artwork
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import PrintOptions, render_print

PINHOLE = Camera("OPENCV", 640, 480, [560.0, 556, 318, 245, -0.25, 0.08, 0.001, -0.002])
FISHEYE = Camera("OPENCV_FISHEYE", 640, 480, [290.0, 290, 322, 238, 0.05, -0.01, 0.002, 0.0])


def board_pose(camera, target: Target, middle_px, width_share, turn_deg=0.0, tilt_deg=(0.0, 0.0)) -> SE3:
    """The board's middle at a pixel, as wide as a share of the image if it faced the camera."""
    x, y, width, height = artwork(target).extent / 1000
    rotation = SO3.exp(np.deg2rad([*tilt_deg, 0.0])).matrix @ SO3.exp([0.0, 0.0, np.deg2rad(turn_deg)]).matrix
    ray = camera.unproject(np.asarray(middle_px, float))
    depth = width * camera.mean_focal / (width_share * camera.width)
    return SE3(rotation, ray / ray[2] * depth - rotation @ [x + width / 2, y + height / 2, 0.0])


def photograph(camera, target: Target, pose: SE3, seed=0, samples=2):
    """The photo (H, W) and the images (N, 2) of the target's points."""
    art = artwork(target)
    rim = 0.06 * max(art.extent[2:])
    paper = (art.extent + np.array([-rim, -rim, 2 * rim, 2 * rim])) / 1000
    options = PrintOptions(samples=samples)
    image = render_print(camera, pose, art.rectangles / 1000, art.discs / 1000, paper, options, seed)
    return image, camera.project(pose.act(target.points))


def plain_photo(seed=0) -> np.ndarray:
    """(480, 640) uint8 of textures and edges in which no board is."""
    import cv2

    rng = np.random.default_rng(seed)
    image = 128.0 + sum(
        cv2.resize(rng.normal(0, 40, (6 * 2**k, 8 * 2**k)), (640, 480), interpolation=cv2.INTER_CUBIC)
        / 1.3**k
        for k in range(6)
    )
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(40):
        box = cv2.boxPoints(
            ((rng.uniform(0, 640), rng.uniform(0, 480)), tuple(rng.uniform(10, 120, 2)), rng.uniform(0, 90))
        )
        cv2.fillPoly(image, [box.astype(np.int32)], int(rng.integers(0, 255)))
    return image
