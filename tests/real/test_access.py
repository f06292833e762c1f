"""Users with roles: `swarmd user add`, then the docker command as it is, with DOCKER_CERT_PATH or a context."""

import os
import shlex
import stat
import subprocess

from rig import cli, fleet, session, swarmd
from rig.case import EngineCase, needs_cluster
from rig.cluster import ADDRESS, eventually, write_config
from rig.relay import unix_relay

SLEEP = ("busybox", "sleep", "1000")


@needs_cluster
class Access(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = session.state_dir() / "access"
        cls.home.mkdir()
        cls.socket, engine = cls.home / "api.sock", cls.home / "engine.sock"
        listener = unix_relay(str(engine), (fleet.engine("pocket").address.split(":")[0], 2375))
        cls.addClassCleanup(listener.close)
        config = write_config("access", f"""
            role = "manager"
            [log]
            level = "debug"
            [discovery]
            url = "nodes://unix://{engine}"
            heartbeat = "1s"
            [manager]
            host = ["tcp://{ADDRESS}", "unix://{cls.socket}"]
            advertise = "{ADDRESS}"
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            [advertise]
            lan = false
            [pki]
            enabled = true
            """)
        cls.manager = swarmd.Swarmd("access", "run", "--config", str(config)).start()
        cls.addClassCleanup(cls.manager.stop)
        cls.root = cli.docker(f"unix://{cls.socket}")
        eventually(lambda: "Nodes: 1" in cls.root.out("info") and "Healthy" in cls.root.out("info"), "the engine")

    def swarmd(self, *arguments, code=0):
        result = swarmd.run(*arguments[:2], "-H", f"unix://{self.socket}", *arguments[2:])
        self.assertEqual(result.code, code, str(result))
        return result

    def user(self, name, role):
        """A docker command of a new user, and what `user add` said."""
        directory = self.home / name
        said = self.swarmd("user", "add", name, "--role", role, "--ttl", "1d", "--out", str(directory)).out
        environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)}
        return cli.docker(f"tcp://{ADDRESS}", "28", environment), said

    def refused(self, client, words, *arguments):
        result = client.run(*arguments)
        self.assertNotEqual(result.code, 0, str(result))
        self.assertIn(words, result.err, str(result))

    def test_each_role_does_its_own(self):
        docker = {role: self.user(f"{role}1", role)[0] for role in ("reader", "operator", "deployer", "admin")}
        reader, operator, deployer, admin = docker.values()
        deployer.ok("run", "-d", "--name", "web", "-v", "data:/data", "--cap-drop", "ALL", "--cap-add", "CHOWN",
                    "--stop-signal=KILL", "-m", "32m", *SLEEP)
        admin.ok("run", "-d", "--name", "power", "--privileged", "--stop-signal=KILL", *SLEEP)
        for client in docker.values():
            self.assertEqual(set(client.out("ps", "--format", "{{.Names}}").split()), {"pocket/web", "pocket/power"})
            client.ok("inspect", "web")
            client.ok("version")
            client.ok("info")
        self.refused(reader, "the role reader may not", "logs", "web")
        self.refused(reader, "the role reader may not", "stop", "web")
        self.refused(reader, "the role reader may not", "exec", "web", "true")
        self.refused(reader, "the role reader may not", "run", "-d", *SLEEP)

        operator.ok("logs", "web")
        self.assertEqual(operator.out("exec", "web", "echo", "inside"), "inside")
        self.assertEqual(operator.out("exec", "-i", "web", "cat"), "")
        operator.ok("stop", "web")
        operator.ok("start", "web")
        operator.ok("restart", "-t", "0", "web")
        operator.ok("stop", "power")
        operator.ok("start", "power")
        self.assertEqual(admin.out("exec", "power", "echo", "all"), "all")
        self.refused(operator, "something of the host: Privileged", "exec", "power", "true")
        self.refused(operator, "something of the host: Privileged", "cp", "power:/etc/passwd", "-")
        self.refused(operator, "the role operator may not", "run", "-d", *SLEEP)
        self.refused(operator, "the role operator may not", "rm", "-f", "web")

        for options in (["--privileged"], ["-v", "/:/host"], ["--mount", "type=bind,src=/,dst=/host"], ["--network", "host"],
                        ["--pid", "host"], ["--ipc", "host"], ["--uts", "host"], ["--userns", "host"], ["--cap-add", "SYS_ADMIN"],
                        ["--device", "/dev/null"], ["--security-opt", "seccomp=unconfined"], ["--network", "container:power"],
                        ["--pid", "container:power"], ["--volumes-from", "power"], ["--cgroup-parent", "/x"],
                        ["--gpus", "all"]):
            self.refused(deployer, "not for this role", "run", "-d", *options, *SLEEP)
        host = self.root.out("network", "inspect", "-f", "{{.Id}}", "host")
        for name in (host, host[:12], "pocket/host"):
            self.refused(deployer, "not for this role", "run", "-d", "--network", name, *SLEEP)
        self.refused(deployer, "not for this role", "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/", "evil")
        self.refused(deployer, "something of the host", "exec", "power", "true")
        self.refused(deployer, "not for this role", "exec", "--privileged", "web", "true")
        self.assertEqual(deployer.out("exec", "web", "echo", "mine"), "mine")
        deployer.ok("network", "create", "back")
        deployer.ok("network", "connect", "back", "web")
        deployer.ok("volume", "create", "scratch")
        deployer.ok("update", "-m", "64m", "--memory-swap", "128m", "web")
        deployer.ok("run", "--rm", "--network", "back", "-v", "scratch:/s", "busybox", "true")
        deployer.ok("rm", "-f", "web")
        deployer.ok("network", "rm", "back")
        self.assertEqual(self.root.out("ps", "-a", "--format", "{{.Names}}"), "pocket/power")
        log = self.manager.log()
        self.assertRegex(log, r'USER="deployer1" ROLE="deployer" .*METHOD=POST OBJECT=\S*/containers/create NODE="pocket" RESULT=201')
        self.assertRegex(log, r'USER="reader1" ROLE="reader" .*RESULT=403')

    def test_the_printed_lines_work_and_the_key_is_nobody_elses(self):
        _, said = self.user("anna", "admin")
        create = next(line for line in said.splitlines() if line.strip().startswith("docker context create"))
        client = cli.docker(f"tcp://{ADDRESS}")
        run = lambda *words: subprocess.run([client.command[0], *words], env=client.environment, capture_output=True, text=True, timeout=60)
        made = run(*shlex.split(create)[1:])
        self.addCleanup(run, "context", "rm", "-f", "anna")
        self.assertEqual(made.returncode, 0, made.stderr)
        listed = run("--context", "anna", "ps")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn(f"DOCKER_HOST=tcp://{ADDRESS} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={self.home}/anna", said)
        for path in (self.home / "anna", self.home / "anna" / "key.pem"):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, path)
        self.assertNotIn("PRIVATE", self.manager.log())

    def test_who_is_taken_out_is_out_at_once(self):
        docker, _ = self.user("otto", "operator")
        self.assertRegex(self.swarmd("user", "ls").out, r"(?m)^otto +operator ")
        self.root.ok("run", "-d", "--name", "web", "--stop-signal=KILL", *SLEEP)
        streams = [docker.popen("events"), docker.popen("logs", "-f", "web"), docker.popen("exec", "web", "sleep", "100")]
        eventually(lambda: "sleep" in self.root.out("top", "web") and self.root.out("top", "web").count("sleep") >= 2, "the exec")
        self.assertIn("is out", self.swarmd("user", "rm", "otto").out)
        self.refused(docker, "this certificate was revoked", "ps")
        for stream in streams:
            stream.communicate(timeout=20)
        self.assertNotIn("otto", self.swarmd("user", "ls").out)
        self.assertIn("there is no user otto", self.swarmd("user", "rm", "otto", code=1).out)
        again, _ = self.user("otto", "reader")
        again.ok("ps")
