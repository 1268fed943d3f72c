"""Numbers from the GPU that are read a few steps late, so that nobody waits for it."""

from __future__ import annotations

from collections import deque
from typing import Any


class LateNumbers:
    """A few numbers of each step, read `lag` steps after they were asked for: they are there by then.

    Those of the first step, and those of tensors that are not on a GPU, are read at once.

    Parameters
    ----------
    lag : int
        Steps, at least 1.

    Attributes
    ----------
    last : list of float
        What was read last; empty before the first.

    Examples
    --------
    >>> import torch
    >>> late = LateNumbers(4)
    >>> late.tell(torch.tensor([0.5, 2.0]), "of this step")
    ([0.5, 2.0], 'of this step')
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.last: list[float] = []
        self._waiting: deque[tuple[Any, Any, Any]] = deque()

    def tell(self, numbers: Any, beside: Any = None) -> tuple[list[float], Any] | None:
        """The numbers of an earlier step and what stood beside them; None where they are still to come.

        Parameters
        ----------
        numbers : (N,) tensor
            Of this step.
        beside : object
            Given back with them.
        """
        import torch

        held, arrived = numbers, None
        if numbers.is_cuda:
            held = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            held.copy_(numbers, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._waiting.append((held, arrived, beside))
        if arrived is not None and self.last and len(self._waiting) <= self.lag:
            return None
        held, arrived, beside = self._waiting.popleft()
        if arrived is not None:
            arrived.synchronize()
        self.last = held.tolist()
        return self.last, beside
