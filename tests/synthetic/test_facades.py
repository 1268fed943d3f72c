"""Photos of facades show them where the camera sees them."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.synthetic import Facade, house_poses, make_house, photograph_facades
from geo3d.synthetic.scenes import default_camera

CAMERAS = [
    Camera("OPENCV", 320, 240, [300.0, 298, 163, 118, -0.1, 0.02, 0.001, 0.0]),
    Camera("OPENCV_FISHEYE", 320, 240, [150.0, 150, 160, 120, 0.02, 0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda c: c.model)
def test_a_mark_is_where_the_camera_projects_it(camera):
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[96:104, 196:204] = 255  # its middle is at u = 2/3, v = 1/2
    board = Facade(np.array([-1.5, 4, 1]), np.array([3.0, 0.5, 0]), np.array([0.1, 0.2, -2.0]), picture)
    pose = look_at(np.array([0.3, -1.0, 0.4]), np.array([0.1, 4.0, 0.0]))
    (photo,) = photograph_facades([board], camera, [pose], samples=3, noise=0)
    weight = np.where(
        photo[..., 0] == 206, 0.0, photo[..., 0].astype(float)
    )  # the sky is not part of the mark
    y, x = np.mgrid[:240, :320] + 0.5
    weight[
        np.hypot(*(np.stack([x, y]) - camera.project(pose.act(_at(board, 2 / 3, 0.5)))[:, None, None])) > 20
    ] = 0
    centroid = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(centroid, camera.project(pose.act(_at(board, 2 / 3, 0.5))), atol=0.1)


def _at(facade, u, v):
    return facade.corner + u * facade.right + v * facade.down


def test_what_is_in_front_hides_what_is_behind():
    plain = [np.full((8, 8, 3), grey, np.uint8) for grey in (40, 200)]
    near, far = (
        Facade(np.array([-9.0, d, 9.0]), np.array([18.0, 0, 0]), np.array([0, 0, -18.0]), p)
        for d, p in zip((3, 5), plain)
    )
    pose = look_at(np.zeros(3), np.array([0.0, 1.0, 0.0]))
    for facades in ([near, far], [far, near]):
        (photo,) = photograph_facades(facades, CAMERAS[0], [pose], noise=0)
        assert (photo == 40).all()


def test_twins_look_alike_from_both_sides_and_a_house_does_not():
    there_and_opposite = house_poses(2, 20, 200)
    exact = [look_at(12 * np.array([s * 0.3, -s * 0.95, 0.2]), np.array([0, 0, 2.0])) for s in (1, -1)]
    for twins in (True, False):
        front, back = photograph_facades(make_house(twins), default_camera(), exact, noise=0)
        same = np.abs(front.astype(int) - back).mean()
        assert same < 3 if twins else same > 20
    assert np.linalg.norm(there_and_opposite[0].center() - there_and_opposite[1].center()) > 20


def test_the_same_seed_gives_the_same_photos():
    take = lambda seed: photograph_facades(make_house(seed=seed), CAMERAS[0], house_poses(3, 0, 30)[:1])[0]  # noqa: E731
    np.testing.assert_array_equal(take(1), take(1))
    assert (take(1) != take(2)).mean() > 0.5
