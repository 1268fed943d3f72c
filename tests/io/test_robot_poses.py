"""Tables of robot poses: read as they are meant, refused with the line where they are not."""

import numpy as np
import pytest

from geo3d.geometry import SE3, SO3
from geo3d.io import read_robot_poses

HEADER = "photo,x,y,z,qw,qx,qy,qz"


def test_poses_come_back(tmp_path):
    rng = np.random.default_rng(0)
    poses = {f"a {i}, b.jpg": SE3(SO3.exp(rng.normal(size=3)).matrix, rng.normal(size=3)) for i in range(5)}
    lines = [
        ",".join([f'"{name}"', *map(str, [*p.translation, *p.quaternion()])]) for name, p in poses.items()
    ]
    path = tmp_path / "robot.csv"
    path.write_bytes(("\ufeff" + "\r\n".join(["# arm 2", HEADER, "", *lines]) + "\r\n").encode())
    found = read_robot_poses(path)
    assert list(found) == list(poses)
    for name, pose in poses.items():
        np.testing.assert_allclose(found[name].matrix4(), pose.matrix4(), atol=1e-12)


def test_columns_may_stand_in_any_order_with_others_between(tmp_path):
    path = tmp_path / "robot.csv"
    path.write_text("time, qx,qy,qz,qw, x,y,z, photo\n17, 0,0,0.70711,0.70711, 1,2,3, a.jpg\n")
    pose = read_robot_poses(path)["a.jpg"]
    np.testing.assert_allclose(pose.act([1, 0, 0]), [1, 3, 3], atol=1e-12)  # a quarter turn about z


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing photo, x"),
        ("photo,x,y,z,rx,ry,rz\n", r"line 1: expected the columns .* missing qw, qx, qy, qz"),
        (HEADER + "\n", "expected a line for each photo"),
        (HEADER + "\na,0,0,0,1,0,0\n", "line 2: expected 8 values as the first line has, found 7"),
        (HEADER + "\na,0,0,zero,1,0,0,0\n", "line 2: expected numbers for the pose, found '0 0 zero"),
        (HEADER + "\na,0,0,nan,1,0,0,0\n", "line 2: expected finite numbers"),
        (HEADER + "\na,0,0,0,90,0,45,0\n", "line 2: .*a quaternion .* of length 100.6"),
        (
            HEADER + "\na,0,0,0,1,0,0,0\n\na,0,0,0,1,0,0,0\n",
            "line 4: expected one line a photo, found 'a' again",
        ),
        (HEADER + "\n" + 200_000 * "a", "line 2: expected values between commas, found a field larger"),
        (HEADER + "\n,0,0,0,1,0,0,0\n", "line 2: expected one line a photo, found '' as its name"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(tmp_path, text, message):
    path = tmp_path / "robot.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"robot\.csv.*{message}"):
        read_robot_poses(path)
