"""The original NeRF against an independent computation of figure 7, its size, its gradients."""

import numpy as np
import pytest
import torch

from geo3d.nerf.appearance import AppearanceEmbedding
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.published import PublishedField, PublishedNerf
from geo3d.nerf.radiance_mlp import RadianceMlp, RadianceShape

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = RadianceShape(3, 2, layers=3, width=7, skip=2, view_width=5)
BOX = SceneBox((0.3, -0.2, 1.0), 5.0)


def gamma(p, octaves):
    """Equation 4, a number at a time."""
    features = []
    for k in range(octaves):
        features += [np.sin(2.0**k * np.pi * coordinate) for coordinate in p]
        features += [np.cos(2.0**k * np.pi * coordinate) for coordinate in p]
    return np.array(features)


def figure_7(weights, position, direction):
    """Density and colour as the figure draws them: weights are (matrix, bias) pairs in the order of the arrows."""
    x, d = gamma(position, 10), gamma(direction, 4)
    assert x.shape == (60,) and d.shape == (24,)

    def arrow(k, vector):
        matrix, bias = weights[k]
        assert matrix.shape == ({8: 1, 9: 256, 10: 128, 11: 3}.get(k, 256), len(vector))
        return matrix @ vector + bias

    h = x
    for k in range(5):
        h = np.maximum(arrow(k, h), 0)
    h = np.maximum(
        arrow(5, np.concatenate([h, x])), 0
    )  # the input again, beside the fifth layer's activation
    h = np.maximum(arrow(6, h), 0)
    h = np.maximum(arrow(7, h), 0)
    density = max(arrow(8, h)[0], 0.0)
    feature = arrow(9, h)  # an orange arrow: no rectifier
    view = np.maximum(arrow(10, np.concatenate([feature, d])), 0)
    return density, 1 / (1 + np.exp(-arrow(11, view)))


def fixed_weights():
    """Weights of no initialisation, large enough that every unit matters; half of the densities are cut off."""
    rng = np.random.default_rng(7)
    sizes = [
        (256, 60),
        *[(256, 256)] * 4,
        (256, 316),
        *[(256, 256)] * 2,
        (1, 256),
        (256, 256),
        (128, 280),
        (3, 128),
    ]
    weights = [(rng.normal(0, 1.3 / np.sqrt(n), (m, n)), rng.normal(0, 0.3, m)) for m, n in sizes]
    weights[8][1][:] = 0
    half = np.median([figure_7(weights, p, d)[0] for p, d in zip(*places(40))])
    assert half > 0
    weights[8][1][:] = -half
    return weights


def with_weights(mlp, weights):
    linear = [*mlp.layers, mlp.density, mlp.feature, mlp.view, mlp.color]
    for layer, (matrix, bias) in zip(linear, weights, strict=True):
        assert layer.weight.shape == matrix.shape
        layer.weight.data, layer.bias.data = torch.from_numpy(matrix), torch.from_numpy(bias)


def places(count):
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(count, 3))
    return rng.uniform(-1, 1, (count, 3)), directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_the_forward_pass_is_that_of_figure_7():
    weights = fixed_weights()
    field = PublishedField(SceneBox((0.0, 0.0, 0.0), 2.0))
    with_weights(field.mlp, weights)
    positions, directions = places(40)
    found = field(torch.from_numpy(positions), torch.from_numpy(directions))
    expected = [figure_7(weights, p, d) for p, d in zip(positions, directions)]
    assert sum(density > 0 for density, _ in expected) == 20
    np.testing.assert_allclose(found.density.detach(), [density for density, _ in expected], atol=1e-10)
    np.testing.assert_allclose(found.color.detach(), [color for _, color in expected], atol=1e-10)


