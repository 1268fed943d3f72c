"""What tests of radiance fields share."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Small tensors are faster on one thread, on a busy machine ten times so."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def repeated_random_numbers() -> None:
    """A test that fails, fails again."""
    import torch

    torch.manual_seed(0)
