"""The command line answers in one line, with the right exit code, and says how to go on."""

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cli.app import COMMANDS, explain, run
from geo3d.cli.convert import Format
from geo3d.cli.doctor import _OPTIONAL
from geo3d.options import ReconstructOptions
from geo3d.util.require import EXTRA


def fake_pipeline(monkeypatch: pytest.MonkeyPatch, outcome) -> list[tuple]:
    """Put a stand-in for the pipeline in place; `outcome` is called or raised. Returns the calls."""
    calls = []

    def reconstruct(photos, scene, options, progress):
        calls.append((photos, scene, options))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(scene)

    module = types.ModuleType("geo3d.pipeline")
    module.reconstruct = reconstruct  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "geo3d.pipeline", module)
    return calls


def nothing_found(scene: Path):
    return types.SimpleNamespace(
        scene=scene,
        components=[],
        photos=["a.jpg"],
        unregistered={"a.jpg": ("blurred", "again")},
        timings={},
        warnings=[],
        georeference={},
    )


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("geo3d: "), (out, err)
    return err


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["--json", "--help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"geo3d {name}" in out and "--json" in out and "--debug" in out


def test_no_command_shows_the_help_and_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "hints"),
    [
        ("reconstuct photos -o x", ["'reconstuct'", "geo3d reconstruct"]),
        ("xyzzy", ["xyzzy", "inspect", "usage: geo3d COMMAND [OPTIONS]"]),
        ("--verbose", ["--verbose"]),
        ("reconstruct", ["PHOTOS", "-o SCENE"]),
        ("reconstruct photos", ["-o SCENE", "--help"]),
        ("reconstruct photos -o x --matchin gps", ["--matchin", "--matching"]),
        ("reconstruct photos -o x --form poses", ["--form", "--from"]),
        ("reconstruct photos -o x --matching near", ["--matching", "near", "sequential"]),
        ("reconstruct photos -o x --from middle", ["--from", "middle", "features"]),
        ("reconstruct photos -o x --max-size big", ["--max-size", "whole number", "big"]),
        ("reconstruct photos -o x --max-size", ["--max-size", "needs a value"]),
        ("reconstruct photos -o x --seed 1.5", ["--seed", "1.5"]),
        ("reconstruct photos -o x --camera-params 1,b", ["--camera-params", "1,b"]),
        ("reconstruct photos more -o x", ["more"]),
        ("reconstruct photos -o x --camera-params 1,2,3,4", ["--camera-params needs --camera-model"]),
        (
            "reconstruct photos -o x --camera-model FOO",
            ["--camera-model is 'FOO'", "not a COLMAP model", "EUCM"],
        ),
        ("reconstruct photos -o x --camera-model DOUBLE_SPHERE", ["not a COLMAP model", "choose one of"]),
        (
            "reconstruct photos -o x --camera-model FOV --camera-params 1,2",
            ["--camera-params has 2", "omega"],
        ),
        (
            "reconstruct photos -o x --camera-model FOV --calib k.txt",
            ["--calib already", "leave out --camera"],
        ),
        ("reconstruct photos -o x --seed=-1", ["--seed is -1"]),
        ("reconstruct photos -o x --from poses --until scan", ["poses", "scan"]),
        ("reconstruct photos -o x --max-size 3", ["--max-size is 3"]),
        ("reconstruct photos -o x --threads 0", ["--threads is 0"]),
        ("inspect", ["SCENE"]),
        ("convert a", ["DST"]),
        ("completion tcsh", ["tcsh", "bash"]),
        ("doctor now", ["now"]),
    ],
)
def test_a_wrong_line_is_answered_in_one_line(
    line: str, hints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    answer = one_line(capsys)
    assert all(hint in answer for hint in hints), answer


@pytest.mark.parametrize(
    "line",
    [
        "reconstruct {}/photoz -o {}/x",
        "inspect {}/photoz",
        "convert {}/photoz {}/x.json",
        "undistort {}/photoz -o {}/x",
    ],
)
def test_a_wrong_folder_names_the_near_one(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    assert run(line.format(tmp_path, tmp_path).split()) == 2
    answer = one_line(capsys)
    assert "photoz does not exist" in answer and f"did you mean {tmp_path / 'photos'}?" in answer


def test_no_video_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    assert run(["reconstruct", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "x")]) == 1
    assert "a.mp4: not a video (a text file). Give a video" in one_line(capsys)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "x")]) == 1
    assert "give the video itself, `geo3d reconstruct" in one_line(capsys)


def test_a_file_for_a_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").touch()
    assert run(["reconstruct", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "x")]) == 2
    assert "is a file" in one_line(capsys)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "a.jpg")]) == 2
    assert "is a file" in one_line(capsys)


