"""`geo3d flow CLIP`: a steady video, tracks, frames between, flows of all frames; what is broken is named."""

import json

import cv2
import numpy as np
import pytest

from geo3d.cli.app import run
from geo3d.images import read_frames, read_video_info
from geo3d.io import read_flow
from geo3d.render import write_video

SIZE = (160, 120)
WALL = np.clip(
    128
    + 22
    * sum(
        k**0.5 * cv2.resize(np.random.default_rng(k).standard_normal((400 // k, 400 // k, 3)), (400, 400))
        for k in (4, 8, 16, 32)
    ),
    0,
    255,
).astype(np.uint8)


def frames(count=8, shake=3.0):
    places = 140 + 1.5 * np.arange(count)[:, None] + np.random.default_rng(1).normal(0, shake, (count, 2))
    return [cv2.getRectSubPix(WALL, SIZE, (float(x) + 20, float(y))) for x, y in places]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, frames(), 10)
    return path


def flow(*words):
    return run(["flow", *map(str, words)])


def result(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_steady_video(clip, tmp_path, capsys):
    assert flow(clip, "--stabilise", "-o", tmp_path / "steady.mp4") == 0
    said = capsys.readouterr().out
    assert "8 frames, 1 shot; shake" in said and "% of the width and height is seen" in said
    info = read_video_info(tmp_path / "steady.mp4")
    assert (info.width, info.height, info.frames, info.fps) == (*SIZE, 8, 10)
    assert flow(clip, "--stabilise", "--window", "0.9", "-o", tmp_path / "png", "--json") == 0
    found = result(capsys)
    assert found["left_px"] < 0.5 * found["shake_px"] and found["crop"] >= 0.899
    assert len(list((tmp_path / "png").iterdir())) == 8


def test_tracks(clip, tmp_path, capsys):
    assert flow(clip, "--tracks", "-o", tmp_path / "t.npz", "--method", "dis", "--json") == 0
    found = result(capsys)
    with np.load(tmp_path / "t.npz") as file:
        assert len(file["first"]) == found["tracks"] > 50
    assert len(dict(read_frames(tmp_path / "t_trails.mp4"))) == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.npz", "t_trails.mp4"]


def test_frames_between(clip, tmp_path, capsys):
    assert flow(clip, "--interpolate", "3", "-o", tmp_path / "x3.mp4", "--method", "dis") == 0
    assert "22 frames, 30 a second" in capsys.readouterr().out
    info = read_video_info(tmp_path / "x3.mp4")
    assert (info.frames, info.fps) == (22, 30)


def test_flows_of_all_frames(clip, tmp_path, capsys):
    assert flow(clip, "-o", tmp_path / "flows", "--method", "dis") == 0
    assert "7 flows" in capsys.readouterr().out
    names = sorted(p.name for p in (tmp_path / "flows").iterdir())
    assert names == sorted(f"{n:05}.{kind}" for n in range(7) for kind in ("flo", "png"))
    assert read_flow(tmp_path / "flows" / "00003.flo").shape == (*SIZE[::-1], 2)
    assert flow(clip, "-o", tmp_path / "flows", "--method", "dis") == 2
    assert "not empty" in capsys.readouterr().err


def test_a_folder_of_frames_of_which_two_are_wrong(tmp_path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames(6)):
        pixels = frame[:100] if number == 2 else frame
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
    (folder / "004.png").write_bytes(b"no photo")
    assert flow(folder, "--stabilise", "-o", tmp_path / "steady.mp4", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["frames"] == 4
    assert [s["frame"] for s in lines[-1]["skipped"]] == [2, 4]
    warnings = [line["text"] for line in lines if line["event"] == "warning"]
    assert warnings == [
        "frame 2 is left out: it is of 160x100 pixels, the video of 160x120",
        "frame 4 is left out: it cannot be read",
    ]


def test_a_video_with_a_damaged_frame(tmp_path, capsys):
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, SIZE
    )
    for frame in frames(8):
        writer.write(frame)
    writer.release()
    data = bytearray((tmp_path / "a.avi").read_bytes())
    starts = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"]
    data[starts[4] : starts[4] + 1000] = bytes(1000)
    (tmp_path / "a.avi").write_bytes(data)
    assert (
        flow(tmp_path / "a.avi", "--interpolate", "2", "-o", tmp_path / "b.mp4", "--method", "dis", "--json")
        == 0
    )
    found = result(capsys)
    assert found["frames"] == 15 and found["skipped"] == [{"frame": 4, "reason": "it cannot be read"}]


def test_a_video_with_a_frame_of_another_size(tmp_path, capsys):
    """Motion JPEG holds a size in each of its frames."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.avi"), "w") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for number, frame in enumerate(frames(6)):
            pixels = frame[:90, :120] if number == 3 else frame
            packet = av.Packet(cv2.imencode(".jpg", pixels)[1].tobytes())
            packet.stream, packet.pts, packet.dts = stream, number, number
            file.mux(packet)
    assert flow(tmp_path / "a.avi", "--stabilise", "-o", tmp_path / "b.mp4", "--json") == 0
    found = result(capsys)
    assert found["frames"] == 5
    assert found["skipped"] == [{"frame": 3, "reason": "it is of 120x90 pixels, the video of 160x120"}]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], "the flows of a video go into a folder"),
        (["--stabilise"], "as -o steady.mp4"),
        (["--stabilise", "--tracks", "-o", "x.mp4"], "--stabilise and --tracks: give one at a time"),
        (["--tracks", "-o", "x.csv"], "as -o tracks.npz"),
        (["--interpolate", "1", "-o", "x.mp4"], "from 2 to 100"),
        (["--interpolate", "2", "--window", "0.9", "-o", "x.mp4"], "--window is for --stabilise"),
        (
            ["--stabilise", "--window", "2", "-o", "x.mp4"],
            "--window: expected a share from 0.3 to 0.99, got 2",
        ),
        (["--maps", "-o", "flows"], "--maps is for two images"),
        (["--stabilise", "--method", "dis", "-o", "x.mp4"], "--stabilise follows corners"),
        (["--moving", "-o", "flows"], "--moving is for two images"),
        (["--method", "patchmatch", "-o", "flows"], "--method patchmatch is for two images"),
    ],
)
def test_wrong_words(clip, tmp_path, monkeypatch, capsys, words, answer):
    monkeypatch.chdir(tmp_path)
    assert flow(clip, *words) == 2
    assert answer in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_mistakes(clip, tmp_path, capsys):
    assert flow(clip, clip, "--tracks", "-o", tmp_path / "a.flo") == 2
    assert "--tracks is for a video" in capsys.readouterr().err
    assert flow(clip, "--stabilise", "-o", clip) == 2
    assert "is the video itself" in capsys.readouterr().err
    assert flow(tmp_path / "none.mp4", "-o", tmp_path / "f") == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "text.mp4").write_text("no video at all")
    assert flow(tmp_path / "text.mp4", "--stabilise", "-o", tmp_path / "b.mp4") == 1
    assert "not a video" in capsys.readouterr().err
    write_video(tmp_path / "one.mp4", frames(1), 10)
    assert flow(tmp_path / "one.mp4", "-o", tmp_path / "f", "--method", "dis") == 1
    assert "two frames or more" in capsys.readouterr().err
    assert not (tmp_path / "f").exists()
