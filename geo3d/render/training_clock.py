"""The progress f of a training, 0 at its first step and 1 at its last, by steps or by the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from geo3d.util.progress import StageProgress


@dataclass
class TrainingClock:
    """How far a training is.

    Attributes
    ----------
    iterations : int or None
        Length in steps; None where it is by the clock.
    length_s : float or None
        Length by the clock, seconds.
    most_steps : int or None
        By the clock: it ends after so many steps at the latest.
    step : int
        Steps that are done.
    before : float
        Seconds of earlier runs.
    started : float
        `time.monotonic()` when this run began.
    """

    iterations: int | None
    length_s: float | None
    most_steps: int | None = None
    step: int = 0
    before: float = 0.0
    started: float = 0.0

    @property
    def seconds(self) -> float:
        """Of all runs so far."""
        return self.before + time.monotonic() - self.started

    def progress(self) -> float:
        """From 0 at the first step to 1, or a little more, when it is time to end."""
        if self.iterations is not None:
            return self.step / self.iterations
        assert self.length_s is not None
        by_steps = self.step / self.most_steps if self.most_steps else 0.0
        return max(self.seconds / self.length_s, by_steps)

    @property
    def length(self) -> float | None:
        """Steps or seconds in all: what a stage of the progress counts to."""
        return self.length_s if self.iterations is None else self.iterations

    @property
    def done(self) -> float:
        """How many of these are done; seconds as far as the schedule is."""
        if self.iterations is not None:
            return self.step
        assert self.length_s is not None
        return round(min(self.progress(), 1.0) * self.length_s, 1)

    def show(self, stage: StageProgress, text: str) -> None:
        """Tell a stage how far it is.

        Parameters
        ----------
        stage : StageProgress
            Of `length`.
        text : str
            What else there is to tell; by the clock the step is put before it.
        """
        stage.update(self.done, text=text if self.iterations is not None else f"step {self.step:,}, {text}")


def decayed(rate: float, final: float, f: float) -> float:
    """Learning rate that falls exponentially from `rate` at f = 0 to `final` times that at f = 1.

    Parameters
    ----------
    rate, final : float
    f : float
        Progress.

    Examples
    --------
    >>> [round(decayed(2.0, 0.01, f), 3) for f in (0.0, 0.5, 1.0)]
    [2.0, 0.2, 0.02]
    """
    return rate * final ** min(max(f, 0.0), 1.0)
