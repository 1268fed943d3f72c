"""The camera models by name: COLMAP's ids and parameter orders, and those that COLMAP lacks (ids from 1000).

A model is one elementwise function, the single definition for NumPy and numba:

    valid = model(x, y, z, p, uv, d_point, d_params)

x, y, z is the point in the camera frame (x right, y down, z forward; any unit), p the parameters. The pixel goes
into `uv` (2, ...), its derivatives into `d_point` (2, 3, ...) and `d_params` (2, P, ...), unless these are None.
`valid` says where the formula is defined (elsewhere the outputs hold anything). Selects stand in place of branches,
so that the same lines run on arrays of points (NumPy, one column of `uv` a point) and on one point (numba, which
drops what stands under `d_point is not None` when it is None). The splined models are the exception: as many as there
are grids, made when they are asked for by name, and for NumPy alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from geo3d.cameras import brown, division, fisheye, pinhole, spherical, splined, wide

Lift = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
MaxAngle = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class CameraModel:
    """What the library knows of one model.

    Attributes
    ----------
    name, id : COLMAP's, or geo3d's own from 1000 on.
    param_names : in the order of the parameters.
    focal_params, principal_params, distortion_params : indices of the parameters of that kind.
    no_distortion : the distortion that is none, or as good as none.
    project : the definition.
    lift : (params, a, b, max_angle) to rays (3, N); a, b are pixels less the principal point, over the focal length.
    max_angle : (params) to the angle from the axis up to which `lift` is one to one, radians.
    warp_params : indices of what bends the radii (tangential, prism); unless these are zero, `lift` and `max_angle`
        know the rest only and are a first guess.
    """

    name: str
    id: int
    param_names: tuple[str, ...]
    focal_params: tuple[int, ...]
    principal_params: tuple[int, ...]
    distortion_params: tuple[int, ...]
    no_distortion: tuple[float, ...]
    project: Callable[..., Any]
    lift: Lift
    max_angle: MaxAngle
    warp_params: tuple[int, ...]

    def warped(self, params: np.ndarray) -> bool:
        """Whether these parameters bend the radii."""
        return bool(np.any(params[list(self.warp_params)]))

    @property
    def in_colmap(self) -> bool:
        """Whether COLMAP knows the model."""
        return self.id < 1000

    @property
    def splined(self) -> bool:
        """Whether it is one of `splined`, which no kernel knows."""
        return self.id == splined.MODEL_ID

    def check_in_kernels(self) -> None:
        """Raise ValueError, with the way out, where kernels don't know the model."""
        if self.splined:
            raise ValueError(
                f"the lens is splined ({self.name}): single cameras can have it, a reconstruction can't. Take the "
                "nearest of COLMAP's models, geo3d.cameras.nearest_colmap(camera).camera, or undistort the photos"
            )


def _model(
    name: str,
    number: int,
    param_names: str,
    project: Callable[..., Any],
    inverse: tuple[Lift, MaxAngle],
    no_distortion: tuple[float, ...] | None = None,
) -> CameraModel:
    names = tuple(param_names.split())
    focals = tuple(i for i, n in enumerate(names) if n in ("f", "fx", "fy"))
    principal = tuple(names.index(n) for n in ("cx", "cy") if n in names)
    rest = tuple(range(len(focals) + len(principal), len(names))) if focals else ()
    none = no_distortion if no_distortion is not None else (0.0,) * len(rest)
    warp = tuple(i for i in rest if names[i][0] in "ps")
    return CameraModel(name, number, names, focals, principal, rest, none, project, *inverse, warp)


def _angular(columns: slice | list[int]) -> tuple[Lift, MaxAngle]:
    """Inverse of a fisheye polynomial whose coefficients stand in these columns."""

    def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
        return fisheye.lift(p[columns], a, b, limit)

    def max_angle(p: np.ndarray) -> float:
        return fisheye.max_angle(p[columns])

    return lift, max_angle


_PINHOLE = (pinhole.lift, pinhole.max_angle)
_BROWN = (brown.lift, brown.max_angle)
_DIVISION = (division.lift, division.max_angle)
_EQUIDISTANT = _angular(slice(0, 0))

