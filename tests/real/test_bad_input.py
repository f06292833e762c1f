"""Bad input: a clear error with advice, the right exit code, and nothing lost.

Exit codes: 78 configuration, 69 something needed is not there, 64 usage for `swarmd run` and its kin; 1 for all errors of
the classic commands (manage, join, list, create).
"""

import http.server
import socket
import threading

from rig import fleet, swarmd
from rig.api import Api
from rig.case import EngineCase, needs_cluster
from rig.cluster import ADDRESS, Cluster, eventually, new_token, write_config


@needs_cluster
class Configuration(EngineCase):
    def refused(self, text, *words):
        """Both `check` and the daemon refuse this file with code 78, naming the file and the words."""
        path = write_config("bad", text)
        for arguments in (("check", "--config", str(path)), ("run", "--config", str(path))):
            result = swarmd.run(*arguments)
            self.assertEqual(result.code, 78, result)
            for word in (str(path), *words):
                self.assertIn(word, result.out + result.err, result)

    def test_broken_toml(self):
        self.refused('role = "manager"\n[manager\nhost = 3', "2")  # the line

    def test_unknown_key(self):
        self.refused('role = "manager"\n[discovery]\nurl = "nodes://127.0.0.11:2375"\nheartbeet = "1s"', "heartbeet", "heartbeat")

    def test_all_problems_at_once(self):
        self.refused('role = "boss"\n[discovery]\nheartbeat = "soon"\n[manager]\nstrategie = "spread"', "role", "heartbeat", "strategie")

    def test_missing_file(self):
        result = swarmd.run("run", "--config", "/nowhere/config.toml")
        self.assertEqual(result.code, 78, result)
        self.assertIn("/nowhere/config.toml", result.err)

    def test_good_file_passes(self):
        path = write_config("good", 'role = "manager"\n[discovery]\nurl = "nodes://127.0.0.11:2375"')
        result = swarmd.run("check", "--config", str(path))
        self.assertEqual(result.code, 0, result)


@needs_cluster
class CommandLine(EngineCase):
    def classic_error(self, *arguments, words):
        result = swarmd.run(*arguments)
        self.assertEqual(result.code, 1, result)
        for word in words:
            self.assertIn(word, result.err + result.out, result)

    def test_classic_texts(self):
        for arguments, words in (
            (("manage",), ["discovery required to manage a cluster", "manage --help"]),
            (("join", "token://x"), ["missing mandatory --advertise flag"]),
            (("join", "--addr=nonsense", "token://127.0.0.1:3376/x"), ["--advertise should be of the form ip:port or hostname:port"]),
            (("join", "--addr=127.0.0.11:99999", "token://127.0.0.1:3376/x"), ["--advertise should be of the form"]),
            (("join", "--addr=127.0.0.11:2375", "--ttl=5s", "--heartbeat=10s", "token://127.0.0.1:3376/x"), ["--ttl must be strictly superior"]),
            (("list",), ["discovery required to list a cluster"]),
            (("list", "carrier-pigeon://x"), ["discovery service not supported"]),
            (("list", "bare-token"), ["missing token:// ?"]),
            (("create", "something"), ["takes no arguments"]),
            (("manage", "--strategy=best", "nodes://127.0.0.11:2375"), ["strategy not supported"]),
            (("manage", "--filter=none", "nodes://127.0.0.11:2375"), ["filter not supported"]),
            (("manage", "--heartbeat=1", "nodes://127.0.0.11:2375"), ["invalid --heartbeat"]),
        ):
            with self.subTest(" ".join(arguments)):
                self.classic_error(*arguments, words=words)

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 3376)):
            self.classic_error("manage", "nodes://127.0.0.11:2375", f"--host={ADDRESS}", words=["3376"])
            path = write_config("taken", f'role = "manager"\n[discovery]\nurl = "nodes://127.0.0.11:2375"\n[manager]\nhost = ["tcp://{ADDRESS}"]')
            result = swarmd.run("run", "--config", str(path))
            self.assertEqual(result.code, 69, result)
            self.assertIn("3376", result.err)


