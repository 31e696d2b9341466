"""What is asked of the databases. Standard library only: every worker imports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.reads.databases import slug

Parameters = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many users and posts a database has."""

    users: int
    posts: int

    def post(self, number: int) -> int:
        """One of the posts, far from those of the numbers before."""
        return 1 + (number * 618_033_989 + 500_000) % self.posts

    def user(self, number: int) -> int:
        """One of the users, likewise."""
        return 1 + (number * 618_033_989 + 10_000) % self.users


@dataclass(frozen=True, slots=True)
class Query:
    """One question; ``ask`` gives its parameters for the n-th time. A ``scan`` is repeated less.

    Without ``sql`` it is the opening alone: the schema is read, as ``sqlite_s3vfs.connect`` does of
    a database that has to exist, and nothing is asked.
    """

    name: str
    title: str
    database: str
    sql: str
    ask: Callable[[int, Sizes], Parameters]
    scan: bool = False


WITH_25_POSTS = (1, 697, 1516, 2125, 2822, 3675, 4437, 5329, 6118, 6868, 7832, 8694, 9579, 10560, 11454)
"""Some of the users of ``posts`` at scale 1 that have exactly 25, each in a leaf of its own."""


def _user_with_25(number: int, sizes: Sizes) -> Parameters:
    found = WITH_25_POSTS[number % len(WITH_25_POSTS)]
    return (found if found <= sizes.users else sizes.user(number),)


def _mutual(number: int, sizes: Sizes) -> Parameters:
    return sizes.user(number), sizes.user(number + 1000)


def _user_range(number: int, sizes: Sizes) -> Parameters:
    first = sizes.user(number)
    return first, first + max(1, sizes.users // 1000)


QUERIES = (
    Query("tiny", "open 3 pages, and a question", "tiny", "SELECT x FROM a", lambda n, s: ()),
    Query("opening", "open a database of 3 pages", "tiny", "", lambda n, s: ()),
    Query(
        "rowid", "lookup by rowid", "social",
        "SELECT title, body FROM posts WHERE id = ?", lambda n, s: (s.post(n),),
    ),
    Query(
        "text", "lookup by text index", "social",
        "SELECT title, body FROM posts WHERE slug = ?", lambda n, s: (slug(s.post(n)),),
    ),
    Query(
        "post_user", "post and its user", "social",
        "SELECT p.title, p.body, u.name FROM posts p JOIN users u ON u.id = p.user_id WHERE p.id = ?",
        lambda n, s: (s.post(n),),
    ),
    Query(
        "profile", "profile, 5 joins", "social",
        "SELECT u.name, p.title, c.text, cu.name, lu.name FROM users u"
        " JOIN posts p ON p.user_id = u.id JOIN comments c ON c.post_id = p.id"
        " JOIN users cu ON cu.id = c.user_id JOIN likes l ON l.post_id = p.id"
        " JOIN users lu ON lu.id = l.user_id WHERE u.id = ? LIMIT 10",
        lambda n, s: (s.user(n),),
    ),
    Query(
        "who_liked", "index search and join", "social",
        "SELECT p.title, u.name FROM posts p JOIN likes l ON l.post_id = p.id"
        " JOIN users u ON u.id = l.user_id WHERE p.slug = ?",
        lambda n, s: (slug(s.post(n)),),
    ),
    Query(
        "mutual", "mutual friends", "social",
        "SELECT u.name FROM friends a JOIN friends b ON b.friend_id = a.friend_id"
        " JOIN users u ON u.id = a.friend_id WHERE a.user_id = ? AND b.user_id = ?",
        _mutual,
    ),
    Query(
        "covered", "filter in a covering index", "social",
        "SELECT count(*), max(created) FROM posts WHERE user_id BETWEEN ? AND ?", _user_range,
    ),
    Query(
        "scan", "full scan", "social",
        "SELECT count(*), sum(length(body)) FROM posts", lambda n, s: (), scan=True,
    ),
    Query(
        "a", "a: post by rowid", "posts",
        "SELECT * FROM posts WHERE id = ?", lambda n, s: (s.post(n),),
    ),
    Query(
        "b", "b: post, then its user", "posts",
        "SELECT p.*, u.* FROM posts p JOIN users u ON u.id = p.user_id WHERE p.id = ?",
        lambda n, s: (s.post(n),),
    ),
    Query(
        "c", "c: a user's 25 posts by index", "posts",
        "SELECT count(*), sum(length(title)) FROM posts WHERE user_id = ?", _user_with_25,
    ),
    Query(
        "d", "d: sum over all posts", "posts",
        "SELECT sum(length(body)) FROM posts", lambda n, s: (), scan=True,
    ),
)  # fmt: skip
BY_NAME = {query.name: query for query in QUERIES}
