"""The whole training with the GPU's kernels in the emulator, its memory, and views of what it leaves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geo3d.nerf import MarchOptions, NerfModel, SceneBox, cuda_field, model, read_model, trainer
from geo3d.nerf.cuda_field import KERNELS, CudaField
from geo3d.nerf.cuda_memory import check_gpu_memory, training_bytes
from geo3d.nerf.engine import field_shape, samples_of
from geo3d.nerf.field_parameters import FieldShape, initial_parameters, parameter_shapes
from geo3d.nerf.model import model_renderer
from geo3d.nerf.trainer import backend_of, train
from geo3d.nerf.training_options import SampleOptions, TrainingOptions
from geo3d.render import load_views
from geo3d.util.progress import Progress
from tests.gpu.emulator import COMPILER, EmulatedLauncher
from tests.nerf.scenes import CAMERA, poses, write_scene

emulated = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory")
FEW = TrainingOptions(
    iterations=4,
    hold_out_every=0,
    levels=2,
    log2_entries=6,
    finest=32,
    samples=SampleOptions(first=320, last=320, steps_per_side=8, most_rays=64, grid=8, update_every=2),
)


class Heard(Progress):
    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("balls") / "scene", count=5)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 8 GiB that is the emulator."""
    launch = EmulatedLauncher(KERNELS)
    monkeypatch.setattr(cuda_field, "launcher", lambda: launch)
    monkeypatch.setattr(trainer, "free_gpu_bytes", lambda: 8 << 30)
    for where in (trainer, model):
        monkeypatch.setattr(where, "chosen_backend", lambda asked: "cpu" if asked == "cpu" else "cuda")


@pytest.mark.slow
@emulated
def test_auto_trains_on_the_gpu_and_the_file_is_rendered_on_both(gpu, scene, tmp_path):
    heard = Heard()
    report = train(scene, tmp_path, FEW, heard)
    assert heard.notes == ["trains on the GPU"] and not heard.warnings
    assert report.steps == 4 and report.samples > 4 * 100
    found = read_model(tmp_path / "nerf.pt")
    assert found.shape.levels == 2 and np.abs(found.parameters["grid"]).max() > 1e-3
    small = CAMERA.rescaled(10, 8)
    views = [model_renderer(found, backend=b)(small, poses(5)[1]) for b in ("auto", "cuda", "cpu")]
    np.testing.assert_array_equal(views[0].color, views[1].color)
    np.testing.assert_allclose(views[0].color, views[2].color, atol=0.02)
    train(scene, tmp_path, FEW, heard)
    assert "nothing to do" in heard.notes[-1]


@emulated
def test_a_full_memory_makes_steps_smaller_which_is_said_once(gpu, scene, tmp_path, monkeypatch):
    forward, sizes = CudaField.forward, []

    def full(self, positions, *others):
        sizes.append(len(positions))
        if len(positions) > 300:
            raise FULL
        return forward(self, positions, *others)

    monkeypatch.setattr(trainer._Training, "_warm_up", lambda self: None)
    monkeypatch.setattr(CudaField, "forward", full)
    heard = Heard()
    assert train(scene, tmp_path, FEW, heard).steps == 4
    assert sizes == [512, 256, 256, 256, 256]
    (warning,) = heard.warnings
    assert "the GPU's memory is full: steps go on with 50% of the rays" in warning


@emulated
@pytest.mark.parametrize("error", [FULL, RuntimeError("an illegal memory access")])
def test_what_smaller_steps_do_not_help_is_raised(gpu, scene, tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(trainer._Training, "_warm_up", lambda self: None)
    monkeypatch.setattr(CudaField, "forward", broken)
    with pytest.raises(RuntimeError, match=str(error)):
        train(scene, tmp_path, FEW, Heard())


@pytest.mark.slow
@emulated
def test_a_view_that_does_not_fit_is_made_of_smaller_parts(gpu, monkeypatch):
    shape = FieldShape(levels=2, log2_entries=6, finest=20)
    rng = np.random.default_rng(0)
    parameters = initial_parameters(shape) | {
        "grid": rng.normal(0, 1, parameter_shapes(shape)["grid"]).astype(np.float32)
    }
    box = SceneBox((0.0, 0.0, 0.0), 2.0)
    cells = np.full(8**3, 9.0, np.float32)
    given = NerfModel(shape, parameters, box, 0.1, np.inf, MarchOptions(0.2), cells, 0.01)
    camera, pose = CAMERA.rescaled(48, 30), poses(3)[0]
    whole = model_renderer(given)(camera, pose)
    forward = CudaField.forward

    def full(self, positions, directions, *others):
        if len(directions) > 1024:
            raise FULL
        return forward(self, positions, directions, *others)

    monkeypatch.setattr(CudaField, "forward", full)
    np.testing.assert_array_equal(model_renderer(given)(camera, pose).color, whole.color)
    assert whole.alpha.max() > 0.1


def test_what_does_not_fit_is_refused_with_what_would(scene):
    views, options = load_views(scene), TrainingOptions(log2_entries=24).for_backend("cuda")
    with pytest.raises(MemoryError, match=r"log2_entries (\d+) would fit, or train on the CPU") as refused:
        check_gpu_memory(views, 1.0, options, 6 << 30)
    fits = int(str(refused.value).split("log2_entries ")[1].split()[0])
    for entries, good in ((fits, True), (fits + 1, False)):
        need = training_bytes(field_shape(replace(options, log2_entries=entries)), options)
        assert (need <= 0.9 * (6 << 30)) == good
    with pytest.raises(MemoryError, match="fewer samples a step would fit"):
        check_gpu_memory(views, 1.0, options, 1 << 30)
    pixels = sum(view.camera.width * view.camera.height for view in views.views)
    assert check_gpu_memory(views, 1.0, TrainingOptions().for_backend("cuda"), 4 << 30) >= 4 * pixels


def test_a_gpu_has_the_larger_field_unless_told_otherwise():
    on_gpu, on_cpu = TrainingOptions().for_backend("cuda"), TrainingOptions().for_backend("cpu")
    assert field_shape(on_gpu) == FieldShape(levels=16, log2_entries=19, finest=2048)
    assert field_shape(on_cpu) == FieldShape() == field_shape(TrainingOptions())
    assert samples_of(on_gpu).first == samples_of(on_gpu).last == 1 << 18
    assert samples_of(on_cpu) == SampleOptions()
    told = TrainingOptions(levels=3, log2_entries=9, finest=40, samples=SampleOptions(first=7)).for_backend(
        "cuda"
    )
    assert field_shape(told) == FieldShape(levels=3, log2_entries=9, finest=40)
    assert samples_of(told).first == 7


@emulated
def test_by_the_clock_a_gpu_ends_after_so_many_steps(gpu, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "GPU_STEPS", 3)
    assert train(scene, tmp_path, replace(FEW, iterations=None, minutes=5.0), Heard()).steps == 3


def test_auto_takes_the_cpu_for_what_the_kernels_cannot_do(monkeypatch):
    monkeypatch.setattr(trainer, "chosen_backend", lambda asked: "cpu" if asked == "cpu" else "cuda")
    assert backend_of(TrainingOptions()) == "cuda"
    assert backend_of(TrainingOptions(appearance=4)) == "cpu"
    assert backend_of(TrainingOptions(backend="cpu")) == "cpu"
