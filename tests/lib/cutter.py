# SPDX-License-Identifier: MIT
"""A TCP proxy that ends a connection after so many bytes.

    cutter = Cutter(port)             # of the server
    cutter.start()                    # connect to cutter.port
    cutter.arm(UP, 100)               # to the server: 100 bytes more, of whichever connection
    cutter.end_behind_commit()        # as a server of PostgreSQL that is told to stop
    cutter.cut_all()
"""

from forwarder import DOWN, UP, Forwarder

COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
REASON = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FAREWELL = b"E" + (4 + len(REASON)).to_bytes(4, "big") + REASON
FAREWELL_S = 0.2  # from there to the end


class Cutter(Forwarder):
    def __init__(self, target_port):
        super().__init__([target_port])
        self.passed = {UP: 0, DOWN: 0}  # bytes in all
        self._armed = None              # [way, bytes left]
        self._ends_behind_commit = False
        self._ended = set()             # links that bring nothing more

    def arm(self, way, bytes_left):
        self._armed = [way, bytes_left]

    @property
    def armed(self):
        return self._armed is not None

    def disarm(self):
        self._armed = None

    def end_behind_commit(self):
        """Says farewell on the connection of the next commit, between the answer to that and
        the end of the pipeline."""
        self._ends_behind_commit = True

    async def passing(self, link, data, way):
        if link in self._ended:
            return b""
        if way == DOWN and self._ends_behind_commit and COMMITTED in data:
            self._ends_behind_commit = False
            self._ended.add(link)
            self.loop.call_later(FAREWELL_S, self.cut, link)
            return data[:data.index(COMMITTED)] + COMMITTED + FAREWELL
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
