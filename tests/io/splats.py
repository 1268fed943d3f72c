"""Made-up Gaussians for the tests of their files."""

import numpy as np

from geo3d.geometry import EnuFrame
from geo3d.io import WorldFrame
from geo3d.scene import Gaussians

FRAME = WorldFrame(True, EnuFrame(46.6412, 8.0312, 1420.0), "EPSG:32632", (425832.25, 5165960.125, 1420.0))
PARTS = ("means", "quaternions", "log_scales", "logit_opacities", "sh")


def make_gaussians(seed: int, count: int = 9, degree: int = 3, antialiased: bool = False) -> Gaussians:
    """As a trained scene has them: centres in a few metres, sizes from millimetres to a metre, every opacity."""
    rng = np.random.default_rng(seed)
    sh = rng.normal(0, 0.15, (count, (degree + 1) ** 2, 3))
    sh[:, 0] = rng.normal(0, 0.8, (count, 3))
    parts = (
        rng.normal(0, 3, (count, 3)),
        rng.normal(size=(count, 4)),
        rng.uniform(-7, 0, (count, 3)),
        rng.normal(0, 3, count),
        sh,
    )
    return Gaussians(*(part.astype(np.float32) for part in parts), antialiased)


def assert_same(a: Gaussians, b: Gaussians) -> None:
    """Every number is equal."""
    assert a.antialiased == b.antialiased
    for name in PARTS:
        found, expected = getattr(a, name), getattr(b, name)
        assert found.dtype == np.float32 and found.flags.c_contiguous, name
        assert np.array_equal(found, expected), name
