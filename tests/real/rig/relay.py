"""A TCP relay that can be cut: what stands between one manager and the store, so that a test can part them.

`refuse` is a store whose port is closed; `freeze` is a network that drops everything: connections stay, nothing
arrives. `pass_on` lets all through again (connections that were frozen get what was sent meanwhile).
"""

import select
import socket
import ssl
import threading


class Relay:
    """Listens on a port of its own and carries bytes to `target` (host, port)."""

    def __init__(self, target):
        self.target, self.address = target, None
        self._open = threading.Event()
        self._open.set()
        self._links, self._lock, self._ended = set(), threading.Lock(), False
        self._listener = None
        self._listen(0)

    def _listen(self, port):
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        self._open.wait()
        try:
            far = socket.create_connection(self.target, timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        pair = (near, far)
        with self._lock:
            self._links.add(pair)
        try:
            while True:
                ready, _, _ = select.select(pair, [], [])
                self._open.wait()
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._links.discard(pair)
            _close(pair)

    def freeze(self):
        self._open.clear()

    def refuse(self):
        """Closes the port and all connections."""
        _close([self._listener])
        with self._lock:
            links = list(self._links)
        for pair in links:
            _close(pair)

    def pass_on(self):
        self._open.set()
        if self._listener.fileno() < 0:
            self._listen(int(self.address.rsplit(":", 1)[1]))

    def close(self):
        self._open.set()
        self.refuse()


def _close(sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()


class TlsFront:
    """Speaks TLS with a client certificate demanded, and plain TCP to `target`: an engine of a test with --tlsverify.
    `listener`: where, if not on a free port of loopback."""

    def __init__(self, target, certificates, listener=None):
        self.target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.cert, certificates.key)
        self._context.load_verify_locations(certificates.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # as dockerd: some clients end their direction below TLS
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        try:
            near = self._context.wrap_socket(near, server_side=True)
            far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        up = threading.Thread(target=self._copy, args=(near, far, lambda: far.shutdown(socket.SHUT_WR)), daemon=True)
        up.start()
        self._copy(far, near, lambda: near.unwrap())
        _close([near, far])

    @staticmethod
    def _copy(source, sink, end):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            end()
        except (OSError, ValueError):
            pass

    def close(self):
        _close([self._listener])


def unix_relay(path, target):
    """A unix socket for an engine: with certificates of its own the cluster speaks TLS to addresses, never to those."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)

    def carry(near, far):
        try:
            while data := near.recv(65536):
                far.sendall(data)
        except OSError:
            pass
        try:
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept():
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(target)
            except OSError:
                return
            for pair in ((near, far), (far, near)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener
