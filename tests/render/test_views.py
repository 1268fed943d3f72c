"""Scenes of each layout become posed views; what does not fit is refused by name."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.images import PhotoError
from geo3d.io import read_colmap, write_colmap, write_ply, write_transforms
from geo3d.render import load_views
from geo3d.render.views import scene_frame
from geo3d.scene import Points, Reconstruction, Track, View

CAMERA = Camera("PINHOLE", 32, 24, [30, 31, 16.5, 12.25])


def pose(number: int) -> SE3:
    return SE3(SO3.exp([0.1 * number, -0.2, 0.03 * number]).matrix, [0.1, 0.2 * number, 3.0])


def scene_of(count: int, camera: Camera = CAMERA) -> Reconstruction:
    views = {
        i + 1: View(f"a/{i:02}.png", 1, pose(i), np.zeros((4, 2)))
        for i in reversed(range(count))  # ids do not follow any dictionary's order
    }
    tracks = [
        Track(
            np.array([p, 0.5, 2.0]),
            np.array([p, 20, 30], np.uint8),
            0.5,
            np.array([1 + p % 2, 3]),
            np.array([p, p]),
        )
        for p in range(4)
    ]
    return Reconstruction({1: camera}, dict(sorted(views.items())), Points.from_tracks(tracks))


def write_photos(folder, names, size=(32, 24)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 30)).save(folder / name)


@pytest.fixture
def colmap_scene(tmp_path):
    model = scene_of(9)
    write_colmap(model, tmp_path / "sparse" / "0")
    write_photos(tmp_path / "images", [v.name for v in model.views.values()])
    return tmp_path


def test_the_world_of_a_scene_is_found_from_its_model_too(colmap_scene):
    (colmap_scene / "georeference.json").write_text('{"metres": true}')
    write_transforms(scene_of(9), colmap_scene / "transforms.json")
    write_colmap(scene_of(9), colmap_scene / "sparse" / "1")
    for place in ("", "sparse/0", "transforms.json"):
        assert scene_frame(colmap_scene / place).metric
    assert not scene_frame(colmap_scene / "sparse" / "1").metric


def test_a_colmap_scene(colmap_scene):
    found = load_views(colmap_scene)
    assert [v.name for v in found.held_out] == ["a/00.png", "a/08.png"]
    assert [v.name for v in found.views] == [f"a/{i:02}.png" for i in range(1, 8)]
    assert found.missing == ()
    assert found.points.tolist() == [[p, 0.5, 2.0] for p in range(4)]
    assert found.point_colors.tolist() == [[p, 20, 30] for p in range(4)]
    for view in found.views:
        number = int(view.name[2:4])
        assert view.camera == CAMERA
        np.testing.assert_allclose(view.cam_from_world.matrix4(), pose(number).matrix4(), atol=1e-12)
        assert view.photo == colmap_scene / "images" / view.name
    assert found.held_out[0].seen.tolist() == [0, 2]
    assert found.views[0].seen.tolist() == [1, 3]
    assert found.views[1].seen.tolist() == [0, 1, 2, 3]
    assert found.views[2].seen.tolist() == []


@pytest.mark.parametrize("inner", ["sparse/0", "sparse"])
def test_the_model_by_itself_is_the_scene(colmap_scene, inner):
    if inner == "sparse":
        for path in (colmap_scene / "sparse" / "0").iterdir():
            path.rename(colmap_scene / "sparse" / path.name)
    assert len(load_views(colmap_scene / inner).views) == 7


def test_how_many_are_held_out(colmap_scene):
    none = load_views(colmap_scene, hold_out_every=0)
    assert (len(none.views), none.held_out) == (9, [])
    third = load_views(colmap_scene, hold_out_every=3)
    assert [v.name[2:4] for v in third.held_out] == ["00", "03", "06"]
    for number in (1, -2):
        with pytest.raises(ValueError, match="hold_out_every"):
            load_views(colmap_scene, hold_out_every=number)


def test_transforms_give_the_same_views(colmap_scene):
    before = load_views(colmap_scene)
    write_transforms(read_colmap(colmap_scene / "sparse" / "0"), colmap_scene / "transforms.json")
    after = load_views(colmap_scene / "transforms.json")
    assert [v.name for v in after.views] == [v.name for v in before.views]
    for one, other in zip(before.views, after.views):
        assert one.camera == other.camera and one.photo == other.photo
        np.testing.assert_allclose(one.cam_from_world.matrix4(), other.cam_from_world.matrix4(), atol=1e-12)
    assert len(after.points) == 0 and after.points.shape == (0, 3) and after.point_colors.shape == (0, 3)


def blender_scene(folder, count=9, matrix=None):
    """As NeRF's synthetic scenes are: an angle, names without suffix, RGBA."""
    frames = []
    for number in range(count):
        name = f"./train/r_{number}"
        (folder / "train").mkdir(exist_ok=True)
        Image.new("RGBA", (40, 40), (9, 9, 9, 128)).save(folder / f"{name}.png")
        frames.append({"file_path": name, "rotation": 0.1, "transform_matrix": matrix or np.eye(4).tolist()})
    content = {"camera_angle_x": 0.7, "frames": frames}
    (folder / "transforms_train.json").write_text(json.dumps(content))