_ALL = (
    _model("SIMPLE_PINHOLE", 0, "f cx cy", pinhole.simple_pinhole, _PINHOLE),
    _model("PINHOLE", 1, "fx fy cx cy", pinhole.pinhole, _PINHOLE),
    _model("SIMPLE_RADIAL", 2, "f cx cy k", brown.simple_radial, _BROWN),
    _model("RADIAL", 3, "f cx cy k1 k2", brown.radial, _BROWN),
    _model("OPENCV", 4, "fx fy cx cy k1 k2 p1 p2", brown.opencv, _BROWN),
    _model("OPENCV_FISHEYE", 5, "fx fy cx cy k1 k2 k3 k4", fisheye.opencv_fisheye, _angular(slice(4, 8))),
    _model("FULL_OPENCV", 6, "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6", brown.full_opencv, _BROWN),
    _model(
        "FOV", 7, "fx fy cx cy omega", wide.fov, (wide.fov_lift, wide.fov_max_angle), no_distortion=(0.01,)
    ),
    _model("SIMPLE_RADIAL_FISHEYE", 8, "f cx cy k", fisheye.simple_radial_fisheye, _angular(slice(3, 4))),
    _model("RADIAL_FISHEYE", 9, "f cx cy k1 k2", fisheye.radial_fisheye, _angular(slice(3, 5))),
    _model(
        "THIN_PRISM_FISHEYE",
        10,
        "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
        fisheye.thin_prism_fisheye,
        _angular([4, 5, 8, 9]),
    ),
    _model(
        "RAD_TAN_THIN_PRISM_FISHEYE",
        11,
        "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3",
        fisheye.rad_tan_thin_prism_fisheye,
        _angular(slice(4, 10)),
    ),
    _model("SIMPLE_DIVISION", 12, "f cx cy k", division.simple_division, _DIVISION),
    _model("DIVISION", 13, "fx fy cx cy k", division.division, _DIVISION),
    _model("SIMPLE_FISHEYE", 14, "f cx cy", fisheye.simple_fisheye, _EQUIDISTANT),
    _model("FISHEYE", 15, "fx fy cx cy", fisheye.fisheye, _EQUIDISTANT),
    _model(
        "EUCM",
        16,
        "fx fy cx cy alpha beta",
        wide.eucm,
        (wide.eucm_lift, wide.eucm_max_angle),
        no_distortion=(0.0, 1.0),
    ),
    _model("EQUIRECTANGULAR", 17, "w h", spherical.equirectangular, (spherical.lift, spherical.max_angle)),
    _model(
        "DOUBLE_SPHERE",
        1000,
        "fx fy cx cy xi alpha",
        wide.double_sphere,
        (wide.double_sphere_lift, wide.double_sphere_max_angle),
    ),
    _model("BROWN_CONRADY_5", 1001, "fx fy cx cy k1 k2 p1 p2 k3", brown.brown_conrady_5, _BROWN),
    _model(
        "BROWN_CONRADY_12",
        1002,
        "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4",
        brown.brown_conrady_12,
        _BROWN,
    ),
)


@lru_cache(64)
def _splined(name: str) -> CameraModel:
    grid = splined.grid_of(name)
    names = grid.param_names
    knots = tuple(range(4, len(names)))
    return CameraModel(
        name,
        splined.MODEL_ID,
        names,
        (0, 1),
        (2, 3),
        knots,
        (0.0,) * len(knots),
        splined.splined(grid),
        splined.lift,
        splined.max_angle,
        knots,
    )


class _Models(dict[str, CameraModel]):
    """Models by name. Listed are those of a fixed number of parameters; held, the splined ones too."""

    def __missing__(self, name: str) -> CameraModel:
        return _splined(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or splined.is_name(name)


MODELS: dict[str, CameraModel] = _Models({model.name: model for model in _ALL})
MODELS_BY_ID: dict[int, CameraModel] = {model.id: model for model in _ALL}
