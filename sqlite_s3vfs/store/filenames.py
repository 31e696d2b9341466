"""Object keys as paths of files, for any key on any file system.

``my/path/manifest`` is the file ``manifest@`` in the directories ``my`` and ``path``. One element of
a key becomes one name, or several where it would be too long. Names hold nothing but ``a-z 0-9 . _ -``,
``%`` with two lower-case hex digits for every other byte of the UTF-8 key, ``@`` at the end of files,
and ``+`` at the end of a directory whose name goes on inside and at the beginning of what goes on. So:

* ``a`` is a file (``a@``) and ``a/b`` lies in a directory (``a``): both can exist;
* no name is ``.`` or ``..``, absolute or otherwise special: nothing lies outside the root;
* names differ in more than upper and lower case or Unicode normal form: they stay apart on macOS
  and Windows too, where names are also never reserved (``con``) nor end in a dot;
* no key is spelt in two ways, and what is no spelling of a key (``.DS_Store``) is told apart;
* names that begin with ``@`` are left for the store's own files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FILE_MARK = "@"
_CONTINUED = "+"
_EMPTY = "%"
_CHUNK = 200
"""Characters of one name; file systems allow 255 bytes, some encrypting ones fewer."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_RESERVED = re.compile("(?:con|prn|aux|nul|com.|lpt.)(?:[.]|$)")
"""https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file#naming-conventions"""


def file_names(key: str) -> list[str]:
    """The names from the root down to the file of ``key``; the last one is the file's."""
    *directories, last = key.split("/")
    names = [name for element in directories for name in _split(_encoded(element), "")]
    return names + _split(_encoded(last), FILE_MARK)


def key_of(names: Sequence[str]) -> str | None:
    """The key whose file this is, or None where it is no such file."""
    if not names or not names[-1].endswith(FILE_MARK):
        return None
    elements = "/".join((*names[:-1], names[-1].removesuffix(FILE_MARK)))
    spelt = elements.replace(f"{_CONTINUED}/{_CONTINUED}", "")
    try:
        key = "/".join(_decoded(element) for element in spelt.split("/"))
    except ValueError:
        return None
    return key if file_names(key) == list(names) else None


def _encoded(element: str) -> str:
    if not element:
        return _EMPTY
    raw = element.encode()
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw)
    if _RESERVED.match(name) or name.startswith("."):
        name = f"%{raw[0]:02x}{name[1:]}"
    if name.endswith("."):
        name = f"{name[:-1]}%2e"
    return name


def _decoded(name: str) -> str:
    if name == _EMPTY:
        return ""
    plain, *escaped = name.split("%")
    raw = plain.encode() + b"".join(bytes.fromhex(e[:2]) + e[2:].encode() for e in escaped)
    return raw.decode()


def _split(name: str, mark: str) -> list[str]:
    pieces = [name[start : start + _CHUNK] for start in range(0, len(name), _CHUNK)]
    return (f"{_CONTINUED}/{_CONTINUED}".join(pieces) + mark).split("/")
