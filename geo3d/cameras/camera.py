"""A camera: model, image size and parameters. Points of the camera frame to pixels and back.

Camera frame: x right, y down, z forward, any unit of length. Pixels: x right, y down, the centre of the top-left
pixel is (0.5, 0.5). Angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from geo3d.cameras import evaluate, inverse
from geo3d.cameras.models import MODELS, CameraModel


@dataclass(frozen=True)
class Projection:
    """Pixels with their derivatives; rows where `valid` is false hold NaN."""

    pixels: np.ndarray  # (..., 2)
    valid: np.ndarray  # (...) bool
    d_point: np.ndarray  # (..., 2, 3), pixels per unit of length
    d_params: np.ndarray  # (..., 2, P)


@dataclass(frozen=True, eq=False, init=False)
class Camera:
    """A camera model with its parameters and image size.

    Parameters
    ----------
    model : str
        One of `geo3d.cameras.MODELS`: COLMAP's names, or DOUBLE_SPHERE, BROWN_CONRADY_5, BROWN_CONRADY_12, or a
        splined one by the name that tells its grid (`geo3d.cameras.splined`).
    width, height : int
        Image size, pixels.
    params : (P,) array_like
        In the order of `MODELS[model].param_names`, pixels for focal lengths and principal point.
    prior_focal : bool
        The focal length is known from elsewhere (EXIF, a calibration) and not a guess.

    Raises
    ------
    ValueError
        Unknown model, wrong number of parameters, a parameter that is not finite, a focal length or size that is
        not positive.

    Examples
    --------
    >>> camera = Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
    >>> camera.project([0.5, 0.5, 5.0])
    array([400., 320.])
    >>> camera.unproject([320.0, 240.0])
    array([0., 0., 1.])
    """

    model: str
    width: int
    height: int
    params: np.ndarray
    prior_focal: bool = False

    def __init__(
        self, model: str, width: int, height: int, params: ArrayLike, prior_focal: bool = False
    ) -> None:
        values = _checked(model, params)
        for name, size in (("width", width), ("height", height)):
            if int(size) != size or size <= 0:
                raise ValueError(f"{name}: expected a positive whole number of pixels, got {size!r}")
        values.flags.writeable = False
        for name, value in (
            ("model", model),
            ("width", int(width)),
            ("height", int(height)),
            ("params", values),
            ("prior_focal", bool(prior_focal)),
        ):
            object.__setattr__(self, name, value)

    @staticmethod
    def from_focal(model: str, width: int, height: int, focal: float, prior_focal: bool = False) -> Camera:
        """Camera with the principal point at the centre and no distortion.

        FOV starts at omega = 0.01 as COLMAP's does; EQUIRECTANGULAR has no focal length and takes the size.

        Parameters
        ----------
        model : str
            COLMAP's name, a key of `MODELS`.
        width, height : int
            Size of the image, pixels.
        focal : float
            Focal length in pixels, for x and y alike.
        prior_focal : bool
            Whether the focal length is from a source that can be trusted (COLMAP's flag).

        Raises
        ------
        ValueError
            If there is no such model, or the size or the focal length is not positive.
        """
        info = _known(model)
        if not info.focal_params:
            return Camera(model, width, height, [width, height], prior_focal)
        params = [focal] * len(info.focal_params) + [0.5 * width, 0.5 * height, *info.no_distortion]
        return Camera(model, width, height, params, prior_focal)

    @property
    def _info(self) -> CameraModel:
        return MODELS[self.model]

    @property
    def param_names(self) -> tuple[str, ...]:
        """Names of the parameters, in their order."""
        return self._info.param_names

    @property
    def model_id(self) -> int:
        """Integer of the model, COLMAP's or (from 1000) geo3d's own; what `geo3d.cameras.kernels` takes.

        Raises
        ------
        ValueError
            Of a splined lens, which the kernels don't know.
        """
        self._info.check_in_kernels()
        return self._info.id

    @property
    def focal(self) -> np.ndarray:
        """(2,) fx, fy, pixels; of an EQUIRECTANGULAR camera pixels per radian."""
        if not self._info.focal_params:
            return self.params / [2.0 * np.pi, np.pi]
        return self.params[list(self._info.focal_params)] * np.ones(2)

    @property
    def mean_focal(self) -> float:
        """Mean of fx and fy, pixels."""
        return float(self.focal.mean())

    @property
    def principal_point(self) -> np.ndarray:
        """(2,) cx, cy, pixels; of an EQUIRECTANGULAR camera the middle."""
        if not self._info.principal_params:
            return 0.5 * self.params
        return self.params[list(self._info.principal_params)]

    @property
    def K(self) -> np.ndarray:
        """(3, 3) calibration matrix of the focal lengths and principal point, without the distortion."""
        (fx, fy), (cx, cy) = self.focal, self.principal_point
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    @cached_property
    def max_angle(self) -> float:
        """Angle from the optical axis up to which the model is one to one, radians.

        There the distortion stops to increase, or the formula ends; pi / 2 for perspective models that do neither.
        """
        return inverse.max_angle(self._info, self.params)

    def project(self, points: Any) -> np.ndarray:
        """Pixels of points in the camera frame.

        Parameters
        ----------
        points : (..., 3) array_like

        Returns
        -------
        (..., 2) float64
            NaN where the point is not `valid`. Pixels outside the image are returned as they are.
        """
        flat, shape = _rows(points, 3, "points")
        pixels = evaluate.project(self._info, self.params, flat, self.max_angle)
        return pixels.reshape(*shape, 2)

    def project_with_jacobians(self, points: Any) -> Projection:
        """`project`, with the derivatives by the point and by the parameters.

        Parameters
        ----------
        points : (..., 3) array_like

        Returns
        -------
        Projection
        """
        flat, shape = _rows(points, 3, "points")
        pixels, d_point, d_params = evaluate.project_with_jacobians(
            self._info, self.params, flat, self.max_angle
        )
        return Projection(
            pixels.reshape(*shape, 2),
            ~np.isnan(pixels[:, 0]).reshape(shape),
            d_point.reshape(*shape, 2, 3),
            d_params.reshape(*shape, 2, len(self.params)),
        )

    def valid(self, points: Any) -> np.ndarray:
        """Whether points (..., 3) are in front of the camera and within `max_angle`; (...) bool."""
        return ~np.isnan(self.project(points)[..., 0])

    def unproject(self, pixels: Any) -> np.ndarray:
        """Unit bearings of pixels.

        Parameters
        ----------
        pixels : (..., 2) array_like

        Returns
        -------
        (..., 3) float64
            NaN for a pixel that no direction within `max_angle` reaches.
        """
        flat, shape = _rows(pixels, 2, "pixels")
        rays = inverse.unproject(
            self._info, self.params, flat, self.focal, self.principal_point, self.max_angle
        )
        return rays.reshape(*shape, 3)

    def with_params(self, params: ArrayLike) -> Camera:
        """The same camera with other parameters."""
        return Camera(self.model, self.width, self.height, params, self.prior_focal)

    def rescaled(self, width: int, height: int) -> Camera:
        """The camera of the resized image: pixel (u, v) becomes (u width / w, v height / h).

        Parameters
        ----------
        width, height : int
            New size of the image, pixels; w, h is the old one.

        Raises
        ------
        ValueError
            When the model has one focal length and the sizes differ in shape by more than rounding.
        """
        sx, sy = width / self.width, height / self.height
        params = self.params.copy()
        focal = list(self._info.focal_params)
        if len(focal) == 1 and abs(self.height * sx - height) > 1.0 and abs(self.width * sy - width) > 1.0:
            raise ValueError(
                f"width, height: {self.model} has one focal length, so {self.width} x {self.height} can't become "
                f"{width} x {height}; keep the shape, or use a model with fx and fy"
            )
        if not focal:
            params *= [sx, sy]
        else:
            params[focal] *= [sx, sy] if len(focal) == 2 else 0.5 * (sx + sy)
            params[list(self._info.principal_params)] *= [sx, sy]
        return replace(self, width=width, height=height, params=params)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of a part of the image: pixel (u, v) becomes (u - x, v - y).

        Parameters
        ----------
        x, y : int
            Top-left corner of the part, pixels from that of the image.
        width, height : int
            Size of the part.

        Raises
        ------
        ValueError
            For EQUIRECTANGULAR, which is always the whole sphere.
        """
        if not self._info.principal_params:
            raise ValueError(f"model: {self.model} is always the whole sphere and can't be cropped")
        params = self.params.copy()
        params[list(self._info.principal_params)] -= [x, y]
        return replace(self, width=width, height=height, params=params)

    def field_of_view(self) -> np.ndarray:
        """(3,) horizontal, vertical and diagonal field of view, radians.

        Between the image's edges through the principal point, and between the top-left and bottom-right corners;
        an edge that no ray reaches counts as `max_angle`.
        """
        if not self._info.principal_params:
            return np.array([2.0 * np.pi, np.pi, 2.0 * np.pi])
        cx, cy = self.principal_point
        ends = np.array(
            [
                [[0.0, cy], [self.width, cy]],
                [[cx, 0.0], [cx, self.height]],
                [[0.0, 0.0], [self.width, self.height]],
            ]
        )
        angle = evaluate.angles(self.unproject(ends).reshape(-1, 3)).reshape(3, 2)
        angle = np.where(np.isnan(angle), self.max_angle, angle)
        # Positive towards the second end, so that a principal point outside the image subtracts.
        direction = ends[:, 1] - ends[:, 0]
        side = np.sign(np.einsum("eij,ej->ei", ends - self.principal_point, direction))
        signed = side * angle
        return signed[:, 1] - signed[:, 0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Camera) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.model, self.width, self.height, tuple(self.params.tolist()), self.prior_focal


def _known(model: str) -> CameraModel:
    if model not in MODELS:
        raise ValueError(f"model: {model!r} is not a camera model; choose one of {', '.join(MODELS)}")
    return MODELS[model]


def _checked(model: str, params: ArrayLike) -> np.ndarray:
    """A copy of the parameters, if they can be those of the model."""
    info = _known(model)
    values = np.array(params, np.float64)
    names = ", ".join(info.param_names[:16]) + (", ..." if info.splined else "")
    if values.shape != (len(info.param_names),):
        raise ValueError(f"params: {model} takes {len(info.param_names)} ({names}), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"params: expected finite numbers for {names}, got {values.tolist()}")
    lengths = values[list(info.focal_params)] if info.focal_params else values
    if np.any(lengths <= 0.0):
        raise ValueError(f"params: the focal length of {model} has to be positive, got {values.tolist()}")
    return values


def _rows(array: Any, size: int, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Array (N, size) float64 and the shape of what is in front of the last axis."""
    values = np.asarray(array, np.float64)
    if values.ndim == 0 or values.shape[-1] != size:
        raise ValueError(f"{name}: expected shape (..., {size}), got {values.shape}")
    return values.reshape(-1, size), values.shape[:-1]
