"""Changes on top of one version, and their commit.

    transaction   the face that the VFS sees: read, write, truncate, commit
    origin        what a commit starts from: a manifest, nothing, or a database of sqlite-s3vfs 0.0.x
    commit        plan, upload, publish: the steps in the one safe order
    uploads       objects under names of their own, in parallel, and their removal when unused
    folding       moving the tail into blocks, for a later commit to adopt
    locks         SQLite's write lock among the connections of one process
"""

from sqlite_s3vfs.transaction.transaction import Transaction

__all__ = ["Transaction"]
