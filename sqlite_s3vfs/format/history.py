"""History objects: a manifest of the past, and what died between its predecessor and it.

Version w is read from the object with the smallest version that is at least w: its map and the
entries of its tail up to w (invariant I4). Several objects of one version are equivalent.
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.envelope import ObjectKind, seal, unseal
from sqlite_s3vfs.format.fields import binary, pack, unpack_map
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import manifest_of_payload, payload_of_manifest


def encode_history(manifest: Manifest, name: ObjectName) -> bytes:
    """The object that keeps ``manifest`` readable after it was replaced."""
    assert name.version == manifest.version, "a history object is named after its version"
    kept = replace(manifest, condemned=None)
    payload = pack({"manifest": payload_of_manifest(kept)})
    return seal(ObjectKind.HISTORY, manifest.database_id, name.random, payload, level=1)


def decode_history(data: bytes, database_id: bytes, name: ObjectName) -> Manifest:
    """The manifest that a history object keeps.

    Raises:
        CorruptError: damaged, foreign, or not the object of that name.
    """
    envelope = unseal(data, ObjectKind.HISTORY)
    fields = unpack_map(envelope.payload, "history object")
    payload = binary(fields.get("manifest"), "history manifest")
    manifest = manifest_of_payload(envelope.database_id, payload)
    found = (envelope.database_id, manifest.version, envelope.object_id)
    if found != (database_id, name.version, name.random):
        raise CorruptError(f"another object lies where a history object should. name={name}")
    return manifest
