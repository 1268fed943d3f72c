"""Numbers read late, on tensors that are there at once, and on a stand-in for those of a GPU."""

import torch

from geo3d.gpu import LateNumbers


def test_what_is_here_is_told_at_once():
    late = LateNumbers(4)
    for step in range(3):
        assert late.tell(torch.tensor([float(step), 2.0]), step) == ([float(step), 2.0], step)
        assert late.last == [float(step), 2.0]


class OnGpu:
    """A tensor that says it is on a GPU; its copy is there when its event is waited for."""

    is_cuda, shape, dtype = True, (1,), torch.float32

    def __init__(self, value: float) -> None:
        self.value = value


class Here:
    def copy_(self, source: OnGpu, non_blocking: bool) -> None:
        assert non_blocking
        self.value = source.value

    def tolist(self) -> list[float]:
        return [self.value]


def test_those_of_a_gpu_come_as_many_steps_later_and_none_is_lost(monkeypatch):
    waited = []

    class Event:
        def record(self) -> None: ...
        def synchronize(self) -> None:
            waited.append(self)

    monkeypatch.setattr(torch, "empty", lambda *size, **options: Here())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    late = LateNumbers(2)
    told = [late.tell(OnGpu(float(step)), step) for step in range(6)]
    assert told == [([0.0], 0), None, None, ([1.0], 1), ([2.0], 2), ([3.0], 3)]
    assert late.last == [3.0] and len(waited) == 4
