"""What an operator says about nodes, and questions to the scheduler: `swarmd node`, `explain`, `plan`."""

import collections
import json
import shutil

from rig import fetch, fleet, session, swarmd
from rig.case import needs_cluster
from rig.cluster import ADDRESS, eventually
from rig.operator import NAMES, SLEEP, OperatorCase


@needs_cluster
class Operate(OperatorCase):
    # -- what is said about nodes ---------------------------------------------------------------------------------

    def test_a_label_draws_containers_and_outlives_the_manager(self):
        self.assertIn("tier==gold", self.docker.run("run", "-d", "-e", "constraint:tier==gold", *SLEEP).err)
        self.assertEqual(self.swarmd("node", "label", "pi2", "tier=gold", "rack=2").out,
                         "pi2: labels set by the operator: rack=2 tier=gold")
        for number in range(3):
            self.run_d(f"one{number}", "-e", "constraint:tier==gold")
        self.restart_manager()
        self.run_d("after", "-e", "constraint:rack==/^[0-9]$/")
        self.assertEqual({self.node_of(name) for name in ("one0", "one1", "one2", "after")}, {"pi2"})
        self.assertIn("tier=gold", self.cluster.nodes()["pi2"]["Labels"])
        self.assertEqual(self.docker.out("inspect", "-f", "{{.Node.Labels.rack}}", "after"), "2")
        self.assertIn("tier=gold   (operator)", self.swarmd("node", "inspect", "pi2").out)
        self.swarmd("node", "label", "pi2", "tier-", "rack-")
        self.assertNotIn("tier=", self.cluster.nodes()["pi2"]["Labels"])
        self.assertIn("tier==gold", self.docker.run("run", "-d", "-e", "constraint:tier==gold", *SLEEP).err)

    def test_slots_of_a_label_count(self):
        self.swarmd("node", "label", "pi1", "containerslots=1")
        self.run_d("first", "-e", "constraint:node==pi1")
        self.assertIn("containerslots=1", self.docker.run("run", "-d", "-e", "constraint:node==pi1", *SLEEP).err)

    def test_a_paused_node_takes_nothing_new(self):
        self.run_d("old", "-e", "constraint:node==pi1")
        said = self.swarmd("node", "pause", "pi1", "--reason", "new disk").out
        self.assertRegex(said, r"^pi1: paused since \S+Z \(new disk\)$")
        for number in range(4):
            self.assertNotEqual(self.node_of(self.run_d(f"new{number}")), "pi1")
        error = self.docker.run("run", "-d", "-e", "constraint:node==pi1", *SLEEP).err
        self.assertRegex(error, r"pi1: paused by the operator since \S+Z \(new disk\)")
        self.restart_manager()
        info = self.cluster.nodes()["pi1"]
        self.assertRegex(info["Availability"], r"^paused since \S+Z$")
        self.assertEqual(info["Availability Reason"], "new disk")
        self.assertNotIn("Availability", self.cluster.nodes()["pi2"])
        self.assertRegex(self.swarmd("node", "ls").out, r"(?m)^pi1 +Healthy +paused ")
        self.assertEqual(self.docker.out("exec", "old", "echo", "runs on"), "runs on")
        self.assertNotEqual(self.node_of(self.run_d("again")), "pi1")
        self.assertEqual(self.swarmd("node", "resume", "pi1").out, "pi1: active")
        self.assertEqual(self.node_of(self.run_d("back", "-e", "constraint:node==pi1")), "pi1")
        self.assertNotIn("Availability", self.cluster.nodes()["pi1"])

    def test_all_paused(self):
        for name in NAMES:
            self.swarmd("node", "pause", name)
        self.assertIn("No node takes new containers", self.docker.run("run", "-d", *SLEEP).err)

    def test_mistakes_are_explained(self):
        self.assertIn("No such node: pi9", self.swarmd("node", "inspect", "pi9", code=69).err)
        self.assertIn("cannot be set", self.swarmd("node", "label", "pi1", "ostype=x", code=69).err)
        self.assertIn("in use", self.swarmd("node", "rm", "pi1", code=69).err)
        self.assertIn("No such container: nix", self.swarmd("explain", "nix", code=69).err)
        engine = swarmd.run("node", "ls", "-H", fleet.engine("pocket").address)
        self.assertEqual(engine.code, 69)
        self.assertIn("no swarmd manager", engine.err)
        nobody = swarmd.run("node", "ls", "-H", "127.0.0.1:1")
        self.assertEqual(nobody.code, 69)
        self.assertIn("name the manager with -H", nobody.err)

    def test_nodes_go_by_name_id_and_address(self):
        (node,) = [one for one in self.swarmd("node", "ls", "--json").json() if one["name"] == "pi1"]
        for name in (node["name"], node["id"], node["address"]):
            self.assertEqual(self.swarmd("node", "inspect", name, "--json").json()["id"], node["id"])

    def test_a_dead_node_that_is_removed_is_gone_at_once(self):
        self.run_d("lost", "-e", "constraint:node==pi1")
        kept = self.run_d("kept", "-e", "constraint:node==pocket")
        self.swarmd("node", "label", "pi1", "tier=gold")
        victim, (agent,) = fleet.engine("pi1"), [one for one in self.cluster.agents if one.name == "agent-pi1"]
        agent.kill()
        victim.kill()
        eventually(lambda: self.cluster.nodes()["pi1"]["Status"] == "Unhealthy", "pi1 is unhealthy")
        # While it is away, its orders are kept and can be changed.
        eventually(lambda: "pi1" not in self.cluster.nodes(), "its registration ends")
        self.assertRegex(self.swarmd("node", "ls").out, r"(?m)^pi1 +Absent ")
        self.swarmd("node", "label", "pi1", "rack=1")
        agent.start()
        eventually(lambda: "(unknown)" in self.cluster.nodes(), "it is registered again, still dead")
        self.assertRegex(self.swarmd("node", "ls").out, r"(?m)^pi1 +Pending ", "by its address it is known")
        agent.kill()
        victim.start()
        self.cluster.wait_healthy(NAMES)
        self.assertIn("rack=1", self.cluster.nodes()["pi1"]["Labels"])
        agent.start()
        victim.kill()
        eventually(lambda: self.cluster.nodes()["pi1"]["Status"] == "Unhealthy", "pi1 is unhealthy")
        agent.kill()
        self.assertEqual(len(self.docker.ok("ps", "-aq").lines), 2)
        self.assertIn("pi1 removed", self.swarmd("node", "rm", "pi1").out)
        self.assertEqual(self.docker.ok("ps", "-aq", "--no-trunc").lines, [kept])
        self.assertNotIn("pi1", self.swarmd("node", "ls").out)
        victim.start()
        agent.start()
        self.cluster.wait_healthy(NAMES)
        self.assertNotIn("tier=", self.cluster.nodes()["pi1"]["Labels"], "nothing that was said is kept")
        self.assertIn("lost", self.docker.out("ps", "-a", "--format", "{{.Names}}"))

    # -- questions ------------------------------------------------------------------------------------------------

    def test_explain_says_why_it_was_and_what_would_be_now(self):
        self.swarmd("node", "label", "pi2", "tier=gold")
        self.run_d("web", "-p", "8080:80", "-m", "64m", "-e", "constraint:tier==gold", "-e", "affinity:image!=~nix")
        told = self.swarmd("explain", "web", "--json").json()
        self.assertEqual((told["node"], told["then"]["decision"]["node"], told["now"]["node"]), ("pi2",) * 3)
        self.assertEqual(told["expressions"]["constraints"], ["tier==gold"])
        self.assertEqual({one["node"] for one in told["now"]["turned_away"]}, {"pi1", "pocket"})
        self.assertEqual(told["now"]["decided_by"], "only-one", "its own port and memory do not stand in its way")
        self.swarmd("node", "label", "pi2", "tier-")
        self.swarmd("node", "label", "pi1", "tier=gold")
        told = self.swarmd("explain", "web", "--json").json()
        self.assertEqual((told["then"]["decision"]["node"], told["now"]["node"]), ("pi2", "pi1"))
        text = self.swarmd("explain", "pi2/web").out
        self.assertIn("web is on pi2", text)
        self.assertIn("constraint:tier==gold", text)
        self.assertRegex(text, r"pi2: does not satisfy tier==gold \[constraint\]")
        self.restart_manager()
        told = self.swarmd("explain", "web", "--json").json()
        self.assertIsNone(told["then"])
        self.assertIn("not known any more", told["note"])
        self.assertEqual(told["now"]["node"], "pi1")

    PLANS = (
        ("plain",),
        ("second",),
        ("port", "-p", "8080:80"),
        ("port-too", "-dp8080:80"),
        ("big", "-m", "32m", "--cpus", "0.5"),
        ("near", "-e", "affinity:container==port"),
        ("apart", "-e", "affinity:container!=plain"),
        ("there", "-e", "constraint:node!=pi1", "-l", "k=v"),
        ("shared", "--net", "container:big"),
        ("volumes", "--volumes-from", "plain"),
        ("soft", "-e", "constraint:node==~pi9"),
    )

    def test_what_is_planned_is_what_happens(self):
        for name, *options in self.PLANS:
            line = ("run", "-d", "--stop-signal=KILL", "--name", name, *options, *SLEEP)
            planned = self.swarmd("plan", "--json", "--", *line).json()["steps"][0]
            self.docker.ok(*line)
            self.assertEqual(planned["node"], self.node_of(name), f"{name}: {json.dumps(planned, indent=1)}")
        for options in (("--name", "plain"), ("-e", "constraint:node==pi9"), ("--net", "container:nix"), ("-m", "1000g")):
            line = ("run", "-d", *options, *SLEEP)
            error = self.docker.run(*line).err
            text = self.swarmd("plan", "--", *line, code=1).out
            self.assertIn(text.splitlines()[0], error)
        self.assertEqual(len(self.docker.ok("ps", "-aq").lines), len(self.PLANS), "a plan creates nothing")

    SHOP = """
services:
  base:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: ["constraint:node!=pocket"]
    volumes: ["/shared", "data:/data"]
    ipc: shareable
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    ports: ["8080:80"]
    depends_on: [base]
    deploy: {replicas: 3, resources: {limits: {memory: 16M}}}
  side:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: "service:base"
    ipc: "service:base"
    volumes_from: ["base:ro"]
    depends_on: [web]
  bound:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks: [front]
    depends_on: [side]
    labels: ["com.docker.swarm.affinities=[\\"container!=shop-base-1\\"]"]
  last:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    container_name: mine
    mem_limit: 16m
    cpus: 0.5
    depends_on: [bound]
networks:
  front: {driver: bridge}
volumes: {data: {}}
"""

    def test_a_compose_file_goes_where_it_was_planned(self):
        directory = session.state_dir() / "disk" / "shop"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "compose.yaml").write_text(self.SHOP)
        client = self.cluster.compose(2)
        env = {"PATH": f"{fetch.newest()[1]}/usr/bin:/usr/bin:/bin", "DOCKER_CONFIG": client.environment["DOCKER_CONFIG"]}
        file = str(directory / "compose.yaml")
        steps = self.swarmd("plan", "--json", file, env=env).json()["steps"]
        planned = {step["name"]: step["node"] for step in steps if step["kind"] == "container"}
        self.addCleanup(client.run, "down", "-v", cwd=directory)
        client.ok("up", "-d", cwd=directory)
        really = {name: self.node_of(name) for name in planned}
        self.assertEqual(len(really), 7)
        web = {name for name in planned if "-web-" in name}
        # Compose makes the containers of one service at once, in any order.
        count = lambda nodes: collections.Counter(nodes[name] for name in web)  # noqa: E731
        self.assertEqual(count(planned), count(really))
        for name in set(planned) - web:
            self.assertEqual(planned[name], really[name], f"{name}: {json.dumps(steps, indent=1)}")
        (front,) = [step for step in steps if step["kind"] == "network"]
        self.assertEqual((front["name"], front["node"] in NAMES), ("shop_front", True))
        again = self.swarmd("plan", file, env=env).out
        self.assertEqual(again.count("it is there already"), 7)
        no_compose = swarmd.run("plan", "-H", ADDRESS, file, env={"PATH": "/nowhere"})
        self.assertEqual(no_compose.code, 69)
        self.assertIn("install Docker's compose plugin", no_compose.err)
