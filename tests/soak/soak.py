# SPDX-License-Identifier: MIT
"""`./dev soak`: the promise under fire. Three nodes that reach each other only through proxies
with bad weather, and a fourth that lies; many senders and receivers; meanwhile nodes are killed,
paused, and left without disk or name server. In the end all becomes well, and then what was
accepted must be where it belongs: once, in order, or its sender was told why not (check.py).

The exit status is 0 only if so. Else the violations are printed, and the folder with all logs
and databases stays. A seed repeats what is done, but not when exactly."""

import argparse
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib"), str(HERE.parent / "peer")]

from actors import HttpSender, LateReceiver, Receiver, SocketSender, counts  # noqa: E402
from chaos import Chaos, private_mounts  # noqa: E402
from check import Check  # noqa: E402
from lab import Lab, LabError, wait_until  # noqa: E402
from lab_peer import PeerPhone  # noqa: E402
from liar import Liar  # noqa: E402
from proxy import Proxy  # noqa: E402

DOMAINS = ("a.test", "b.test", "c.test")
PEER = "peer.test"
OPTIONS = {
    "accounts__password_memory": "8M",
    "accounts__password_passes": 1,
    "accounts__access_token_life": "30s",
    "limits__rate_scale": 1000,
    "limits__mailbox_items": 500,  # a device that is always away has it full soon
    "federation__backoff_first": "100ms",
    "federation__backoff_max": "1s",
}
SENDERS_PER_NODE = 4
RECIPIENTS_PER_SENDER = 6
SETTLE_SECONDS = 120
STATUSES_ASKED = 50  # of each sender
PROBLEMS_SHOWN = 50


def say(what):
    print(f"  {what}", flush=True)


class World:
    """The nodes, the ways between them and everybody who lives there."""

    def __init__(self, lab, seed, seconds, may_mount):
        self.lab = lab
        self.enough = threading.Event()   # no new letters
        self.closing = threading.Event()  # everybody goes home
        self.refusals = Counter()         # (status, code) -> how often
        self._seeds = random.Random(seed)
        self.nodes = [lab.add_node(domain, **OPTIONS) for domain in DOMAINS]
        self.proxies = [self._put_proxy_before(node) for node in self.nodes]
        self.liar = Liar(lab, PEER, self._chance())
        self.chaos = Chaos(lab, self.proxies, self._chance(), may_mount)
        lab.start()
        self.peer_phones = [PeerPhone(self.liar, name) for name in ("pat", "pat", "kim")]
        self.receivers = self._make_receivers(seconds)
        self.senders = self._make_senders()
        self._acquaint()

    def _chance(self):
        return random.Random(self._seeds.random())

    def _put_proxy_before(self, node):
        proxy = Proxy(node.port, self._chance())
        proxy.start()
        self.lab.names.services[node.domain] = [(0, 0, proxy.port, node.domain)]
        return proxy

    def _make_receivers(self, seconds):
        """At each node one recipient with a device and one that joins later, and one with three
        of which one is never there."""
        receivers = []
        for node in self.nodes:
            ann = Receiver(self, node, "phone", self._chance()).register("ann")
            late = LateReceiver(self, node, "late", self._chance(), "ann",
                                after=self._seeds.uniform(0.1, 0.7) * seconds)
            bob = Receiver(self, node, "phone", self._chance()).register("bob")
            tablet = Receiver(self, node, "tablet", self._chance()).link("bob")
            lazy = Receiver(self, node, "lazy", self._chance(), lazy=True).link("bob")
            receivers += [ann, late, bob, tablet, lazy]
        return receivers

    def _make_senders(self):
        everybody = [f"{name}@{domain}" for name in ("ann", "bob") for domain in DOMAINS]
        everybody += sorted({phone.address for phone in self.peer_phones})
        senders = []
        for node in self.nodes:
            for number in range(SENDERS_PER_NODE):
                kind = SocketSender if number % 2 else HttpSender
                recipients = self._seeds.sample(everybody, RECIPIENTS_PER_SENDER)
                sender = kind(self, node, "sender", self._chance(), recipients)
                senders.append(sender.register(f"sender{number}"))
        return senders

    def _acquaint(self):
        for receiver in self.receivers:
            if receiver.client.device_id == 1:
                for sender in self.senders:
                    receiver.client.accept(sender.client.address)

    @property
    def devices(self):
        """Those that have come to be."""
        return [device for device in [*self.senders, *self.receivers] if device.client.address]

    # The course of things

    def storm(self, seconds, kills):
        for device in [*self.senders, *self.receivers]:
            device.start()
        for proxy in self.proxies:
            proxy.storm()
        self.liar.lie()
        self.chaos.rage(seconds, kills)

    def calm(self):
        """Everything works again; what was begun is finished."""
        self.liar.become_honest()
        for proxy in self.proxies:
            proxy.calm()
        self.enough.set()
        self.chaos.restart_all()
        self._wait_for(self.senders)
        self.closing.set()
        self._wait_for(self.receivers)

    @staticmethod
    def _wait_for(devices):
        for device in devices:
            device.join(SETTLE_SECONDS)
            if device.is_alive():
                raise LabError(f"{device} does not come to an end")

    def settle(self):
        """Until nothing is on its way any more. Emptying a mailbox makes receipts."""
        wait_until(lambda: self._outboxes() == 0 and not self._empty_mailboxes() and
                   self._outboxes() == 0, "all outboxes to be empty", SETTLE_SECONDS, pause=0.5)

    def _outboxes(self):
        return sum(node.metric("restante_outbox_items") for node in self.nodes)

    def _empty_mailboxes(self):
        return any([device.empty() for device in self.devices])

    def check(self):
        statuses = {id: status for sender in self.senders
                    for id, status in sender.ask_statuses(STATUSES_ASKED).items()}
        peer = {(phone.address, phone.device_id): phone.mailbox for phone in self.peer_phones}
        check = Check(self.senders, [receiver for receiver in self.receivers
                                     if receiver.client.address], peer, statuses)
        problems = check.run()
        return problems, check.delivered

    def end(self, keep):
        self.enough.set()
        self.closing.set()
        self.chaos.end(keep)
        self.liar.stop()


