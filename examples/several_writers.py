"""Several processes move money between accounts in one database, at the same time, without a server.

    python examples/several_writers.py                                  in a temporary directory
    python examples/several_writers.py file:///some/directory/bank.sqlite
    python examples/several_writers.py s3://BUCKET/bank.sqlite           the AWS tools' usual settings

Of two transactions that started from the same version only one commits; the other is told so and runs
again on the new state, which is what `run_transaction` does. So no money is ever made or lost.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import apsw

from sqlite_s3vfs import connect, run_transaction

WRITERS = 4
TRANSFERS = 20
ACCOUNTS = 10
OPENING_BALANCE = 100


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else in_temporary_directory()
    connection = connect(url)
    run_transaction(connection, open_accounts)

    print(f"{WRITERS} processes, {TRANSFERS} transfers each, on {url}")
    with ProcessPoolExecutor(WRITERS, mp_context=get_context("spawn")) as processes:
        for line in processes.map(make_transfers, [url] * WRITERS, range(WRITERS)):
            print(f"   {line}")

    money = connection.execute("SELECT sum(balance) FROM account").get
    transfers = connection.execute("SELECT count(*) FROM transfer").get
    print(f"{transfers} transfers are in the book; money in all accounts: {money}")
    if (money, transfers) != (ACCOUNTS * OPENING_BALANCE, WRITERS * TRANSFERS):
        raise SystemExit("money was made, or a transfer lost")


def open_accounts(connection: apsw.Connection) -> None:
    connection.execute("""
        DROP TABLE IF EXISTS account;
        DROP TABLE IF EXISTS transfer;
        CREATE TABLE account (number INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
        CREATE TABLE transfer (payer INTEGER, payee INTEGER, amount INTEGER);
    """)
    accounts = ((number, OPENING_BALANCE) for number in range(ACCOUNTS))
    connection.executemany("INSERT INTO account VALUES (?, ?)", accounts)


def make_transfers(url: str, writer: int) -> str:
    """One writing process. Returns what it did, in words."""
    connection = connect(url)
    chance = random.Random(writer)
    attempts = 0

    def transfer(connection: apsw.Connection) -> None:
        nonlocal attempts
        attempts += 1
        payer, payee = chance.sample(range(ACCOUNTS), 2)
        balance = connection.execute("SELECT balance FROM account WHERE number = ?", (payer,)).get
        amount = min(balance, chance.randint(1, 50))
        connection.execute("UPDATE account SET balance = balance - ? WHERE number = ?", (amount, payer))
        connection.execute("UPDATE account SET balance = balance + ? WHERE number = ?", (amount, payee))
        connection.execute("INSERT INTO transfer VALUES (?, ?, ?)", (payer, payee, amount))

    for _ in range(TRANSFERS):
        run_transaction(connection, transfer)
    asked = json.loads(connection.pragma("s3vfs_stats"))
    requests = sum(asked[kind]["requests"] for kind in ("get", "put", "list", "delete"))
    return f"writer {writer}: {TRANSFERS} transfers in {attempts} attempts, {requests} requests"


def in_temporary_directory() -> str:
    return Path(tempfile.mkdtemp(prefix="sqlite-s3vfs-"), "bank.sqlite").as_uri()


if __name__ == "__main__":
    main()
