"""What is predicted: scans of any order, rows in index order, and nothing for random access."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest

from sqlite_s3vfs.format.btree import IndexLeaf
from sqlite_s3vfs.readahead import policy
from sqlite_s3vfs.readahead.policy import START_BYTES
from unit.readahead.replay import PAGES_IN_BLOCK, Replay, Tree, build, trees

ROWS = 6000
USERS = 240


class Sample:
    """Posts of users: a table that was filled in order, one that was filled at random, an index."""

    def __init__(self, path: Path) -> None:
        rnd = random.Random(1)
        ids = random.Random(2).sample(range(1, 10 * ROWS), ROWS)
        self.file = build(
            path,
            "CREATE TABLE post (id INTEGER PRIMARY KEY, user, body);"
            "CREATE TABLE scattered (id INTEGER PRIMARY KEY, body); CREATE INDEX by_user ON post (user)",
            ("INSERT INTO post VALUES (?, ?, ?)",
             ((n, rnd.randrange(USERS), "x" * 1500) for n in range(1, ROWS + 1))),
            ("INSERT INTO scattered VALUES (?, ?)", ((n, "x" * 1500) for n in ids)),
        )
        found = trees(self.file, path)
        self.post, self.scattered, self.by_user = found["post"], found["scattered"], found["by_user"]
        self._leaves = [IndexLeaf(page, self.by_user.page(page)) for page in self.by_user.leaves()]

    def replay(self, **how: int) -> Replay:
        return Replay(self.file, **how)

    def of_user(self, user: int, *, step: int = 1) -> list[int]:
        """The pages that a query for one user's posts reads."""
        key = self._key(user)
        pages: list[int] = list(islice(self.by_user.walk(), 1))
        for leaf in self._leaves[::step]:
            rows = [rowid for found, rowid in leaf.entries[::step] if found == key]
            if rows:
                pages.append(leaf.page)
                for rowid in rows:
                    pages += self.post.way_to(rowid)
        return pages

    def _key(self, user: int) -> bytes:
        size = 0 if user < 2 else 1 if user < 128 else 2
        serial = 8 + user if user < 2 else size
        return serial.to_bytes(9, "big") + user.to_bytes(size, "big")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("readahead") / "sample.db")


