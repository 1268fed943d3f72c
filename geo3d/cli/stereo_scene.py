"""`geo3d stereo SCENE --pairs auto`: one dense cloud of a reconstructed scene, from pairs of its photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geo3d.cli.common import Session, UsageError, existing_folder
from geo3d.cli.inspect import model_paths
from geo3d.images import read_image
from geo3d.io import read_colmap, write_ply
from geo3d.stereo import PosedDepth, choose_scene_pairs, fuse_depths, scene_pair_depth
from geo3d.util.files import path_inside

if TYPE_CHECKING:
    from geo3d.cli.stereo import Options

_AGREEING = 1


def run_scene(options: Options, session: Session) -> int:
    """Choose the pairs, match each, fuse, and write OUT/points.ply."""
    source = existing_folder(options.photos[0], "the scene")
    if not (source / "images").is_dir() or not (source / "sparse").is_dir():
        raise UsageError(
            f"{source} is no scene: expected images/ and sparse/, as `geo3d reconstruct` makes them"
        )
    scene = read_colmap(model_paths(source)[0])
    pairs = choose_scene_pairs(scene)
    options.out.mkdir(parents=True, exist_ok=True)
    maps: list[PosedDepth] = []
    with session.progress.stage("match pairs", total=len(pairs)) as stage:
        for number, pair in enumerate(pairs):
            names = [scene.views[i].name for i in pair.view_ids]
            stage.update(number, text=" + ".join(names))
            try:
                one, two = (_photo(source, name, options.max_size) for name in names)
                maps.append(scene_pair_depth(scene, pair, (one, two), options.quality))
            except ValueError as error:
                session.progress.warn(f"{names[0]} and {names[1]} are left out: {error}")
        stage.update(len(pairs))
    if not maps:
        raise ValueError("no pair of the scene could be matched; the warnings above say why")
    with session.progress.stage("fuse"):
        cloud = fuse_depths(maps, min(_AGREEING, len(maps) - 1))
    if not len(cloud):
        raise ValueError("the depths of the pairs agree nowhere: check the poses with `geo3d inspect`")
    write_ply(options.out / "points.ply", cloud.points, cloud.colors, cloud.normals)
    session.say(
        f"{options.out / 'points.ply'}: {len(cloud):,} points with normals, of {len(maps)} pairs of "
        f"{len({i for pair in pairs for i in pair.view_ids})} photos"
    )
    session.result(out=str(options.out), files=["points.ply"], points=len(cloud), pairs=len(maps))
    return 0


def _photo(source: Path, name: str, max_size: int):
    return read_image(path_inside(source / "images", name), "rgb", max_size=max_size)
