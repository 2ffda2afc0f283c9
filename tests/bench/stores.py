# SPDX-License-Identifier: MIT
"""Where the nodes of a case keep what they have: in files of their own, or in databases of one
PostgreSQL server, which is there for the case alone and as durable as it comes."""

import itertools
import json
import sqlite3
import time
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from postgres import Postgres

CASES = "local", "federated", "offline", "waiting", "processes"  # that can be run with PostgreSQL
ONLY_POSTGRES = ("processes",)
SETTINGS = {"shared_buffers": "128MB", "autovacuum_naptime": "1min"}  # its defaults
# A server process tells the others what it has counted when a transaction of it ends, if the last
# time was so long ago.
COUNTED_S = 1.1

_servers = []  # the one of the case, if any
_numbers = itertools.count(1)


@contextmanager
def sqlite():
    yield


@contextmanager
def postgres():
    with Postgres(**SETTINGS) as server:
        _servers.append(server)
        try:
            yield
        finally:
            _servers.remove(server)


STORES = {"sqlite": sqlite, "postgres": postgres}


def options():
    """Of one more node."""
    return {"store__url": server.url(f"node{next(_numbers)}") for server in _servers}


def pids():
    """Of the first process of the server, if there is one."""
    return [server.process.pid for server in _servers]


def syncs(nodes):
    """How often the server has synced its log so far, for these nodes; None: there is none."""
    for server in _servers:
        time.sleep(COUNTED_S)
        for node in nodes:
            write_something(node)
        return int(server.sql("SELECT wal_sync FROM pg_stat_wal"))


def write_something(node):
    """A token that nobody has is looked for where it would be replaced."""
    connection = node.lab.connection(node)
    connection.request("POST", "/api/v1/auth/refresh", json.dumps({"refresh_token": "A" * 43}),
                       {"Content-Type": "application/json"})
    assert connection.getresponse().status == 401
    connection.close()


class SqliteFile:
    """The database of a node that is stopped."""

    def __init__(self, node):
        self._path = node.folder / "data/restante.db"

    def values(self, sql):
        """The first column of each row."""
        with closing(sqlite3.connect(self._path)) as db:
            return [row[0] for row in db.execute(sql)]

    def run(self, sql):
        with closing(sqlite3.connect(self._path)) as db, db:
            db.execute(sql)

    def append(self, table, columns, rows):
        """Many rows, whose bytes are in hex behind "x"."""
        marks = ", ".join("?" * len(columns))
        with closing(sqlite3.connect(self._path)) as db, db:
            db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def know(self):
        """Nothing: a node never asks SQLite to look at its tables."""


class PostgresDatabase:
    def __init__(self, server, url):
        self._server = server
        self._name = urlsplit(url).path[1:]

    def values(self, sql):
        return self._server.sql(sql, self._name).splitlines()

    def run(self, sql):
        self._server.sql(sql, self._name)

    def append(self, table, columns, rows):
        psql = self._server.session(self._name)
        psql.stdin.write(f"COPY {table} ({', '.join(columns)}) FROM STDIN;\n")
        while piece := list(itertools.islice(rows, 1000)):
            psql.stdin.write("".join("\t".join(map(copied, row)) + "\n" for row in piece))
        said, _ = psql.communicate("\\.\n")
        assert psql.returncode == 0, said

    def know(self):
        """What autovacuum does after a while."""
        self._server.sql("VACUUM ANALYZE", self._name)


def copied(value):
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def database(node):
    for server in _servers:
        return PostgresDatabase(server, node.options["store.url"])
    return SqliteFile(node)
