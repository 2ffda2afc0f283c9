# SPDX-License-Identifier: MIT
"""A name server that can be told to misbehave, in place of the lab's dnsmasq:

    with Lab(names=ScriptedNames) as lab:
        lab.names.addresses["b.test"] = ["127.0.0.1"]     # in force at once
        lab.names.script(service_of("b.test"), servfail)  # whatever is asked about this name
        ...
        lab.names.script(service_of("b.test"), honest)
        lab.names.asked(service_of("b.test"), SRV)        # how many questions came

It speaks UDP and TCP at one free port, in threads of this process.
"""

import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass

from lab import ADDRESS

A, CNAME, TXT, AAAA, SRV, OPT = 1, 5, 16, 28, 33, 41
TTL = 1
TRUNCATED, AUTHENTIC = 0x0200, 0x0020
FORMERR, SERVFAIL, NXDOMAIN, REFUSED = 1, 2, 3, 5
HEADER = struct.Struct(">6H")


def service_of(domain):
    return f"_restante._tcp.{domain}"


def text_of(domain):
    return f"_restante.{domain}"


def wire_name(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner, kind, data, ttl=TTL):
    return wire_name(owner) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


@dataclass
class Question:
    name: str
    kind: int
    tcp: bool
    id: int
    edns: bool

    def reply(self, records=(), code=0, flags=0, name=None, id=None):
        """An answer with these records; name and id only to get them wrong."""
        packet = HEADER.pack(self.id if id is None else id, 0x8180 | flags | code, 1,
                             len(records), 0, self.edns)
        packet += wire_name(name or self.name) + struct.pack(">2H", self.kind, 1)
        opt = b"\0" + struct.pack(">HHIH", OPT, 4096, 0, 0) if self.edns else b""
        return packet + b"".join(records) + opt


def read_question(packet, tcp):
    id, _, _, _, _, additional = HEADER.unpack_from(packet)
    labels, at = [], HEADER.size
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += 1 + packet[at]
    return Question(".".join(labels), struct.unpack_from(">H", packet, at + 1)[0], tcp, id,
                    additional > 0)


# What a name can be scripted to do: called with the question and the right answer, they return
# the packets that are sent, or None to end the TCP connection.


def honest(question, right):
    return [right]


def silent(question, right):
    return []


def servfail(question, right):
    return [question.reply(code=SERVFAIL)]


def refused(question, right):
    return [question.reply(code=REFUSED)]


def nxdomain(question, right):
    return [question.reply(code=NXDOMAIN)]


def nodata(question, right):
    return [question.reply()]


def without_edns(question, right):
    """As RFC 6891 section 7 has it for those that do not know the OPT record."""
    if not question.edns:
        return [right]
    question.edns = False
    return [question.reply(code=FORMERR)]


def only_tcp(question, right):
    return [right] if question.tcp else [question.reply(flags=TRUNCATED)]


def truncated(question, right):
    """Over UDP, and TCP ends without an answer."""
    return None if question.tcp else [question.reply(flags=TRUNCATED)]


def always_truncated(question, right):
    return [question.reply(flags=TRUNCATED)]


def large_over_udp(question, right):
    """More than was asked for, not marked as truncated, and nothing over TCP."""
    padding = [record(question.name, TXT, b"\xff" + b"x" * 255) for _ in range(8)]
    return None if question.tcp else [question.reply(padding)]


def cut_off(question, right):
    """The last record ends too soon."""
    return [question.reply([record(question.name, question.kind, b"\0" * 20)[:-10]])]


def pointer_loop(question, right):
    """The owner of the record is a compressed name that points to itself."""
    at = len(question.reply()) - (11 if question.edns else 0)
    data = struct.pack(">HHIH", question.kind, 1, TTL, 4) + b"\0" * 4
    question.edns = False
    return [question.reply([struct.pack(">H", 0xC000 | at) + data])]


def alias_loop(question, right):
    return [question.reply([record(question.name, CNAME, wire_name("other.test")),
                            record("other.test", CNAME, wire_name(question.name))])]


