"""Views of a radiance field along a path or at a pose, written to files: colour, depth, normals.

The file of the colour has the name that is asked for; depth and normals lie beside it: `NAME.depth.mp4` beside
`NAME.mp4`, the folder `NAME-depth` beside `NAME`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, look_at
from geo3d.io.pfm import write_pfm
from geo3d.render.camera_path import CameraPath
from geo3d.render.maps import depth_picture, normal_picture
from geo3d.render.panorama import render_panorama
from geo3d.render.rendering import RenderedView, RenderView
from geo3d.render.stereo_pair import BASELINE_SHARE, render_stereo
from geo3d.render.video import image_sequence_writer, video_writer, write_png
from geo3d.util.progress import Progress

_SPAN_MARGIN = 1.5  # of the depths of a video's first frame, nearer and farther, for those of the others


@dataclass(frozen=True)
class OutputOptions:
    """What of a view is written.

    Attributes
    ----------
    depth, normals : bool
        Maps beside the colour; `render_view` has to give them.
    stereo : bool
        Left and right eye side by side; a thirtieth of the median depth apart.
    panorama : bool
        All around: twice as wide as high, of the height of the camera.
    up : (float, float, float) or None
        Direction to the sky: panoramas are turned upright. None leaves them as the pose is.

    Raises
    ------
    ValueError
        If both stereo and panorama are asked for, or depth or normals with one of them.
    """

    depth: bool = False
    normals: bool = False
    stereo: bool = False
    panorama: bool = False
    up: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        asked = [name for name in ("stereo", "panorama") if getattr(self, name)]
        maps = [name for name in ("depth", "normals") if getattr(self, name)]
        if len(asked) > 1 or (asked and maps):
            raise ValueError(f"{' and '.join((asked + maps)[:2])} cannot be had together")


def write_view(
    path: str | os.PathLike,
    render_view: RenderView,
    camera: Camera,
    cam_from_world: SE3,
    options: OutputOptions | None = None,
) -> list[Path]:
    """Render one view into a PNG; its depth goes into a picture and a PFM of float32, its normals into a 16-bit PNG.

    Parameters
    ----------
    path : path-like
        Ends in .png.
    render_view : RenderView
    camera : Camera
    cam_from_world : SE3
    options : OutputOptions, optional

    Returns
    -------
    list of Path
        The files, the colour first.
    """
    path, options = Path(path), options or OutputOptions()
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: a view is written as .png")
    images = _Images(render_view, options)
    color, view = images.at(camera, cam_from_world)
    write_png(path, color)
    written = [path]
    if options.depth:
        assert view is not None
        write_png(_beside(path, "depth"), depth_picture(view.depth))
        write_pfm(_beside(path, "depth", ".pfm"), view.depth)
        written += [_beside(path, "depth"), _beside(path, "depth", ".pfm")]
    if options.normals:
        assert view is not None
        write_png(_beside(path, "normals"), normal_picture(view.normals))
        written.append(_beside(path, "normals"))
    return written


def write_path(
    path: str | os.PathLike,
    render_view: RenderView,
    camera_path: CameraPath,
    options: OutputOptions | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Render a path into a video, or into a folder of PNG; depth and normals into ones beside it.

    Parameters
    ----------
    path : path-like
        Ends in .mp4, or a folder.
    render_view : RenderView
    camera_path : CameraPath
    options : OutputOptions, optional
    progress : Progress, optional

    Returns
    -------
    list of Path
        The files or folders, the colour first.
    """
    path, options = Path(path), options or OutputOptions()
    images = _Images(render_view, options)
    names = [path, *(_beside(path, name) for name in ("depth", "normals") if getattr(options, name))]
    with ExitStack() as stack:
        stage = stack.enter_context((progress or Progress()).stage("frames", total=len(camera_path)))
        add = [stack.enter_context(_writer(name, camera_path.fps)) for name in names]
        span: tuple[float, float] | None = None
        for number, (camera, pose) in enumerate(zip(camera_path.cameras, camera_path.poses), start=1):
            color, view = images.at(camera, pose)
            shown = [color]
            if options.depth:
                assert view is not None
                span = span or _span(view.depth)
                shown.append(depth_picture(view.depth, span))
            if options.normals:
                assert view is not None
                shown.append((normal_picture(view.normals) >> 8).astype(np.uint8))
            for one, picture in zip(add, shown):
                one(picture)
            stage.update(number)
    return names


class _Images:
    """The colour that is asked for, and the view that it comes from where there is one."""

    def __init__(self, render_view: RenderView, options: OutputOptions) -> None:
        self.render_view = render_view
        self.options = options
        self.baseline = 0.0  # of all frames; found in the first

    def at(self, camera: Camera, pose: SE3) -> tuple[np.ndarray, RenderedView | None]:
        if self.options.panorama or camera.model == "EQUIRECTANGULAR":
            return render_panorama(self.render_view, self._upright(pose), camera.height), None
        if self.options.stereo:
            if not self.baseline:
                depth = np.asarray(self.render_view(camera, pose).depth)
                known = depth[depth > 0]
                self.baseline = BASELINE_SHARE * float(np.median(known)) if len(known) else BASELINE_SHARE
            return render_stereo(self.render_view, camera, pose, self.baseline), None
        view = self.render_view(camera, pose)
        return np.asarray(view.color), view

    def _upright(self, pose: SE3) -> SE3:
        if self.options.up is None:
            return pose
        up = np.asarray(self.options.up, np.float64)
        forward = pose.rotation[2] - (pose.rotation[2] @ up) / (up @ up) * up
        if np.linalg.norm(forward) < 1e-3:  # straight up or down: the top of the image tells where ahead is
            forward = -pose.rotation[1]
        center = pose.center()
        return look_at(center, center + forward, up)


def _writer(path: Path, fps: float):
    return video_writer(path, fps) if path.suffix else image_sequence_writer(path)


def _span(depth: np.ndarray) -> tuple[float, float] | None:
    known = depth[depth > 0]
    if not len(known):
        return None
    near, far = np.percentile(known, [2.0, 98.0])
    return float(near) / _SPAN_MARGIN, float(far) * _SPAN_MARGIN


def _beside(path: Path, name: str, suffix: str | None = None) -> Path:
    if not path.suffix:
        return path.with_name(f"{path.name}-{name}")
    return path.with_name(f"{path.stem}.{name}{path.suffix if suffix is None else suffix}")
