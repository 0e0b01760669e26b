"""A TCP link that is slow, far and sometimes cut, in user space: for machines where nobody may control traffic.

    with TcpShaper(delay_seconds=0.02, bytes_per_second=5_000_000) as shaper:
        port = shaper.start(target_port)       # connect to 127.0.0.1:port instead
        shaper.cut(2.0)                        # connections die, new ones are refused, for two seconds
        shaper.cut(None); ...; shaper.mend()   # until told
        shaper.freeze(1.0)                     # nothing arrives, but no connection is told

Each direction of each connection has the rate; bytes arrive `delay_seconds` after they were sent, in order. A cut is seen by
both ends as a reset. Runs in a thread of its own; its methods may be called from any thread.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time

PIECE = 16 << 10


class TcpShaper:
    def __init__(self, delay_seconds=0.0, bytes_per_second=None):
        self.delay_seconds, self.bytes_per_second = delay_seconds, bytes_per_second
        self.carried = 0  # bytes, both ways
        self.connections = 0  # that were ever made
        self.cuts = 0
        self.links = set()
        self.cut_until = self.frozen_until = 0.0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="tcp-shaper", daemon=True)
        self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, target_port, port=0):
        self.target_port = target_port
        if not self.thread.is_alive():
            self.thread.start()
        listening = self.call(asyncio.start_server(self.serve, "127.0.0.1", port))
        self.server = listening
        return listening.sockets[0].getsockname()[1]

    def stop(self):
        if self.server is None:
            return
        self.call(self.close())
        self.server = None
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def cut(self, seconds):
        """None: until mend()."""
        self.cuts += 1
        self.cut_until = float("inf") if seconds is None else time.monotonic() + seconds
        self.call(self.reset_all())

    def mend(self):
        self.cut_until = self.frozen_until = 0.0

    def freeze(self, seconds):
        self.frozen_until = time.monotonic() + seconds

    # On the loop's thread.

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def close(self):
        self.server.close()
        await self.reset_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reset_all(self):
        for writer in list(self.links):
            reset(writer)
        self.links.clear()
        await asyncio.sleep(0)

    async def serve(self, reader, writer):
        self.connections += 1
        if time.monotonic() < self.cut_until:
            return reset(writer)
        self.links.add(writer)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            self.links.add(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self.carry(reader, far_writer))
                both.create_task(self.carry(far_reader, writer))
            finish = asyncio.StreamWriter.close
        except* (OSError, asyncio.CancelledError):  # one end broke, or the far end is not there, or we are stopped
            finish = reset
        for end in filter(None, (writer, far_writer)):
            self.links.discard(end)
            finish(end)

    async def carry(self, reader, writer):
        """One direction: a reader that fills a queue of (when, bytes), a writer that empties it in time."""
        queue = asyncio.Queue(maxsize=256)

        async def fill():
            free_at = 0.0  # when the line has sent what it was given
            while True:
                data = await reader.read(PIECE)
                now = time.monotonic()
                free_at = max(free_at, now) + (len(data) / self.bytes_per_second if self.bytes_per_second else 0)
                await queue.put((free_at + self.delay_seconds, data))
                if not data:
                    return

        async def empty():
            while True:
                when, data = await queue.get()
                while (wait := max(when, self.frozen_until) - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                self.carried += len(data)
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(fill())
            both.create_task(empty())


def reset(writer):
    """Ends the connection at once, as a broken line does, instead of politely."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
