"""Transactions of all kinds, as SQL scripts: into the tail, over many blocks, shrinking, growing."""

from __future__ import annotations

SCHEMA = "create table t(id integer primary key, body blob); create index by_body on t(body)"
KINDS = [
    "insert into t(body) values(randomblob(40))",
    "insert into t(body) select randomblob(300) from t limit 40",
    "update t set body = randomblob(30) where id % 7 = 3",
    "delete from t where id % 3 = 1",
    "insert into t(body) with recursive n(i) as (select 1 union all select i + 1 from n where i < 400)"
    " select randomblob(700) from n",
    "update t set body = 'x' || id where id < 5",
    "delete from t where id > 100",
    "create table if not exists other(a, b); insert into other values(1, randomblob(9000))",
    "delete from t",
]
SETTING = "pragma page_size = 1024; pragma auto_vacuum = full"


def scripts(count: int) -> list[str]:
    return [SCHEMA, *(KINDS[index % len(KINDS)] for index in range(count - 1))]
