"""`geo3d flow CLIP`: the work on a video, or a folder of frames: flows, a steady video, tracks, frames between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.cli.common import Session, UsageError
from geo3d.flow import (
    METHODS,
    InterpolateOptions,
    SkippedFrame,
    StabiliseOptions,
    TrackGatherer,
    UsableFrames,
    VideoTrackOptions,
    camera_motion,
    follow_points,
    interpolated_frames,
    optical_flow,
    plan_stabilisation,
    stabilised_frames,
)
from geo3d.flow.track_files import TRACK_ENDINGS, write_tracks
from geo3d.images import PhotoError, find_other_sizes, list_photos, read_frames, read_image, read_video_info
from geo3d.io import write_flow
from geo3d.render.video import image_sequence_writer, video_writer, write_png
from geo3d.util.files import atomic_path
from geo3d.viz.flow import flow_figure
from geo3d.viz.flow_trails import Trails

if TYPE_CHECKING:
    from geo3d.cli.flow import Options

_FOLDER_FPS = 30.0  # of frames in a folder
_NAMED = 5  # frames that were left out, named one by one


def run_video(options: Options, session: Session) -> int:
    """Do with a video what the options ask for."""
    clip = _Clip.of(options.images[0], session)
    if options.stabilise:
        return _run_stabilise(options, clip, session)
    if options.tracks:
        return _run_tracks(options, clip, session)
    if options.interpolate is not None:
        return _run_interpolate(options, clip, options.interpolate, session)
    return _run_flows(options, clip, session)


@dataclass(frozen=True)
class _Clip:
    """A video, or a folder of frames in the order of their names."""

    path: Path
    fps: float
    count: int  # that the header promises, 0 where it does not say
    other_sizes: dict[int, tuple[int, int]]  # of frames that the video scales to its size

    @staticmethod
    def of(path: Path, session: Session) -> _Clip:
        if path.is_dir():
            names = list_photos(path)
            if not names:
                raise UsageError(f"{path} has no photos in it; give a video, or a folder of frames")
            return _Clip(path, _FOLDER_FPS, len(names), {})
        info = read_video_info(path)
        with session.progress.stage("look", total=info.frames or None) as stage:
            others = find_other_sizes(path, lambda done: stage.update(done))
        return _Clip(path, info.fps, info.frames, others)

    def frames(self) -> Iterator[tuple[int, np.ndarray | None]]:
        """Number and pixels of each frame; None for one that cannot be read, where others follow."""
        if self.path.is_dir():
            for number, name in enumerate(list_photos(self.path)):
                yield number, _read_or_none(self.path / name)
            return
        expected = 0
        for number, pixels in read_frames(self.path):
            for missing in range(expected, number):
                yield missing, None
            if number in self.other_sizes:  # blank in its own size, by which it is left out
                width, height = self.other_sizes[number]
                pixels = np.zeros((height, width, 3), np.uint8)
            yield number, pixels
            expected = number + 1


def _read_or_none(path: Path) -> np.ndarray | None:
    try:
        return read_image(path)
    except PhotoError:
        return None


def _run_stabilise(options: Options, clip: _Clip, session: Session) -> int:
    settings = StabiliseOptions() if options.window is None else StabiliseOptions(options.window)
    with session.progress.stage("motion", total=clip.count or None) as stage:
        motion = camera_motion(clip.frames(), progress=lambda done: stage.update(done))
    with session.progress.stage("path"):
        plan = plan_stabilisation(motion, settings)
    with (
        session.progress.stage("write", total=len(motion.numbers)) as stage,
        _writer(options.out, clip) as add,
    ):
        for _, frame in stabilised_frames(clip.frames(), plan):
            add(frame)
            stage.update(stage.done + 1)
    _tell_skipped(motion.skipped, session)
    unknown = int((motion.support == 0).sum()) - len(motion.cuts)
    if unknown:
        session.progress.warn(
            f"{unknown} step{'s' * (unknown > 1)} of the camera could not be seen (too dark, or without texture); it "
            "was taken to stand still there"
        )
    shots = len(motion.shots())
    session.say(
        f"{options.out}: {len(motion.numbers)} frames, {shots} shot{'s' * (shots > 1)}; shake {plan.shake_px:.2g} px, "
        f"{plan.left_px:.2g} px are left; {100 * plan.crop:.0f} % of the width and height is seen"
    )
    session.result(
        out=str(options.out),
        frames=len(motion.numbers),
        cuts=motion.numbers[motion.cuts].tolist(),
        shake_px=plan.shake_px,
        left_px=plan.left_px,
        crop=plan.crop,
        skipped=_as_records(motion.skipped),
    )
    return 0


def _run_tracks(options: Options, clip: _Clip, session: Session) -> int:
    out, settings = options.out, VideoTrackOptions(method=options.method, flow_options=_flow_options(options))
    picture = out.with_name(f"{out.stem}_trails.mp4")
    gather, trails, skipped = TrackGatherer(), Trails(), []
    with (
        session.progress.stage("tracks", total=clip.count or None) as stage,
        video_writer(picture, clip.fps) as add,
    ):
        for tracked in follow_points(clip.frames(), settings, skipped):
            gather.add(tracked)
            add(trails.draw(tracked.pixels, tracked.ids, tracked.points))
            stage.update(stage.done + 1)
        tracks = gather.tracks(skipped)
        write_tracks(out, tracks)
    _tell_skipped(skipped, session)
    middle = float(np.median(tracks.lengths)) if len(tracks) else 0.0
    through = int((tracks.lengths == len(tracks.numbers)).sum())
    session.say(
        f"{out}: {len(tracks):,} tracks through {len(tracks.numbers)} frames, {middle:.0f} frames long in the median, "
        f"{through:,} from the first frame to the last"
    )
    session.say(f"{picture}")
    session.result(
        out=[str(out), str(picture)],
        frames=len(tracks.numbers),
        tracks=len(tracks),
        median_length=middle,
        skipped=_as_records(skipped),
    )
    return 0


def _run_interpolate(options: Options, clip: _Clip, times: int, session: Session) -> int:
    settings, skipped, count = InterpolateOptions(options.method, _flow_options(options)), [], 0
    with (
        session.progress.stage("between", total=clip.count or None) as stage,
        _writer(options.out, clip, times) as add,
    ):
        for frame in interpolated_frames(
            clip.frames(), times, settings, skipped, lambda done: stage.update(done)
        ):
            add(frame)
            count += 1
    _tell_skipped(skipped, session)
    fps = times * clip.fps
    session.say(f"{options.out}: {count} frames, {fps:g} a second")
    session.result(out=str(options.out), frames=count, fps=fps, skipped=_as_records(skipped))
    return 0


def _run_flows(options: Options, clip: _Clip, session: Session) -> int:
    """A flow file and a picture of each pair of frames that follow each other."""
    usable, last, pairs = UsableFrames(clip.frames()), None, 0
    settings = _flow_options(options)
    with (
        atomic_path(options.out) as folder,
        session.progress.stage("flow", total=clip.count or None) as stage,
    ):
        folder.mkdir()
        for frame in usable:
            if last is not None:
                found = optical_flow(last.pixels, frame.pixels, options.method, settings)
                write_flow(folder / f"{last.number:05}.flo", found.flow)
                write_png(folder / f"{last.number:05}.png", flow_figure(found.flow))
                pairs += 1
            last = frame
            stage.update(stage.done + 1)
        if not pairs:
            raise ValueError(f"{clip.path}: expected two frames or more that can be used, there are fewer")
    _tell_skipped(usable.skipped, session)
    session.say(
        f"{options.out}: {pairs} flows, NUMBER.flo from the frame of that number to the next one, and NUMBER.png in "
        "colours"
    )
    session.result(out=str(options.out), flows=pairs, skipped=_as_records(usable.skipped))
    return 0


def _flow_options(options: Options) -> Any:
    """Options of the method of flow; its defaults where nothing else was said."""
    return None if options.weights is None else METHODS[options.method].options(weights=options.weights)


def _writer(out: Path, clip: _Clip, times: int = 1) -> AbstractContextManager[Callable[[np.ndarray], None]]:
    """Into a video, or PNG in a folder."""
    if out.suffix.lower() == ".mp4":
        return video_writer(out, times * clip.fps)
    return image_sequence_writer(out)


def _tell_skipped(skipped: list[SkippedFrame], session: Session) -> None:
    for frame in skipped[:_NAMED]:
        session.progress.warn(f"frame {frame.number} is left out: {frame.reason}")
    if len(skipped) > _NAMED:
        numbers = ", ".join(str(frame.number) for frame in skipped[_NAMED : _NAMED + 20])
        more = ", ..." if len(skipped) > _NAMED + 20 else ""
        session.progress.warn(f"{len(skipped) - _NAMED} more are left out: {numbers}{more}")


def _as_records(skipped: list[SkippedFrame]) -> list[dict]:
    return [{"frame": frame.number, "reason": frame.reason} for frame in skipped]


def check_video(options: Options) -> None:
    """Raise UsageError where the options of a video do not fit each other or what is there."""
    asked = [
        flag
        for flag, given in (
            ("--stabilise", options.stabilise),
            ("--tracks", options.tracks),
            ("--interpolate", options.interpolate is not None),
        )
        if given
    ]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: give one at a time")
    for flag, given in (
        ("--truth", options.truth is not None),
        ("--moving", options.moving),
        ("--maps", options.maps),
        ("--method patchmatch", options.method == "patchmatch"),
    ):
        if given:
            raise UsageError(f"{flag} is for two images; leave it out")
    if options.interpolate is not None and not 2 <= options.interpolate <= 100:
        raise UsageError(
            f"--interpolate {options.interpolate}: expected from 2 to 100 frames for each of the video"
        )
    if options.window is not None and not options.stabilise:
        raise UsageError("--window is for --stabilise; leave it out")
    try:
        StabiliseOptions(options.window or StabiliseOptions.window)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    _check_out(options, asked[0] if asked else "")


_OUT = {
    "": (("",), "the flows of a video go into a folder, as -o flows/"),
    "--stabilise": ((".mp4", ""), "give a name that ends with .mp4, as -o steady.mp4, or a folder for PNG"),
    "--tracks": (TRACK_ENDINGS, "give a name that ends with .npz or .json, as -o tracks.npz"),
    "--interpolate": ((".mp4", ""), "give a name that ends with .mp4, as -o smooth.mp4, or a folder for PNG"),
}  # what is asked for -> endings of OUT, and what to do where it has another


def _check_out(options: Options, asked: str) -> None:
    out = options.out
    endings, advice = _OUT[asked]
    if out.suffix.lower() not in endings:
        raise UsageError(f"-o {out}: {advice}")
    if out.exists() and options.images[0].samefile(out):
        raise UsageError(f"-o {out} is the video itself; give another name")
    if not asked and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"-o {out} is there and not empty; give a new folder")
