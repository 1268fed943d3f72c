"""`geo3d view SCENE`."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from geo3d.cli.app import run
from geo3d.io import write_ply
from tests.viz.viewer_scenes import write_scene_folder

PATIENCE_S = 60  # on a machine with much else to do


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    command = [sys.executable, "-m", "geo3d", "view", str(tmp_path), "--port", "0", "--json", "--no-browser"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    )
    try:
        assert process.stdout is not None
        result = json.loads(process.stdout.readline() or process.communicate(timeout=PATIENCE_S)[1])
        assert (result["cameras"], result["points"], result["splats"]) == (5, 120, 0)
        with urllib.request.urlopen(result["address"], timeout=PATIENCE_S) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert json.loads(out) == {"event": "error", "message": "stopped."} and err == ""


@pytest.mark.parametrize("how", ["nothing", "empty", "no-scene", "empty-cloud", "hostile"])
def test_what_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    path = tmp_path / "scene.ply"
    expected = ["scene.ply"]
    if how == "nothing":
        expected.append("does not exist")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no-scene":
        path.mkdir()
        expected.append("looked for")
    elif how == "empty-cloud":
        write_ply(path, np.zeros((0, 3)))
        expected.append("nothing to show")
    else:
        path.write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\n"
                         b"property float x\nproperty float y\nproperty float z\nend_header\n")  # fmt: skip
        expected.append("truncated")
    assert run(["view", str(path), "--port", "0"]) == (2 if how == "nothing" else 1)
    said = capsys.readouterr().err
    assert all(words in said for words in expected) and said.count("\n") == 1, said


@pytest.mark.parametrize("port", ["-1", "70000", "many"])
def test_no_such_port(tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    assert run(["view", str(tmp_path), f"--port={port}"]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_taken_port_names_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert run(["view", str(tmp_path), "--port", port]) == 1
    said = capsys.readouterr().err
    assert port in said and "taken" in said and "--port" in said


def test_without_viser_the_line_that_installs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    assert run(["view", str(tmp_path)]) == 1
    assert "pip install 'geo3d[view]'" in capsys.readouterr().err


def test_a_browser_is_opened_where_there_is_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    opened: list[str] = []

    def stop(address: str) -> None:
        opened.append(address)
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", stop)
    monkeypatch.setitem(os.environ, "DISPLAY", ":0")
    assert run(["view", str(tmp_path), "--port", "0", "--quiet"]) == 130
    assert len(opened) == 1 and opened[0].startswith("http://127.0.0.1:")
