"""Log records as text or JSON lines."""

import json
import logging

import pytest

from geo3d.util.log import configure_logging


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True)
    logging.getLogger("geo3d.io").warning("photo %s is\nodd", "bär.jpg")
    logging.getLogger("geo3d.io").info("not shown")
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record["level"] == "warning" and record["text"] == "photo bär.jpg is\nodd"


def test_an_error_carries_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("geo3d.io").exception("it failed")
    assert "ValueError: broken" in json.loads(capsys.readouterr().out)["traceback"]


def test_text_goes_to_stderr_and_twice_configured_is_once_printed(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging(debug=True)
    logging.getLogger("geo3d").debug("detail")
    assert capsys.readouterr().err == "DEBUG: detail\n"
