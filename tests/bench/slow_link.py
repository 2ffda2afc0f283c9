#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""slow_link.py PORT MS: forwards TCP connections to a port of this machine. Every byte is
delayed by so many milliseconds in each direction; how many are under way is not limited.
Prints its own port as JSON and ends with its standard input."""

import asyncio
import json
import sys

ADDRESS = "127.0.0.1"
CHUNK = 1 << 18


async def carry(reader, writer, delay):
    """One direction of one connection."""
    loop = asyncio.get_running_loop()
    under_way = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivering = asyncio.create_task(deliver())
    try:
        while data := await reader.read(CHUNK):
            under_way.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    under_way.put_nowait((loop.time() + delay, b""))
    try:
        await delivering
    except ConnectionError:
        pass


async def main(port, delay):
    async def connected(reader, writer):
        far_reader, far_writer = await asyncio.open_connection(ADDRESS, port, limit=CHUNK)
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, delay))

    server = await asyncio.start_server(connected, ADDRESS, 0, limit=CHUNK)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]) / 1000))
