"""Image metrics against their formulas and scikit-image."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from geo3d.render import lpips, metrics, psnr, ssim, why_no_lpips


def pair(height, width, channels, sigma=0.1, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([0.5 + 0.4 * np.sin(0.2 * x + 0.1 * k * y) for k in range(channels)], -1)
    return image, np.clip(image + rng.normal(0, sigma, image.shape), 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5])
def test_ssim_is_that_of_scikit_image(channels, sigma):
    image, other = pair(40, 53, channels, sigma)
    # win_size is 11 of sigma 1.5 there, and the borders are left out of the mean.
    expected = structural_similarity(
        image,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
    )
    assert ssim(image, other) == pytest.approx(expected, abs=1e-9)
    single = image.astype(np.float32), other.astype(np.float32)
    assert ssim(*single) == pytest.approx(expected, abs=1e-6)


def test_psnr_of_a_known_error():
    image = np.full((5, 7, 3), 0.5)
    assert psnr(image, image + 0.1) == pytest.approx(20.0)
    assert psnr(image, image - 0.01) == pytest.approx(40.0)
    assert psnr(image, image) == float("inf")
    assert ssim(np.tile(image, (3, 3, 1)), np.tile(image, (3, 3, 1))) == pytest.approx(1.0)


@given(seed=st.integers(0, 1000), sigma=st.floats(0.001, 0.5))
def test_metrics_are_symmetric_and_bounded(seed, sigma):
    image, other = pair(13, 17, 3, sigma, seed)
    assert psnr(image, other) == pytest.approx(psnr(other, image))
    assert ssim(image, other) == pytest.approx(ssim(other, image))
    assert -1.0 <= ssim(image, other) <= 1.0


def test_masked_pixels_do_not_count():
    image, other = pair(40, 60, 3)
    mask = np.zeros((40, 60), bool)
    mask[:, :30] = True
    changed = other.copy()
    changed[:, 40:] = 0.0  # beyond the windows of what counts
    assert (
        psnr(image, other, mask)
        == psnr(image, changed, mask)
        == pytest.approx(psnr(image[:, :30], other[:, :30]))
    )
    assert ssim(image, other, mask) == pytest.approx(ssim(image, changed, mask), abs=1e-12)
    assert ssim(image, changed) < ssim(image, other)
    assert ssim(image, other, np.ones((40, 60), bool)) == pytest.approx(ssim(image, other), abs=1e-12)


def test_what_cannot_be_compared():
    image = np.zeros((20, 20, 3))
    with pytest.raises(ValueError, match="divide bytes by 255"):
        psnr(image.astype(np.uint8), image.astype(np.uint8))
    with pytest.raises(ValueError, match="reference"):
        ssim(image, image[:, :19])
    with pytest.raises(ValueError, match="11x11"):
        ssim(image[:10], image[:10])
    with pytest.raises(ValueError, match="mask: no pixel"):
        psnr(image, image, np.zeros((20, 20), bool))
    border = np.zeros((20, 20), bool)
    border[:2] = True
    with pytest.raises(ValueError, match="border"):
        ssim(image, image, border)
    with pytest.raises(ValueError, match="mask: expected bool"):
        psnr(image, image, np.ones((20, 19), bool))


@pytest.fixture
def fresh_network():
    metrics._perceptual_network.cache_clear()
    yield
    metrics._perceptual_network.cache_clear()


def test_lpips_without_its_package_says_how_to_install_it(monkeypatch, fresh_network):
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert "pip install lpips" in why_no_lpips()
    with pytest.raises(ImportError, match="pip install lpips"):
        lpips(np.zeros((32, 32, 3)), np.zeros((32, 32, 3)))


class _Network:
    """Stands for the package: it takes channels first in [-1, 1]."""

    def __init__(self, net, verbose):
        assert net == "vgg"

    def eval(self):
        return self

    def __call__(self, first, second):
        assert first.shape == (1, 3, 16, 24)
        assert first.min() >= -1 and first.max() <= 1
        return (first - second).abs().max()


def test_lpips_gives_the_network_what_it_expects(monkeypatch, fresh_network):
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=_Network))
    image = np.zeros((16, 24, 3), np.float32)
    image[..., 2] = 1.0
    assert why_no_lpips() is None
    assert lpips(image, image) == 0.0
    assert lpips(image, np.zeros_like(image)) == pytest.approx(2.0)


def test_lpips_without_its_weights_says_where_they_belong(monkeypatch, fresh_network):
    def unreachable(net, verbose):
        raise OSError("no route")

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=unreachable))
    assert "vgg16" in why_no_lpips()
    with pytest.raises(OSError, match=r"no route.*vgg16-397923af\.pth"):
        lpips(np.zeros((32, 32, 3)), np.zeros((32, 32, 3)))
