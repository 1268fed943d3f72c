"""The main job: photographs in, poses and points out. Read it from `reconstruct` down.

    frames    of a video only: the sharp, overlapping frames                images/
    scan      find the photos, read EXIF, decide who shares a camera      images/, cameras in database.db
    features  keypoints and descriptors of every photo                    database.db
    matches   choose pairs, match, verify                                 database.db
    poses     global mapping, incremental where it fails                  sparse/0, sparse/1, ...
    georeference  scale, place on Earth, or at least up                   sparse/ moved, georeference.json
    export    what people and other programs open                         points.ply, report.html, ...

Each stage is a plain function of a `Job` and gives back what the later ones and the report need, as JSON.
`util.stages.StageRunner` skips what is done and goes on with what was cut short. The scene folder is a COLMAP
workspace. A `database.db` made elsewhere that lies in it is taken as it is, with its features and matches; so are
hloc's `features.h5` and `matches.h5`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import geo3d
from geo3d.features import (
    MadeFrom,
    SiftOptions,
    VerifyOptions,
    check_choice,
    choose_pairs,
    extract_photos,
    match_photos,
    take_over,
    verify_matches,
)
from geo3d.images import (
    SAME_PHOTO,
    FrameOptions,
    PhotoError,
    Scan,
    ScannedPhoto,
    bring_frames,
    bring_photos,
    choose_frames,
    find_mask,
    find_mask_folder,
    find_photos,
    gimbal_gravity,
    hash_photos,
    list_videos,
    read_mask,
    read_photo,
    read_video_info,
    scan_photos,
    unused_masks,
)
from geo3d.io import (
    ColmapDatabase,
    GivenFiles,
    PosePrior,
    check_scene_folder,
    forget_mapped,
    given_files,
    import_hloc,
    is_own,
    mark_own,
    read_components,
    read_mapped,
    write_components,
    write_points_ply,
    write_transforms,
)
from geo3d.options import STAGES, Matching, ReconstructOptions
from geo3d.scene import Reconstruction
from geo3d.sfm import (
    NOTHING_FROM_THESE,
    BundleOptions,
    Distance,
    GroundControl,
    KnownPlace,
    MapperOptions,
    MappingResult,
    MatchGraph,
    WorkingModel,
    camera_deviations,
    check_given_focals,
    check_known_names,
    explain_weak_photos,
    find_markers,
    find_odd_lenses,
    first_cameras,
    georeference,
    guessed_focal_warnings,
    keypoint_colors,
    load_match_graph,
    map_views,
    mapping_key,
    match_photos_of_control,
    photo_position,
    photo_positions,
    read_ground_control,
    replace_contradicted_focals,
    replace_guessed_focals,
    set_known_cameras,
    with_own_lenses,
)
from geo3d.util.files import atomic_path, folder_lock, remove_partial, write_text
from geo3d.util.progress import Progress, StageProgress
from geo3d.util.snapshots import Snapshots
from geo3d.util.stages import Stage, StageRunner, stage_key
from geo3d.util.threads import cpu_count
from geo3d.viz import report_data
from geo3d.viz.report import write_report

QUALITY = {"low": (1000, 4096), "medium": (1600, 8192), "high": (3200, 8192)}
"""Quality to the longest side at which features are sought and the most features of a photo."""

_BRIDGE = "add photos in between, so that neighbours share half of what they show"
_MOVE = "take photos from different places, not turning on the spot: a step sideways for each is about right"
_MANY_MATCHES = 100  # of two photos from which a model would start, were there any depth in them

_MADE_OF_POSES = ("georeference.json", "points.ply", "transforms.json", "report.html")


@dataclass
class ReconstructReport:
    """Outcome of `reconstruct`.

    Attributes
    ----------
    scene : Path
    components : list of Reconstruction
        Connected models, the one with most photos first; empty when the job ended before the stage `poses`.
    photos : list of str
        Photos that were used.
    unregistered : dict
        Photo name to (reason, advice), for files that could not be used and photos of no component.
    timings : dict
        Stage to seconds.
    warnings : list of str
    georeference : dict
        What georeference.json holds: scale, place on Earth, residuals.
    camera_std : dict
        Camera id to the standard deviations (n_params,) of its intrinsics, where they were refined; zero for a
        parameter that stayed.
    """

    scene: Path
    components: list[Reconstruction] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    unregistered: dict[str, tuple[str, str]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    camera_std: dict[int, np.ndarray] = field(default_factory=dict)
    georeference: dict[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """What every stage may look at."""

    source: Path  # the folder of photos, or the video
    scene: Path
    options: ReconstructOptions
    given: GivenFiles | None = None  # made elsewhere, taken as they are
    rejected: dict[str, str] = field(default_factory=dict)  # files that cannot even be read, with the reason
    hashes: dict[str, str] = field(default_factory=dict)  # of the contents of the other photos, by name
    known: list[str] = field(default_factory=list)  # photos of an earlier run
    earlier: dict[str, str] = field(default_factory=dict)  # of which its models were made, with hashes
    results: dict[str, Any] = field(default_factory=dict)  # of the stages so far
    timings: dict[str, float] = field(default_factory=dict)

    @cached_property
    def found(self) -> Scan:
        """What the headers of the photos say."""
        found = scan_photos(self.folder, list(self.hashes), self.hashes, self.options.camera_per)
        found.rejected.update(self.rejected)
        return found

    @cached_property
    def control(self) -> GroundControl | None:
        """Ground control points, as they were given."""
        return read_ground_control(self.options.gcp) if self.options.gcp else None

    @property
    def images(self) -> Path:
        return self.scene / "images"

    @property
    def snapshots(self) -> Path:
        """Where a mapping that was cut short goes on from."""
        return self.scene / ".geo3d" / "mapping"

    @property
    def folder(self) -> Path:
        """Where the photos are: a video's frames are in the scene already."""
        return self.images if "frames" in self.results else self.source

    @property
    def masks(self) -> Path | None:
        return find_mask_folder(self.folder) or find_mask_folder(self.images)

    @cached_property
    def mask_hashes(self) -> dict[str, str]:
        """Content hashes of the files in the folder of masks."""
        if not self.masks:
            return {}
        files = sorted(p.relative_to(self.masks).as_posix() for p in self.masks.rglob("*") if p.is_file())
        return hash_photos(self.masks, files, self.scene / ".geo3d" / "masks.json")[0]

    @cached_property
    def features_from(self) -> dict[str, str]:
        """Photo to a hash of all that its features depend on."""
        hashes = {}
        for photo in self.found.photos:
            mask = find_mask(self.masks, photo.name) if self.masks else None
            mask_name = mask and self.masks and mask.relative_to(self.masks.resolve()).as_posix()
            options = [geo3d.__version__, self.options.quality, self.options.max_size]
            hashes[photo.name] = stage_key(
                [self.hashes[photo.source], mask_name and self.mask_hashes.get(mask_name), *options]
            )
        return hashes

    @property
    def made_from(self) -> Path:
        """The record of what features and two-view geometries were made from."""
        return self.scene / ".geo3d" / "made-from.json"

    @property
    def threads(self) -> int:
        return self.options.threads or cpu_count()

    def database(self) -> ColmapDatabase:
        """Open the database of the scene; close it, or use it as a context."""
        return ColmapDatabase(self.scene / "database.db")


