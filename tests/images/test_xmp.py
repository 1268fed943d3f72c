"""What drones write: either spelling, either syntax, and how their gimbal says where down is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.images import DroneXmp, gimbal_gravity, read_drone_xmp

RTK = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:AltitudeType="RtkAlti"
 drone-dji:GpsLatitude="+46.1234567" drone-dji:GpsLongtitude='-8.7654321' drone-dji:AbsoluteAltitude="+612.31"
 drone-dji:RelativeAltitude="+60.02" drone-dji:RtkFlag="50" drone-dji:RtkStdLon="0.01200"
 drone-dji:RtkStdLat="0.01500" drone-dji:RtkStdHgt="0.02900" drone-dji:FlightYawDegree="+10.0"
 drone-dji:FlightPitchDegree="-3.0" drone-dji:FlightRollDegree="+1.5"/></x:xmpmeta>"""


def test_an_rtk_drone():
    assert read_drone_xmp(RTK) == DroneXmp(
        46.1234567, -8.7654321, 612.31, 60.02, None, (10.0, -3.0, 1.5), "fixed", 0.015, 0.029, True
    )


def test_elements_are_read_as_attributes_are():
    pairs = {"RelativeAltitude": "+40.1", "GimbalYawDegree": "-44.2", "GimbalPitchDegree": "-89.9"}
    elements = "".join(f"<drone-dji:{n}>{v}</drone-dji:{n}>" for n, v in pairs.items())
    found = read_drone_xmp(f'{elements}<a drone-dji:GimbalRollDegree="+0.00"></a>'.encode())
    assert found == DroneXmp(relative_altitude_m=40.1, gimbal_deg=(-44.2, -89.9, 0.0))


@pytest.mark.parametrize(
    ("flag", "meaning"), [("0", "none"), ("16", "single"), ("34", "float"), ("50", "fixed"), ("?", "")]
)
def test_rtk_flags(flag, meaning):
    assert read_drone_xmp(f'drone-dji:RtkFlag="{flag}"').rtk == meaning


def test_others_state_their_accuracy_too():
    found = read_drone_xmp('<x Camera:GPSXYAccuracy="0.02" Camera:GPSZAccuracy="0.04"/>')
    assert (found.horizontal_std_m, found.vertical_std_m) == (0.02, 0.04)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe",
        'drone-dji:GpsLatitude="946" drone-dji:GpsLongitude="8"',
        'drone-dji:RtkStdHgt="nan" drone-dji:RtkStdLon="0" drone-dji:GimbalYawDegree="3"',
    ],
)
def test_damaged_fields_are_left_out(packet):
    assert read_drone_xmp(packet) == DroneXmp()


ANGLES = st.tuples(st.floats(-180, 180), st.floats(-90, 30), st.floats(-180, 180))


@given(ANGLES)
def test_gravity_is_down_turned_into_the_camera(angles):
    yaw, pitch, roll = np.deg2rad(angles)

    def about(axis, angle):
        c, s = np.cos(angle), np.sin(angle)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
        return matrix

    ned_from_body = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    cam_from_body = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    expected = cam_from_body @ ned_from_body.T @ [0, 0, 1]
    np.testing.assert_allclose(gimbal_gravity(angles), expected, atol=1e-12)


def test_level_and_tilted_cameras():
    np.testing.assert_allclose(gimbal_gravity([123, 0, 0]), [0, 1, 0], atol=1e-12)  # level: down in the photo
    np.testing.assert_allclose(gimbal_gravity([0, -30, 0]), [0, np.sqrt(0.75), 0.5], atol=1e-12)


def test_values_that_cannot_be_are_left_out():
    wrong = RTK.replace("0.01200", "-1").replace("0.01500", "-1").replace("+612.31", "1e300")
    found = read_drone_xmp(wrong)
    assert found.horizontal_std_m is None and found.absolute_altitude_m is None
    assert found.vertical_std_m == 0.029
