"""Manifests to bytes and back."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format.envelope import ObjectKind, seal, unseal
from sqlite_s3vfs.format.fields import Record, binary, pack, rows, text, uint, unpack_map
from sqlite_s3vfs.format.keys import RANDOM_SIZE, ObjectName
from sqlite_s3vfs.format.manifest import (
    Commit,
    Condemned,
    Died,
    HistoryName,
    InteriorPage,
    Manifest,
    Pin,
    Restore,
    RuleBrokenError,
    State,
    check_manifest,
)
from sqlite_s3vfs.format.mapcodec import decode_map, encode_map
from sqlite_s3vfs.format.tail import decode_tail, encode_tail

KNOWN_FEATURES: frozenset[str] = frozenset()
_BLOCK_SIZE_MAX = 1 << 31


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
        "state": manifest.state.value,
        "page_size": manifest.page_size,
        "size": manifest.size,
        "block_size": manifest.block_size,
        "retention": manifest.retention_seconds,
        "version": manifest.version,
        "commits": [list(commit) for commit in manifest.commits],
        "map": encode_map(manifest.blocks),
        "tail": encode_tail(manifest.tail),
        "interior": [list(page) for page in manifest.interior],
        "dead": [[name.version, name.random, dead] for name, dead in manifest.dead.items()],
        "died": encode_died(manifest.died),
        "history": [[kept.name.version, kept.name.random, kept.time_ms] for kept in manifest.history],
        "pins": [list(pin) for pin in manifest.pins],
        "restores": [list(restore) for restore in manifest.restores],
        "oldest_readable": manifest.oldest_readable,
        "condemned": condemned and [condemned.batch_id, list(condemned.key_suffixes)],
        "floor": manifest.floor_ms,
        "conditions_proven": manifest.conditions_proven,
        "fork_id": manifest.fork_id,
        "predecessor": manifest.predecessor,
    }


def _manifest(
    database_id: bytes, features: tuple[str, ...], fields: dict[str, Any]
) -> Manifest:
    return Manifest(
        database_id=database_id,
        features=features,
        state=_state(fields.get("state")),
        page_size=uint(fields.get("page_size"), "page size", 65536),
        size=uint(fields.get("size"), "size"),
        block_size=uint(fields.get("block_size"), "block size", _BLOCK_SIZE_MAX),
        retention_seconds=uint(fields.get("retention"), "retention"),
        version=uint(fields.get("version"), "version"),
        commits=tuple(_commits(fields.get("commits"))),
        blocks=decode_map(fields.get("map")),
        tail=decode_tail(fields.get("tail")),
        interior=tuple(_interior(fields.get("interior"))),
        dead=MappingProxyType(dict(_dead(fields.get("dead")))),
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
    return [list(row) for row in died]


def decode_died(value: object) -> tuple[Died, ...]:
    """The inverse of ``encode_died``."""
    records = (Record(row, 3, "dead object") for row in rows(value, "dead objects"))
    return tuple(Died(record.text(), record.uint(), record.uint()) for record in records)


def _features(value: object) -> tuple[str, ...]:
    features = tuple(text(feature, "feature") for feature in rows(value, "features"))
    unknown = [feature for feature in features if feature not in KNOWN_FEATURES]
    if unknown:
        raise UnsupportedFormatError(
            f"written by a newer release: upgrade sqlite-s3vfs. features={unknown!r:.200}"
        )
    return features


def _state(value: object) -> State:
    try:
        return State(value)
    except ValueError as error:
        raise CorruptError(f"unknown state of a database. state={value!r:.40}") from error


def _commits(value: object) -> Iterable[Commit]:
    for row in rows(value, "commits"):
        record = Record(row, 4, "commit")
        yield Commit(record.uint(), record.binary(RANDOM_SIZE), record.uint(), record.text())


def _interior(value: object) -> Iterable[InteriorPage]:
    for row in rows(value, "interior pages"):
        record = Record(row, 3, "interior page")
        yield InteriorPage(record.uint(), record.uint(), record.binary())


def _dead(value: object) -> Iterable[tuple[ObjectName, int]]:
    for row in rows(value, "dead blocks"):
        record = Record(row, 3, "dead blocks of a segment")
        yield ObjectName(record.uint(), record.binary(RANDOM_SIZE)), record.uint()


def _history(value: object) -> Iterable[HistoryName]:
    for row in rows(value, "history"):
        record = Record(row, 3, "history name")
        name = ObjectName(record.uint(), record.binary(RANDOM_SIZE))
        yield HistoryName(name, record.uint())


def _pins(value: object) -> Iterable[Pin]:
    for row in rows(value, "pins"):
        record = Record(row, 4, "pin")
        yield Pin(record.binary(RANDOM_SIZE), record.uint(), record.text(), record.text())


def _restores(value: object) -> Iterable[Restore]:
    for row in rows(value, "restores"):
        record = Record(row, 2, "restore")
        yield Restore(record.uint(), record.uint())


def _condemned(value: object) -> Condemned | None:
    if value is None:
        return None
    record = Record(value, 2, "condemned batch")
    batch_id = record.binary(RANDOM_SIZE)
    suffixes = record.rows()
    if not all(isinstance(suffix, str) for suffix in suffixes):
        raise CorruptError("condemned keys are not text.")
    return Condemned(batch_id, tuple(str(suffix) for suffix in suffixes))
