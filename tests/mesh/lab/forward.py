"""The stand-in for kube-proxy: hands TCP connections on. Run as `python -m lab.forward HERE PORT THERE PORT`."""

from __future__ import annotations

import asyncio
import sys


async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: tuple[str, int]) -> None:
    """One connection, both ways, until either side closes it."""
    try:
        onward_reader, onward_writer = await asyncio.open_connection(*there)
    except OSError:
        writer.close()
        return
    pumps = [asyncio.create_task(pump(reader, onward_writer)), asyncio.create_task(pump(onward_reader, writer))]
    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for side in (writer, onward_writer):
        side.close()
    await asyncio.gather(*pumps, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One way of a connection."""
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass  # the other side has gone


async def main(here: tuple[str, int], there: tuple[str, int]) -> None:
    """Serve until it is killed."""
    server = await asyncio.start_server(lambda reader, writer: hand_on(reader, writer, there), *here)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main((sys.argv[1], int(sys.argv[2])), (sys.argv[3], int(sys.argv[4]))))
