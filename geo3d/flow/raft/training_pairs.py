"""Pairs that RAFT is trained on here: made-up scenes of which each is of its own kind."""

import numpy as np

from geo3d.synthetic import FlowPair, FlowPairOptions, make_flow_pair


def training_pair(seed: int, width: int = 128, height: int = 96, max_motion_px: float = 16.0) -> FlowPair:
    """A pair with exact flow; up to two layers and a thin thing, motions up to `max_motion_px`, exposure, noise.

    Parameters
    ----------
    seed : int
        The same gives the same pair.
    width, height : int
        Pixels.
    max_motion_px : float
        Largest motion of a layer in any pair; each pair has its own, from an eighth of it on.
    """
    rng = np.random.default_rng([seed, 5])
    options = FlowPairOptions(
        width=width,
        height=height,
        layers=int(rng.integers(0, 3)),
        thin=int(rng.integers(0, 2)),
        max_motion_px=max_motion_px * float(rng.uniform(0.125, 1.0)),
        brightness=float(rng.choice([0.0, 0.15])),
        noise=float(rng.uniform(0.0, 4.0)),
    )
    return make_flow_pair(options, seed)