def blocks_of(tree: Tree) -> set[int]:
    return {(page - 1) // 4 for page in tree.leaves()}


@pytest.mark.parametrize("name", ["post", "scattered", "by_user"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_scan_waits_a_few_times_whatever_the_order_in_the_file(sample: Sample, name: str, step: int):
    replay, tree = sample.replay(), getattr(sample, name)

    replay.read_all(tree.walk(step=step))

    assert replay.waits <= 3
    assert not replay.fresh, "all that was fetched was used"
    assert set(replay.fetched) <= blocks_of(tree)


def test_two_scans_at_once_do_not_disturb_each_other(sample: Sample):
    replay = sample.replay()

    for first, second in zip(sample.post.walk(), sample.scattered.walk(), strict=False):
        replay.read_all([first, second])

    assert replay.waits <= 6


@pytest.mark.parametrize("table", ["post", "scattered"])
def test_random_lookups_fetch_nothing_in_advance(sample: Sample, table: str):
    replay, rnd = sample.replay(), random.Random(3)
    tree = getattr(sample, table)
    leaves = tree.leaves()
    ends = {(page - 1) // 4 for page in (leaves[0], leaves[-1])}

    for _ in range(300):
        rowid = rnd.randrange(1, 10 * ROWS if table == "scattered" else ROWS)
        way = list(tree.way_to(rowid))
        near = {(page - 1) // 4 + by for page in way[-1:] for by in (-1, 0, 1)}
        if not near & (replay.memory | ends) and not _beside(leaves, way[-1], replay.memory):
            replay.read_all(way)

    assert replay.waits > 20
    assert replay.fetched == []


def _beside(leaves: list[int], page: int, memory: set[int]) -> bool:
    """Whether a leaf near this one was read: then it may be a scan for all that one can know."""
    at = leaves.index(page)
    return any((other - 1) // 4 in memory for other in leaves[max(0, at - 9) : at + 10])


def test_the_rows_of_a_user_are_fetched_side_by_side(sample: Sample):
    replay = sample.replay()
    pages = sample.of_user(100)
    leaves = len({(page - 1) // 4 for page in pages} & blocks_of(sample.post))

    replay.read_all(pages)

    assert leaves >= 15
    assert replay.waits <= 4, "an index leaf or two, and two rows until the order is seen"
    assert not replay.fresh, "nothing beyond that user's rows"


def test_index_order_downwards(sample: Sample):
    replay = sample.replay()

    replay.read_all(sample.of_user(100, step=-1))

    assert replay.waits <= 5
    assert not replay.fresh


def test_a_range_of_an_index_goes_on_with_at_most_as_much_waste_as_use(sample: Sample):
    replay = sample.replay()
    pages = [page for user in (50, 51, 52) for page in sample.of_user(user)]

    replay.read_all(pages)

    used = len(replay.memory) - len(replay.fresh)
    assert replay.waits < used / 2
    assert len(replay.fresh) <= used


def test_lookups_by_an_index_fetch_nothing_in_advance(sample: Sample):
    """One row of each of many users: the leaf of the index is another one each time."""
    replay, rnd = sample.replay(), random.Random(4)

    for user in (20, 220, 60, 180, 100, 140, 40, 200, 80, 160, 120):
        rows = len(sample.of_user(user)[2:]) // 3
        root, leaf, *ways = sample.of_user(user)
        row = rnd.randrange(rows)
        replay.read_all([root, leaf, *ways[3 * row : 3 * row + 3]])

    assert replay.waits > 15
    assert len(replay.fetched) <= 7, "a guess that is not made again, and neighbours by chance"


def test_the_first_row_of_each_key_is_guessed_to_go_on_but_once(sample: Sample):
    """``… WHERE user = ? LIMIT 1``, again and again, each in a transaction of its own."""
    replay = sample.replay()

    for user in (20, 220, 60, 180, 100, 140, 40, 200, 80, 160, 120):
        root, leaf, *ways = sample.of_user(user)
        replay.read_all([root, leaf, *ways[:3]])
        replay.ahead.end()

    assert len(replay.fetched) <= 7, "four, and neighbours by chance: the index is small"


def test_a_guess_is_made_again_once_rows_were_seen_to_follow(sample: Sample):
    replay = sample.replay()
    for user in (20, 220):
        root, leaf, *ways = sample.of_user(user)
        replay.read_all([root, leaf, *ways[:3]])
        replay.ahead.end()
    before = len(replay.fetched)

    replay.read_all(sample.of_user(100))
    replay.ahead.end()
    replay.waits = 0
    replay.read_all(sample.of_user(180))

    assert len(replay.fetched) > before
    assert replay.waits <= 3, "an index leaf or two, and the first row"


@pytest.mark.parametrize("left_out", [1, 2, 3])
def test_a_join_by_the_rows_of_an_index_is_fetched_side_by_side(tmp_path: Path, left_out: int):
    """Rows of one user are looked up in an index on another table; some of them are not there."""
    rnd = random.Random(1)
    file = build(
        tmp_path / "join.db",
        "CREATE TABLE post (id INTEGER PRIMARY KEY, user); CREATE INDEX by_user ON post (user);"
        "CREATE TABLE note (post, text); CREATE INDEX by_post ON note (post, text)",
        ("INSERT INTO post VALUES (?, ?)", ((n, rnd.randrange(USERS)) for n in range(ROWS))),
        ("INSERT INTO note VALUES (?, ?)", ((n, "x" * 1000) for n in range(ROWS))),
    )
    found = trees(file, tmp_path / "join.db")
    leaf = next(iter(found["by_user"].leaves()))
    entries = IndexLeaf(leaf, found["by_user"].page(leaf)).entries
    rows = [rowid for key, rowid in entries if key == entries[0][0]][::left_out]
    replay = Replay(file)

    replay.read_all([*islice(found["by_user"].walk(), 1), leaf])
    replay.waits = 0
    for rowid in rows:
        replay.read_all(found["by_post"].way_to(rowid))

    assert len(rows) > 5
    assert replay.waits <= 4
    assert len(replay.fresh) <= 2 * len(rows) + 4, "of what is left out as much again and more"


@pytest.mark.parametrize(("blocks_in_object", "guessed"), [(1, 1), (64, START_BYTES >> 14)])
def test_a_first_leaf_is_worth_one_request_until_the_next_one_is_read(
    sample: Sample, blocks_in_object: int, guessed: int
):
    replay = sample.replay()
    replay.blocks_in_object = blocks_in_object
    leaves = sample.post.leaves()
    next_block = next(page for page in leaves if (page - 1) // 4 != (leaves[0] - 1) // 4)

    replay.read_all(sample.post.way_to(1))

    assert len(replay.fetches) == 1
    assert len(replay.fetched) <= guessed
    assert len({block // blocks_in_object for block in replay.fetched}) == 1
    replay.read(next_block)
    assert len(replay.fresh) >= START_BYTES // replay.block_size - 1, "it is a scan"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_scan_that_ends_early_wastes_at_most_twice_what_it_used(sample: Sample, share: float):
    replay = sample.replay()
    pages = list(sample.scattered.walk())

    replay.read_all(pages[: int(len(pages) * share)])

    used = len(replay.memory) - len(replay.fresh)
    assert len(replay.fresh) <= max(START_BYTES // replay.block_size, 2 * used)


@pytest.mark.parametrize("leap", [3, 5, 9])
def test_blocks_that_are_leapt_over_do_not_count_as_used(sample: Sample, leap: int):
    """As in rows inserted in a random order: they look like a scan now and then, and are none."""
    replay = sample.replay()
    leaves = list(sample.post.leaves())
    read = leaves[: 4 * PAGES_IN_BLOCK] + leaves[4 * PAGES_IN_BLOCK :: leap * PAGES_IN_BLOCK]

    start, came_to = START_BYTES // replay.block_size, set()
    for page in read:
        replay.read(page)
        came_to.add(block := (page - 1) // PAGES_IN_BLOCK)
        ahead = sum(fetched > block for fetched in replay.fresh)
        assert ahead <= max(start, 2 * len(came_to)), page


def test_what_is_fetched_and_not_used_stays_within_the_bound(sample: Sample):
    bound = 10
    replay = sample.replay(bytes_max=bound * 4 * 4096)

    for page in sample.post.walk():
        replay.read(page)
        assert len(replay.fresh) <= bound


def test_nothing_is_fetched_in_advance_where_nothing_may_be(sample: Sample):
    replay = sample.replay(bytes_max=0)

    replay.read_all(sample.post.walk())

    assert replay.fetched == []


def test_pages_of_no_known_tree_are_read_ahead_by_their_place(tmp_path: Path):
    file = build(tmp_path / "blob.db", "CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(3000000))")
    chain = range(4, len(file) // 4096 + 1)
    up, down = Replay(file), Replay(file)

    up.read_all(list(chain))
    down.read_all(list(chain)[::-1])

    assert up.waits <= 3
    assert down.waits <= 3


def test_a_scan_goes_on_where_an_interior_page_is_not_at_hand(sample: Sample):
    replay = sample.replay()
    replay.at_hand = lambda page: None  # type: ignore[method-assign]

    replay.read_all(sample.post.walk())

    assert replay.waits <= 12


def test_after_the_end_of_a_transaction_a_scan_is_found_anew(sample: Sample):
    replay = sample.replay()
    pages = list(sample.post.walk())
    replay.read_all(pages[:50])
    fetched = len(replay.fetched)

    replay.ahead.end()
    replay.read_all(pages[50:60])

    assert len(replay.fetched) == fetched, "what was fetched is used, and nobody asks for more"


def test_a_second_scan_knows_the_tree_though_sqlite_reads_its_root_once(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sqlite_s3vfs.readahead.trees.NODES_REMEMBERED", 2)
    replay = sample.replay()
    replay.read_all(sample.post.walk())
    first = replay.waits
    replay.memory.clear()
    replay._seen = {sample.post.root}

    replay.read_all(sample.post.walk())

    assert replay.waits <= 2 * first


def test_a_scan_comes_to_whole_batches_by_few_requests(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    replay = sample.replay()
    replay.blocks_in_object = 1 << 30
    monkeypatch.setattr(policy, "START_BYTES", 8 * replay.block_size)
    monkeypatch.setattr(policy, "BATCH_BYTES", 64 * replay.block_size)

    replay.read_all(sample.post.walk())

    sizes = [len(fetch) for fetch in replay.fetches]
    before = next(at for at, size in enumerate(sizes) if size >= 64)
    assert before <= 10, sizes


def test_a_scan_fetches_stored_objects_whole_once_it_is_under_way(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    replay = sample.replay()
    replay.blocks_in_object = 16
    monkeypatch.setattr(policy, "BATCH_BYTES", 16 * replay.block_size)
    monkeypatch.setattr(policy, "ENOUGH_BYTES", 64 * replay.block_size)

    replay.read_all(sample.post.walk())

    last = max(replay.fetched)
    later = [fetch for fetch in replay.fetches if fetch[0] > 200 and fetch[-1] != last]
    assert len(later) > 20
    assert all((fetch[-1] + 1) % 16 == 0 for fetch in later)
    assert all(len(fetch) == 16 for fetch in later[1:])


def test_what_is_come_to_out_of_turn_while_it_is_under_way_begins_no_second_scan(sample: Sample):
    replay = sample.replay(bytes_max=8 << 20)
    blocks = sorted(blocks_of(sample.post))
    first, *others = (block * 4 + 1 for block in blocks)
    replay.read_all(list(sample.post.walk())[:8])
    replay.read_all([first, *others[:40]])
    ahead = [block for block in blocks if block in replay.fresh]

    replay.read(ahead[3] * 4 + 1)
    replay.still_on_the_way(ahead[1])
    fetched = len(replay.fetched)
    replay.read(ahead[1] * 4 + 1)

    assert len(replay.fetched) == fetched


def test_scans_side_by_side_share_the_bound(sample: Sample):
    bound = 64
    replay = sample.replay(bytes_max=bound * Replay.block_size)

    for first, second in zip(sample.post.walk(), sample.scattered.walk(), strict=False):
        replay.read_all([first, second])
        assert len(replay.fresh) <= bound + 2 * 8, "the share of each, and the start of the second"

    assert replay.waits <= 12


def test_the_end_of_a_transaction_tells_what_is_not_wanted_any_more(sample: Sample):
    replay = sample.replay()
    replay.read_all(list(sample.post.walk())[:200])

    unwanted = replay.ahead.end()

    assert set(unwanted) == replay.fresh
    assert unwanted
    assert replay.ahead.end() == []
