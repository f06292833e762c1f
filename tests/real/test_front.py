"""The agent before an engine that listens on its unix socket only: everything that people do, over mutual TLS twice."""

import shutil
import socket
import ssl
import subprocess
import unittest

from rig import session, swarmd
from rig.case import needs_cluster
from rig.cluster import eventually
from rig.fronted import FRONT, MANAGER, Fronted
from test_streams import Terminal

MIB = 1 << 20


@needs_cluster
class Front(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.fronted = Fronted()
        cls.addClassCleanup(cls.fronted.down)
        cls.fronted.up()
        cls.docker = cls.fronted.docker()

    def setUp(self):
        self.addCleanup(self.fronted.engine.clean)

    def container(self, name, command):
        self.docker.ok("run", "-d", "--name", name, "--stop-signal=KILL", "busybox", "sh", "-c", command)

    def test_streams_of_all_kinds(self):
        docker = self.docker
        self.assertEqual(docker.ok("run", "--rm", "-i", "busybox", "cat", input=b"through" * MIB).raw, b"through" * MIB)
        self.container("one", "while read line; do echo got $line; done; sleep 1000")
        self.assertEqual(docker.ok("exec", "-i", "one", "sh", "-c", "cat; echo end", input=b"in ").out, "in end")
        self.container("talker", "while echo tick; do sleep 0.1; done")
        logs = docker.popen("logs", "-f", "talker")
        self.addCleanup(logs.kill)
        self.assertEqual([logs.stdout.readline() for _ in range(3)], [b"tick\n"] * 3)
        docker.ok("rm", "-f", "talker")
        self.assertEqual(logs.wait(20), 0)
        terminal = Terminal(docker, "exec", "-it", "one", "sh", size=(40, 100))
        self.addCleanup(terminal.close)
        terminal.until("# ")
        eventually(lambda: "40 100" in terminal.ask("stty size"), "the size of the terminal", show=lambda: terminal.seen[-500:])

    def test_attach(self):
        self.docker.ok("create", "-i", "--name", "reader", "busybox", "sh", "-c", "cat; echo end")
        result = self.docker.ok("start", "-ai", "reader", input=b"words\n")
        self.assertEqual(result.out, "words\nend")

    def test_files_both_ways_and_a_build(self):
        place = session.state_dir() / "disk" / "front"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        data = b"0123456789abcdef" * (MIB // 2)
        (place / "data").write_bytes(data)
        self.container("box", "sleep 1000")
        self.docker.ok("cp", str(place / "data"), "box:/data")
        self.docker.ok("cp", "box:/data", str(place / "back"))
        self.assertEqual((place / "back").read_bytes(), data)
        (place / "back").unlink()
        (place / "Dockerfile").write_text("FROM busybox\nCOPY data /data\nRUN wc -c < /data > /size\n")
        for builder in ("0", "1"):
            with self.subTest(DOCKER_BUILDKIT=builder):
                tag = f"made{builder}"
                self.fronted.docker(environment={"DOCKER_BUILDKIT": builder}).ok("build", "-t", tag, str(place))
                self.assertEqual(self.docker.ok("run", "--rm", tag, "cat", "/size").out, str(len(data)))
        saved = self.docker.ok("save", "made0").raw
        self.assertGreater(len(saved), len(data))
        self.docker.ok("rmi", "-f", "made0")
        self.assertIn("Loaded image", self.docker.ok("load", input=saved).out)

    def test_no_plain_port_anywhere(self):
        inside = self.fronted.engine.run_inside("ss", "-Hltn")
        self.assertEqual(inside, "", "on the machine of the engine nothing listens")
        listening = subprocess.run(["ss", "-Hltn"], check=True, text=True, stdout=subprocess.PIPE).stdout
        ours = {line.split()[3] for line in listening.splitlines()}
        self.assertLessEqual({MANAGER, FRONT}, ours)
        for address in (MANAGER, FRONT):
            host, port = address.split(":")
            with socket.create_connection((host, int(port)), timeout=10) as plain:
                plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertNotIn(b"HTTP/1.1 200", plain.recv(4096), address)

    def test_only_managers_come_in(self):
        self.assertEqual(self.fronted.docker(FRONT, "manager").ok("ps", "-q").out, "")
        for who in ("user", "agent"):
            refused = self.fronted.docker(FRONT, who).run("ps", "-q")
            self.assertNotEqual(refused.code, 0, who)
            self.assertIn("tls: access denied", refused.err)
        without = ssl.create_default_context(cafile=self.fronted.certificates.ca)
        with socket.create_connection(("127.0.0.1", 2376), timeout=10) as tcp:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with without.wrap_socket(tcp, server_hostname="127.0.0.1") as stranger:
                    stranger.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertNotIn(b"200", stranger.recv(4096))
                    raise ConnectionError("closed")

    def test_an_engine_that_dies_is_told_at_once(self):
        self.fronted.engine.kill()
        self.addCleanup(lambda: self.fronted.engine.alive() or self.fronted.engine.start())
        self.fronted.wait("Unhealthy")
        self.assertIn("has no engine to offer", self.fronted.rows()["  └ Error"])
        bare = self.fronted.docker(FRONT, "manager").run("ps")
        self.assertIn("is dockerd running", bare.err)
        self.fronted.engine.start()
        self.fronted.wait("Healthy")
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "again").out, "again")

    def test_the_agent_says_what_it_is(self):
        config = str(session.state_dir() / "swarmd" / "fronted-agent.toml")
        text = eventually(lambda: self.status(config), "a status", show=lambda: self.said)
        self.assertIn(f"front       tcp://{FRONT}, TLS, for managers only", text)
        self.assertIn(f"as {FRONT} with", text)
        self.assertIn(f"engine      unix://{self.fronted.engine.path} answers", text)
        eventually(lambda: any(f"front: {FRONT}, " in line for line in self.fronted.agent.statuses), "its line", show=lambda: self.fronted.agent.statuses)

    def status(self, config):
        result = swarmd.run("status", "--config", config)
        self.said = str(result)
        return result.out if " answers" in result.out and " as " in result.out else None

    def test_the_agent_starts_anew(self):
        self.assertEqual(self.fronted.agent.stop(), 0)
        self.fronted.agent.start()
        self.fronted.wait("Healthy")
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "again").out, "again")
