"""The link that tests put between gates and coordinator: what it delays, limits, cuts and freezes."""

import socket
import threading
import time
import unittest

from tcp_shaper import TcpShaper


class Echo:
    """Sends back what comes."""

    def __enter__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()
        return self.listening.getsockname()[1]

    def __exit__(self, *_):
        self.listening.close()

    def accept(self):
        while True:
            try:
                end, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(end,), daemon=True).start()

    def answer(self, end):
        with end:
            try:
                while data := end.recv(65536):
                    end.sendall(data)
            except OSError:
                pass


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def receive(end, count):
    data = b""
    while len(data) < count:
        piece = end.recv(65536)
        if not piece:
            break
        data += piece
    return data


def is_broken(port_or_end, word=b""):
    """Whether the connection ends or is reset, rather than answering; a silent one raises TimeoutError."""
    try:
        with connect(port_or_end) if isinstance(port_or_end, int) else port_or_end as end:
            end.sendall(word)
            return end.recv(1) == b""
    except ConnectionError:
        return True


class TcpShaperTest(unittest.TestCase):
    def test_carries_every_byte_in_order_and_passes_the_end_on(self):
        with Echo() as target, TcpShaper() as shaper:
            data = bytes(i * 7 % 251 for i in range(300000))
            with connect(shaper.start(target)) as end:
                threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR))).start()
                self.assertEqual(receive(end, len(data)), data)
                self.assertEqual(end.recv(1), b"")
            self.assertEqual(shaper.carried, 2 * len(data))

    def test_takes_at_least_the_time_of_its_delay_and_rate(self):
        with Echo() as target, TcpShaper(delay_seconds=0.1, bytes_per_second=1_000_000) as shaper:
            with connect(shaper.start(target)) as end:
                began = time.monotonic()
                end.sendall(b"x" * 200_000)
                receive(end, 200_000)
                # There and back; the first pieces come back while the last ones are on their way.
                self.assertGreaterEqual(time.monotonic() - began, 0.2 + 0.2)

    def test_a_cut_breaks_connections_and_refuses_new_ones_until_it_is_mended(self):
        with Echo() as target, TcpShaper() as shaper:
            port = shaper.start(target)
            with connect(port) as end:
                end.sendall(b"hello")
                self.assertEqual(receive(end, 5), b"hello")
                shaper.cut(None)
                self.assertTrue(is_broken(end))
            self.assertTrue(is_broken(port, b"hello"))
            self.assertTrue(is_broken(port, b"hello"))
            shaper.mend()
            with connect(port) as end:
                end.sendall(b"again")
                self.assertEqual(receive(end, 5), b"again")

    def test_a_frozen_line_loses_nothing(self):
        with Echo() as target, TcpShaper() as shaper:
            with connect(shaper.start(target)) as end:
                shaper.freeze(0.3)
                began = time.monotonic()
                end.sendall(b"hello")
                self.assertEqual(receive(end, 5), b"hello")
                self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_a_target_that_is_not_there_is_a_broken_connection(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            target = probe.getsockname()[1]
        with TcpShaper() as shaper:
            self.assertTrue(is_broken(shaper.start(target)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
