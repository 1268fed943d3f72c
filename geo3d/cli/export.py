"""`geo3d export SCENE --format FORMAT -o FILE`: trained splats, or the surface of a field, for other programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    Numbers,
    OptionalNumber,
    OptionalPath,
    OptionalWhole,
    Session,
    UsageError,
    existing_path,
)

if TYPE_CHECKING:
    from geo3d.io import SplatFile, SplatLoss, WorldFrame
    from geo3d.scene import Gaussians

_SUFFIXES = {
    "ply": ".ply",
    "compressed-ply": ".compressed.ply",
    "spz": ".spz",
    "splat": ".splat",
    "sog": ".sog",
    "glb": ".glb",
    "html": ".html",
    "mesh": ".glb",
    "density": ".npz",
}

Format = Literal["auto", "ply", "compressed-ply", "spz", "splat", "sog", "glb", "html", "mesh", "density"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Splats for other programs: of a trained scene, or from one format to another. Of a radiance field its surface
    (mesh) or its density (.npz).

    geo3d export scene/ --format spz

    geo3d export splats.ply -o splats.glb --crop=-5,-5,0,5,5,3

    ply keeps every number, glb nearly; compressed-ply, spz, sog and splat round them (it says by how much), and splat
    has no colours that change with the direction. html is a page that shows them. The unit of the world and its place
    on Earth go along.
    """

    source: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE|SPLATS")]
    """Scene with splats/splats.ply, as `geo3d train` leaves it, the folder that `geo3d train -o` made, or a file of
    splats of any of these formats. Or the same with nerf/nerf.pt (of both the splats)."""

    format: Format = "auto"
    """What to write; auto goes by the name of -o."""

    out: Annotated[
        OptionalPath, arg(aliases=["-o"], help_behavior_hint="(default: beside the splats, by the format)")
    ] = None
    """File to write."""

    crop: Annotated[Numbers, arg(metavar="X,Y,Z,X,Y,Z", help_behavior_hint="")] = None
    """Keep what lies in the box between these two corners, in the units of the world."""

    min_opacity: Annotated[OptionalNumber, arg(help_behavior_hint="")] = None
    """Leave out what is fainter, from 0 to 1; below 0.004 it is never seen."""

    max_sh_degree: Annotated[OptionalWhole, arg(help_behavior_hint="")] = None
    """Cut off finer changes of colour with the direction: 0 (none) to 3."""

    voxel: Annotated[OptionalNumber, arg(help_behavior_hint="(default: as fine as the views show)")] = None
    """Of a mesh or a density grid: size of the smallest detail, in the units of the world."""


def run(options: Options, session: Session) -> int:
    """Read, edit, write, and say what was lost."""
    existing_path(options.source, "the scene or file of splats")
    from geo3d.io import SPLAT_FORMATS, find_field, find_splats, read_splats, splat_loss

    if (field := find_field(options.source)) is not None:
        from geo3d.cli.export_nerf import export_nerf

        return export_nerf(field.file, field.scene, options, session)
    if options.format == "density":
        raise UsageError(f"{options.source}: --format density is of a radiance field (nerf.pt)")
    found = find_splats(options.source)
    source, scene = found.file, found.scene
    format, target = _target(options, source)
    if format == "mesh" and scene is None:
        raise UsageError(
            f"{options.source}: a mesh is seen from where the photos were; give the scene's folder"
        )
    if format != "mesh" and options.voxel is not None:
        raise UsageError("--voxel is of --format mesh: leave it out")
    file = read_splats(source)
    frame = _frame(file, scene)
    gaussians = _edited(file.gaussians, options)
    if not len(gaussians):
        raise ValueError(
            f"none of the {len(file.gaussians):,} Gaussians of {source} is left; nothing is written"
        )
    if format == "mesh":
        assert scene is not None
        return _mesh(scene, target, gaussians, frame, options, session)
    SPLAT_FORMATS[format].write(target, gaussians, frame)
    loss = splat_loss(target, format, gaussians)
    size = target.stat().st_size
    session.say(
        f"{target}: {len(gaussians):,} Gaussians, {_size(size)}, {size / len(gaussians):.0f} bytes each"
    )
    if len(gaussians) < len(file.gaussians):
        session.say(f"{len(file.gaussians) - len(gaussians):,} of {len(file.gaussians):,} are left out.")
    for line in (
        [f"Open it in a browser: {target.absolute().as_uri()}"]
        if loss is None
        else _words(loss, gaussians, frame)
    ):
        session.say(line)
    session.result(
        out=str(target),
        format=format,
        gaussians=len(gaussians),
        left_out=len(file.gaussians) - len(gaussians),
        broken=file.dropped,
        bytes=size,
        world=frame.to_json(),
        loss=None if loss is None else asdict(loss),
    )
    return 0


