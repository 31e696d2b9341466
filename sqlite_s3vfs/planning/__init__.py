"""What a commit should write, computed without I/O: values in, values out.

    overlay      the pages that a transaction has written so far
    contents     new block contents from old ones, tail entries and written pages
    commit       tail or blocks? and which
    segments     blocks to segments
    mapfold      what changed in the map, moved into pieces
    successor    the manifest that a commit publishes
    fold         the tail moved into blocks, and its adoption by a later commit
"""
