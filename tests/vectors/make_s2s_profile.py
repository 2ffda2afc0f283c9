#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes s2s_profile.txt, the test vectors of docs/protocol.md section 5.

Written from the protocol's text and not from the C code, with another library
(python3-cryptography), so that the two check each other. Prints the file.
"""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CREATED = 1767225600
NONCE = "AAECAwQFBgcICQoLDA0ODw"
LOGIN_NONCE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def b64(data):
    return base64.b64encode(data).decode()


class Key:
    def __init__(self, seed):
        self.seed = seed
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data):
        return b64(self.key.sign(data))


def show(name, text):
    for line in text.split("\n"):
        print(name, line)


def digest(body):
    return f"sha-256=:{b64(hashlib.sha256(body).digest())}:"


def params(components, created, keyid, tag):
    return (f'{components};created={created};expires={created + 60};nonce="{NONCE}";'
            f'keyid="{keyid}";alg="ed25519";tag="{tag}"')


def request(key, body):
    inner = params('("@method" "@authority" "@path" "content-type" "content-digest" '
                   '"restante-destination")', CREATED, "a.example/k1", "restante-1")
    base = "\n".join([
        '"@method": POST',
        '"@authority": b.example',
        '"@path": /federation/v1/transactions',
        '"content-type": application/json',
        '"content-digest": ' + digest(body),
        '"restante-destination": b.example',
        '"@signature-params": ' + inner])
    show("request_body", body.decode())
    show("request_content_digest", digest(body))
    show("request_base", base)
    show("request_signature_input", "restante=" + inner)
    show("request_signature", f"restante=:{key.sign(base.encode())}:")


def response(key, request_body, body):
    inner = params('("@status" "content-type" "content-digest" "@method";req '
                   '"@authority";req "@path";req "content-digest";req '
                   '"restante-destination";req)', CREATED + 1, "b.example/k1",
                   "restante-1-response")
    base = "\n".join([
        '"@status": 200',
        '"content-type": application/json',
        '"content-digest": ' + digest(body),
        '"@method";req: POST',
        '"@authority";req: b.example',
        '"@path";req: /federation/v1/transactions',
        '"content-digest";req: ' + digest(request_body),
        '"restante-destination";req: b.example',
        '"@signature-params": ' + inner])
    show("response_body", body.decode())
    show("response_content_digest", digest(body))
    show("response_base", base)
    show("response_signature_input", "restante=" + inner)
    show("response_signature", f"restante=:{key.sign(base.encode())}:")


def document_text(root, keys, days, previous=None):
    """The document that many days later. `keys`: (kid, key, not_before, not_after)."""
    issued = (CREATED + days * 86400) * 1000
    return json.dumps({
        "server": "a.example",
        "federation": "https://a.example",
        "api": "https://a.example",
        "keys": [{"kid": kid, "public_key": b64(key.public),
                  "not_before": not_before, "not_after": not_after}
                 for kid, key, not_before, not_after in keys],
        "root_key": b64(root.public),
        "revision": issued,
        "previous": previous and b64(hashlib.sha256(previous.encode()).digest()),
        "issued_at": issued,
        "valid_until": issued + 7 * 86400 * 1000,
        "limits": {"transaction_items": 1000, "transaction_bytes": 4194304,
                   "content_bytes": 98304},
        "software": {"name": "restante", "version": "0.1.0"},
        "abuse": "mailto:abuse@a.example",
    }, separators=(",", ":"))


def wrap(raw, signers, **more):
    return {"document": b64(raw.encode()),
            "signatures": {name: key.sign(raw.encode()) for name, key in signers.items()},
            **more}


def show_wrapper(name, wrapper):
    show(name, json.dumps(wrapper, separators=(",", ":")))


def document(key, root):
    raw = document_text(root, [("k1", key, 1767139200000, 1798761600000)], 0)
    show("document", raw)
    show_wrapper("document_wrapper", wrap(raw, {"k1": key, "root": root}))
    show("document_txt", f"v=restante1; kid=k1; key={b64(key.public)}")
    return raw


def revocation(key, new_key, root, first):
    """A day later the root revokes k1; 20 days later still the node renews its document."""
    old = ("k1", key, 1767139200000, (CREATED + 86400) * 1000 - 1)
    revoked = document_text(root, [("k2", new_key, 1767225600000, 1798848000000), old], 1, first)
    later = document_text(root, [("k2", new_key, 1767225600000, 1800489600000), old], 20, revoked)
    show("root_document", revoked)
    show("later_document", later)
    show_wrapper("later_document_wrapper",
                 wrap(later, {"k2": new_key}, root_signed=wrap(revoked, {"root": root})))


def login(key):
    data = "\0".join(["restante-login-1", "a.example", "alice@a.example", "1",
                      LOGIN_NONCE]).encode()
    show("login_nonce", LOGIN_NONCE)
    show("login_bytes", data.hex())
    show("login_signature", key.sign(data))


def main():
    a = Key(bytes.fromhex("9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5"))
    b = Key(bytes(range(32)))
    root = Key(bytes(range(32, 64)))
    a2 = Key(bytes(range(64, 96)))
    body = (b'{"stream":"' + NONCE.encode() + b'","seq":1,"items":[{"kind":"devices_changed",'
            b'"address":"alice@a.example","list_version":1767225600000}]}')

    print("# Test vectors of docs/protocol.md section 5; made by make_s2s_profile.py.")
    print("# A name and, behind one blank, its value; lines of one name are joined by LF.")
    for name, key in (("a", a), ("b", b), ("root", root), ("a2", a2)):
        show(name + "_seed", key.seed.hex())
        show(name + "_public", b64(key.public))
    request(a, body)
    response(b, body, b'{"acked":1,"results":[]}')
    revocation(a, a2, root, document(a, root))
    login(a)


main()
