# SPDX-License-Identifier: MIT
"""A TCP proxy that ends a connection after so many bytes.

    cutter = Cutter(port)             # of the server
    cutter.start()                    # connect to cutter.port
    cutter.arm(UP, 100)               # to the server: 100 bytes more, of whichever connection
    cutter.cut_all()
"""

import asyncio
import threading

ADDRESS = "127.0.0.1"
READ_BYTES = 64 * 1024
UP, DOWN = "up", "down"


class Cutter(threading.Thread):
    def __init__(self, target_port):
        super().__init__(daemon=True)
        self.port = None
        self.passed = {UP: 0, DOWN: 0}  # bytes in all
        self._target_port = target_port
        self._links = set()             # pairs of writers
        self._armed = None              # [way, bytes left]
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()

    def start(self):
        super().start()
        self._serving.wait()

    def run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _serve(self):
        server = await asyncio.start_server(self._accept, ADDRESS, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._serving.set()

    def arm(self, way, bytes_left):
        self._armed = [way, bytes_left]

    @property
    def armed(self):
        return self._armed is not None

    def disarm(self):
        self._armed = None

    def cut_all(self):
        self._loop.call_soon_threadsafe(lambda: [self._cut(link) for link in list(self._links)])

    def _cut(self, link):
        self._links.discard(link)
        for writer in link:
            writer.transport.abort()

    async def _accept(self, reader, writer):
        try:
            back_reader, back_writer = await asyncio.open_connection(ADDRESS, self._target_port)
        except OSError:  # the server is down: so is the way to it
            return writer.transport.abort()
        link = (writer, back_writer)
        self._links.add(link)
        await asyncio.gather(self._pump(link, reader, back_writer, UP),
                             self._pump(link, back_reader, writer, DOWN))
        self._links.discard(link)

    async def _pump(self, link, reader, writer, way):
        try:
            while data := await reader.read(READ_BYTES):
                left = self._take(way, len(data))
                writer.write(data[:left])
                self.passed[way] += left
                if left < len(data):
                    return self._cut(link)
                await writer.drain()
            for end in link:
                end.close()
        except OSError:
            self._cut(link)

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
