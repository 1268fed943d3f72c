"""EXIF that we write with Pillow is read back; the first camera is what the lens and sensor say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from geo3d.images import (
    Exif,
    Gps,
    PhotoError,
    camera_from_exif,
    focal_from_exif,
    group_key,
    read_exif,
    scan_photos,
)

GPS_IFD, EXIF_IFD = 0x8825, 0x8769


def photo(path, main=None, detail=None, gps=None, size=(60, 40), **options):
    exif = Image.Exif()
    exif.update(main or {})
    exif.get_ifd(EXIF_IFD).update(detail or {})
    exif.get_ifd(GPS_IFD).update(gps or {})
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path, exif=exif, **options)
    return path


def dms(degrees):
    """EXIF's degrees, minutes and seconds of a positive angle."""
    whole = int(degrees)
    minutes = int((degrees - whole) * 60)
    seconds = (degrees - whole - minutes / 60) * 3600
    return (IFDRational(whole), IFDRational(minutes), IFDRational(round(seconds * 10**5), 10**5))


def gps_tags(latitude, longitude, altitude=None):
    tags = {1: "N" if latitude >= 0 else "S", 2: dms(abs(latitude))}
    tags |= {3: "E" if longitude >= 0 else "W", 4: dms(abs(longitude))}
    if altitude is not None:
        tags |= {5: b"\x01" if altitude < 0 else b"\x00", 6: IFDRational(round(abs(altitude) * 1000), 1000)}
    return tags


