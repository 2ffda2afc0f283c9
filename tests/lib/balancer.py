# SPDX-License-Identifier: MIT
"""A TCP balancer: each connection goes to the next process in turn that takes one.

    balancer = Balancer([process.port, ...])
    balancer.start()                  # connect to balancer.port
"""

import itertools

from forwarder import Forwarder


class Balancer(Forwarder):
    def __init__(self, ports):
        super().__init__(ports)
        self._turns = itertools.cycle(range(len(ports)))

    def targets(self):
        first = next(self._turns)
        ports = super().targets()
        return ports[first:] + ports[:first]
