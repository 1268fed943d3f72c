"""The header of the CUDA kernels, compiled by gcc, number by number beside the reference and finite differences."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.torch_harmonics import spherical_harmonics
from geo3d.scene import Gaussians
from geo3d.splat.cuda_frame import KERNELS, view_numbers
from geo3d.splat.options import RenderOptions
from geo3d.splat.reference import BLUR, project
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.spherical_harmonics_kernels import sh_basis, sh_gradient

GCC = shutil.which("gcc")
pytestmark = pytest.mark.skipif(GCC is None, reason="needs gcc, which compiles the header here")

CAMERA = Camera("PINHOLE", 64, 48, [60.0, 63.0, 31.0, 25.5])
POSE = SE3.exp([0.1, -0.2, 3.0, 0.1, -0.2, 0.3])
NAMES = ("means", "quaternions", "log_scales", "logit_opacities")
DOUBLE = ("-DGS_REAL=double", "-DGS_DOUBLE")


def built(folder: Path, *flags: str) -> ctypes.CDLL:
    library = folder / "probe.so"
    source = Path(__file__).with_name("splat_math_probe.c")
    command = [
        str(GCC),
        "-std=c99",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-shared",
        "-fPIC",
        *flags,
    ]
    subprocess.run([*command, f"-I{KERNELS}", str(source), "-lm", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


class Probe:
    """The header's functions on NumPy arrays of one type."""

    def __init__(self, folder: Path, dtype: type):
        self.dtype = dtype
        self.library = built(folder, *(DOUBLE if dtype is np.float64 else ()))

    def call(self, name: str, *arguments) -> None:
        """Arrays of floats that are not of this type are inputs, and converted."""
        held = [
            a if isinstance(a, int) or a.dtype == np.int32 else np.ascontiguousarray(a, self.dtype)
            for a in arguments
        ]
        pointers = [a if isinstance(a, int) else a.ctypes.data_as(ctypes.c_void_p) for a in held]
        getattr(self.library, f"probe_{name}")(*pointers)

    def view(self, pose: np.ndarray, camera: Camera = CAMERA, near: float = 0.01) -> np.ndarray:
        numbers = (
            view_numbers(camera, torch.from_numpy(pose), near, torch.device("cpu")).numpy().astype(self.dtype)
        )
        numbers[6:8] = near, BLUR
        numbers[8:17], numbers[17:] = pose[:3, :3].ravel(), pose[:3, 3]
        return numbers

    def project(
        self, g: Gaussians, pose: np.ndarray, camera: Camera = CAMERA
    ) -> tuple[np.ndarray, np.ndarray]:
        seen, out = np.zeros(len(g), np.int32), np.zeros((len(g), 13), self.dtype)
        parts = [np.ascontiguousarray(getattr(g, name), self.dtype) for name in NAMES]
        self.call("project", len(g), self.view(pose, camera), *parts, int(g.antialiased), seen, out)
        return seen.astype(bool), out

    def project_backward(self, g: Gaussians, pose: np.ndarray, d: np.ndarray) -> np.ndarray:
        out = np.zeros((len(g), 23), self.dtype)
        parts = [np.ascontiguousarray(getattr(g, name), self.dtype) for name in NAMES]
        self.call(
            "project_backward", len(g), self.view(pose), *parts, int(g.antialiased), d.astype(self.dtype), out
        )
        return out


@pytest.fixture(scope="module")
def double(tmp_path_factory) -> Probe:
    return Probe(tmp_path_factory.mktemp("double"), np.float64)


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Probe:
    return Probe(tmp_path_factory.mktemp("single"), np.float32)


def scene(n: int = 200, seed: int = 0, antialiased: bool = False, spread: float = 1.5) -> Gaussians:
    """Random Gaussians, float64, some behind the camera and some outside of the image."""
    rng = np.random.default_rng(seed)
    return Gaussians(
        rng.normal(size=(n, 3)) * spread,
        rng.normal(size=(n, 4)),
        rng.normal(size=(n, 3)) * 0.7 - 2.0,
        rng.normal(size=n) * 1.5,
        rng.normal(size=(n, 16, 3)) * 0.3,
        antialiased,
    )


