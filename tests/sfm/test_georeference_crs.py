"""Zones, names of reference systems, and there and back through PROJ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import EnuFrame
from geo3d.sfm import UtmZone, geodetic_from_crs, read_crs, utm_zone


@pytest.mark.parametrize(
    ("latitude", "longitude", "epsg"),
    [
        (46.84, -91.99, 32615),
        (46.64, 8.03, 32632),
        (-33.9, 151.2, 32756),
        (60.4, 5.3, 32632),  # Bergen lies west of 6 degrees
        (78.2, 15.6, 32633),  # Svalbard's wide zones
        (78.2, 8.9, 32631),
        (0.0, 180.0, 32601),
        (0.0, -180.0, 32601),
        (0.0, 179.99, 32660),
    ],
)
def test_zones(latitude, longitude, epsg):
    zone = utm_zone(latitude, longitude)
    assert zone is not None and zone.epsg == epsg


def test_no_zone_at_the_poles():
    assert utm_zone(84.1, 0) is None and utm_zone(-80.1, 0) is None
    assert str(UtmZone(15, True)) == "15N"


@settings(max_examples=25)
@given(st.floats(-79, 83), st.floats(-180, 180), st.floats(-100, 3000))
def test_utm_there_and_back(latitude, longitude, height):
    zone = utm_zone(latitude, longitude)
    assert zone is not None
    utm = zone.from_geodetic([latitude, longitude, height])
    back = zone.to_geodetic(utm)
    assert 100_000 < utm[0] < 900_000
    frame = EnuFrame(latitude, longitude, height)
    np.testing.assert_allclose(frame.from_geodetic(back), 0, atol=1e-5)


def test_enu_to_utm_turns_by_the_convergence_and_shrinks_by_the_scale():
    frame, zone = EnuFrame(46.84, -91.99, 180.0), UtmZone(15, True)
    square = frame.to_geodetic([[0, 0, 0], [100.0, 0, 0], [0, 100.0, 0]])
    corner, east, north = zone.from_geodetic(square)
    east, north = east - corner, north - corner
    assert np.linalg.norm(east[:2]) == pytest.approx(99.96, abs=0.02)
    convergence = np.rad2deg(np.arctan2(east[1], east[0]))
    expected = -np.rad2deg(np.tan(np.deg2rad(-91.99 + 93)) * np.sin(np.deg2rad(46.84)))
    assert convergence == pytest.approx(-expected, abs=0.01)
    assert abs(east[:2] @ north[:2]) < 0.1


@pytest.mark.parametrize(
    "line",
    [
        "EPSG:32615",
        "epsg:32615\n",
        "WGS84 UTM 15N",
        "wgs84 utm 15n",
        "+proj=utm +zone=15 +ellps=WGS84 +datum=WGS84 +units=m +no_defs",
        "'+proj=utm +zone=15 +datum=WGS84 +units=m +no_defs=True'",
    ],
)
def test_names_of_systems(line):
    place = np.array([46.8426598, -91.9940031, 198.6])
    utm = UtmZone(15, True).from_geodetic(place)
    np.testing.assert_allclose(geodetic_from_crs(read_crs(line), utm), place, atol=1e-9)


def test_longitude_comes_first_whatever_the_register_says():
    np.testing.assert_allclose(
        geodetic_from_crs(read_crs("EPSG:4326"), [8.03, 46.64, 1400]), [46.64, 8.03, 1400]
    )


@pytest.mark.parametrize(
    "line", ["", "UTM 32", "WGS84 UTM 61N", "EPSG:1", "EPSG:abc", "+proj=nonsense", "8.1 46.2 3"]
)
def test_what_names_no_system_is_refused(line):
    with pytest.raises(ValueError, match=r"coordinate system|PROJ knows"):
        read_crs(line)


def test_a_point_off_the_map_is_refused():
    with pytest.raises(ValueError, match="no place in WGS 84"):
        geodetic_from_crs(read_crs("EPSG:32632"), [[500_000, 5e6, 0], [1e12, 1e12, 0]])


def test_heights_that_need_a_grid_that_is_not_there_are_refused(monkeypatch):
    from pyproj import transformer

    class Without:
        best_available = False

        def __init__(self, *systems, **how):
            pass

    monkeypatch.setattr(transformer, "TransformerGroup", Without)
    with pytest.raises(ValueError, match="geoid grid"):
        geodetic_from_crs(read_crs("EPSG:32632+5773"), np.array([500000.0, 5000000.0, 10.0]))
