"""Where containers go, on real engines: constraints, affinities, dependencies, slots, ports, whitelists, resources, devices;
told by `-e`, by `--label` and by compose files.

    pocket  storage=ssd room=desk       pi1  storage=sd room=attic       pi2  storage=sd room=cellar
"""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from rig import cli, fleet, session
from rig.case import ClusterCase, needs_cluster
from rig.cluster import eventually

SLEEP = ("busybox", "sleep", "1000")
ALL = {"pocket", "pi1", "pi2"}
UNABLE = "Unable to find a node that satisfies the following conditions"


@needs_cluster
class Scheduler(ClusterCase):
    def run_d(self, name, *options):
        """Runs a container that sleeps; returns its node."""
        self.docker.ok("run", "-d", "--stop-signal=KILL", "--name", name, *options, *SLEEP)
        return self.node_of(name)

    def on(self, node, name, *options):
        """The same, on this node."""
        self.assertEqual(self.run_d(name, "-e", f"constraint:node=={node}", *options), node)

    def refused(self, *options):
        """The error text of a container that no node takes; nothing is left of it."""
        before = self.docker.out("ps", "-aq")
        text = self.fails("run", "-d", *options, *SLEEP)
        self.assertEqual(self.docker.out("ps", "-aq"), before)
        return text

    def nodes_for(self, *wish, count=3):
        """The nodes that `count` containers with these options go to."""
        names = [f"probe{number}" for number in range(count)]
        for name in names:
            self.docker.ok("create", "--name", name, *wish, *SLEEP)
        nodes = {self.node_of(name) for name in names}
        self.docker.ok("rm", *names)
        return nodes