def as_torch(g: Gaussians) -> Gaussians:
    return Gaussians(*(torch.from_numpy(getattr(g, name)) for name in (*NAMES, "sh")), g.antialiased)


@pytest.mark.parametrize("antialiased", [False, True])
def test_projection_is_that_of_the_reference(double, single, antialiased):
    g = scene(antialiased=antialiased, spread=3.0)
    expected = project(as_torch(g), CAMERA, torch.from_numpy(POSE.matrix4()), RenderOptions())
    for probe, tolerance in ((double, 1e-10), (single, 2e-4)):
        seen, out = probe.project(g, POSE.matrix4())
        opaque = np.zeros(len(g), bool)
        rows = expected.rows.numpy()
        opaque[rows] = expected.opacities.numpy() >= 1 / 255
        assert 20 < seen.sum() < len(g) and (seen == opaque).all()
        out = out[rows][seen[rows]].astype(np.float64)
        kept = torch.from_numpy(seen[rows])
        covariances = expected.covariances[kept]
        conics = torch.linalg.inv(covariances).reshape(-1, 4)[:, [0, 1, 3]].numpy()
        largest = np.abs(conics).max(1, keepdims=True)
        np.testing.assert_allclose(out[:, 2], expected.depths[kept], rtol=tolerance)
        np.testing.assert_allclose(out[:, 3:5], expected.centers[kept], rtol=tolerance, atol=tolerance * 10)
        np.testing.assert_allclose(out[:, 5:8] / largest, conics / largest, atol=tolerance * 5)
        np.testing.assert_allclose(out[:, 8], expected.opacities[kept], rtol=tolerance)
        np.testing.assert_allclose(out[:, 9:12], expected.normals[kept], atol=tolerance)
        radius = 3 * torch.linalg.eigvalsh(covariances)[:, -1].sqrt().numpy()
        np.testing.assert_allclose(out[:, 12], radius, rtol=tolerance * 5)


@pytest.mark.parametrize("antialiased", [False, True])
def test_gradients_of_the_projection_are_finite_differences(double, antialiased):
    g = scene(60, seed=1, antialiased=antialiased, spread=2.0)
    pose = POSE.matrix4()
    seen, _ = double.project(g, pose)
    rng = np.random.default_rng(2)
    d = rng.normal(size=(len(g), 10))
    columns = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]  # of gs_projected, in the order of its gradient
    d[:, 3:6] *= 10.0  # conics are small numbers
    found = double.project_backward(g, pose, d)[seen]

    def value(changed: Gaussians, at: np.ndarray) -> np.ndarray:
        return (double.project(changed, at)[1][:, columns] * d).sum(1)[seen]

    def slope(change) -> np.ndarray:
        step = 1e-6
        return (value(*change(step)) - value(*change(-step))) / (2 * step)

    def moved(name: str, j: int | None):
        def change(step):
            parts = {n: getattr(g, n).copy() for n in (*NAMES, "sh")}
            parts[name][(slice(None),) if j is None else (slice(None), j)] += step
            return Gaussians(**parts, antialiased=antialiased), pose

        return change

    def posed(i: int, j: int):
        def change(step):
            at = pose.copy()
            at[i, j] += step
            return g, at

        return change

    changes = [moved("means", j) for j in range(3)] + [moved("quaternions", j) for j in range(4)]
    changes += [moved("log_scales", j) for j in range(3)] + [moved("logit_opacities", None)]
    changes += [posed(i, j) for i in range(3) for j in range(3)] + [posed(i, 3) for i in range(3)]
    expected = np.stack([slope(change) for change in changes], 1)
    scale = np.abs(expected).max(1, keepdims=True)
    assert seen.sum() > 20
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-6)


