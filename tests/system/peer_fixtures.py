# SPDX-License-Identifier: MIT
"""For files whose fixture `node` is a node of their own: the independent peer (tests/peer), which
is another one for each test, and a user on either side."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "peer"))

from lab_peer import LabPeer, NodePhone, PeerPhone  # noqa: E402

_numbers = itertools.count(1)


@pytest.fixture
def peer(node):
    with LabPeer(node.lab, f"peer{next(_numbers)}.test") as peer:
        node.lab.names.apply()
        yield peer


@pytest.fixture
def alice(node):
    return NodePhone(node, f"alice{next(_numbers)}")


@pytest.fixture
def pat(peer):
    return PeerPhone(peer, "pat")