class Expressions(Scheduler):
    def test_constraints(self):
        for wish, nodes in (
            ("storage==ssd", {"pocket"}),
            ("storage==sd", {"pi1", "pi2"}),
            ("storage!=ssd", {"pi1", "pi2"}),
            ("room==*a*", {"pi1", "pi2"}),
            ("room!=c*", {"pocket", "pi1"}),
            (r"room==/^(desk|attic)$/", {"pocket", "pi1"}),
            (r"room!=/(?i)ATT/", {"pocket", "pi2"}),
            (r"node==/^pi\d$/", {"pi1", "pi2"}),
            ("node!=pi1", {"pocket", "pi2"}),
            (f"node=={fleet.engine('pi2').id()}", {"pi2"}),
            ("ostype==linux", ALL),
            ("storagedriver==over*", ALL),
            ("storage==~ssd", {"pocket"}),
            ("storage==~floppy", ALL),
            ("nosuchlabel!=x", ALL),
        ):
            with self.subTest(wish):
                self.assertEqual(self.nodes_for("-e", f"constraint:{wish}"), nodes)

    def test_constraints_add_up_and_are_stored_as_ever(self):
        # Newer docker clients send several -e in any order; a label keeps the one it was written in.
        label, both = "com.docker.swarm.constraints", ["node==pi1", "storage==ssd"]
        self.on("pi2", "box", "-e", "constraint:storage==sd", "-e", "KEPT=1", "--label", "mine=1")
        config = self.docker.ok("inspect", "box").json()[0]["Config"]
        self.assertEqual(sorted(json.loads(config["Labels"][label])), ["node==pi2", "storage==sd"])
        self.assertIn("KEPT=1", config["Env"])
        self.assertNotIn("constraint", " ".join(config["Env"]))
        text = self.refused("--label", f"{label}={json.dumps(both)}")
        self.assertIn(f"{UNABLE} \n[available container slots]\n[node==pi1 storage==ssd]", text)
        self.assertIn("\n  pi1: does not satisfy storage==ssd\n  pi2, pocket: does not satisfy node==pi1", text)

    def test_through_labels(self):
        def label(kind, *texts):
            return "--label", f"com.docker.swarm.{kind}={json.dumps(texts)}"
        self.assertEqual(self.nodes_for(*label("constraints", "storage==sd", "room!=attic")), {"pi2"})
        self.assertEqual(self.nodes_for(*label("whitelists", "node==pi1|pi2")), {"pi1", "pi2"})
        self.on("pi1", "front")
        self.assertEqual(self.nodes_for(*label("affinities", "container==front")), {"pi1"})
        self.assertEqual(self.nodes_for(*label("affinities", "container!=front"), "-e", "constraint:storage==sd"), {"pi2"})

    def test_what_does_not_parse_is_told(self):
        self.assertIn("error from constraint filter: One of operator ==, != is expected", self.refused("-e", "constraint:storage=ssd"))
        self.assertIn("error from affinity filter: Key 'a' is invalid", self.refused("-e", "affinity:a==b"))
        self.assertIn("storage==foo[ is not a valid pattern", self.refused("-e", "constraint:storage==foo["))
        self.assertIn("does not satisfy storage==/", self.refused("-e", "constraint:storage==/"))  # a lone slash once ended all scheduling
        self.assertEqual(self.nodes_for("-e", "constraint:storage==~/"), ALL)

    def test_whitelists(self):
        self.assertEqual(self.nodes_for("-e", "whitelist:node==pi1|pocket"), {"pi1", "pocket"})
        # As labels: of two `-e` with the same text before the first `=` newer clients send the last one only.
        both = json.dumps(["node==pi1|pocket", "node==pi1|pi2"])
        self.assertEqual(self.nodes_for("--label", f"com.docker.swarm.whitelists={both}"), {"pi1"})
        self.assertEqual(self.nodes_for("-e", "whitelist:node==~nobody"), ALL)
        self.assertIn("[node==nobody (soft=false)]", self.refused("-e", "whitelist:node==nobody"))

    def test_affinities(self):
        self.on("pi1", "front", "--label", "tier=web")
        front = self.docker.out("inspect", "-f", "{{.Id}}", "front")
        for wish, nodes in (
            ("container==front", {"pi1"}),
            (f"container=={front}", {"pi1"}),
            ("container==fr*", {"pi1"}),
            ("container==/^fron.$/", {"pi1"}),
            ("container!=front", {"pocket", "pi2"}),
            ("tier==web", {"pi1"}),
            ("tier!=web", {"pocket", "pi2"}),
            ("container==~front", {"pi1"}),
            ("container==~nobody", ALL),
            ("tier!=~web", {"pocket", "pi2"}),
        ):
            with self.subTest(wish):
                self.assertEqual(self.nodes_for("-e", f"affinity:{wish}"), nodes)
        self.assertIn("[container==nobody (soft=false)]", self.refused("-e", "affinity:container==nobody"))

    def test_anti_affinity_spreads_and_then_refuses(self):
        web = ("--label", "app=web", "-e")
        self.assertEqual({self.run_d(f"web{n}", *web, "affinity:app!=web") for n in range(3)}, ALL)
        text = self.refused(*web, "affinity:app!=web")
        self.assertIn("\n  pi1, pi2, pocket: does not satisfy app!=web", text)
        self.run_d("web3", *web, "affinity:app!=~web")

    def test_image_affinity(self):
        cli.docker(fleet.engine("pi2").address).ok("tag", "busybox", "only:here")
        eventually(lambda: any("only:here" in (image["RepoTags"] or []) for image in self.cluster.api.get("/images/json")),
                   "the manager knows the image")
        identity = self.docker.out("image", "inspect", "-f", "{{.Id}}", "busybox")
        for wish in ("image==only:here", "image==only", "image==on*", "image==~only:here"):
            with self.subTest(wish):
                self.assertEqual(self.nodes_for("-e", f"affinity:{wish}"), {"pi2"})
        self.assertEqual(self.nodes_for("-e", "affinity:image!=only"), {"pocket", "pi1"})
        self.assertEqual(self.nodes_for("-e", f"affinity:image=={identity}"), ALL)
        self.assertIn("[image==none:such (soft=false)]", self.refused("-e", "affinity:image==none:such"))


class Dependencies(Scheduler):
    def test_volumes_links_and_namespaces(self):
        self.on("pi1", "one", "-v", "/data")
        self.on("pi2", "two")
        for option in (("--volumes-from", "one"), ("--volumes-from", "one:ro"), ("--volumes-from", "pi1/one"), ("--link", "one:other"),
                       ("--net", "container:one"), ("--pid", "container:one")):
            with self.subTest(option):
                self.assertEqual(self.nodes_for(*option, count=2), {"pi1"})
        self.assertEqual(self.nodes_for("--volumes-from", "one", "--net", "container:one", count=2), {"pi1"})
        text = self.refused("--volumes-from", "one", "--link", "two:x")
        self.assertIn("--volumes-from=", text)
        self.assertRegex(text, r"--link=two:x\]")
        self.assertIn("does not have the container two", text)

    def test_a_shared_ipc_namespace(self):
        self.on("pi2", "one", "--ipc", "shareable")
        self.assertEqual(self.nodes_for("--ipc", "container:one", count=2), {"pi2"})


