"""Scenes with exact ground truth: for the property tests, the examples and `geo3d demo`."""

from geo3d.geometry import look_at
from geo3d.synthetic.boards import BoardOptions, BoardPhoto, board_points, board_poses, render_board
from geo3d.synthetic.facades import Facade, house_poses, make_house, photograph_facades
from geo3d.synthetic.flow import (
    FlowPair,
    FlowPairOptions,
    FlowScene,
    FlowTruth,
    make_flow_pair,
    make_flow_scene,
)
from geo3d.synthetic.moving_camera import (
    MovingCameraOptions,
    MovingCameraPair,
    make_moving_camera_pair,
)
from geo3d.synthetic.pairs import ResectionData, TwoViewData, make_resection, make_two_view
from geo3d.synthetic.photos import (
    HabitatOptions,
    HabitatTruth,
    habitat_depth,
    habitat_poses,
    habitat_view,
    render_habitat,
)
from geo3d.synthetic.prints import PrintOptions, render_print
from geo3d.synthetic.scenes import SyntheticScene, default_camera, make_scene, perturbed
from geo3d.synthetic.stereo import StereoPair, StereoPairOptions, make_stereo_pair
from geo3d.synthetic.stereo_photographed import as_photographed
from geo3d.synthetic.twins import TwinPair, TwinScene, make_twins

__all__ = [
    "BoardOptions",
    "BoardPhoto",
    "Facade",
    "FlowPair",
    "FlowPairOptions",
    "FlowScene",
    "FlowTruth",
    "HabitatOptions",
    "HabitatTruth",
    "MovingCameraOptions",
    "MovingCameraPair",
    "PrintOptions",
    "ResectionData",
    "StereoPair",
    "StereoPairOptions",
    "SyntheticScene",
    "TwinPair",
    "TwinScene",
    "TwoViewData",
    "as_photographed",
    "board_points",
    "board_poses",
    "default_camera",
    "habitat_depth",
    "habitat_poses",
    "habitat_view",
    "house_poses",
    "look_at",
    "make_flow_pair",
    "make_flow_scene",
    "make_house",
    "make_moving_camera_pair",
    "make_resection",
    "make_scene",
    "make_stereo_pair",
    "make_twins",
    "make_two_view",
    "perturbed",
    "photograph_facades",
    "render_board",
    "render_habitat",
    "render_print",
]
