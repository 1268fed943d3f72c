"""Threads give results in order, pass errors on, and hold BLAS to one."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from geo3d.util import threads
from geo3d.util.threads import cpu_count, map_threads, single_threaded_blas


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(waits: list[int], threads: int) -> None:
    def work(pair: tuple[int, int]) -> int:
        time.sleep(pair[1] * 1e-3)
        return pair[0]

    assert list(map_threads(work, enumerate(waits), threads)) == list(range(len(waits)))


def test_an_error_ends_it_and_later_items_do_not_start() -> None:
    started = []

    def work(item: int) -> int:
        started.append(item)
        if item == 3:
            raise ValueError("item 3 is broken")
        return item

    with pytest.raises(ValueError, match="item 3"):
        list(map_threads(work, range(1000), 2))
    assert len(started) < 100


def test_only_a_few_results_wait() -> None:
    handed_out = []

    def items():
        for i in range(100):
            handed_out.append(i)
            yield i

    results = map_threads(lambda i: i, items(), 2)
    next(results)
    assert len(handed_out) <= 10
    results.close()


def test_the_work_is_done_by_other_threads() -> None:
    names = set(map_threads(lambda _: threading.current_thread().name, range(8), 2))
    assert threading.main_thread().name not in names


def test_blas_is_held_to_one_thread() -> None:
    """Also a second time, and what was before holds again after it."""
    for _ in range(2):
        with single_threaded_blas():
            held = threads_of_blas()
            with single_threaded_blas():
                assert threads_of_blas() == held
        assert held
        assert set(held.values()) == {1}
        with threadpool_limits(2, "blas"):
            before = threads_of_blas()
            with single_threaded_blas():
                assert threads_of_blas() == held
            assert threads_of_blas() == before


def threads_of_blas() -> dict[str, int]:
    """Of NumPy's and SciPy's library."""
    known = {pool["filepath"] for pool in threads._blas().info() if pool["user_api"] == "blas"}
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["filepath"] in known}


def test_there_is_a_core() -> None:
    assert cpu_count() >= 1
