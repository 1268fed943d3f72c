"""The local frame on Earth: there and back, against PROJ, and what its axes are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import EnuFrame

PLACES = st.builds(EnuFrame, st.floats(-90, 90), st.floats(-180, 180), st.floats(-400, 9000))
OFFSETS = st.lists(st.floats(-20_000, 20_000), min_size=3, max_size=3)


@settings(max_examples=60)
@given(PLACES, OFFSETS)
def test_there_and_back(frame, offset):
    there = frame.to_geodetic(offset)
    np.testing.assert_allclose(frame.from_geodetic(there), offset, atol=1e-7)


@settings(max_examples=20)
@given(PLACES.filter(lambda f: abs(f.latitude_deg) < 89), OFFSETS)
def test_proj_agrees(frame, offset):
    pyproj = pytest.importorskip("pyproj")
    place = frame.to_geodetic(offset)
    theirs = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 +step "
        f"+proj=topocentric +ellps=WGS84 +lat_0={frame.latitude_deg!r} +lon_0={frame.longitude_deg!r} "
        f"+h_0={frame.height_m!r}"
    ).transform(place[1], place[0], place[2])
    np.testing.assert_allclose(theirs, offset, atol=1e-6)


def test_axes_and_the_bend_of_the_earth():
    frame = EnuFrame(46.8, -92.0, 180.0)
    east, north, up = frame.from_geodetic([[46.8, -91.99, 180], [46.81, -92.0, 180], [46.8, -92.0, 190]])
    assert east[0] > 700 and abs(east[1]) < 0.1 and north[1] > 1000 and abs(north[0]) < 1e-6
    np.testing.assert_allclose(up, [0, 0, 10], atol=1e-8)
    assert north[2] == pytest.approx(-(north[1] ** 2) / (2 * 6.37e6), rel=0.01)


@pytest.mark.parametrize("origin", [(91, 0, 0), (0, float("nan"), 0), (0, 0, float("inf"))])
def test_no_place_on_earth(origin):
    with pytest.raises(ValueError, match=r"latitude|finite"):
        EnuFrame(*origin)
