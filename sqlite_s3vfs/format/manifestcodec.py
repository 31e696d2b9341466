"""Manifests to bytes and back."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format.envelope import DATABASE_ID_SIZE, ObjectKind, seal, unseal
from sqlite_s3vfs.format.fields import (
    UINT_MAX,
    Record,
    binary,
    pack,
    rows,
    text,
    uint,
    unpack_map,
)
from sqlite_s3vfs.format.interior import decode_copies
from sqlite_s3vfs.format.keys import RANDOM_SIZE, ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    Commit,
    Condemned,
    Died,
    HistoryName,
    Manifest,
    Owner,
    Pin,
    Restore,
    RuleBrokenError,
    State,
    check_manifest,
)
from sqlite_s3vfs.format.mapcodec import decode_dead, decode_map, encode_dead, encode_map
from sqlite_s3vfs.format.tail import decode_tail

KNOWN_FEATURES: frozenset[str] = frozenset()
_BLOCK_SIZE_MAX = 1 << 31
_OLD_INDEX_MAX = 9_999_999_999


def encode_manifest(manifest: Manifest, nonce: bytes) -> bytes:
    """The object for a manifest. ``nonce`` is fresh in every put: equal bytes have equal ETags."""
    check_manifest(manifest)
    return seal(ObjectKind.MANIFEST, manifest.database_id, nonce, pack(_payload(manifest)))


def decode_manifest(data: bytes) -> Manifest:
    """The manifest of an object.

    Raises:
        CorruptError: damaged or foreign. UnsupportedFormatError: written by a newer release.
    """
    envelope = unseal(data, ObjectKind.MANIFEST)
    return manifest_of_payload(envelope.database_id, envelope.payload)


def manifest_of_payload(database_id: bytes, payload: bytes) -> Manifest:
    """The manifest of an opened envelope's payload (of a history object too)."""
    fields = unpack_map(payload, "manifest")
    features = _features(fields.get("features"))
    try:
        manifest = _manifest(database_id, features, fields)
        check_manifest(manifest)
    except (RuleBrokenError, OverflowError) as error:
        raise CorruptError(f"manifest breaks a rule of the format. rule={error}") from error
    return manifest


def payload_of_manifest(manifest: Manifest) -> bytes:
    """What ``manifest_of_payload`` decodes."""
    check_manifest(manifest)
    return pack(_payload(manifest))


def _payload(manifest: Manifest) -> dict[str, object]:
    condemned = manifest.condemned
    return {
        "features": list(manifest.features),
        "write_features": list(manifest.write_features),
        "state": manifest.state.value,
        "page_size": manifest.page_size,
        "size": manifest.size,
        "block_size": manifest.block_size,
        "retention": manifest.retention_seconds,
        "version": manifest.version,
        "commits": list(manifest.commits),
        "map": encode_map(manifest.blocks),
        "tail": list(manifest.tail),
        "interior": list(manifest.interior),
        "dead": encode_dead(manifest.dead),
        "died": encode_died(manifest.died),
        "history": [[kept.name.version, kept.name.random, kept.time_ms] for kept in manifest.history],
        "pins": list(manifest.pins),
        "restores": list(manifest.restores),
        "oldest_readable": manifest.oldest_readable,
        "condemned": condemned and [condemned.batch_id, [_ref_row(ref) for ref in condemned.refs]],
        "floor": manifest.floor_ms,
        "conditions_proven": manifest.conditions_proven,
        "fork_id": manifest.fork_id,
        "predecessor": manifest.predecessor,
        "owners": list(manifest.owners),
    }


