"""The stored format, version 1: bytes to values and back, and the names of keys. Nothing here does I/O.

    envelope        the first 64 bytes of every object: magic, version, kind, identity, checksum
    keys            the key of every object
    fields          typed reading of decoded payloads
    geometry        which blocks hold which bytes
    sqlite_header   the few bytes of page 1 that the library reads or changes
    segment         whole blocks, compressed and checksummed, read by byte range
    blockmap        block index → locator
    tail            the recent pages that ride inside the manifest
    manifest        the newest version of a database
    history         a manifest of the past
    rollback_journal, ancestor     what sqlite-s3vfs 0.0.x left

``docs/format.md`` is the normative description. Decoding any bytes gives a value or ``CorruptError``.
"""
