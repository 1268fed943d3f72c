"""Cameras of every model for the property tests: lenses as they are made, and worse."""

import numpy as np
import pytest
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera

# Range of each distortion parameter. The perspective models look about 65 degrees wide, the others wider.
_RANGES: dict[str, list[tuple[float, float]]] = {
    "SIMPLE_PINHOLE": [],
    "PINHOLE": [],
    "SIMPLE_RADIAL": [(-0.4, 0.4)],
    "RADIAL": [(-0.4, 0.4), (-0.2, 0.2)],
    "OPENCV": [(-0.4, 0.4), (-0.2, 0.2), (-5e-3, 5e-3), (-5e-3, 5e-3)],
    "BROWN_CONRADY_5": [(-0.4, 0.4), (-0.2, 0.2), (-5e-3, 5e-3), (-5e-3, 5e-3), (-0.1, 0.1)],
    "FULL_OPENCV": [(-0.4, 0.4), (-0.2, 0.2), *[(-5e-3, 5e-3)] * 2, (-0.1, 0.1), *[(-0.2, 0.2)] * 3],
    "BROWN_CONRADY_12": [
        *[(-0.4, 0.4), (-0.2, 0.2), (-5e-3, 5e-3), (-5e-3, 5e-3), (-0.1, 0.1)],
        *[*[(-0.2, 0.2)] * 3, *[(-5e-3, 5e-3)] * 4],
    ],
    "SIMPLE_FISHEYE": [],
    "FISHEYE": [],
    "SIMPLE_RADIAL_FISHEYE": [(-0.1, 0.1)],
    "RADIAL_FISHEYE": [(-0.1, 0.1), (-0.05, 0.05)],
    "OPENCV_FISHEYE": [(-0.1, 0.1), (-0.05, 0.05), (-0.02, 0.02), (-0.01, 0.01)],
    "THIN_PRISM_FISHEYE": [
        (-0.1, 0.1),
        (-0.05, 0.05),
        *[(-5e-3, 5e-3)] * 2,
        (-0.02, 0.02),
        *[(-5e-3, 5e-3)] * 3,
    ],
    "RAD_TAN_THIN_PRISM_FISHEYE": [
        *[(-0.1, 0.1), (-0.05, 0.05), (-0.02, 0.02), (-0.01, 0.01), (-2e-3, 2e-3), (-5e-4, 5e-4)],
        *[(-3e-3, 3e-3)] * 6,
    ],
    "SIMPLE_DIVISION": [(-0.5, 0.5)],
    "DIVISION": [(-0.5, 0.5)],
    "FOV": [(0.1, 1.3)],
    "EUCM": [(0.0, 0.9), (0.5, 2.0)],
    "DOUBLE_SPHERE": [(-0.5, 0.5), (0.0, 0.9)],
}
assert set(_RANGES) == set(MODELS) - {"EQUIRECTANGULAR"}


@st.composite
def _camera(draw: st.DrawFn, model: str) -> Camera:
    width = draw(st.integers(320, 4000))
    height = draw(st.integers(width // 2, width))
    if model == "EQUIRECTANGULAR":
        return Camera(model, width, height, [width, height])
    wide = "FISHEYE" in model or model in ("FOV", "EUCM", "DOUBLE_SPHERE")
    focal = draw(st.floats(0.3, 0.8) if wide else st.floats(0.6, 1.5)) * width
    focals = [focal * draw(st.floats(0.95, 1.05)) for _ in MODELS[model].focal_params]
    centre = [draw(st.floats(0.45, 0.55)) * width, draw(st.floats(0.45, 0.55)) * height]
    # Rounded: a coefficient of 1e-300 is none.
    distortion = [round(draw(st.floats(*r)), 6) for r in _RANGES[model]]
    return Camera(model, width, height, [*focals, *centre, *distortion])


@pytest.fixture(scope="session")
def cameras():
    """Strategy of cameras of a model by its name."""
    return _camera


@pytest.fixture(scope="session")
def pixel_grid():
    """Pixels (N, 2) over the whole image of a camera, edges and corners included."""

    def grid(camera: Camera, across: int = 13, down: int = 11) -> np.ndarray:
        # The seam and the poles of the whole sphere are several pixels a direction.
        edge = 0.5 if camera.model == "EQUIRECTANGULAR" else 0.0
        x, y = np.meshgrid(
            np.linspace(edge, camera.width - edge, across), np.linspace(edge, camera.height - edge, down)
        )
        return np.stack([x.ravel(), y.ravel()], axis=1)

    return grid
