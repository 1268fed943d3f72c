"""OpenDroneMap's list of control points: what is read, and what is told about a wrong line."""

import numpy as np
import pytest

from geo3d.sfm import match_photos_of_control, read_ground_control
from geo3d.sfm.georeference_crs import UtmZone

UTM = UtmZone(15, True)


def write(tmp_path, *lines):
    path = tmp_path / "gcp_list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_points_clicks_and_check_points(tmp_path):
    path = write(
        tmp_path,
        "EPSG:32615",
        "# a comment",
        "576600.5 5188600.25 183.1 100 200 a.jpg gcp1",
        "576600.5 5188600.25 183.1 110.5 210.25 b.jpg gcp1",
        "",
        "576700.0 5188700.00 184.0 50 60 a.jpg gcp2 check",
        "576700.0 5188700.00 184.0 55 65 c.jpg gcp2 made by hand",
    )
    control = read_ground_control(path)
    first, second = control.points
    assert (first.name, first.check, second.name, second.check) == ("gcp1", False, "gcp2", True)
    np.testing.assert_allclose(UTM.from_geodetic(first.geodetic), [576600.5, 5188600.25, 183.1], atol=1e-6)
    assert set(first.clicks) == {"a.jpg", "b.jpg"} and set(second.clicks) == {"a.jpg", "c.jpg"}


def test_the_half_pixel_is_added_once(tmp_path):
    """The middle of OpenDroneMap's top-left pixel is (0, 0), geo3d's is (0.5, 0.5)."""
    control = read_ground_control(
        write(tmp_path, "EPSG:4326", "8 46 1400 0 0 a.jpg", "8 46 1400 99 49.5 b.jpg")
    )
    (point,) = control.points
    np.testing.assert_array_equal(point.clicks["a.jpg"], [0.5, 0.5])
    np.testing.assert_array_equal(point.clicks["b.jpg"], [99.5, 50.0])
    np.testing.assert_allclose(point.geodetic, [46, 8, 1400])


def test_points_without_a_name_are_those_of_one_place(tmp_path):
    lines = ["8.1 46 5 1 1 a.jpg", "8.2 46 5 2 2 a.jpg", "8.1 46 5 3 3 b.jpg"]
    control = read_ground_control(write(tmp_path, "EPSG:4326", *lines))
    assert [(p.name, sorted(p.clicks)) for p in control.points] == [
        ("point 1", ["a.jpg", "b.jpg"]),
        ("point 2", ["a.jpg"]),
    ]


def test_names_with_blanks_between_tabs(tmp_path):
    line = "\t".join(["8", "46", "5", "1", "2", "my photo 1.jpg", "the well", "CHECK"])
    (point,) = read_ground_control(write(tmp_path, "EPSG:4326", line)).points
    assert point.name == "the well" and point.check and list(point.clicks) == ["my photo 1.jpg"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["EPSG:32615"], "no points"),
        (["8 46 5 1 2 a.jpg"], "line 1: .*names no coordinate system"),
        (["EPSG:32615", "1 2 3 4 5"], "line 2: expected 'x y z im_x im_y photo"),
        (["EPSG:32615", "1 2 here 4 5 a.jpg"], "line 2: expected five numbers.*here"),
        (["EPSG:32615", "1 2 nan 4 5 a.jpg"], "line 2: the numbers must be finite"),
        (
            ["EPSG:4326", "8 46 5 1 2 a.jpg A", "8 46 6 1 2 b.jpg A"],
            "line 3: 'A' lies elsewhere than in line 2",
        ),
        (
            ["EPSG:4326", "8 46 5 1 2 a.jpg A", "8 46 5 9 9 a.jpg A"],
            "line 3: a.jpg shows the same point twice",
        ),
        (["EPSG:4326", "8,46,5,1,2,a.jpg,A"], "line 2: found commas; .* by blanks or tabs, not commas"),
        (["EPSG:4326", "8, 46, 5, 1, 2, a.jpg"], "line 2: found commas"),
        (["EPSG:4326", "576600 5188600 5 1 2 a.jpg A"], "no place in WGS 84"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, lines, words):
    with pytest.raises(ValueError, match=words):
        read_ground_control(write(tmp_path, *lines))


def test_photos_are_found_by_their_last_name(tmp_path):
    lines = ["8 46 5 1 1 DJI_1.JPG A", "8 46 5 1 1 images/two.jpg A", "8 46 5 1 1 gone.jpg A"]
    control = read_ground_control(write(tmp_path, "EPSG:4326", *lines))
    found = match_photos_of_control(control, ["flight/dji_1.jpg", "two.jpg", "other.jpg"])
    assert sorted(found.points[0].clicks) == ["flight/dji_1.jpg", "two.jpg"]
    assert found.missing == ["gone.jpg"]
    phone = read_ground_control(write(tmp_path, "EPSG:4326", "8 46 5 1 1 IMG_7.HEIC A"))
    assert list(match_photos_of_control(phone, ["IMG_7.HEIC.jpg"]).points[0].clicks) == ["IMG_7.HEIC.jpg"]
    with pytest.raises(ValueError, match=r"may be 'a/DJI_1\.JPG' or 'b/DJI_1\.JPG'"):
        match_photos_of_control(control, ["a/DJI_1.JPG", "b/DJI_1.JPG"])
    with pytest.raises(ValueError, match="none of the 3 photos"):
        match_photos_of_control(control, ["x.jpg"])


def test_check_without_a_name_is_an_unnamed_check_point(tmp_path):
    lines = [
        "8 46 5 1 1 a.jpg check",
        "8 46 5 1 1 b.jpg Check",
        "8.1 46 5 3 3 a.jpg check",
        "8.2 46 5 3 3 a,b.jpg",
    ]
    points = read_ground_control(write(tmp_path, "EPSG:4326", *lines)).points
    assert [(p.name, p.check, len(p.clicks)) for p in points] == [
        ("point 1", True, 2),
        ("point 2", True, 1),
        ("point 3", False, 1),
    ]


def test_two_names_of_one_photo(tmp_path):
    same = ["8 46 5 1 1 a.jpg A", "8 46 5 1 1 images/a.jpg A", "8.1 46 5 2 2 images/a.jpg B"]
    control = match_photos_of_control(read_ground_control(write(tmp_path, "EPSG:4326", *same)), ["a.jpg"])
    assert [list(p.clicks) for p in control.points] == [["a.jpg"], ["a.jpg"]]
    other = read_ground_control(write(tmp_path, "EPSG:4326", same[0], "8 46 5 1 9 images/a.jpg A"))
    with pytest.raises(
        ValueError, match=r"marks A twice in the photo 'a\.jpg', which it calls 'a\.jpg' and 'images/a\.jpg'"
    ):
        match_photos_of_control(other, ["a.jpg"])


def test_degrees_where_metres_are_meant_are_refused(tmp_path):
    with pytest.raises(ValueError, match="east or longitude"):
        read_ground_control(write(tmp_path, "EPSG:32615", "1e13 1e13 5 1 2 a.jpg A"))
