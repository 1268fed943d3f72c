"""Options of training, and what changes with its progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.render.training_clock import decayed
from geo3d.splat.schedule import active_sh_degree, coarse_factor, target_count
from geo3d.splat.training_options import DensifyOptions, TrainingOptions


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 400_000), st.integers(1, 400_000))
def test_the_count_grows_from_where_it_is_to_the_budget(a, b, initial, budget):
    options = TrainingOptions(budget=budget, densify=DensifyOptions(start=0.1, stop=0.6))
    low, high = sorted((a, b))
    assert initial <= target_count(low, initial, options) <= target_count(high, initial, options)
    assert target_count(0.05, initial, options) == initial
    assert target_count(0.9, initial, options) == max(initial, budget)


@given(st.floats(0, 1), st.integers(0, 3))
def test_the_degree_grows_to_the_one_asked_for(f, most):
    assert active_sh_degree(0.0, most) == 0
    assert 0 <= active_sh_degree(f, most) <= most
    assert active_sh_degree(1.0, most) == most


def test_rates_fall_and_coarse_comes_first():
    assert decayed(1.0, 0.01, 0.0) == 1.0
    assert decayed(1.0, 0.01, 2.0) == pytest.approx(0.01)
    assert [coarse_factor(f, ((0.1, 4.0), (0.3, 2.0))) for f in (0.0, 0.1, 0.3, 1.0)] == [4.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"minutes": 3, "iterations": 5}, "minutes and iterations"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
        ({"iterations": 0}, "iterations"),
        ({"budget": 0}, "budget"),
        ({"budget": 2.5}, "budget"),
        ({"hold_out_every": 1}, "hold_out_every"),
        ({"hold_out_every": 0, "target_psnr": 30}, "hold_out_every"),
        ({"sh_degree": 4}, "sh_degree"),
        ({"strategy": "best"}, "strategy"),
        ({"background": "pink"}, "background"),
        ({"downscale": 0.5}, "downscale"),
        ({"ssim_weight": 1.5}, "ssim_weight"),
        ({"seed": -1}, "seed"),
        ({"coarse": ((0.1, 0.0),)}, "coarse"),
    ],
)
def test_options_that_cannot_be_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        TrainingOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"interval": -5}, {"score_views": 0}])
def test_changes_that_never_come_are_named(wrong):
    with pytest.raises(ValueError, match=f"densify.{next(iter(wrong))} is .*at least 1"):
        DensifyOptions(**wrong)


def test_time_is_ten_minutes_unless_told():
    assert TrainingOptions().seconds == 600
    assert TrainingOptions(minutes=2).seconds == 120
    assert TrainingOptions(iterations=7).seconds is None
