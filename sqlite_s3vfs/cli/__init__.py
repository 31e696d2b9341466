"""The commands of ``sqlite-s3vfs``, on top of everything else; click is needed for them.

    app          the program: its commands, and how an error becomes an exit code
    exits        the exit codes
    options      what all commands take, and questions before something is destroyed
    places       from a URL to a store, a database, a connection
    versions     what --version prints; needs no click
    output       what is printed, for people and for programs
    listing, facts, objects     ls, info, show
    sql          shell, query
    files, download, partials   import, export
    moments, history, checkpoints   log, retention, restore, checkpoint
    branches, care              fork, diff, verify, collect, rm
    upgrading                   upgrade
    doctor, examination         what works with a bucket, and what is missing
    policies     the IAM policies of each role

A module of a command is imported when the command is used: the program starts faster.
"""
