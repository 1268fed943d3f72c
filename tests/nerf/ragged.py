"""Random samples along rays for the tests: ragged, some rays empty, gaps between intervals."""

import numpy as np
import torch
from hypothesis import strategies as st

from geo3d.nerf import RaySamples

seeds = st.integers(0, 2**32 - 1)


def random_samples(rng: np.random.Generator, rays: int = 20, most: int = 30, dtype=np.float64) -> RaySamples:
    """Intervals of `rays` rays, up to `most` each, with gaps in between."""
    counts = rng.integers(0, most + 1, rays) * (rng.random(rays) < 0.8)
    starts, ends = [np.zeros(0)], [np.zeros(0)]
    for count in counts:
        edges = rng.uniform(0.1, 1.0) + np.cumsum(rng.uniform(0.001, 0.1, 2 * count))
        touching = rng.random(count) < 0.5
        first, last = edges[0::2].copy(), edges[1::2].copy()
        first[1:] = np.where(touching[1:], last[:-1], first[1:])
        starts.append(first)
        ends.append(last)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return RaySamples(np.concatenate(starts).astype(dtype), np.concatenate(ends).astype(dtype), offsets)


def tensors(samples: RaySamples, dtype: torch.dtype = torch.float64) -> RaySamples:
    """The same samples in torch."""
    starts, ends = (torch.as_tensor(a).to(dtype) for a in (samples.starts, samples.ends))
    return RaySamples(starts, ends, torch.as_tensor(samples.offsets))


def random_field(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Densities (S,) from thin to opaque, some 0, and colours (S, 3)."""
    density = np.exp(rng.normal(1.0, 2.5, count)) * (rng.random(count) < 0.9)
    return density, rng.random((count, 3))
