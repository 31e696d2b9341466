"""``doctor``: what works with a bucket, what does not, and what is missing."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from urllib.parse import urlsplit

import click

from sqlite_s3vfs.cli.examination import Check, Patient, examine
from sqlite_s3vfs.cli.exits import Exit
from sqlite_s3vfs.cli.options import Asked, command_options
from sqlite_s3vfs.cli.output import print_json
from sqlite_s3vfs.cli.policies import ROLES, policy
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.format.keys import check_prefix
from sqlite_s3vfs.wiring import Engine, store_from_url

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "cyan"}


@click.command("doctor")
@click.argument("database", metavar="DATABASE")
@click.option("--role", type=click.Choice(ROLES), default="writer", show_default=True,
              help="What has to work: reading, writing as well, or collecting.")
@click.option("--policy", "only_policy", is_flag=True, help="Print the role's IAM policy, try nothing.")
@command_options()
def doctor_command(asked: Asked, database: str, *, role: str, only_policy: bool) -> int:
    """Try what DATABASE needs: credentials, rights, conditional writes, clock, latency, old versions.

    DATABASE need not exist. What is missing is named with the IAM statement or the rule to add. Ends
    with 1 where something does not work. Objects for trying are removed again.
    """
    store, prefix = store_from_url(database, asked.access)
    check_prefix(prefix)
    parts = urlsplit(database)
    bucket = parts.netloc if parts.scheme == "s3" else ""
    if only_policy:
        if not bucket:
            raise InvalidArgumentError(f"policies are for s3:// URLs. url={database!r}")
        print_json(policy(role, bucket, prefix))
        return Exit.DONE
    with closing(Engine(store)) as engine:
        patient = Patient(engine, prefix, role, bucket, asked.access)
        checks = []
        for check in examine(patient):
            checks.append(check)
            if not asked.as_json:
                _print(check)
    failed = any(check.state == "failed" for check in checks)
    if asked.as_json:
        print_json({"url": database, "role": role, "works": not failed,
                    "checks": [asdict(check) for check in checks]})
    return Exit.FOUND if failed else Exit.DONE


def _print(check: Check) -> None:
    state = click.style(f"{check.state:<8}", fg=_COLOURS[check.state])
    click.echo(f"{state} {check.name:<19} {check.said}")
    if check.fix:
        click.echo("\n".join(f"    {line}" for line in json.dumps(check.fix, indent=2).splitlines()))
