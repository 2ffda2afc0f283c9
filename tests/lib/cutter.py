# SPDX-License-Identifier: MIT
"""A TCP proxy that ends a connection after so many bytes.

    cutter = Cutter(port)             # of the server
    cutter.start()                    # connect to cutter.port
    cutter.arm(UP, 100)               # to the server: 100 bytes more, of whichever connection
    cutter.cut_all()
"""

from forwarder import DOWN, UP, Forwarder


class Cutter(Forwarder):
    def __init__(self, target_port):
        super().__init__([target_port])
        self.passed = {UP: 0, DOWN: 0}  # bytes in all
        self._armed = None              # [way, bytes left]

    def arm(self, way, bytes_left):
        self._armed = [way, bytes_left]

    @property
    def armed(self):
        return self._armed is not None

    def disarm(self):
        self._armed = None

    async def passing(self, link, data, way):
        left = self._take(way, len(data))
        self.passed[way] += left
        link.over = left < len(data)
        return data[:left]

    def _take(self, way, size):
        """How many of these bytes may pass."""
        if self._armed is None or self._armed[0] != way:
            return size
        if size <= self._armed[1]:
            self._armed[1] -= size
            return size
        left = self._armed[1]
        self._armed = None
        return left
