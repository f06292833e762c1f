"""Docker's clients at a manager that does not lead: every kind of call and stream, all of it over TLS; and what they see
when the manager that leads dies.
"""

import signal
import subprocess

from rig import cli, fleet, session, swarmd

from rig.case import EngineCase, needs_cluster
from rig.cluster import eventually, write_config
from rig.relay import TlsFront
from rig.store import Certificates, Store

TTL = 3
ADDRESSES = ("127.0.0.1:3481", "127.0.0.1:3482")


@needs_cluster
class ThroughReplica(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.store = Store("etcd35", name="replica", shift=3).start()
        cls.addClassCleanup(cls.store.kill)
        cls.certificates = Certificates("managers")
        cls.environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(cls.certificates.dir)}
        cls.fronts = []
        for engine in fleet.engines():
            host, port = engine.address.split(":")
            cls.fronts.append(TlsFront((host, int(port)), cls.certificates))
            cls.addClassCleanup(cls.fronts[-1].close)

    def setUp(self):
        super().setUp()
        tls = f'tlsverify = true\ntlscacert = "{self.certificates.ca}"\ntlscert = "{self.certificates.cert}"\ntlskey = "{self.certificates.key}"'
        self.agents = [self.started(swarmd.Swarmd(f"{self._testMethodName}-agent{n}", "join", f"--addr={front.address}", "--heartbeat=1s", "--ttl=5s", "--tlsverify",
                                                  f"--tlscacert={self.certificates.ca}", f"--tlscert={self.certificates.cert}",
                                                  f"--tlskey={self.certificates.key}", self.store.url)) for n, front in enumerate(self.fronts)]
        self.managers = []  # with logs of their own, in which tests look
        for number, address in enumerate(ADDRESSES):
            path = write_config(f"replica-{number}", f"""
                role = "manager"
                [log]
                level = "debug"
                [discovery]
                url = "{self.store.url}"
                heartbeat = "1s"
                [manager]
                host = ["tcp://{address}", "unix://{session.state_dir()}/replica-{number}.sock"]
                advertise = "{address}"
                replication = true
                replication-ttl = "{TTL}s"
                engine-refresh-min-interval = "1s"
                engine-refresh-max-interval = "2s"
                [tls]
                {tls}
                """)
            self.managers.append(self.started(swarmd.Swarmd(f"{self._testMethodName}-manager{number}", "run", "--config", str(path))))
            # The first leads.
            eventually(lambda address=address, number=number: self.row(number, "Primary" if number else "Role") == (ADDRESSES[0] if number else "primary"),
                       f"the role of manager {number}")
        eventually(lambda: all(self.healthy(number) == len(fleet.engines()) for number in (0, 1)), "all engines at both managers", 30)
        self.docker = self.client(1)

    def started(self, one):
        self.addCleanup(lambda: (swarmd.forget(one), one.alive() and one.kill()))
        return one.start()

    def client(self, number, version="28"):
        return cli.docker(ADDRESSES[number], version, self.environment)

    def info(self, number):
        return self.client(number).run("info", "--format", "{{json .SystemStatus}}").json()

    def row(self, number, name):
        return dict(map(tuple, self.info(number))).get(name)

    def healthy(self, number):
        return sum(key.endswith("Status") and value == "Healthy" for key, value in self.info(number))

    def test_calls_and_streams(self):
        for version in ("28", "20"):
            with self.subTest(cli=version):
                docker = self.client(1, version)
                self.assertEqual(docker.out("run", "-i", "--rm", "busybox", "cat", input=b"there and back"), "there and back")
                docker.ok("run", "-d", "--name", "web", "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done")
                done = docker.run("exec", "-i", "web", "sh", "-c", "read x; echo got $x; exit 3", input=b"this\n")
                self.assertEqual((done.code, done.out), (3, "got this"))
                with docker.popen("logs", "-f", "web", stdin=subprocess.DEVNULL) as logs:
                    self.assertEqual(logs.stdout.readline(), b"line 1\n")
                    logs.kill()
                blob = bytes(range(256)) * 20_000
                (session.state_dir() / "blob").write_bytes(blob)
                docker.ok("cp", str(session.state_dir() / "blob"), "web:/tmp/blob")
                docker.ok("cp", "web:/tmp/blob", str(session.state_dir() / "back"))
                self.assertEqual((session.state_dir() / "back").read_bytes(), blob)
                docker.ok("build", "-t", f"made{version}", "-", input=b"FROM busybox\nRUN echo made > /made\n")
                self.assertEqual(docker.out("run", "--rm", f"made{version}", "cat", "/made"), "made")
                self.assertIn("No such container: nobody", docker.run("rm", "nobody").err)
                docker.ok("rm", "-f", "web")
        log = self.managers[0].log()
        self.assertIn("(passed on)", log, "the primary's log names the client")

    def test_clients_when_the_primary_dies(self):
        self.docker.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
        streams = [self.docker.popen(*line, stdin=subprocess.PIPE) for line in
                   (("events",), ("attach", "stays"), ("logs", "-f", "stays"), ("exec", "-i", "stays", "cat"))]
        begun = ("GET /v1.41/events STATUS=200", "/attach?stderr=1", "/logs?follow=1", "/start STATUS=101")
        eventually(lambda: all(text in self.managers[0].log() for text in begun), "all streams are there")
        self.managers[0].kill()
        # Nothing of these was sent: they wait for the next primary.
        self.assertIn("stays", self.docker.out("ps", "--format", "{{.Names}}"))
        self.docker.ok("run", "-d", "--name", "next", "busybox", "sleep", "1000")
        for stream in streams:
            stream.communicate(timeout=20)
        self.assertEqual(self.row(1, "Role"), "primary")

    def test_a_primary_that_hangs_is_left(self):
        self.docker.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
        events = self.docker.popen("events", stdin=subprocess.DEVNULL)
        eventually(lambda: "/events" in self.managers[0].log(), "the stream is there")
        self.managers[0].signal(signal.SIGSTOP)
        self.addCleanup(self.managers[0].signal, signal.SIGCONT)
        # A question that was sent and not answered is asked anew.
        self.assertIn("stays", self.docker.out("ps", "--format", "{{.Names}}"))
        events.communicate(timeout=20)
        self.docker.ok("run", "-d", "--name", "next", "busybox", "sleep", "1000")
        self.managers[0].signal(signal.SIGCONT)
        eventually(lambda: self.row(0, "Primary") == ADDRESSES[1], "it follows")
        self.assertEqual(sorted(self.client(0).out("ps", "--format", "{{.Names}}").split()), sorted(self.docker.out("ps", "--format", "{{.Names}}").split()))

    def asked(self, *way):
        """Status of a list that is said to be passed on by another manager."""
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Swarmd-Passed-On: 10.0.0.1:1", *way]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def test_marks_of_strangers(self):
        """A passed-on call goes no further, and nobody becomes somebody else by saying so."""
        pair = ["--cacert", self.certificates.ca, "--cert", self.certificates.cert, "--key", self.certificates.key]
        for number, status in ((0, "200"), (1, "503")):
            self.assertEqual(self.asked(*map(str, pair), f"https://{ADDRESSES[number]}/containers/json"), status)
            # Who comes by the socket is no manager: what he says of others is not heard.
            socket = f"{session.state_dir()}/replica-{number}.sock"
            self.assertEqual(self.asked("--unix-socket", socket, "http://x/containers/json"), "200")
