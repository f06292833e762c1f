"""Every command of the Docker CLI that the manager serves, once, with the newest and with Debian stable's client."""

import io
import tarfile

from rig.case import ClusterCase, DIRECT, needs_cluster
from rig.cluster import eventually

SLEEP = ("busybox", "sleep", "1000")


class NewClient(ClusterCase):
    client = "28"

    def setUp(self):
        super().setUp()
        self.docker = self.cluster.docker(self.client)

    def run_d(self, name, *options, command=SLEEP):
        """A running container; returns its full ID."""
        return self.docker.out("run", "-d", "--stop-signal=KILL", "--name", name, *options, *command)

    def state(self, name):
        return self.docker.out("inspect", "-f", "{{.State.Status}}", name)

    # -- system -------------------------------------------------------------------------------------------------

    def test_version(self):
        out = self.docker.ok("version", "-f", "{{json .}}").json()
        self.assertRegex(out["Server"]["ApiVersion"], r"^1\.\d+$")
        if not DIRECT:
            self.assertRegex(out["Server"]["Version"], r"^swarm")
        self.assertIn("Server:", self.docker.out("version"))

    def test_info(self):
        out = self.docker.out("info")
        self.assertIn("Containers: 0", out)
        if not DIRECT:
            self.assertIn("Nodes: 3", out)

    # -- life of a container ------------------------------------------------------------------------------------

    def test_run_prints_and_returns_the_exit_code(self):
        result = self.docker.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((result.out, result.err, result.code), ("out", "err", 7), result)
        self.assertEqual(self.docker.out("ps", "-aq"), "", "--rm removes it")

    def test_run_detached_and_ps(self):
        full = self.run_d("web", "-l", "tier=front")
        self.assertEqual(self.docker.out("ps", "-q", "--no-trunc"), full)
        self.assertEqual(self.docker.out("ps", "--format", "{{.Names}}"), self.listed("web"))
        self.assertEqual(self.docker.out("ps", "-q", "-f", "label=tier=front"), full[:12])
        self.assertEqual(self.docker.out("ps", "-q", "-f", "name=web"), full[:12])
        self.assertEqual(self.docker.out("ps", "-q", "-f", "label=tier=back"), "")

    def test_create_start_stop_kill_restart(self):
        full = self.docker.out("create", "--stop-signal=KILL", "--name", "box", *SLEEP)
        self.assertRegex(full, r"^[0-9a-f]{64}$")
        self.assertEqual(self.state("box"), "created")
        for command, state in (("start", "running"), ("stop", "exited"), ("start", "running"), ("restart", "running"), ("kill", "exited")):
            self.assertEqual(self.docker.out(command, "box"), "box")
            self.assertEqual(self.state("box"), state, f"after {command}")
        self.assertEqual(self.docker.out("ps", "-aq", "-f", "status=exited"), full[:12])

    def test_pause_unpause(self):
        self.run_d("box")
        self.docker.ok("pause", "box")
        self.assertEqual(self.state("box"), "paused")
        self.assertIn("(Paused)", self.docker.out("ps", "--format", "{{.Status}}"))
        self.docker.ok("unpause", "box")
        self.assertEqual(self.state("box"), "running")

    def test_rm(self):
        self.run_d("box")
        self.assertIn("running", self.fails("rm", "box"))
        self.docker.ok("rm", "-f", "box")
        self.assertEqual(self.docker.out("ps", "-aq"), "")
        self.assertIn("No such container", self.fails("rm", "box"))

    def test_rename(self):
        full = self.run_d("before")
        self.docker.ok("rename", "before", "after")
        self.assertEqual(self.docker.out("ps", "--format", "{{.Names}}"), self.listed("after"))
        self.assertEqual(self.docker.out("inspect", "-f", "{{.Id}}", "after"), full)

    def test_a_name_is_taken_once(self):
        self.run_d("box")
        self.assertRegex(self.fails("run", "-d", "--name", "box", *SLEEP), "(?i)conflict")

    def test_inspect_by_every_name(self):
        full = self.run_d("box")
        names = [full, full[:12], full[:6], "box"] + ([] if DIRECT else [f"{self.node_of('box')}/box"])
        for name in names:
            self.assertEqual(self.docker.out("inspect", "-f", "{{.Id}} {{.Name}}", name), f"{full} /box", name)
        self.assertRegex(self.fails("inspect", "nothing"), "(?i)no such object")

    def test_update(self):
        self.run_d("box")
        self.docker.ok("update", "--cpu-shares", "512", "box")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.HostConfig.CpuShares}}", "box"), "512")

    def test_wait(self):
        self.docker.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 1; exit 3")
        self.assertEqual(self.docker.out("wait", "box"), "3")

    # -- inside a container -------------------------------------------------------------------------------------

    def test_logs(self):
        self.docker.ok("run", "--name", "box", "busybox", "sh", "-c", "echo one; echo two >&2; echo three")
        result = self.docker.ok("logs", "box")
        self.assertEqual((result.lines, result.err), (["one", "three"], "two"))
        # Of one stream: which of two streams wrote last, the engine itself cannot tell.
        self.docker.ok("run", "--name", "lines", "busybox", "sh", "-c", "echo one; echo two")
        self.assertEqual(self.docker.ok("logs", "--tail", "1", "lines").lines, ["two"])

    def test_exec(self):
        self.run_d("box")
        result = self.docker.run("exec", "-i", "-e", "WHO=me", "box", "sh", "-c", "cat; echo $WHO; echo err >&2; exit 5", input=b"typed\n")
        self.assertEqual((result.lines, result.err, result.code), (["typed", "me"], "err", 5), result)
        self.docker.ok("exec", "-d", "box", "touch", "/made")
        eventually(lambda: "made" in self.docker.ok("exec", "box", "ls", "/").lines, "the detached exec has run")
        self.docker.ok("stop", "box")
        self.assertIn("is not running", self.fails("exec", "box", "true"))

    def test_attach(self):
        self.run_d("box", "-i", command=("busybox", "sh", "-c", "read line; echo got $line; exit 4"))
        with self.docker.popen("attach", "box") as attached:  # an end of stdin would end the output too, by Docker's rules
            attached.stdin.write(b"word\n")
            attached.stdin.flush()
            self.assertEqual(attached.stdout.readline(), b"got word\n")
            self.assertEqual(attached.wait(30), 4)

    def test_start_attached(self):
        self.docker.ok("create", "-i", "--name", "box", "busybox", "cat")
        self.assertEqual(self.docker.out("start", "-ai", "box", input=b"through start"), "through start")

    def test_top(self):
        self.run_d("box")
        self.assertIn("sleep 1000", self.docker.out("top", "box"))

    def test_stats(self):
        self.run_d("box")
        self.assertRegex(self.docker.out("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "box"), r"^\S*box 1$")

    def test_cp_and_diff(self):
        self.run_d("box")
        source = self.tree(("note", b"hello"))
        self.docker.ok("cp", "-", "box:/root", input=source)
        self.assertEqual(self.docker.out("exec", "box", "cat", "/root/note"), "hello")
        back = tarfile.open(fileobj=io.BytesIO(self.docker.ok("cp", "box:/root/note", "-").raw))
        self.assertEqual(back.extractfile("note").read(), b"hello")
        self.assertIn("A /root/note", self.docker.ok("diff", "box").lines)
        self.assertRegex(self.fails("cp", "box:/nothing", "-"), "(?i)could not find|no such")

    @staticmethod
    def tree(*files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in files:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def test_port(self):
        self.run_d("box", "-p", "8080:80")
        self.assertRegex(self.docker.out("port", "box", "80"), r":8080")
        self.assertRegex(self.docker.out("ps", "--format", "{{.Ports}}"), r":8080->80/tcp")

    # -- images -------------------------------------------------------------------------------------------------

    def test_images(self):
        self.assertEqual(self.docker.out("images", "--format", "{{.Repository}}:{{.Tag}}"), "busybox:latest")
        self.assertRegex(self.docker.out("images", "-q", "--no-trunc", "busybox"), r"^sha256:[0-9a-f]{64}$")
        self.assertIn("busybox:latest", self.docker.out("image", "inspect", "-f", "{{.RepoTags}}", "busybox"))
        self.assertNotEqual(self.docker.out("history", "-q", "busybox"), "")

    def test_tag_and_rmi(self):
        self.docker.ok("tag", "busybox", "mine:v1")
        self.assertEqual(self.docker.out("run", "--rm", "mine:v1", "echo", "ran"), "ran")
        self.assertIn("mine:v1", self.docker.out("rmi", "mine:v1"))
        self.assertEqual(self.docker.out("images", "-q", "mine"), "")
        self.assertRegex(self.fails("rmi", "mine:v1"), "(?i)no such image")

    def test_save_and_load(self):
        archive = self.docker.ok("save", "busybox:latest").raw
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.assertIn("manifest.json", tar.getnames())
        self.docker.ok("tag", "busybox", "mine:v2")
        renamed = self.docker.ok("save", "mine:v2").raw
        self.docker.ok("rmi", "mine:v2")
        self.docker.ok("load", input=renamed)
        self.assertIn("mine:v2", self.docker.out("image", "inspect", "-f", "{{.RepoTags}}", "mine:v2"))

    def test_commit(self):
        self.docker.ok("run", "--name", "box", "busybox", "sh", "-c", "echo kept > /kept")
        node = self.node_of("box")
        self.assertRegex(self.docker.out("commit", "-m", "with a file", "box", "kept:v1"), r"^sha256:")
        where = () if DIRECT else ("-e", f"constraint:node=={node}")
        self.assertEqual(self.docker.out("run", "--rm", *where, "kept:v1", "cat", "/kept"), "kept")

    def test_pull_without_registry_fails_clearly(self):
        result = self.docker.run("pull", "example.invalid/nothing:v1")
        self.assertNotEqual(result.code, 0)
        self.assertIn("example.invalid", result.err + result.out)

    def test_run_of_an_unknown_image_fails_clearly(self):
        self.assertIn("example.invalid/nothing", self.fails("run", "--rm", "example.invalid/nothing:v1"))

    # -- networks and volumes -----------------------------------------------------------------------------------

    def test_network(self):
        self.docker.ok("network", "create", "--driver", "bridge", "--label", "a=b", "net")
        names = [name.split("/")[-1] for name in self.docker.ok("network", "ls", "--format", "{{.Name}}").lines]
        self.assertEqual(names.count("net"), 1, names)
        self.assertEqual(self.docker.out("network", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Labels.a}}", "net"), "net bridge b")
        self.run_d("one", "--network", "net", "--network-alias", "uno")
        self.assertIn("1 packets received", self.docker.out("run", "--rm", "--network", "net", "busybox", "ping", "-c", "1", "-W", "5", "uno"))
        full = self.run_d("two", *self.beside("one"))
        self.docker.ok("network", "connect", "net", "two")
        self.assertIn(full, self.docker.out("network", "inspect", "-f", "{{json .Containers}}", "net"))
        self.docker.ok("network", "disconnect", "net", "two")
        self.assertNotIn(full, self.docker.out("network", "inspect", "-f", "{{json .Containers}}", "net"))
        self.docker.ok("rm", "-f", "one", "two")
        self.docker.ok("network", "rm", "net")
        self.assertRegex(self.fails("network", "inspect", "net"), "(?i)not found|no such network")

    def beside(self, other):
        """Options that put a container on the node of another."""
        return () if DIRECT else ("-e", f"constraint:node=={self.node_of(other)}")

    def test_volume(self):
        self.assertEqual(self.docker.out("volume", "create", "--label", "a=b", "data"), "data")
        names = {name.split("/")[-1] for name in self.docker.ok("volume", "ls", "-q").lines}
        self.assertEqual(names, {"data"})
        name = "data" if DIRECT else "pi1/data"
        self.assertEqual(self.docker.out("volume", "inspect", "-f", "{{.Driver}} {{.Labels.a}}", name), "local b")
        self.docker.ok("run", "--rm", *self.on("pi1"), "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/file")
        self.assertEqual(self.docker.out("run", "--rm", *self.on("pi1"), "-v", "data:/d", "busybox", "cat", "/d/file"), "kept")
        self.docker.ok("volume", "rm", "data")
        self.assertEqual(self.docker.out("volume", "ls", "-q"), "")
        self.assertRegex(self.fails("volume", "inspect", "data"), "(?i)no such volume")

    @staticmethod
    def on(node):
        return () if DIRECT else ("-e", f"constraint:node=={node}")

    # -- events -------------------------------------------------------------------------------------------------

    def test_events_until(self):
        self.docker.ok("run", "--rm", "--name", "box", "busybox", "true")
        # Ends by itself: --until is now.
        self.docker.ok("events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}")

    # -- the scheduler ------------------------------------------------------------------------------------------

    @needs_cluster
    def test_constraint(self):
        for node in ("pocket", "pi1", "pi2"):
            self.run_d("by-name-" + node, *self.on(node))
            self.assertEqual(self.node_of("by-name-" + node), node)
        self.run_d("ssd", "-e", "constraint:storage==ssd")
        self.assertEqual(self.node_of("ssd"), "pocket")
        self.run_d("label", "--label", 'com.docker.swarm.constraints=["room==attic"]')
        self.assertEqual(self.node_of("label"), "pi1")
        self.assertIn("node==nowhere", self.fails("run", "-d", "-e", "constraint:node==nowhere", *SLEEP))
        self.assertNotIn("constraint:", self.docker.out("exec", "ssd", "env"))

    @needs_cluster
    def test_spread(self):
        nodes = []
        for number in range(6):
            self.run_d(f"s{number}")
            nodes.append(self.node_of(f"s{number}"))
        self.assertEqual(sorted(nodes), ["pi1", "pi1", "pi2", "pi2", "pocket", "pocket"])

    @needs_cluster
    def test_port_filter(self):
        for number in range(3):
            self.run_d(f"p{number}", "-p", "80:80")
        self.assertEqual({self.node_of(f"p{number}") for number in range(3)}, {"pocket", "pi1", "pi2"})
        self.assertIn("80", self.fails("run", "-d", "-p", "80:80", *SLEEP))
        eventually(lambda: len(self.docker.ok("ps", "-q").lines) == 3, "three containers and no wreck")


class OldClient(NewClient):
    client = "20"
