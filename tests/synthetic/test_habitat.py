"""The habitat: its truth is exact, its photos say what a camera would, and it is the same every time."""

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.io import read_colmap
from geo3d.synthetic import HabitatOptions, habitat_depth, habitat_view, look_at, render_habitat
from geo3d.synthetic.habitat import make_habitat, render_depth
from geo3d.synthetic.photos import habitat_poses
from geo3d.synthetic.place import MEADOW, enu_to_geodetic

SMALL = HabitatOptions(photos=3, width=96, height=72, samples=1, gps_sigma_m=0.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("habitat")
    return folder, render_habitat(folder, SMALL)


def gps_of(path):
    tags = Image.open(path).getexif().get_ifd(0x8825)

    def angle(value):
        return float(value[0]) + float(value[1]) / 60 + float(value[2]) / 3600

    assert tags[1] == "N" and tags[3] == "E" and tags[5] == b"\x00"
    return np.array([angle(tags[2]), angle(tags[4]), float(tags[6])])


def metres(error_degrees):
    return error_degrees * [111_170.0, 111_320.0 * np.cos(np.deg2rad(MEADOW[0])), 1.0]


@pytest.mark.parametrize("path", ["orbit", "drone", "walk"])
def test_what_one_view_sees_another_sees_there_or_something_nearer(path):
    camera = Camera("OPENCV", 120, 90, [85.0, 86, 61, 44, -0.15, 0.03, 0.002, -0.001])
    first, second = habitat_poses(path, 12)[4:6]
    habitat = make_habitat(0)
    x, y = np.meshgrid(np.arange(2.5, 120, 5), np.arange(2.5, 90, 5))
    rays = camera.unproject(np.stack([x, y], axis=-1))
    depth = render_depth(habitat, rays, first)
    near = np.isfinite(depth) & (depth < 60)
    world = first.inverse().act(rays[near] * (depth[near] / rays[near][:, 2])[:, None])
    local = second.act(world)
    pixels = camera.project(local)
    seen = np.all((pixels > 0) & (pixels < [120, 90]), axis=1)
    again = render_depth(habitat, camera.unproject(pixels[seen])[None], second)[0]
    excess = again - local[seen, 2]
    # 0.01 px of depth at this focal length: nobody sees through what the other has hit
    assert excess.max() < 1e-4
    assert np.mean(np.abs(excess) < 1e-4) > 0.5 and seen.sum() > 80


def test_depth_map_is_at_pixel_centres(photos):
    _, truth = photos
    depth = habitat_depth(truth, truth.names[1])
    ray = truth.camera.unproject(np.array([[[30.5, 60.5]]]))
    assert depth.shape == (72, 96)
    assert depth[60, 30] == render_depth(make_habitat(0), ray, truth.poses[1])[0, 0]
    with pytest.raises(ValueError, match="no photo named 'x'"):
        habitat_depth(truth, "x")


def test_exif_holds_position_and_focal_length(photos):
    folder, truth = photos
    for name, pose in zip(truth.names, truth.poses):
        expected = enu_to_geodetic(-pose.rotation.T @ pose.translation, truth.origin)
        np.testing.assert_allclose(metres(gps_of(folder / name) - expected), 0, atol=0.002)
    exif = Image.open(folder / truth.names[0]).getexif()
    detail = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x0110]) == ("geo3d", "Habitat")
    assert abs(detail[0xA405] / 36 * 96 - truth.camera.mean_focal) < 1.0
    assert abs(float(detail[0x920A]) / 6.4 * 96 - truth.camera.mean_focal) < 0.01


def test_truth_is_written_as_a_colmap_model(tmp_path):
    options = HabitatOptions(path="walk", photos=2, width=32, height=24, samples=1, gps_sigma_m=None)
    truth = render_habitat(tmp_path / "photos", options, truth_folder=tmp_path / "truth")
    model = read_colmap(tmp_path / "truth")
    assert model.cameras == {1: truth.camera}
    for name, pose in zip(truth.names, truth.poses):
        np.testing.assert_allclose(model.view_named(name).cam_from_world.rotation, pose.rotation, atol=1e-12)
        assert not Image.open(tmp_path / "photos" / name).getexif().get_ifd(0x8825)


