"""What must hold of the stored objects after every commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlite_s3vfs.format.manifest import check_manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.planning import commit, interior, mapfold
from unit.independent import Stored, Version, columns_of, unzstd


def check_contents(stored: Stored, files: Mapping[int, bytes]) -> None:
    """Every version can be rebuilt from the smallest history version that is not below it (I4)."""
    kept = [*stored.history(), stored.newest()]
    for version, file in files.items():
        serving = next(found for found in kept if found.version >= version)
        rebuilt = serving.file(version)
        assert rebuilt == file, f"version {version} read from {serving.version} is another file"


def check_copies(version: Version) -> None:
    """A copy of a page that may be used is the page as the blocks of the same version hold it."""
    for page, page_type, content in (*version.fields["interior"], *valid_copies_in_pieces(version)):
        copy = unzstd(content)
        assert copy == version.page_of_blocks(page), f"the copy of page {page} is stale"
        assert copy[100 if page == 1 else 0] == page_type


def valid_copies_in_pieces(version: Version) -> Iterator[tuple[int, int, bytes]]:
    """Those whose blocks are all of the piece and have a locator, and none in the manifest itself.

    Others a piece may still have that was written when pages had another size.
    """
    page_size, block_size = version.fields["page_size"], version.fields["block_size"]
    recent = {row[0] for row in columns_of(version.fields["map"]["recent"])}
    for piece, (_, payload) in version.pieces.items():
        for page, page_type, content in payload["interior"]:
            blocks = range((page - 1) * page_size // block_size, -(-page * page_size // block_size))
            span = version.fields["map"]["piece_span"]
            of_piece = {block // span for block in blocks} == {piece}
            if of_piece and all(block in version.locators and block not in recent for block in blocks):
                yield page, page_type, content


def check_bounds(stored: Stored) -> None:
    """The manifest follows its rules and does not grow with the database."""
    manifest = decode_manifest(stored.objects[f"{stored.prefix}/manifest"])
    check_manifest(manifest)
    assert sum(entry.cost for entry in manifest.tail) <= commit.TAIL_HARD_MAX
    assert sum(len(copy.content) for copy in manifest.interior) <= interior.INTERIOR_MAX
    assert len(manifest.blocks.recent) <= mapfold.RECENT_MAX
    assert len(manifest.blocks.pieces) <= mapfold.PIECES_MAX
    assert len(manifest.dead) <= mapfold.DEAD_MAX
    for page in {entry.page for entry in manifest.tail if entry.encoding == 2}:
        blocks = {
            (place // manifest.block_size)
            for place in ((page - 1) * manifest.page_size, page * manifest.page_size - 1)
        }
        assert len(blocks) == 1, f"a patch of page {page}, which lies in two blocks"