def test_a_scene_of_any_size_is_one_scene():
    """The box becomes [-1, 1]^3, and what it absorbs on the way through stays."""
    small, large = PublishedField(SceneBox((0.0, 0.0, 0.0), 2.0)), PublishedField(BOX)
    positions, directions = (torch.from_numpy(v).float() for v in places(40))
    unit, world = small(positions, directions), large(positions * 2.5 + torch.tensor(BOX.center), directions)
    torch.testing.assert_close(unit.density / 2.5, world.density, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(unit.color, world.color, atol=1e-3, rtol=1e-3)


def test_density_does_not_depend_on_the_direction():
    positions, directions = (torch.from_numpy(v).float() for v in places(20))
    field = PublishedField(BOX)
    one, other = field(positions, directions), field(positions, -directions)
    assert torch.equal(one.density, other.density)
    assert (one.color - other.color).abs().amax() > 1e-3


def test_it_has_as_many_parameters_as_the_figure_says():
    by_hand = (60 * 256 + 256) + 4 * (256 * 256 + 256) + (316 * 256 + 256) + 2 * (256 * 256 + 256)
    by_hand += (256 + 1) + (256 * 256 + 256) + (280 * 128 + 128) + (128 * 3 + 3)
    assert by_hand == 593_924
    nerf = PublishedNerf(BOX)
    for network in (nerf.coarse, nerf.fine):
        assert sum(p.numel() for p in network.parameters()) == by_hand
    assert not torch.equal(nerf.coarse.mlp.color.weight, nerf.fine.mlp.color.weight)


def test_gradients_in_double_precision():
    mlp = RadianceMlp(SMALL, seed=1).double()
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.uniform(-1, 1, (4, 18)), requires_grad=True)
    d = torch.tensor(rng.uniform(-1, 1, (4, 12)), requires_grad=True)
    assert torch.autograd.gradcheck(mlp, (x, d))
    names = [name for name, _ in mlp.named_parameters()]
    parameters = tuple(p.detach().requires_grad_(True) for p in mlp.parameters())

    def by_parameters(*values):
        return torch.func.functional_call(mlp, dict(zip(names, values)), (x.detach(), d.detach()))

    assert torch.autograd.gradcheck(by_parameters, parameters, fast_mode=True)


def test_first_weights_follow_the_seed():
    def weights(seed):
        return torch.nn.utils.parameters_to_vector(PublishedField(BOX, SMALL, seed=seed).parameters())

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_appearance_changes_the_colour_of_its_photo_alone():
    shape = RadianceShape(3, 2, layers=3, width=16, skip=2, view_width=16, appearance=4)
    field = PublishedField(BOX, shape, photos=3)
    positions, directions = (torch.from_numpy(v).float() for v in places(30))
    rows = torch.arange(30) % 3
    before = field(positions, directions, rows)
    assert field.appearance is not None
    field.appearance.vectors.data[1] = 2.0
    after = field(positions, directions, rows)
    assert torch.equal(before.density, after.density)
    changed = (before.color != after.color).any(-1)
    assert torch.equal(changed, rows == 1)


def test_a_view_of_no_photo_has_the_mean_appearance():
    embedding = AppearanceEmbedding(4, 3)
    embedding.vectors.data = torch.arange(12.0).reshape(4, 3)
    found = embedding(torch.tensor([2, -1, 0], dtype=torch.int32))
    assert found.tolist() == [[6, 7, 8], [4.5, 5.5, 6.5], [0, 1, 2]]
    with pytest.raises(ValueError, match="rows: expected -1 to 3, one for each photo, got 0 to 4"):
        embedding(torch.tensor([0, 4]))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="photos: expected 1 or more with an appearance of 8 numbers, got 0"):
        PublishedField(BOX, RadianceShape(appearance=8))
    with pytest.raises(ValueError, match="photos: expected 0 with an appearance of 0 numbers, got 9"):
        PublishedField(BOX, photos=9)
    with pytest.raises(ValueError, match="skip: expected 0 to 3, below the layers, got 5"):
        RadianceShape(layers=4)
    with pytest.raises(ValueError, match="width: expected 1 or more, got 0"):
        RadianceShape(width=0)
    with pytest.raises(ValueError, match="photos, size: expected 1 or more of each, got 0 and 4"):
        AppearanceEmbedding(0, 4)