class Ports(Scheduler):
    def test_a_fixed_port_is_once_on_each_node(self):
        first = {self.run_d(f"web{n}", "-p", "8080:80"): f"web{n}" for n in range(3)}
        self.assertEqual(set(first), ALL)
        text = self.refused("-p", "8080:80")
        self.assertIn(f"{UNABLE} \n[port 8080 (Bridge mode)]", text)
        for node, name in first.items():
            self.assertIn(f"\n  {node}: port 8080 is taken by {name}", text)
        self.run_d("udp", "-p", "8080:80/udp")
        self.run_d("other", "-p", "8081:80")
        self.docker.ok("stop", first["pi2"])
        self.refused("-p", "8080:80")
        self.docker.ok("rm", first["pi2"])
        self.assertEqual(self.run_d("next", "-p", "8080:80"), "pi2")
        self.assertIn("port 8080", self.refused("-p", "127.0.0.1:8080:80"))
        # One free port of a range is enough.
        self.assertEqual(self.run_d("range", "-e", "constraint:node==pi2", "-p", "8080-8083:80"), "pi2")
        self.assertRegex(self.docker.out("port", "range", "80"), r":808[23]\b")

    def test_host_mode(self):
        self.assertEqual({self.run_d(f"h{n}", "--net", "host", "--expose", "9100") for n in range(3)}, ALL)
        self.assertIn("[port 9100/tcp (Host mode)]", self.refused("--net", "host", "--expose", "9100"))

    def test_parallel_creates_never_share_a_port(self):
        with ThreadPoolExecutor(3) as pool:
            for number in range(10):
                port = f"{8100 + number}:80"
                nodes = list(pool.map(lambda n: self.run_d(f"r{number}-{n}", "-p", port), range(3)))
                self.assertEqual(set(nodes), ALL, f"round {number}")
                self.docker.ok("rm", "-f", *(f"r{number}-{n}" for n in range(3)))

    def test_parallel_creates_of_one_name(self):
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: self.docker.run("create", "--name", "same", *SLEEP), range(4)))
        self.assertEqual(sorted(r.code == 0 for r in results), [False, False, False, True])
        for one in results:
            if one.code:
                self.assertIn('Conflict. The container name "/same" is already in use', one.err)