@pytest.mark.parametrize(
    ("flag", "words"), [("--calib", "calibration"), ("--pairs", "two photo names a line")]
)
def test_a_folder_for_a_file_is_said(
    flag: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ph").mkdir()
    assert (
        run(["reconstruct", str(tmp_path / "ph"), "-o", str(tmp_path / "x"), flag, str(tmp_path / "ph")]) == 2
    )
    answer = one_line(capsys)
    assert f"{flag} {tmp_path / 'ph'} is a folder" in answer and words in answer
    assert not (tmp_path / "x").exists()


def test_options_reach_the_pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = fake_pipeline(monkeypatch, nothing_found)
    line = (
        f"--quiet reconstruct {tmp_path} -o {tmp_path}/s --camera-model PINHOLE --camera-params 800,800,320,240 "
        "--fix-intrinsics --camera-per folder --max-size 1200 --matching gps --seed 7 --from features --until poses "
        "--quality low --threads 1 --gps-radius-m 80"
    )
    assert run(line.split()) == 0
    assert calls == [
        (
            tmp_path,
            tmp_path / "s",
            ReconstructOptions(
                camera_model="PINHOLE",
                camera_params=(800.0, 800.0, 320.0, 240.0),
                fix_intrinsics=True,
                camera_per="folder",
                max_size=1200,
                matching="gps",
                seed=7,
                from_stage="features",
                until_stage="poses",
                quality="low",
                threads=1,
                gps_radius_m=80.0,
            ),
        )
    ]


def test_control_points_and_distances_reach_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    calls = fake_pipeline(monkeypatch, nothing_found)
    line = ["reconstruct", str(tmp_path), "-o", str(tmp_path / "s"), "--quiet"]
    asked = ["--distance", "a.jpg", "b.jpg", "2.5", "--distance", "p 1", "p 2", "10", "--marker-size", "0.2"]
    (tmp_path / "gcp.txt").write_text("")
    assert run([*line, *asked, "--gcp", str(tmp_path / "gcp.txt")]) == 0
    assert calls[0][2].gcp == tmp_path / "gcp.txt"
    assert calls[0][2].distance == (("a.jpg", "b.jpg", 2.5), ("p 1", "p 2", 10.0))
    assert calls[0][2].marker_size_m == 0.2
    assert run([*line, "--distance", "a.jpg", "b.jpg", "-1"]) == 2
    assert run([*line, "--distance", "a.jpg", "b.jpg", "5,0"]) == 2
    assert "--distance is ('a.jpg', 'b.jpg', '5,0'); '5,0' is no number of metres" in capsys.readouterr().err
    assert run([*line, "--marker-size", "0"]) == 2
    assert run([*line, "--gcp", str(tmp_path / "none.txt")]) == 2


def test_defaults_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = fake_pipeline(monkeypatch, nothing_found)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s"), "--quiet"]) == 0
    assert calls[0][2] == ReconstructOptions()


@pytest.mark.parametrize(
    ("error", "hints"),
    [
        (ValueError("only one photo in x:\n  needs two"), ["only one photo in x: needs two"]),
        (
            OSError(errno.ENOSPC, "No space left on device", "x/database.db"),
            ["disk is full", "x/database.db", "kept"],
        ),
        (OSError(errno.EROFS, "Read-only file system", "x"), ["Read-only", "another folder"]),
        (PermissionError(errno.EACCES, "Permission denied", "x"), ["Permission denied"]),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jpg"), ["No such file", "a.jpg"]),
        (sqlite3.OperationalError("database or disk is full"), ["disk is full"]),
        (sqlite3.DatabaseError("file is not a database"), ["not a database"]),
        (ImportError("viser is needed here. Install it: pip install 'geo3d[view]'"), ["pip install"]),
        (MemoryError("Unable to allocate 90 GiB"), ["out of memory", "fewer or smaller photos", "90 GiB"]),
        (MemoryError(), ["out of memory", "fewer or smaller photos"]),
        (MemoryError("a budget of 9 would fit"), ["geo3d: out of memory: a budget of 9 would fit"]),
    ],
)
def test_a_failure_is_one_line(
    error: Exception,
    hints: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("GEO3D_DEBUG", raising=False)
    fake_pipeline(monkeypatch, error)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]) == 1
    answer = one_line(capsys)
    assert all(hint in answer for hint in hints), answer


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_debug_shows_the_traceback(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pipeline(monkeypatch, ValueError("broken"))
    monkeypatch.setenv("GEO3D_DEBUG", "1" if how == "environment" else "0")
    line = ["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]
    assert run(["--debug", *line] if how == "flag" else line) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("geo3d: broken\n")


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pipeline(monkeypatch, AssertionError("track without a view"))
    with pytest.raises(AssertionError):
        run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")])


def test_ctrl_c_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pipeline(monkeypatch, KeyboardInterrupt())
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]) == 130
    answer = one_line(capsys)
    assert f"kept in {tmp_path / 's'}" in answer and "same command again" in answer


