"""The loss and its gradient against the same written out in float64 torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.splat import photometric_loss


def written_out(image, target, mask, weight):
    """(loss, gradient, L1, SSIM) by autograd."""
    x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(target, dtype=torch.float64)
    m = (
        torch.ones(x.shape[:2], dtype=torch.float64)
        if mask is None
        else torch.tensor(mask, dtype=torch.float64)
    )
    mixed = y + m[..., None] * (x - y)
    window = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
    window = window / window.sum()
    kernel = (window[:, None] * window)[None, None]

    def blurred(a):
        return torch.nn.functional.conv2d(a.permute(2, 0, 1)[:, None], kernel, padding=5)[:, 0].permute(
            1, 2, 0
        )

    mx, my = blurred(mixed), blurred(y)
    sxx, syy = blurred(mixed * mixed) - mx**2, blurred(y * y) - my**2
    sxy = blurred(mixed * y) - mx * my
    ssim = (2 * mx * my + 1e-4) * (2 * sxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (sxx + syy + 9e-4))
    count = 3 * m.sum()
    l1, similarity = (mixed - y).abs().sum() / count, (ssim * m[..., None]).sum() / count
    loss = (1 - weight) * l1 + weight * (1 - similarity)
    loss.backward()
    assert x.grad is not None
    return loss.item(), x.grad.numpy(), l1.item(), similarity.item()


def images(height, width, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.uniform(size=(height, width, 3)).astype(np.float32)
    target = np.clip(image + 0.1 * rng.normal(size=image.shape), 0, 1).astype(np.float32)
    return image, target, rng


@given(
    st.integers(1, 150),
    st.integers(1, 40),
    st.sampled_from(["none", "soft", "hard"]),
    st.floats(0, 1),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_loss_and_gradient(height, width, kind, weight, seed):
    image, target, rng = images(height, width, seed)
    soft = rng.uniform(size=(height, width)).astype(np.float32)
    mask = {"none": None, "soft": soft, "hard": soft > 0.4}[kind]
    if kind == "hard":
        mask[0, 0] = True
    found = photometric_loss(image, target, mask, weight)
    loss, gradient, l1, ssim = written_out(image, target, mask, weight)
    assert found.loss == pytest.approx(loss, abs=1e-5)
    assert found.l1 == pytest.approx(l1, abs=1e-5)
    assert found.ssim == pytest.approx(ssim, abs=1e-5)
    np.testing.assert_allclose(found.d_image, gradient, atol=2e-5 * max(np.abs(gradient).max(), 1e-6))


def test_equal_images_cost_nothing():
    image, _, _ = images(40, 60)
    found = photometric_loss(image, image)
    assert found.loss == pytest.approx(0, abs=1e-6) and found.ssim == pytest.approx(1, abs=1e-6)
    assert np.abs(found.d_image).max() < 1e-7


def test_what_is_masked_out_does_not_matter():
    image, target, rng = images(60, 60)
    mask = np.ones((60, 60), bool)
    mask[20:40, 10:30] = False
    changed = image.copy()
    changed[20:40, 10:30] = rng.uniform(size=(20, 20, 3))
    one, other = (photometric_loss(x, target, mask) for x in (image, changed))
    assert one.loss == other.loss
    np.testing.assert_array_equal(one.d_image, other.d_image)
    assert not one.d_image[20:40, 10:30].any()


def test_nothing_left_to_compare_costs_nothing():
    image, target, _ = images(20, 20)
    found = photometric_loss(image, target, np.zeros((20, 20), bool))
    assert np.isfinite(found.loss) and not found.d_image.any()


def test_reruns_give_the_same_bits():
    image, target, _ = images(333, 201)
    one, other = photometric_loss(image, target), photometric_loss(image, target)
    assert one.loss == other.loss
    np.testing.assert_array_equal(one.d_image, other.d_image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.zeros((4, 5, 3), np.float32)}, "one shape"),
        ({"mask": np.ones((4, 5), bool)}, "mask: expected the shape"),
        ({"ssim_weight": 1.5}, "ssim_weight: expected 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    image, target, _ = images(8, 8)
    with pytest.raises(ValueError, match=message):
        photometric_loss(**{"image": image, "target": target, **change})
