"""``completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sqlite_s3vfs.cli.app import PROGRAM, group
from sqlite_s3vfs.cli.options import json_option
from sqlite_s3vfs.cli.output import print_json


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion_command(shell: str, *, as_json: bool) -> None:
    """Print the script that makes a shell complete commands and options.

    \b
    bash:  eval "$(sqlite-s3vfs completion bash)"     in ~/.bashrc
    zsh:   eval "$(sqlite-s3vfs completion zsh)"      in ~/.zshrc, after compinit
    fish:  sqlite-s3vfs completion fish | source      in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows the shells of the choice"
    script = found(group, {}, PROGRAM, "_SQLITE_S3VFS_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
