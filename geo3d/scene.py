"""The data that travels between the steps: cameras, views, points with their tracks, Gaussians. Data only, no
algorithms.

A `Reconstruction` keeps its points as flat arrays (one row a point, one row an observation), because every
algorithm on them is a loop over observations. The tracks are the only place that says which keypoint sees which
point.

Ids of cameras, views, rigs and frames are COLMAP's (positive integers, keys of the dictionaries); points and
keypoints are addressed by their row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from geo3d.cameras import Camera
    from geo3d.geometry import SE3


@dataclass
class View:
    """One photograph: its camera, its keypoints and, once registered, its pose.

    Attributes
    ----------
    name : str
        Path of the photo below the images folder, with forward slashes.
    camera_id : int
        Key into `Reconstruction.cameras`.
    cam_from_world : SE3 or None
        `x_cam = R @ x_world + t`; None while the view is not registered.
    keypoints : (N, 2) float64
        Pixels x, y; the centre of the top-left pixel is (0.5, 0.5).
    """

    name: str
    camera_id: int
    cam_from_world: SE3 | None = None
    keypoints: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class Track:
    """One point and the keypoints that see it."""

    xyz: np.ndarray  # (3,) float64, world
    color: np.ndarray  # (3,) uint8, RGB
    error_px: float  # mean reprojection error, NaN when not known
    view_ids: np.ndarray  # (L,) int64
    keypoints: np.ndarray  # (L,) int64, rows of View.keypoints


@dataclass
class Points:
    """Points and their tracks as flat arrays; observations of point i are rows `offsets[i]:offsets[i + 1]`."""

    xyz: np.ndarray  # (P, 3) float64, world
    color: np.ndarray  # (P, 3) uint8, RGB
    error_px: np.ndarray  # (P,) float64, mean reprojection error, NaN when not known
    offsets: np.ndarray  # (P + 1,) int64
    view_ids: np.ndarray  # (O,) int64
    keypoints: np.ndarray  # (O,) int64, rows of View.keypoints

    @staticmethod
    def empty() -> Points:
        """No points: arrays of the right shapes and types with no rows."""
        return Points.from_tracks([])

    @staticmethod
    def from_tracks(tracks: list[Track]) -> Points:
        """The points of `tracks`, one row a track, in their order; the inverse of `list(points)`."""
        lengths = [len(t.view_ids) for t in tracks]
        return Points(
            xyz=np.array([t.xyz for t in tracks], np.float64).reshape(-1, 3),
            color=np.array([t.color for t in tracks], np.uint8).reshape(-1, 3),
            error_px=np.array([t.error_px for t in tracks], np.float64),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            view_ids=np.concatenate([np.zeros(0, np.int64), *[t.view_ids for t in tracks]]).astype(np.int64),
            keypoints=np.concatenate([np.zeros(0, np.int64), *[t.keypoints for t in tracks]]).astype(
                np.int64
            ),
        )

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, row: int) -> Track:
        if not 0 <= row < len(self):
            raise IndexError(f"point {row} of {len(self)}")
        part = slice(self.offsets[row], self.offsets[row + 1])
        return Track(
            self.xyz[row],
            self.color[row],
            float(self.error_px[row]),
            self.view_ids[part],
            self.keypoints[part],
        )

    def __iter__(self) -> Iterator[Track]:
        return (self[row] for row in range(len(self)))

    @property
    def track_lengths(self) -> np.ndarray:
        """(P,) int64, number of observations of each point."""
        return np.diff(self.offsets)

    @property
    def point_rows(self) -> np.ndarray:
        """(O,) int64, the point of each observation."""
        return np.repeat(np.arange(len(self)), self.track_lengths)

    def subset(self, keep: np.ndarray) -> Points:
        """The points at which the mask `keep` (P,) is true, in the same order."""
        observed = np.repeat(keep, self.track_lengths)
        return Points(
            self.xyz[keep],
            self.color[keep],
            self.error_px[keep],
            np.concatenate([[0], np.cumsum(self.track_lengths[keep])]).astype(np.int64),
            self.view_ids[observed],
            self.keypoints[observed],
        )


@dataclass(frozen=True)
class Rig:
    """Sensors that move together. `sensor_from_rig` is None where not known; the reference sensor's is identity."""

    ref_camera_id: int
    sensor_from_rig: dict[int, SE3 | None] = field(
        default_factory=dict
    )  # camera id -> pose, without the reference


