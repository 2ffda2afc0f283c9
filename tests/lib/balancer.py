# SPDX-License-Identifier: MIT
"""A TCP balancer: each connection goes to the next process in turn that takes one.

    balancer = Balancer([process.port, ...])
    balancer.start()                  # connect to balancer.port
"""

import asyncio
import itertools
import threading

ADDRESS = "127.0.0.1"
READ_BYTES = 64 * 1024


class Balancer(threading.Thread):
    def __init__(self, ports):
        super().__init__(daemon=True)
        self.port = None
        self._ports = ports
        self._turns = itertools.cycle(range(len(ports)))
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

    async def _accept(self, reader, writer):
        first = next(self._turns)
        for port in self._ports[first:] + self._ports[:first]:
            try:
                back_reader, back_writer = await asyncio.open_connection(ADDRESS, port)
            except OSError:  # that process is down
                continue
            await asyncio.gather(self._pump(reader, back_writer), self._pump(back_reader, writer))
            return
        writer.transport.abort()

    @staticmethod
    async def _pump(reader, writer):
        try:
            while data := await reader.read(READ_BYTES):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
