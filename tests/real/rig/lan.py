"""A local network of machines that exist only as network namespaces, joined by a bridge in the session's own.

The session is on the bridge, too, so the tests reach all of them. Everything lives in kernel objects that go with the
processes that hold them: nothing has to be taken down by name. It is *not* a network of engines: an engine is seen on the
LAN through a relay (`Host.relay`), whose listening socket is on that machine and whose other end is the engine.
"""

import ctypes
import os
import socket
import struct
import subprocess
import threading

from . import guard
from .cluster import eventually

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def listen_in(namespace, port):
    """A socket that listens on `port` of another network namespace, given as a file."""
    made = []

    def make():
        # Of this thread alone; it ends right after.
        with open(namespace) as file:
            if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server(("0.0.0.0", port), backlog=64))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


class Lan:
    """A bridge with hosts on it. `down` ends it all."""

    def __init__(self, bridge="lan0", prefix="10.99.0"):
        self.bridge, self.prefix, self.hosts, self._open = bridge, prefix, [], []
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", f"{prefix}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")

    def host(self, number):
        """A machine with address PREFIX.number on its eth0."""
        one = Host(self, number)
        self.hosts.append(one)
        return one

    def capture(self):
        """Listens to all that many may hear, from now on."""
        return self.keep(Capture(self.bridge))

    def keep(self, thing):
        self._open.append(thing)
        return thing

    def down(self):
        for thing in self._open + self.hosts:
            thing.close()
        ip("link", "del", self.bridge)


class Host:
    """One machine: a process that does nothing holds its network namespace."""

    def __init__(self, lan, number):
        self.lan, self.address = lan, f"{lan.prefix}.{number}"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=guard.die_with_parent)
        self._namespace = f"/proc/{self.holder.pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(self._namespace) != own, "the machine has a network of its own")
        self.port = f"v{number}"
        ip("link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        ip("link", "set", self.port, "master", lan.bridge, "up")
        self.ip("link", "set", "lo", "up")
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.mac = self._mac()

    def _mac(self):
        shown = subprocess.run([*self.within, "ip", "-o", "link", "show", "eth0"], check=True, capture_output=True, text=True).stdout
        return bytes.fromhex(shown.split("link/ether ")[1].split()[0].replace(":", ""))

    @property
    def within(self):
        """What to put before a command that runs on this machine."""
        return ("nsenter", f"--net={self._namespace}", "--")

    def ip(self, *words):
        subprocess.run([*self.within, "ip", *words], check=True, capture_output=True, text=True)

    def move(self, number):
        """Another address, as DHCP would have it: the old one is gone at once."""
        old, self.address = self.address, f"{self.lan.prefix}.{number}"
        self.ip("addr", "del", f"{old}/24", "dev", "eth0")
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")

    def relay(self, port, target):
        """Makes what listens at `target` (host, port; reached from the session) listen on this machine."""
        return self.lan.keep(Relay(listen_in(self._namespace, port), target))

    def close(self):
        ip("link", "del", self.port)  # the namespace itself goes a while after its last process
        self.holder.kill()
        self.holder.wait()


class Relay:
    """Copies bytes between a listening socket and a target until it is closed."""

    def __init__(self, listener, target):
        self.listener, self.target = listener, target
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _peer = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        # `close` alone would leave `accept` waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Capture:
    """The mDNS packets that crossed the bridge, as (source MAC, payload)."""

    def __init__(self, bridge):
        self.packets = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((bridge, 0))
        self._socket.settimeout(0.2)
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while not self._closed:
            try:
                frame = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            payload = mdns(frame)
            if payload is not None:
                self.packets.append((frame[6:12], payload))

    def of(self, host):
        """What this machine sent."""
        return [payload for mac, payload in list(self.packets) if mac == host.mac]

    def close(self):
        self._closed = True
        self._socket.close()


def mdns(frame):
    """The payload of a UDP packet to or from port 5353, IPv4 or IPv6; None for all else."""
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0800 and frame[23] == socket.IPPROTO_UDP:
        at = 14 + (frame[14] & 15) * 4
    elif kind == 0x86DD and frame[20] == socket.IPPROTO_UDP:
        at = 14 + 40
    else:
        return None
    return frame[at + 8:] if 5353 in struct.unpack("!HH", frame[at:at + 4]) else None
