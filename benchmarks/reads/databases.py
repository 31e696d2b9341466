"""The databases that are read: made locally, the same bytes each time. Standard library only.

``social`` is 1 GiB at scale 1, in the proportions of turbolite's published benchmark: 1.1 million posts
of a hundred thousand users, with a text index on the posts' slugs, comments, likes and friendships.
``posts`` is 193 MB: the rows that other projects' figures were measured on. ``tiny`` has 3 pages.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

USERS, POSTS = 100_000, 1_100_000
OLD_USERS, OLD_POSTS = 20_000, 500_000
_BODY = 690
_FRIENDS = 15

OnStep = Callable[[str], None]


def make_social(path: Path, *, scale: float, on_step: OnStep) -> None:
    """Write ``social`` to ``path``; ``scale`` 1 is 1 GiB."""
    rnd = random.Random(7)
    users, posts = int(USERS * scale), int(POSTS * scale)
    text = _pool(rnd, words=max(20_000, int(1_000_000 * scale)))
    connection = _fresh(path)
    connection.executescript("""
        CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT);
        CREATE TABLE posts(id INTEGER PRIMARY KEY, user_id INTEGER, created INTEGER, slug TEXT,
            title TEXT, body TEXT);
        CREATE TABLE comments(id INTEGER PRIMARY KEY, post_id INTEGER, user_id INTEGER, text TEXT);
        CREATE TABLE likes(post_id INTEGER, user_id INTEGER, PRIMARY KEY(post_id, user_id))
            WITHOUT ROWID;
        CREATE TABLE friends(user_id INTEGER, friend_id INTEGER, PRIMARY KEY(user_id, friend_id))
            WITHOUT ROWID;
        BEGIN""")

    def piece(length: int) -> str:
        start = int(rnd.random() * (len(text) - length))
        return text[start : start + length]

    def any_user() -> int:
        return 1 + int(rnd.random() * users)

    steps: list[tuple[str, str, Iterator[tuple[object, ...]]]] = [
        (
            "users",
            "?, ?, ?, ?",
            ((i, piece(14), f"{i}@{i % 97}.example", piece(10)) for i in range(1, users + 1)),
        ),
        (
            "posts",
            "?, ?, ?, ?, ?, ?",
            (
                (i, any_user(), 1_600_000_000 + 60 * i, slug(i), piece(40), piece(_BODY))
                for i in range(1, posts + 1)
            ),
        ),
        (
            "comments",
            "?, ?, ?, ?",
            ((i, 1 + i * posts // (posts // 2 + 1), any_user(), piece(120)) for i in range(posts // 2)),
        ),
        ("likes", "?, ?", ((i, any_user()) for i in range(1, posts + 1) for _ in range(2))),
        ("friends", "?, ?", ((i, any_user()) for i in range(1, users + 1) for _ in range(_FRIENDS))),
    ]  # fmt: skip
    for table, places, rows in steps:
        on_step(f"making the database: {table}")
        connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)
    on_step("making the database: indexes")
    connection.execute("CREATE INDEX posts_slug ON posts(slug)")
    connection.execute("CREATE INDEX posts_user ON posts(user_id, created)")
    connection.execute("CREATE INDEX comments_post ON comments(post_id)")
    connection.execute("COMMIT")
    connection.close()


def slug(post: int) -> str:
    """The text that a post is looked up by: neighbours in the table are far apart in its index."""
    return f"{post * 2_654_435_761 % (1 << 32):08x}-{post}"


def make_posts(path: Path, *, scale: float, on_step: OnStep) -> None:
    """Write ``posts`` to ``path``; at scale 1 the rows that others were measured on."""
    on_step("making the database of the other projects' figures")
    rnd = random.Random(42)
    users, posts = int(OLD_USERS * scale), int(OLD_POSTS * scale)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rnd.choice(letters) for _ in range(rnd.randint(3, 9))) for _ in range(4000)]

    def text(length: int) -> str:
        chosen: list[str] = []
        total = 0
        while total < length:
            chosen.append(rnd.choice(words))
            total += len(chosen[-1]) + 1
        return " ".join(chosen)[:length]

    connection = _fresh(path)
    connection.executescript("""
        CREATE TABLE posts(id INTEGER PRIMARY KEY, user_id INTEGER, title TEXT, body TEXT,
            created INTEGER);
        CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, email TEXT);
        BEGIN""")
    connection.executemany(
        "INSERT INTO users VALUES (?, ?, ?)",
        ((i, text(14), f"user{i}@{rnd.choice(words)}.example") for i in range(1, users + 1)),
    )
    connection.executemany(
        "INSERT INTO posts VALUES (?, ?, ?, ?, ?)",
        (
            (i, rnd.randint(1, users), text(40), text(rnd.randint(270, 330)), 1_600_000_000 + i * 60)
            for i in range(1, posts + 1)
        ),
    )
    connection.execute("CREATE INDEX posts_user ON posts(user_id)")
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    connection.close()


def make_tiny(path: Path) -> None:
    """Write a database of 3 pages."""
    connection = _fresh(path)
    connection.executescript("CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES (1)")
    connection.close()


def _fresh(path: Path) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size=4096")
    connection.execute("PRAGMA journal_mode=MEMORY")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def _pool(rnd: random.Random, *, words: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(rnd.choices(letters, k=rnd.randint(3, 9))) for _ in range(4000)]
    return " ".join(rnd.choices(vocabulary, k=words))