@dataclass(frozen=True)
class CameraRig:
    """Calibrated cameras that are fixed to each other, by name: what a calibration of several cameras gives.

    A `Rig` is how a `Reconstruction` refers to its cameras by id; this one stands alone.

    Attributes
    ----------
    names : tuple of str
        One for each camera, each once.
    cameras : tuple of Camera
        In the order of the names.
    cam_from_rig : tuple of SE3
        `x_cam = R @ x_rig + t`, metres; often the identity for the first.

    Raises
    ------
    ValueError
        If there is no camera, the lengths differ, or a name is empty or there twice.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    cam_from_rig: tuple[SE3, ...]

    def __post_init__(self) -> None:
        for key in ("names", "cameras", "cam_from_rig"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        counts = len(self.names), len(self.cameras), len(self.cam_from_rig)
        if not counts[0] or len(set(counts)) > 1:
            raise ValueError(
                "names, cameras, cam_from_rig: expected one of each for one camera or more, got "
                f"{', '.join(map(str, counts))}"
            )
        if "" in self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"names: expected a name of its own for each camera, got {list(self.names)}")

    def cam_from_first(self) -> tuple[SE3, ...]:
        """The poses with the rig's frame moved to the first camera, whose pose is then the identity."""
        first = self.cam_from_rig[0].inverse()
        return tuple(pose @ first for pose in self.cam_from_rig)


@dataclass(frozen=True)
class Frame:
    """What a rig took at one moment."""

    rig_id: int
    view_ids: tuple[int, ...]
    rig_from_world: SE3 | None = None


@dataclass
class Reconstruction:
    """Cameras, views and points of one connected model.

    `rigs` and `frames` are empty unless the photos come from rigs; a writer that needs them makes one trivial rig
    a camera and one frame a view.
    """

    cameras: dict[int, Camera] = field(default_factory=dict)
    views: dict[int, View] = field(default_factory=dict)
    points: Points = field(default_factory=Points.empty)
    rigs: dict[int, Rig] = field(default_factory=dict)
    frames: dict[int, Frame] = field(default_factory=dict)

    def registered(self) -> list[int]:
        """Ids of the views that have a pose, ascending."""
        return sorted(i for i, view in self.views.items() if view.cam_from_world is not None)

    def centres(self) -> np.ndarray:
        """(V, 3) camera centres in the world, in the order of `registered()`."""
        poses = [self.views[i].cam_from_world for i in self.registered()]
        return np.array([p.inverse().translation for p in poses if p is not None]).reshape(-1, 3)

    def view_named(self, name: str) -> View:
        """The view of that name; KeyError when there is none."""
        for view in self.views.values():
            if view.name == name:
                return view
        raise KeyError(f"no view named {name!r} among the {len(self.views)} of this reconstruction")


@dataclass
class Gaussians:
    """A scene of 3D Gaussians with view-dependent colour, as Kerbl et al. (SIGGRAPH 2023) and their files hold it.

    The arrays are NumPy float32, or torch tensors where somebody differentiates through them; either all or none.
    The parameters are the unconstrained ones that a trainer moves.

    Attributes
    ----------
    means : (N, 3)
        Centres, world.
    quaternions : (N, 4)
        wxyz, world from the Gaussian's axes; of any length but zero.
    log_scales : (N, 3)
        Natural logarithm of the standard deviations along the Gaussian's axes, world units.
    logit_opacities : (N,)
        Logit of the opacity at the centre.
    sh : (N, K, 3)
        Coefficients of real spherical harmonics in the world frame, K = (degree + 1)^2 of degree 0 to 3, RGB.
        The colour seen along the unit direction d from the camera's centre is `max(0, 0.5 + sum_k Y_k(d) sh_k)`,
        sRGB-encoded; Y_k in the order and with the signs of that paper's code.
    antialiased : bool
        Trained with the opacity lowered by what the blur of a pixel spreads (Yu et al., Mip-Splatting, CVPR 2024), and
        to be rendered so.
    """

    means: Any
    quaternions: Any
    log_scales: Any
    logit_opacities: Any
    sh: Any
    antialiased: bool = False

    def __post_init__(self) -> None:
        n = len(self.means)
        shapes = {
            "means": (n, 3),
            "quaternions": (n, 4),
            "log_scales": (n, 3),
            "logit_opacities": (n,),
            "sh": (n, *((k, 3) if (k := self.sh.shape[1]) in (1, 4, 9, 16) else (1, 3))),
        }
        for name, expected in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != expected:
                raise ValueError(f"{name}: expected the shape {expected}, got {found}")

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """0 to 3."""
        return {1: 0, 4: 1, 9: 2, 16: 3}[self.sh.shape[1]]
