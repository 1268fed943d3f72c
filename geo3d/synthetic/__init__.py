"""Scenes with exact ground truth: for the property tests, the examples and `geo3d demo`."""

from geo3d.synthetic.pairs import ResectionData, TwoViewData, make_resection, make_two_view
from geo3d.synthetic.poses import look_at
from geo3d.synthetic.scenes import SyntheticScene, default_camera, make_scene, perturbed

__all__ = [
    "ResectionData",
    "SyntheticScene",
    "TwoViewData",
    "default_camera",
    "look_at",
    "make_resection",
    "make_scene",
    "make_two_view",
    "perturbed",
]