def test_a_gaussian_far_outside_of_the_image_keeps_its_shape_fixed(double):
    """The clamp of J: where it holds, the shape does not follow the mean sideways."""
    g = scene(1)
    g.means[0] = POSE.inverse().act(np.array([3.0, 0.1, 1.0]))
    g.log_scales[0], g.logit_opacities[0] = -0.5, 3.0
    d = np.zeros((1, 10))
    d[0, 3:6] = [1.0, 2.0, -1.0]
    found = double.project_backward(g, POSE.matrix4(), d)
    camera = POSE.rotation @ found[0, :3]
    assert abs(camera[0]) < 1e-12 and abs(camera[2]) > 1e-6


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_are_those_of_the_reference_and_of_the_cpu(double, degree):
    rng = np.random.default_rng(degree)
    means, g = rng.normal(size=(50, 3)), rng.normal(size=(50, 16))
    count = (degree + 1) ** 2
    g[:, count:] = 0
    basis, out = np.zeros((50, 16)), np.zeros((50, 23))
    pose = POSE.matrix4()
    double.call("basis", 50, double.view(pose), means, degree, g, basis, out)
    at, matrix = torch.tensor(means, requires_grad=True), torch.tensor(pose, requires_grad=True)
    directions = torch.nn.functional.normalize(at + matrix[:3, :3].T @ matrix[:3, 3], dim=-1)
    expected = spherical_harmonics(directions)
    np.testing.assert_allclose(basis[:, :count], expected.detach()[:, :count], atol=1e-12)
    (expected * torch.from_numpy(g)).sum().backward()
    assert at.grad is not None and matrix.grad is not None
    np.testing.assert_allclose(out[:, :3], at.grad, atol=1e-10)
    np.testing.assert_allclose(out[:, 11:20].sum(0), matrix.grad[:3, :3].ravel(), atol=1e-9)
    np.testing.assert_allclose(out[:, 20:23].sum(0), matrix.grad[:3, 3], atol=1e-9)
    cpu = np.zeros(16, np.float32)
    for row in range(5):
        x, y, z = directions[row].detach().numpy().astype(np.float32)
        sh_basis(x, y, z, count, cpu)
        np.testing.assert_allclose(cpu[:count], basis[row, :count], atol=2e-6)
        slope = np.array(sh_gradient(x, y, z, count, g[row].astype(np.float32)))
        direction = directions[row].detach().numpy()
        ray = means[row] - POSE.center()
        across = (slope - direction * (slope @ direction)) / np.linalg.norm(ray)
        np.testing.assert_allclose(across, out[row, :3], atol=2e-5)


def test_alpha_has_its_limits(double):
    n = 400
    rng = np.random.default_rng(5)
    roots = rng.normal(size=(n, 2, 2)) * 0.3
    forms = roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(2)
    d, opacities = rng.normal(size=(n, 2)) * 4, rng.uniform(0.0, 1.0, n)
    opacities[:20] = 1.0
    d[:20] *= 1e-3
    out = np.zeros(n)
    double.call("alpha", n, d, forms.reshape(n, 4)[:, [0, 1, 3]], opacities, out)
    expected = np.minimum(0.999, opacities * np.exp(-0.5 * np.einsum("ni,nij,nj->n", d, forms, d)))
    np.testing.assert_allclose(out, np.where(expected < 1 / 255, 0.0, expected), rtol=1e-12)
    assert (out == 0.999).any() and (out == 0).any()


