"""`geo3d board` writes what was asked for, and answers in one line what it cannot."""

import json

import pytest

from geo3d.cli.app import run


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("checkerboard 9x6 --square 25mm", "checkerboard 9x6, squares of 25 mm"),
        ("charuco 8x5 --square 2cm", "ChArUco 8x5, squares of 20 mm, markers of 15 mm, DICT_5X5_250"),
        (
            "charuco 8x6 --square 1in --marker 20mm --dictionary 6x6_1000 --legacy",
            "ChArUco 8x6, squares of 25.4 mm, markers of 20 mm, DICT_6X6_1000, legacy",
        ),
        ("aprilgrid 4x5 --tag 25mm --gap 0.25", "AprilGrid 4x5, tags of 25 mm, spacing 0.25"),
        ("circles 7x5 --spacing 20mm", "circle grid 7x5, spacing 20 mm, discs of 12 mm"),
        (
            "asymmetric-circles 4x11 --spacing 15mm --diameter 12mm --paper a4",
            "asymmetric circle grid 4x11, spacing 15 mm, discs of 12 mm",
        ),
    ],
)
def test_boards_are_written(line, label, tmp_path, capsys):
    out = tmp_path / "b.svg"
    assert run(["board", *line.split(), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["target"] == label
    assert label in out.read_text()


@pytest.mark.parametrize(
    ("line", "hints"),
    [
        ("checkerboard 9x6 --square 25", ["--square", "no unit", "25mm"]),
        ("checkerboard 9x6", ["needs --square", "25mm"]),
        ("checkerboard nine --square 25mm", ["9x6"]),
        ("checkerboard 1x6 --square 25mm", ["inner corners", "1 x 6"]),
        ("checkerboard 9x6 --square 25mm --tag 30mm", ["--tag does not go with checkerboard", "aprilgrid"]),
        ("checkerboard 9x6 --square 25mm --paper B5", ["--paper", "A4"]),
        ("charuco 8x5 --square 25mm --marker 30mm", ["--marker must be less than --square"]),
        ("charuco 8x5 --square 25mm --dictionary 5x5_20", ["DICT_5X5"]),
        ("aprilgrid 6x6 --tag 25mm --gap 3", ["--gap is"]),
        ("circles 7x5 --spacing 20mm --diameter 2cm", ["--diameter must be less"]),
        ("triangles 7x5", ["triangles", "checkerboard"]),
    ],
)
def test_a_wrong_line_is_answered_in_one_line(line, hints, tmp_path, capsys):
    assert run(["board", *line.split(), "-o", str(tmp_path / "b.pdf")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert all(hint in err for hint in hints), err
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_and_other_files_are_refused(tmp_path, capsys):
    line = f"board checkerboard 9x6 --square 50mm --paper A4 -o {tmp_path}/b.pdf"
    assert run(line.split()) == 1
    assert "squares of 2" in capsys.readouterr().err
    assert run(f"board checkerboard 9x6 --square 50mm -o {tmp_path}/b.png".split()) == 2
    assert ".pdf or .svg" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
