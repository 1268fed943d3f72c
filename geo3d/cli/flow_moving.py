"""`geo3d flow FRAME1 FRAME2 --moving`: what of the flow is the camera's own motion, and what moved by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geo3d.cli.common import Session
from geo3d.flow import EgoMotion, FlowResult, separate_motion
from geo3d.util.files import write_bytes
from geo3d.util.require import require

_MOST = 0.5  # share of the image, above which the camera's motion may be mistaken
_CAMERA = {
    "homography": "the camera stood still, turned, or sees one plane (a homography)",
    "fundamental": "the camera moved (a fundamental matrix)",
}


def find_moving(found: FlowResult) -> EgoMotion:
    """What moved by itself in a flow; a ValueError says why that can not be told."""
    try:
        return separate_motion(found)
    except ValueError as error:
        raise ValueError(f"--moving: the camera's own motion was not found: {error}") from error


def write_moving(motion: EgoMotion, path: Path) -> str:
    """Write the mask, white where something moved; the name of the file."""
    done, data = require("cv2").imencode(".png", np.where(motion.moving, np.uint8(255), np.uint8(0)))
    assert done
    write_bytes(path, data.tobytes())
    return path.name


def say_moving(motion: EgoMotion, session: Session) -> None:
    """Tell what moved, and warn where that is doubtful."""
    share = float(motion.moving.mean())
    places = require("cv2").connectedComponents(motion.moving.astype(np.uint8))[0] - 1
    what = f"{100 * share:.1f} % of the image moves by itself, in {places} place{'s' * (places != 1)}"
    session.say(f"{what if places else 'nothing moves by itself'}; {_CAMERA[motion.model]}.")
    if max(share, 1.0 - motion.inlier_share) > _MOST:
        session.progress.warn(
            f"only {100 * motion.inlier_share:.0f} % of the flow follows one motion of the camera: what moves by "
            "itself may be mistaken for what is still"
        )


def moving_fields(motion: EgoMotion) -> dict[str, Any]:
    """What the JSON line says of it."""
    return {
        "model": motion.model,
        "matrix": motion.matrix.tolist(),
        "share": float(motion.moving.mean()),
        "sigma_px": motion.sigma_px,
        "inlier_share": motion.inlier_share,
    }
