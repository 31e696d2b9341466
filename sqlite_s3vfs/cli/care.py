"""``verify``, ``collect`` and ``rm``: check what is stored, clean up behind crashes, remove."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from sqlite_s3vfs import past
from sqlite_s3vfs.cli.exits import Exit
from sqlite_s3vfs.cli.moments import seconds_of
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import (
    bytes_text,
    counted,
    iso_time,
    print_columns,
    print_json,
    progress_bar,
    versions_text,
)
from sqlite_s3vfs.cli.places import existing, opened_database, opened_vfs, remnant
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.past.collecting import check_grace
from sqlite_s3vfs.wiring import Database


@click.command("verify")
@database_argument
@click.option("--quick", is_flag=True, help="Do not read the blocks: only what names and counts them.")
@click.option("--integrity-check", is_flag=True, help="Let SQLite check the newest version, too.")
@command_options()
def verify_command(asked: Asked, database: str, *, quick: bool, integrity_check: bool) -> int:
    """Check everything that is kept of DATABASE, to the last byte; end with 1 where something is wrong.

    What is damaged or missing is named, with the versions that need it and the newest that is whole.
    """
    with opened_vfs(asked, database) as (vfs, prefix):
        checked = vfs.past(prefix)
        with progress_bar("verify") as on_progress:
            found = checked.verify(blocks=not quick, on_progress=on_progress)
        complaints = checked.integrity_check() if integrity_check and found.whole else []
    if asked.as_json:
        print_json(_told(database, found, complaints if integrity_check else None))
    else:
        _print(found, complaints)
    return Exit.DONE if found.whole and not complaints else Exit.FOUND


def _told(database: str, found: past.Verification, complaints: list[str] | None) -> dict[str, Any]:
    findings = [
        {"key": row.key, "block": row.block, "versions": list(row.versions), "what": row.what}
        for row in found.findings
    ]
    return {
        "url": database, "version": found.version, "whole": found.whole, "findings": findings,
        "objects": found.objects, "blocks": found.blocks, "bytes_read": found.bytes_read,
        "newest_whole": found.newest_whole, "integrity_check": complaints,
    }


def _print(found: past.Verification, complaints: list[str]) -> None:
    for row in found.findings:
        block = "" if row.block is None else f" block {row.block}"
        click.echo(f"{row.key}{block}: {row.what} ({versions_text(row.versions)})")
    for complaint in complaints:
        click.echo(f"integrity_check: {complaint}")
    read = (
        f"{counted(found.objects, 'object')}, {counted(found.blocks, 'block')}, "
        f"{bytes_text(found.bytes_read)} read"
    )
    if found.whole:
        click.echo(f"version {found.version} and all that is kept are whole: {read}")
        return
    whole = "no version that is kept" if found.newest_whole is None else f"version {found.newest_whole}"
    click.echo(f"{len(found.findings)} found; the newest whole version: {whole} ({read})")


@click.command("collect")
@database_argument
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted, and why.")
@click.option("--grace", default="1h", show_default=True, metavar="DURATION",
              help="Leave what is younger: no commit may take longer.")
@command_options(destroys=True)
def collect_command(asked: Asked, database: str, *, dry_run: bool, grace: str) -> None:
    """Delete what crashed writers of DATABASE left behind: objects that no version needs."""
    seconds = seconds_of(grace)
    check_grace(seconds)
    with opened_database(asked, database) as opened:
        if remnant(opened) is None:             # a removed one may be cleaned, too
            existing(opened, database)
        if not dry_run:
            asked.confirm(f"objects below {database} that nothing needs would be deleted.")
        with progress_bar("collect") as on_progress:
            found = past.collect(
                opened, grace_seconds=seconds, dry_run=dry_run, on_progress=on_progress
            )
    if asked.as_json:
        garbage = [
            {"key": row.key, "bytes": row.size, "last_modified": iso_time(row.last_modified_ms),
             "reason": row.reason}
            for row in found.garbage
        ]
        print_json({
            "url": database, "dry_run": dry_run, "garbage": garbage, "deleted": found.deleted,
            "too_young": found.too_young, "foreign": found.foreign, "unpinned": list(found.unpinned),
        })
        return
    if dry_run and found.garbage:
        print_columns([">SIZE", "OBJECT", "WHY"],
                      [[bytes_text(row.size), row.key, row.reason] for row in found.garbage])
    size = bytes_text(sum(row.size for row in found.garbage))
    did = "would be deleted" if dry_run else "deleted"
    click.echo(f"{counted(len(found.garbage), 'object')} {did} ({size}); {found.too_young} too young, "
               f"{found.foreign} not ours")
    for name in found.unpinned:
        click.echo(f"let go: {name}")


@click.command("rm")
@database_argument
@command_options(destroys=True)
def rm_command(asked: Asked, database: str) -> None:
    """Remove DATABASE with its past and its checkpoints. There is no way back.

    Forks of it go on: what they need is kept until they need it no more, and a collection finds that
    out. Where it was cut off, it goes on when the command is given again.
    """
    with opened_database(asked, database) as opened:
        left = remnant(opened)
        if left is None or left.state is State.PENDING:
            _confirm_removal(asked, opened, database, left)
        with progress_bar("remove") as on_progress:
            removed = past.remove(opened, on_progress=on_progress)
        again = left is not None and left.state is not State.PENDING
        if again and not removed.objects and not removed.let_go:
            existing(opened, database)          # it was removed before, and nothing was left to do
    if asked.as_json:
        print_json({"url": database, "version": removed.version - 1, "deleted": removed.objects,
                    "kept": removed.kept})
    else:
        kept = f"; {removed.kept} are kept for forks" if removed.kept else ""
        click.echo(f"removed {database}: {counted(removed.objects, 'object')} deleted{kept}")


def _confirm_removal(asked: Asked, opened: Database, url: str, left: Manifest | None) -> None:
    if left is not None:
        asked.confirm(f"the fork that is being made as {url} would be given up.")
        return
    manifest = existing(opened, url).origin.manifest
    held = Counter("fork" if pin.child_prefix else "checkpoint" for pin in manifest.pins)
    pins = "".join(f", {counted(count, kind)}" for kind, count in sorted(held.items()))
    asked.confirm(
        f"{url} ({bytes_text(manifest.size)}, version {manifest.version}{pins}) would be gone for ever."
    )