def found_afterwards(nodes):
    """What SQLite and the sanitizers find wrong, once the nodes have stopped."""
    for node in nodes:
        with closing(sqlite3.connect(node.folder / "data/restante.db")) as db:
            found = db.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            yield f"the database of {node.domain}: {found}"
        if "Sanitizer" in node.log_text() or "runtime error" in node.log_text():
            yield f"a sanitizer speaks in {node.log}"


def listed(counter):
    return ", ".join(f"{' '.join(map(str, key)) if isinstance(key, tuple) else key} {count}"
                     for key, count in sorted(counter.items(), key=str)) or "none"


def report(world, delivered, seconds):
    letters = [letter for sender in world.senders for letter in sender.letters.values()]
    answers = Counter(letter.answer for letter in letters)
    kinds, codes = counts(world.devices)
    cuts = sum((proxy.cuts for proxy in world.proxies), Counter())
    resets = sum(node.log_text().count("event=stream_reset") for node in world.nodes)
    repeats = sum(device.mailbox.repeats for device in world.devices)
    say(f"messages      accepted {answers['accepted']}, refused {answers['refused']}, sent again "
        f"after a lost answer {sum(letter.lost for letter in letters)}")
    say(f"copies        delivered {delivered}, repeated before their acknowledgement {repeats}; "
        f"receipts {kinds['receipt']}")
    say(f"send_results  {listed(codes)}; devices over quota in answers "
        f"{sum(len(letter.missed) for letter in letters)}")
    say(f"answers       {listed(world.refusals)}")
    say(f"kills         {world.chaos.kills.total()}: {listed(world.chaos.kills)}")
    say(f"chaos         {listed(world.chaos.done)}")
    say(f"connections   cut {cuts.total()}: {listed(cuts)}")
    say(f"streams       reset {resets}, by either side")
    say(f"lies          {world.liar.told.total()}: {listed(world.liar.told)}")
    say(f"duration      {seconds:.0f} s")


def unsettled(world):
    try:
        world.settle()
        return []
    except LabError as problem:
        return [str(problem)]


def soak(lab, arguments, may_mount):
    """The problems."""
    began = time.monotonic()
    world = World(lab, arguments.seed, arguments.seconds, may_mount)
    problems = ["it did not come to an end"]
    try:
        say(f"{arguments.seconds} s and {arguments.kills} kills, seed {arguments.seed}, in "
            f"{lab.folder}")
        world.storm(arguments.seconds, arguments.kills)
        say(f"calm after {time.monotonic() - began:.0f} s")
        world.calm()
        stuck = unsettled(world)
        lost, delivered = world.check()
        for node in world.nodes:
            node.stop()
        problems = [*stuck, *lost, *found_afterwards(world.nodes)]
        report(world, delivered, time.monotonic() - began)
        return problems
    finally:
        world.end(keep=bool(problems))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--kills", type=int, help="at least so many; default: one in 3 seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--folder", type=Path, help="default: one that goes if all is well")
    arguments = parser.parse_args()
    if arguments.kills is None:
        arguments.kills = max(1, arguments.seconds // 3)
    return arguments


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    may_mount = private_mounts()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="restante-soak-"))
    lab = Lab(folder=folder, keep=True)
    try:
        problems = soak(lab, arguments, may_mount)
    except LabError as problem:
        problems = [str(problem)]
    for problem in problems[:PROBLEMS_SHOWN]:
        print(f"\n{problem}", file=sys.stderr)
    if problems:
        print(f"\n{len(problems)} violations with seed {arguments.seed}; logs and databases are "
              f"in {folder}", file=sys.stderr)
    lab.keep = bool(problems) or arguments.folder is not None
    lab.close(failed=lab.keep)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
