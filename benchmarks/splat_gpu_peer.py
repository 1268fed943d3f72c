"""gsplat as its own example trains it: the peer of benchmarks/splat_gpu.py, in a process of its own.

Step sizes, schedules and starting values are those of simple_trainer.py in gsplat's repository at v1.5.3, for its
presets "default" (adaptive density control) and "mcmc"; one photo a step, spherical harmonics of degree 3, a loss of
0.8 L1 + 0.2 (1 - SSIM). `share` scales all of its schedule, as that script's --steps_scaler does. In gsplat's favour
all photos lie on the GPU, Adam is torch's fused one, and SSIM with its gradient is geo3d's own kernel.

It starts from the points that geo3d starts from.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geo3d.scene import Gaussians

STEPS, DEGREE_EVERY, MCMC_MOST = 30_000, 1000, 1_000_000
_WEIGHT = 0.01  # of both regularisers of "mcmc"


@dataclass
class PeerResult:
    """Of one training.

    Attributes
    ----------
    looks : list of (int, float, float)
        Step, seconds until then without the looks themselves, and what `look` gave.
    seconds : float
    gaussians : int
    memory_gib : float
        Peak of what torch allocated, photos included.
    """

    looks: list[tuple[int, float, Any]] = field(default_factory=list)
    seconds: float = 0.0
    gaussians: int = 0
    memory_gib: float = 0.0


class FusedLoss(torch.autograd.Function):
    """geo3d's loss of two images, (H, W, 3); its kernels give the gradient along with the value."""

    @staticmethod
    def forward(context: Any, image: Any, target: Any, launch: Any) -> Any:
        from geo3d.splat.cuda_loss import photometric_loss

        found = photometric_loss(launch, image.contiguous(), target.contiguous())
        context.save_for_backward(found.d_image)
        return found.loss.float()

    @staticmethod
    def backward(context: Any, *slopes: Any) -> Any:
        return slopes[0] * context.saved_tensors[0], None, None


def start(gaussians: Gaussians, opacity: float, size: float) -> dict[str, Any]:
    """gsplat's parameters at the centres and with the colours of `gaussians`."""
    means = torch.from_numpy(np.ascontiguousarray(gaussians.means)).cuda()
    sh = torch.from_numpy(np.ascontiguousarray(gaussians.sh)).cuda()
    near = torch.cat(
        [torch.cdist(rows, means).topk(4, largest=False).values[:, 1:] for rows in means.split(4096)]
    )
    scales = (size * near.square().mean(1).sqrt().clamp(min=1e-7)).log()
    count = len(means)
    rest = torch.zeros(count, 15, 3, device="cuda")
    return {
        "means": means,
        "scales": scales[:, None].repeat(1, 3),
        "quats": torch.rand(count, 4, device="cuda"),
        "opacities": torch.logit(torch.full((count,), opacity, device="cuda")),
        "sh0": sh[:, :1].clone(),
        "shN": rest,
    }


def train(
    photos: Sequence[Any],
    poses: Any,
    intrinsics: Any,
    first: Gaussians,
    extent: float,
    *,
    mcmc: bool,
    share: float,
    background: Any,
    look: Callable[[Any], Any],
    looks: Sequence[float] = (0.25, 0.5, 1.0),
) -> PeerResult:
    """Train.

    Parameters
    ----------
    photos : sequence of (H, W, 3) uint8 tensor
        On the GPU, over the background.
    poses, intrinsics : (N, 4, 4), (N, 3, 3) float32 tensor
        On the GPU; world to camera.
    first : Gaussians
        The points to start from.
    extent : float
        Largest distance of a camera from the middle of all, times 1.1.
    mcmc : bool
    share : float
        Of gsplat's 30,000 steps, and of all its schedule.
    background : (3,) tensor
    look : callable
        Gets `render(pose, intrinsics, width, height)`; what it returns is kept. Its time does not count.
    looks : sequence of float
        At which shares of the steps.
    """
    import gsplat
    from gsplat.strategy import DefaultStrategy, MCMCStrategy

    from geo3d.splat.cuda_rasterizer import launcher

    torch.manual_seed(0)
    launch, steps = launcher(), round(STEPS * share)
    values = start(first, 0.5 if mcmc else 0.1, 0.1 if mcmc else 1.0)
    rates = {
        "means": 1.6e-4 * extent,
        "scales": 5e-3,
        "quats": 1e-3,
        "opacities": 5e-2,
        "sh0": 2.5e-3,
        "shN": 1.25e-4,
    }
    splats = torch.nn.ParameterDict({name: torch.nn.Parameter(value) for name, value in values.items()})
    adams = {name: torch.optim.Adam([splats[name]], lr=rates[name], eps=1e-15, fused=True) for name in splats}
    falling = torch.optim.lr_scheduler.ExponentialLR(adams["means"], gamma=0.01 ** (1.0 / steps))
    strategy: Any = MCMCStrategy(cap_max=MCMC_MOST) if mcmc else DefaultStrategy()
    for name in (
        "refine_start_iter",
        "refine_stop_iter",
        "refine_every",
        *(() if mcmc else ("reset_every",)),
    ):
        setattr(strategy, name, int(getattr(strategy, name) * share))
    state = strategy.initialize_state() if mcmc else strategy.initialize_state(scene_scale=extent)

    def rasterize(pose: Any, K: Any, width: int, height: int, degree: int) -> tuple[Any, Any]:
        color, alpha, told = gsplat.rasterization(
            splats["means"], splats["quats"], splats["scales"].exp(), splats["opacities"].sigmoid(),
            torch.cat([splats["sh0"], splats["shN"]], 1), pose[None], K[None], width, height, sh_degree=degree,
            near_plane=0.01, far_plane=1e10, packed=False,
        )  # fmt: skip
        return color[0] + (1 - alpha[0]) * background, told

    result, order = PeerResult(), torch.Generator().manual_seed(0)
    stops = {max(1, round(steps * at)) for at in looks}
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    begun, paused = time.perf_counter(), 0.0
    rows: list[int] = []
    for step in range(steps):
        rows = rows or torch.randperm(len(photos), generator=order).tolist()
        row = rows.pop()
        target = photos[row].float() / 255
        height, width = target.shape[:2]
        degree = min(step // max(1, int(DEGREE_EVERY * share)), 3)
        image, told = rasterize(poses[row], intrinsics[row], width, height, degree)
        strategy.step_pre_backward(splats, adams, state, step, told)
        loss = FusedLoss.apply(image, target, launch)
        if mcmc:
            loss = loss + _WEIGHT * (splats["opacities"].sigmoid().mean() + splats["scales"].exp().mean())
        loss.backward()
        for adam in adams.values():
            adam.step()
            adam.zero_grad(set_to_none=True)
        falling.step()
        if mcmc:
            strategy.step_post_backward(splats, adams, state, step, told, lr=falling.get_last_lr()[0])
        else:
            strategy.step_post_backward(splats, adams, state, step, told, packed=False)
        if step + 1 in stops:
            torch.cuda.synchronize()
            pause = time.perf_counter()
            with torch.no_grad():
                seen = look(lambda pose, K, width, height: rasterize(pose, K, width, height, 3)[0])
            torch.cuda.synchronize()
            result.looks.append((step + 1, pause - begun - paused, seen))
            paused += time.perf_counter() - pause
    result.seconds = time.perf_counter() - begun - paused
    result.gaussians = len(splats["means"])
    result.memory_gib = torch.cuda.max_memory_allocated() / 2**30
    return result
