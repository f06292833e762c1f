"""The cluster's own certificates: one line makes a node, nobody else gets in, and a new CA breaks no stream."""

import json
import re
import shutil
import socket
import ssl
import threading
import unittest

from rig import cli, image, session, swarmd
from rig.case import needs_cluster
from rig.cluster import eventually, write_config
from rig.engine import HiddenEngine
from rig.store import Certificates

MANAGER, FRONT = "127.0.0.1:3391", "127.0.0.1:2376"
TOKEN = re.compile(r"SWMD-1-[a-z]+-[a-z2-7]{52}-[a-z2-7]+-[a-z2-7]+")


class Impostor:
    """Somebody in between, with a CA of his own: takes TLS apart, and keeps what he could read."""

    def __init__(self):
        home = Certificates("impostor").issue("manager", "/OU=manager/CN=boss")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{home}/cert.pem", f"{home}/key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard, self.failed, self._context = b"", 0, context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            near.settimeout(5)
            try:
                with self._context.wrap_socket(near, server_side=True) as stream:
                    self.heard += stream.recv(65536)
            except OSError:
                self.failed += 1

    def close(self):
        self._listener.close()


@needs_cluster
class Pki(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.engine = HiddenEngine("hidden")
        cls.addClassCleanup(lambda: cls.engine.alive() and cls.engine.kill())
        cls.engine.start()
        cls.engine.api.post("/images/create", image.rootfs(), fromSrc="-", repo="busybox", tag="latest", changes='CMD ["sh"]')
        config = write_config("pki-manager", f"""
            role = "manager"
            state-dir = "{session.state_dir()}/swarmd/pki-manager"
            [log]
            level = "debug"
            [discovery]
            heartbeat = "1s"
            [manager]
            host = ["unix://{session.state_dir()}/swarmd/pki.sock", "tcp://{MANAGER}"]
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            [pki]
            enabled = true
            """)
        cls.config = str(config)
        cls.manager = swarmd.Swarmd("pki-manager", "run", "--config", cls.config)
        cls.addClassCleanup(cls.end, cls.manager)
        cls.manager.start()
        # An agent, as the package and the printed line make one.
        home = session.state_dir() / "swarmd" / "pki-etc"
        cls.addClassCleanup(shutil.rmtree, home, True)
        home.mkdir(parents=True, exist_ok=True)
        cls.agent_config = home / "config.toml"
        cls.agent_config.write_text(f"""
            [log]
            level = "debug"
            [discovery]
            heartbeat = "1s"
            ttl = "5s"
            [agent]
            front = "{FRONT}"
            engine = "unix://{cls.engine.path}"
            """)
        cls.agent = swarmd.Swarmd("pki-agent", "run", "--config", str(cls.agent_config))
        cls.addClassCleanup(cls.end, cls.agent)
        cls.token = cls.new_token("agent")
        cls.joined = cls.join(cls.token, state=cls.agent.state, config=cls.agent_config)
        cls.agent.start()
        eventually(lambda: cls.rows().get("  └ Status") == "Healthy", "the node is there", show=cls.rows)
        cls.docker = cls.docker_as(cls.manager)

    @classmethod
    def end(cls, one):
        one.stop()
        swarmd.forget(one)

    @classmethod
    def ask(cls, *words):
        result = swarmd.run(*words, "--config", cls.config)
        assert result.code == 0, result
        return result.out

    @classmethod
    def new_token(cls, *words):
        return TOKEN.search(cls.ask("join-token", *words)).group()

    @classmethod
    def join(cls, token, state, config, manager=MANAGER):
        return swarmd.run("join", "--no-start", "--state-dir", str(state), "--config", str(config), "--token", token, manager)

    @classmethod
    def docker_as(cls, who, address=MANAGER):
        return cli.docker(address, environment={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(who.state / "pki")})

    @classmethod
    def rows(cls):
        answer = cls.docker_as(cls.manager).ok("info", "--format", "{{json .SystemStatus}}").json()
        return dict(pair for pair in answer or ())

    def tearDown(self):
        self.engine.clean()

    def refused(self, token, manager=MANAGER):
        """What a machine hears that may not join; nothing is left there."""
        home = session.state_dir() / "swarmd" / "pki-refused"
        shutil.rmtree(home, ignore_errors=True)
        self.addCleanup(shutil.rmtree, home, True)
        (home / "etc").mkdir(parents=True)
        (home / "etc/config.toml").write_text("")
        result = self.join(token, home / "state", home / "etc/config.toml", manager)
        self.assertNotEqual(result.code, 0, result)
        left = [path for path in home.rglob("*") if path.is_file() and path.name != "config.toml"]
        self.assertEqual(left, [])
        return result.err

    def test_one_line_makes_a_node(self):
        self.assertEqual(self.joined.code, 0, self.joined)
        self.assertRegex(self.joined.out, r"^Joined the cluster as agent [0-9a-f]{16}\.")
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "hello").out, "hello")
        for one, name in ((self.manager, "ca-key.pem"), (self.manager, "key.pem"), (self.agent, "key.pem")):
            self.assertEqual((one.state / "pki" / name).stat().st_mode & 0o777, 0o600)
        self.assertFalse((self.agent.state / "pki/ca-key.pem").exists(), "the key of the CA never leaves the manager")
        secret = self.token.rsplit("-", 1)[1]
        for place in (self.manager.log_path, self.agent.log_path, self.manager.state / "pki/tokens.json"):
            self.assertNotIn(secret, place.read_text())
        self.assertNotIn(secret, self.ask("join-token", "ls"))

    def test_tokens_that_open_nothing(self):
        good = self.new_token("agent")
        self.assertIn("not known here, or was revoked", self.refused(good[:-6] + "aaaaaa"))
        self.ask("join-token", "revoke", good.split("-")[4])
        self.assertIn("not known here, or was revoked", self.refused(good))
        short = self.new_token("agent", "--ttl", "1s")
        eventually(lambda: "has expired" in self.refused(short), "it expires")
        once = self.new_token("agent", "--uses", "1")
        home = session.state_dir() / "swarmd" / "pki-once"
        self.addCleanup(shutil.rmtree, home, True)
        (home / "etc").mkdir(parents=True)
        (home / "etc/config.toml").write_text("")
        done = self.join(once, home / "state", home / "etc/config.toml")
        self.assertEqual(done.code, 0, done)
        self.assertIn("is used up", self.refused(once))
        # The role is part of what the secret is for.
        self.assertIn("is for joining as agent", self.refused(self.new_token("agent").replace("-agent-", "-manager-")))
        name = re.search(r"as agent ([0-9a-f]{16})", done.out).group(1)
        self.ask("pki", "revoke", "agent", name)

    def test_a_token_that_no_list_of_processes_shows(self):
        home = session.state_dir() / "swarmd" / "pki-unsaid"
        self.addCleanup(shutil.rmtree, home, True)
        (home / "etc").mkdir(parents=True)
        (home / "etc/config.toml").write_text("")
        words = ("join", "--no-start", "--state-dir", str(home / "state"), "--config", str(home / "etc/config.toml"))
        done = swarmd.run(*words, "--token", "-", MANAGER, typed=self.new_token("agent") + "\n")
        self.assertEqual(done.code, 0, done)
        again = swarmd.run(*words, MANAGER, env={"SWARMD_JOIN_TOKEN": self.new_token("agent")})
        self.assertEqual(again.code, 0, again)
        name, same = (re.search(r"as agent ([0-9a-f]{16})", one.out).group(1) for one in (done, again))
        self.addCleanup(self.ask, "pki", "revoke", "agent", name)
        self.assertEqual(name, same, "a machine that joins again is the agent that it was")

        def older():
            members = json.loads(self.ask("pki", "status", "--json"))["members"]
            return [serial for one in members if one["name"] == name for serial in one["older"]]

        first, = older()
        self.assertIn("1 certificates", self.ask("pki", "revoke", "--serial", first))
        self.assertEqual(older(), [])

    def test_somebody_in_between_hears_nothing(self):
        impostor = Impostor()
        self.addCleanup(impostor.close)
        error = self.refused(self.new_token("agent"), impostor.address)
        self.assertIn("somebody in between", error)
        eventually(lambda: impostor.failed, "he was hung up on")
        self.assertEqual(impostor.heard, b"")

    def test_an_agents_certificate_opens_nothing(self):
        result = self.docker_as(self.agent).run("ps")
        self.assertNotEqual(result.code, 0)
        self.assertIn("the certificate of an agent opens no Docker API", result.err)
        self.assertNotEqual(self.docker_as(self.agent, FRONT).run("ps").code, 0, "nor that of another agent's engine")
        self.assertEqual(self.docker_as(self.manager, FRONT).run("ps").code, 0)

    def test_another_ca_breaks_no_stream(self):
        count = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done"
        self.docker.ok("run", "-d", "--name", "talker", "--stop-signal=KILL", "busybox", "sh", "-c", count)
        self.docker.ok("run", "-di", "--name", "listener", "--stop-signal=KILL", "busybox", "sh", "-c", "while read x; do echo got $x; done")
        logs = self.docker.popen("logs", "-f", "talker")
        self.addCleanup(logs.kill)
        attached = self.docker.popen("attach", "listener")
        self.addCleanup(attached.kill)
        attached.stdin.write(b"before\n")
        attached.stdin.flush()
        self.assertEqual(attached.stdout.readline(), b"got before\n")
        before = self.ask("pki", "status").splitlines()[0]
        old = {one: (one.state / "pki/cert.pem").read_text() for one in (self.manager, self.agent)}
        self.assertIn("the CA is being replaced", self.ask("pki", "rotate"))
        # It ends by itself, once the last one has its new certificate.
        eventually(lambda: "\none CA\n" in self.ask("pki", "status"), "the old CA is gone", 60, lambda: self.ask("pki", "status"))
        self.assertNotEqual(self.ask("pki", "status").splitlines()[0], before)
        for one, text in old.items():
            self.assertNotEqual((one.state / "pki/cert.pem").read_text(), text)
            eventually(lambda: (one.state / "pki/ca.pem").read_text().count("BEGIN") == 1, "only the new CA is trusted")
        # New connections, on both ways, with the new certificates only.
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "hello").out, "hello")
        attached.stdin.write(b"after\n")
        attached.stdin.flush()
        self.assertEqual(attached.stdout.readline(), b"got after\n")
        last = int(self.docker.ok("logs", "--tail", "1", "talker").out)
        seen = [int(logs.stdout.readline()) for _ in range(last + 1)]
        self.assertEqual(seen, list(range(last + 1)), "nothing is missing, nothing comes twice")
        self.assertIsNone(logs.poll())
