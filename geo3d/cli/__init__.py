"""The command line: `geo3d COMMAND ...`, one file a command, each imported only when it is run."""


def main() -> None:
    """Entry of the `geo3d` script: run `sys.argv` and leave the process with the exit code."""
    import io
    import sys

    from geo3d.cli.app import run

    for stream in (sys.stdout, sys.stderr):
        # A photo's name that the terminal cannot show is shown escaped; it is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
