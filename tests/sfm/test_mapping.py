"""Which mapper is believed, and components that are joined."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from geo3d.geometry import SO3, Sim3
from geo3d.sfm import (
    BundleOptions,
    MapperOptions,
    PairMatches,
    map_globally,
    map_views,
    mapping,
    mapping_key,
    merge_models,
)
from geo3d.sfm.look_alikes import find_torn_pairs
from geo3d.sfm.mapper import MappingResult, unregistered_reasons
from geo3d.sfm.mapping import doubtful_components
from geo3d.sfm.merging import merge_two
from geo3d.synthetic import make_scene

from .test_global_mapper import side_by_side
from .test_incremental import pose_errors

FIXED = MapperOptions(bundle=BundleOptions(refine_focal=False, refine_distortion=False, threads=1))


def part(model, views, transform):
    """Some views of a model, in a frame of their own."""
    made = copy.deepcopy(model)
    made.registered = np.isin(np.arange(len(model.registered)), views)
    made.used &= made.registered[made.obs_view]
    made._drop_thin_points()
    centres = transform.act(made.centres())
    made.points = transform.act(made.points)
    made.rotations = made.rotations @ transform.rotation.T
    made.translations = -np.einsum("vij,vj->vi", made.rotations, centres)
    return made


@pytest.fixture
def halves(graph_of):
    scene = make_scene("walk", views=10, points=500, noise_px=0.2, seed=1)
    whole = map_globally(graph_of(scene), FIXED).models[0]
    turn = Sim3(2.5, SO3.exp([0.3, 1.0, -0.5]).matrix, np.array([4.0, -2.0, 9.0]))
    identity = Sim3(1.0, np.eye(3), np.zeros(3))
    return scene, whole, part(whole, range(6), identity), part(whole, range(6, 10), turn)


def test_the_key_of_snapshots_is_of_all_that_the_models_depend_on_but_not_of_threads(graph_of):
    graph = graph_of(make_scene("walk", views=3, points=60, seed=1))
    key = mapping_key(graph, FIXED)
    assert mapping_key(graph, replace(FIXED, bundle=replace(FIXED.bundle, threads=7))) == key
    (number, camera), *others = graph.cameras.items()
    pair = graph.pairs[0]
    changes = (
        (graph, replace(FIXED, seed=1)),
        (graph, MapperOptions(bundle=replace(FIXED.bundle, refine_focal=True))),
        (replace(graph, cameras={number: replace(camera, prior_focal=not camera.prior_focal)}), FIXED),
        (replace(graph, cameras={number: camera.with_params(camera.params * (1 + 1e-15))}), FIXED),
        (replace(graph, pairs=[replace(pair, F=2 * np.eye(3)), *graph.pairs[1:]]), FIXED),
        (replace(graph, pairs=[replace(pair, matches=pair.matches[1:]), *graph.pairs[1:]]), FIXED),
        (replace(graph, names=list(reversed(graph.names))), FIXED),
    )
    assert not others
    assert len({key, *(mapping_key(*change) for change in changes)}) == 1 + len(changes)


def test_parts_that_share_points_are_joined(halves):
    scene, whole, a, b = halves
    merged = merge_models([a, b], FIXED)
    assert len(merged) == 1 and merged[0].registered.all()
    assert pose_errors(merged[0], scene)[1].max() < 2 * pose_errors(whole, scene)[1].max() + 1e-4


def test_parts_with_few_points_in_common_are_joined_by_resection(halves):
    scene, whole, a, b = halves
    # Photo 6 sees the points of the first part, but of these it has placed hardly any itself.
    common = np.isin(b.obs_track, a.obs_track[a.used])
    b.used &= ~common
    b._drop_thin_points()
    joined = merge_two(a, b, FIXED)
    assert joined is not None and joined.registered.all()
    assert not np.shares_memory(joined.rotations, a.rotations) and a.registered.sum() == 6
    assert pose_errors(joined, scene)[1].max() < 3 * pose_errors(whole, scene)[1].max() + 1e-3


@pytest.fixture
def strangers(halves):
    """Two models between whose photos all matches are wrong."""
    _, _, a, b = halves
    rng = np.random.default_rng(0)
    graph = copy.copy(a.graph)
    graph.pairs = [
        p
        if (p.first < 6) == (p.second < 6)
        else PairMatches(
            p.first, p.second, np.column_stack([p.matches[:, 0], rng.permutation(p.matches[:, 1])])
        )
        for p in graph.pairs
    ]
    a.graph = b.graph = graph
    return a, b


def test_parts_that_share_nothing_true_stay_apart(strangers):
    a, b = strangers
    merged = merge_models([a, b], FIXED)
    assert merged[0] is a and merged[1] is b


def test_models_whose_photos_match_as_neighbours_do_but_stay_apart_are_told(strangers, monkeypatch):
    a, b = strangers
    monkeypatch.setattr(mapping, "map_globally", lambda *arguments: MappingResult([a, b], {}))
    monkeypatch.setattr(mapping, "doubtful_components", lambda graph, models: [])
    result = map_views(a.graph, FIXED)
    between = [p for p in a.graph.pairs if (p.first < 6) != (p.second < 6)]
    most = max(len(p.matches) for p in between)
    (note,) = result.notes
    assert f"share {most} matches" in note and "could not be made one" in note
    few = replace(a.graph, pairs=[replace(p, matches=p.matches[:29]) for p in between])
    assert find_torn_pairs([a, b], few) == []


def test_good_models_are_not_doubted_and_nothing_is_said(graph_of):
    scene = make_scene("orbit", views=8, points=400, noise_px=0.3, seed=2)
    graph = graph_of(scene)
    result = map_views(graph, FIXED)
    assert result.models[0].registered.all() and result.notes == [] and result.reasons == {}
    assert doubtful_components(graph, result.models) == []


def test_a_model_that_its_matches_contradict_is_made_again_and_the_better_kept(graph_of, monkeypatch):
    scene = make_scene("orbit", views=8, points=400, noise_px=0.3, seed=3)
    graph = graph_of(scene)

    def bad(*arguments):
        result = map_globally(*arguments)
        model = result.models[0]
        model.rotations[::2] = SO3.exp([0.0, 0.0, 0.1]).matrix @ model.rotations[::2]
        model.filter(4.0, 0.0)
        return result

    monkeypatch.setattr(mapping, "map_globally", bad)
    result = map_views(graph, FIXED)
    assert len(result.notes) == 1 and "the new model was taken" in result.notes[0]
    assert "of the matches between 8 photos fit" in result.notes[0]
    assert result.models[0].registered.all()
    assert pose_errors(result.models[0], scene)[1].max() < 0.02


def test_photos_left_out_are_looked_for_and_the_first_model_kept_if_that_is_in_vain(graph_of, monkeypatch):
    scene = make_scene("orbit", views=8, points=400, noise_px=0.3, seed=4)
    graph = graph_of(scene)

    def lazy(*arguments):
        result = map_globally(*arguments)
        for view in (6, 7):
            result.models[0].forget_view(view)
        return result

    monkeypatch.setattr(mapping, "map_globally", lazy)
    result = map_views(graph, FIXED)
    assert result.models[0].registered.all() and "2 of 8 photos were left out" in result.notes[0]
    monkeypatch.setattr(mapping, "map_incrementally", lazy)
    monkeypatch.setattr(mapping, "map_incrementally", lambda *a: lazy(*a[:3]))
    result = map_views(graph, FIXED)
    assert result.models[0].registered.sum() == 6 and "the first model was kept" in result.notes[0]
    assert set(result.reasons) == {6, 7}


def test_two_places_are_two_models_without_doubt(graph_of):
    a, b = make_scene("orbit", views=6, points=300, seed=5), make_scene("walk", views=5, points=300, seed=6)
    result = map_views(side_by_side(graph_of(a), graph_of(b)), FIXED)
    assert [int(m.registered.sum()) for m in result.models] == [6, 5] and result.notes == []


def test_a_chain_without_a_track_of_three_views_does_not_stop_the_job(graph_of):
    scene = make_scene("orbit", views=3, points=600, noise_px=0.3, seed=1)
    graph = graph_of(scene)
    chain = []
    for pair in graph.pairs:
        if pair.second == pair.first + 1:
            rows = scene.point_rows[graph.view_ids[pair.first]][pair.matches[:, 0]]
            mine = pair.matches[rows % 2 == pair.first % 2]
            chain.append(replace(pair, matches=np.ascontiguousarray(mine)))
    result = map_views(replace(graph, pairs=chain), MapperOptions(bundle=BundleOptions(threads=1)))
    assert [int(model.registered.sum()) for model in result.models] == [2]
    assert len(result.reasons) == 1


def test_a_model_of_which_nothing_is_left_is_none(graph_of, monkeypatch):
    graph = graph_of(make_scene("orbit", views=4, points=300, noise_px=0.3, seed=4))

    def empty(*arguments):
        result = map_globally(graph, FIXED)
        result.models[0].used[:] = False
        result.models[0]._drop_thin_points()
        return result

    monkeypatch.setattr(mapping, "map_globally", empty)
    monkeypatch.setattr(mapping, "doubtful_components", lambda graph, models: [])
    result = map_views(graph, FIXED)
    assert result.models == [] and set(result.reasons) == {0, 1, 2, 3}
    assert all("they show no depth" in reason for reason in result.reasons.values())


def test_a_few_wrong_matches_of_photos_from_one_spot_are_no_model(graph_of, monkeypatch):
    graph = graph_of(make_scene("orbit", views=4, points=300, noise_px=0.3, seed=4))

    def few(*arguments):
        result = map_globally(graph, FIXED)
        result.models[0].used &= (
            result.models[0].obs_track < np.sort(np.flatnonzero(result.models[0].placed))[6]
        )
        result.models[0]._drop_thin_points()
        assert result.models[0].placed.sum() == 6
        return result

    monkeypatch.setattr(mapping, "map_globally", few)
    monkeypatch.setattr(mapping, "doubtful_components", lambda graph, models: [])
    assert map_views(graph, FIXED).models == []


def test_each_photo_without_a_pose_gets_the_reason_that_holds_for_it(graph_of):
    graph = graph_of(make_scene("orbit", views=5, points=60, seed=4))
    graph = replace(graph, pairs=[p for p in graph.pairs if (p.first, p.second) in ((0, 1), (1, 2))])
    left = np.array([False, True, True, True, True])
    reasons = unregistered_reasons(graph, left, {1: "x", 2: "y"})
    assert reasons[1] == "it shares too few points with what was reconstructed" and reasons[2] == "y"
    assert reasons[3] == "no photo shares enough verified matches with it"
    assert "no depth" in unregistered_reasons(graph, left)[2]