def too_many_aliases(question, right):
    names = [question.name, *(f"alias{i}.test" for i in range(20))]
    return [question.reply([record(one, CNAME, wire_name(next_one))
                            for one, next_one in zip(names, names[1:])])]


def forged(question, right):
    """What somebody sends who has not seen the question, only guessed that there is one."""
    fake = [record(question.name, A, b"\x7f\0\0\1")] if question.kind == A else []
    return [question.reply(fake, id=(question.id + n) & 0xFFFF) for n in (1, 2, 0x1234)] + \
        [question.reply(fake, name="other.test")]


def garbage(question, right):
    return [b"\xff" * 40, right[:7]]


class ScriptedNames:
    """Has the interface of lab.NameServer: records in dictionaries, here in force at once.
    Names without any record do not exist."""

    def __init__(self, _folder=None):
        self.addresses = {}     # name -> [address]
        self.services = {}      # domain -> [(priority, weight, port, target)]
        self.texts = {}         # domain -> [text]: TXT records of _restante.<domain>
        self.aliases = {}       # name -> name
        self.authentic = set()  # names whose answers have the AD bit
        self._scripts = {}      # (name, kind or None) -> behaviour
        self._questions = []
        self._udp, self._tcp = self._bind()
        self.port = self._udp.getsockname()[1]
        for serve in self._serve_udp, self._serve_tcp:
            threading.Thread(target=serve, daemon=True).start()

    @staticmethod
    def _bind():
        """The same port for both, so more than one may have to be tried."""
        while True:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((ADDRESS, 0))
            try:
                return udp, socket.create_server(udp.getsockname())
            except OSError:
                udp.close()

    def apply(self):
        """Nothing to do: records are in force at once."""

    def stop(self):
        for sock in self._udp, self._tcp:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # ends the thread that waits for it
            except OSError:
                pass  # not connected, but woken all the same
            sock.close()

    def script(self, name, behaviour, kind=None):
        """What happens to questions for this name, of this kind or of any."""
        self._scripts[name, kind] = behaviour

    def asked(self, name, kind=None):
        return len([q for q in list(self._questions)
                    if q.name == name and kind in (None, q.kind)])

    # The right answer

    def _data(self, name):
        """[(kind, data)] of everything at this name."""
        for address in map(ipaddress.ip_address, self.addresses.get(name, [])):
            yield (A if address.version == 4 else AAAA), address.packed
        if name in self.aliases:
            yield CNAME, wire_name(self.aliases[name])
        service, text = service_of(""), text_of("")
        for priority, weight, port, target in self.services.get(name.removeprefix(service), []):
            if name.startswith(service):
                yield SRV, struct.pack(">3H", priority, weight, port) + wire_name(target)
        for value in self.texts.get(name.removeprefix(text), []):
            if name.startswith(text):
                parts = [value[i:i + 255].encode() for i in range(0, len(value), 255)]
                yield TXT, b"".join(bytes([len(part)]) + part for part in parts)

    def _right_answer(self, question):
        """Aliases on the way, and what they lead to."""
        records, name = [], question.name
        while name in self.aliases and len(records) < 30:
            records.append(record(name, CNAME, wire_name(self.aliases[name])))
            name = self.aliases[name]
        data = list(self._data(name))
        records += [record(name, kind, value) for kind, value in data if kind == question.kind]
        return question.reply(records, code=0 if data else NXDOMAIN,
                              flags=AUTHENTIC if question.name in self.authentic else 0)

    def _answers(self, packet, tcp):
        question = read_question(packet, tcp)
        self._questions.append(question)
        behaviour = self._scripts.get((question.name, question.kind)) or \
            self._scripts.get((question.name, None), honest)
        return behaviour(question, self._right_answer(question))

    # The sockets

    def _serve_udp(self):
        while True:
            try:
                packet, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            for answer in self._answers(packet, tcp=False) or []:
                self._udp.sendto(answer, sender)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,),
                             daemon=True).start()

    def _serve_connection(self, connection):
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(2):
                answers = self._answers(stream.read(int.from_bytes(head, "big")), tcp=True)
                if answers is None:
                    return
                for answer in answers:
                    connection.sendall(struct.pack(">H", len(answer)) + answer)
