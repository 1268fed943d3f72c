"""The report stands alone, says what is true, and no name or sentence in the data can break it."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo3d.geometry import EnuFrame
from geo3d.images import Gps
from geo3d.scene import Points, Reconstruction
from geo3d.sfm import Distance, GroundControl, GroundPoint, KnownPlace, georeference, photo_positions
from geo3d.synthetic import make_scene
from geo3d.viz.charts import Marker, heat_map, histogram
from geo3d.viz.report import MatchGraph, ReportData, Unregistered, render_report, write_report
from geo3d.viz.report_map import upright
from geo3d.viz.report_place import _metres
from geo3d.viz.thumbnails import thumbnails

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Collects text and addresses, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "data", "action", "srcset") and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def full_data(**changes) -> ReportData:
    models = [make_scene(views=6, points=300, noise_px=0.5, seed=s).reconstruction for s in (0, 1)]
    for view in models[1].views.values():
        view.name = f"other/{view.name}"
    names = [v.name for m in models for v in m.views.values()] + ["lost.jpg"]
    counts = np.triu(np.random.default_rng(0).integers(0, 500, (len(names), len(names))), 1)
    data = {
        "title": "north bank",
        "components": models,
        "photos": names,
        "unregistered": {"lost.jpg": Unregistered("it is blurred", "take it again")},
        "matches": MatchGraph(names, counts + counts.T),
        "timings": {"features": 12.0, "poses": 3.5},
        "warnings": ["one photo was left out"],
        "camera_notes": {1: "from EXIF"},
        "camera_std": {1: np.array([1.0, 2.0, 3.0, 0.004])},
        "georeference": {"summary": "fitted to GPS within 1.8 m", "metres": True},
    }
    return ReportData(**{**data, **changes})


def test_it_stands_alone_and_says_it_all() -> None:
    page = render_report(full_data())
    reader = read(page)
    assert all(address.startswith("data:") for address in reader.addresses)
    assert "link" not in reader.tags and "@import" not in page and "fetch(" not in page
    assert not re.search(r"https?://", page)
    text = " ".join(" ".join(reader.words).split())
    for words in (
        "north bank",
        "12 of 13 photos were placed, but in 2 models",
        "lost.jpg",
        "it is blurred",
        "take it again",
        "one photo was left out",
        "SIMPLE_RADIAL",
        "from EXIF",
        "16 s in all",
        "600",
        "fitted to GPS within 1.8 m",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    "changes",
    [
        {"components": [], "matches": None},
        {"components": [Reconstruction()], "matches": None},
        {"matches": MatchGraph([], np.zeros((0, 0), int)), "timings": {}, "warnings": [], "camera_std": {}},
        {"photos": [], "components": []},
    ],
)
def test_little_data_makes_a_small_report(changes: dict) -> None:
    read(render_report(full_data(**changes)))


def test_cameras_without_points_can_be_shown() -> None:
    model = make_scene(views=6, points=50).reconstruction
    model.points = Points.empty()
    read(render_report(full_data(components=[model])))


@settings(max_examples=25)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_breaks_the_page(text: str) -> None:
    evil = f"</script><script>alert(1)</script><b>{text}"
    data = full_data(
        title=evil,
        warnings=[evil],
        photos=[evil],
        unregistered={evil: Unregistered(evil, evil)},
        camera_notes={1: evil},
        timings={evil: 1.0},
    )
    data.components[0].views[1].name = evil
    reader = read(render_report(data))
    assert reader.tags.count("script") == 2
    assert "b" not in reader.tags[: reader.tags.index("section")]


def test_names_are_read_as_they_are() -> None:
    data = full_data()
    data.components[0].views[1].name = "Tom & <Ann>.jpg"
    page = render_report(data)
    assert "<title>Tom &amp; &lt;Ann&gt;.jpg</title>" in page and "&amp;amp;" not in page


def test_a_curly_brace_in_a_name_survives() -> None:
    assert "{title}" in render_report(full_data(title="{title} {0}"))


def test_the_map_holds_points_and_cameras_where_they_are() -> None:
    data = full_data()
    page = render_report(data)
    packed = json.loads(re.search(r'id="mapdata">(.*?)</script>', page, re.S).group(1))  # pyright: ignore
    model, frame = data.components[0], upright(data.components[0])
    xyz = np.frombuffer(base64.b64decode(packed[0]["xyz"]), "<i2").reshape(-1, 3) * packed[0]["reach"] / 32767
    expected = frame.act(model.points.xyz)
    expected = expected[(np.abs(expected) < packed[0]["reach"]).all(axis=1)]
    assert np.allclose(xyz, expected, atol=2e-4)
    rgb = np.frombuffer(base64.b64decode(packed[0]["rgb"]), np.uint8).reshape(-1, 3)
    assert len(rgb) == len(xyz)
    centres = [camera["c"] for camera in packed[0]["cameras"]]
    assert np.allclose(centres, frame.act(model.centres()), atol=1e-3)


def test_a_big_model_is_thinned_out() -> None:
    model = make_scene(views=3, points=80_000, seed=0).reconstruction
    names = [v.name for v in model.views.values()]
    page = render_report(ReportData("big", [model], names))
    packed = json.loads(re.search(r'id="mapdata">(.*?)</script>', page, re.S).group(1))  # pyright: ignore
    assert 40_000 < len(base64.b64decode(packed[0]["rgb"])) // 3 <= 60_000
    assert len(page) < 2_000_000


def placed(**changes) -> dict:
    """What `georeference.json` holds of a placed model."""
    model = make_scene("grid", views=9, points=200, seed=1).reconstruction
    frame = EnuFrame(46.6, 8.0, 1400.0)
    rng = np.random.default_rng(0)
    centres = {v.name: v.cam_from_world.center() for v in model.views.values() if v.cam_from_world}
    gps = {
        name: Gps(
            *frame.to_geodetic(c + rng.normal(size=3) * 0.1), horizontal_std_m=0.2, relative_altitude_m=10.0
        )
        for name, c in centres.items()
    }
    seen = {n: model.cameras[1].project(model.view_named(n).cam_from_world.act([3.0, 2, 0])) for n in centres}
    clicks = {n: pixel for n, pixel in seen.items() if (pixel > 0).all() and (pixel < [1000, 750]).all()}
    point = GroundPoint("the <well>", frame.to_geodetic([3.0, 2, 0]), clicks, check=True)
    control, length = GroundControl([point], "EPSG:4326"), Distance(*list(centres)[:2], 3.1)
    known = KnownPlace(photo_positions(gps), control=control, distances=(length,))
    return georeference([model], known).result.to_json() | changes


def test_scale_and_place_are_told() -> None:
    page = render_report(full_data(georeference=placed()))
    text = " ".join(" ".join(read(page).words).split())
    for words in (
        "Scale and place",
        "Placed by the GPS of 9 of 9 photos",
        "EPSG:32632",
        "GPS of the photos",
        "check points",
        "the <well>",
        "view_0001.jpg to view_0002.jpg",
        "from there to their GPS",
        "above take-off",
        "metres",
    ):
        assert words in text, words
    assert 'id="place"' in page and 'id="place"' not in render_report(full_data(georeference={}))


def test_north_is_up_on_the_map_of_a_placed_model() -> None:
    model = make_scene("grid", views=9, points=100, seed=1).reconstruction
    np.testing.assert_allclose(
        upright(model, np.array([0, 0, 1.0]), np.array([0, 1.0, 0])).rotation, np.eye(3)
    )
    assert full_data(georeference={"origin": {}}).north is not None and full_data().north is None


def test_the_display_frame_is_a_rotation() -> None:
    rotation = upright(make_scene(views=5, points=100).reconstruction).rotation
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) > 0


def test_photos_become_thumbnails_and_broken_ones_do_not(tmp_path: Path) -> None:
    Image.fromarray(np.full((600, 800, 3), 90, np.uint8)).save(tmp_path / "a b.jpg")
    Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000).save(tmp_path / "deep.png")
    Image.new("CMYK", (50, 40)).save(tmp_path / "print.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    made = thumbnails(tmp_path, ["a b.jpg", "deep.png", "print.jpg", "broken.jpg", "not there.jpg"])
    assert sorted(made) == ["a b.jpg", "deep.png", "print.jpg"]
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in made.values())


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside"):
        thumbnails(tmp_path, ["../secret.jpg"])


def test_write_report_is_atomic(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", full_data())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_bars_are_as_high_as_their_counts() -> None:
    svg = histogram(np.array([0, 5, 10]), ["a", "b", "c"], [(0.5, "a")], Marker(1.0, "mean"))
    heights = [float(h) for h in re.findall(r'class="bar"[^>]* height="([\d.]+)"', svg)]
    assert heights[0] == 0 and heights[2] == pytest.approx(2 * heights[1], rel=0.01)


def test_a_large_heat_map_merges_neighbours() -> None:
    counts = np.zeros((450, 450), int)
    counts[0, 449] = counts[449, 0] = 7
    svg = heat_map(counts, [f"p{i}" for i in range(450)])
    assert svg.count("<title>") == 2
    assert "p0 ... p4 and p445 ... p449: 7 matches" in svg


def test_files_that_were_not_used_are_counted_beside_the_photos() -> None:
    data = full_data()
    data.unregistered["torn.jpg"] = Unregistered("is damaged", "")
    text = " ".join(" ".join(read(render_report(data)).words).split())
    assert "12 of 13 photos were placed" in text and "1 more file was not used" in text and "torn.jpg" in text
    assert "more file" not in " ".join(read(render_report(full_data())).words)


def test_no_figure_is_minus_nothing():
    assert [_metres(v) for v in (-0.0001, -0.0006, 1.0, None)] == ["0.000", "-0.001", "1.000", "-"]
