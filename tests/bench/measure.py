# SPDX-License-Identifier: MIT
"""What the kernel and /metrics say about nodes while something happens:

    with Watch(a, b) as watch:
        ...
    watch.report(messages)
"""

import os
import statistics
import time
from collections import Counter
from pathlib import Path

import stores


def thread_cpu(pid):
    """Nanoseconds that each thread has run, by its name. The first one keeps the name of the
    process; it is the net thread."""
    spent = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = "net" if int(task.name) == pid else (task / "comm").read_text().strip()
        spent[name] += int((task / "schedstat").read_text().split()[0])
    return spent


def memory_mb(pid):
    """VmHWM and VmRSS, in MiB."""
    lines = dict(line.split(":", 1) for line in
                 Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(round(int(lines[name].split()[0]) / 1024, 1) for name in ("VmHWM", "VmRSS"))


def reset_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def bytes_written(pid):
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"])


def stat(pid):
    """The fields of /proc/PID/stat from the third one on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid):
    """A process and all below it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int(stat(path.name)[1])
        except OSError:  # it has ended meanwhile
            continue
    pids = [pid]
    for parent in pids:
        pids += [child for child, its_parent in parents.items() if its_parent == parent]
    return pids


class FamilyWatch:
    """A process and all below it from now on, also those that end or begin meanwhile."""

    def __init__(self, pid):
        self._pid = pid
        self._spent = self._now()

    def end(self):
        self._spent = self._now() - self._spent

    def _now(self):
        ended_ticks = sum(map(int, stat(self._pid)[13:15]))
        now = Counter(cpu=ended_ticks * 10**9 // os.sysconf("SC_CLK_TCK"))
        for pid in family(self._pid):
            try:
                now.update(cpu=sum(thread_cpu(pid).values()), written=bytes_written(pid))
            except OSError:
                continue
        return now

    def report(self, messages):
        return {"cpu_us_per_message": round(self._spent["cpu"] / 1000 / messages, 1),
                "disk_bytes_per_message": round(self._spent["written"] / messages)}


# Counters of /metrics, and what the report calls them per 1,000 messages.
COUNTERS = {"restante_store_commits_total": "commits_per_1000_messages",
            "restante_transactions_sent_total": "transactions_per_1000_messages"}


class NodeWatch:
    """One node's process from now on."""

    def __init__(self, node):
        self.node = node
        reset_peak(node.pid)
        self._counters = self._read_counters()
        self._written = bytes_written(node.pid)
        self._cpu = thread_cpu(node.pid)

    def end(self):
        self._cpu = thread_cpu(self.node.pid) - self._cpu
        self._written = bytes_written(self.node.pid) - self._written
        now = self._read_counters()
        self._counters = {name: now[name] - began for name, began in self._counters.items()}
        self.peak_mb, self.rss_mb = memory_mb(self.node.pid)

    def _read_counters(self):
        return {name: self.node.metric(name) for name in COUNTERS}

    def report(self, messages):
        threads = {name: round(ns / 1000 / messages, 1) for name, ns in self._cpu.items()}
        return {
            "cpu_us_per_message": round(sum(self._cpu.values()) / 1000 / messages, 1),
            "threads": {name: us for name, us in sorted(threads.items()) if us > 0},
            **{COUNTERS[name]: round(1000 * count / messages, 1)
               for name, count in self._counters.items()},
            "disk_bytes_per_message": round(self._written / messages),
            "peak_mb": self.peak_mb,
            "rss_mb": self.rss_mb,
        }


def name_of(node):
    """Its domain; further processes of a node have names (peers.py)."""
    return getattr(node, "name", node.domain)


class Watch:
    """All threads and files of some nodes during the block, and of their database server if
    they have one."""

    def __init__(self, *nodes):
        self._nodes = nodes

    def __enter__(self):
        self._syncs = stores.syncs(self._nodes)
        self._watches = {name_of(node): NodeWatch(node) for node in self._nodes}
        self._watches |= {"PostgreSQL": FamilyWatch(pid) for pid in stores.pids()}
        self._began = time.monotonic()
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            self.seconds = time.monotonic() - self._began
            for watch in self._watches.values():
                watch.end()
            if self._syncs is not None:
                self._syncs = stores.syncs(self._nodes) - self._syncs

    def report(self, messages):
        """By domain, or name of the server."""
        report = {name: watch.report(messages) for name, watch in self._watches.items()}
        if self._syncs is not None:
            report["PostgreSQL"]["syncs_per_1000_messages"] = round(
                1000 * self._syncs / messages, 1)
        return report


def median(values):
    """Of reports of the same shape: of each number in them."""
    first = values[0]
    if isinstance(first, dict):
        return {name: median([value[name] for value in values if name in value])
                for name in first}
    if isinstance(first, list):
        return [median(several) for several in zip(*values)]
    if not isinstance(first, (int, float)):
        return first
    middle = statistics.median(values)
    return round(middle) if isinstance(first, int) else round(middle, 3)


def medians(measured):
    """Of reports of the same shape, which stay with it where they are several."""
    return {**median(measured), **({"runs": measured} if len(measured) > 1 else {})}


class Histogram:
    """How long things took: [ns, count] as the generator prints them."""

    def __init__(self, pairs=()):
        self._counts = Counter()
        self.add(pairs)

    def add(self, pairs):
        for ns, count in pairs:
            self._counts[ns] += count

    def summary_ms(self):
        total = sum(self._counts.values())
        if total == 0:
            return {}
        ordered = sorted(self._counts.items())
        return {"count": total,
                **{f"p{q}": self._quantile_ms(ordered, total * q / 100) for q in (50, 90, 99)},
                "max": round(ordered[-1][0] / 1e6, 2)}

    @staticmethod
    def _quantile_ms(ordered, wanted):
        below = 0
        for ns, count in ordered:
            below += count
            if below >= wanted:
                return round(ns / 1e6, 2)
