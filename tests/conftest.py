"""What all tests share: where real photos are, and how Hypothesis behaves."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Compilation of a kernel inside an example would trip any deadline; the seed is fixed so that a run can be repeated.
settings.register_profile("geo3d", deadline=None, derandomize=True)
settings.load_profile("geo3d")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real photographs: GEO3D_DATA, or `../shared/data` beside the repository."""
    named = os.environ.get("GEO3D_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real photos: {folder} is not there (set GEO3D_DATA)")
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Commands configure the log of geo3d for their process; the next test finds it as the library leaves it."""
    logger = logging.getLogger("geo3d")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
