# SPDX-License-Identifier: MIT
"""A second implementation of federation, written from docs/protocol.md alone.

Read this next to section 4 of that page when you write your own node: it follows the page's
order, from bytes and signatures to documents, discovery, trust, receiving and sending, and
shares no code with the C sources. It is a whole node towards other nodes, but keeps everything
in memory and has no client API: users and their devices are Python objects. What a real node
needs besides: a disk (streams, mailboxes, outbox, pins), rate limits and DNSSEC.

    peer = Peer("peer.test", certificate, key, ca_file, dns_server, allow_private=True)
    peer.start()                          # serves at 127.0.0.1, peer.port
    peer.add_device("pat", device)        # a device object as in section 2.1
    bundles = peer.claim("pat@peer.test", "alice@a.test")
    peer.send("pat@peer.test", 1, "alice@a.test", envelopes)
    peer.deliver("a.test")                # raises TryLater unless there was a verdict

The standard library and PyNaCl (Ed25519) suffice.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import random
import re
import secrets
import socket
import ssl
import struct
import threading
import time
import uuid
from collections import namedtuple
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

WELL_KNOWN = "/.well-known/restante"
TRANSACTIONS = "/federation/v1/transactions"
CLAIM = "/federation/v1/keys/claim"
DEVICE_LIST = "/federation/v1/devices/list"

DOCUMENT_BYTES = 64 * 1024
LIMITS = {"transaction_items": 1000, "transaction_bytes": 4 << 20, "content_bytes": 96 << 10}
REPLY_BYTES = 8 << 20
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


def _invalid(name):
    return Refusal(400, "VALIDATION_ERROR", field=name)


def text_of(body, name, pattern):
    value = body.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _invalid(name)
    return value


def number_of(body, name, low=0, high=2**53, default=None):
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise _invalid(name)
    return value


def list_of(body, name, low=1, high=127):
    value = body.get(name)
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise _invalid(name)
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


def verifies(public_key, signature, data):
    try:
        VerifyKey(public_key).verify(data, signature)
        return True
    except (BadSignatureError, ValueError):
        return False


# Section 4.1: server keys and the server document

@dataclass
class ServerKey:
    kid: str
    secret: SigningKey = field(default_factory=SigningKey.generate)
    not_before: int = field(default_factory=lambda: now_ms() - HOUR)
    not_after: int = field(default_factory=lambda: now_ms() + 365 * DAY)

    @property
    def public(self):
        return bytes(self.secret.verify_key)

    def published(self):
        return {"kid": self.kid, "public_key": b64(self.public),
                "not_before": self.not_before, "not_after": self.not_after}


PublicKey = namedtuple("PublicKey", "bytes not_before not_after")


def sign_document(content, signers):
    """What is served at WELL_KNOWN. `signers`: {kid or "root": SigningKey}."""
    return {"document": b64(content),
            "signatures": {name: b64(key.sign(content).signature)
                           for name, key in signers.items()}}


@dataclass
class Document:
    """The document of another node, once it has been checked."""
    content: dict
    keys: dict  # kid -> PublicKey
    root_key: Any
    revision: int
    valid_until: int
    authority: str
    signatures: dict
    bytes: bytes

    def is_signed_by(self, name, public_key):
        """Also for a key that the document itself does not name any more."""
        return name in self.signatures and verifies(public_key, self.signatures[name], self.bytes)


def check_document(served, domain, now):
    """Raises TryLater for anything but a valid document of this domain."""
    def demand(good, what):
        if not good:
            raise TryLater(f"document of {domain}: {what}")

    try:
        envelope = parse_json(served)
        data = unb64(envelope["document"])
        content = parse_json(data)
        signatures = {name: unb64(value) for name, value in envelope["signatures"].items()}
        keys = {text_of(key, "kid", KID): PublicKey(unb64(key["public_key"]),
                                                    number_of(key, "not_before"),
                                                    number_of(key, "not_after"))
                for key in list_of(content, "keys", 1, 8)}
        root_key = content.get("root_key")
        root_key = None if root_key is None else unb64(root_key)
        issued_at = number_of(content, "issued_at")
        valid_until = number_of(content, "valid_until")
        revision = number_of(content, "revision")
        url = re.fullmatch(r"https://([^:/]+)(?::([0-9]{1,5}))?", content["federation"])
        demand(url and re.fullmatch(DOMAIN, url[1]), "federation is not https://host[:port]")
    except (Refusal, KeyError, TypeError, AttributeError, ValueError) as error:
        raise TryLater(f"document of {domain}: {error!r}") from error
    demand(content.get("server") == domain, "it is of another server")
    demand(issued_at - 300_000 <= now <= valid_until, "it is not valid now")
    demand(valid_until - issued_at <= 7 * DAY, "it is valid for too long")
    demand("root" not in keys and len(keys) == len(content["keys"]), "kids")
    demand(all(len(key.bytes) == 32 for key in keys.values()), "keys have 32 bytes")
    live = {kid for kid, key in keys.items() if key.not_before <= now <= key.not_after}
    demand(live, "no key is live")
    demand(live <= signatures.keys(), "a live key has not signed")
    named = {kid: key.bytes for kid, key in keys.items()}
    if root_key is not None:
        named["root"] = root_key
    for name, public_key in named.items():
        demand(name not in signatures or verifies(public_key, signatures[name], data),
               f"the signature of {name} does not verify")
    authority = url[1] if url[2] in (None, "443") else f"{url[1]}:{url[2]}"
    return Document(content, keys, root_key, revision, valid_until, authority, signatures, data)


# DNS: a stub resolver that knows the three kinds of records needed here

A, TXT, AAAA, SRV = 1, 16, 28, 33
Service = namedtuple("Service", "priority weight port target")


class Resolver:
    def __init__(self, server):
        self.server = server  # (address, port)

    def query(self, name, kind):
        """The records: none for NXDOMAIN and for no data; TryLater for every other outcome."""
        number = secrets.randbits(16)
        question = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
        edns = b"\0" + struct.pack(">HHIH", 41, 4096, 0, 0)
        packet = struct.pack(">6H", number, 0x0100, 1, 0, 0, 1) + question + b"\0" + \
            struct.pack(">2H", kind, 1) + edns
        family = socket.AF_INET6 if ":" in self.server[0] else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(3)
                sock.connect(self.server)
                sock.send(packet)
                return self._read(sock.recv(65535), number, kind)
        except (OSError, struct.error, IndexError, ValueError) as error:
            raise TryLater(f"DNS, {name}: {error}") from error

    def _read(self, packet, number, kind):
        got, flags, questions, answers, _, _ = struct.unpack_from(">6H", packet)
        code = flags & 0xF
        if got != number or not flags & 0x8000 or flags & 0x0200 or code not in (0, 3):
            raise ValueError(f"answer with flags {flags:04x}")
        at = 12
        for _ in range(questions):
            at = self._name(packet, at)[1] + 4
        records = []
        for _ in range(answers):
            at = self._name(packet, at)[1]
            found, _, _, length = struct.unpack_from(">HHIH", packet, at)
            at += 10
            if found == kind:
                records.append(self._record(packet, at, length, kind))
            at += length
        return records

    def _record(self, packet, at, length, kind):
        data = packet[at:at + length]
        if kind == SRV:
            return Service(*struct.unpack_from(">3H", data), self._name(packet, at + 6)[0])
        if kind == TXT:  # the strings of one record are concatenated
            text = b""
            while data:
                text, data = text + data[1:1 + data[0]], data[1 + data[0]:]
            return text.decode("ascii", "replace")
        return str(ipaddress.ip_address(data))

    def _name(self, packet, at):
        labels, end = [], None
        while packet[at]:
            if packet[at] >= 0xC0:  # a pointer: the rest of the name is elsewhere
                end = end or at + 2
                to = (packet[at] & 0x3F) << 8 | packet[at + 1]
                if to >= at:
                    raise ValueError("a name points forward")
                at = to
            else:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii"))
                at += 1 + packet[at]
        return ".".join(labels) or ".", end or at + 1


def parse_txt(records):
    """{kid: {public keys}} of the TXT records, or None when they are to be taken as absent."""
    keys = {}
    for record in records:
        first, *tags = [tag.strip(" ") for tag in record.split(";")]
        if first != "v=restante1":
            continue
        values = {}
        for tag in filter(None, tags):
            name, equals, value = tag.partition("=")
            if name in ("kid", "key"):
                if name in values or not equals:
                    return None
                values[name] = value
        try:
            public_key = unb64(values["key"])
            if not re.fullmatch(KID, values["kid"]) or len(public_key) != 32:
                return None
        except (KeyError, ValueError):
            return None
        keys.setdefault(values["kid"], set()).add(public_key)
    return keys or None


# Sections 4.2 and 4.3: discovery and trust

@dataclass
class Remote:
    """How to reach a domain, and what it may sign with."""
    domain: str
    endpoints: list  # (address, port) in the order to try
    tls_name: str
    document: Document
    keys: dict       # kid -> PublicKey that is accepted
    conflict: bool   # its document shows keys that are not trusted
    good_until: int


@dataclass
class Pin:
    keys: dict
    root_key: Any
    revision: int


class Connection(http.client.HTTPSConnection):
    """HTTPS to an address that discovery has found, with a certificate for `tls_name`."""

    def __init__(self, tls_name, endpoint, context, timeout=10):
        super().__init__(tls_name, timeout=timeout, context=context)
        self._endpoint = endpoint

    def connect(self):
        sock = socket.create_connection(self._endpoint, self.timeout)
        self.sock = self._context.wrap_socket(sock, server_hostname=self.host)


class Directory:
    """Finds other nodes and decides which of their keys to trust."""

    def __init__(self, resolver, ca_file=None, allow_private=False):
        self._resolver = resolver
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._allow_private = allow_private
        self._found = {}
        self.pins = {}

    def find(self, domain):
        known = self._found.get(domain)
        if known is None or known.good_until < now_ms():
            known = self._found[domain] = self._discover(domain)
        return known

    def forget(self, domain):
        """Ends the caching, not the pin."""
        self._found.pop(domain, None)

    def _discover(self, domain):
        services = self._resolver.query(f"_restante._tcp.{domain}", SRV)
        if [service.target for service in services] == ["."]:
            raise TryLater(f"{domain} does not federate")
        endpoints, tls_name = [], domain
        # By priority, and by weight at random within one (RFC 2782).
        for service in sorted(services, key=lambda s: (
                s.priority, -random.random() ** (1 / max(s.weight, 0.01)))):
            endpoints += self._endpoints(service.target, service.port)
        if not services:
            endpoints = self._endpoints(domain, 443)
        status, _, body = self.exchange(tls_name, endpoints, "GET", WELL_KNOWN,
                                        {"Host": domain}, limit=DOCUMENT_BYTES)
        if status != 200:
            raise TryLater(f"document of {domain}: status {status}")
        document = check_document(body, domain, now_ms())
        if not services and document.authority != domain:
            host, _, port = document.authority.partition(":")
            endpoints, tls_name = self._endpoints(host, int(port or 443)), host
        keys, conflict = self._trust(domain, document)
        good_until = min(document.valid_until, now_ms() + 300_000)
        return Remote(domain, endpoints, tls_name, document, keys, conflict, good_until)

    def _endpoints(self, name, port):
        addresses = self._resolver.query(name, A) + self._resolver.query(name, AAAA)
        return [(address, port) for address in addresses
                if self._allow_private or ipaddress.ip_address(address).is_global]

    def exchange(self, tls_name, endpoints, method, path, headers, body=None, limit=REPLY_BYTES):
        """One HTTP exchange with the first endpoint that can be reached. Redirects are not
        followed: a status other than 200 is for the caller to judge."""
        problem = "no address"
        for endpoint in endpoints:
            connection = Connection(tls_name, endpoint, self._tls)
            try:
                connection.connect()
            except OSError as error:
                problem = error
                continue
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                data = response.read(limit + 1)
                if len(data) > limit:
                    raise TryLater(f"{tls_name}: the answer is too large")
                return response.status, response.headers, data
            except (OSError, http.client.HTTPException) as error:
                raise TryLater(f"{tls_name}: {error!r}") from error
            finally:
                connection.close()
        raise TryLater(f"{tls_name}: {problem}")

    def _trust(self, domain, document):
        """The table of section 4.3, without its rows for DNSSEC: this resolver does not
        validate. Answers the keys that are accepted and whether there is a conflict."""
        pin = self.pins.get(domain)
        new_keys = {kid: key.bytes for kid, key in document.keys.items()}
        if pin is None:
            if not self._txt_matches(domain, document):
                raise Refusal(403, "KEY_CONFLICT", "DNS and document name different keys")
            self.pins[domain] = Pin(document.keys, document.root_key, document.revision)
            return document.keys, False
        if {kid: key.bytes for kid, key in pin.keys.items()} == new_keys:
            pin.revision = max(pin.revision, document.revision)
            return document.keys, False
        by_root = pin.root_key is not None and document.is_signed_by("root", pin.root_key)
        by_key = any(document.is_signed_by(kid, key.bytes) for kid, key in pin.keys.items()
                     if key.not_after >= now_ms())
        if document.revision > pin.revision and (by_root or by_key):
            kept = {} if by_root else pin.keys
            self.pins[domain] = Pin({**kept, **document.keys}, document.root_key,
                                    document.revision)
            return self.pins[domain].keys, False
        return pin.keys, True

    def _txt_matches(self, domain, document):
        published = parse_txt(self._resolver.query(f"_restante.{domain}", TXT))
        if published is None:
            return True
        now = now_ms()
        live = {kid for kid, key in document.keys.items()
                if key.not_before <= now <= key.not_after}
        return live <= published.keys() and all(
            published.get(kid, {key.bytes}) == {key.bytes} for kid, key in document.keys.items())


# Users and their devices, as far as another node can see them

DEVICE_KEYS = ("device_id", "registration_id", "scheme", "identity_key")


@dataclass
class Device:
    public: dict  # the device object of section 2.1, with its device_id
    one_time_prekeys: list
    pq_prekeys: list
    mailbox: list = field(default_factory=list)

    def listed(self):
        return {name: self.public[name] for name in DEVICE_KEYS}

    def bundle(self):
        """Takes the one-time keys that it names: each is handed out once, ever."""
        return {**self.listed(), "signed_prekey": self.public["signed_prekey"],
                "one_time_prekey": self.one_time_prekeys.pop(0) if self.one_time_prekeys else None,
                "pq_prekey": self.pq_prekeys.pop(0) if self.pq_prekeys
                else self.public.get("pq_last_resort_prekey")}


@dataclass
class User:
    address: str
    devices: dict = field(default_factory=dict)
    list_version: int = 0
    open_to_strangers: bool = True
    accepted: set = field(default_factory=set)
    blocked: set = field(default_factory=set)
    results: list = field(default_factory=list)      # ends of messages that did not arrive
    receipts: list = field(default_factory=list)
    lists_seen: dict = field(default_factory=dict)   # address -> list_version, as hinted

    def welcomes(self, address):
        return address not in self.blocked and \
            (self.open_to_strangers or address in self.accepted)

    def device_list(self):
        return {"address": self.address, "list_version": self.list_version,
                "devices": [device.listed() for device in self.devices.values()]}


# Sections 4.5 and 4.6: receiving

@dataclass
class Stream:
    """What a receiver remembers of an origin: its last transaction."""
    name: str
    first: int
    last: int
    digest: bytes
    answer: dict


class Receiver:
    """Takes the items of other nodes. A real node commits the items, the row of the stream
    and the results in one transaction of its database before it answers."""

    def __init__(self, peer):
        self._peer = peer
        self._streams = {}
        self._taken = set()  # (origin, sender, device, message id)
        self._lock = threading.Lock()

    def transactions(self, origin, body, data):
        if "ephemeral" in body:
            if {"stream", "seq", "items"} & body.keys():
                raise _invalid("ephemeral")
            for item in list_of(body, "ephemeral", 1, 100):
                self._take_ephemeral(origin, item)
            return {"acked": 0, "results": []}
        name = text_of(body, "stream", RANDOM)
        first = number_of(body, "seq", 1)
        items = body.get("items")
        if isinstance(items, list) and len(items) > LIMITS["transaction_items"]:
            raise Refusal(413, "TOO_LARGE")
        items = list_of(body, "items", 1, LIMITS["transaction_items"])
        last, digest = first + len(items) - 1, hashlib.sha256(data).digest()
        with self._lock:
            known = self._streams.get(origin)
            same = known is not None and known.name == name
            if same and (first, last, digest) == (known.first, known.last, known.digest):
                return known.answer
            if first != (known.last + 1 if same else 1):
                raise Refusal(409, "STREAM_RESET")
            results = []
            for seq, item in enumerate(items, first):
                code, more = self._take(origin, item)
                if code != "ok":
                    results.append({"seq": seq, "code": code, **more})
            answer = {"acked": last, "results": results}
            self._streams[origin] = Stream(name, first, last, digest, answer)
            return answer

    def _take(self, origin, item):
        """The code for one item, and what comes with it. A malformed one does not spoil the
        others of its transaction."""
        kinds = {"message": self._message, "receipt": self._receipt,
                 "devices_changed": self._devices_changed, "void": lambda *_: ("ok", {})}
        try:
            return kinds[item["kind"]](origin, item)
        except (Refusal, KeyError, TypeError):
            return "bad", {}

    def _envelopes(self, item):
        """{device_id: envelope}; None if one of them is too large."""
        envelopes, large = {}, False
        for envelope in list_of(item, "envelopes"):
            device_id = number_of(envelope, "device_id", 1, 127)
            number_of(envelope, "registration_id", 1, 16383)
            number_of(envelope, "type", 0, 255)
            try:
                large = large or len(unb64(envelope["content"])) > LIMITS["content_bytes"]
            except ValueError:
                raise _invalid("content") from None
            if device_id in envelopes:
                raise _invalid("device_id")
            envelopes[device_id] = envelope
        return None if large else envelopes

    def _read_message(self, origin, item, numbered):
        """Its recipient and envelopes, after everything that can be told without them."""
        message_id = text_of(item, "id", MESSAGE_ID)
        sender, to = text_of(item, "from", ADDRESS), text_of(item, "to", ADDRESS)
        device = number_of(item, "from_device", 1, 127)
        number_of(item, "timestamp")
        number_of(item, "list_version", default=0)
        if not isinstance(item.get("urgent", True), bool):
            raise _invalid("urgent")
        if numbered or "token" in item:
            text_of(item, "token", TOKEN)
        if numbered or "expires_at" in item:
            number_of(item, "expires_at")
        if domain_of(sender) != origin:
            raise Refusal(400, "VALIDATION_ERROR", field="from")
        return (origin, sender, device, message_id), self._peer.users.get(to)

    def _message(self, origin, item):
        key, user = self._read_message(origin, item, numbered=True)
        envelopes = self._envelopes(item)
        if envelopes is None:
            return "too_large", {}
        if user is None or not user.welcomes(item["from"]):
            return "unavailable", {}
        if key in self._taken:
            return "duplicate", {}
        if not self._fits(user, envelopes):
            found = user.device_list()
            return "stale_list", {"list_version": found["list_version"],
                                  "devices": found["devices"]}
        self._taken.add(key)
        self._put(user, item, envelopes)
        return "ok", {}

    def _take_ephemeral(self, origin, item):
        """To whoever is there; nobody is told."""
        try:
            _, user = self._read_message(origin, item, numbered=False)
            envelopes = self._envelopes(item)
        except (Refusal, KeyError, TypeError):
            return
        if user and envelopes and user.welcomes(item["from"]) and self._fits(user, envelopes):
            self._put(user, item, envelopes, ephemeral=True)

    @staticmethod
    def _fits(user, envelopes):
        """One envelope for each device, under its registration id as it is now."""
        return {device_id: envelope["registration_id"]
                for device_id, envelope in envelopes.items()} == \
            {device_id: device.public["registration_id"]
             for device_id, device in user.devices.items()}

    @staticmethod
    def _put(user, item, envelopes, ephemeral=False):
        for device_id, envelope in envelopes.items():
            user.devices[device_id].mailbox.append({
                **{name: item[name] for name in ("id", "from", "from_device", "timestamp")},
                "token": item.get("token"), "ephemeral": ephemeral,
                "type": envelope["type"], "content": envelope["content"]})

    def _receipt(self, origin, item):
        """Counts only with the token that this node itself gave to the message."""
        message_id = text_of(item, "id", MESSAGE_ID)
        sender, to = text_of(item, "from", ADDRESS), text_of(item, "to", ADDRESS)
        devices = list_of(item, "devices")
        number_of(item, "timestamp")
        device = self._peer.check_token(text_of(item, "token", TOKEN), message_id, to, sender)
        if domain_of(sender) != origin or device is None:
            return "bad", {}
        if to in self._peer.users:
            self._peer.users[to].receipts.append(
                {"id": message_id, "from": sender, "devices": devices, "to_device": device})
        return "ok", {}

    def _devices_changed(self, origin, item):
        address = text_of(item, "address", ADDRESS)
        version = number_of(item, "list_version")
        if domain_of(address) != origin:
            return "bad", {}
        for user in self._peer.users.values():
            if address in user.accepted:
                user.lists_seen[address] = version
        return "ok", {}


# Sections 4.5 and 4.6: sending

class Outbox:
    """What waits for one destination. One transaction is in flight; it is repeated with the
    same body until there is a verdict."""

    def __init__(self, peer, destination):
        self._peer = peer
        self._destination = destination
        self.items = []
        self._begin_stream()

    def _begin_stream(self):
        self.stream, self.acked = random_text(), 0
        self.in_flight = None  # (number of items, body)
        self._batch = None     # the most items to try at once, after a refusal

    def deliver(self):
        """Sends until nothing waits. TryLater leaves everything as it was."""
        resets = 0
        while self.items:
            status, answer = self.step()
            resets += status == 409
            if resets > 3:
                raise TryLater(f"{self._destination} resets every stream")

    def step(self):
        """One transaction and its verdict."""
        count, body = self.in_flight = self.in_flight or self._next()
        status, answer = self._peer.call(self._destination, TRANSACTIONS, body)
        if status == 200:
            self._taken(count, answer)
        elif status == 409 and answer["error"]["code"] == "STREAM_RESET":
            self._begin_stream()
        elif status in (400, 413):
            # Somewhere in there is an item that the other side cannot take: find it alone.
            self.in_flight = None
            if count > 1:
                self._batch = count // 2
            else:
                self._end(self.items.pop(0), {"code": "bad" if status == 400 else "too_large"})
        else:
            raise TryLater(f"{self._destination} answered {status}")
        return status, answer

    def _next(self):
        limits = {**LIMITS, **self._peer.find(self._destination).document.content.get("limits", {})}
        count = min(len(self.items), self._batch or limits["transaction_items"])
        while True:
            body = dump_json({"stream": self.stream, "seq": self.acked + 1,
                              "items": self.items[:count]})
            if len(body) <= limits["transaction_bytes"] or count == 1:
                return count, body
            count //= 2

    def _taken(self, count, answer):
        results = {result["seq"]: result for result in answer["results"]}
        first, last = self.acked + 1, self.acked + count
        if answer["acked"] != last or not all(first <= seq <= last for seq in results):
            raise TryLater(f"{self._destination} answers for what it was not sent")
        for seq, item in enumerate(self.items[:count], first):
            self._end(item, results.get(seq, {"code": "ok"}))
        self.acked, self.items, self.in_flight = last, self.items[count:], None
        if self._batch:
            self._batch *= 2  # the bad one has been passed, or is yet to come

    def _end(self, item, result):
        if item["kind"] == "message" and result["code"] not in ("ok", "duplicate"):
            self._peer.users[item["from"]].results.append(
                {"id": item["id"], "to": item["to"], **result})


# The node

class Peer:
    def __init__(self, domain, certificate, key, ca_file, dns_server, port=0,
                 allow_private=False):
        self.domain = domain
        self.authority = domain  # SRV says where; the name stays
        self.directory = Directory(Resolver(dns_server), ca_file, allow_private)
        self.keys = [ServerKey("k1")]
        self.root = SigningKey.generate()
        self.revision = now_ms()
        self.users = {}
        self.receiver = Receiver(self)
        self._subscribers = {}  # address -> {domain: until}
        self._claims = {}       # (origin, claim_id) -> (request, answer)
        self._nonces = {}       # (origin, nonce) -> seen until
        self._outboxes = {}
        self._token_key = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._calls = {TRANSACTIONS: self.receiver.transactions, CLAIM: self._serve_claim,
                       DEVICE_LIST: self._serve_device_list}
        self._server = _Server(self, certificate, key, port)
        self.port = self._server.server_address[1]

    def start(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    # Its own document and DNS records

    def live_keys(self):
        return [key for key in self.keys if key.not_before <= now_ms() <= key.not_after]

    def txt_records(self):
        return [f"v=restante1; kid={key.kid}; key={b64(key.public)}" for key in self.live_keys()]

    def document(self, **changes):
        """The members of the document; `changes` replaces some."""
        url = f"https://{self.authority}"
        return {"server": self.domain, "federation": url, "api": url,
                "keys": [key.published() for key in self.keys],
                "root_key": b64(bytes(self.root.verify_key)), "revision": self.revision,
                "previous": None, "issued_at": now_ms(), "valid_until": now_ms() + 7 * DAY,
                "limits": LIMITS, "software": {"name": "peer.py", "version": "1"}, **changes}

    def served_document(self):
        return sign_document(dump_json(self.document()),
                             {key.kid: key.secret for key in self.live_keys()})

    # Receiving requests

    def answer(self, request):
        """The reply to whatever arrives. It is signed once the request's own signature has
        verified, whatever its status."""
        try:
            if request.method == "GET" and request.path == WELL_KNOWN:
                return Reply(200, {}, dump_json(self.served_document()))
            call = self._calls.get(request.path)
            if call is None:
                raise Refusal(404, "NOT_FOUND")
            if request.method != "POST":
                raise Refusal(405, "METHOD_NOT_ALLOWED")
            origin, asked = self.check_request(request)
        except Refusal as refusal:
            return Reply(refusal.status, {}, dump_json(refusal.body))
        except TryLater as problem:  # its keys cannot be had
            return Reply(401, {}, dump_json(Refusal(401, "SIGNATURE_KEY_UNKNOWN",
                                                    str(problem)).body))
        try:
            self._check_fresh(origin, asked, request.body)
            return self.signed_reply(asked, 200, call(origin, parse_json(request.body),
                                                      request.body))
        except Refusal as refusal:
            return self.signed_reply(asked, refusal.status, refusal.body)

    def check_request(self, request):
        """The checks of section 4.4 in their order, up to the signature."""
        needed = ("content-type", "content-digest", "restante-destination", "signature-input",
                  "signature")
        if not all(name in request.headers for name in needed):
            raise Refusal(401, "SIGNATURE_MISSING")
        names = [name for name, _ in request_components(Asked(*[""] * 5))]
        try:
            signed = parse_signature(request.headers, names, REQUEST_TAG)
        except ValueError as error:
            raise Refusal(401, "SIGNATURE_FORMAT", str(error)) from error
        if request.headers["restante-destination"] != self.domain:
            raise Refusal(401, "SIGNATURE_DESTINATION")
        now = now_ms() // 1000
        if signed.created > now + 300 or signed.expires < now - 300:
            raise Refusal(401, "SIGNATURE_CLOCK", server_time=now_ms())
        origin = self.find(signed.domain)
        key = origin.keys.get(signed.kid)
        if key is None and origin.conflict:
            raise Refusal(403, "KEY_CONFLICT")
        if key is None or not key.not_before <= now_ms() <= key.not_after:
            raise Refusal(401, "SIGNATURE_KEY_UNKNOWN")
        # The authority is the one this node publishes, whatever the Host header says.
        asked = Asked(self.authority, request.path, signed.digest, self.domain, signed.nonce)
        if not verifies(key.bytes, signed.signature,
                        signature_base(request_components(asked), signed.params)):
            raise Refusal(401, "SIGNATURE_INVALID")
        return signed.domain, asked

    def _check_fresh(self, origin, asked, body):
        now = now_ms()
        with self._lock:
            self._nonces = {key: until for key, until in self._nonces.items() if until > now}
            if (origin, asked.nonce) in self._nonces:
                raise Refusal(401, "SIGNATURE_REPLAY")
            self._nonces[origin, asked.nonce] = now + 660_000
        if content_digest(body) != asked.digest:
            raise Refusal(401, "SIGNATURE_DIGEST")

    def signed_reply(self, asked, status, answer):
        body = dump_json(answer)
        digest = content_digest(body)
        headers = sign(response_components(status, digest, asked), RESPONSE_TAG,
                       now_ms() // 1000, asked.nonce, self.domain, self.live_keys()[0])
        return Reply(status, {"Content-Digest": digest, **headers}, body)

    # Sending requests

    def find(self, domain):
        with self._lock:
            return self.directory.find(domain)

    def sign_request(self, destination, authority, path, body, created=None, key=None):
        """The headers of a request, and what its response will have to be about."""
        asked = Asked(authority, path, content_digest(body), destination, random_text())
        headers = sign(request_components(asked), REQUEST_TAG, created or now_ms() // 1000,
                       asked.nonce, self.domain, key or self.live_keys()[0])
        return {"Host": authority, "Content-Type": "application/json",
                "Content-Digest": asked.digest, "Restante-Destination": destination,
                **headers}, asked

    def post(self, destination, path, headers, body):
        """The bare exchange: status, headers and body, not verified yet."""
        remote = self.find(destination)
        return self.directory.exchange(remote.tls_name, remote.endpoints, "POST", path, headers,
                                       body)

    def call(self, destination, path, body):
        """Status and answer, only if they are validly signed: nothing else is a verdict."""
        remote = self.find(destination)
        data = body if isinstance(body, bytes) else dump_json(body)
        headers, asked = self.sign_request(destination, remote.document.authority, path, data)
        status, headers, answer = self.post(destination, path, headers, data)
        problem = self.response_problem(remote, asked, status, headers, answer)
        if problem:
            raise TryLater(f"{destination} answered {status}, {problem}: {answer[:200]}")
        return status, parse_json(answer)

    @staticmethod
    def response_problem(remote, asked, status, headers, body):
        """What is wrong with the signature of a response; None if nothing is."""
        fields = {}
        for name, value in headers.items():
            if name.lower() in fields:
                value = None  # twice
            fields[name.lower()] = value
        names = [name for name, _ in response_components("", "", Asked(*[""] * 5))]
        try:
            signed = parse_signature(fields, names, RESPONSE_TAG)
        except (KeyError, TypeError, ValueError) as error:
            return f"not signed ({error!r})"
        key = remote.keys.get(signed.kid)
        if signed.domain != remote.domain or key is None:
            return "signed by someone else"
        if signed.nonce != asked.nonce:
            return "signed for another request"
        if signed.digest != content_digest(body):
            return "with another body"
        base = signature_base(response_components(status, signed.digest, asked), signed.params)
        return None if verifies(key.bytes, signed.signature, base) else "signature is wrong"

    # Section 4.7: the other calls, both ways

    def _local_user(self, body, origin):
        requester = text_of(body, "requester", ADDRESS)
        user = self.users.get(text_of(body, "address", ADDRESS))
        if domain_of(requester) != origin:
            raise _invalid("requester")
        if user is None or not user.welcomes(requester):
            raise Refusal(404, "UNAVAILABLE")
        return user

    def _serve_claim(self, origin, body, _):
        key = origin, text_of(body, "claim_id", CLAIM_ID)
        user = self._local_user(body, origin)
        wanted = list_of(body, "devices") if "devices" in body else list(user.devices)
        request = (body["requester"], body["address"], tuple(wanted))
        with self._lock:
            if key in self._claims:  # kept for 24 h in a real node
                earlier, answer = self._claims[key]
                if earlier != request:
                    raise _invalid("claim_id")
                return answer
            answer = {"address": user.address, "list_version": user.list_version,
                      "devices": [device.bundle() for device_id, device in user.devices.items()
                                  if device_id in wanted]}
            self._claims[key] = request, answer
            return answer

    def _serve_device_list(self, origin, body, _):
        user = self._local_user(body, origin)
        with self._lock:
            self._subscribers.setdefault(user.address, {})[origin] = now_ms() + 30 * DAY
        return user.device_list()

    def claim(self, requester, address, devices=None, claim_id=None):
        """The bundles of another domain's user."""
        body = {"claim_id": claim_id or random_text(), "requester": requester, "address": address}
        if devices:
            body["devices"] = devices
        return self._ask(CLAIM, body)

    def device_list(self, requester, address):
        return self._ask(DEVICE_LIST, {"requester": requester, "address": address})

    def _ask(self, path, body):
        status, answer = self.call(domain_of(body["address"]), path, body)
        if status != 200:
            error = answer["error"]
            raise Refusal(status, error["code"], error["message"], **error["details"])
        return answer

    # Its users

    def add_device(self, username, device):
        """Adds a device (section 2.1), and the user with the first; whoever asked for the list
        is told."""
        address = f"{username}@{self.domain}"
        user = self.users.setdefault(address, User(address))
        device_id = max(user.devices, default=0) + 1
        user.devices[device_id] = Device({**device, "device_id": device_id},
                                         list(device.get("one_time_prekeys", [])),
                                         list(device.get("pq_prekeys", [])))
        self._list_changed(user)
        return user

    def remove_device(self, user, device_id):
        del user.devices[device_id]
        self._list_changed(user)

    def _list_changed(self, user):
        user.list_version = max(user.list_version + 1, now_ms())
        for domain, until in self._subscribers.get(user.address, {}).items():
            if until > now_ms():
                self.outbox(domain).items.append({"kind": "devices_changed",
                                                  "address": user.address,
                                                  "list_version": user.list_version})

    def outbox(self, domain):
        return self._outboxes.setdefault(domain, Outbox(self, domain))

    def deliver(self, domain):
        self.outbox(domain).deliver()

    def message(self, sender, device_id, to, envelopes, list_version=0):
        """An item of kind message."""
        message_id = new_message_id()
        return {"kind": "message", "id": message_id, "from": sender, "from_device": device_id,
                "to": to, "timestamp": now_ms(), "urgent": True, "expires_at": now_ms() + 7 * DAY,
                "list_version": list_version, "token": self._token(message_id, device_id, sender,
                                                                   to),
                "envelopes": envelopes}

    def send(self, sender, device_id, to, envelopes, list_version=0):
        """Puts a message into the outbox; sending to an address accepts it."""
        item = self.message(sender, device_id, to, envelopes, list_version)
        self.users[sender].accepted.add(to)
        self.outbox(domain_of(to)).items.append(item)
        return item["id"]

    def acknowledge(self, user, device_id, item):
        """A device has taken an item of its mailbox: its sender gets a receipt, if accepted."""
        user.devices[device_id].mailbox.remove(item)
        if item["from"] in user.accepted and not item["ephemeral"]:
            self.outbox(domain_of(item["from"])).items.append({
                "kind": "receipt", "id": item["id"], "from": user.address, "to": item["from"],
                "devices": [device_id], "timestamp": now_ms(), "token": item["token"]})

    # A token says that this node sent a message, and from which device: receipts need no table.

    def _token(self, message_id, device_id, sender, recipient):
        parts = "\0".join([message_id, str(device_id), sender, recipient]).encode()
        return f"{device_id}.{hmac.new(self._token_key, parts, 'sha256').hexdigest()}"

    def check_token(self, token, message_id, sender, recipient):
        """The sending device, or None if the token is not of this node and message."""
        device_id = token.partition(".")[0]
        if not re.fullmatch("[1-9][0-9]{0,2}", device_id):
            return None
        good = self._token(message_id, int(device_id), sender, recipient)
        return int(device_id) if hmac.compare_digest(token.encode(), good.encode()) else None


# HTTP

class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, peer, certificate, key, port):
        self.peer = peer
        super().__init__(("127.0.0.1", port), _Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(certificate, key)
        # Handshakes happen in the thread of their connection, not in that of accept().
        self.socket = tls.wrap_socket(self.socket, server_side=True,
                                      do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass  # a connection that ended: nothing to tell


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def _handle(self):
        length = self.headers.get_all("Content-Length", ["0"])
        if len(length) != 1 or not re.fullmatch("[0-9]{1,9}", length[0]) or \
                "Transfer-Encoding" in self.headers or int(length[0]) > REPLY_BYTES:
            self.close_connection = True
            return self._reply(Reply(400, {}, dump_json(Refusal(400, "VALIDATION_ERROR").body)))
        headers = {}
        for name, value in self.headers.items():
            # Twice the same header: joined, so that it has no form that is accepted.
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value.strip()
        body = self.rfile.read(int(length[0]))
        self._reply(self.server.peer.answer(Request(self.command, self.path, headers, body)))

    def _reply(self, reply):
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers,
                            "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = _handle

    def log_message(self, *_):
        pass
