"""Pages are of true scale, in SVG and PDF alike, and say what fits where a board does not."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid
from geo3d.calibration.artwork import artwork
from geo3d.calibration.printing import PAPERS, lay_out, write_board

TARGETS = [
    Checkerboard(9, 6, 0.02),
    CharucoBoard(5, 7, 0.03, 0.022),
    AprilGrid(4, 5, 0.03),
    CircleGrid(7, 5, 0.025, 0.015),
    CircleGrid(4, 11, 0.016, 0.012, asymmetric=True),
]


def pdf_numbers(data: bytes) -> tuple[list[float], np.ndarray]:
    """Page box in points, and end points (N, 2) of the lines and curves of the page in millimetres, y down."""
    box = [float(v) for v in re.search(rb"/MediaBox \[([^\]]*)\]", data)[1].split()]
    ends = re.findall(rb"(?:^|\s)(-?[\d.]+) (-?[\d.]+) [mlc]\s", data)
    xy = np.array(ends, float)
    return box, np.column_stack([xy[:, 0], box[3] - xy[:, 1]]) / 72 * 25.4


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.label.split(",")[0])
@pytest.mark.parametrize("paper", ["A4", "letter", "fit"])
def test_pdf_and_svg_show_the_page_in_millimetres(target, paper, tmp_path):
    with matplotlib.rc_context({"pdf.compression": 0}):
        page = write_board(target, tmp_path / "board.pdf", paper)
    box, ends = pdf_numbers((tmp_path / "board.pdf").read_bytes())
    np.testing.assert_allclose(box, [0, 0, page.width / 25.4 * 72, page.height / 25.4 * 72], atol=1e-3)
    x, y, w, h = page.rectangles.T
    cx, cy, r = page.discs.T
    wanted = np.concatenate(
        [np.column_stack(p) for p in [(x, y), (x + w, y + h), (cx + r, cy), (cx - r, cy)]]
    )
    off = np.abs(wanted[:, None] - ends[None]).max(axis=2).min(axis=1)
    assert off.max() < 0.002
    write_board(target, tmp_path / "board.svg", paper)
    root = ET.parse(tmp_path / "board.svg").getroot()
    assert (root.get("width"), root.get("height")) == (f"{page.width:.10g}mm", f"{page.height:.10g}mm")
    assert [float(v) for v in root.get("viewBox").split()] == pytest.approx([0, 0, page.width, page.height])
    path = next(root.iter("{http://www.w3.org/2000/svg}path")).get("d")
    drawn = np.array(re.findall(r"M(\S+) (\S+?)h(\S+?)v(\S+?)h", path), float)
    np.testing.assert_allclose(drawn, page.rectangles, atol=1e-6)
    circles = [
        [float(c.get(k)) for k in ("cx", "cy", "r")] for c in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    np.testing.assert_allclose(np.reshape(circles, (-1, 3)), page.discs, atol=1e-6)
    assert target.label in "".join(root.itertext())


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.label.split(",")[0])
def test_the_board_is_the_artwork_moved_and_clear_of_ruler_and_rim(target):
    page, art = lay_out(target, "A4"), artwork(target)
    assert {page.width, page.height} == set(PAPERS["A4"])
    shapes = len(art.rectangles)
    shift = (page.rectangles[0] if shapes else page.discs[0])[:2] - (art.rectangles if shapes else art.discs)[
        0, :2
    ]
    np.testing.assert_allclose(page.rectangles[:shapes, :2] - art.rectangles[:, :2] - shift, 0, atol=1e-9)
    np.testing.assert_allclose(page.discs[:, :2] - art.discs[:, :2] - shift, 0, atol=1e-9)
    ruler = page.rectangles[shapes:]
    assert ruler[:, 0].min() + 0.1 + 100 == pytest.approx(
        (ruler[:, 0] + ruler[:, 2]).max() - 0.1
    )  # middle of marks
    bottom = art.extent[1] + art.extent[3] + shift[1]
    assert bottom < min(t.y for t in page.texts) - 4
    assert min(page.rectangles[:, 0].min(), page.rectangles[:, 1].min()) >= 8 - 0.2


def test_the_same_target_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        write_board(TARGETS[1], tmp_path / f"{name}.pdf", "A4")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_a_board_that_does_not_fit_is_answered_with_what_does():
    with pytest.raises(
        ValueError, match=r"500 x 350 mm .*A4 fits checkerboard 9x6, squares of 2\d(\.5)? mm"
    ) as said:
        lay_out(Checkerboard(9, 6, 0.05), "A4")
    largest = float(re.search(r"fits .*squares of ([\d.]+) mm", str(said.value))[1]) / 1000
    lay_out(Checkerboard(9, 6, largest), "A4")
    with pytest.raises(ValueError):
        lay_out(Checkerboard(9, 6, largest + 0.0006), "A4")
    with pytest.raises(ValueError, match="hold this one: A3, fit"):
        lay_out(CharucoBoard(9, 6, 0.035, 0.026), "A4")
    with pytest.raises(ValueError, match="A4, A3, letter, fit"):
        lay_out(TARGETS[0], "B5")
    with pytest.raises(ValueError, match=r"\.pdf or \.svg"):
        write_board(TARGETS[0], "board.png")
