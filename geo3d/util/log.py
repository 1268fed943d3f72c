"""Log records of the library, as text or as JSON lines. Only the command line configures them.

Modules write with `logging.getLogger(__name__)`.
"""

import logging
import sys

from geo3d.util.json_line import json_line


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, event "log", level, name, text and, after an error, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "event": "log",
            "level": record.levelname.lower(),
            "name": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json_line(line)


def configure_logging(*, json_lines: bool = False, debug: bool = False) -> None:
    """Send the records of `geo3d` to stderr as text, or to stdout as JSON lines; replaces an earlier call."""
    handler = logging.StreamHandler(sys.stdout if json_lines else sys.stderr)
    text = logging.Formatter("%(levelname)s: %(message)s")
    handler.setFormatter(JsonFormatter() if json_lines else text)
    logger = logging.getLogger("geo3d")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False
