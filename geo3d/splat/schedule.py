"""What changes with the progress f of a training, 0 at its first step and 1 at its last."""

from __future__ import annotations

from geo3d.splat.training_options import TrainingOptions

SH_DEGREE_FROM = (0.0, 0.1, 0.2, 0.3)  # progress at which a degree of the spherical harmonics joins in


def active_sh_degree(f: float, most: int) -> int:
    """Degree of the spherical harmonics in use: the colours begin without a direction and gain one by one.

    Parameters
    ----------
    f : float
        Progress.
    most : int
        Degree at the end, 0 to 3.
    """
    return min(most, sum(f >= start for start in SH_DEGREE_FROM) - 1)


def coarse_factor(f: float, coarse: tuple[tuple[float, float], ...]) -> float:
    """By how much the photos are reduced beyond `downscale`.

    Parameters
    ----------
    f : float
        Progress.
    coarse : tuple of (float, float)
        Until which progress, which factor; the first that holds. 1 after the last.
    """
    return next((factor for until, factor in coarse if f < until), 1.0)


def target_count(f: float, initial: int, options: TrainingOptions) -> int:
    """Number of Gaussians there should be: from `initial` at `densify.start` to the budget at `densify.stop`.

    It grows linearly: most of the time goes into steps with many Gaussians, where the detail is learnt, and the
    rest of the progress after `stop` refines what is there.

    Parameters
    ----------
    f : float
        Progress.
    initial : int
        Number at the first step.
    options : TrainingOptions
    """
    start, stop = options.densify.start, options.densify.stop
    share = min(max((f - start) / max(stop - start, 1e-6), 0.0), 1.0)
    return max(initial, round(initial + share * (options.budget - initial)))
