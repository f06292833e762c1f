"""The container image: loaded by old and new engines, and started as docker-machine starts the classic one.

docker-machine makes the two containers itself, by API 1.15, which Debian stable's engine still speaks. The machine is
`pi2`: its address is that of its bridge, its engine is there with TLS as docker-machine leaves it, and the containers know
nothing but their arguments and what is mounted.
"""

import os
import re
import subprocess
import unittest

from rig import cli, fleet, session, swarmd
from rig.case import EngineCase, needs_cluster
from rig.cluster import eventually
from rig.lan import Relay, listen_in
from rig.relay import TlsFront
from rig.store import Store

MACHINE = "172.17.0.1"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def make_image():
    """The image of the binary under test as a file for `docker load`: with its libraries, if it is not static."""
    directory = session.state_dir() / "image"
    directory.mkdir()
    program = directory / "swarmd"
    subprocess.run(["strip", "-o", program, swarmd.binary()], check=True)
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    subprocess.run([swarmd.ROOT / "packaging/image", "--version", "0", "--output", directory, "--certificates", "/usr/share/ca-certificates/mozilla",
                    *(f"--add={path}={path}" for path in libraries), f"{ARCHITECTURE}={program}"], check=True)
    return (directory / f"swarmd_0_image_{ARCHITECTURE}.tar").read_bytes()


class MachineFiles:
    """What docker-machine puts into /etc/docker, and a user's pair: RSA keys in PKCS#1, certificates v3 with an O and no CN."""

    def __init__(self):
        self.dir = session.state_dir() / "machine"
        self.dir.mkdir()
        self.ca, self.cert, self.key = (str(self.dir / f"{name}.pem") for name in ("ca", "server", "server-key"))
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/O=me", "-keyout", "ca-key.pem", "-out", "ca.pem")
        self._pair("server", "me.pi2", f"subjectAltName=IP:{MACHINE},DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._pair("user", "me.user", "extendedKeyUsage=clientAuth\n")
        for name in ("cert", "key"):  # as a directory for DOCKER_CERT_PATH
            (self.dir / f"user{'-key' * (name == 'key')}.pem").rename(self.dir / f"{name}.pem")

    def _pair(self, name, owner, extensions):
        (self.dir / "extensions").write_text(f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n{extensions}")
        self._openssl("genrsa", "-traditional", "-out", f"{name}-key.pem", "2048")
        self._openssl("req", "-new", "-key", f"{name}-key.pem", "-subj", f"/O={owner}", "-out", "request.pem")
        self._openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                      "-extfile", "extensions", "-out", f"{name}.pem")
        assert "BEGIN RSA PRIVATE KEY" in (self.dir / f"{name}-key.pem").read_text()

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.dir, check=True, capture_output=True)


