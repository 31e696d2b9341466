"""What only a terminal shows: progress, questions, an interactive shell. None of it goes into a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import ROOT, Command

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
HEEDED_SECONDS = 10
CONTROL_C = "\x03"


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "sqlite_s3vfs", *map(str, arguments)],
            cwd=ROOT, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}, start_new_session=True,
            stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self.shown = ""
        self._waited = 0

    def wait_for(self, text: str) -> None:
        """Read until ``text`` is shown, after what was waited for before."""
        while (found := self.shown.find(text, self._waited)) < 0:
            assert self._read(), f"{text!r} was not shown: {self.shown!r}"
        self._waited = found + len(text)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C until it is heeded.

        Python loses one that comes between the last look for signals and the read of a line. One that
        is being heeded must not be followed by another, which would cut off the program's end.
        """
        for _ in range(PATIENCE_SECONDS // HEEDED_SECONDS):
            self.type(CONTROL_C)
            ready, _, _ = select.select([self._ours], [], [], HEEDED_SECONDS)
            while ready and self._read():
                if "interrupted." in self.shown:
                    return
                ready, _, _ = select.select([self._ours], [], [], HEEDED_SECONDS)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self._child.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing came: {self.shown!r}"
        try:
            data = os.read(self._ours, 65536)
        except OSError:                         # the program's end of it was closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def _take_terminal() -> None:
    """In the child: the terminal is its own, and so is its interrupt key."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal() -> Iterator[type[Terminal]]:
    """Makes terminals that are closed at the end."""
    made: list[Terminal] = []

    class Kept(Terminal):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            made.append(self)

    yield Kept
    for one in made:
        one.close()


def test_a_bar_shows_how_far_an_import_and_an_export_are(
    terminal, folder: str, plain_file: Path, tmp_path: Path
):
    importing = terminal("import", f"{folder}/db", plain_file)
    assert importing.end() == 0
    exporting = terminal("export", f"{folder}/db", tmp_path / "out")
    assert exporting.end() == 0

    for shown, label in ((importing.shown, "import"), (exporting.shown, "export")):
        assert re.search(rf"{label}  \[#+-*\]  .*\d+%", shown)
        assert re.search(r"\[#+\]  100%.*2\.0 MiB", shown)
    assert "exported version 1" in exporting.shown
    assert (tmp_path / "out").read_bytes() == plain_file.read_bytes()


def test_a_question_is_asked_before_a_file_is_replaced(terminal, library: str, tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("precious")

    declining = terminal("export", library, target)
    declining.wait_for("Go on? [y/N]: ")
    declining.type("n\n")
    assert declining.end() == 11
    assert "nothing was changed" in declining.shown
    assert target.read_text() == "precious"

    agreeing = terminal("export", library, target)
    agreeing.wait_for("Go on? [y/N]: ")
    agreeing.type("y\n")
    assert agreeing.end() == 0
    assert target.read_bytes().startswith(b"SQLite format 3\0")


def test_an_interrupt_at_a_question_changes_nothing(
    terminal, library: str, plain_file: Path, cli: Command
):
    asking = terminal("import", library, plain_file)
    asking.wait_for("Go on? [y/N]: ")

    asking.interrupt()

    assert asking.end() == 130
    assert cli("info", "--json", library).json["version"] == 1


def test_the_shell_is_interactive_and_goes_on_after_a_mistake(terminal, library: str):
    shell = terminal("shell", "--write", library)
    shell.wait_for('Enter ".help" for instructions')
    shell.wait_for("library.sqlite> ")
    shell.type("SELEC;\n")
    shell.wait_for("syntax error")
    shell.wait_for("library.sqlite> ")
    shell.type("DELETE FROM book WHERE id > 3; SELECT 'rows: ' || count(*) FROM book;\n")
    shell.wait_for("rows: 3")
    shell.type(".quit\n")

    assert shell.end() == 0


def test_colours_for_people(terminal, folder: str, cli: Command):
    examining = terminal("doctor", f"{folder}/db")

    assert examining.end() == 0
    assert "\x1b[32mok" in examining.shown
    assert "\x1b" not in cli("doctor", f"{folder}/db").out


def test_a_shell_for_reading_says_how_to_write(terminal, library: str):
    shell = terminal("shell", library)
    shell.wait_for("(reading) sqlite> ")
    shell.type("DELETE FROM book;\n")
    shell.wait_for("start the shell with --write.")
    shell.wait_for("(reading) sqlite> ")
    shell.type(".quit\n")

    assert shell.end() == 0
    assert shell.shown.count("start the shell with --write.") == 1


def test_no_bar_where_there_is_nothing_to_wait_for(terminal, library: str, folder: str):
    quick = terminal("verify", "--quick", library)
    assert quick.end() == 0
    missing = terminal("verify", f"{folder}/missing")
    assert missing.end() == 3

    assert "whole" in quick.shown
    for one in (quick, missing):
        assert "[---" not in one.shown


def test_what_is_refused_is_not_asked_first(terminal, library: str):
    for arguments in (["retention", library, "10s"], ["collect", "--grace", "1s", library]):
        refused = terminal(*arguments)
        assert refused.end() == 2
        assert "Go on?" not in refused.shown