class Resources(Scheduler):
    def total(self, node):
        """Bytes and CPUs of an engine."""
        info = fleet.engine(node).api.get("/info")
        return info["MemTotal"], info["NCPU"]

    def reserved(self, node):
        row = self.cluster.nodes()[node]
        return row["Reserved CPUs"].split(" / ")[0], row["Reserved Memory"].split(" / ")[0]

    def test_memory_is_given_once(self):
        most = str(self.total("pocket")[0] * 6 // 10)
        big = ("-m", most, "--memory-swap", "-1")
        self.assertEqual({self.run_d(f"big{n}", *big) for n in range(3)}, ALL)
        text = self.refused(*big)
        self.assertTrue("no resources available to schedule container" in text, text)
        self.assertRegex(text, r"needs [\d.]+ GiB, [\d.]+ GiB free of [\d.]+ GiB, 5 % overcommit")
        self.assertIn("needs", self.refused("--memory-reservation", most))
        # What is stopped reserves nothing.
        node = self.node_of("big1")
        self.docker.ok("stop", "big1")
        eventually(lambda: self.reserved(node)[1] == "0 B", "it is released", show=self.cluster.rows)
        self.assertEqual(self.run_d("fourth", *big), node)
        # What is made smaller, less.
        shrunk = self.node_of("big2")
        self.docker.ok("update", "-m", "64m", "--memory-swap", "-1", "big2")
        eventually(lambda: self.reserved(shrunk)[1] == "64 MiB", "the update is seen", show=self.cluster.rows)
        self.refused(*big, "-e", f"constraint:node!={shrunk}")
        self.assertEqual(self.run_d("fifth", "--memory-reservation", str(int(most) // 2)), shrunk)

    def test_cpus(self):
        _memory, cpus = self.total("pi1")
        self.on("pi1", "half", "--cpus", "0.5")
        self.assertEqual(self.reserved("pi1")[0], "0", "a limit reserves nothing")
        self.on("pi1", "whole", "-c", "1")
        self.assertEqual(self.reserved("pi1")[0], "1")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.HostConfig.CpuShares}}", "whole"), str(-(-1024 // cpus)))
        text = self.refused("-e", "constraint:node==pi1", "-c", str(cpus))
        self.assertIn(f"pi1: needs {cpus} CPUs (-c), {cpus - 1} free of {cpus}, 5 % overcommit", text)
        self.on("pi1", "most", "--cpus", str(cpus))
        text = self.refused("-e", "constraint:node==pi1", "--cpus", str(cpus + 1))
        self.assertIn(f"pi1: is asked for {cpus + 1} CPUs (--cpus), has {cpus}", text)
        self.docker.ok("rm", "-f", "whole")
        eventually(lambda: self.reserved("pi1")[0] == "0", "it is released", show=self.cluster.rows)


class EngineLabels(Scheduler):
    """An engine with labels of its own: `containerslots` and `devices`."""

    @classmethod
    def setUpClass(cls):
        one = fleet.engine("pi1")
        before = one.labels
        one.labels += ("containerslots=2", "devices=/dev/ze*,/dev/ttyUSB0", "gpu=none")
        one.restart()

        def undo():
            one.labels = before
            one.restart()
        cls.addClassCleanup(undo)
        super().setUpClass()

    def test_slots(self):
        wish = ("-e", "constraint:room==attic")
        for number in range(2):
            self.run_d(f"c{number}", *wish)
        self.docker.ok("kill", "c0")
        text = self.refused(*wish)
        self.assertIn("pi1: holds 2 containers, containerslots=2", text)
        self.docker.ok("rm", "c0")
        self.assertEqual(self.run_d("c2", *wish), "pi1")
        self.assertEqual(self.nodes_for(), {"pocket", "pi2"})

    def test_devices(self):
        self.assertEqual(self.nodes_for("--device", "/dev/zero", count=2), {"pi1"})
        self.assertEqual(self.nodes_for("--device", "/dev/full", count=3), ALL, "nobody tells of one")
        text = self.refused("--device", "/dev/zero", "-e", "constraint:node!=pi1")
        self.assertRegex(text, r"pi2, pocket: does not have the device /dev/zero|pi1: does not satisfy node!=pi1")
        self.assertIn("has no GPU", self.refused("--gpus", "all"))
        text = self.refused("--runtime", "nosuch")
        self.assertIn("[--runtime=nosuch]", text)
        self.assertIn("does not have the runtime nosuch", text)
        self.assertEqual(self.nodes_for("--runtime", "runc", count=3), ALL)


class Composed(Scheduler):
    """The same words in compose files."""

    TEXT = """
version: "2.4"
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: ["constraint:storage==ssd", "MODE=db"]
    volumes: ["/data"]
  near:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment:
      "affinity:com.docker.compose.service": "=db"
    depends_on: [db]
  far:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: ["affinity:com.docker.compose.service!=db", "affinity:com.docker.compose.service!=near"]
    depends_on: [db, near]
  labelled:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    labels:
      com.docker.swarm.constraints: '["room==/^(attic|desk)$$/", "storage==sd"]'
  sharing:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: "service:labelled"
    depends_on: [labelled]
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    ports: ["8090:80"]
    environment: ["whitelist:node==pi1|pi2"]
"""

    def check(self, version, dash):
        directory = session.state_dir() / "disk" / "park"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "docker-compose.yml").write_text(self.TEXT)
        compose = self.cluster.compose(version)
        scale = ("--scale", "web=2")
        compose.ok("up", "-d", *scale, cwd=directory)
        node = {name: self.node_of(f"park{dash}{name}{dash}1") for name in ("db", "near", "far", "labelled", "sharing", "web")}
        self.assertEqual(node["db"], "pocket")
        self.assertEqual(node["near"], "pocket")
        self.assertIn(node["far"], {"pi1", "pi2"})
        self.assertEqual(node["labelled"], "pi1")
        self.assertEqual(node["sharing"], "pi1")
        self.assertEqual({node["web"], self.node_of(f"park{dash}web{dash}2")}, {"pi1", "pi2"})
        environment = self.docker.ok("inspect", f"park{dash}db{dash}1").json()[0]["Config"]["Env"]
        self.assertIn("MODE=db", environment)
        self.assertFalse([entry for entry in environment if re.match("constraint|affinity", entry)])
        compose.ok("down", "-v", cwd=directory)

    def test_compose_2(self):
        self.check(2, "-")

    def test_compose_1(self):
        self.check(1, "_")
