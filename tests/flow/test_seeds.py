"""Large motions of small things: costs against their plain form, the search, and what is believed."""

import numpy as np
import pytest

from geo3d.flow import seed_kernels as kernels
from geo3d.flow.accurate import halve
from geo3d.flow.seeds import SeedOptions, find_seeds, match_features
from geo3d.synthetic import FlowPairOptions, make_flow_pair

F = np.float32


def texture(height, width, seed):
    options = FlowPairOptions(width=width, height=height, layers=0, thin=0, noise=0.0, plain=0.0)
    return halve(make_flow_pair(options, seed).image0.astype(F))


def small_thing_moved(u=17, v=-9, side=11):
    """Images 96 x 64 of which nothing moves but a square, its place, and the square (rows, columns)."""
    image0 = texture(128, 192, 1)
    image1, thing = image0.copy(), texture(64, 64, 8)[:side, :side]
    y, x = 40, 30
    image0[y : y + side, x : x + side] = thing
    image1[y + v : y + v + side, x + u : x + u + side] = thing
    return image0, image1, (slice(y, y + side), slice(x, x + side))


def test_costs_as_the_formula_says():
    first, second = match_features(texture(60, 80, 2)), match_features(texture(60, 80, 3))
    flow = (3.0 * np.random.default_rng(0).standard_normal((2, 30, 40))).astype(F)
    costs = np.empty((30, 40), F)
    kernels.motion_costs(first, second, flow, costs)
    for y, x in [(0, 0), (29, 39), (3, 38), (15, 20), (16, 21), (29, 0), (10, 10)]:
        assert costs[y, x] == pytest.approx(
            kernels.cost_reference(first, second, y, x, flow[:, y, x]), abs=0.5
        )


def test_search_everywhere_finds_the_cheapest_whole_motion():
    first, second = match_features(texture(60, 80, 2)), match_features(texture(60, 80, 3))
    reach, costs = 6, np.full((30, 40), np.inf, F)
    flow, where = np.zeros((2, 30, 40), F), np.zeros((30, 40), np.uint8)
    where[[4, 28, 14], [6, 38, 0]] = 1
    where[5, 5] = 1  # not a second pixel: left alone
    kernels.search_everywhere(first, kernels.planes_with_border(second, reach), where, reach, flow, costs)
    assert np.isinf(costs[5, 5])
    steps = range(-reach, reach + 1)
    for y, x in [(4, 6), (28, 38), (14, 0)]:
        all_costs = [
            kernels.cost_reference(first, second, y, x, np.array([dx, dy])) for dy in steps for dx in steps
        ]
        assert costs[y, x] == pytest.approx(min(all_costs), abs=0.5)
        found = kernels.cost_reference(first, second, y, x, flow[:, y, x])
        assert found == pytest.approx(min(all_costs), abs=0.5)


def test_a_small_thing_that_went_far_is_found_and_nothing_else():
    image0, image1, place = small_thing_moved()
    seeds = find_seeds(image0, image1, np.zeros((2, 64, 96), F), SeedOptions(reach=0.25))
    inside = seeds.found[place]
    assert inside.mean() > 0.7
    error = np.hypot(seeds.flow[0][place] - 17.0, seeds.flow[1][place] + 9.0)
    assert error[inside].max() < 0.5
    outside = seeds.found.copy()
    outside[place] = False
    assert outside.mean() < 0.02
    assert np.all(seeds.flow[:, ~seeds.found] == 0.0)


def test_beyond_reach_and_specks_are_left():
    image0, image1, place = small_thing_moved()
    still = np.zeros((2, 64, 96), F)
    assert find_seeds(image0, image1, still, SeedOptions(reach=0.1)).found[place].mean() < 0.2
    assert not find_seeds(image0, image1, still, SeedOptions(reach=0.25, smallest_px=500)).found.any()


def test_nothing_where_the_flow_fits():
    image = texture(128, 192, 1)
    seeds = find_seeds(image, image, np.zeros((2, 64, 96), F), SeedOptions())
    assert not seeds.found.any()


def test_what_vanished_is_not_found():
    image0, _, place = small_thing_moved()
    image1 = texture(128, 192, 1)
    seeds = find_seeds(image0, image1, np.zeros((2, 64, 96), F), SeedOptions(reach=0.25))
    assert seeds.found[place].mean() < 0.2
