# SPDX-License-Identifier: MIT
"""How large the cases are."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    limits: int        # rows and exchanges to measure limits with
    messages: int      # of a flow as fast as it goes
    queued: int        # for the node that is down
    devices: int       # that send, and that receive
    recipients: int    # of what is queued
    seconds: int       # of a flow at a fixed rate
    delay_ms: int      # of the long link, one way
    good: int          # destinations that answer
    refusing: int      # destinations where nobody listens
    hanging: int       # destinations that accept and never answer
    idle: tuple        # sockets without TLS, as far as the limit of open files allows
    idle_tls: int      # sockets with TLS
    claims: int
    senders: tuple
    rows: tuple        # that wait for others, rising
    backlogs: tuple    # messages that wait for a node, rising
    processes: tuple   # of one node
    connections: int   # that are idle, where servers are compared
    repeats: int       # of flows that are over in a second, for their medians


FULL = Size(20_000, 50_000, 200_000, 16, 100, 10, 50, 700, 200, 100, (1_000, 10_000, 100_000),
            20_000, 10_000, (1, 16, 256), (1_000_000,), (1_000, 10_000, 50_000, 200_000), (1, 2),
            2_000, 5)

SIZES = {
    "full": FULL,
    # For ./dev bench --report: so much that it can be run five times, with the others beside.
    "report": dataclasses.replace(FULL, messages=20_000, queued=100_000, seconds=4,
                                  idle=(1_000, 10_000), idle_tls=10_000, connections=1_000),
    "small": Size(1_000, 200, 300, 4, 10, 1, 5, 14, 4, 2, (20, 50), 50, 40, (1, 4), (3_000,),
                  (400, 800), (1, 2), 8, 1),
}