class _Teapot(http.server.BaseHTTPRequestHandler):
    """An HTTP server that is no Docker."""

    def do_GET(self):
        body = b"<html>I am a teapot</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_arguments):
        pass


@needs_cluster
class Joining(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up()

    def setUp(self):
        super().setUp()
        self.registry = Api(ADDRESS)
        self.good = sorted(one.address for one in fleet.engines())
        # Whatever is thrown at it: the cluster stays, and no container is lost.
        self.docker = self.cluster.docker()
        self.full = self.docker.out("run", "-d", "--stop-signal=KILL", "busybox", "sleep", "1000")

    def nothing_lost(self):
        listed = swarmd.run("list", f"token://{ADDRESS}/{self.cluster.token}")
        self.assertEqual(sorted(listed.lines), self.good, listed)
        self.assertEqual(self.docker.out("ps", "-q", "--no-trunc"), self.full)
        nodes = self.cluster.nodes()
        for one in fleet.engines():
            self.assertEqual(nodes[one.name]["Status"], "Healthy")

    def test_wrong_token_cannot_list(self):
        result = swarmd.run("list", f"token://{ADDRESS}/{new_token()}")
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.err, "(?i)token|404", "it says that the token is unknown")
        self.nothing_lost()

    def test_wrong_token_cannot_join(self):
        stranger = swarmd.Swarmd("stranger", "join", "--addr=127.0.0.99:2375", "--heartbeat=1s", "--ttl=5s", f"token://{ADDRESS}/{new_token()}")
        self.addCleanup(swarmd.forget, stranger)
        self.addCleanup(stranger.stop)
        stranger.spawn()
        eventually(lambda: "token" in stranger.log().lower() and ("404" in stranger.log() or "unknown" in stranger.log().lower()),
                   "the agent's log says what is wrong", show=stranger.log_tail)
        self.nothing_lost()

    def test_malformed_entries(self):
        path = f"/clusters/{self.cluster.token}"
        for entry in ("nonsense", "127.0.0.1", "127.0.0.1:", ":2375", "127.0.0.1:port", "127.0.0.1:0", "127.0.0.1:70000",
                      "a b:1", "http://x:1", "x" * 5000 + ":1", ""):
            with self.subTest(entry[:40]):
                status, _headers, body = self.registry.raw("POST", path, entry.encode(), {"Content-Type": "application/json"})
                self.assertIn(status, range(400, 500), body)
        self.nothing_lost()

    def test_engine_that_is_no_docker(self):
        teapot = http.server.ThreadingHTTPServer(("127.0.0.50", 2375), _Teapot)
        threading.Thread(target=teapot.serve_forever, daemon=True).start()
        self.addCleanup(teapot.server_close)
        self.addCleanup(teapot.shutdown)
        agent = self.cluster.agent("teapot", "127.0.0.50:2375")
        self.addCleanup(swarmd.forget, agent)
        self.addCleanup(agent.stop)

        def shown():
            """The rows of the node at the teapot's address."""
            return next((node for node in self.cluster.nodes().values() if node["addr"] == "127.0.0.50:2375"), {})

        eventually(lambda: shown().get("Error"), "its node is shown with the reason", show=self.cluster.nodes)
        self.assertNotEqual(shown()["Status"], "Healthy")
        nodes = self.cluster.nodes()
        for one in fleet.engines():
            self.assertEqual(nodes[one.name]["Status"], "Healthy")
        for _ in range(4):  # nothing is ever placed there
            self.docker.ok("run", "--rm", "busybox", "true")
        agent.stop()
        eventually(lambda: not shown(), "it leaves with its agent", show=self.cluster.nodes)
        self.nothing_lost()

    def test_bad_requests(self):
        for method, path, body in (("POST", "/containers/create", b"{"), ("GET", "/containers/json?filters={", None),
                                   ("GET", "/nothing/here", None), ("POST", "/clusters/../x", b"x"), ("GET", "/v9.9/info", None)):
            with self.subTest(f"{method} {path}"):
                status, headers, answer = self.registry.raw(method, path, body, {"Content-Type": "application/json"})
                self.assertIn(status // 100, (4, 5), answer)
                self.assertIn(b'"message"', answer)
        self.nothing_lost()
