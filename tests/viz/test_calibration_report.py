"""The report of a calibration stands alone, shows what was found, and no name or sentence in it can break it."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo3d.calibration import CameraEvidence, Detection, HeldOut
from geo3d.calibration.board_photos import find_photo_files
from geo3d.calibration.coverage import measure_coverage, residual_cells
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import BoardOptions, render_board
from geo3d.viz import calibration_maps as maps
from geo3d.viz.calibration_pictures import marked_photo, straightened
from geo3d.viz.calibration_report import (
    CalibrationReportData,
    CameraEntry,
    RigEntry,
    RigMoment,
    render_calibration_report,
    write_calibration_report,
)
from tests.calibration.common import LENSES
from tests.calibration.evidence import evidence

from .test_report import read

GOOD = evidence()


def full(**changes) -> CameraEvidence:
    tried = [
        HeldOut("PINHOLE", 3, 4, np.zeros(1), 3.2),
        HeldOut("OPENCV", 3, 8, np.zeros(1), 0.14),
        HeldOut("OPENCV", 0, 8, np.zeros(1), 0.21),
        HeldOut("FULL_OPENCV", 3, 12, np.zeros(1), np.inf, "it has a <pole>"),
    ]
    correlations = np.eye(8)
    correlations[0, 1] = correlations[1, 0] = 0.97
    given = {
        "tried": tried,
        "correlations": correlations,
        "left_out": {"dark.jpg": "no such board is to be seen in it"},
        "shape": np.array([1e-3, 5e-4, 0.0]),
    }
    return replace(GOOD, **{**given, **changes})


def rig() -> RigEntry:
    pose = SE3(SO3.exp([0, np.deg2rad(2), 0]).matrix, [-0.12, 0.001, 0.002])
    moments = [RigMoment(("l1.jpg", "r1.jpg"), (0.1, 0.2)), RigMoment((None, "r2.jpg"), (None, 0.3))]
    std, far = np.full((2, 6), 1e-4), np.array([0.0, 2e-4])
    return RigEntry([SE3.identity(), pose], moments, 0.17, std, far, {"l3.jpg, r3.jpg": "9.1 pixels apart"})


def text_of(page: str) -> str:
    return " ".join(" ".join(read(page).words).split())


def test_it_stands_alone_and_says_it_all() -> None:
    page = render_calibration_report(CalibrationReportData("bench", [CameraEntry(full())], notes=["a note"]))
    reader = read(page)
    assert all(address.startswith("data:") for address in reader.addresses) and not re.search(
        r"https?://", page
    )
    assert "link" not in reader.tags and "script" not in reader.tags and "@import" not in page
    text = text_of(page)
    for words in (
        "bench",
        "Good enough for stereo",
        "a note",
        "0.141 px",
        "OPENCV",
        "distortion along the radius",
        "fx and fy (+0.970)",
        "refused: it has a <pole>",
        "1 photo is not used",
        "Mean error in parts of the image",
        "Uncertainty of a point far away",
        "checkerboard 9x6, squares of 30 mm",
        "dark.jpg",
        "54 points",
    ):
        assert words in text, words
    assert len(page) < 1_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"tried": (), "correlations": None, "uncertainty_px": None, "held_out_rms_px": None, "left_out": {}},
        {"shape": np.zeros(0), "metric": False, "correlations": np.eye(8)},
        {"lit": np.tri(18, 24, 2, dtype=bool), "uncertainty_px": np.full((120, 200), 0.3)},
        {"views": GOOD.views[:1]},
    ],
)
def test_little_data_makes_a_small_report(changes: dict) -> None:
    text = text_of(render_calibration_report(CalibrationReportData("x", [CameraEntry(full(**changes))])))
    assert ("Uncertainty of" in text) == (changes.get("uncertainty_px", 1) is not None)
    assert ("How far its face" in text) == ("metric" not in changes)
    assert " mm" not in text or "metric" not in changes


def test_of_what_was_tried_one_lens_and_one_shape_are_taken() -> None:
    page = render_calibration_report(CalibrationReportData("x", [CameraEntry(full())]))
    taken = re.findall(r"<tr class=taken><td>(\w+)</td><td class=n>(\d+)</td><td class=n>([\d.]+) px", page)
    assert taken == [("OPENCV", "8", "0.140"), ("bent", "3", "0.140")]
    assert "<td>flat</td><td class=n>0</td><td class=n>0.210 px" in page


def test_a_rig_has_a_part_for_each_camera_and_their_poses() -> None:
    entries = [CameraEntry(full(name="left")), CameraEntry(full(name="right", held_out_rms_px=0.9))]
    page = render_calibration_report(CalibrationReportData("rig", entries, rig()))
    text = text_of(page)
    assert re.findall(r'class="part">(\w+)<', page) == ["left", "right"]
    assert "All 2 cameras are good enough for structure from motion" in text
    assert "Not good enough for stereo: right." in text
    for words in (
        "120.02 mm",
        "0.170 px",
        "l3.jpg, r3.jpg",
        "9.1 pixels apart",
        "l1.jpg, r1.jpg",
        "1 seen by several",
    ):
        assert words in text, words
    for words in ("-120.000 ± 0.1", "1.000 ± 0.1", "2.0000 ± 0.0057", "120.021 ± 0.2", "mm ± 0.2"):
        assert words in text, words


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="one entry"):
        CalibrationReportData("x", [])
    with pytest.raises(ValueError, match="name of its own"):
        CalibrationReportData("x", [CameraEntry(GOOD), CameraEntry(GOOD)])
    with pytest.raises(ValueError, match="a pose for each of 1"):
        CalibrationReportData("x", [CameraEntry(GOOD)], rig())


@settings(max_examples=10, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_breaks_the_page(text: str) -> None:
    evil = f"</style></script><script>alert(1)</script>\"'><b>{text}"
    views = [replace(GOOD.views[0], name=evil), *GOOD.views[1:]]
    found = full(views=views, left_out={evil: evil}, name=evil)
    other = full(name="b")
    entry = RigEntry(
        [SE3.identity(), SE3.identity()], [RigMoment((evil, "b"), (0.1, 0.1))], 0.1, dropped={evil: evil}
    )
    data = CalibrationReportData(evil, [CameraEntry(found), CameraEntry(other)], entry, [evil])
    page = render_calibration_report(data)
    reader = read(page)
    assert "script" not in reader.tags and "b" not in reader.tags
    assert evil.split("<b>")[0] in "".join(reader.words)


def test_a_file_name_that_is_no_utf_8_is_shown_by_its_bytes() -> None:
    views = [replace(GOOD.views[0], name="b\udcff.jpg"), *GOOD.views[1:]]
    page = render_calibration_report(CalibrationReportData("x", [CameraEntry(full(views=views))]))
    assert "b\\udcff.jpg" in page and page.encode()


def test_photos_are_shown_as_stored_with_what_was_found(tmp_path) -> None:
    camera, view = GOOD.camera, GOOD.views[1]
    photo = render_board(camera, view.cam_from_board, BoardOptions(samples=2))
    exif = Image.Exif()
    exif[274] = 6  # stored lying on its side
    Image.fromarray(np.stack([photo.image] * 3, axis=-1)).save(tmp_path / view.name, exif=exif)
    found = full(views=[view], left_out={})
    made = straightened(found, find_photo_files(tmp_path))
    assert made is not None and made.name == view.name
    assert made.left_px < 0.2 * made.bend_px
    page = render_calibration_report(
        CalibrationReportData("x", [CameraEntry(found, find_photo_files(tmp_path))])
    )
    assert page.count("data:image/jpeg;base64,") == 3 and "Without distortion" in page
    for data in re.findall(r"data:image/jpeg;base64,([^\"]+)", page):
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.width > picture.height
    (box,) = re.findall(r'class="marked" viewBox="0 0 240 ([\d.]+)"', page)
    assert float(box) == 180.0  # 640 x 480, not turned
    assert page.count("<circle cx=") >= 54


def test_photos_that_are_gone_or_of_another_size_make_no_picture(tmp_path) -> None:
    view = GOOD.views[1]
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(tmp_path / view.name)
    assert straightened(full(views=[view]), find_photo_files(tmp_path)) is None
    assert straightened(full(views=[view]), None) is None


def test_dots_stand_where_points_were_found() -> None:
    found = Detection(np.arange(2), np.array([[320.0, 240], [640, 0]]))
    places = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', marked_photo(None, LENSES["OPENCV"], found))
    assert places == [("120.0", "90.0"), ("240.0", "0.0")]


def test_arrows_are_as_long_as_the_errors_times_the_scale_that_is_said() -> None:
    drawing, larger = maps.residual_arrows(GOOD)
    steps = np.array(re.findall(r'd="M-?\d+ -?\d+l(-?[\d.]+) (-?[\d.]+)"', drawing), float)
    expected = np.concatenate(GOOD.residuals) * larger * 1000 / 640
    np.testing.assert_allclose(steps, expected, atol=0.06)
    length, label = re.findall(r'x2="([\d.]+)".*?>([\d.]+) px<', drawing)[0]
    assert (float(length) - 2) == pytest.approx(float(label) * larger * 1000 / 640, rel=0.01)


def test_cells_are_stronger_the_larger_the_value() -> None:
    values = np.array([[0.0, 1.0], [np.nan, 4.0]])
    drawing = maps.value_map(values, 2, 2, "px", "a map")
    opacity = [float(v) for v in re.findall(r'fill-opacity="([\d.]+)"', drawing)]
    assert opacity == sorted(opacity) and len(opacity) == 3 and opacity[-1] == 1
    assert "0 px" in drawing and "4 px" in drawing


def test_empty_ninths_are_marked() -> None:
    views = [
        replace(GOOD.views[0], detection=Detection(np.arange(4), np.full((4, 2), 20.0) + np.eye(4)[:, :2]))
    ]
    found = replace(GOOD, views=views)
    drawing = maps.coverage_map(found, measure_coverage(found))
    assert drawing.count('class="empty"') == 8 and "<title>top left: 4 points</title>" in drawing


def test_a_map_of_means_tells_the_chance() -> None:
    drawing, larger = maps.residual_map(GOOD, residual_cells(GOOD))
    assert larger > 1 and re.search(r"0\.\d\d px in \d+ photos; chance makes 0\.\d\d", drawing)


def test_writing_is_atomic(tmp_path) -> None:
    write_calibration_report(tmp_path / "report.html", CalibrationReportData("x", [CameraEntry(GOOD)]))
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
