"""Pairs: each once, sorted, and the ones that were asked for."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import exhaustive_pairs, gps_pairs, natural_key, read_pairs, sequential_pairs
from geo3d.images import Gps

names = st.lists(st.integers(0, 999).map(lambda i: f"frame{i}.jpg"), max_size=40, unique=True)


@settings(deadline=None, max_examples=30)
@given(names)
def test_exhaustive(names):
    assert set(exhaustive_pairs(names)) == set(combinations(sorted(names), 2))


@settings(deadline=None, max_examples=50)
@given(names, st.integers(1, 8), st.booleans(), st.integers(0, 5))
def test_sequential(names, overlap, quadratic, loop_every):
    pairs = sequential_pairs(names, overlap, quadratic=quadratic, loop_every=loop_every)
    assert pairs == sorted(set(pairs))
    assert all(a < b for a, b in pairs)
    place = {name: i for i, name in enumerate(sorted(names, key=natural_key))}
    gaps = {(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs}
    for i, j in combinations(range(len(names)), 2):
        power = quadratic and (j - i) & (j - i - 1) == 0 and j - i <= 2**overlap
        loop = loop_every and i % loop_every == 0 and j % loop_every == 0
        assert ((i, j) in gaps) == bool(j - i <= overlap or power or loop)


def test_natural_order():
    assert sorted(["b/2.jpg", "a/10.jpg", "a/9.jpg", "a/x.jpg"], key=natural_key) == [
        "a/9.jpg",
        "a/10.jpg",
        "a/x.jpg",
        "b/2.jpg",
    ]


def grid_of_places(step_m, latitude=46.8):
    step = np.rad2deg(step_m / 6.37e6)
    east = step / np.cos(np.deg2rad(latitude))
    return {f"{i}{j}": Gps(latitude + i * step, -91 + j * east) for i in range(5) for j in range(5)}


def test_gps_radius():
    places = grid_of_places(20.0)
    cells = {name: np.array([int(c) for c in name]) for name in places}
    near = {(a, b) for a, b in combinations(sorted(places), 2) if np.linalg.norm(cells[a] - cells[b]) <= 1.5}
    assert set(gps_pairs(places, radius_m=31)) == near


def test_gps_across_the_date_line_and_at_the_pole():
    places = {
        "a": Gps(10, 179.9999),
        "b": Gps(10, -179.9999),
        "c": Gps(10, 0),
        "d": Gps(90, 0),
        "e": Gps(90, 77),
    }
    assert gps_pairs(places, radius_m=50) == [("a", "b"), ("d", "e")]


def test_gps_number_of_neighbours():
    pairs = gps_pairs(grid_of_places(20.0), max_neighbours=4)
    count = np.unique(np.array(pairs), return_counts=True)[1]
    assert len(count) == 25
    assert count.min() >= 4
    assert len(pairs) <= 25 * 4


def test_a_photo_without_a_place_is_paired_with_all():
    places = {**grid_of_places(1000.0), "lost": None}
    pairs = gps_pairs(places, radius_m=10)
    assert len(pairs) == 25
    assert all("lost" in pair for pair in pairs)
    assert gps_pairs({"a": Gps(1, 2)}) == []
    assert gps_pairs({"a": None, "b": None}) == [("a", "b")]


def test_read_pairs(tmp_path):
    photos = ["a b.jpg", "b.jpg", "c/ä.jpg", "a"]
    path = tmp_path / "pairs.txt"
    path.write_text("\ufeff# my pairs\n\nc/ä.jpg a b.jpg\nb.jpg\ta b.jpg\na b.jpg b.jpg\n", encoding="utf-8")
    assert read_pairs(path, photos) == [("a b.jpg", "b.jpg"), ("a b.jpg", "c/ä.jpg")]


@pytest.mark.parametrize("line", ["b.jpg", "b.jpg none.jpg", "b.jpg b.jpg", "b.jpg,a"])
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "pairs.txt"
    path.write_text(f"a b.jpg\n{line}\n")
    with pytest.raises(ValueError, match=r"pairs\.txt, line 2: expected the names of two different photos"):
        read_pairs(path, ["a", "b.jpg"])


def test_wrong_arguments(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="lists no pairs"):
        read_pairs(tmp_path / "empty.txt", ["a"])
    with pytest.raises(ValueError, match="overlap"):
        sequential_pairs(["a", "b"], 0)
    with pytest.raises(ValueError, match="loop_every"):
        sequential_pairs(["a", "b"], loop_every=-1)
    with pytest.raises(ValueError, match="radius_m"):
        gps_pairs({}, radius_m=0)
    with pytest.raises(ValueError, match="max_neighbours"):
        gps_pairs({}, max_neighbours=0)
