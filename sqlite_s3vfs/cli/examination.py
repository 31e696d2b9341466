"""What ``doctor`` looks at: each check ends with a verdict, and with what would put it right.

Only objects under a name that nobody else can pick are written, and they are removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from sqlite_s3vfs.cli.policies import Statement, statements
from sqlite_s3vfs.errors import (
    AccessDeniedError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from sqlite_s3vfs.format.envelope import DATABASE_ID_SIZE, ObjectKind, seal
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.store.access import Access
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.store.probe import probe_conditions
from sqlite_s3vfs.store.s3errors import explanation
from sqlite_s3vfs.wiring import Engine

SKEW_MAX_SECONDS = 300
"""S3 refuses requests that are 15 minutes off
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, RequestTimeTooSkewed)."""
_LATENCY_SAMPLES = 5

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict. ``fix`` is JSON to add somewhere: a policy statement, or a lifecycle rule."""

    name: str
    state: State
    said: str
    fix: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: ``bucket`` is empty where the store is not S3."""

    engine: Engine
    prefix: str
    role: str
    bucket: str
    access: Access

    @property
    def keys(self) -> DatabaseKeys:
        return DatabaseKeys(self.prefix)

    @property
    def allowed(self) -> dict[str, Statement]:
        """The statements that the role has to have, by operation."""
        return statements(self.role, self.bucket, self.prefix)


class _HopelessError(Exception):
    """Nothing else can be found out."""


def examine(patient: Patient) -> Iterator[Check]:
    """Look at everything, in the order in which it could be at fault; stop where no more can be told."""
    if patient.bucket:
        check = _credentials(patient)
        yield check
        if check.state == "failed":
            return
    try:
        yield from _reading(patient)
        if patient.role != "reader":
            yield from _changing(patient)
    except _HopelessError as error:
        yield Check("store", "failed", str(error))
        return
    if patient.bucket:
        yield _clock(patient)
        yield _old_versions(patient)
    yield _latency(patient)


def _credentials(patient: Patient) -> Check:
    from sqlite_s3vfs.store.s3account import caller  # boto3 is slow to import

    try:
        found = caller(patient.access)
    except AccessDeniedError as error:
        return Check("credentials", "failed", str(error))
    if found is None:
        return Check(
            "credentials", "failed",
            "none were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a --profile.",
        )
    return Check("credentials", "ok", f"a key that ends in {found.key_end}, from {found.found_in}")


def _reading(patient: Patient) -> Iterator[Check]:
    store, keys = patient.engine.store, patient.keys
    prefix = f"{patient.prefix}/"
    yield _right(patient, "list", lambda: list(store.list(prefix, limit=1)), "its objects can be listed")
    yield _right(patient, "get", lambda: store.get(keys.manifest), "its objects can be read")


def _changing(patient: Patient) -> Iterator[Check]:
    """A collector puts the manifest only: of its right to put nothing is tried."""
    engine = patient.engine
    key = patient.keys.probe(ObjectName(0, engine.ids.new_id()))
    writes = patient.role == "writer"
    if writes:
        put = _right(patient, "put", lambda: engine.store.put(key, b"", if_absent=True),
                     "objects can be written")
        yield put
    yield _right(patient, "delete", lambda: engine.store.delete([key]), "objects can be deleted")
    if writes and put.state == "ok":
        yield _conditions(patient)


def _right(patient: Patient, operation: str, attempt: Callable[[], object], said: str) -> Check:
    name = f"right to {operation}"
    try:
        attempt()
    except AccessDeniedError as error:
        if patient.bucket and _is_unknown(error):
            raise _HopelessError(str(error)) from error
        statement = patient.allowed.get(operation) if patient.bucket else None
        return Check(name, "failed", str(error), statement)
    except (NotFoundError, StoreUnavailableError) as error:
        raise _HopelessError(str(error)) from error
    return Check(name, "ok", said)


def _is_unknown(error: AccessDeniedError) -> bool:
    """Whether S3 does not know these credentials, as against their lacking a right."""
    if error.__cause__ is None:                     # refused for one key of several: they are known
        return False
    answer = getattr(error.__cause__, "response", None)
    code = answer["Error"].get("Code", "") if answer else None
    return explanation(AccessDeniedError, "get", code) == explanation(AccessDeniedError, "get", None)


def _conditions(patient: Patient) -> Check:
    engine = patient.engine
    key = patient.keys.probe(ObjectName(0, engine.ids.new_id()))

    def body(object_id: bytes) -> bytes:
        return seal(ObjectKind.PROBE, bytes(DATABASE_ID_SIZE), object_id, b"")

    try:
        probe_conditions(engine.store, key, engine.ids, body)
    except UnsafeStoreError as error:
        return Check("conditional writes", "failed", str(error))
    except S3VFSError as error:
        return Check("conditional writes", "warning", f"they could not be tried: {error}")
    return Check("conditional writes", "ok", "they are honoured: writers cannot overwrite each other")


def _clock(patient: Patient) -> Check:
    engine = patient.engine
    before = engine.clock.now()
    found = engine.store.get(patient.keys.manifest) if not engine.store.last_date else None
    date = found.date if isinstance(found, Fetched) else engine.store.last_date
    if not date:
        return Check("clock", "skipped", "no answer of the store told the time")
    skew = before - date
    said = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's"
    return Check("clock", "ok" if abs(skew) < SKEW_MAX_SECONDS else "failed", said)


def _old_versions(patient: Patient) -> Check:
    """Each commit replaces the manifest: a bucket with versions keeps every one of them, for money."""
    from sqlite_s3vfs.store.s3account import versioning  # boto3 is slow to import

    try:
        found = versioning(patient.bucket, f"{patient.prefix}/", patient.access)
    except S3VFSError as error:
        return Check("old versions", "skipped", f"the bucket's settings cannot be read: {error}")
    if not found.status:
        return Check("old versions", "ok", "the bucket keeps no old versions of objects")
    if found.expires_days is not None:
        return Check("old versions", "ok", f"a rule removes them after {found.expires_days} days")
    return Check(
        "old versions", "warning",
        f"versioning is {found.status.lower()} and no rule removes old versions: every commit leaves "
        "one of the manifest, for ever. add this to the bucket's lifecycle configuration:",
        lifecycle(patient.prefix),
    )


def lifecycle(prefix: str) -> dict[str, Any]:
    """The lifecycle rule that a versioned bucket needs."""
    rule = {
        "ID": "sqlite-s3vfs",
        "Status": "Enabled",
        "Filter": {"Prefix": f"{prefix}/"},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return {"Rules": [rule]}


def _latency(patient: Patient) -> Check:
    clock, store = patient.engine.clock, patient.engine.store
    seconds = []
    for _ in range(_LATENCY_SAMPLES):
        started = clock.monotonic()
        try:
            store.get(patient.keys.manifest)
        except S3VFSError as error:
            return Check("latency", "skipped", f"nothing can be read: {error}")
        seconds.append(clock.monotonic() - started)
    said = f"{median(seconds) * 1000:.1f} ms for a small request; a small commit is one"
    return Check("latency", "ok", said)