def test_a_real_ctrl_c(tmp_path: Path) -> None:
    """A signal to the process, while a thread works."""
    code = (
        "import sys, time, types\n"
        "module = types.ModuleType('geo3d.pipeline')\n"
        "def reconstruct(photos, scene, options, progress):\n"
        "    with progress.stage('features', total=5) as stage:\n"
        "        stage.update(1); print('ready', flush=True); time.sleep(60)\n"
        "module.reconstruct = reconstruct\n"
        "sys.modules['geo3d.pipeline'] = module\n"
        "from geo3d.cli.app import run\n"
        f"sys.exit(run(['reconstruct', {str(tmp_path)!r}, '-o', {str(tmp_path / 's')!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # jobs in the background ignore it
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err and err.splitlines()[-1].startswith(
        "geo3d: stopped. What was finished is kept"
    )


def test_json_lines_are_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pipeline(monkeypatch, nothing_found)
    assert run(["--json", "reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert err == "" and events[-1]["event"] == "result"
    assert events[-1]["unregistered"] == {"a.jpg": {"reason": "blurred", "advice": "again"}}
    assert run(["reconstruct", "nowhere", "-o", "x", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["event"] == "error"


def test_reasons_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pipeline(monkeypatch, nothing_found)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]) == 0
    assert "not placed: a.jpg: blurred (again)" in capsys.readouterr().out


def test_doctor_tells_versions_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("python", "numba", "cores", "kernel cache", "torch", "pip install 'geo3d["):
        assert words in out, words


def test_optional_packages_have_the_extras_of_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for module, (distribution, extra, _) in _OPTIONAL.items():
        assert any(re.match(rf"{distribution}\b", line) for line in extras[extra]), module
        assert EXTRA.get(module, extra) == extra
    assert set(EXTRA) <= set(_OPTIONAL)
    (everything,) = extras["all"]
    assert set(everything[len("geo3d[") : -1].split(",")) == {extra for _, extra, _ in _OPTIONAL.values()}


def test_doctor_says_why_a_gpu_is_not_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: "libcuda.so.1" if name == "cuda" else None)
    monkeypatch.setattr("geo3d.cli.doctor.why_not", lambda: "cuda-core is not installed: pip install it")
    assert run(["doctor"]) == 0
    assert (
        "--  NVIDIA         not used: cuda-core is not installed: pip install it\n" in capsys.readouterr().out
    )


def test_doctor_fails_when_something_needed_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def require(name: str):
        if name == "cv2":
            raise ImportError("cv2 needs the system library libGL.so. Install it: apt-get install libgl1")

    monkeypatch.setattr("geo3d.cli.doctor.require", require)
    assert run(["--json", "doctor"]) == 1
    result = json.loads(capsys.readouterr().out)
    broken = [check for check in result["checks"] if check["state"] == "broken"]
    assert [check["name"] for check in broken] == ["opencv-python"]
    assert "apt-get install libgl1" in broken[0]["text"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS) and "--fix-intrinsics" in out


def test_help_of_completion_keeps_a_line_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["completion", "--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " > ~/" in line]
    assert [line.split()[0].rstrip(":") for line in lines] == ["bash", "zsh", "fish"]


def test_large_photos_are_no_reason_for_a_warning_of_pillow(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(tmp_path / name)
    line = ["reconstruct", str(tmp_path), "-o", str(tmp_path / "scene"), "--until", "scan"]
    code = f"from PIL import Image; from geo3d.cli.app import run; Image.MAX_IMAGE_PIXELS = 4000; run({line})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "2 photos" in done.stdout + done.stderr and "exceeds limit" not in done.stderr


def test_module_and_version() -> None:
    done = subprocess.run([sys.executable, "-m", "geo3d", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("geo3d ")


def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "geo3d", "doctor"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 1 and b"Traceback" not in done.stderr


def test_formats_are_those_of_the_library() -> None:
    from typing import get_args

    from geo3d.io import SCENE_FORMATS

    assert get_args(Format) == ("auto", *SCENE_FORMATS)


def test_explain_never_is_empty() -> None:
    assert explain(ValueError()) == "ValueError"


def test_a_misspelt_option_before_the_photos_is_the_one_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reconstruct", "--qualty", "low", str(tmp_path), "-o", str(tmp_path / "s")]) == 2
    assert "there is no option '--qualty' here; did you mean --quality?" in one_line(capsys)


def test_all_models_are_counted_and_fixed_intrinsics_need_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from geo3d.pipeline import ReconstructReport
    from geo3d.synthetic import make_scene

    models = [make_scene(views=4, points=n, noise_px=0.5, seed=1).reconstruction for n in (200, 100)]
    names = [v.name for m in models for v in m.views.values()]

    def two_models(*arguments: object) -> ReconstructReport:
        return ReconstructReport(
            tmp_path,
            models,
            names,
            {"torn.jpg": ("is damaged", "")},
            camera_std={1: np.array([113.0, 1e-5, 0, 0])},
        )

    fake_pipeline(monkeypatch, two_models)
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s")]) == 0
    out = capsys.readouterr().out
    points = sum(len(m.points) for m in models)
    assert f"8 of 8 photos placed (1 more file not used), {points:,} points" in out
    assert "+- 110," in out and "+- 0.00001," in out
    assert run(["reconstruct", str(tmp_path), "-o", str(tmp_path / "s"), "--fix-intrinsics"]) == 2
    assert "--fix-intrinsics needs a calibration" in capsys.readouterr().err