@settings(deadline=None, max_examples=30)
@given(st.floats(-89.9, 89.9), st.floats(-179.9, 179.9), st.floats(-400, 9000))
def test_gps_round_trip(tmp_path_factory, latitude, longitude, altitude):
    path = photo(tmp_path_factory.mktemp("gps") / "a.jpg", gps=gps_tags(latitude, longitude, altitude))
    gps = read_exif(path).gps
    if abs(latitude) < 1e-8 and abs(longitude) < 1e-8:
        return
    assert gps is not None
    assert gps.latitude_deg == pytest.approx(latitude, abs=1e-8)
    assert gps.longitude_deg == pytest.approx(longitude, abs=1e-8)
    assert gps.altitude_m == pytest.approx(altitude, abs=1e-3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_fields(tmp_path, suffix):
    path = photo(
        tmp_path / f"a.{suffix}",
        main={271: "DJI\0\0\0", 272: "FC6310 ", 274: 6, 306: "2020:01:01 00:00:00"},
        detail={
            36867: "2024:05:06 07:08:09",
            37521: "25",
            37386: IFDRational(88, 10),
            41989: 24,
            42036: "8.8 mm",
        },
        gps=gps_tags(46.8, -91.9),
    )
    exif = read_exif(path)
    assert (exif.make, exif.model, exif.lens) == ("DJI", "FC6310", "8.8 mm")
    assert (exif.focal_mm, exif.focal_35mm) == (8.8, 24)
    assert (exif.width, exif.height, exif.orientation) == (60, 40, 6)
    assert exif.time == "2024:05:06 07:08:09.25"
    assert exif.gps is not None
    assert exif.gps.altitude_m is None


def test_dji_xmp(tmp_path):
    xmp = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:RelativeAltitude="+40.10"
    drone-dji:GimbalRollDegree="+0.00" drone-dji:GimbalYawDegree="-44.20" drone-dji:RtkStdHgt="0.03"
    drone-dji:RtkStdLat="0.012" drone-dji:RtkStdLon="0.015">
    <drone-dji:GimbalPitchDegree>-89.90</drone-dji:GimbalPitchDegree></rdf:Description></x:xmpmeta>"""
    exif = read_exif(photo(tmp_path / "a.jpg", gps=gps_tags(1, 2, 3), xmp=xmp))
    assert exif.gps == Gps(1, 2, 3, 0.015, 0.03, 40.1)
    assert exif.gimbal_deg == (-44.2, -89.9, 0)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, ""),
        (gps_tags(0, 0), "latitude and longitude are 0"),
        ({**gps_tags(46, 8), 9: "V"}, "no fix"),
        ({**gps_tags(46, 8), 2: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))}, ""),
        ({**gps_tags(46, 8), 2: dms(95)}, "latitude beyond 90"),
        ({key: value for key, value in gps_tags(46, 8).items() if key != 4}, ""),
    ],
)
def test_no_fix_is_no_place_and_a_wrong_one_is_told(tmp_path, tags, why):
    exif = read_exif(photo(tmp_path / "a.jpg", gps=tags))
    assert exif.gps is None and why in exif.gps_refused and bool(why) == bool(exif.gps_refused)


def test_refused_positions_are_told_once_for_each_reason(tmp_path):
    for k, place in enumerate([(0, 0), (95, 8), (0, 0), (46, 8), (0, 0), (46, 181)]):
        photo(tmp_path / f"{k}.jpg", gps=gps_tags(*place))
    names = [f"{k}.jpg" for k in range(6)]
    told = scan_photos(tmp_path, names, dict(zip(names, names))).refused_gps()
    assert len(told) == 2 and "0.jpg is not used" in told[0] and "so for 2 more photos" in told[0]
    assert told[1] == (
        "the GPS of 1.jpg is not used: latitude beyond 90 or longitude beyond 180 degrees is no place on Earth; "
        "so for 1 more photo"
    )


def test_photo_without_exif(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(path)
    assert read_exif(path) == Exif(60, 40)
    guess = camera_from_exif(path)
    assert guess.source == "guess"
    assert not guess.camera.prior_focal
    assert guess.camera.mean_focal == pytest.approx(1.2 * 60)


def test_damaged_exif_is_as_good_as_none(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(
        path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 40
    )
    assert read_exif(path) == Exif(60, 40)


def test_not_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("no")
    with pytest.raises(PhotoError):
        read_exif(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("exif", "focal", "source"),
    [
        # Full frame: 36 mm over 6000 px.
        (Exif(6000, 4000, focal_35mm=50), 50 / 36 * 6000, "35 mm equivalent"),
        (Exif(4000, 6000, focal_35mm=50), 50 / 36 * 6000, "35 mm equivalent"),
        # A 4:3 sensor by its diagonal, and its 16:9 crop of the same width.
        (Exif(4000, 3000, focal_35mm=26), 26 / math.hypot(36, 24) * 5000, "35 mm equivalent"),
        (Exif(4000, 2250, focal_35mm=26), 26 / math.hypot(36, 24) * 5000, "35 mm equivalent"),
        # A square crop keeps the height.
        (Exif(3000, 3000, focal_35mm=26), 26 / math.hypot(36, 24) * 5000, "35 mm equivalent"),
        # Phantom 4 Pro: 8.8 mm on 13.2 mm; the rounded 24 mm agree and the sensor is preferred.
        (Exif(5472, 3648, "DJI", "FC6310", focal_mm=8.8, focal_35mm=24), 8.8 / 13.2 * 5472, "sensor table"),
        (Exif(5472, 3648, "DJI", "FC6310", focal_mm=8.8), 8.8 / 13.2 * 5472, "sensor table"),
        # A phone's second lens: the table knows the main sensor only.
        (Exif(4032, 3024, "Apple", "iPhone 11", focal_mm=1.54, focal_35mm=13), 1514.3, "35 mm equivalent"),
        (
            Exif(2144, 1424, focal_mm=50, focal_plane_px_per_mm=155, exif_size=4288),
            3875,
            "focal plane resolution",
        ),
        (Exif(1000, 800), 1200, "guess"),
        (Exif(1000, 800, focal_mm=4.2), 1200, "guess"),
        (Exif(1000, 800, focal_35mm=65535), 1200, "guess"),
    ],
)
def test_focal_length(exif, focal, source):
    found = focal_from_exif(exif)
    assert found[1] == source
    assert found[0] == pytest.approx(focal, rel=1e-4)


def test_camera_from_exif():
    exif = Exif(5472, 3648, "DJI", "FC6310", focal_mm=8.8, focal_35mm=24)
    guess = camera_from_exif(exif, "OPENCV")
    assert guess.camera.model == "OPENCV"
    assert guess.camera.prior_focal
    np.testing.assert_allclose(guess.camera.params, [3648, 3648, 2736, 1824, 0, 0, 0, 0])
    assert guess.key == "DJI FC6310 8.8 mm 24 mm eq. 5472x3648"
    with pytest.raises(ValueError, match="model"):
        camera_from_exif(exif, "NONE")


def test_group_key():
    a = Exif(60, 40, "DJI", "X", focal_mm=8.8)
    b = Exif(60, 40, "DJI", "X", focal_mm=9.8)
    assert group_key(a, "x/1.jpg") == group_key(a, "y/2.jpg") != group_key(b, "x/1.jpg")
    assert (
        group_key(a, "x/1.jpg", "folder")
        == group_key(b, "x/2.jpg", "folder")
        != group_key(a, "1.jpg", "folder")
    )
    assert group_key(a, "x/1.jpg", "photo") != group_key(a, "x/2.jpg", "photo")
    with pytest.raises(ValueError, match="per must be"):
        group_key(a, "x/1.jpg", "lens")  # pyright: ignore[reportArgumentType]
