"""`geo3d completion SHELL`: the script that lets the shell complete commands and options."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from geo3d.cli.common import Common, Session


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Print the completion script of a shell.

    bash: geo3d completion bash > ~/.local/share/bash-completion/completions/geo3d

    zsh (with ~/.zfunc in fpath): geo3d completion zsh > ~/.zfunc/_geo3d

    fish: geo3d completion fish > ~/.config/fish/completions/geo3d.fish
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """The shell."""


def run(options: Options, session: Session) -> int:
    """Print the script on stdout."""
    from geo3d.cli.app import COMMANDS

    try:
        tyro.extras.subcommand_cli_from_dict(
            {name: importlib.import_module(module).Options for name, (module, _) in COMMANDS.items()},
            prog="geo3d",
            args=["--tyro-print-completion", options.shell],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
