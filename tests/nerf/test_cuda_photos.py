"""What photos learn on the GPU: exposure beside that of the CPU, poses beside the slopes along their motions."""

import numpy as np
import pytest
import torch

from geo3d.geometry import SE3
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_exposure import CudaExposure
from geo3d.nerf.cuda_marching import CudaSamples
from geo3d.nerf.cuda_poses import CudaPoses, in_frame
from geo3d.nerf.scene_bounds import SceneBounds
from geo3d.render.exposure import Exposure

CPU = torch.device("cpu")


def test_exposure_moves_as_on_the_cpu():
    rng = np.random.default_rng(0)
    ours, theirs = CudaExposure(5, CPU), Exposure(5)
    rows = rng.choice([0, 1, 3], 200).astype(np.int32)  # 2 and 4 have no ray
    for _ in range(20):
        image = rng.random((200, 3)).astype(np.float32)
        changed = theirs.apply_rays(rows, image)
        d_changed = (changed - image * (0.8, 1.1, 1.0)).astype(np.float32) / 200
        theirs.step_rays(rows, image, d_changed, 1e-2)
        both = torch.from_numpy(image), torch.from_numpy(200 * d_changed)
        ours.step(torch.from_numpy(rows), *both, 1 / 200, 1e-2)
    np.testing.assert_allclose(ours.matrices, theirs.matrices, atol=2e-4)
    assert ours.steps.tolist() == theirs.steps.tolist() == [20, 20, 0, 20, 0]
    before = ours.arrays()
    ours.step(torch.from_numpy(rows), both[0] * float("nan"), both[1], 1 / 200, 1e-2)
    np.testing.assert_allclose(ours.matrices, before["matrices"], atol=1e-6)
    again = CudaExposure(5, CPU)
    again.restore(before)
    assert all(np.array_equal(again.arrays()[name], before[name]) for name in before)


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_gradient_by_a_pose_is_the_slope_along_its_motions(monkeypatch, unbounded):
    """Of a loss that is linear in the places of the samples in the unit cube."""
    rng = np.random.default_rng(1)
    box = SceneBox((0.3, -0.2, 0.1), 2.0, unbounded)
    bounds = SceneBounds(box, np.zeros(3, np.float32))
    poses = CudaPoses([SE3.exp(rng.normal(0, 0.3, 6)) for _ in range(3)], bounds, CPU)
    rays, each, room = 40, 6, 300
    bearings = np.array([0.0, 0.0, 2.0]) + rng.normal(size=(rays, 3))
    bearings /= np.linalg.norm(bearings, axis=1, keepdims=True)
    owners = np.repeat(np.arange(rays), each)
    middles = rng.uniform(0.05, 1.5, rays * each)
    slope = rng.normal(size=(rays * each, 3))
    frame = box.in_box_frame()

    def along(pose):
        local = in_frame(pose, bounds)
        directions = bearings @ local.rotation
        return directions, local.center() + middles[:, None] * directions[owners]

    def loss(pose):
        return float((frame.unit_positions(along(pose)[1]) * slope).sum())

    def padded(array, dtype=torch.float32):
        """With rubbish behind it."""
        array = np.asarray(array)
        whole = np.full((room, *array.shape[1:]), 7e30 if array.dtype.kind == "f" else 10**6)
        whole[: len(array)] = array
        return torch.tensor(whole, dtype=dtype)

    pose = poses.refinement.apply(2, poses.given[2])
    directions, places = along(pose)
    count = torch.tensor([rays * each], dtype=torch.int32)
    samples = CudaSamples(
        padded(middles - 0.01), padded(middles + 0.01), padded(frame.unit_positions(places)),
        padded(owners, torch.int32), torch.zeros(1), count,
    )  # fmt: skip
    gradient = torch.zeros(room, 3)
    gradient[: len(slope)] = torch.tensor(128 * slope)
    rows = torch.full((rays,), 2, dtype=torch.int32)
    poses.gather(torch.tensor(directions, dtype=torch.float32), rows, samples, gradient, 1 / 128)
    moved = {}
    monkeypatch.setattr(poses.refinement, "step", lambda row, at, d_pose, rate: moved.update({row: d_pose}))
    poses.move(1e-3)
    assert list(moved) == [2] and not poses._sums.any()
    found, slopes = [], []
    for tangent in np.eye(6):
        ends = [SE3.exp(size * tangent) @ pose for size in (1e-5, -1e-5)]
        slopes.append((loss(ends[0]) - loss(ends[1])) / 2e-5)
        found.append(float(((ends[0].matrix4() - ends[1].matrix4())[:3] / 2e-5 * moved[2]).sum()))
    np.testing.assert_allclose(found, slopes, atol=2e-3 * np.abs(slopes).max())


def test_poses_in_use_are_those_that_rays_are_drawn_with():
    bounds = SceneBounds(SceneBox((1.0, 0.0, 0.0), 4.0), np.zeros(2, np.float32))
    given = [SE3.identity(), SE3.exp(np.array([0.1, 0, 0, 0, 0.2, 0]))]
    poses = CudaPoses(given, bounds, CPU)
    before = poses.rows()
    poses.refinement.motions[1] = SE3.exp(np.array([0.4, 0, 0, 0, 0, 0])).matrix4()
    after = poses.rows().reshape(2, 3, 4)
    assert torch.equal(after[0], before.reshape(2, 3, 4)[0])
    center = (SE3.from_matrix4(poses.refinement.motions[1]) @ given[1]).center()
    np.testing.assert_allclose(after[1, :, 3], bounds.box.local_points(center), atol=1e-6)
    other = CudaPoses(given, bounds, CPU)
    other.restore(poses.arrays())
    assert torch.equal(other.rows(), poses.rows())
