# SPDX-License-Identifier: MIT
"""The cases, the same for each side. Their rows tell of all servers together."""

import time

from generator import new_flow

CASES = {}
WAITING = 100  # messages for each user who is not connected: what ejabberd keeps by default
DOMAINS = "a.example", "b.example"  # libunbound, which Prosody uses, denies .test


def case(function):
    CASES[function.__name__] = function
    return function


def row(name, messages, seconds, nodes, **values):
    total = {key: round(sum(node[key] for node in nodes.values()), 1)
             for key in ("cpu_us_per_message", "disk_bytes_per_message", "rss_mb")}
    return {"name": name, "messages": messages, "per_second": round(messages / seconds),
            "per_cpu_second": round(1e6 / total["cpu_us_per_message"]), **total, **values,
            "nodes": nodes}


def flow_row(name, side, generator, senders, to, messages, servers, **options):
    with side.watch(*servers) as watch:
        flow = generator.flow(senders, to, messages, **options)
    # As fast as it goes, it would only say how many messages are under way.
    latency = {"latency_ms": flow.latency_ms()} if "rate" in options else {}
    return row(name, messages, flow.seconds, watch.report(messages),
               generator_cpu_us_per_message=round(flow.generator_us, 1), **latency)


def online(side, size, domains):
    with side.world(*domains) as (generator, *servers):
        senders = generator.register(servers[0], "sender", size.devices)
        to = generator.register(servers[-1], "recipient", size.devices)
        common = side, generator, senders, to
        generator.flow(senders, to, max(size.messages // 20, 1), window=side.window)
        return [flow_row("as fast as it goes", *common, size.messages, servers,
                         window=side.window),
                flow_row("100 messages a second", *common, 100 * size.seconds, servers,
                         rate=100, window=4096)]


@case
def local(side, size):
    """From users to connected users of the same server."""
    return online(side, size, DOMAINS[:1])


@case
def federated(side, size):
    """From users of one server to connected users of another."""
    return online(side, size, DOMAINS)


def offline(side, size, domains):
    messages = size.messages // side.one_of
    with side.world(*domains) as (generator, *servers):
        senders = generator.register(servers[0], "sender", size.devices)
        to = generator.register(servers[-1], "recipient", max(messages // WAITING, 1))
        flow = new_flow()
        with side.watch(*servers) as storing:
            began = time.monotonic()
            sending = generator.send(senders, to, messages, flow, window=side.window)
            sending.wait()
            if len(servers) > 1:
                side.wait_stored(servers[-1], messages)
            seconds = time.monotonic() - began
        stored = row("stored", messages, seconds, storing.report(messages),
                     generator_cpu_us_per_message=round(sending.cpu_us / messages, 1))
        return [stored, drained(side, generator, senders, to, messages, flow, servers[-1])]


def drained(side, generator, senders, to, messages, flow, server):
    began = time.monotonic()
    with side.watch(server) as watch:
        receiving = generator.receive(to, senders, messages, flow)
        last = receiving.result()["last_ns"] / 1e9
    return row("taken by the users, who connect", messages, last - began,
               watch.report(messages),
               generator_cpu_us_per_message=round(receiving.cpu_us / messages, 1))


@case
def offline_local(side, size):
    """To users of the same server who are not connected; then they are."""
    return offline(side, size, DOMAINS[:1])


@case
def offline_federated(side, size):
    """To users of another server who are not connected; then they are."""
    return offline(side, size, DOMAINS)


@case
def idle(side, size):
    """Users who are connected and do nothing."""
    return [idle_row(side, size, name, tls) for name, tls in
            (("with TLS", True), ("without TLS", False))]


def idle_row(side, size, name, tls):
    count = size.connections
    with side.world(*DOMAINS[:1], tls=tls) as (generator, server):
        users = generator.register(server, "user", count)
        before = side.rss_kb(server)
        idle_run = generator.idle(users)
        time.sleep(size.seconds)
        after = side.rss_kb(server)
        idle_run.wait()
    return {"name": name, "connections": count, "rss_mb": round(after / 1024, 1),
            "kb_per_connection": round((after - before) / count, 1)}