def _mesh(
    scene: Path, target: Path, gaussians: Gaussians, frame: WorldFrame, options: Options, session: Session
) -> int:
    from geo3d.cli.export_mesh import export_mesh
    from geo3d.io.world_frame import write_world_file

    mesh = export_mesh(scene, target, gaussians, options.voxel, session)
    write_world_file(target, frame)
    size = target.stat().st_size
    session.say(f"{target}: {mesh.faces:,} triangles, {_size(size)}, finest detail {mesh.voxel:.2g}")
    session.result(
        out=str(target),
        format="mesh",
        points=mesh.points,
        faces=mesh.faces,
        voxel=mesh.voxel,
        bytes=size,
        world=frame.to_json(),
    )
    return 0


def _target(options: Options, source: Path) -> tuple[str, Path]:
    """Format and file to write; UsageError where they do not fit."""
    from geo3d.io import splat_format_of_name

    format, target = options.format, options.out
    if format == "auto":
        if target is None:
            raise UsageError(f"give --format {{{','.join(_SUFFIXES)}}}, or a file with such a name as -o")
        found = splat_format_of_name(target)
        if found is None:
            raise UsageError(
                f"-o {target}: its name tells no format; give --format {{{','.join(_SUFFIXES)}}}"
            )
        format = found
    if target is None:
        stem = source.name.removesuffix(source.suffix).removesuffix(".compressed")
        target = source.with_name("mesh.glb" if format == "mesh" else stem + _SUFFIXES[format])
    if target.exists() and (target.is_dir() or target.samefile(source)):
        what = "a folder" if target.is_dir() else "the source"
        raise UsageError(f"{target} is {what}; give another file as -o")
    if format == "mesh" and target.suffix.lower() not in (".glb", ".ply"):
        raise UsageError(f"-o {target}: a mesh is written as .glb or .ply")
    if options.voxel is not None and not options.voxel > 0:
        raise UsageError(f"--voxel {options.voxel:g}: expected a length above 0")
    corners = options.crop
    if corners is not None and (
        len(corners) != 6 or not all(a <= b for a, b in zip(corners[:3], corners[3:]))
    ):
        raise UsageError(
            "--crop: expected six numbers, the lower corner X,Y,Z and then the upper one (--crop=-5,-5,0,5,5,3), got "
            f"{','.join(f'{c:g}' for c in corners)}"
        )
    if options.min_opacity is not None and not 0 <= options.min_opacity <= 1:
        raise UsageError(f"--min-opacity {options.min_opacity:g}: expected from 0 to 1")
    if options.max_sh_degree is not None and options.max_sh_degree not in (0, 1, 2, 3):
        raise UsageError(f"--max-sh-degree {options.max_sh_degree}: expected 0, 1, 2 or 3")
    return format, target


def _frame(file: SplatFile, scene: Path | None) -> WorldFrame:
    """World of the splats: as their file tells, else as the scene does."""
    from geo3d.io import WorldFrame, read_georeference

    if file.frame == WorldFrame() and scene is not None:
        return read_georeference((scene if scene.is_dir() else scene.parent) / "georeference.json")
    return file.frame


def _edited(gaussians: Gaussians, options: Options) -> Gaussians:
    from geo3d.splat.edit import crop_box, prune, with_sh_degree

    if options.crop is not None:
        gaussians = crop_box(gaussians, options.crop[:3], options.crop[3:])
    if options.min_opacity is not None:
        gaussians = prune(gaussians, min_opacity=options.min_opacity)
    if options.max_sh_degree is not None and options.max_sh_degree < gaussians.sh_degree:
        gaussians = with_sh_degree(gaussians, options.max_sh_degree)
    return gaussians


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _words(loss: SplatLoss, gaussians: Gaussians, frame: WorldFrame) -> list[str]:
    """What was lost, for people."""
    unit = " m" if frame.metric else ""
    lines = []
    if loss.sh_degree < gaussians.sh_degree:
        lines.append("Colours no longer change with the direction: the format does not hold that.")
    parts = [
        ("centres", loss.position, lambda x: f"{x:.2g}{unit}", 1e-6),
        ("sizes", loss.size, lambda x: f"{x:.1%}", 1e-4),
        ("axes", loss.rotation_deg, lambda x: f"{x:.2f} deg", 0.1),
        ("opacity", loss.opacity, lambda x: f"{x:.2%}", 1e-4),
        ("colour", loss.color, lambda x: f"{x:.1%}", 1e-4),
    ]
    rounded = [
        f"{name} {show(part.largest)} (mean {show(part.mean)})"
        for name, part, show, least in parts
        if part.largest > least
    ]
    if rounded:
        return [*lines, f"Rounded by at most: {', '.join(rounded)}."]
    return lines or ["No number is rounded."]
