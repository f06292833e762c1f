"""The package and its units under a real systemd: from `dpkg -i` to `dpkg --purge`, with real engines behind."""

import http.client
import json
import os
import shutil
import socket
import threading
import unittest

from rig import fleet
from rig.api import Api
from rig.cli import docker
from rig.cluster import ADDRESS, eventually
from rig.host import Host, deb

CONFIG = """# a cluster of two, listed by hand
role = "manager"
[discovery]
url = "nodes://{engines}"
[manager]
engine-refresh-min-interval = "1s"
engine-refresh-max-interval = "2s"
"""


class Knocker:
    """Connects again and again, as impatient clients would: counts answers and failures."""

    def __init__(self):
        self.answered, self.failed, self._stop = 0, [], threading.Event()
        self._thread = threading.Thread(target=self._knock, daemon=True)

    def _knock(self):
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", 3376), timeout=30) as client:
                    client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: client.recv(4096), b""))
                assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
                self.answered += 1
            except (OSError, AssertionError) as problem:
                self.failed.append(repr(problem))
            self._stop.wait(0.005)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._stop.set()
        self._thread.join(60)


class Package(unittest.TestCase):
    """One machine; each test is the next step in the life of the package."""

    @classmethod
    def setUpClass(cls):
        cls.host = Host("boss")
        cls.addClassCleanup(cls.host.down)
        cls.host.boot()
        cls.addClassCleanup(fleet.repair)
        cls.docker = docker(ADDRESS)

    def tell_engines(self, extra=""):
        """Writes the configuration that the other steps use."""
        engines = ",".join(fleet.engine(name).address for name in ("pocket", "pi1"))
        self.host.path("/etc/swarmd/config.toml").write_text(CONFIG.format(engines=engines) + extra)

    def pid(self):
        return self.host.unit("MainPID")

    def test_1_install(self):
        host = self.host
        self.assertIn("Setting up swarmd", host.ok("dpkg", "-i", host.put(deb("2.0.0-1"), "/root/one.deb")))
        self.assertRegex(host.ok("getent", "passwd", "swarmd"), "^swarmd:")
        self.assertEqual(host.run("systemctl", "is-enabled", "swarmd").out, "disabled", "that is not for a package to say")
        self.assertEqual(host.run("systemctl", "is-active", "swarmd").out, "inactive")
        self.assertIn("PASS", host.ok("swarmd", "check", "--offline"))
        # The doctor: all is well but for Docker, which is not there. It has not made anything.
        told = host.run("swarmd", "check", "--json")
        self.assertEqual(told.code, 69, told)
        failed = [finding for finding in told.json()["findings"] if finding["verdict"] == "fail"]
        self.assertEqual([finding["about"] for finding in failed], ["docker"], told)
        self.assertIn("systemctl enable --now docker", failed[0]["cure"])
        self.assertIn("PASS  ports: tcp://0.0.0.0:3376: free", host.run("swarmd", "check").lines)
        self.assertFalse(host.path("/var/lib/swarmd").exists())
        self.assertEqual(host.ok("stat", "-c", "%U:%G %a", "/etc/swarmd/tls"), "root:swarmd 750")

    def test_2_enable_as_shipped(self):
        self.host.ok("systemctl", "enable", "--now", "swarmd")
        # `systemctl` has returned, so it is ready: no waiting here.
        told = self.host.run("swarmd", "status")
        self.assertIn("manager boss (primary)", told.out, "on this machine by the socket, without a certificate")
        self.assertEqual(told.code, 1, "and there is no Docker here")
        with self.assertRaises((ConnectionError, http.client.HTTPException), msg="the port speaks TLS"):
            Api(ADDRESS).raw("GET", "/_ping", timeout=5)
        self.assertEqual(self.host.ok("systemctl", "is-active", "swarmd"), "active")
        self.assertEqual(self.host.ok("stat", "-c", "%U %a", "/var/lib/swarmd/pki", "/var/lib/swarmd/pki/ca-key.pem").split(),
                         ["swarmd", "700", "swarmd", "600"])
        self.assertRegex(self.host.ok("swarmd", "join-token", "agent"), r"sudo swarmd join --token SWMD-1-agent-\S+ \S+:3376")
        self.assertIn("manager", self.host.unit("StatusText"))
        self.assertEqual(self.host.ok("stat", "-c", "%U %a", "/var/lib/swarmd"), "swarmd 700")

    def test_3_a_cluster(self):
        self.tell_engines()
        self.host.ok("systemctl", "restart", "swarmd")
        eventually(lambda: "2 of 2 nodes healthy" in self.host.unit("StatusText"), "both engines are there")
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "hello").out, "hello")
        check = self.host.ok("swarmd", "check").splitlines()
        self.assertIn("PASS  ports: tcp://127.0.0.1:3376: held by swarmd", check)
        self.assertEqual(len([line for line in check if line.startswith("PASS  docker: ")]), 2, check)
        self.assertIn("disk=ssd", self.host.ok("swarmd", "node", "label", "pi1", "disk=ssd"))

    def placed(self, name):
        """Runs a container that wants some memory; on which node."""
        self.docker.ok("run", "-d", "-m", "32m", "--name", name, "busybox", "sleep", "600")
        self.addCleanup(self.docker.run, "rm", "-f", name)
        return Api(ADDRESS).get(f"/containers/{name}/json")["Node"]["Name"]

    def rows(self):
        return Api(ADDRESS).get("/info")["SystemStatus"]

    def test_4_reload(self):
        before = self.pid()
        self.docker.ok("run", "-d", "--name", "talker", "--stop-signal=KILL", "busybox", "sh", "-c", "while echo tick; do sleep 0.2; done")
        self.addCleanup(self.docker.run, "rm", "-f", "talker")
        logs = self.docker.popen("logs", "-f", "talker")
        self.addCleanup(logs.kill)
        self.assertEqual(logs.stdout.readline(), b"tick\n")
        spread = [self.placed(f"spread{n}") for n in range(2)]
        self.tell_engines('strategy = "binpack"\ncreate-retry = 1\nnode-prefix = false\nadvertise = "127.0.0.1:3376"\n')
        self.host.ok("systemctl", "reload", "swarmd")
        eventually(lambda: ["Strategy", "binpack"] in self.rows(), "the strategy counts", show=self.rows)
        packed = [self.placed(f"packed{n}") for n in range(4)]
        self.assertEqual(len(set(packed)), 1, f"spread was {spread}, binpack {packed}")
        for key, said in [("manager.strategy", "reloaded"), ("manager.create-retry", "reloaded"),
                          ("manager.advertise", "changed: takes effect after a restart")]:
            self.assertTrue(self.journal(MESSAGE=f"{key} {said}"), key)
        eventually(lambda: "talker" in self.docker.out("ps", "--format", "{{.Names}}").splitlines(), "names without nodes")
        self.assertEqual(self.pid(), before, "the same process")
        for _ in range(10):
            self.assertEqual(logs.stdout.readline(), b"tick\n", "and its streams are open")
        self.tell_engines('[log]\nlevel = "debug"\n')
        self.host.ok("systemctl", "reload", "swarmd")
        log = eventually(lambda: self.journal(MESSAGE="log.level reloaded"), "the change is told")
        self.assertEqual(log[0]["PRIORITY"], "6")
        self.tell_engines("nonsense = 1\n")
        failed = self.host.run("systemctl", "reload", "swarmd")
        self.assertNotEqual(failed.code, 0, "a broken file fails the reload")
        self.assertEqual((self.pid(), self.host.unit("ActiveState")), (before, "active"), "and changes nothing")
        self.tell_engines('[log]\nlevel = "debug"\n')
        self.host.ok("systemctl", "reload", "swarmd")

    def journal(self, **fields):
        """Entries of the journal with these fields, as systemd tells them."""
        lines = self.host.ok("journalctl", "-u", "swarmd", "-o", "json", *(f"{key}={value}" for key, value in fields.items()))
        return [json.loads(line) for line in lines.splitlines()]

    def test_5_journal(self):
        self.docker.ok("ps")
        entries = eventually(lambda: self.journal(STATUS="200"), "requests are told, with fields")
        self.assertIn("PEER", entries[-1])
        self.assertEqual(entries[-1]["ROLE"], "manager")
        asked = Api(ADDRESS).raw("GET", "/containers/none/json")[1]["X-Request-Id"]
        told = eventually(lambda: self.journal(REQUEST_ID=asked), "a request is told by its name")
        self.assertEqual({entry.get("KIND", "not-found") for entry in told}, {"not-found"}, told)
        registered = self.journal(ENGINE=fleet.engine("pi1").address, NODE="pi1")
        self.assertTrue(registered, "engines are told by address and name")
        self.assertEqual(entries[-1]["PRIORITY"], "7")
        self.assertEqual(entries[-1]["_SYSTEMD_UNIT"], "swarmd.service")
        every = [entry["MESSAGE"] for entry in self.journal() if entry.get("SYSLOG_IDENTIFIER") == "swarmd"]
        self.assertEqual(every.count("log.level reloaded"), 1, "no line comes twice")

    def test_6_socket_activation(self):
        self.host.ok("systemctl", "stop", "swarmd")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 3376), timeout=5)
        self.host.ok("systemctl", "start", "swarmd.socket")
        self.assertEqual(self.host.run("systemctl", "is-active", "swarmd").out, "inactive")
        self.assertIn("Server Version", self.docker.ok("info").out)
        self.assertEqual(self.host.ok("systemctl", "is-active", "swarmd"), "active", "the first call has started it")
        self.host.ok("systemctl", "stop", "swarmd.socket", "swarmd")
        self.host.ok("systemctl", "start", "swarmd")

    def test_6a_what_cannot_start_says_why_and_is_left_alone(self):
        """A configuration that is wrong; an agent whose clients would wait for ever."""
        kept = self.host.path("/etc/swarmd/config.toml").read_text()
        self.addCleanup(self.host.ok, "systemctl", "start", "swarmd")
        self.addCleanup(self.host.path("/etc/swarmd/config.toml").write_text, kept)
        self.addCleanup(self.host.ok, "systemctl", "stop", "swarmd.socket", "swarmd")
        agent = 'role = "agent"\n[discovery]\nurl = "token://127.0.0.1:1/T"\n[agent]\nadvertise = "127.0.0.1:2375"\n'
        for text, why in [("nonsense = 1\n", "unknown key nonsense"), (agent, "systemctl disable --now swarmd.socket")]:
            self.host.ok("systemctl", "stop", "swarmd.socket", "swarmd")
            self.host.path("/etc/swarmd/config.toml").write_text(text)
            self.host.ok("systemctl", "start", "swarmd.socket")
            try:
                with socket.create_connection(("127.0.0.1", 3376), timeout=30) as client:
                    client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertEqual(client.recv(100), b"", "closed, not left waiting")
            except ConnectionError:
                pass
            eventually(lambda: self.host.unit("ActiveState") == "failed", "it has given up", show=lambda: self.host.unit("ActiveState"))
            self.assertEqual((self.host.unit("ExecMainStatus"), self.host.unit("NRestarts")), ("78", "0"))
            errors = [json.loads(line) for line in self.host.ok("journalctl", "-u", "swarmd", "-p", "err", "-o", "json").splitlines()]
            self.assertTrue(any(why in entry["MESSAGE"] for entry in errors), errors)
            self.host.ok("systemctl", "reset-failed", "swarmd.service", "swarmd.socket")

    def test_6b_exposure(self):
        told = self.host.ok("systemd-analyze", "security", "--no-pager", "swarmd").splitlines()[-1]
        figure = float(told.rpartition(": ")[2].split()[0])
        self.assertLess(figure, 2.0, told)

    def test_6c_a_full_disk(self):
        """What was said stays, what cannot be saved is refused in clear words, and room alone cures it."""
        state = "/var/lib/swarmd"
        host = self.host
        host.ok("systemctl", "stop", "swarmd")
        host.ok("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", state)
        self.addCleanup(host.ok, "systemctl", "restart", "swarmd")
        self.addCleanup(host.ok, "umount", "-l", state)
        host.ok("chown", "swarmd:", state)
        host.ok("systemctl", "start", "swarmd")
        eventually(lambda: "2 of 2 nodes healthy" in host.unit("StatusText"), "both engines are there")
        host.ok("swarmd", "node", "label", "pi1", "rack=one")
        host.run("dd", "if=/dev/zero", f"of={state}/ballast", "bs=4k")
        refused = host.run("swarmd", "node", "label", "pi1", "rack=two")
        self.assertNotEqual(refused.code, 0)
        self.assertRegex(refused.err, "cannot save .*nodes.json: No space left on device.*make room")
        self.assertIn("state: 0 MiB are free", host.run("swarmd", "check").out)
        self.assertRegex(host.ok("cat", f"{state}/nodes.json"), '"rack": *"one"')
        left = host.ok("ls", state).split()
        self.assertEqual([name for name in left if name.endswith(".new")], [], "no half-written file")
        self.assertEqual(self.docker.ok("run", "--rm", "busybox", "echo", "still").out, "still", "the cluster works on")
        host.ok("rm", f"{state}/ballast")
        host.ok("swarmd", "node", "label", "pi1", "rack=two")
        host.ok("systemctl", "restart", "swarmd")
        eventually(lambda: "rack=two" in str(self.rows()), "and is known after a restart", show=self.rows)

    def test_7_watchdog(self):
        drop_in = self.host.path("/etc/systemd/system/swarmd.service.d")
        drop_in.mkdir(parents=True, exist_ok=True)
        self.addCleanup(shutil.rmtree, drop_in)
        (drop_in / "quick.conf").write_text("[Service]\nWatchdogSec=2s\nRestartSec=100ms\nTimeoutAbortSec=1s\n")
        self.host.ok("systemctl", "daemon-reload")
        self.host.ok("systemctl", "restart", "swarmd")
        before = self.pid()
        self.host.ok("sh", "-c", f"kill -STOP {before}")
        eventually(lambda: self.host.unit("ActiveState") == "active" and self.pid() not in (before, "0"), "it is restarted", timeout=40)
        self.assertIn("Watchdog timeout", self.host.ok("journalctl", "-u", "swarmd", "--no-pager"))
        self.assertEqual(self.docker.run("version").code, 0)

    def test_8_upgrade(self):
        self.docker.ok("run", "-d", "--name", "talker", "--stop-signal=KILL", "busybox", "sh", "-c", "while echo tick; do sleep 0.2; done")
        self.addCleanup(self.docker.run, "rm", "-f", "talker")
        logs = self.docker.popen("logs", "-f", "talker")
        self.addCleanup(logs.kill)
        self.assertEqual(logs.stdout.readline(), b"tick\n")
        before, kept = self.pid(), self.host.path("/etc/swarmd/config.toml").read_text()
        self.host.put(deb("2.0.1-1"), "/root/two.deb")
        with Knocker() as knocker:
            self.host.ok("dpkg", "-i", "/root/two.deb", timeout=120)
            eventually(lambda: self.pid() not in (before, "0"), "the new one runs", timeout=30)
            answered = knocker.answered
            eventually(lambda: knocker.answered > answered + 20, "and answers")
        self.assertEqual(knocker.failed, [])
        self.assertEqual(logs.wait(20), 0, "an open stream ends cleanly when its time is over")
        self.assertEqual(self.host.path("/etc/swarmd/config.toml").read_text(), kept)
        self.assertEqual(self.host.ok("systemctl", "is-enabled", "swarmd"), "enabled")
        self.assertEqual(self.docker.ok("ps", "-q", "--filter", "name=talker").lines[0][:1].isalnum(), True)

    def test_9_remove_and_purge(self):
        host = self.host
        host.ok("dpkg", "-r", "swarmd")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 3376), timeout=5)
        self.assertTrue(host.path("/etc/swarmd/config.toml").exists(), "removal keeps what the daemon was told")
        self.assertTrue(any(os.scandir(host.path("/var/lib/swarmd"))), "and what it knows")
        host.ok("dpkg", "--purge", "swarmd")
        left = host.ok("find", "/etc", "/var", "/usr", "/run", "-xdev", "-name", "*swarmd*", "-not", "-path", "/var/log/*").splitlines()
        self.assertEqual([path for path in left if not path.startswith(("/var/lib/dpkg", "/var/lib/systemd"))], [])
        self.assertNotEqual(host.run("getent", "passwd", "swarmd").code, 0)
