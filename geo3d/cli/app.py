"""Find the command, parse its options, run it, and answer whatever goes wrong in one line.

Exit codes: 0 done, 1 failed, 2 the command line was wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import re
import sqlite3
import sys
import traceback
import warnings
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import geo3d
from geo3d.cli.common import (
    FAILURE,
    INTERRUPTED,
    USAGE_ERROR,
    Session,
    UsageError,
    debug_wanted,
    error_line,
    flag_names,
)

# command -> module, and what it does in a few words
COMMANDS: dict[str, tuple[str, str]] = {
    "reconstruct": ("geo3d.cli.reconstruct", "camera poses and 3D points from a folder of photos"),
    "train": ("geo3d.cli.train", "Gaussian splats or a radiance field from the photos of a scene"),
    "render": ("geo3d.cli.render", "videos and images of what was trained, from new places"),
    "view": (
        "geo3d.cli.view",
        "a scene in the browser: cameras, points, splats, also while they are trained",
    ),
    "board": ("geo3d.cli.board", "a calibration board for the printer, at true scale"),
    "calibrate": ("geo3d.cli.calibrate", "the camera, from photos of a board"),
    "inspect": ("geo3d.cli.inspect", "what a scene or a COLMAP model holds, as a table"),
    "convert": ("geo3d.cli.convert", "between COLMAP, transforms.json and PLY"),
    "export": ("geo3d.cli.export", "trained splats as PLY, SPZ, GLB, ..., from one to another; meshes"),
    "undistort": (
        "geo3d.cli.undistort",
        "photos and model without lens distortion, for programs that need that",
    ),
    "stereo": ("geo3d.cli.stereo", "depth from two photos that were taken side by side"),
    "flow": ("geo3d.cli.flow", "where each pixel of an image is in another one: optical flow"),
    "demo": ("geo3d.cli.demo", "the whole job on a made-up place, compared with the truth"),
    "doctor": ("geo3d.cli.doctor", "what is installed, what is missing, how to install it"),
    "completion": ("geo3d.cli.completion", "print the completion script of bash, zsh or fish"),
}

USAGE = "geo3d COMMAND [OPTIONS]"
_GLOBAL = ("--json", "--quiet", "--debug")


def help_text() -> str:
    """What `geo3d --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            f"geo3d {geo3d.__version__}: from photographs to measured 3D",
            "",
            f"usage: {USAGE}",
            "",
            *lines,
            "",
            "every command takes:",
            "  --json   one JSON object a line instead of text",
            "  --quiet  errors only",
            "  --debug  the traceback of an error (also GEO3D_DEBUG=1)",
            "",
            "begin with:",
            "  geo3d demo",
            "  geo3d reconstruct photos/ -o scene/",
            "  geo3d COMMAND --help",
        ]
    )


def run(arguments: list[str]) -> int:
    """Run one command line (without the program's name) and return the exit code."""
    # Pillow's, of photos above 89 megapixels: cameras make them, and what is too large is answered by an error.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit", module="PIL")
    # `geo3d --json inspect X` is the same as `geo3d inspect X --json`
    leading = [a for a in _leading(arguments) if a in _GLOBAL]
    words = [*arguments[len(leading) :], *leading]
    as_json = "--json" in words
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if words else USAGE_ERROR
    if words[0] in ("--version", "-V", "version"):
        print(f"geo3d {geo3d.__version__}")
        return 0
    command: ModuleType | None = None
    options: Any = None
    try:
        command = _load(words[0])
        options = _parse(command, words[0], words[1:])
        if options is None:
            return 0
        return command.run(options, _session(options))
    except UsageError as error:
        error_line(str(error), as_json)
        return USAGE_ERROR
    except KeyboardInterrupt:
        kept = getattr(command, "kept_after_interrupt", None)
        error_line(f"stopped. {kept(options)}" if kept and options else "stopped.", as_json)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (as in `geo3d inspect X | head`) has gone; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (ValueError, OSError, ImportError, MemoryError, sqlite3.Error) as error:
        if debug_wanted(words):
            traceback.print_exc()
        error_line(explain(error), as_json)
        return FAILURE


def _leading(arguments: list[str]) -> list[str]:
    """The global flags that stand before the command."""
    count = next((i for i, a in enumerate(arguments) if a not in _GLOBAL), len(arguments))
    return arguments[:count]


def _load(name: str) -> ModuleType:
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean `geo3d {close[0]}`?" if close else f"the commands are {', '.join(COMMANDS)}"
        kind = "option" if name.startswith("-") else "command"
        raise UsageError(f"there is no {kind} {name!r}; {hint} (usage: {USAGE}; geo3d --help)")
    return importlib.import_module(COMMANDS[name][0])


def _parse(command: ModuleType, name: str, words: list[str]) -> Any:
    """Options of the command, or None when its help was asked for and printed."""
    import tyro

    def parse() -> Any:
        return tyro.cli(
            command.Options, prog=f"geo3d {name}", args=words, config=(tyro.conf.FlagCreatePairsOff,)
        )

    if "-h" in words or "--help" in words:
        with contextlib.suppress(SystemExit):
            parse()
        return None
    # tyro draws by what sys.stdout can show; a plain UTF-8 stream makes its answer the same everywhere.
    answer = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(answer), contextlib.redirect_stderr(answer):
            return parse()
    except SystemExit:
        answer.seek(0)
        known = list(flag_names(command.Options).values())
        line = _one_line(answer.read(), known)
        # A misspelt option before the first argument makes tyro complain of that argument.
        strangers = [w for w in words if w.startswith("--") and w.partition("=")[0] not in known]
        if strangers and line.endswith("needs a value"):
            line = _one_line(f"Unrecognized options: {strangers[0]}", known)
        raise UsageError(f"{line} (geo3d {name} --help)") from None


def _one_line(box: str, known: list[str]) -> str:
    """What tyro's framed, many-lined answer says, in one line."""
    lines = [re.sub(r"^[│|] ?|\s*[│|]$", "", line).rstrip() for line in box.splitlines()]
    parts: list[list[str]] = [[]]
    for line in lines:
        if re.match(r"^[─-]{3,}$", line.strip()):
            parts.append([])
        elif not line.startswith(("╭", "╰")):
            parts[-1].append(line.strip())
    text = " ".join(word for word in parts[0] if word)
    if text.startswith("Unrecognized options"):
        wrong = [w.strip() for w in text.partition(":")[2].split(",")]
        flags = [w for w in wrong if w.startswith("-")] or wrong
        close = get_close_matches(flags[0], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        kind = "option" if flags[0].startswith("-") else "argument"
        return f"there is no {kind} {flags[0]!r} here{hint}"
    if text.startswith("Missing from"):
        names = [re.sub(r",? --\S+| \S+$", "", w) if w.startswith("-") else w for w in _required(parts[0])]
        return f"missing: {', '.join(names)}"
    text = re.sub(r"^Error parsing (\S+): ", r"\1: ", text)
    choice = r"invalid choice (.*) for argument '([^']*)'\. Expected one of \((.*?),?\)\.?"
    text = re.sub(choice, r"\2: \1 is not one of \3", text)
    text = re.sub(r"Missing value for argument '([^']*)'\..*", r"\1 needs a value", text)
    return text.rstrip(".") or "the command line cannot be understood"


def _required(lines: list[str]) -> list[str]:
    """Of the answer about missing arguments: the arguments, without their help texts."""
    return [w for w in lines[1:] if w.startswith("-") or w.split(" ")[0].isupper()]


def _session(options: Any) -> Session:
    from geo3d.util.log import configure_logging
    from geo3d.util.progress import make_progress

    configure_logging(json_lines=options.json, debug=options.debug)
    progress = make_progress(json_lines=options.json, quiet=options.quiet)
    return Session(progress, options.json, options.quiet)


def _out_of_memory(text: str) -> str:
    """What to do about it: a training that does not fit says it itself, NumPy and Python do not."""
    if not text or text.startswith("Unable to allocate"):
        return (
            f"out of memory; fewer or smaller photos at once, or smaller images, would help. {text}".strip()
        )
    return f"out of memory: {text}"


def explain(error: BaseException) -> str:
    """An exception as one line for the person at the terminal."""
    if isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"the disk is full{where}; what was finished is kept: free some space and run the same again"
            )
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return f"cannot write or read here{where}: {error.strerror}; choose another folder or its rights"
        return f"{error.strerror}{where}"
    if isinstance(error, sqlite3.Error):
        if "full" in str(error):
            return "the disk is full; what was finished is kept: free some space and run the same again"
        return f"the database cannot be used: {error}"
    if isinstance(error, MemoryError):
        return _out_of_memory(str(error))
    return str(error) or type(error).__name__
