# SPDX-License-Identifier: MIT
"""Processes that the cases put beside the nodes: a slow link, a crowd of other nodes, and further
processes of a node."""

import copy
import json
import subprocess
import sys
from pathlib import Path

from lab import ADDRESS, LabError, free_port
from processes import die_with_parent
from measure import thread_cpu

HERE = Path(__file__).resolve().parent


class Helper:
    """A Python program beside this one. Its first line says its port; it ends with its
    standard input."""

    def __init__(self, script, *arguments):
        self._process = subprocess.Popen(
            [sys.executable, HERE / script, *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.ready = json.loads(self.line())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def cpu_us(self):
        """What it has used so far: a helper that is busy all the time is what is measured."""
        return sum(thread_cpu(self._process.pid).values()) / 1000

    def line(self):
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"{self._process.args[1]} has ended")
        return line


class SlowLink(Helper):
    """A port of this machine that leads to another one, with a delay in each direction."""

    def __init__(self, to_port, delay_ms):
        super().__init__("slow_link.py", to_port, delay_ms)
        self.port = self.ready["port"]


class ManyPeers(Helper):
    """Nodes of many domains in one process, and domains whose nodes are dead."""

    def __init__(self, lab, good, refusing, hanging):
        certificate, key = lab.authority.issue("*.good.test")
        super().__init__("many_peer.py", certificate, key)
        for zone in ("good.test", "refusing.test", "hanging.test"):
            lab.names.addresses[zone] = [ADDRESS]  # known zones without TXT records
        self.hosts = {}  # domain -> port
        for kind, count in ("good", good), ("refusing", refusing), ("hanging", hanging):
            for i in range(count):
                self.hosts[f"d{i}.{kind}.test"] = self.ready[kind]

    def arrivals(self, flow, count):
        """(sent, arrived) of this many messages of the flow, in ns of the monotonic clock."""
        arrivals = []
        while len(arrivals) < count:
            arrived_flow, sent, arrived = json.loads(self.line())
            if arrived_flow == flow:
                arrivals.append((sent, arrived))
        return arrivals


def another_process(node, number):
    """Of the same node, with its data folder and its database, at a port of its own. Not
    started."""
    other = copy.copy(node)
    other.name = f"{node.domain}, process {number}"
    other.port = free_port()
    other.options = {**node.options, "listen.port": other.port}
    other.log = node.log.with_name(f"{node.domain}-{number}.log")
    node.lab.nodes[other.name] = other
    return other
