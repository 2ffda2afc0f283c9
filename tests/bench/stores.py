# SPDX-License-Identifier: MIT
"""Where the nodes of a case keep what they have: in files of their own, or in databases of one
PostgreSQL server, which is there for the case alone and as durable as it comes."""

import itertools
from contextlib import contextmanager

from postgres import Postgres

CASES = "local", "federated", "offline"  # that can be run with PostgreSQL
SETTINGS = {"shared_buffers": "128MB", "autovacuum_naptime": "1min"}  # its defaults

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
