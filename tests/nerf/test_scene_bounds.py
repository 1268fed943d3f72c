"""Which part of the world a field covers."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.nerf.scene_bounds import FAR_SIDES, NEAR_SHARE, scene_bounds
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render import load_views
from tests.nerf.scenes import CENTERS, RADII, write_scene

OPTIONS = TrainingOptions()


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return {
        alpha: load_views(write_scene(tmp_path_factory.mktemp("s") / "scene", alpha=alpha))
        for alpha in (True, False)
    }


def test_photos_with_alpha_give_the_cube_around_what_they_show(views):
    found = scene_bounds(views[True], OPTIONS)
    assert not found.box.unbounded and found.far == np.inf and not found.near.any()
    low, high = (CENTERS - RADII[:, None]).min(axis=0), (CENTERS + RADII[:, None]).max(axis=0)
    at = np.array(found.box.center)
    assert (at - found.box.side / 2 < low + 0.05).all() and (at + found.box.side / 2 > high - 0.05).all()
    assert found.box.side < 1.6 * (high - low).max()


def test_without_alpha_and_points_the_cube_reaches_to_the_cameras(views):
    found = scene_bounds(views[False], OPTIONS)
    assert found.box.unbounded and found.far == FAR_SIDES * found.box.side
    np.testing.assert_allclose(found.box.center, 0, atol=1e-6)
    assert 2 * 2.4 < found.box.side < 2 * 2.8
    assert 0 < found.nearest < 0.3


def test_sparse_points_say_where_rays_begin_and_what_is_in_the_cube(views):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-0.5, 0.5, (200, 3)), rng.uniform(-30, 30, (10, 3))])
    with_points = replace(views[False], points=points, point_colors=np.zeros((210, 3), np.uint8))
    found = scene_bounds(with_points, OPTIONS)
    assert found.box.unbounded and 0.8 < found.box.side < 1.3
    seen = [replace(view, seen=np.arange(100)) for view in with_points.views]
    found = scene_bounds(replace(with_points, views=seen), OPTIONS)
    for view, near in zip(seen, found.near):
        ranges = np.linalg.norm(view.cam_from_world.act(points[:100]), axis=1)
        assert NEAR_SHARE * ranges.min() <= near <= NEAR_SHARE * np.median(ranges)


def test_points_that_are_nowhere_do_not_count(views):
    points = np.full((100, 3), np.nan)
    broken = replace(views[False], points=points, point_colors=np.zeros((100, 3), np.uint8))
    found = scene_bounds(broken, OPTIONS)
    assert np.isfinite(found.near).all() and found.box.side > 4
