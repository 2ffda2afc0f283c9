# SPDX-License-Identifier: MIT
"""Commands beside a node: what they print, and that they leave alone what is not theirs."""

import re

import pytest

from lab import ROOT, wait_until
from scenario import OPTIONS, join, letter, post
from test_operator import files_of, of, restante


@pytest.fixture
def node(lab):
    """Set up, not started."""
    return lab.add_node("a.test", **OPTIONS)


@pytest.mark.parametrize("url, target", [
    ("", "443 a.test."),
    ("https://a.test", "443 a.test."),
    ("https://relay.a.test:8448", "8448 relay.a.test."),
])
def test_dns_prints_where_others_reach_the_node(node, url, target):
    """Not where it listens: there may be a proxy in front."""
    node.set({"federation.url": url})
    status, text = of(node, "dns")
    assert status == 0
    assert text.splitlines()[0] == f"_restante._tcp.a.test. IN SRV 0 0 {target}"


def test_dns_refuses_an_address_for_a_name(node):
    node.set({"federation.url": "https://192.0.2.1"})
    status, text = of(node, "dns")
    assert status == 1 and "federation.url" in text and "SRV" not in text


def test_check_and_dns_make_no_secret(node):
    (node.folder / "data/keys/token.secret").unlink()
    before = files_of(node.folder)
    status, text = of(node, "check")
    assert status == 1
    assert re.search(r"^secrets +WRONG: .*restante serve makes a new one$", text, re.MULTILINE)
    assert "token.secret" in text
    assert of(node, "dns")[0] == 0
    assert files_of(node.folder) == before


def test_serve_makes_a_missing_secret(lab, node):
    secret = node.folder / "data/keys/token.secret"
    secret.unlink()
    lab.start()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert of(node, "check")[0] == 0


def test_invite_makes_no_database(lab, node):
    before = files_of(node.folder)
    status, text = of(node, "invite")
    assert status == 1 and "restante.db" in text and "no database yet" in text
    assert files_of(node.folder) == before
    lab.start()
    assert of(node, "invite")[0] == 0


@pytest.mark.parametrize("days", ["", "0", "366", "7x", "-1", "1e1", "18446744073709551623"])
def test_invite_takes_whole_days(node, days):
    status, text = restante("invite", "--days", days, "--config", node.config, node=node)
    assert status == 2 and "--days is 1 to 365" in text


def test_init_says_what_the_root_key_is_for(tmp_path):
    text = restante("init", "--domain", "a.example", "--dir", tmp_path / "n")[1]
    assert "root key" in text and "restante key revoke" in text


def new_key(node, kid):
    return restante("key", "rotate", "--kid", kid, "--config", node.config, node=node)


def test_key_rotate_takes_no_id_twice(node):
    assert restante("key")[0] == restante("key", "old")[0] == restante("key", "new")[0] == 2
    assert restante("key", "rotate", "k2", "--config", node.config, node=node)[0] == 2
    before = files_of(node.folder)
    for kid in "k1", "root", "K2", "../k2":
        status, text = new_key(node, kid)
        assert status == 1 and "reason=" in text, text
    assert files_of(node.folder) == before


# What docs/operating.md says

OPERATING = (ROOT / "docs/operating.md").read_text()


def test_every_event_is_explained():
    events = re.findall(r"^EVENT\((\w+)\)", (ROOT / "include/restante/log.def").read_text(),
                        re.MULTILINE)
    section = OPERATING.split("\n## Log\n")[1].split("\n## ")[0]
    assert [event for event in events if f"`{event}`" not in section] == []