def test_a_blender_scene(tmp_path):
    blender_scene(tmp_path)
    found = load_views(tmp_path)
    assert len(found.views) == 7
    camera = found.views[0].camera
    assert camera.model == "PINHOLE"
    np.testing.assert_allclose(camera.params, [20 / np.tan(0.35), 20 / np.tan(0.35), 20, 20])
    # It looks along -z with y up, in ours along z with y down.
    np.testing.assert_allclose(found.views[0].cam_from_world.rotation, np.diag([1, -1, -1]))


def test_poses_that_are_none_are_refused_by_name(tmp_path):
    skewed = np.eye(4)
    skewed[0, 1] = 0.2
    blender_scene(tmp_path, 2, skewed.tolist())
    with pytest.raises(ValueError, match=r"frame 0.*train/r_0.*rotation"):
        load_views(tmp_path)
    mirrored = np.diag([1.0, 1.0, -1.0, 1.0])
    blender_scene(tmp_path, 2, mirrored.tolist())
    with pytest.raises(ValueError, match="rotation"):
        load_views(tmp_path)


def test_missing_photos_are_left_out_and_named(colmap_scene, caplog):
    for number in (1, 5):
        (colmap_scene / "images" / "a" / f"{number:02}.png").unlink()
    with caplog.at_level(logging.WARNING, "geo3d"):
        found = load_views(colmap_scene)
    assert found.missing == ("a/01.png", "a/05.png")
    assert "2 of 9 photos" in caplog.text and "a/05.png" in caplog.text
    names = [v.name for v in (*found.views, *found.held_out)]
    assert len(names) == 7 and "a/01.png" not in names


def test_photos_without_a_header_are_left_out_and_named(colmap_scene, tmp_path_factory, caplog):
    (colmap_scene / "images" / "a" / "03.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "geo3d"):
        found = load_views(colmap_scene)
    assert found.damaged == ("a/03.png",) and found.missing == ()
    assert "1 of 9 photos cannot be read" in caplog.text and "a/03.png" in caplog.text
    assert len(found.views) + len(found.held_out) == 8
    other = tmp_path_factory.mktemp("blender")  # here the photos alone tell their size
    blender_scene(other)
    (other / "train" / "r_4.png").write_bytes(b"")
    assert load_views(other).damaged == ("./train/r_4",)
    for photo in (colmap_scene / "images" / "a").iterdir():
        photo.write_bytes(b"")
    with pytest.raises(PhotoError, match=r"00\.png: the file is empty"):
        load_views(colmap_scene)
    for photo in (other / "train").iterdir():
        photo.write_bytes(b"")
    with pytest.raises(ValueError, match="tells no w and h"):
        load_views(other)


def test_no_photo_at_all(colmap_scene):
    (colmap_scene / "images").rename(colmap_scene / "photos")
    with pytest.raises(FileNotFoundError, match="images=FOLDER"):
        load_views(colmap_scene)
    assert len(load_views(colmap_scene, images=colmap_scene / "photos").views) == 7
    (colmap_scene / "images").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of its 9 photos.*a/00\.png"):
        load_views(colmap_scene)


def test_a_photo_of_another_size_is_refused(colmap_scene):
    write_photos(colmap_scene / "images", ["a/04.png"], (16, 12))
    with pytest.raises(ValueError, match=r"a/04\.png is 16x12.*32x24.*resized"):
        load_views(colmap_scene)
    write_photos(colmap_scene / "images", ["a/04.png"], (24, 32))
    with pytest.raises(ValueError, match="turned"):
        load_views(colmap_scene)


def test_masks_are_found(colmap_scene):
    write_photos(colmap_scene / "masks", ["a/03.png.png", "a/04.png"])
    masks = {v.name: v.mask for v in load_views(colmap_scene, hold_out_every=0).views}
    assert masks.pop("a/03.png") == colmap_scene / "masks" / "a" / "03.png.png"
    assert masks.pop("a/04.png") == colmap_scene / "masks" / "a" / "04.png"
    assert set(masks.values()) == {None}


def test_what_is_no_scene(tmp_path):
    with pytest.raises(FileNotFoundError, match="no scene in"):
        load_views(tmp_path)
    (tmp_path / "transforms.json").write_text('{"fl_x": 1, "frames": []}')
    with pytest.raises(ValueError, match="no photo with a pose"):
        load_views(tmp_path)


def test_which_way_is_up(colmap_scene, tmp_path_factory):
    """A model of COLMAP does not tell; scenes of geo3d and transforms.json have z up."""
    assert load_views(colmap_scene).up is None
    (colmap_scene / "georeference.json").write_text("{}")
    for scene in (colmap_scene, colmap_scene / "sparse" / "0"):
        assert load_views(scene, images=colmap_scene / "images").up.tolist() == [0, 0, 1]
    other = tmp_path_factory.mktemp("blender")
    blender_scene(other, 2)
    assert load_views(other).up.tolist() == [0, 0, 1]


def test_points_alone_are_no_scene(tmp_path):
    write_ply(tmp_path / "points.ply", np.zeros((3, 3)))
    with pytest.raises(ValueError, match="points only"):
        load_views(tmp_path / "points.ply")


def test_one_view_is_trained_on(tmp_path):
    blender_scene(tmp_path, 1)
    found = load_views(tmp_path)
    assert len(found.views) == 1 and found.held_out == []


@pytest.mark.realdata
def test_real_scenes(real_data):
    lego = load_views(real_data / "nerf" / "lego")
    assert (len(lego.views), len(lego.held_out)) == (87, 13)
    fox = load_views(real_data / "nerf" / "fox")
    assert (len(fox.views), len(fox.held_out), len(fox.missing)) == (43, 7, 17)
