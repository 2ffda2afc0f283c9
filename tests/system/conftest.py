# SPDX-License-Identifier: MIT
"""What the scenarios share: labs with nodes in them, and real Signal clients.

    def test_something(nodes, signal):
        a, b = nodes
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]

from lab import Lab  # noqa: E402
from scenario import join, two_nodes  # noqa: E402
from signal_client import SignalProcess  # noqa: E402


# Long ones, whose names would have them begin last: then few would be at work in the end.
FIRST = "test_soak", "test_store_copy", "test_threads"


def pytest_configure(config):
    config.addinivalue_line("markers", "embedded: about the database that is a file")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in FIRST)


@pytest.fixture
def lab(tmp_path):
    """An empty lab: add nodes and start it. Its folder stays, as pytest's folders do."""
    with Lab(folder=tmp_path / "lab", keep=True) as lab:
        yield lab


@pytest.fixture
def nodes(lab):
    """Two nodes that serve, a.test and b.test."""
    pair = lab.add_node("a.test"), lab.add_node("b.test")
    lab.start()
    return pair


@pytest.fixture(scope="session")
def signal():
    with SignalProcess() as process:
        yield process


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """a.test and b.test, shared by the tests of a file that take users of their own."""
    with two_nodes(tmp_path_factory) as nodes:
        yield nodes


@pytest.fixture
def alice(pair, signal):
    """A new account on a.test with one device."""
    return join(signal, pair[0], "alice")
