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

_numbers = itertools.count(1)


class Accounts:
    """Devices of one node, or only their addresses, in a file for the generator."""

    def __init__(self, path, count):
        self.path = path
        self.count = count


class Run:
    """One command of the generator, running."""

    def __init__(self, lab, command, *arguments, out=subprocess.PIPE):
        binary = lab.binary.parent / "restante_bench"
        self._log = lab.folder / f"{command}-{next(_numbers)}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [binary, command, "--ca", lab.authority.certificate, "--timeout", str(TIMEOUT),
                 *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, text=True,
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
    def __init__(self, lab):
        self.lab = lab

    def register(self, node, name, count):
        path = self.lab.folder / f"{name}@{node.domain}"
        with open(path, "w") as out:
            Run(self.lab, "register", "--domain", node.domain, "--port", node.port, "--name", name,
                "--count", count, out=out).wait()
        return Accounts(path, count)

    def addresses(self, name, domains):
        """One user called `name` on each domain, to send to."""
        path = self.lab.folder / f"{name}@{len(domains)}"
        path.write_text("".join(f"{name} {domain} 1 1 -\n" for domain in domains))
        return Accounts(path, len(domains))

    def accept(self, accounts, others):
        Run(self.lab, "accept", "--accounts", accounts.path, "--to", others.path).wait()

    def receive(self, accounts, senders, messages, flow):
        """Returns when all devices are connected."""
        run = Run(self.lab, "receive", "--accounts", accounts.path, "--senders", senders.count,
                  "--messages", messages, "--flow", flow)
        run.wait_line()
        return run

    def send(self, senders, to, messages, flow, **options):
        more = [text for name, value in options.items() for text in (f"--{name}", value)]
        return Run(self.lab, "send", "--accounts", senders.path, "--to", to.path,
                   "--messages", messages, "--flow", flow, *more)

    def flow(self, senders, to, messages, **options):
        """Sends and receives; everything has arrived when it returns."""
        number = new_flow()
        receiving = self.receive(to, senders, messages, number)
        sending = self.send(senders, to, messages, number, **options)
        return Flow(sending, receiving)


def new_flow():
    return next(_numbers)


class Flow:
    """What has come out of one sending and one receiving run, waited for."""

    def __init__(self, sending, receiving):
        sent, received = sending.result(), receiving.result()
        self.messages = received["messages"]
        self.seconds = (received["last_ns"] - sent["first_ns"]) / 1e9
        self.per_second = self.messages / self.seconds
        self.latency = received["latency"]
        self.answers = sent["answers"]
        self.receipts = sent["receipts"]
        self.generator_us = (sending.cpu_us + receiving.cpu_us) / self.messages

    def report(self):
        return {"messages": self.messages, "seconds": round(self.seconds, 3),
                "per_second": round(self.per_second),
                "generator_cpu_us_per_message": round(self.generator_us, 1)}

    def latency_ms(self):
        return Histogram(self.latency).summary_ms()

    def answer_ms(self):
        return Histogram(self.answers).summary_ms()
