# SPDX-License-Identifier: MIT
"""Commands beside a node: what they print, and that they leave alone what is not theirs."""

import datetime
import re
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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


# What check says of the certificate


def issue(node, names, begins=-1, ends=90):
    """A certificate for these names, from and until so many days from now; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.utcnow()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
        .sign(key, hashes.SHA256()))
    paths = node.folder / "tls.pem", node.folder / "tls.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    node.set({"listen.certificate": paths[0], "listen.key": paths[1]})


def tls_of(node):
    """Exit status of check, and what it says of TLS."""
    status, text = of(node, "check")
    return status, re.findall(r"^TLS +(.*)$", text, re.MULTILINE)


def test_check_says_how_long_the_certificate_is_good(node):
    issue(node, ["a.test"])
    assert tls_of(node) == (0, [])
    for begins, ends, status, word in (-1, 13, 0, "WARNING: the certificate expires on 20"), \
            (-9, -1, 1, "WRONG: the certificate has expired on 20"), \
            (1, 90, 1, "WRONG: the certificate begins on 20"):
        issue(node, ["a.test"], begins, ends)
        told = tls_of(node)
        assert told[0] == status and told[1][0].startswith(word), told


@pytest.mark.parametrize("names, url, status, said", [
    (["a.test"], "", 0, []),
    (["a.test", "*.a.test"], "https://chat.a.test", 0, []),
    (["b.test", "x.a.test"], "", 1, ["WRONG: the certificate is not for a.test"]),
    (["a.test", "chat.a.test"], "https://chat.a.test:8443", 0, []),
    (["a.test"], "https://chat.a.test", 0,
     ["WARNING: the certificate is not for chat.a.test: publish an SRV record"]),
    (["chat.a.test"], "https://chat.a.test", 0,
     ["WARNING: the certificate is not for a.test: publish no SRV record"]),
    (["b.test"], "https://chat.a.test", 1, ["WRONG: the certificate is not for a.test"]),
])
def test_check_says_which_names_the_certificate_lacks(node, names, url, status, said):
    issue(node, names)
    node.set({"federation.url": url})
    assert tls_of(node) == (status, said)


def test_check_says_what_is_in_the_wrong_file(node):
    issue(node, ["a.test"])
    good = dict(node.options)
    node.set({"listen.key": good["listen.certificate"]})
    assert "no private key" in tls_of(node)[1][0]
    node.set({"listen.certificate": good["listen.key"], "listen.key": good["listen.key"]})
    assert "no certificate" in tls_of(node)[1][0]
    other = node.lab.authority.issue("other.test")[1]
    node.set({"listen.certificate": good["listen.certificate"], "listen.key": other})
    assert "do not belong together" in tls_of(node)[1][0]


# Keys


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


def test_key_rotate_makes_a_key_where_all_are_gone(lab, node):
    (node.folder / "data/keys/k1.key").unlink()
    assert "restante key rotate" in of(node, "check")[1]
    assert restante("key", "rotate", "--config", node.config, node=node)[0] == 0
    assert of(node, "check")[0] == 0
    shutil.rmtree(node.folder / "data/keys")
    assert restante("key", "rotate", "--config", node.config, node=node)[0] == 0
    lab.start()
    assert of(node, "check")[0] == 0


# What docs/operating.md says

OPERATING = (ROOT / "docs/operating.md").read_text()


def test_every_event_is_explained():
    events = re.findall(r"^EVENT\((\w+)\)", (ROOT / "include/restante/log.def").read_text(),
                        re.MULTILINE)
    section = OPERATING.split("\n## Log\n")[1].split("\n## ")[0]
    assert [event for event in events if f"`{event}`" not in section] == []
