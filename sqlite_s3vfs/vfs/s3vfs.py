"""The VFS: names to files.

A database's name is its key prefix in the bucket, taken as it is. Each kind of file has its place: a
database is a ``MainFile``, journals are ``ScratchFile``s, temporary files belong to the operating
system, and write-ahead logs do not exist. No question about a file's existence goes to the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

import apsw

from sqlite_s3vfs import transfer
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.format.keys import KEY_SIZE_MAX, check_prefix
from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.metrics import MetricsSnapshot
from sqlite_s3vfs.progress import OnProgress, no_progress
from sqlite_s3vfs.settings import Locking, Settings, chosen_settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.busy import busy_thread
from sqlite_s3vfs.vfs.databases import OpenDatabases
from sqlite_s3vfs.vfs.lifecycle import watch_process
from sqlite_s3vfs.vfs.main_file import MainFile
from sqlite_s3vfs.vfs.past import Past
from sqlite_s3vfs.vfs.pragmas import answer_pragma
from sqlite_s3vfs.vfs.result_codes import Place, sqlite_errors
from sqlite_s3vfs.vfs.scratch_file import ScratchFile
from sqlite_s3vfs.vfs.session import Session
from sqlite_s3vfs.vfs.super_journals import super_journals
from sqlite_s3vfs.vfs.uri import max_age_of, moment_of
from sqlite_s3vfs.wiring import store_for

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

_NAME_SIZE_MAX = 4 * KEY_SIZE_MAX
"""What SQLite lets through to ``xFullPathname``, whose own limit has the better message."""
_WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class S3VFS(apsw.VFS):
    """Databases in a bucket, for ``apsw.Connection(key_prefix, vfs=s3vfs.name)``.

    ``bucket`` is a boto3 ``Bucket`` or any ``ObjectStore``. ``block_size``, ``locking`` and ``max_age``
    stand for the settings of these names. ``extra_args`` are boto3's (``ServerSideEncryption``,
    ``StorageClass`` …). ``name`` is chosen where it is not given.

    The object lives as long as anything refers to it or has a database open through it.

    Raises:
        InvalidArgumentError: an argument cannot be right, or ``name`` is taken.
    """

    def __init__(
        self,
        bucket: Bucket | ObjectStore,
        block_size: int | None = None,
        *,
        name: str | None = None,
        settings: Settings | None = None,
        extra_args: Mapping[str, str] | None = None,
        locking: Locking | None = None,
        max_age: float | None = None,
    ) -> None:
        chosen = chosen_settings(
            settings, block_size=block_size, locking=locking, max_age=max_age
        )
        if name in apsw.vfs_names():
            raise InvalidArgumentError(
                f"the name is taken: close the other VFS or choose another name. name={name!r}"
            )
        self._name = name or f"s3vfs-{RandomIds().new_id().hex()}"
        self._engine = Engine(store_for(bucket, extra_args), chosen)
        self._databases = OpenDatabases(self._engine)
        super().__init__(self._name, "", maxpathname=_NAME_SIZE_MAX)
        watch_process(self, self._databases)

    @property
    def name(self) -> str:
        """What connections give as ``vfs``."""
        return self._name

    def metrics(self) -> MetricsSnapshot:
        """What the VFS has asked of its store so far: requests, bytes, time."""
        return self._engine.metrics.snapshot()

    def serialize_iter(
        self, key_prefix: str, *, on_progress: OnProgress = no_progress
    ) -> Iterator[bytes]:
        """The database as the bytes of a plain SQLite file: ``transfer.serialize_iter``."""
        database = self._databases.database(key_prefix)
        return transfer.serialize_iter(database, on_progress=on_progress)

    def serialize_fileobj(
        self, key_prefix: str, *, on_progress: OnProgress = no_progress
    ) -> transfer.SerializedFile:
        """The same with a ``read``, as boto3's ``upload_fileobj`` takes it."""
        database = self._databases.database(key_prefix)
        return transfer.serialize_fileobj(database, on_progress=on_progress)

    def deserialize_iter(
        self,
        key_prefix: str,
        bytes_iter: Iterable[bytes],
        *,
        on_progress: OnProgress = no_progress,
    ) -> None:
        """Replace the database by a plain SQLite file, in one commit: ``transfer.deserialize_iter``."""
        database = self._databases.database(key_prefix)
        transfer.deserialize_iter(database, bytes_iter, on_progress=on_progress)

    def past(self, key_prefix: str) -> Past:
        """The versions of a database: log, restore, checkpoints, forks, verification. 0 requests."""
        return Past(self._name, self._databases.database, key_prefix)

    def close(self) -> None:
        """Take the name away from new connections; open ones go on.

        With the last of them the threads and the connections to the store go, too.
        """
        self.unregister()
        self._databases.close()

    def xFullPathname(self, name: str) -> str:
        """The name itself: it has one spelling only."""
        with sqlite_errors(Place.OPEN):
            if "://" in name:
                raise InvalidArgumentError(
                    "a database is named by its key prefix in the bucket: open URLs with "
                    f"sqlite_s3vfs.connect. name={name!r}"
                )
            return check_prefix(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a database, or a file that SQLite wants beside one.

        0 requests; for a database without the CREATE flag (but with ``lazy=1``), or with
        ``immutable=1``, 1 or 2.
        """
        if name is None:
            return super().xOpen(None, flags)
        with sqlite_errors(Place.OPEN):
            if isinstance(name, apsw.URIFilename):
                return cast("apsw.VFSFile", self._open_main(name, flags))
            if flags[0] & apsw.SQLITE_OPEN_WAL:
                raise InvalidArgumentError(
                    f"there is no write-ahead log here: leave the journal mode alone. name={name!r}"
                )
            if flags[0] & apsw.SQLITE_OPEN_SUPER_JOURNAL and flags[0] & apsw.SQLITE_OPEN_CREATE:
                super_journals.created(name)
        return cast("apsw.VFSFile", ScratchFile())

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """A journal is gone when it is closed; of super-journals a word is kept."""
        super_journals.deleted(filename, syncdir=syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        """Whether a journal was left behind: never, since none is stored; super-journals may be.

        What else SQLite asks (may it write to the folder for temporary files?) is not ours to refuse.
        """
        if flags != apsw.SQLITE_ACCESS_EXISTS:
            return True
        return super_journals.exists(pathname, is_open=self._databases.is_open)

    def xSleep(self, microseconds: int) -> int:
        """The pause of SQLite's busy handler.

        The inherited method would hold Python's global lock meanwhile, and so stop the very thread
        that is waited for.
        """
        busy_thread.note_sleep()
        self._engine.clock.sleep(microseconds / 1_000_000)
        return microseconds

    def _open_main(self, name: apsw.URIFilename, flags: list[int]) -> MainFile:
        prefix = name.filename()
        if name.uri_boolean("nolock", False):
            raise InvalidArgumentError(
                "nolock=1 cannot be had: SQLite would not tell where a transaction ends. Leave it out; "
                f"immutable=1 reads without locks. name={prefix!r}"
            )
        moment = moment_of(name)
        max_age = max_age_of(name, self._engine.settings.max_age_seconds)
        session = self._databases.open(
            prefix,
            create=bool(flags[0] & apsw.SQLITE_OPEN_CREATE),
            read_only=moment is not None or bool(flags[0] & apsw.SQLITE_OPEN_READONLY),
            immutable=name.uri_boolean("immutable", False),
            lazy=name.uri_boolean("lazy", False),
            moment=moment,
        )
        session.max_age = max_age
        flags[1] = flags[0] if moment is None else flags[0] & ~_WRITING | apsw.SQLITE_OPEN_READONLY
        return MainFile(session, answer_pragma, self._closed)

    def _closed(self, session: Session) -> None:
        """A handle was closed. That it refers to this method kept the VFS alive until now."""
        self._databases.closed(session)
