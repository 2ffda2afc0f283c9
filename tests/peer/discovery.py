# SPDX-License-Identifier: MIT
"""Part of the independent peer (peer.py): server keys and documents, finding other nodes, and
which of their keys to trust (docs/protocol.md, sections 4.1 to 4.3)."""

import http.client
import ipaddress
import random
import re
import secrets
import socket
import ssl
import struct
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

from nacl.signing import SigningKey

from wire import (DAY, DOMAIN, HOUR, KID, Refusal, TryLater, b64, list_of, now_ms, number_of,
                  parse_json, text_of, unb64, verifies)

WELL_KNOWN = "/.well-known/restante"
DOCUMENT_BYTES = 64 * 1024
REPLY_BYTES = 8 << 20
CLOCKS_DIFFER = 300_000


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


def sign_document(content, signers, root_signed=None):
    """What is served at WELL_KNOWN. `signers`: {kid or "root": SigningKey}. `root_signed`: the
    same of the last document that the root has signed."""
    return {"document": b64(content),
            "signatures": {name: b64(key.sign(content).signature)
                           for name, key in signers.items()},
            **({"root_signed": root_signed} if root_signed else {})}


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
    root_signed: Any = None  # the document that came along, not checked

    def is_signed_by(self, name, public_key):
        """Also for a key that the document itself does not name any more."""
        return name in self.signatures and verifies(public_key, self.signatures[name], self.bytes)


def read_document(envelope):
    """Its form only; raises one of MALFORMED."""
    data = unb64(envelope["document"])
    content = parse_json(data)
    signatures = {name: unb64(value) for name, value in envelope["signatures"].items()}
    keys = {text_of(key, "kid", KID): PublicKey(unb64(key["public_key"]),
                                                number_of(key, "not_before"),
                                                number_of(key, "not_after"))
            for key in list_of(content, "keys", 1, 8)}
    root_key = content.get("root_key")
    root_key = None if root_key is None else unb64(root_key)
    number_of(content, "issued_at")
    valid_until = number_of(content, "valid_until")
    revision = number_of(content, "revision")
    url = re.fullmatch(r"https://([^:/]+)(?::([0-9]{1,5}))?", content["federation"])
    if not url or not re.fullmatch(DOMAIN, url[1]):
        raise ValueError("federation is not https://host[:port]")
    if "root" in keys or len(keys) != len(content["keys"]):
        raise ValueError("kids")
    if any(len(key.bytes) != 32 for key in keys.values()):
        raise ValueError("keys have 32 bytes")
    authority = url[1] if url[2] in (None, "443") else f"{url[1]}:{url[2]}"
    return Document(content, keys, root_key, revision, valid_until, authority, signatures, data)


MALFORMED = (Refusal, KeyError, TypeError, AttributeError, ValueError)


def check_document(served, domain, now):
    """Raises TryLater for anything but a valid document of this domain."""
    def demand(good, what):
        if not good:
            raise TryLater(f"document of {domain}: {what}")

    try:
        envelope = parse_json(served)
        document = read_document(envelope)
        if "root_signed" in envelope:
            document.root_signed = read_document(envelope["root_signed"])
    except MALFORMED as error:
        raise TryLater(f"document of {domain}: {error!r}") from error
    issued_at = document.content["issued_at"]
    demand(document.content.get("server") == domain, "it is of another server")
    demand(issued_at - CLOCKS_DIFFER <= now <= document.valid_until, "it is not valid now")
    demand(document.valid_until - issued_at <= 7 * DAY, "it is valid for too long")
    live = {kid for kid, key in document.keys.items() if key.not_before <= now <= key.not_after}
    demand(live, "no key is live")
    demand(live <= document.signatures.keys(), "a live key has not signed")
    named = {kid: key.bytes for kid, key in document.keys.items()}
    if document.root_key is not None:
        named["root"] = document.root_key
    for name, public_key in named.items():
        demand(name not in document.signatures or document.is_signed_by(name, public_key),
               f"the signature of {name} does not verify")
    return document


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

    def key(self, kid):
        """What may sign now. Its owner uses a new key from not_before on by its own clock."""
        key, now = self.keys.get(kid), now_ms()
        in_time = key is not None and key.not_before - CLOCKS_DIFFER <= now <= key.not_after
        return key if in_time else None


@dataclass
class Pin:
    keys: dict
    root_key: Any
    revision: int
    root_revision: int = 0  # of the last document that was followed because the root signed it

    def root_has_signed(self, document):
        """After all that it has signed before: what is older could be shown again by whoever
        holds a key that it names."""
        return self.root_key is not None and document.revision > self.root_revision and \
            document.is_signed_by("root", self.root_key)


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
        if pin is None:
            if not self._txt_matches(domain, document):
                raise Refusal(403, "KEY_CONFLICT", "DNS and document name different keys")
            pin = self.pins[domain] = Pin(document.keys, document.root_key, document.revision)
            for signed in document.root_signed, document:
                if signed and pin.root_has_signed(signed):
                    pin.root_revision = signed.revision
            return pin.keys, False
        root_signed = document.root_signed
        if root_signed and root_signed.content.get("server") == domain and \
                pin.root_has_signed(root_signed):
            pin = self._follow_root(domain, root_signed)
        if document.revision > pin.revision and pin.root_has_signed(document):
            pin = self._follow_root(domain, document)
        if not self._is_signed_by(pin, document):
            return pin.keys, True
        if document.revision > pin.revision:
            pin.keys = {**pin.keys, **document.keys}
            pin.revision = document.revision
        return pin.keys, False

    def _follow_root(self, domain, document):
        """The old keys end at once."""
        pin = self.pins[domain] = Pin(document.keys, document.root_key, document.revision,
                                      document.revision)
        return pin

    @staticmethod
    def _is_signed_by(pin, document):
        """By a pinned key that has not ended, as a newer one if it brings other keys. No kid
        may stand for another key than before."""
        same = [kid in pin.keys and pin.keys[kid].bytes == key.bytes
                for kid, key in document.keys.items()]
        reused = any(kid in pin.keys and pin.keys[kid].bytes != key.bytes
                     for kid, key in document.keys.items())
        signed = any(document.is_signed_by(kid, key.bytes) for kid, key in pin.keys.items()
                     if key.not_after >= now_ms())
        return signed and not reused and (all(same) or document.revision > pin.revision)

    def _txt_matches(self, domain, document):
        published = parse_txt(self._resolver.query(f"_restante.{domain}", TXT))
        if published is None:
            return True
        now = now_ms()
        live = {kid for kid, key in document.keys.items()
                if key.not_before <= now <= key.not_after}
        return live <= published.keys() and all(
            published.get(kid, {key.bytes}) == {key.bytes} for kid, key in document.keys.items())