def _manifest(
    database_id: bytes, features: tuple[str, ...], fields: dict[str, Any]
) -> Manifest:
    return Manifest(
        database_id=database_id,
        features=features,
        write_features=_names(fields.get("write_features")),
        owners=tuple(_owners(fields.get("owners"))),
        state=_state(fields.get("state")),
        page_size=uint(fields.get("page_size"), "page size", 65536),
        size=uint(fields.get("size"), "size"),
        block_size=uint(fields.get("block_size"), "block size", _BLOCK_SIZE_MAX),
        retention_seconds=uint(fields.get("retention"), "retention"),
        version=uint(fields.get("version"), "version"),
        commits=tuple(_commits(fields.get("commits"))),
        blocks=decode_map(fields.get("map")),
        tail=decode_tail(fields.get("tail")),
        interior=tuple(decode_copies(fields.get("interior"))),
        dead=MappingProxyType(decode_dead(fields.get("dead"))),
        died=decode_died(fields.get("died")),
        history=tuple(_history(fields.get("history"))),
        pins=tuple(_pins(fields.get("pins"))),
        restores=tuple(_restores(fields.get("restores"))),
        oldest_readable=uint(fields.get("oldest_readable"), "oldest readable version"),
        condemned=_condemned(fields.get("condemned")),
        floor_ms=uint(fields.get("floor"), "floor"),
        conditions_proven=binary(fields.get("conditions_proven"), "conditions proven"),
        fork_id=binary(fields.get("fork_id"), "fork id"),
        predecessor=binary(fields.get("predecessor"), "predecessor"),
    )


def encode_died(died: Iterable[Died]) -> list[list[object]]:
    """The list of dead objects as payload rows."""
    return [[_ref_row(row.ref), row.first, row.died] for row in died]


def decode_died(value: object) -> tuple[Died, ...]:
    """The inverse of ``encode_died``."""
    records = (Record(row, 3, "dead object") for row in rows(value, "dead objects"))
    return tuple(Died(_ref(record.row()), record.uint(), record.uint()) for record in records)


def _features(value: object) -> tuple[str, ...]:
    features = _names(value)
    unknown = [feature for feature in features if feature not in KNOWN_FEATURES]
    if unknown:
        raise UnsupportedFormatError(
            f"written by a newer release: upgrade sqlite-s3vfs. features={unknown!r:.200}"
        )
    return features


def _names(value: object) -> tuple[str, ...]:
    return tuple(text(feature, "feature") for feature in rows(value, "features"))


def _ref_row(ref: ObjectRef) -> list[object]:
    return [int(ref.role), ref.number, ref.random]


def _ref(row: object) -> ObjectRef:
    record = Record(row, 3, "object reference")
    role = Role(record.uint(max(Role)))
    bare = role in (Role.OLD_BLOCK, Role.OLD_JOURNAL, Role.CONTENT)
    number = record.uint(_OLD_INDEX_MAX if bare and role is not Role.CONTENT else UINT_MAX)
    return ObjectRef(role, number, record.binary(0 if bare else RANDOM_SIZE))


def _owners(value: object) -> Iterable[Owner]:
    for row in rows(value, "owners"):
        record = Record(row, 4, "owner")
        prefix, database_id = record.text(), record.binary(DATABASE_ID_SIZE)
        yield Owner(prefix, database_id, record.binary(RANDOM_SIZE), record.uint())


def _state(value: object) -> State:
    try:
        return State(value)
    except ValueError as error:
        raise CorruptError(f"unknown state of a database. state={value!r:.40}") from error


def _commits(value: object) -> Iterable[Commit]:
    for row in rows(value, "commits"):
        record = Record(row, 6, "commit")
        version, commit_id = record.uint(), record.binary(RANDOM_SIZE)
        time_ms, writer = record.uint(), record.text()
        yield Commit(version, commit_id, time_ms, writer, record.uint(), record.uint())


def _history(value: object) -> Iterable[HistoryName]:
    for row in rows(value, "history"):
        record = Record(row, 3, "history name")
        name = ObjectName(record.uint(), record.binary(RANDOM_SIZE))
        yield HistoryName(name, record.uint())


def _pins(value: object) -> Iterable[Pin]:
    for row in rows(value, "pins"):
        record = Record(row, 5, "pin")
        pin_id, database_id = record.binary(RANDOM_SIZE), record.binary(DATABASE_ID_SIZE)
        yield Pin(pin_id, database_id, record.uint(), record.text(), record.text())


def _restores(value: object) -> Iterable[Restore]:
    for row in rows(value, "restores"):
        record = Record(row, 2, "restore")
        yield Restore(record.uint(), record.uint())


def _condemned(value: object) -> Condemned | None:
    if value is None:
        return None
    record = Record(value, 2, "condemned batch")
    return Condemned(record.binary(RANDOM_SIZE), tuple(map(_ref, record.rows())))
