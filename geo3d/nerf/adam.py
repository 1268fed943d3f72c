"""Adam for a field: entries of the grid that no sample has reached keep their values and moments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geo3d.nerf import adam_kernels
from geo3d.nerf.field_parameters import FieldParameters
from geo3d.util.crew import everyone

_SPARSE = "grid", "appearance"


class Adam:
    """Adam (Kingma and Ba 2015) with the decays and the epsilon of Instant-NGP.

    The correction of the bias counts all steps; what has no gradient in a step is left out of it in `grid` and
    `appearance`, as in torch.optim.SparseAdam.

    Parameters
    ----------
    parameters : dict of str to float32 array
        What will be moved.
    betas : tuple of 2 float
        Decay of the two moments.
    epsilon : float

    Attributes
    ----------
    steps : int
    m, v : dict of str to float32 array
        First and second moments.

    Examples
    --------
    >>> parameters = {"color_2": np.ones((64, 3), np.float32)}
    >>> Adam(parameters).step(parameters, {"color_2": np.full((64, 3), 2.0, np.float32)}, {"color_2": 0.25})
    >>> round(float(parameters["color_2"][0, 0]), 6)
    0.75
    """

    def __init__(
        self, parameters: FieldParameters, betas: tuple[float, float] = (0.9, 0.99), epsilon: float = 1e-15
    ) -> None:
        self.betas, self.epsilon, self.steps = betas, epsilon, 0
        self.m = {name: np.zeros_like(array) for name, array in parameters.items()}
        self.v = {name: np.zeros_like(array) for name, array in parameters.items()}

    def step(
        self, parameters: FieldParameters, gradients: Mapping[str, np.ndarray], rates: Mapping[str, float]
    ) -> None:
        """Move `parameters` against their `gradients`, in place.

        Parameters
        ----------
        parameters : dict of str to float32 array
            Those that the state was made for, C-contiguous.
        gradients : mapping of str to float32 array
            By each of them.
        rates : mapping of str to float
            Step size of each.

        Raises
        ------
        ValueError
            If an array is not C-contiguous float32 of the state's shape.
        """
        for name, m in self.m.items():
            for kind, array in (("parameters", parameters[name]), ("gradients", gradients[name])):
                if array.shape != m.shape or array.dtype != np.float32 or not array.flags.c_contiguous:
                    raise ValueError(
                        f"{kind}[{name!r}]: expected C-contiguous float32 {m.shape}, got {array.dtype} {array.shape}"
                    )
        self.steps += 1
        root = np.sqrt(1.0 - self.betas[1] ** self.steps)
        first, second, epsilon = (np.float32(x) for x in (*self.betas, self.epsilon * root))
        for name in self.m:
            size = np.float32(rates[name] * root / (1.0 - self.betas[0] ** self.steps))
            p, g, m, v = (each[name].reshape(-1) for each in (parameters, gradients, self.m, self.v))
            sparse = name in _SPARSE

            def move(counter: np.ndarray, _: int) -> None:
                adam_kernels.move(counter, p, g, m, v, first, second, size, epsilon, sparse)  # noqa: B023  run at once

            if p.size > adam_kernels.CHUNK:
                everyone().run(move)
            else:
                move(np.zeros(1, np.int64), 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state by name, for a checkpoint."""
        found = {f"m.{name}": array for name, array in self.m.items()}
        found |= {f"v.{name}": array for name, array in self.v.items()}
        return found | {"steps": np.array(self.steps, np.int64)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from `arrays`, what `arrays()` gave."""
        for state, prefix in ((self.m, "m."), (self.v, "v.")):
            for name, array in state.items():
                array[...] = arrays[prefix + name]
        self.steps = int(arrays["steps"])