def test_fisheye_and_panorama_are_photographed_too():
    pose = look_at(np.array([2.0, -9.0, 1.7]), np.array([0.0, 0.0, 1.7]))
    wide = habitat_view(Camera("OPENCV_FISHEYE", 40, 40, [9.0, 9, 20, 20, 0, 0, 0, 0]), pose, samples=1)
    panorama = habitat_view(Camera("EQUIRECTANGULAR", 80, 40, [80.0, 40.0]), pose, samples=1)
    assert wide[20, 20].any() and panorama.std() > 20
    above, below = panorama[:8].mean(axis=(0, 1)), panorama[-8:].mean(axis=(0, 1))
    assert above[2] > above[0] and below[2] < below[1]  # blue above, green below


def test_gps_is_as_noisy_as_asked(tmp_path):
    options = HabitatOptions(photos=40, width=16, height=16, samples=1, gps_sigma_m=2.0)
    truth = render_habitat(tmp_path, options)
    expected = [enu_to_geodetic(-p.rotation.T @ p.translation, truth.origin) for p in truth.poses]
    error = np.array([metres(gps_of(tmp_path / n) - e) for n, e in zip(truth.names, expected)])
    assert (np.abs(error.std(axis=0) / [2, 2, 4] - 1) < 0.35).all()


def test_enu_of_small_steps_is_metres():
    step = metres(enu_to_geodetic(np.array([[0, 100.0, 0], [100.0, 0, 0], [0, 0, 100]]), MEADOW) - MEADOW)
    np.testing.assert_allclose(step[[0, 1, 2], [0, 1, 2]], 100, atol=0.4)
    np.testing.assert_allclose(enu_to_geodetic(np.zeros(3), MEADOW), MEADOW, atol=1e-9)


def test_the_same_seed_gives_the_same_files_whatever_the_threads(photos, tmp_path, monkeypatch):
    folder, truth = photos
    monkeypatch.setattr("geo3d.util.threads.cpu_count", lambda: 5)
    make_habitat.cache_clear()
    render_habitat(tmp_path, SMALL)
    for name in truth.names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_ridge_of_the_hut_is_where_the_distorted_camera_puts_it(photos):
    """Along the upper edge of the ridge beam the blue of the sky ends where the edge projects to."""
    landmarks = photos[1].landmarks
    camera = Camera("OPENCV", 240, 180, [150.0, 150, 120, 90, -0.25, 0.04, 0.003, -0.002])
    straight = Camera("PINHOLE", 240, 180, [150.0, 150, 120, 90])
    pose = look_at(np.array([0.5, -8.0, 1.7]), np.array([0.3, 0.0, 1.2]))
    image = habitat_view(camera, pose, samples=3).astype(np.float64)
    blue = image[..., 2] - image[..., 0]
    edge = landmarks[0] + np.linspace(0.2, 0.62, 40)[:, None] * (landmarks[1] - landmarks[0])

    def offsets(model):
        found = []
        for x, y in model.project(pose.act(edge)):
            column = blue[:, int(x)]
            rows = np.arange(int(y) - 6, int(y) + 7)
            jump = column[rows] - column[rows + 1]
            found.append(rows[jump.argmax()] + 1.0 - y)
        return np.median(np.abs(found))

    assert offsets(camera) < 0.75
    assert offsets(straight) > 2.0


def test_photos_look_like_a_place(photos):
    folder, truth = photos
    image = np.asarray(Image.open(folder / truth.names[0])).astype(float)
    assert image.shape == (72, 96, 3)
    assert 70 < image.mean() < 160 and image.std() > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "swim"}, "path is 'swim'"),
        ({"photos": 0}, "at least 1"),
        ({"width": 3}, "16 x 16"),
        ({"noise": -1.0}, "negative"),
        ({"quality": 0}, "quality: expected"),
        ({"quality": 101}, "quality: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HabitatOptions(**options)
