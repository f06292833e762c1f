"""Streams as the wire shows them: with and without an upgrade, with bytes sent too early, after refusals.

Clients of Docker's own never show these; old and home-made ones do. Each is compared with the engine itself.
"""

import json
import re
import socket

from rig import fleet
from rig.case import ClusterCase, needs_cluster
from rig.cluster import eventually

MULTIPLEXED = b"\x01\x00\x00\x00\x00\x00\x00\x06words\n"  # one frame of stdout


class Wire:
    """A bare connection to a Docker API."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.buffer = b""

    def send(self, method, path, headers=(), body=b""):
        lines = [f"{method} {path} HTTP/1.1", "Host: docker", *headers]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def head(self):
        """Status and headers (lower-case names) of the next answer."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict((name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines))

    def more(self):
        piece = self.socket.recv(65536)
        assert piece, f"the connection ended early after {self.buffer!r}"
        self.buffer += piece

    def until(self, text):
        while text not in self.buffer:
            self.more()
        before, _, self.buffer = self.buffer.partition(text)
        return before + text

    def rest(self):
        """Everything until the other side closes."""
        while piece := self.socket.recv(65536):
            self.buffer += piece
        return self.buffer

    def close(self):
        self.socket.close()


UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


class RawStreams(ClusterCase):
    def both(self):
        """(label, API) of the engine itself, then of the manager."""
        return (("engine", self.direct.api), ("manager", self.cluster.api))

    def wire(self, api):
        wire = Wire(api.address)
        self.addCleanup(wire.close)
        return wire

    def container(self, api, command, **config):
        full = api.post("/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", command], "StopSignal": "KILL", **config})["Id"]
        api.post(f"/containers/{full}/start")
        return full

    def exec_id(self, api, full, command, **config):
        return api.post(f"/containers/{full}/exec", {"Cmd": ["sh", "-c", command], "AttachStdout": True, **config})["Id"]

    def test_without_an_upgrade_the_stream_comes_bare_and_ends_with_the_connection(self):
        for label, api in self.both():
            with self.subTest(label):
                full = self.container(api, "echo words; sleep 2")
                wire = self.wire(api)
                wire.send("POST", f"/containers/{full}/attach?stream=1&stdout=1&logs=1")
                status, headers = wire.head()
                self.assertEqual(status, 200)
                self.assertEqual(headers["content-type"], "application/vnd.docker.raw-stream")
                self.assertNotIn("transfer-encoding", headers)
                self.assertEqual(wire.rest(), MULTIPLEXED)

    def test_with_an_upgrade_the_answer_is_the_engines_101(self):
        for version in ("1.41", "1.51"):
            answers = {}
            for label, api in self.both():
                if version == "1.51" and label == "manager":
                    continue  # the mixed cluster speaks 1.41
                full = self.container(api, "read x; echo words", OpenStdin=True, StdinOnce=True)
                wire = self.wire(api)
                wire.send("POST", f"/v{version}/containers/{full}/attach?stream=1&stdout=1&stdin=1", UPGRADE)
                status, headers = wire.head()
                answers[label] = (status, headers["content-type"], headers["upgrade"])
                self.assertEqual(status, 101, label)
                wire.socket.sendall(b"go\n")
                self.assertEqual(wire.rest(), MULTIPLEXED, label)
            self.assertEqual(len(set(answers.values())), 1, answers)

    @needs_cluster
    def test_bytes_sent_before_the_101_reach_the_container(self):
        """Only through the manager: engines drop them."""
        full = self.container(self.cluster.api, "read x; echo words; sleep 1000", OpenStdin=True)
        wire = self.wire(self.cluster.api)
        head = f"POST /containers/{full}/attach?stream=1&stdout=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        wire.socket.sendall(head.encode() + b"early\n")
        self.assertEqual(wire.head()[0], 101)
        self.assertEqual(wire.until(b"words\n"), MULTIPLEXED)

    def test_the_end_of_input_passes_and_output_goes_on(self):
        for label, api in self.both():
            with self.subTest(label):
                full = self.container(api, "sleep 1000")
                wire = self.wire(api)
                body = json.dumps({"Tty": False}).encode()
                exec_id = self.exec_id(api, full, "cat; sleep 1; echo words", AttachStdin=True)
                wire.send("POST", f"/exec/{exec_id}/start", (*UPGRADE, "Content-Type: application/json"), body)
                self.assertEqual(wire.head()[0], 101)
                wire.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(wire.rest(), MULTIPLEXED)

    @needs_cluster
    def test_a_refused_upgrade_leaves_the_connection_with_the_manager(self):
        """The next request on the connection must see the cluster, not one engine. (An engine closes it.)"""
        wire = self.wire(self.cluster.api)
        wire.send("POST", "/containers/nothing/attach?stream=1&stdout=1", UPGRADE)
        status, headers = wire.head()
        self.assertEqual(status, 404)
        while len(wire.buffer) < int(headers["content-length"]):
            wire.more()
        wire.buffer = b""
        wire.send("GET", "/_ping")
        status, headers = wire.head()
        self.assertEqual(status, 200)
        self.assertRegex(headers["server"], "^swarm/")

    def test_a_detached_exec_is_an_ordinary_call_on_a_connection_that_stays(self):
        for label, api in self.both():
            with self.subTest(label):
                full = self.container(api, "sleep 1000")
                exec_id = self.exec_id(api, full, "true")
                wire = self.wire(api)
                body = json.dumps({"Detach": True}).encode()
                wire.send("POST", f"/exec/{exec_id}/start", (*UPGRADE, "Content-Type: application/json"), body)
                status, headers = wire.head()
                self.assertEqual((status, headers.get("content-length")), (200, "0"))
                wire.send("GET", "/containers/json?all=1")
                status, headers = wire.head()
                self.assertEqual(status, 200)

    def test_attach_over_a_websocket(self):
        for label, api in self.both():
            with self.subTest(label):
                full = self.container(api, "echo words; sleep 1000")
                wire = self.wire(api)
                wire.send("GET", f"/containers/{full}/attach/ws?logs=1&stream=1&stdout=1",
                          ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Origin: http://localhost",
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
                status, headers = wire.head()
                self.assertEqual((status, headers["sec-websocket-accept"]), (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
                self.assertTrue(wire.until(b"words\n"))

    def test_headers_of_streams_come_before_their_first_byte(self):
        for label, api in self.both():
            with self.subTest(label):
                full = self.container(api, "sleep 1000")
                for method, path in (("GET", "/events"), ("GET", f"/containers/{full}/logs?follow=1&stdout=1"),
                                     ("POST", f"/containers/{full}/wait"), ("GET", f"/containers/{full}/stats")):
                    wire = self.wire(api)
                    wire.send(method, path)
                    status, headers = wire.head()
                    self.assertEqual(status, 200, path)
                    self.assertNotIn("content-length", headers, path)

    @needs_cluster
    def test_a_client_that_goes_ends_the_call_at_the_engine(self):
        full = self.container(self.cluster.api, "sleep 1000")
        node = self.node_of(full)
        engine = fleet.engine(node)
        before = self.connections(engine)
        wires = [self.wire(self.cluster.api) for _ in range(8)]
        for wire in wires:
            wire.send("GET", f"/containers/{full}/logs?follow=1&stdout=1")
            wire.head()
        self.assertGreaterEqual(self.connections(engine), before)
        for wire in wires:
            wire.close()
        eventually(lambda: self.connections(engine) <= before, "the engine's connections are closed", show=lambda: (before, self.connections(engine)))

    @staticmethod
    def connections(engine):
        """Established TCP connections to the engine's API, seen from our side."""
        host, port = engine.address.split(":")
        remote = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{int(port):04X}"
        with open("/proc/net/tcp") as table:
            return sum(bool(re.search(rf": \w+:\w+ {remote} 01 ", line)) for line in table)