def reconstruct(
    photos: str | Path,
    scene: str | Path,
    options: ReconstructOptions | None = None,
    progress: Progress | None = None,
) -> ReconstructReport:
    """Reconstruct camera poses and points from a folder of photographs, or from a video.

    Parameters
    ----------
    photos : path
        Folder of photos, searched with its subfolders; or a video, of which sharp frames that overlap are taken.
    scene : path
        Folder for the result; made if missing. One that holds an earlier run goes on from there.
    options : ReconstructOptions, optional
    progress : Progress, optional
        Silent by default.

    Returns
    -------
    ReconstructReport

    Raises
    ------
    ValueError
        If there are fewer than two usable photos, no model can be made of them, the calibration does not fit, the
        video cannot be used, or the scene folder holds something else.
    OSError
        If the folders cannot be read or written.
    """
    options, progress = options or ReconstructOptions(), progress or Progress()
    photos, scene = Path(photos), Path(scene)
    if photos.is_file():
        read_video_info(photos)
        names, rejected = [], {}
    else:
        names, rejected = find_photos(photos, scene)
    check_scene_folder(scene)
    with folder_lock(scene / ".geo3d"):
        remove_partial(scene)
        job = Job(photos, scene, options, given_files(scene), rejected)
        runner = StageRunner(scene, progress, geo3d.__version__)
        if photos.is_file():
            job.results["frames"] = runner(_frames_stage(job, runner), again=options.from_stage == STAGES[0])
            names = job.results["frames"]["frames"]
        with progress.stage("photos", len(names)) as stage:
            job.hashes, unreadable = hash_photos(
                job.folder, names, scene / ".geo3d" / "hashes.json", stage.update
            )
        job.rejected.update(unreadable)
        if options.from_stage in ("scan", "features"):
            job.made_from.unlink(missing_ok=True)
        before = runner.stages.get("scan", {}).get("result", {})
        job.known = [str(n) for n in before.get("photos", [])]
        job.earlier = dict(before.get("hashes", {}))
        again = False
        for stage in _stages(job, progress):
            again = again or stage.name == options.from_stage
            job.results[stage.name] = runner(stage, again=again)
            job.timings = runner.timings()
            if stage.name == options.until_stage:
                break
        return _report(job)


