"""The CUDA kernels, executed by the emulator, beside the reference, autograd and the CPU's kernels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat.cuda_frame import KERNELS, _sort_by_tile
from geo3d.splat.cuda_order import morton_order
from geo3d.splat.cuda_rasterizer import CudaRasterizer, render_differentiably
from geo3d.splat.options import Rendering, RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.splat.reference import render_reference
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

NAMES = ("means", "quaternions", "log_scales", "logit_opacities", "sh")
IMAGES = ("color", "alpha", "depth", "median_depth", "normals")
CAMERA = Camera("PINHOLE", 53, 37, [50.0, 52.0, 26.0, 19.5])
POSE = SE3.exp([0.1, -0.05, 3.0, 0.05, 0.2, -0.1])
ALL = RenderOptions(background=(0.2, 0.5, 0.9), depth=True, normals=True)


def scene(
    n: int = 150, seed: int = 0, degree: int = 3, opacity: float = 0.0, antialiased: bool = False
) -> Gaussians:
    """Random Gaussians, float32 tensors, some out of view and some behind the camera."""
    rng = np.random.default_rng(seed)
    return as_tensors(
        rng.normal(size=(n, 3)) * [1.2, 0.9, 1.2],
        rng.normal(size=(n, 4)),
        rng.normal(size=(n, 3)) * 0.5 - 2.0,
        rng.normal(size=n) * 1.5 + opacity,
        rng.normal(size=(n, (degree + 1) ** 2, 3)) * 0.3,
        antialiased=antialiased,
    )


def as_tensors(*parts, antialiased: bool = False) -> Gaussians:
    return Gaussians(*(torch.tensor(np.asarray(p), dtype=torch.float32) for p in parts), antialiased)


def crowd() -> Gaussians:
    """Many instances in one tile, opaque enough that pixels end early: several batches and buckets."""
    g = scene(700, seed=3, degree=0, opacity=-0.5)
    g.means[:] *= torch.tensor([0.12, 0.12, 0.5])
    g.log_scales[:] -= 0.5
    return g


def giants() -> Gaussians:
    """Larger than the image, next to the camera, far beside it."""
    g = scene(40, seed=4, degree=1)
    g.log_scales[:20] += 3.0
    g.means[20:30, 2] -= 2.5
    return g


SCENES = {
    "plain": scene(),
    "antialiased": scene(seed=1, degree=2, antialiased=True),
    "crowd": crowd(),
    "giants": giants(),
    "one": scene(1, seed=5, degree=0, opacity=3.0),
}


def reference(g: Gaussians, options: RenderOptions, camera: Camera = CAMERA, pose: SE3 = POSE):
    """Images and leaves (parameters and pose) in float64."""
    leaves = [getattr(g, name).double().requires_grad_(True) for name in NAMES]
    matrix = torch.tensor(pose.matrix4(), requires_grad=True)
    images = render_reference(Gaussians(*leaves, g.antialiased), camera, matrix, options)
    return images, leaves, matrix


def weights_of(images: Rendering) -> dict[str, torch.Tensor]:
    """A random gradient for every image but the median depth."""
    rng = np.random.default_rng(7)
    made = {}
    for name in IMAGES:
        image = getattr(images, name)
        if image is not None and name != "median_depth":
            made[name] = torch.from_numpy(rng.normal(size=tuple(image.shape)))
    return made


def correlation(a, b) -> float:
    a, b = torch.as_tensor(a).double().flatten(), torch.as_tensor(b).double().flatten()
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("name", SCENES)
def test_images_are_those_of_the_reference(name):
    g = SCENES[name]
    found = CudaRasterizer(EmulatedLauncher(KERNELS)).forward(g, CAMERA, POSE, ALL)
    expected, _, _ = reference(g, ALL)
    assert float(expected.alpha.detach().max()) > 0.5
    for image in IMAGES:
        a, b = getattr(found, image).double(), getattr(expected, image).detach()
        # A Gaussian at a threshold (1/255, 1e-4) may fall to the other side in float32: seen in few pixels.
        differs = (a - b).abs() > (2e-5 if image in ("color", "alpha") else 1e-4)
        assert differs.float().mean() < 2e-3, (image, float((a - b).abs().max()))
        if image in ("color", "alpha"):
            assert float((a - b).abs().max()) < 2 / 255


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("channels", [3, 4, 7])
def test_gradients_are_those_of_autograd_through_the_reference(name, channels):
    g = SCENES[name]
    options = RenderOptions(background=(0.2, 0.5, 0.9), depth=channels >= 4, normals=channels >= 7)
    expected, leaves, matrix = reference(g, options)
    given_ = weights_of(expected)
    sum((getattr(expected, image) * weight).sum() for image, weight in given_.items()).backward()
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    rasterizer.forward(g, CAMERA, POSE, options)
    found = rasterizer.backward(*(given_.get(image) for image in ("color", "alpha", "depth", "normals")))
    for parameter, leaf in zip(NAMES, leaves):
        assert correlation(getattr(found, parameter), leaf.grad) > 0.9999, parameter
    assert correlation(found.pose, matrix.grad[:3]) > 0.9999
    assert found.visible.dtype == torch.bool and (found.radius_px[found.visible] > 0).all()
    assert not found.means[~found.visible].any()
    assert (found.mean2d_abs >= found.mean2d.abs() * (1 - 1e-5)).all()


@pytest.mark.parametrize("name", SCENES)
def test_no_result_depends_on_the_order_of_threads(name):
    found = []
    for order in (0, 1, 2):
        rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS, order))
        images = rasterizer.forward(SCENES[name], CAMERA, POSE, ALL)
        gradients = rasterizer.backward(
            *(weights_of(images)[i] for i in ("color", "alpha", "depth", "normals"))
        )
        found.append([*(getattr(images, i) for i in IMAGES), *vars(gradients).values()])
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others))


@pytest.mark.parametrize("name", SCENES)
def test_both_backends_agree(name):
    g = SCENES[name]
    options = RenderOptions(background=(0.2, 0.5, 0.9))
    on_cpu = CpuRasterizer(absolute_gradients=True)
    parts = [getattr(g, parameter).numpy() for parameter in NAMES]
    expected = on_cpu.forward(Gaussians(*parts, g.antialiased), CAMERA, POSE, options)
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    found = rasterizer.forward(g, CAMERA, POSE, options)
    assert np.abs(found.color.numpy() - expected.color).max() < 2 / 255
    assert np.abs(found.alpha.numpy() - expected.alpha).max() < 2 / 255
    d_color = np.random.default_rng(1).normal(size=expected.color.shape).astype(np.float32)
    theirs = on_cpu.backward(d_color)
    ours = rasterizer.backward(torch.from_numpy(d_color))
    for field in (*NAMES, "pose", "mean2d", "mean2d_abs"):
        assert correlation(getattr(ours, field), getattr(theirs, field)) > 0.9999, field
    both = ours.visible.numpy() & theirs.visible
    assert (ours.visible.numpy() == both).all(), (
        "the tight tiles are among those of the box around the ellipse"
    )
    np.testing.assert_allclose(ours.radius_px.numpy()[both], theirs.radius_px[both], rtol=1e-4)


def test_the_crowd_fills_several_batches_and_ends_pixels_early():
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    rasterizer.forward(SCENES["crowd"], CAMERA, POSE)
    frame = rasterizer.frame
    assert frame is not None
    lengths = frame.ranges[:, 1] - frame.ranges[:, 0]
    assert lengths.max() > 2 * 256 and int(frame.kept["tile_last"].max()) < lengths.max()


def test_images_without_a_way_back_are_the_same():
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    kept = rasterizer.forward(SCENES["crowd"], CAMERA, POSE, ALL)
    alone = rasterizer.forward(SCENES["crowd"], CAMERA, POSE, ALL, differentiable=False)
    assert rasterizer.frame is not None and not rasterizer.frame.kept
    assert all(torch.equal(getattr(kept, image), getattr(alone, image)) for image in IMAGES)


@pytest.mark.parametrize("n", [0, 5])
def test_nothing_in_view_is_background(n):
    g = scene(n, degree=1)
    g.means[:, 2] -= 100.0
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    found = rasterizer.forward(g, CAMERA, POSE, ALL)
    assert torch.equal(found.color, torch.tensor(ALL.background).expand(37, 53, 3))
    assert not found.alpha.any() and not found.depth.any() and not found.normals.any()
    gradients = rasterizer.backward(torch.ones(37, 53, 3), None, torch.ones(37, 53), torch.ones(37, 53, 3))
    assert not gradients.visible.any() and not gradients.pose.any()
    assert all(not getattr(gradients, name).any() for name in NAMES)


def test_what_is_not_finite_is_left_out():
    g = scene(30, seed=8)
    damaged = Gaussians(*(getattr(g, name).clone() for name in NAMES))
    for row, name in enumerate(NAMES):
        getattr(damaged, name).view(30, -1)[row, 0] = float("nan")
    rest = Gaussians(*(getattr(g, name)[len(NAMES) :] for name in NAMES))
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    found, expected = (rasterizer.forward(x, CAMERA, POSE, ALL) for x in (damaged, rest))
    assert torch.equal(found.color, expected.color)


def test_the_degree_of_colours_and_the_near_plane_are_heeded():
    g = scene(80, seed=9)
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    for options in (RenderOptions(sh_degree=1), RenderOptions(near=3.0)):
        found = rasterizer.forward(g, CAMERA, POSE, options)
        expected, _, _ = reference(g, options)
        assert float((found.color - expected.color).detach().abs().max()) < 2 / 255
    gradients = rasterizer.backward(torch.ones(37, 53, 3))
    assert gradients.sh[:, 4:].any()
    rasterizer.forward(g, CAMERA, POSE, RenderOptions(sh_degree=1))
    gradients = rasterizer.backward(torch.ones(37, 53, 3))
    assert gradients.sh[:, :4].any() and not gradients.sh[:, 4:].any()


def test_a_lens_that_the_kernels_do_not_know_is_refused():
    camera = Camera("SIMPLE_RADIAL", 53, 37, [50.0, 26.0, 19.5, 0.1])
    with pytest.raises(ValueError, match=r"SIMPLE_RADIAL; undistort the photos first .geo3d undistort."):
        CudaRasterizer(EmulatedLauncher(KERNELS)).forward(scene(3), camera, POSE)


def test_tensors_of_another_device_are_refused():
    elsewhere = Gaussians(*(getattr(SCENES["one"], name).to("meta") for name in NAMES))
    with pytest.raises(ValueError, match="expected tensors on cpu, got them on meta"):
        CudaRasterizer(EmulatedLauncher(KERNELS)).forward(elsewhere, CAMERA, POSE)


def test_autograd_goes_through_to_parameters_and_pose():
    g = SCENES["plain"]
    leaves = [getattr(g, name).clone().requires_grad_(True) for name in NAMES]
    matrix = torch.tensor(POSE.matrix4(), requires_grad=True)
    launch = EmulatedLauncher(KERNELS)
    images = render_differentiably(launch, Gaussians(*leaves), CAMERA, matrix, ALL)
    given_ = weights_of(images)
    sum((getattr(images, image) * weight).sum() for image, weight in given_.items()).backward()
    rasterizer = CudaRasterizer(launch)
    rasterizer.forward(g, CAMERA, POSE, ALL)
    expected = rasterizer.backward(*(given_[image] for image in ("color", "alpha", "depth", "normals")))
    for name, leaf in zip(NAMES, leaves):
        assert torch.equal(leaf.grad, getattr(expected, name)), name
    assert torch.equal(matrix.grad[:3], expected.pose) and not matrix.grad[3].any()
    assert not images.median_depth.requires_grad


def test_autograd_with_depth_but_no_normals_and_one_image_used():
    leaves = [getattr(SCENES["plain"], name).clone().requires_grad_(True) for name in NAMES]
    options = RenderOptions(depth=True)
    images = render_differentiably(EmulatedLauncher(KERNELS), Gaussians(*leaves), CAMERA, POSE, options)
    assert images.normals is None
    images.depth.sum().backward()
    assert leaves[0].grad.any() and not leaves[4].grad.any()


def test_tensors_of_another_type_keep_it():
    leaves = [getattr(SCENES["plain"], name).double().requires_grad_(True) for name in NAMES]
    images = render_differentiably(EmulatedLauncher(KERNELS), Gaussians(*leaves), CAMERA, POSE, ALL)
    assert images.color.dtype == images.normals.dtype == torch.float64
    images.color.sum().backward()
    assert leaves[0].grad.dtype == torch.float64


@given(
    counts=st.sampled_from([1, 31, 4096, 4097, 9000]),
    tiles=st.sampled_from([1, 2, 40, 256, 257, 3000, 70000]),
    order=st.integers(0, 2),
    seed=st.integers(0, 5),
)
@settings(max_examples=25)
def test_the_sort_by_tile_is_stable(counts, tiles, order, seed):
    keys = torch.from_numpy(np.random.default_rng(seed).integers(0, tiles, counts).astype(np.int32))
    values = torch.arange(counts, dtype=torch.int32)
    launch = EmulatedLauncher(KERNELS, order)
    found, moved, _ = _sort_by_tile(launch, keys.clone(), values, tiles)
    expected = torch.sort(keys, stable=True)
    assert torch.equal(found, expected.values) and torch.equal(moved.long(), expected.indices)


def test_mortons_order_keeps_neighbours_together():
    grid = torch.cartesian_prod(*[torch.arange(8.0)] * 3)
    shuffled = grid[torch.randperm(512, generator=torch.Generator().manual_seed(0))]
    ordered = shuffled[morton_order(EmulatedLauncher(KERNELS), shuffled)]
    for block in ordered.split(8):  # each octant of two by two by two stands together, x fastest
        assert ((block.amax(0) - block.amin(0)) == 1).all()
    assert torch.equal(ordered[:4], torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]))
    shuffled[7] = torch.nan
    assert sorted(morton_order(EmulatedLauncher(KERNELS), shuffled).tolist()) == list(range(512))


def test_kernels_and_python_agree_on_the_layout():
    from geo3d.splat import cuda_frame

    text = (KERNELS / "layout.h").read_text() + (KERNELS / "tiles.cu").read_text()
    assert f"#define TILE {cuda_frame.TILE}\n" in text
    assert f"#define GRADIENT_HEAD {cuda_frame.GRADIENT_HEAD}\n" in text
    assert cuda_frame.BUCKET == 64 and "#define PER_LANE 2 " in text
    assert cuda_frame._RADIX_ITEMS == 4096 and "#define RADIX_ROUNDS 16\n" in text
    assert isinstance(KERNELS, Path) and KERNELS.is_dir()
