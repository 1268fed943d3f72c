"""Pairs: each once, sorted, and the ones that were asked for."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import (
    exhaustive_pairs,
    gps_pairs,
    likeness,
    natural_key,
    read_pairs,
    retrieval_pairs,
    root_sift,
    sequential_pairs,
    signature,
)
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


def test_gps_neighbours_of_the_next_line_are_not_crowded_out():
    """Photos every metre along lines 30 m apart: the nearest thirty are all of the same line."""
    metre = 1 / 111_200
    places = {f"{line}-{i:03d}": Gps(30 * line * metre, i * metre) for line in range(3) for i in range(120)}
    pairs = gps_pairs(places)
    assert len(pairs) <= 360 * 30
    other = [(a, b) for a, b in pairs if a[0] != b[0]]
    assert {a for a, _ in other} | {b for _, b in other} == set(places)
    assert ("0-050", "1-050") in pairs and ("0-050", "0-051") in pairs


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


def test_likeness_of_photos_of_one_place():
    rng = np.random.default_rng(0)
    world = [root_sift(rng.gamma(0.4, 40, (2000, 128))) for _ in range(2)]
    photos = {f"{w}{i}": world[w][150 * i : 150 * i + 600] for w in (0, 1) for i in range(8)}
    signatures = {name: signature(descriptors) for name, descriptors in photos.items()}
    alike = likeness(np.stack(list(signatures.values())))
    np.testing.assert_array_equal(alike, alike.T)
    np.testing.assert_allclose(np.diag(alike), 1, atol=0.01)
    assert np.abs(alike).max() < 1.01
    pairs = retrieval_pairs(signatures, 3)
    gaps = [abs(int(a[1]) - int(b[1])) for a, b in pairs]
    assert all(a[0] == b[0] for a, b in pairs) and max(gaps) <= 3
    assert {
        (a, b) for a, b in combinations(sorted(photos), 2) if a[0] == b[0] and int(b[1]) - int(a[1]) == 1
    } <= set(pairs)
    assert retrieval_pairs(signatures, 100) == exhaustive_pairs(photos)


def test_the_order_of_features_does_not_change_a_signature_and_none_is_like_nothing():
    descriptors = root_sift(np.random.default_rng(1).gamma(0.4, 40, (300, 128)))
    np.testing.assert_array_equal(signature(descriptors), signature(descriptors[::-1]))
    none = signature(np.zeros((0, 128), np.uint8))
    assert not none.any() and not likeness(np.stack([none, signature(descriptors)]))[0].any()
    assert retrieval_pairs({"a": none}) == []


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
    with pytest.raises(ValueError, match="max_neighbours"):
        retrieval_pairs({}, 0)
    with pytest.raises(ValueError, match="descriptors must be"):
        signature(np.zeros((3, 64), np.uint8))
