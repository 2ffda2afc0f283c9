# SPDX-License-Identifier: MIT
"""The cases: each sets up its nodes, runs, and answers rows of a report. A new one is one
more function with @case."""

import dataclasses
import random
import resource
import threading
import time
from contextlib import contextmanager

import stores
from generator import Generator, new_flow
from lab import ADDRESS, Lab, LabError, wait_until
from limits import measure as measure_limits
from measure import Histogram, Watch, medians, memory_mb
from peers import ManyPeers, SlowLink, another_process
from waiting import batch_of, expire, fill, fill_outboxes, plans, reads_too_much

CASES = {}
OTHER_FILES = 300  # of a node or the generator, besides idle connections
LONG = 1800  # seconds that nothing here takes

OPTIONS = {
    "accounts__password_memory": "8M",
    "accounts__password_passes": 1,
    "accounts__access_token_life": "24h",
    "listen__max_connections_per_source": 0,
    "listen__max_connections": 10_000,
    "limits__rate_scale": 1_000_000,
    "limits__mailbox_items": 10_000_000,
    "limits__mailbox_bytes": "100G",
    "limits__outbox_items": 10_000_000,
    "limits__outbox_bytes": "100G",
    "federation__backoff_first": "100ms",
    "federation__backoff_max": "500ms",
}


def case(function):
    CASES[function.__name__] = function
    return function


@contextmanager
def world(*domains, **options):
    """A generator and nodes for these domains, not started."""
    with Lab() as lab:
        nodes = [lab.add_node(domain, **{**OPTIONS, **stores.options(), **options})
                 for domain in domains]
        yield Generator(lab), *nodes


def row(name, flow=None, nodes=None, **values):
    return {"name": name, **(flow.report() if flow else {}), **values,
            **({"nodes": nodes} if nodes else {})}


def placed(report, axis, at, line):
    """Where the row is in a drawing (plots.py)."""
    return {**report, "plot": {"axis": axis, "at": at, "line": line}}


