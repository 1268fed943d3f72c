"""`geo3d export SCENE --format mesh|density` of a radiance field: its surface, or its density on a grid."""

from __future__ import annotations

from pathlib import Path

from geo3d.cli.common import Session, UsageError
from geo3d.cli.export import Options

_NAMES = {".glb": "mesh", ".ply": "mesh", ".npz": "density"}
_SPLAT_ONLY = "crop", "min_opacity", "max_sh_degree"


def export_nerf(file: Path, scene: Path | None, options: Options, session: Session) -> int:
    """Write the mesh (.glb, .ply) or the density (.npz) of the field in `file`, of the `scene` where it is known."""
    kind, target = _target(options, file)
    for name in _SPLAT_ONLY:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is of splats, and {file} is a radiance field")
    if options.voxel is not None and not options.voxel > 0:
        raise UsageError(f"--voxel {options.voxel:g}: expected a length above 0")
    from geo3d.nerf.model import read_model
    from geo3d.nerf.surface import density_grid, field_mesh, write_density

    model = read_model(file)
    grid = density_grid(model, options.voxel, session.progress)
    told: dict[str, object] = {"out": str(target), "format": kind, "voxel": grid.voxel}
    if kind == "density":
        write_density(target, grid)
        text = " x ".join(map(str, grid.density.shape)) + " voxels"
        told["voxels"] = list(grid.density.shape)
    else:
        from geo3d.io.world_frame import write_world_file
        from geo3d.render import write_mesh
        from geo3d.render.views import scene_frame

        mesh = field_mesh(model, grid)
        write_mesh(target, mesh)
        if scene is not None:
            write_world_file(target, scene_frame(scene))
        faces = 0 if mesh.faces is None else len(mesh.faces)
        text = f"{faces:,} triangles"
        told |= {"points": len(mesh.points), "faces": faces}
    size = target.stat().st_size
    session.say(f"{target}: {text}, {size / 1e6:.1f} MB, finest detail {grid.voxel:.2g}")
    session.result(**told, bytes=size)
    return 0


def _target(options: Options, file: Path) -> tuple[str, Path]:
    """What to write and where; UsageError where it is none of a field."""
    kind, target = options.format, options.out
    if kind in ("glb", "ply"):  # the mesh in that format
        target = file.with_name(f"mesh.{kind}") if target is None else target
        kind = "mesh" if target.suffix.lower() == f".{kind}" else kind
    if kind == "auto":
        kind = "mesh" if target is None else _NAMES.get(target.suffix.lower(), "")
    if target is None:
        target = file.with_name("density.npz" if kind == "density" else "mesh.glb")
    if kind not in _NAMES.values() or _NAMES.get(target.suffix.lower()) != kind:
        raise UsageError(
            f"{file} is a radiance field: it is written as a mesh (-o mesh.glb, mesh.ply) or as a grid of densities "
            f"(-o density.npz), not to {target if kind in _NAMES.values() else kind or target}"
        )
    if target.is_dir():
        raise UsageError(f"{target} is a folder; give another file as -o")
    return kind, target
