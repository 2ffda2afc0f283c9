# SPDX-License-Identifier: MIT
"""Part of the independent peer (peer.py): values and JSON (docs/protocol.md, section 1), and
the signatures of requests and responses (section 4.4)."""

import base64
import hashlib
import json
import re
import secrets
import time
import uuid
from collections import namedtuple

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

HOUR = 3_600_000
DAY = 24 * HOUR


class TryLater(Exception):
    """No verdict: the other side could not be reached or did not answer validly."""


class Refusal(Exception):
    """An answer other than 200, in the one format that all errors have."""

    def __init__(self, status, code, message="", **details):
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.details = status, code, details
        self.body = {"success": False,
                     "error": {"code": code, "message": message or code, "details": details}}


# Section 1: values

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = rf"(?=[a-z0-9.-]{{1,253}}\Z)(?:{_LABEL}\.)+(?!\d+\Z){_LABEL}"
ADDRESS = rf"[a-z0-9._-]{{1,64}}@{DOMAIN}"
MESSAGE_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
CLAIM_ID = r"[A-Za-z0-9_-]{1,64}"
TOKEN = r"(?s:.{1,128})"
RANDOM = r"[A-Za-z0-9_-]{22}"  # 16 bytes, base64url without padding
KID = r"[a-z0-9_-]{1,32}"


def now_ms():
    return time.time_ns() // 1_000_000


def random_text():
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def new_message_id():
    value = bytearray(now_ms().to_bytes(6, "big") + secrets.token_bytes(10))
    value[6] = 0x70 | value[6] & 0x0F
    value[8] = 0x80 | value[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(value)))


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    """Only the canonical spelling: padding, and no bits set beyond the data."""
    data = base64.b64decode(text, validate=True)
    if b64(data) != text:
        raise ValueError("base64 is not canonical")
    return data


def parse_json(data):
    """One object, every name once, nested 16 deep at most."""
    def object_of(pairs):
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a name occurs twice")
        return members

    def depth(value):
        inner = value.values() if isinstance(value, dict) else \
            value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    def no_constant(name):
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(data.decode(), object_pairs_hook=object_of, parse_constant=no_constant)
        if not isinstance(value, dict) or depth(value) > 16:
            raise ValueError("not an object, or nested too deep")
        return value
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "VALIDATION_ERROR", str(error)) from error


def dump_json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def invalid(name):
    return Refusal(400, "VALIDATION_ERROR", field=name)


def text_of(body, name, pattern):
    value = body.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise invalid(name)
    return value


def number_of(body, name, low=0, high=2**53, default=None):
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise invalid(name)
    return value


def list_of(body, name, low=1, high=127):
    value = body.get(name)
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise invalid(name)
    return value


def domain_of(address):
    return address.partition("@")[2]


# Section 4.4: signatures. The components are the same for signing and verifying: (name, value)
# pairs in the one order that is allowed.

Request = namedtuple("Request", "method path headers body")  # headers: {lower-case name: value}
Reply = namedtuple("Reply", "status headers body")
# What a signature says about itself, and what it is about.
Signed = namedtuple("Signed", "params created expires nonce domain kid signature digest")
# The parts of a request that the signature of its response covers too.
Asked = namedtuple("Asked", "authority path digest destination nonce")


def content_digest(body):
    return f"sha-256=:{b64(hashlib.sha256(body).digest())}:"


def request_components(asked):
    return [('"@method"', "POST"), ('"@authority"', asked.authority), ('"@path"', asked.path),
            ('"content-type"', "application/json"), ('"content-digest"', asked.digest),
            ('"restante-destination"', asked.destination)]


def response_components(status, digest, asked):
    return [('"@status"', status), ('"content-type"', "application/json"),
            ('"content-digest"', digest), ('"@method";req', "POST"),
            ('"@authority";req', asked.authority), ('"@path";req', asked.path),
            ('"content-digest";req', asked.digest),
            ('"restante-destination";req', asked.destination)]


REQUEST_TAG = "restante-1"
RESPONSE_TAG = "restante-1-response"


def signature_base(components, params):
    lines = [f"{name}: {value}" for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()


def sign(components, tag, created, nonce, domain, key):
    """The two signature headers."""
    names = " ".join(name for name, _ in components)
    params = (f'({names});created={created};expires={created + 60};nonce="{nonce}"'
              f';keyid="{domain}/{key.kid}";alg="ed25519";tag="{tag}"')
    signature = key.secret.sign(signature_base(components, params)).signature
    return {"Signature-Input": f"restante={params}", "Signature": f"restante=:{b64(signature)}:"}


def parse_signature(headers, names, tag):
    """There is one form and no other, so a pattern is the whole parser."""
    pattern = (r"restante=(\(" + re.escape(" ".join(names)) + r"\)"
               r";created=([0-9]{1,12});expires=([0-9]{1,12})"
               rf';nonce="({RANDOM})";keyid="([a-z0-9.-]{{1,253}})/({KID})"'
               rf';alg="ed25519";tag="{tag}")')
    found = re.fullmatch(pattern, headers["signature-input"])
    signature = re.fullmatch(r"restante=:([A-Za-z0-9+/]{86}==):", headers["signature"])
    digest = re.fullmatch(r"sha-256=:[A-Za-z0-9+/]{43}=:", headers["content-digest"])
    if not found or not signature or not digest or headers["content-type"] != "application/json":
        raise ValueError("not the form of this profile")
    params, created, expires, nonce, domain, kid = found.groups()
    if int(expires) != int(created) + 60:
        raise ValueError("expires is not created + 60")
    return Signed(params, int(created), int(expires), nonce, domain, kid,
                  unb64(signature[1]), digest[0])


def in_time(signed, now_seconds):
    """Clocks may differ by five minutes."""
    return signed.created <= now_seconds + 300 and signed.expires >= now_seconds - 300


def verifies(public_key, signature, data):
    try:
        VerifyKey(public_key).verify(data, signature)
        return True
    except (BadSignatureError, ValueError):
        return False