def fast(name, generator, senders, to, messages, nodes, work=None, **options):
    """A flow as fast as it goes, once the caches are warm if it is long enough. `work`: what
    a message takes of each node at least (limits.py)."""
    if messages >= 1000:
        generator.flow(senders, to, messages // 20, **options)
    with Watch(*nodes) as watch:
        flow = generator.flow(senders, to, messages, **options)
    return flow, row(name, flow, watch.report(messages), **({"work": work} if work else {}))


def steady(name, generator, senders, to, rate, seconds, nodes, **options):
    """A flow at a fixed rate: how long messages take."""
    messages = max(int(rate * seconds), 1)
    with Watch(*nodes) as watch:
        flow = generator.flow(senders, to, messages, rate=rate, window=4096, **options)
    return row(name, flow, watch.report(messages), latency_ms=flow.latency_ms(),
               answer_ms=flow.answer_ms())


def online(size, generator, sender_node, recipient_node, work):
    """Both ways to send, and latency, between devices that are connected."""
    nodes = {node.domain: node for node in (sender_node, recipient_node)}.values()
    senders = generator.register(sender_node, "sender", size.devices)
    to = generator.register(recipient_node, "recipient", size.devices)
    flow, single = fast("one message a frame", generator, senders, to, size.messages, nodes,
                        work())
    _, arrays = fast("16 messages a frame", generator, senders, to, size.messages, nodes,
                     work(16), array=16, window=64)
    half = flow.per_second / 2
    return [single, arrays,
            steady("100 messages a second", generator, senders, to, 100, size.seconds, nodes),
            steady(f"{half:.0f} messages a second, half of the first row", generator, senders,
                   to, half, size.seconds, nodes, busy=1)]


@case
def limits(size):
    """The machine and the libraries without a node."""
    return [row("one core, one thing at a time", **measure_limits(size.limits))]


def local_work(array=1):
    """What a message takes of a.test: it and its answer, it and its acknowledgement."""
    return {"a.test": {"rows": 1, "websocket": 2 / array}}


def federated_work(array=1):
    return {domain: {"rows": 1, "websocket": 1 / array} for domain in ("a.test", "b.test")}


@case
def local(size):
    """From devices to connected devices of the same node."""
    with world("a.test") as (generator, a):
        generator.lab.start()
        return online(size, generator, a, a, local_work)


@case
def federated(size):
    """From devices of a.test to connected devices of b.test."""
    with world("a.test", "b.test") as (generator, a, b):
        generator.lab.start()
        return online(size, generator, a, b, federated_work)


@case
def receipts(size):
    """The same, one message a frame, with a receipt back for each."""
    with world("a.test", "b.test") as (generator, a, b):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(b, "recipient", size.devices)
        generator.accept(to, senders)
        warm = max(size.messages // 20, 1)
        generator.flow(senders, to, warm, receipts=warm)
        with Watch(a, b) as watch:
            flow = generator.flow(senders, to, size.messages, receipts=size.messages)
        work = {"a.test": {"rows": 2, "websocket": 2}, "b.test": {"rows": 2, "websocket": 1}}
        return [row("one message a frame", flow, watch.report(size.messages),
                    receipts=flow.receipts, work=work)]


@case
def devices(size):
    """To recipients who have ten devices each, all connected: a message is ten envelopes. Their
    acknowledgements alone may be more than the store takes at once."""
    with world("a.test") as (generator, a):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(a, "recipient", size.devices, devices=10)
        _, tenfold = fast("one message a frame", generator, senders, to, size.messages // 5, (a,),
                          {"a.test": {"rows": 10, "websocket": 11}}, busy=1)
        tenfold["cpu_us_per_envelope"] = round(
            tenfold["nodes"]["a.test"]["cpu_us_per_message"] / to.devices, 1)
        return [tenfold]


@case
def idle(size):
    """The same as local, one message a frame, while other devices are connected and idle: without
    TLS, then with it."""
    wanted = max(*size.idle, size.idle_tls)
    files = file_limit(wanted + OTHER_FILES)
    plain = {"listen__certificate": "", "listen__key": ""}
    limit = row(f"no more than {files:,}", note="the limit of open files cannot be raised further")
    return [*([limit] if files < wanted else []),
            *idle_rows(size, "without TLS", files, [min(n, files) for n in size.idle], plain),
            *idle_rows(size, "with TLS", files, [min(size.idle_tls, files)], {})]


def file_limit(wanted=0):
    """How many connections a process can have that inherits the limit of this one, raised as
    far as it can be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES


def idle_rows(size, name, files, counts, options):
    """First they connect, to a node that has just started: in memory that nothing has used before.
    Then messages flow, while all are connected, fewer, and none."""
    counts = [0, *sorted(set(counts))]
    with Lab() as lab:
        a = lab.add_node("a.test", **{**OPTIONS, "listen__max_connections": files + 100,
                                   **options})
        generator = Generator(lab, tls=not options)
        lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(a, "recipient", size.devices)
        crowd = generator.register_crowd(a, "idle", counts[-1])
        a.restart()
        generator.idle(senders).wait()  # what the first ones of all touch is not theirs
        flow = generator, senders, to, size.messages // 2, (a,), None if options else local_work()
        crowds = [(0, None, {})] + [(count, *connect_some(generator, a, crowd, began, count))
                                    for began, count in zip(counts, counts[1:])]
        return [idle_row(name, *some, flow) for some in crowds[::-1]][::-1]


def connect_some(generator, node, crowd, began, count):
    """Some more of them, and what memory each of these takes."""
    before = memory_mb(node.pid)[1]
    run = generator.idle(crowd.part(began, count))
    grown = memory_mb(node.pid)[1] - before
    return run, {"kb_per_socket": round(grown * 1024 / (count - began), 1)}


def idle_row(name, count, run, values, flow):
    """While so many are connected; then the last of them leave."""
    _, report = fast(f"{name}, {f'{count:,}' if count else 'none'} idle", *flow)
    if run:
        run.wait()
    return placed({**report, **values}, "idle sockets", count, name)


@case
def claims(size):
    """One-time keys of accounts of the same node and of another one, claimed one after the other
    by each of the claimers."""
    with world("a.test", "b.test", limits__prekeys=10_000) as (generator, a, b):
        generator.lab.start()
        claimers = generator.register(a, "claimer", size.devices)
        return [claims_row(size, name, generator, claimers, owner_node, nodes, work)
                for name, owner_node, nodes, work in (
                    ("of the same node", a, (a,), {"a.test": {"http": 1}}),
                    ("of another node", b, (a, b), {}))]


def claims_row(size, name, generator, claimers, owner_node, nodes, work):
    owners = generator.register(owner_node, "owner", size.devices)
    keys = size.claims // size.devices + 1
    generator.upload(owners, keys)
    generator.accept(owners, claimers)
    with Watch(*nodes) as watch:
        claimed = generator.claim(claimers, owners, size.claims, keys)
    return row(name, claimed, watch.report(size.claims), answer_ms=claimed.answer_ms(), work=work,
               unit="claim")


@case
def senders(size):
    """The same as local, one message a frame, with few senders and many, and short windows and
    long ones."""
    with world("a.test") as (generator, a):
        generator.lab.start()
        to = generator.register(a, "recipient", size.devices)
        groups = [generator.register(a, f"sender-{count}-", count) for count in size.senders]
        return [senders_row(size, generator, a, group, to, window)
                for group in groups for window in (64, 512)]


def senders_row(size, generator, a, group, to, window):
    _, report = fast(f"{group.count} senders, windows of {window}", generator, group, to,
                     size.messages, (a,), local_work(), window=window, busy=1)
    return placed(report, "senders", group.count, f"windows of {window}")


@case
def threads(size):
    """local and federated, one message a frame, with 1, 2 and 3 net threads."""
    return threads_rows(size, "local", "a.test") + threads_rows(size, "federated", "a.test",
                                                                "b.test")


def threads_rows(size, name, *domains):
    rows = []
    for count in (1, 2, 3):
        with world(*domains, listen__threads=count) as (generator, *nodes):
            generator.lab.start()
            senders = generator.register(nodes[0], "sender", size.devices)
            to = generator.register(nodes[-1], "recipient", size.devices)
            rows.append(fast(f"{name}, net threads: {count}", generator, senders, to,
                             size.messages, nodes)[1])
        cpu = [sum(node["cpu_us_per_message"] for node in report["nodes"].values())
               for report in rows]
        rows[-1]["cpu_against_one"] = round(cpu[-1] / cpu[0], 2)
        rows[-1]["speed_against_one"] = round(rows[-1]["per_second"] / rows[0]["per_second"], 2)
    return rows


@case
def http(size):
    """Sends over WebSockets and by HTTP calls, each sender one after the other, to connected
    devices."""
    with world("a.test") as (generator, a):
        generator.lab.start()
        group = generator.register(a, "sender", 4 * size.devices)
        to = generator.register(a, "recipient", size.devices)
        flow = generator, group, to, size.messages, (a,)
        return [fast("WebSocket", *flow, local_work(), window=1)[1],
                fast("HTTP", *flow, {"a.test": {"rows": 1, "http": 1, "websocket": 1}}, window=1,
                     http=1)[1]]


def received(node, count, pause=0.1):
    """Waits until other nodes have brought this many messages since the node started."""
    wait_until(lambda: node.metric("restante_messages_received_total") >= count,
               f"{count} messages at {node.domain}", LONG, pause)


def drain_row(flow_name, drained, messages, *watches):
    seconds = (drained["last_ns"] - drained["first_ns"]) / 1e9
    nodes = {name: report for watch in watches for name, report in watch.report(messages).items()}
    return row(flow_name, nodes=nodes, messages=messages,
               seconds=round(seconds, 3), per_second=round(messages / max(seconds, 1e-9)))


@case
def offline(size):
    """From a.test to devices of b.test that are not connected; then they are."""
    with world("a.test", "b.test") as (generator, a, b):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(b, "recipient", size.devices)
        flow = new_flow()
        with Watch(a, b) as storing:
            began = time.monotonic()
            generator.send(senders, to, size.messages, flow).wait()
            received(b, size.messages)
            seconds = time.monotonic() - began
        with Watch(b) as draining:
            drained = generator.receive(to, senders, size.messages, flow).result()
        return [row("until all are in the mailboxes", nodes=storing.report(size.messages),
                    messages=size.messages, seconds=round(seconds, 3),
                    per_second=round(size.messages / seconds)),
                drain_row("drained", drained, size.messages, draining)]


@case
def waiting(size):
    """The same as local and offline, both at one node, without and with many rows waiting in the
    mailboxes of others: medians of several flows each. Then as many of them expire as a node
    removes meanwhile. And what the database does to find a few rows among all."""
    with world("a.test") as (generator, a):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(a, "recipient", size.devices)
        generator.register(a, "waiter", 100)
        rows = waiting_rows(size, 0, generator, a, senders, to)
        for began, count in zip([0, *size.rows], size.rows):
            a.stop()
            rows.append(filled_row(a, began, count))
            a.start()
            rows += waiting_rows(size, count, generator, a, senders, to)
        rows += expiry_rows(size, generator, a, senders, to)
        a.stop()
        rows += database_rows(size, a)
        a.start()
        return rows


def filled_row(node, began, count):
    return row(f"{count:,} wait: put in", filled=count - began,
               filled_per_second=fill(node, "waiter", count - began))


def database_rows(size, node):
    fill_outboxes(node, ["waits.test"], min(size.rows[-1], 100_000))
    found = plans(node)
    return [row("one batch of housekeeping", **batch_of(node, size.rows[-1])),
            row("plans", plans=found,
                too_much=[sql for sql, lines in found.items() if reads_too_much(sql, lines)])]


def waiting_rows(size, count, *world):
    measured = [waiting_once(size, f"{count:,} wait", *world) for _ in range(size.repeats)]
    return [placed(medians(list(runs)), "rows that wait", count, runs[0]["name"].split(": ")[1])
            for runs in zip(*measured)]


def waiting_once(size, name, generator, a, senders, to):
    _, connected = fast(f"{name}: to connected devices", generator, senders, to, size.messages,
                        (a,), local_work())
    return connected, *mailbox_rows(size, name, generator, a, senders, to)


def mailbox_rows(size, name, generator, a, senders, to):
    flow = new_flow()
    with Watch(a) as storing:
        generator.send(senders, to, size.messages, flow).wait()
    with Watch(a) as draining:
        drained = generator.receive(to, senders, size.messages, flow).result()
    return [row(f"{name}: into the mailboxes", nodes=storing.report(size.messages),
                messages=size.messages, seconds=round(storing.seconds, 3),
                per_second=round(size.messages / storing.seconds)),
            drain_row(f"{name}: drained", drained, size.messages, draining)]


def expiry_rows(size, generator, a, senders, to):
    """A node that starts looks for them at once, and then every second."""
    flow = generator, senders, to, 100, size.seconds, (a,)
    before = steady("100 messages a second", *flow)
    a.stop()
    expire(a, min(size.rows[-1] // 2, (size.seconds + 2) * 2000))
    a.start()
    during = steady("100 messages a second, rows expire", *flow)
    return [before, {**during, "expired": round(a.metric("restante_envelopes_expired_total"))}]


@case
def processes(size):
    """As local and federated, with one process of a.test, and with two on the same database: half
    of the devices are connected to each, and half of the messages go from one to the other."""
    return [report for count in size.processes for report in processes_rows(size, count)]


def processes_rows(size, count):
    name = f"{count} process{'es' if count > 1 else ''}"
    with world("a.test", "b.test") as (generator, a, b):
        generator.lab.start()
        nodes = [a, *(another_process(a, number) for number in range(2, count + 1))]
        for node in nodes[1:]:
            node.start()
        senders = generator.register(a, "sender", size.devices).spread(nodes)
        here = generator.register(a, "recipient", size.devices).spread(nodes)
        there = generator.register(b, "recipient", size.devices)
        return [fast(f"{name}, local", generator, senders, here, size.messages, nodes)[1],
                steady(f"{name}, local, 100 messages a second", generator, senders, here, 100,
                       size.seconds, nodes),
                fast(f"{name}, federated", generator, senders, there, size.messages,
                     [*nodes, b])[1]]


class Fresh:
    """Messages at 100 a second, while the block does something else."""

    RATE = 100

    def __init__(self, generator, senders, to):
        self._arguments = generator, senders, to
        self._histogram = Histogram()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._problem = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        if self._problem and exc[0] is None:
            raise self._problem

    def _run(self):
        generator, senders, to = self._arguments
        try:
            while not self._over.is_set():
                flow = generator.flow(senders, to, self.RATE, rate=self.RATE)
                self._histogram.add(flow.latency)
        except LabError as problem:
            self._problem = problem

    def row(self, name):
        return row(name, latency_ms=self._histogram.summary_ms())


def memory_row(name, *nodes):
    return row(name, nodes={node.domain: dict(zip(("peak_mb", "rss_mb"), memory_mb(node.pid)))
                            for node in nodes})


@case
def catchup(size):
    """b.test is down while messages queue for it at a.test; then it starts. Meanwhile others
    write from a.test to c.test."""
    with world("a.test", "b.test", "c.test") as (generator, a, b, c):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(b, "recipient", size.recipients)
        friends = generator.register(a, "fresh", 1), generator.register(c, "reader", 1)
        flow = new_flow()
        rows = [memory_row("before", a, b)]
        b.stop()
        rows.append(queue_up(size, generator, a, senders, to, flow))
        with Fresh(generator, *friends) as before:
            time.sleep(size.seconds)
        rows.append(before.row("fresh messages a.test to c.test, b.test down"))
        b.start()
        during = Fresh(generator, *friends)
        rows.append(catch_up(size, generator, a, b, senders, to, flow, during))
        rows.append(during.row("fresh messages a.test to c.test, during it"))
        time.sleep(size.seconds)
        return [*rows, memory_row(f"{size.seconds} s later", a, b)]


def queue_up(size, generator, a, senders, to, flow):
    with Watch(a) as watch:
        generator.send(senders, to, size.queued, flow, array=16, window=64).wait()
    return row("queueing, b.test down", nodes=watch.report(size.queued), messages=size.queued,
               seconds=round(watch.seconds, 3), per_second=round(size.queued / watch.seconds))


def catch_up(size, generator, a, b, senders, to, flow, meanwhile):
    """From the first message on; a.test has to notice first that b.test is there."""
    began = time.monotonic()
    draining = generator.receive(to, senders, size.queued, flow)
    received(b, 1, pause=0.02)
    with Watch(a, b) as watch, meanwhile:
        received(b, size.queued)
        stored = time.monotonic()
        drained = draining.result()
    first, last = drained["first_ns"] / 1e9, drained["last_ns"] / 1e9
    return row("catch-up, b.test up, its devices connected", nodes=watch.report(size.queued),
               messages=size.queued, seconds_until_first=round(first - began, 2),
               seconds_until_stored=round(stored - first, 2), seconds=round(last - first, 3),
               per_second=round(size.queued / (last - first)))


@case
def backlog(size):
    """The same catch-up with few messages and many, and nobody else writes: does a backlog cost
    more than its messages?"""
    with world("a.test", "b.test") as (generator, a, b):
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(b, "recipient", size.recipients)
        return [backlog_row(dataclasses.replace(size, queued=count), generator, a, b, senders, to)
                for count in size.backlogs]


def backlog_row(size, generator, a, b, senders, to):
    flow, messages = new_flow(), size.queued
    b.stop()
    queue_up(size, generator, a, senders, to, flow)
    with Watch(a) as sending:
        a.pause()  # until those who will get them are connected
        b.start()
        draining = generator.receive(to, senders, messages, flow)
        with Watch(b) as receiving:
            a.resume()
            drained = draining.result()
    report = drain_row(f"{messages:,} waited", drained, messages, sending, receiving)
    peaks = {f"{domain}, peak": node["peak_mb"] for domain, node in report["nodes"].items()}
    return {**report, "plot": {"axis": "messages that wait", "at": messages, "values": {
        "throughput": ("messages/s", {"catch-up": report["per_second"]}),
        "memory": ("MiB", peaks)}}}


@case
def longlink(size):
    """From a.test to connected devices of b.test, whose node is far away."""
    with world("a.test", "b.test") as (generator, a, b), SlowLink(b.port, size.delay_ms) as link:
        a.set({"federation.hosts": f"b.test={ADDRESS}:{link.port}"})
        generator.lab.start()
        senders = generator.register(a, "sender", size.devices)
        to = generator.register(b, "recipient", size.devices)
        began_us = link.cpu_us()
        _, single = fast(f"{2 * size.delay_ms} ms there and back, one message a frame", generator,
                         senders, to, size.messages, (a, b), federated_work())
        single["helper_cpu_us_per_message"] = round(
            (link.cpu_us() - began_us) / size.messages, 1)
        return [single, steady("100 messages a second", generator, senders, to, 100, size.seconds,
                               (a, b))]


@case
def many(size):
    """One message each to many destinations, at first contact and again, without and with
    destinations that are dead."""
    return many_rows(size, 0, 0) + many_rows(size, size.refusing, size.hanging)


def many_rows(size, refusing, hanging):
    # The waits of a node as it comes: the dead ones are tried as often as they would be.
    with world("a.test", federation__backoff_first="5s", federation__backoff_max="1h") as (
            generator, a), ManyPeers(generator.lab, size.good, refusing, hanging) as peers:
        a.set({"federation.hosts": ",".join(f"{domain}={ADDRESS}:{port}"
                                            for domain, port in peers.hosts.items())})
        generator.lab.start()
        senders = generator.register(a, "sender", 1)
        domains = list(peers.hosts)
        random.Random(1).shuffle(domains)
        to = generator.addresses("u", domains)
        return [many_row(name, size, generator, a, senders, to, peers)
                for name in ("first contact", "again")]


def many_row(name, size, generator, a, senders, to, peers):
    flow = new_flow()
    began_us = peers.cpu_us()
    with Watch(a) as watch:
        generator.send(senders, to, to.count, flow, array=16, window=64).wait()
        arrivals = peers.arrivals(flow, size.good)
    seconds = max(arrived - sent for sent, arrived in arrivals) / 1e9
    histogram = Histogram([(arrived - sent, 1) for sent, arrived in arrivals])
    return row(f"{name}: {size.good} good destinations and {to.count - size.good} dead ones",
               nodes=watch.report(to.count), messages=size.good, seconds=round(seconds, 3),
               helper_cpu_us_per_message=round((peers.cpu_us() - began_us) / size.good, 1),
               latency_ms=histogram.summary_ms())
