"""A TCP proxy on the loopback that counts what passes in each direction: what a wire between two programs would show."""

import socket
import threading


class CountingProxy:
    def __init__(self, target_port):
        self.target_port = target_port
        self.sent = 0  # by those who connect
        self.received = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target_port))
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._carry, args=(near, far, "sent"), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, "received"), daemon=True).start()

    def _carry(self, source, sink, counter):
        try:
            while data := source.recv(1 << 16):
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(data))
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