def _stages(job: Job, progress: Progress) -> list[Stage]:
    """The stages with what their results depend on, how to undo them, and the files they leave."""
    o, scene = job.options, job.scene
    calibration = o.calib and o.calib.read_bytes().hex()
    pairs = o.pairs and o.pairs.read_bytes().hex()
    hloc = [name for name in ("features.h5", "matches.h5") if job.given and not job.given.database]
    given = hash_photos(scene, hloc, scene / ".geo3d" / "given-hashes.json")[0]
    check_known_names(job.hashes, job.control, [Distance(*given) for given in o.distance])
    camera = [o.camera_per, o.camera_model, o.camera_params, calibration, o.fix_intrinsics]
    brought = (job.images / name for name in job.known)
    return [
        Stage(
            "scan",
            [job.hashes, job.rejected, camera, given],
            partial(scan, job),
            partial(_drop_what_no_longer_fits, job, progress),
            outputs=(scene / "database.db", *brought),
            check=partial(_check_scan, job),
            outdated=partial(_rejected_otherwise, job),
        ),
        Stage(
            "features",
            [o.quality, o.max_size, job.mask_hashes],
            partial(features, job),
            outdated=partial(_readable_now, job),
        ),
        Stage(
            "matches",
            [o.matching, pairs, o.gps_radius_m, o.seed],
            partial(matches, job),
            partial(_clear_matches, job),
            check=partial(_check_matches, job),
        ),
        Stage(
            "poses",
            [o.fix_intrinsics, o.seed],
            partial(poses, job),
            lambda: shutil.rmtree(job.snapshots, ignore_errors=True),
            outputs=(scene / "sparse" / "0",),
            version=2,
        ),
        Stage(
            "georeference",
            [job.control and o.gcp and o.gcp.read_bytes().hex(), o.distance, o.marker_size_m],
            partial(place_models, job),
            outputs=(scene / "georeference.json",),
            version=3,
        ),
        Stage("export", [], partial(export, job), outputs=(scene / "points.ply", scene / "report.html")),
    ]


# ------------------------------------------------------------------------------------------------------- frames