@needs_cluster
class Image(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.archive = make_image()
        cls.files = MachineFiles()
        cls.store = Store("etcd35").start()
        cls.addClassCleanup(cls.store.kill)

    def load(self, name):
        engine = fleet.engine(name)
        engine.api.post("/images/load", self.archive)
        return engine

    def test_says_what_it_is_and_can_be_asked_for_help(self):
        for name, client in (("pocket", "28"), ("pi2", "20")):
            with self.subTest(engine=name):
                docker = cli.docker(self.load(name).address, client)
                config = docker.ok("image", "inspect", "-f", "{{json .Config}}", "swarmd").json()
                self.assertEqual((config["Entrypoint"], config["Cmd"]), (["/usr/bin/swarmd"], ["--help"]))
                self.assertIn("SWARM_HOST=:2375", config["Env"])
                self.assertEqual(sorted(config["ExposedPorts"]), ["2375/tcp", "3376/tcp"])
                self.assertEqual(config["Labels"]["org.opencontainers.image.title"], "swarmd")
                self.assertEqual(list(config["Volumes"]), ["/var/lib/swarmd"])
                self.assertEqual(docker.out("image", "inspect", "-f", "{{.Architecture}}", "swarmd:0"), ARCHITECTURE)
                self.assertIn("manage", docker.out("run", "--rm", "swarmd"))
                self.assertRegex(docker.out("run", "--rm", "swarmd", "create"), "^[0-9a-f]{32}$")
                files = docker.out("export", docker.out("create", "swarmd"), timeout=60)
                self.assertIn("BEGIN CERTIFICATE", files, "a bundle of CA certificates is there")

    def machine(self):
        """pi2 as docker-machine leaves a machine: its engine at port 2376 with TLS. And a store to meet at."""
        engine = self.load("pi2")
        for front in (TlsFront(tuple_of(engine.address), self.files, listen_in(engine.network(), 2376)),
                      Relay(listen_in(engine.network(), 2379), tuple_of(self.store.address))):
            self.addCleanup(front.close)
        return engine

    def start(self, engine, name, arguments, host):
        """The two calls of docker-machine, and nothing else."""
        ports = {"2375/tcp": {}, "3376/tcp": {}} if "PortBindings" in host else {}
        created = engine.api.post("/v1.15/containers/create", {"Image": "swarmd:latest", "Env": [], "ExposedPorts": ports, "Cmd": arguments, "HostConfig": host},
                                  name=name)
        engine.api.post(f"/v1.15/containers/{created['Id']}/start", host)

    def test_docker_machine_makes_a_cluster_of_it(self):
        engine, discovery = self.machine(), f"etcd://{MACHINE}:2379/machine"
        always = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
        self.start(engine, "swarm-agent-master",
                   ["manage", "--tlsverify", "--tlscacert=/etc/docker/ca.pem", "--tlscert=/etc/docker/server.pem",
                    "--tlskey=/etc/docker/server-key.pem", "-H", "tcp://0.0.0.0:3376", "--strategy", "spread", "--advertise", f"{MACHINE}:3376", discovery],
                   {**always, "Binds": [f"{self.files.dir}:/etc/docker"], "PortBindings": {"3376/tcp": [{"HostIp": "0.0.0.0", "HostPort": "3376"}]}})
        self.start(engine, "swarm-agent", ["join", "--advertise", f"{MACHINE}:2376", discovery], always)
        docker = self.user(engine)
        eventually(lambda: "Nodes: 1" in docker.run("info").out and "Status: Healthy" in docker.run("info").out, "the machine is a node", timeout=60,
                   show=lambda: self.logs(engine))
        self.assertIn("Strategy: spread", docker.out("info"))
        self.assertEqual(docker.out("run", "--rm", "busybox", "echo", "hello"), "hello")
        self.assertEqual(docker.out("ps", "--format", "{{.Names}}"), "", "our own containers are out of sight")
        self.assertIn("swarm-agent-master", docker.out("ps", "-a", "--format", "{{.Names}}"))
        self.refused_without_a_certificate(engine)
        self.ends_at_once(engine)

    def user(self, engine):
        """docker as `eval $(docker-machine env --swarm pi2)` sets it up."""
        client = cli.docker(f"tcp://{MACHINE}:3376", environment={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.files.dir)})
        client.command = [*engine.enter(), *client.command]
        return client

    def refused_without_a_certificate(self, engine):
        shake = ["openssl", "s_client", "-connect", f"{MACHINE}:3376", "-CAfile", self.files.ca, "-verify_return_error", "-quiet", "-ign_eof"]
        ask = b"GET /v1.24/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        done = subprocess.run([*engine.enter(), *shake], input=ask, capture_output=True, timeout=30)
        self.assertNotIn(b"200 OK", done.stdout)
        self.assertRegex(done.stdout + done.stderr, b"40[13]|alert")

    def ends_at_once(self, engine):
        """As first process of a container it gets no signal that it does not handle."""
        for name in ("swarm-agent", "swarm-agent-master"):
            engine.api.post(f"/containers/{name}/stop", t="25")
        codes = [engine.api.get(f"/containers/{name}/json")["State"]["ExitCode"] for name in ("swarm-agent", "swarm-agent-master")]
        self.assertEqual(codes, [0, 0], "137: docker had to kill it")

    def logs(self, engine):
        docker = cli.docker(engine.address, "20")
        return "\n".join(str(docker.run("logs", name)) for name in ("swarm-agent-master", "swarm-agent"))


def tuple_of(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)
