"""The page with splats: Chromium shows what geo3d renders; it turns, zooms and resets; its numbers are those given."""

import base64
import json
import re
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, quaternion_to_matrix
from geo3d.io import write_splat_html
from geo3d.io.splat_html import start_view
from geo3d.io.world_frame import read_world_file
from geo3d.scene import Gaussians
from geo3d.splat import RenderOptions, render
from tests.io.splats import FRAME, make_gaussians
from tests.viz import chromium
from tests.viz.chromium import Page

SIZE = 320, 240
needs_chromium = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="needs Chromium: apt-get install chromium"
)


def small_scene(degree: int = 3, antialiased: bool = False) -> Gaussians:
    g = make_gaussians(4, 400, degree, antialiased)
    g.log_scales[:] = np.random.default_rng(0).uniform(-2.5, 0, g.log_scales.shape)
    return g


def settings_of(path: Path) -> dict:
    found = re.search(r'<script id="settings"[^>]*>(.*?)</script>', path.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return json.loads(found[1])


def expected(g: Gaussians, view: dict, fov: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) float, the same view by geo3d."""
    yaw, pitch = view["yaw"], view["pitch"]
    forward = -np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([-np.sin(yaw), np.cos(yaw), 0])
    turn = np.array([right, np.cross(forward, right), forward])
    eye = np.array(view["target"]) - view["distance"] * forward
    focal = 0.5 * size[1] / np.tan(fov / 2)
    camera = Camera("PINHOLE", *size, [focal, focal, size[0] / 2, size[1] / 2])
    options = RenderOptions(backend="cpu", near=0.02 * view["distance"])
    return np.asarray(render(g, camera, SE3(turn, -turn @ eye), options).color)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("browser"), *SIZE) as found:
        yield found


def opened(page: Page, path: Path) -> None:
    """The page with its splats sorted, without the note over them."""
    page.open(path.absolute().as_uri())
    end = time.monotonic() + 60
    while page.ask("document.documentElement?.dataset.ready") != "yes":
        assert time.monotonic() < end, page.ask("document.body.textContent")
        time.sleep(0.05)
    page.ask("void (document.getElementById('note').style.display = 'none')")


def looked_at(page: Page) -> np.ndarray:
    """(H, W, 3) from 0 to 1, when the order and the frame are those of the view."""
    page.ask(
        "new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 200))"
    )
    return page.screenshot() / 255


@needs_chromium
@pytest.mark.parametrize(("degree", "antialiased"), [(0, False), (1, False), (2, True), (3, False)])
def test_chromium_shows_what_geo3d_renders(tmp_path, page: Page, degree, antialiased) -> None:
    g = small_scene(degree, antialiased)
    write_splat_html(tmp_path / "x.html", g)
    opened(page, tmp_path / "x.html")
    shown, settings = looked_at(page), settings_of(tmp_path / "x.html")
    rendered = np.clip(expected(g, settings["view"], settings["fov"]), 0, 1)
    assert rendered.mean() > 0.1
    difference = np.abs(shown - rendered)
    assert difference.mean() < 0.002 and np.quantile(difference, 0.999) < 0.02


@needs_chromium
def test_it_turns_zooms_and_resets(tmp_path, page: Page) -> None:
    g = small_scene(1)
    write_splat_html(tmp_path / "x.html", g)
    opened(page, tmp_path / "x.html")
    first, settings = looked_at(page), settings_of(tmp_path / "x.html")
    mouse = {"button": "left", "buttons": 1, "clickCount": 1}
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=100, y=100, **mouse)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=200, y=130, **mouse)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=200, y=130, **mouse)
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=100, y=100, deltaX=0, deltaY=-300)
    view = page.ask("view")
    start = settings["view"]
    assert view["yaw"] == pytest.approx(start["yaw"] - 0.6) and view["pitch"] == pytest.approx(
        start["pitch"] + 0.18
    )
    assert view["distance"] == pytest.approx(start["distance"] * np.exp(-0.3))
    difference = np.abs(looked_at(page) - np.clip(expected(g, view, settings["fov"]), 0, 1))
    assert difference.mean() < 0.003
    page.ask("canvas.ondblclick()")
    assert np.abs(looked_at(page) - first).mean() < 4e-4


def test_the_numbers_in_the_page(tmp_path) -> None:
    g = make_gaussians(0, 50, 2, True)
    write_splat_html(tmp_path / "a <b>.html", g, FRAME)
    text = (tmp_path / "a <b>.html").read_text(encoding="utf-8")
    assert "<title>a &lt;b&gt;</title>" in text and "{{" not in text and "http" not in text
    found = re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)
    assert found is not None
    data = zlib.decompress(base64.b64decode(found[1]), 16 + zlib.MAX_WBITS)
    words = np.frombuffer(data[: 32 * 50], "<u4").reshape(50, 8)
    assert np.array_equal(words[:, :3].copy().view("<f4"), g.means)
    color = np.stack([words[:, 3] >> shift & 1023 for shift in (0, 10, 20)], 1) / 1023 * 3 - 1
    np.testing.assert_allclose(color, np.clip(0.5 + 0.28209479 * g.sh[:, 0], -1, 2), atol=0.0016)
    np.testing.assert_allclose(
        (words[:, 4] >> 16 & 255) / 255, 1 / (1 + np.exp(-g.logit_opacities)), atol=0.002
    )
    half = words[:, 5:].copy().view("<f2").astype(np.float64)
    half *= np.exp((words[:, 4] & 65535) / 65535 * 160 - 80)[:, None]
    axes = quaternion_to_matrix(g.quaternions) * np.exp(g.log_scales)[:, None]
    covariance = (axes @ np.swapaxes(axes, 1, 2))[:, (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)]
    np.testing.assert_allclose(half, covariance, rtol=2e-3, atol=1e-3 * np.abs(covariance).max())
    settings = settings_of(tmp_path / "a <b>.html")
    rest = np.frombuffer(data[32 * 50 :], np.uint8).reshape(50, 32)[:, :24] / 127.5 - 1
    np.testing.assert_allclose(
        rest * settings["range"], g.sh[:, 1:].reshape(50, 24), atol=settings["range"] / 250
    )
    assert settings["count"] == 50 and settings["degree"] == 2 and settings["antialiased"] is True
    assert read_world_file(tmp_path / "a <b>.html") == (FRAME, True)


def test_the_start_sees_most_of_what_is_opaque() -> None:
    g = make_gaussians(0, 500)
    g.means[:5] = 1e4  # stray ones do not count
    view = start_view(g)
    assert np.abs(view["target"]).max() < 1 and 5 < view["distance"] < 40  # type: ignore[operator,arg-type]


def test_none_and_too_many_are_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="1 to 4,000,000 Gaussians, these are 0"):
        write_splat_html(tmp_path / "x.html", make_gaussians(0, 0))
    monkeypatch.setattr("geo3d.io.splat_html._MOST", 10)
    with pytest.raises(ValueError, match="these are 11; crop or prune"):
        write_splat_html(tmp_path / "x.html", make_gaussians(0, 11))
    assert list(tmp_path.iterdir()) == []