def _frames_stage(job: Job, runner: StageRunner) -> Stage:
    """The stage before all others, of a video."""
    before = runner.stages.get("frames", {}).get("result", {}).get("frames", [])
    video = job.source.resolve()
    hashes, unreadable = hash_photos(video.parent, [video.name], job.scene / ".geo3d" / "video.json")
    if unreadable:
        raise OSError(f"{job.source} {unreadable[video.name]}")
    return Stage(
        "frames",
        [hashes[video.name], job.options.frames],
        partial(frames, job),
        outputs=tuple(job.images / name for name in before),
    )


def frames(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Choose frames of the video of a `job` and write them into its scene; progress goes to `stage`."""
    chosen = choose_frames(
        job.source, FrameOptions(max_frames=job.options.frames), lambda done, total: stage.update(done, total)
    )
    names = bring_frames(job.source, chosen.numbers, job.images, job.scene / ".geo3d" / "brought.json")
    stage.summary = f"{len(names)} frames of {job.source.name}"
    return {"frames": names, "warnings": chosen.warnings}


# --------------------------------------------------------------------------------------------------------- scan


def _check_scan(job: Job) -> None:
    """Refuse what cannot be scanned before anything of an earlier run is touched."""
    if len(job.found.photos) < 2:
        raise ValueError(
            f"{len(job.found.photos)} of the {len(job.hashes) + len(job.rejected)} photos in {job.source} can be used, "
            "and two are needed; "
            + "; ".join(f"{name}: {why}" for name, why in list(job.found.rejected.items())[:1])
        )
    database = job.scene / "database.db"
    if job.given and job.given.database:
        return
    first_cameras(job.options, job.found.photos)
    if database.exists() and not is_own(database):
        raise ValueError(
            f"{database} is not the one that geo3d made there. To use it, put it into a new scene folder; to make "
            "another, remove it"
        )


def _rejected_otherwise(job: Job, result: dict[str, Any]) -> bool:
    """Whether a photo that could not be used before can be (what reads it was installed since, say)."""
    return not job.given and bool(result["rejected"]) and job.found.rejected != result["rejected"]


def _drop_what_no_longer_fits(job: Job, progress: Progress) -> None:
    """Remove models of photos that are about to be taken out or exchanged: should this run fail, nothing would tell
    that they are of others. Photos that come in addition leave them be."""
    now = {photo.name: job.hashes[photo.source] for photo in job.found.photos}
    gone = [name for name, known in job.earlier.items() if now.get(name) != known]
    made = [job.scene / name for name in ("sparse", *_MADE_OF_POSES) if (job.scene / name).exists()]
    if not gone or not (job.scene / ".geo3d" / "mapped").is_dir():
        return
    progress.note(
        f"{len(gone)} of the photos before are gone or others now ({gone[0]}): the model made of them was removed"
    )
    forget_mapped(job.scene)
    for path in made:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def scan(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Bring the photos of a `job` into its scene and enter them, with their cameras, into the database.

    As all stages it says to `stage` how far it is, and gives back, for JSON, what the later ones need.
    """
    found, database_file = job.found, job.scene / "database.db"
    bring_photos(job.folder, found.photos, job.images, job.scene / ".geo3d" / "brought.json")
    if job.given and job.given.database:
        return _scan_given(job, stage)
    cameras, notes = first_cameras(job.options, found.photos)
    with atomic_path(database_file) as path, ColmapDatabase(path) as database:
        mark_own(path)
        with database.transaction():
            ids = {group: database.add_camera(camera) for group, camera in cameras.items()}
            for photo in found.photos:
                image = database.add_image(photo.name, ids[photo.group])
                if photo.gps is not None:
                    database.write_pose_prior(image, _gps_prior(photo))
        if job.given:
            matches_file = job.scene / "matches.h5" if job.given.matches else None
            import_hloc(job.scene / "features.h5", matches_file, database)
        else:
            made_from = MadeFrom.read(job.made_from).features
            unchanged = [name for name, key in job.features_from.items() if made_from.get(name) == key]
            take_over(database_file, database, unchanged)
        for suffix in ("-wal", "-shm", "-journal"):  # of the one that this takes the place of
            database_file.with_name(f"database.db{suffix}").unlink(missing_ok=True)
    stage.summary = f"{len(found.photos)} photos, {len(cameras)} camera{'s' * (len(cameras) > 1)}"
    return {
        "photos": [photo.name for photo in found.photos],
        "rejected": found.rejected,
        "notes": {str(ids[group]): note for group, note in notes.items()},
        "hashes": {photo.name: job.hashes[photo.source] for photo in found.photos},
        "warnings": [*_unused_videos(job), *found.refused_gps()],
    }


def _unused_videos(job: Job) -> list[str]:
    videos = list_videos(job.folder)
    if not videos:
        return []
    return [
        f"{len(videos)} video{'s' * (len(videos) > 1)} among the photos ({videos[0]}): not used. Give a video by "
        "itself, or put its frames among the photos"
    ]


def _gps_prior(photo: ScannedPhoto) -> PosePrior:
    assert photo.gps is not None
    place = photo_position(photo.name, photo.gps)
    gravity = None if photo.gimbal_deg is None else gimbal_gravity(photo.gimbal_deg)
    return PosePrior(place.geodetic, "WGS84", np.diag(place.std_m**2), gravity)


def _scan_given(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Take a database that another program made; what only one side has is left out and said."""
    with job.database() as database:
        listed = {image.name for image in database.images().values()}
    found = job.found
    here = {photo.name for photo in found.photos}
    rejected = {**found.rejected, **dict.fromkeys(sorted(here - listed), "not in the given database.db")}
    for name in sorted(listed - here):
        rejected.setdefault(name, "in the given database.db, but not among the photos")
    both = sorted(listed & here)
    if len(both) < 2:
        raise ValueError(
            f"{len(both)} of the {len(listed)} photos of {job.scene / 'database.db'} are in {job.source}"
        )
    stage.summary = f"{len(both)} photos of a database made elsewhere"
    hashes = {photo.name: job.hashes[photo.source] for photo in found.photos if photo.name in both}
    return {"photos": both, "rejected": rejected, "notes": {}, "hashes": hashes}


# ----------------------------------------------------------------------------------------------------- features


def features(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Detect and describe keypoints in every photo of a `job`; progress goes to `stage`."""
    if job.given and job.given.features:
        stage.summary = "taken from the database"
        return {"failed": {}}
    size, count = QUALITY[job.options.quality]
    options = SiftOptions(max_features=count, max_size=job.options.max_size or size)
    record = MadeFrom.read(job.made_from)
    with job.database() as database:
        ids = {image.name: image_id for image_id, image in database.images().items()}
        changed = [ids[n] for n, key in job.features_from.items() if record.features.get(n) != key]
        with database.transaction():
            database.remove_features(changed)
        MadeFrom(job.features_from, record.geometries).write(job.made_from)
        failed = extract_photos(
            database, job.images, options, stage.update, masks_folder=job.masks, threads=job.threads
        )
        counts = database.keypoint_counts()
        names = [image.name for image in database.images().values()]
    stage.summary = f"{np.mean(list(counts.values())):.0f} keypoints a photo"
    warnings = []
    if job.masks and (unused := unused_masks(job.masks, names)):
        warnings.append(
            f"{len(unused)} of the masks in {job.masks} belong to no photo ({unused[0]}): a mask is named as its "
            "photo, IMG_1.jpg.png or IMG_1.png for IMG_1.jpg"
        )
    return {"failed": failed, "warnings": warnings}


def _readable_now(job: Job, result: dict[str, Any]) -> bool:
    """Whether a photo that could not be used before, for itself or for its mask, can be."""
    for name in result["failed"]:
        try:
            photo = read_photo(job.images / name, "gray")
            if mask := find_mask(job.masks, name) if job.masks else None:
                read_mask(mask, (photo.width, photo.height))
        except (PhotoError, OSError):
            continue
        return True
    return False


# ------------------------------------------------------------------------------------------------------ matches


def _matching(job: Job) -> Matching:
    """How pairs are chosen: frames of a video come in the order of time."""
    automatic = job.options.matching == "auto" and "frames" in job.results
    return "sequential" if automatic else job.options.matching


def _clear_matches(job: Job) -> None:
    """Matches are kept as long as their features are, unless they are to be made again."""
    given = job.given or GivenFiles()
    if job.options.from_stage == "matches" and not given.geometries:
        with job.database() as database, database.transaction():
            database.clear_two_view_geometries()
            if not given.matches:
                database.clear_matches()


def _check_matches(job: Job) -> None:
    with job.database() as database:
        check_choice(database, _matching(job), job.options.pairs)


def matches(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Choose pairs of photos of a `job`, match them, keep what one rigid scene explains; progress goes to `stage`."""
    given, o = job.given or GivenFiles(), job.options
    record, geometries_from = MadeFrom.read(job.made_from), stage_key([geo3d.__version__, o.seed])
    with job.database() as database:
        if not given.matches and not given.geometries:
            pairs = choose_pairs(
                database, _matching(job), o.pairs, gps_radius_m=o.gps_radius_m, threads=job.threads
            )
            ids = {image.name: image_id for image_id, image in database.images().items()}
            with database.transaction():
                database.keep_pairs([(ids[a], ids[b]) for a, b in pairs])
            match_photos(database, pairs, progress=stage.update, threads=job.threads)
        if not given.geometries:
            if record.geometries != geometries_from:
                with database.transaction():
                    database.clear_two_view_geometries()
                MadeFrom(record.features, geometries_from).write(job.made_from)
            options = VerifyOptions(seed=o.seed)
            verify_matches(database, options, progress=stage.update, threads=job.threads)
        verified = sum(len(record.matches) > 0 for record in database.two_view_geometries().values())
    stage.summary = f"{verified} pairs share a view"
    return {"verified": verified}


# -------------------------------------------------------------------------------------------------------- poses


def poses(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Find the poses and points of a `job`, one model a component; progress goes to `stage`."""
    with job.database() as database:
        graph = load_match_graph(database)
        ids = {i for pair in database.match_counts() for i in pair}
    compared = {name for name, i in zip(graph.names, graph.view_ids) if i in ids}
    if job.given and job.given.database:
        set_known_cameras(graph, job.options, job.found.photos)
    given = job.options.calib is not None or job.options.camera_params is not None
    warnings = check_given_focals(graph) if given else replace_contradicted_focals(graph)
    guesses = replace_guessed_focals(graph)
    refine = not job.options.fix_intrinsics
    bundle = BundleOptions(refine_focal=refine, refine_distortion=refine, threads=job.threads)
    stage.update(0, len(graph))
    options = MapperOptions(bundle=bundle, seed=job.options.seed)
    result, graph, odd = _map(job, graph, options, stage)
    weak = explain_weak_photos(job.images, graph, result.models, job.threads, compared or None)
    if not result.models:
        most = max((len(pair.matches) for pair in graph.pairs), default=0)
        found = (
            f"no two of the {len(graph)} photos share enough to start from. Photos must overlap by half, show texture, "
            "and be taken from different places (turning on the spot gives no depth)"
        )
        if most >= _MANY_MATCHES:
            found = (
                f"the {len(graph)} photos show no depth: two of them have {most} points in common, and none of these "
                f"moves against the others, as if all were taken from one spot; {_MOVE}"
            )
        raise ValueError(
            found
            + "".join(f". {graph.names[view]}: {why}" for view, (why, _) in list(weak.reasons.items())[:3])
            + (f". The like holds for {len(weak.reasons) - 3} more" if len(weak.reasons) > 3 else "")
        )
    registered = np.flatnonzero(np.any([model.registered for model in result.models], axis=0))
    colors = keypoint_colors(job.images, graph, registered, job.threads)
    forget_mapped(job.scene)
    write_components([model.to_reconstruction(colors) for model in result.models], job.scene)
    for name in _MADE_OF_POSES:  # of what was there before
        (job.scene / name).unlink(missing_ok=True)
    first = result.models[0]
    stage.summary = f"{int(first.registered.sum())} of {len(graph)} photos, {int(first.placed.sum())} points"
    reasons = {
        graph.names[view]: weak.reasons.get(
            view, (reason, _MOVE if reason == NOTHING_FROM_THESE else _BRIDGE)
        )
        for view, reason in result.reasons.items()
    }
    deviations = _camera_deviations(result.models, bundle) if refine else {}
    found_std = {int(i): [np.inf if v is None else v for v in std] for i, std in deviations.items()}
    warnings += guessed_focal_warnings(graph, guesses, result.models, found_std, "frames" in job.results)
    warnings += [*odd, *weak.warnings, *result.notes]
    shutil.rmtree(job.snapshots, ignore_errors=True)
    return {"reasons": reasons, "warnings": warnings, "camera_std": deviations}


def _map(
    job: Job, graph: MatchGraph, options: MapperOptions, stage: StageProgress
) -> tuple[MappingResult, MatchGraph, list[str]]:
    """Map the photos; once more where some turn out to have lenses of their own, which is said."""

    def run(graph: MatchGraph, lenses: str) -> MappingResult:
        key = f"{geo3d.__version__} {mapping_key(graph, options)}"
        snapshots = Snapshots(job.snapshots, key).within(lenses)  # neither run takes the place of the other's
        return map_views(graph, options, lambda done, text: stage.update(done, len(graph), text), snapshots)

    result = run(graph, "shared")
    odd = find_odd_lenses(result.models, options.max_error_px, options.seed)
    if not odd:
        return result, graph, []
    own, warnings = with_own_lenses(graph, odd)
    if job.options.fix_intrinsics:
        return result, graph, [f"{text} As asked, the intrinsics were kept" for text in warnings]
    return run(own, "own"), own, warnings


def _camera_deviations(models: list[WorkingModel], bundle: BundleOptions) -> dict[str, list[float | None]]:
    """Standard deviations of the intrinsics by camera id, from the largest model that uses it; None for infinite."""
    found: dict[str, list[float | None]] = {}
    for model in models:
        used = np.unique(model.view_camera[model.registered])
        if any(str(model.camera_ids[c]) not in found for c in used):
            deviations = camera_deviations(model, bundle)
            for c in used:
                found.setdefault(
                    str(model.camera_ids[c]), [v if np.isfinite(v) else None for v in deviations[c].tolist()]
                )
    return found


# ------------------------------------------------------------------------------------------------- georeference


def place_models(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Give the models of a `job` scale, place and an upward z, as far as these are known; `stage` says how."""
    photos = job.found.photos
    control = job.control and match_photos_of_control(job.control, job.results["scan"]["photos"])
    kept = {
        job.hashes[photo.source]: photo.name for photo in photos
    }  # of a photo that is there twice, one is used
    renamed = {name: kept[content] for name, content in job.hashes.items() if content in kept}
    renamed.update(
        {photo.source: photo.name for photo in photos}
    )  # HEIC photos have another name in the scene
    lengths = check_known_names(job.hashes, job.control, [Distance(*given) for given in job.options.distance])
    size, models = job.options.marker_size_m, read_mapped(job.scene)
    names = sorted(
        {view.name for m in models for view in m.views.values() if view.cam_from_world is not None}
    )
    with job.database() as database:
        first = database.cameras()
    known = KnownPlace(
        positions=photo_positions({photo.name: photo.gps for photo in photos}),
        gravity={p.name: gimbal_gravity(p.gimbal_deg) for p in photos if p.gimbal_deg is not None},
        orientations={photo.name: photo.orientation for photo in photos},
        control=control,
        distances=tuple(
            Distance(renamed.get(d.first, d.first), renamed.get(d.second, d.second), d.metres)
            for d in lengths
        ),
        markers=[] if size is None else find_markers(job.images, names, job.threads, stage.update),
        marker_size_m=size or np.nan,
        camera_std=_deviations(job),
        first_cameras=first,
    )
    placed = georeference(models, known, job.options.seed, job.threads)
    write_components(placed.models, job.scene)
    write_text(job.scene / "georeference.json", json.dumps(placed.result.to_json(), indent=1))
    stage.summary = placed.result.headline()
    return placed.result.to_json()


# ------------------------------------------------------------------------------------------------------- export


def export(job: Job, stage: StageProgress) -> dict[str, Any]:
    """Write the files of a `job` that people and other programs open; `stage` shows where."""

    components = read_components(job.scene)
    write_points_ply(job.scene / "points.ply", components[0].points)
    (job.scene / "transforms.json").unlink(missing_ok=True)
    warnings = []
    try:
        write_transforms(components[0], job.scene / "transforms.json", images="images")
    except ValueError as error:  # a lens model that the format cannot say
        warnings.append(
            f"no transforms.json was written: {error}; `geo3d undistort` makes a PINHOLE copy of the scene"
        )
    job.results["export"] = {"warnings": warnings}
    write_report(job.scene / "report.html", _report_data(job, components))
    stage.summary = str(job.scene / "report.html")
    return job.results["export"]


def _report_data(job: Job, components: list[Reconstruction]) -> report_data.ReportData:
    with job.database() as database:
        graph = load_match_graph(database)
    outcome = _report(job, components)
    return report_data.ReportData(
        title=job.scene.resolve().name,
        components=components,
        photos=graph.names,
        unregistered={name: report_data.Unregistered(*why) for name, why in outcome.unregistered.items()},
        matches=report_data.MatchGraph(graph.names, graph.inlier_counts()),
        timings=job.timings,
        warnings=outcome.warnings,
        camera_notes={int(i): note for i, note in job.results["scan"]["notes"].items()},
        camera_std=outcome.camera_std,
        photos_folder=job.images,
        georeference=outcome.georeference,
        up=np.array([0.0, 0.0, 1.0]),
    )


def _report(job: Job, components: list[Reconstruction] | None = None) -> ReconstructReport:
    """What the stages so far have to say."""
    results = job.results
    if components is None:
        components = read_components(job.scene) if "poses" in results else []
    unusable = {**results["scan"]["rejected"], **results.get("features", {}).get("failed", {})}
    why = {name: (text, "") for name, text in unusable.items() if not text.startswith(SAME_PHOTO)}
    for name, (reason, advice) in results.get("poses", {}).get("reasons", {}).items():
        why.setdefault(name, (reason, advice))
    why.update({name: (text, "") for name, text in unusable.items() if name not in why})  # copies come last
    stages = ("frames", "scan", "features", "poses", "georeference", "export")
    warnings = [text for stage in stages for text in results.get(stage, {}).get("warnings", [])]
    if len(components) > 1:
        sizes = " + ".join(str(len(c.registered())) for c in components)
        warnings.append(
            f"the photos fall into {len(components)} models that could not be joined ({sizes} photos); photos that "
            "show the way from one to the other would join them. If these are different places, reconstruct each by "
            "itself"
        )
    return ReconstructReport(
        scene=job.scene,
        components=components,
        photos=results["scan"]["photos"],
        unregistered=why,
        timings=job.timings,
        warnings=warnings,
        camera_std=_written_deviations(job),
        georeference=results.get("georeference", {}),
    )


def _deviations(job: Job) -> dict[int, np.ndarray]:
    """Camera id to the standard deviations of its intrinsics as mapped."""
    return _with_infinity(job.results.get("poses", {}).get("camera_std", {}))


def _written_deviations(job: Job) -> dict[int, np.ndarray]:
    """The same of the cameras as they are written, from the largest model that has them."""
    found = _deviations(job)
    for model in reversed(job.results.get("georeference", {}).get("models", [])):
        found.update(_with_infinity(model["camera_std"]))
    return found


def _with_infinity(recorded: dict[str, list[float | None]]) -> dict[int, np.ndarray]:
    return {int(i): np.array([np.inf if v is None else v for v in std]) for i, std in recorded.items()}
