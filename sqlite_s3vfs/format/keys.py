"""The key of every object; see docs/format.md, "Keys"."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

from sqlite_s3vfs.errors import InvalidArgumentError

RANDOM_SIZE = 8
RESERVED_ELEMENTS = frozenset({"manifest", "segments", "maps", "history", "lease"})
KEY_SIZE_MAX = 1024
"""Bytes of UTF-8: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

_VERSION_MAX = (1 << 63) - 1
_NAME = re.compile(r"([0-9]{20})-([0-9a-f]{16})")


class ObjectName(NamedTuple):
    """What makes a key unique: the version it was written for, and random bytes."""

    version: int
    random: bytes

    def __str__(self) -> str:
        return f"{self.version:020d}-{self.random.hex()}"


def parse_object_name(text: str) -> ObjectName | None:
    """The inverse of ``str(name)``; None where ``text`` is anything else."""
    match = _NAME.fullmatch(text)
    if match is None or int(match[1]) > _VERSION_MAX:
        return None
    return ObjectName(int(match[1]), bytes.fromhex(match[2]))


class Role(enum.IntEnum):
    """What an object that may be deleted is; ``CONTENT`` stands for many (see ``ObjectRef``)."""

    SEGMENT = 0
    MAP_PIECE = 1
    MAP_NODE = 2
    HISTORY = 3
    OLD_BLOCK = 4
    OLD_JOURNAL = 5
    CONTENT = 6


class ObjectRef(NamedTuple):
    """An object of a database, without its prefix.

    ``number`` is the version in the object's name, or the index of an object of the old layout,
    which has no ``random`` part. A map node stands for itself and the pieces that only it refers to;
    ``CONTENT`` for all that the map of version ``number`` refers to and later versions do not.
    """

    role: Role
    number: int
    random: bytes = b""

    @classmethod
    def named(cls, role: Role, name: ObjectName) -> ObjectRef:
        """The reference to an object by its name."""
        return cls(role, name.version, name.random)


@dataclass(frozen=True, slots=True)
class DatabaseKeys:
    """The keys of one database. ``prefix`` has no slash at its ends."""

    prefix: str

    @property
    def manifest(self) -> str:
        return f"{self.prefix}/manifest"

    def segment(self, name: ObjectName) -> str:
        return f"{self.prefix}/segments/{name}"

    def map_piece(self, name: ObjectName) -> str:
        return f"{self.prefix}/maps/{name}"

    def history(self, name: ObjectName) -> str:
        return f"{self.history_prefix}{name}"

    @property
    def history_prefix(self) -> str:
        return f"{self.prefix}/history/"

    def of(self, ref: ObjectRef) -> str:
        """The key of an object that may be deleted: never the manifest's."""
        name = ObjectName(ref.number, ref.random)
        match ref.role:
            case Role.SEGMENT:
                return self.segment(name)
            case Role.MAP_PIECE | Role.MAP_NODE:
                return self.map_piece(name)
            case Role.HISTORY:
                return self.history(name)
            case Role.OLD_BLOCK:
                return self.ancestor_block(ref.number)
            case Role.OLD_JOURNAL:
                return f"{self.ancestor_journal_prefix}{ref.number:010d}"
            case Role.CONTENT:
                raise AssertionError("a content is many objects")

    def ancestor_block(self, index: int) -> str:
        """A block object of the layout of sqlite-s3vfs 0.0.x."""
        return f"{self.prefix}/{index:010d}"

    @property
    def ancestor_journal_prefix(self) -> str:
        return f"{self.prefix}-journal/"

    def probe(self, name: ObjectName) -> str:
        """Where the conditions probe writes: in the segments' grammar, so that collection finds it."""
        return self.segment(name)


_LONGEST_SUFFIX = len("/segments/") + 20 + 1 + 2 * RANDOM_SIZE


def check_prefix(prefix: str) -> str:
    """``prefix`` itself where it can name a database.

    Raises:
        InvalidArgumentError: empty, too long, or an element that is empty, ``.``, ``..``, reserved
            for the library's own objects, or holds a control character.
    """
    if not prefix:
        raise InvalidArgumentError("a database needs a name: give a key prefix such as 'my.sqlite'.")
    for element in prefix.split("/"):
        if element in ("", ".", ".."):
            raise InvalidArgumentError(
                "a database name has no empty, '.' or '..' element and no slash at its ends: "
                f"write it in its plain form. name={prefix!r}"
            )
        if element in RESERVED_ELEMENTS:
            raise InvalidArgumentError(
                f"{element!r} is reserved for the library's own objects: choose another element. "
                f"name={prefix!r}"
            )
    if any(ord(character) < 32 or ord(character) == 127 for character in prefix):
        raise InvalidArgumentError(f"a database name has no control characters. name={prefix!r}")
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"a database name is valid Unicode. name={prefix!r}") from error
    if size + _LONGEST_SUFFIX > KEY_SIZE_MAX:
        raise InvalidArgumentError(
            f"the database name is too long: S3 keys end at {KEY_SIZE_MAX} bytes. "
            f"size={size} size_max={KEY_SIZE_MAX - _LONGEST_SUFFIX}"
        )
    return prefix
