"""Camera models inside numba kernels: dispatch by integer id to the definitions that NumPy runs too.

    ok = project(model_id, params, x, y, z, uv)
    ok = project_with_jacobians(model_id, params, x, y, z, uv, d_point, d_params)

`params` is a float64 row with at least the model's count of values, `uv` (2,), `d_point` (2, 3) and `d_params`
(2, MAX_PARAMS) are buffers that are written over (d_params: only the model's columns). The result says whether the
formula is defined there: in front of a perspective camera, inside the domain of the others; where it is not, the
buffers hold anything. The kernels do not ask whether the lens still maps one to one at that angle: that bound,
`Camera.max_angle`, needs the roots of a polynomial and is computed once a camera.
"""

from geo3d.cameras import brown, division, fisheye, pinhole, spherical, wide
from geo3d.util.jit import njit

MAX_PARAMS = 16

# Nothing here allocates, and counting references of the four arrays at every call takes longer than the
# projection itself (90 ns to 10 ns): "_nrt" leaves that out.
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}

_simple_pinhole = njit(**_OPTIONS)(pinhole.simple_pinhole)
_pinhole = njit(**_OPTIONS)(pinhole.pinhole)
_simple_radial = njit(**_OPTIONS)(brown.simple_radial)
_radial = njit(**_OPTIONS)(brown.radial)
_opencv = njit(**_OPTIONS)(brown.opencv)
_full_opencv = njit(**_OPTIONS)(brown.full_opencv)
_brown_conrady_5 = njit(**_OPTIONS)(brown.brown_conrady_5)
_brown_conrady_12 = njit(**_OPTIONS)(brown.brown_conrady_12)
_simple_fisheye = njit(**_OPTIONS)(fisheye.simple_fisheye)
_fisheye = njit(**_OPTIONS)(fisheye.fisheye)
_simple_radial_fisheye = njit(**_OPTIONS)(fisheye.simple_radial_fisheye)
_radial_fisheye = njit(**_OPTIONS)(fisheye.radial_fisheye)
_opencv_fisheye = njit(**_OPTIONS)(fisheye.opencv_fisheye)
_thin_prism_fisheye = njit(**_OPTIONS)(fisheye.thin_prism_fisheye)
_rad_tan_thin_prism_fisheye = njit(**_OPTIONS)(fisheye.rad_tan_thin_prism_fisheye)
_simple_division = njit(**_OPTIONS)(division.simple_division)
_division = njit(**_OPTIONS)(division.division)
_fov = njit(**_OPTIONS)(wide.fov)
_eucm = njit(**_OPTIONS)(wide.eucm)
_double_sphere = njit(**_OPTIONS)(wide.double_sphere)
_equirectangular = njit(**_OPTIONS)(spherical.equirectangular)


# One exit, the common models first: so the chain costs nothing and compiles once a caller.
@njit(**_OPTIONS)
def _dispatch_rest(model_id, p, x, y, z, uv, d_point, d_params):
    ok = False
    if model_id == 5:
        ok = _opencv_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 6:
        ok = _full_opencv(x, y, z, p, uv, d_point, d_params)
    elif model_id == 7:
        ok = _fov(x, y, z, p, uv, d_point, d_params)
    elif model_id == 8:
        ok = _simple_radial_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 9:
        ok = _radial_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 10:
        ok = _thin_prism_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 11:
        ok = _rad_tan_thin_prism_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 12:
        ok = _simple_division(x, y, z, p, uv, d_point, d_params)
    elif model_id == 13:
        ok = _division(x, y, z, p, uv, d_point, d_params)
    elif model_id == 14:
        ok = _simple_fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 15:
        ok = _fisheye(x, y, z, p, uv, d_point, d_params)
    elif model_id == 16:
        ok = _eucm(x, y, z, p, uv, d_point, d_params)
    elif model_id == 17:
        ok = _equirectangular(x, y, z, p, uv, d_point, d_params)
    elif model_id == 1000:
        ok = _double_sphere(x, y, z, p, uv, d_point, d_params)
    elif model_id == 1001:
        ok = _brown_conrady_5(x, y, z, p, uv, d_point, d_params)
    elif model_id == 1002:
        ok = _brown_conrady_12(x, y, z, p, uv, d_point, d_params)
    return ok


@njit(**_OPTIONS)
def _dispatch(model_id, p, x, y, z, uv, d_point, d_params):
    ok = False
    if model_id == 0:
        ok = _simple_pinhole(x, y, z, p, uv, d_point, d_params)
    elif model_id == 1:
        ok = _pinhole(x, y, z, p, uv, d_point, d_params)
    elif model_id == 2:
        ok = _simple_radial(x, y, z, p, uv, d_point, d_params)
    elif model_id == 3:
        ok = _radial(x, y, z, p, uv, d_point, d_params)
    elif model_id == 4:
        ok = _opencv(x, y, z, p, uv, d_point, d_params)
    else:
        ok = _dispatch_rest(model_id, p, x, y, z, uv, d_point, d_params)
    return ok


@njit(**_OPTIONS)
def project(model_id, params, x, y, z, uv):
    """Pixel of the point (x, y, z) of the camera frame into `uv` (2,); False where it is not defined."""
    return _dispatch(model_id, params, x, y, z, uv, None, None)


@njit(**_OPTIONS)
def project_with_jacobians(model_id, params, x, y, z, uv, d_point, d_params):
    """`project`, with the derivatives by the point into (2, 3) and by the parameters into (2, MAX_PARAMS)."""
    return _dispatch(model_id, params, x, y, z, uv, d_point, d_params)