@given(
    mean=st.tuples(st.floats(-20, 60), st.floats(-20, 60)),
    angle=st.floats(0, 3.14),
    radii=st.tuples(st.floats(0.55, 40), st.floats(0.55, 40)),
    opacity=st.floats(0.004, 1.0),
    row=st.integers(0, 2),
)
def test_spans_hold_every_pixel_of_the_ellipse_and_little_more(single, mean, angle, radii, opacity, row):
    width, height = 45, 40
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    form = turn @ np.diag(1 / np.array(radii) ** 2) @ turn.T
    conic = np.array([[form[0, 0], form[0, 1], form[1, 1]]], np.float32)
    reach, spans = np.zeros(1, np.float32), np.zeros((1, 4), np.int32)
    single.call("reach", 1, np.array([opacity], np.float32), reach)
    strip = np.array([[16 * row, min(16 * row + 15, height - 1)]], np.int32)
    single.call("spans", 1, np.array([mean], np.float32), conic, reach, width, height, strip, spans)
    top, bottom, left, right = spans[0].tolist()

    y, x = np.mgrid[:height, :width] + 0.5
    d = np.stack([mean[0] - x, mean[1] - y], -1)
    alpha = opacity * np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", d, form, d))
    rows, _ = np.nonzero(alpha >= 1 / 255)
    assert rows.size == 0 or (top <= rows.min() and rows.max() <= bottom)
    inside = np.nonzero((alpha >= 1 / 255)[strip[0, 0] : strip[0, 1] + 1])[1]
    assert inside.size == 0 or (left <= inside.min() and inside.max() <= right)

    # Each column that is claimed meets the ellipse somewhere between the centres of the strip's rows.
    a, b, c = conic[0].astype(float)
    low, high = max(strip[0, 0], top) + 0.5, min(strip[0, 1], bottom) + 0.5
    for column in range(left, right + 1):
        dx = column + 0.5 - mean[0]
        dy = np.clip(-b * dx / c, low - mean[1], high - mean[1])
        assert a * dx**2 + 2 * b * dx * dy + c * dy**2 <= reach[0] * (1 + 1e-3) + 1e-3


def test_what_has_no_finite_ellipse_is_refused(single):
    g = scene(8)
    g.means[:] = POSE.inverse().act(np.array([0.0, 0.0, 2.0]))
    g.logit_opacities[:] = 2.0
    g.means[0, 0] = np.nan
    g.quaternions[1] = 0.0
    g.log_scales[2] = 200.0
    g.logit_opacities[3] = np.nan
    g.logit_opacities[4] = -20.0
    g.means[5] = POSE.center()
    g.log_scales[6, 1] = np.nan
    with np.errstate(over="ignore"):
        seen, _ = single.project(g, POSE.matrix4())
    assert seen.tolist() == [False] * 7 + [True]


def test_the_filter_is_that_of_the_cpu_and_its_gradient_finite_differences(double):
    rng = np.random.default_rng(0)
    n = 30
    log_scales, logits, d = rng.normal(size=(n, 3)) - 2, rng.normal(size=n), rng.normal(size=(n, 4))
    variances = np.where(np.arange(n) < 5, 0.0, rng.uniform(0.001, 0.1, n))

    def smoothed(log_scales, logits):
        out, slopes = np.zeros((n, 4)), np.zeros((n, 4))
        double.call("smooth", n, log_scales, logits, variances, d, out, slopes)
        return out, slopes

    out, slopes = smoothed(log_scales, logits)
    g = scene(n)
    cpu = Smoothing([], [])
    cpu.variance = variances
    expected = cpu.apply(Gaussians(g.means, g.quaternions, log_scales, logits, g.sh))
    np.testing.assert_allclose(out[:, :3], expected.log_scales, atol=1e-12)
    np.testing.assert_allclose(out[:, 3], expected.logit_opacities, atol=1e-6)
    step = 1e-6
    for k in range(4):
        shift = np.zeros((n, 4))
        shift[:, k] = step
        above = smoothed(log_scales + shift[:, :3], logits + shift[:, 3])[0]
        below = smoothed(log_scales - shift[:, :3], logits - shift[:, 3])[0]
        np.testing.assert_allclose(slopes[:, k], ((above - below) * d).sum(1) / (2 * step), atol=1e-7)
