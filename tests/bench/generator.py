# SPDX-License-Identifier: MIT
"""The load generator (restante_bench) as the cases see it: accounts, and flows of messages
between them."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from lab import LabError  # noqa: E402
from processes import die_with_parent  # noqa: E402
from measure import Histogram  # noqa: E402

TIMEOUT = 900
REGISTERING = 16  # at once

_numbers = itertools.count(1)


class Accounts:
    """Accounts of one node, or only their addresses, in a file for the generator."""

    def __init__(self, path, count, devices=1):
        self.path = path
        self.count = count
        self.devices = devices  # of each

    @staticmethod
    def joined(path, parts):
        """In the order in which they were registered, where that was done for all parts at once:
        neighbours in the database are neighbours here."""
        lines = [part.path.read_text().splitlines(keepends=True) for part in parts]
        path.write_text("".join(line for several in itertools.zip_longest(*lines, fillvalue="")
                                for line in several))
        return Accounts(path, sum(part.count for part in parts))

    def spread(self, nodes):
        """Over processes of their node."""
        lines = [line.split(" ") for line in self.path.read_text().splitlines()]
        for line, node in zip(lines, itertools.cycle(nodes)):
            line[2] = str(node.port)
        self.path.write_text("".join(" ".join(line) + "\n" for line in lines))
        return self

    def part(self, begin, end):
        """Some of them, that have one device each."""
        path = self.path.with_name(f"{self.path.name}.{begin}")
        lines = self.path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[begin:end]))
        return Accounts(path, end - begin)


class Run:
    """One command of the generator, running."""

    def __init__(self, lab, command, *arguments, out=subprocess.PIPE, tls=True):
        ca = ["--ca", lab.authority.certificate] if tls else []
        binary = lab.binary.parent / "restante_bench"
        self._log = lab.folder / f"{command}-{next(_numbers)}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [binary, command, *ca, "--timeout", str(TIMEOUT), *map(str, arguments)],
                stdin=subprocess.PIPE, stdout=out, stderr=log, text=True,
                preexec_fn=die_with_parent)
        self._command = command

    def wait_line(self):
        line = self._process.stdout.readline()
        if not line:
            self.wait()
        return line

    def wait(self):
        """What it has printed. Everything that was not as it should be ends it with an
        error."""
        self._process.stdin.close()
        text = self._process.stdout.read() if self._process.stdout else ""
        if self._process.stdout:
            self._process.stdout.close()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_us = (usage.ru_utime + usage.ru_stime) * 1e6
        if self._process.returncode != 0:
            raise LabError(f"{self._command}: {self._log.read_text()}")
        return text

    def result(self):
        return json.loads(self.wait())


class Generator:
    prefix = ""  # of commands

    def __init__(self, lab, tls=True):
        self.lab = lab
        self._tls = tls

    def _run(self, command, *arguments, **options):
        return Run(self.lab, self.prefix + command, *arguments, tls=self._tls, **options)

    def register(self, node, name, count, devices=1):
        path = self.lab.folder / f"{name}@{node.domain}"
        self._registering(path, node, name, count, devices).wait()
        return Accounts(path, count, devices)

    def _registering(self, path, node, name, count, devices=1):
        with open(path, "w") as out:
            return self._run("register", "--domain", node.domain, "--port", node.port, "--name",
                             name, "--count", count, "--devices", devices, out=out)

    def register_crowd(self, node, name, count):
        """The same with several at work."""
        size = -(-count // REGISTERING)
        crowd = [Accounts(self.lab.folder / f"{name}{begin}@{node.domain}",
                          min(size, count - begin)) for begin in range(0, count, size)]
        for run in [self._registering(part.path, node, f"{name}{i}-", part.count)
                    for i, part in enumerate(crowd)]:
            run.wait()
        return Accounts.joined(self.lab.folder / f"{name}@{node.domain}", crowd)

    def upload(self, accounts, keys):
        """So many one-time keys for each of them."""
        self._run("upload", "--accounts", accounts.path, "--count", keys).wait()

    def addresses(self, name, domains):
        """One user called `name` on each domain, to send to."""
        path = self.lab.folder / f"{name}@{len(domains)}"
        path.write_text("".join(f"{name} {domain} 1 1 1 -\n" for domain in domains))
        return Accounts(path, len(domains))

    def accept(self, accounts, others):
        self._run("accept", "--accounts", accounts.path, "--to", others.path).wait()

    def receive(self, accounts, senders, messages, flow, busy=0):
        """Returns when all devices are connected."""
        run = self._run("receive", "--accounts", accounts.path, "--senders", senders.count,
                        "--messages", messages * accounts.devices, "--flow", flow,
                        "--busy", busy)
        run.wait_line()
        return run

    def idle(self, accounts):
        """Returns when all devices are connected; they are until it is waited for."""
        run = self._run("idle", "--accounts", accounts.path)
        run.wait_line()
        return run

    def claim(self, claimers, owners, claims, keys):
        """Each claimer one after the other, of all owners in turn, who have uploaded so many."""
        claimed = Asked(self._run("claim", "--accounts", claimers.path, "--to", owners.path,
                                  "--messages", claims, "--count", keys, "--flow",
                                  new_flow()))
        claimed.wait()
        return claimed

    def echo(self, accounts, messages, **options):
        """Empty exchanges with a server that is no node. Returns when all are connected."""
        return Asked(self._run("echo", "--accounts", accounts.path, "--messages", messages,
                               *as_arguments(options)))

    def send(self, senders, to, messages, flow, **options):
        return self._run("send", "--accounts", senders.path, "--to", to.path,
                         "--messages", messages, "--flow", flow, *as_arguments(options))

    def flow(self, senders, to, messages, **options):
        """Sends and receives; everything has arrived when it returns. busy=1: the node may
        refuse messages because it is too busy, and others are sent in their place."""
        number = new_flow()
        receiving = self.receive(to, senders, messages, number, options.get("busy", 0))
        sending = self.send(senders, to, messages, number, **options)
        return Flow(sending, receiving)


def as_arguments(options):
    return [text for name, value in options.items() for text in (f"--{name}", value)]


def new_flow():
    return next(_numbers)


class Flow:
    """What has come out of one sending and one receiving run, waited for."""

    def __init__(self, sending, receiving):
        sent, received = sending.result(), receiving.result()
        self.messages = sent["messages"]
        self.seconds = (received["last_ns"] - sent["first_ns"]) / 1e9
        self.per_second = self.messages / self.seconds
        self.latency = received["latency"]
        self.answers = sent["answers"]
        self.receipts = sent["receipts"]
        self.busy = sent["busy"]
        self.generator_us = (sending.cpu_us + receiving.cpu_us) / self.messages

    def report(self):
        return {**rate_report(self.messages, self.seconds, self.generator_us),
                **({"busy": self.busy} if self.busy else {})}

    def latency_ms(self):
        return Histogram(self.latency).summary_ms()

    def answer_ms(self):
        return Histogram(self.answers).summary_ms()


class Asked:
    """A run of devices that ask; from its wait() on, what has come out of it."""

    def __init__(self, run):
        self._run = run
        run.wait_line()

    def wait(self):
        asked = self._run.result()
        self.messages = asked["messages"]
        self.seconds = asked["ns"] / 1e9
        self.answers = asked["answers"]
        self.generator_us = self._run.cpu_us / self.messages

    def report(self):
        return rate_report(self.messages, self.seconds, self.generator_us)

    def answer_ms(self):
        return Histogram(self.answers).summary_ms()


def rate_report(messages, seconds, generator_us):
    return {"messages": messages, "seconds": round(seconds, 3),
            "per_second": round(messages / seconds),
            "generator_cpu_us_per_message": round(generator_us, 1)}
