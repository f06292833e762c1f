"""Containers with `reschedule:on-node-failure` when their engine is killed: what can move moves and runs, what has its
data there waits and says so, and when the engine is back there is exactly one of each. Also with the manager killed."""

import json

from rig import fleet, swarmd
from rig.case import EngineCase, needs_cluster
from rig.cluster import ADDRESS, Cluster, eventually

SLEEP = ("busybox", "sleep", "1000")
MOVES = ("-e", "reschedule:on-node-failure")
NAMES = ("pi1", "pi2", "pocket")
WAITS = "waits: the data of volume data is on pi1 alone"


@needs_cluster
class Reschedule(EngineCase):
    """A manager that is quick to take an engine for lost."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster("reschedule")
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up_on(fleet.engines(), 'reschedule-delay = "500ms"')

    def setUp(self):
        super().setUp()
        self.docker = self.cluster.docker()
        self.cluster.wait_healthy(NAMES)

    # -- looking ------------------------------------------------------------------------------------------------

    def run_on(self, node, name, *options, command=SLEEP):
        """Runs a container on a node, while no other takes any."""
        others = [other for other in NAMES if other != node]
        for other in others:
            self.assertEqual(swarmd.run("node", "pause", "-H", ADDRESS, other).code, 0)
        full = self.docker.out("run", "-d", "--stop-signal=KILL", "--name", name, *options, *command)
        for other in others:
            self.assertEqual(swarmd.run("node", "resume", "-H", ADDRESS, other).code, 0)
        self.assertEqual(self.node_of(name), node)
        return full

    def node_of(self, name):
        return self.docker.out("inspect", "-f", "{{.Node.Name}}", name)

    def holders(self, name):
        """{engine: state} of the containers of this name that really exist."""
        return {one.name: container["State"] for one in fleet.engines() if one.alive()
                for container in one.api.containers() if f"/{name}" in container["Names"]}

    def status(self, name):
        """The status in the one entry that lists have of it."""
        entries = [c["Status"] for c in self.cluster.api.containers() if c["Names"][0].endswith(f"/{name}")]
        self.assertLessEqual(len(entries), 1, entries)
        return entries[0] if entries else None

    def wait_moved(self, name, away_from):
        def moved():
            held = {node: state for node, state in self.holders(name).items() if node != away_from}
            return len(held) == 1 and "running" in held.values() and (self.status(name) or "").startswith("Up")
        eventually(moved, f"{name} runs elsewhere", show=lambda: (self.holders(name), self.status(name)))

    def wait_only(self, name, node):
        """Exactly one is left, on that node, and it runs."""
        eventually(lambda: self.holders(name) == {node: "running"} and (self.status(name) or "").startswith("Up"),
                   f"{name} is on {node} alone", show=lambda: (self.holders(name), self.status(name)))

    def in_book(self, count):
        """The manager has so many containers on disk, all running: a second at most after they are."""
        book = self.cluster.manager.state / "rescheduler.json"
        def there():
            records = json.loads(book.read_text())["records"].values() if book.exists() else []
            return sum(record["recipe"]["running"] for record in records) == count
        eventually(there, f"{count} containers are on disk")

    def start_two(self):
        """Two on pi1: one that can move, with a volume without a name, and one with a named local volume. The other's name is how
        the swarm ID of the first begins: never is that one meant by it."""
        self.docker.ok("network", "create", "app")
        old = self.run_on("pi1", "web", *MOVES, "--network", "app", "-p", "8099:80", "-v", "/cache", "--restart=always",
                          "--label", f"com.docker.swarm.id=db{'0' * 62}")
        self.docker.ok("exec", "web", "sh", "-c", "echo left > /cache/file")
        self.run_on("pi1", "db", *MOVES, "-v", "data:/data", "--restart=always")
        self.docker.ok("exec", "db", "sh", "-c", "echo kept > /data/file")
        (cache,) = [m["Name"] for m in json.loads(self.docker.out("inspect", "web"))[0]["Mounts"]]
        self.in_book(2)
        return old, cache

    def check_return(self, cache):
        """pi1 comes back: one of each, and all data is there."""
        moved_to = self.node_of("web")
        fleet.engine("pi1").start()
        self.cluster.wait_healthy(NAMES)
        self.wait_only("db", "pi1")
        self.wait_only("web", moved_to)
        self.assertEqual(len(self.cluster.api.containers()), 2)
        self.assertEqual(self.docker.out("exec", "db", "cat", "/data/file"), "kept")
        pi1 = fleet.engine("pi1").api
        volumes = {volume["Name"] for volume in pi1.get("/volumes")["Volumes"]}
        self.assertLessEqual({"data", cache}, volumes, "no volume was removed")
        eventually(lambda: f"its volumes stay: {cache}" in self.cluster.manager.log(), "the log names what is left")

    # -- tests --------------------------------------------------------------------------------------------------

    def test_one_moves_one_waits(self):
        old, cache = self.start_two()
        before = json.loads(self.docker.out("inspect", "web"))[0]
        fleet.engine("pi1").kill()
        self.wait_moved("web", "pi1")
        eventually(lambda: self.status("db") == f"Host Down ({WAITS})", "db says why it waits", show=lambda: self.status("db"))
        told = swarmd.run("explain", "-H", ADDRESS, "db")
        self.assertIn(f"Its node has failed; it {WAITS}", told.out)
        after = json.loads(self.docker.out("inspect", "web"))[0]
        self.assertNotEqual(after["Id"], old)
        self.assertEqual(after["Config"]["Labels"]["com.docker.swarm.id"], before["Config"]["Labels"]["com.docker.swarm.id"])
        self.assertEqual(list(after["NetworkSettings"]["Networks"]), ["app"])
        self.assertEqual(after["HostConfig"]["PortBindings"], before["HostConfig"]["PortBindings"])
        self.assertEqual(self.docker.run("exec", "web", "cat", "/cache/file").code, 1, "its volume is a new one")
        self.assertIn(f"Rescheduled container {old} from pi1 to {after['Node']['Name']} as {after['Id']}", self.cluster.manager.log())
        self.check_return(cache)

    def test_the_manager_is_killed_before_it_moves_anything(self):
        _old, cache = self.start_two()
        self.cluster.manager.kill()
        fleet.engine("pi1").kill()
        self.cluster.manager.start()
        self.wait_moved("web", "pi1")
        self.assertEqual(self.holders("db"), {}, "its data is on pi1")
        eventually(lambda: self.status("db") == f"Host Down ({WAITS})", "db says why it waits", show=lambda: self.status("db"))
        told = swarmd.run("explain", "-H", ADDRESS, "db")
        self.assertIn(WAITS, told.err)
        self.check_return(cache)

    def test_the_manager_is_killed_amid_the_move(self):
        _old, cache = self.start_two()
        moves = self.cluster.manager.log().count("Rescheduled container")
        fleet.engine("pi1").kill()
        eventually(lambda: self.cluster.manager.log().count("Rescheduled container") > moves, "it is being moved")
        self.cluster.manager.kill()
        self.cluster.manager.start()
        self.wait_moved("web", "pi1")
        # Once more, and pi1 is back before the manager is.
        moved_to = self.node_of("web")
        self.cluster.manager.kill()
        fleet.engine("pi1").start()
        self.cluster.manager.start()
        self.wait_only("web", moved_to)
        self.wait_only("db", "pi1")
        self.assertEqual(self.docker.out("exec", "db", "cat", "/data/file"), "kept")
        self.assertIn(cache, {volume["Name"] for volume in fleet.engine("pi1").api.get("/volumes")["Volumes"]})

    def test_what_a_user_stopped_stays_stopped(self):
        self.run_on("pi1", "runs", *MOVES)
        self.run_on("pi1", "stopped", *MOVES)
        self.docker.ok("stop", "stopped")
        fleet.engine("pi1").kill()
        self.wait_moved("runs", "pi1")
        eventually(lambda: "created" in self.holders("stopped").values(), "it is made anew", show=lambda: self.holders("stopped"))
        eventually(lambda: self.status("stopped") == "Created", "and not started", show=lambda: self.status("stopped"))

    def test_between_engines_of_different_age(self):
        """From 28 to 20.10 and back: everything that was asked for is asked for again."""
        self.docker.ok("network", "create", "--subnet", "10.88.0.0/24", "app")
        self.docker.ok("network", "create", "back")
        rich = ("--network", "app", "--ip", "10.88.0.9", "--network-alias", "w", "-e", "A=1", "-c", "1", "-m", "64m", "--hostname", "mine",
                "--mount", "type=tmpfs,target=/t", "-v", "/etc/hosts:/h:ro", "--health-cmd", "true", "--restart=unless-stopped", "--init",
                "--cap-add", "NET_ADMIN", "--label", "l=1", "--user", "0", "--workdir", "/tmp", "--ulimit", "nofile=99:99")
        self.run_on("pocket", "web", *MOVES, "-e", "constraint:node!=pi1", *rich)
        self.docker.ok("network", "connect", "--alias", "wb", "back", "web")
        before = self.asked_for("web")
        for source, target in [("pocket", "pi2"), ("pi2", "pocket")]:
            eventually(lambda: "back" in self.record("web"), "the second network is known")
            fleet.engine(source).kill()
            self.wait_moved("web", source)
            self.assertEqual(self.node_of("web"), target)
            self.assertEqual(self.asked_for("web"), before)
            fleet.engine(source).start()
            self.cluster.wait_healthy(NAMES)
            self.wait_only("web", target)

    def test_an_address_that_is_taken_is_given_up(self):
        self.docker.ok("network", "create", "--subnet", "10.88.0.0/24", "app")
        fixed = ("--network", "app", "--ip", "10.88.0.9")
        for source, target in [("pocket", "pi2"), ("pi2", "pocket")]:
            self.run_on(target, f"squatter-{target}", *fixed)
            self.run_on(source, f"web-{source}", *MOVES, "-e", "constraint:node!=pi1", *fixed)
            fleet.engine(source).kill()
            self.wait_moved(f"web-{source}", source)
            self.assertEqual(self.node_of(f"web-{source}"), target)
            address = self.docker.out("inspect", "-f", "{{.NetworkSettings.Networks.app.IPAddress}}", f"web-{source}")
            self.assertRegex(address, r"^10\.88\.0\.(?!9$)")
            self.assertIn(f"web-{source} gets other addresses than it had on {source}", self.cluster.manager.log())
            fleet.engine(source).start()
            self.cluster.wait_healthy(NAMES)
            self.wait_only(f"web-{source}", target)
            self.docker.ok("rm", "-f", f"squatter-{target}", f"web-{source}")

    def record(self, name):
        """What is on disk of a container that moves."""
        book = json.loads((self.cluster.manager.state / "rescheduler.json").read_text())
        return next((json.dumps(r["recipe"]["body"]) for r in book["records"].values() if r["recipe"]["name"] == name), "")

    def asked_for(self, name):
        """What a user can say of a container, as its engine tells it."""
        c = json.loads(self.docker.out("inspect", name))[0]
        config = {key: c["Config"].get(key) for key in ("Hostname", "Env", "Cmd", "Entrypoint", "Healthcheck", "User", "WorkingDir", "Image")}
        host = {key: c["HostConfig"].get(key) for key in
                ("Binds", "Mounts", "RestartPolicy", "CapAdd", "CpuShares", "Memory", "NetworkMode", "Init", "Ulimits", "PortBindings")}
        networks = {}
        for network, end in c["NetworkSettings"]["Networks"].items():
            aliases = sorted(alias for alias in end["Aliases"] or [] if not c["Id"].startswith(alias))
            networks[network] = (aliases, (end["IPAMConfig"] or {}).get("IPv4Address"))
        labels = {key: value for key, value in c["Config"]["Labels"].items() if key != "com.docker.swarm.replaces"}
        return config, host, networks, labels
