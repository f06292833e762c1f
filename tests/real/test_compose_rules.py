"""What Compose takes for granted of an engine, and a cluster must grant too: replacement, shared volumes and networks,
services that belong together, one-off runs, inline configs."""

import collections
import re
import shutil

from rig import fleet, session
from rig.case import ClusterCase, DIRECT, needs_cluster
from rig.cluster import eventually

SLEEP = "stop_signal: SIGKILL\n    command: sleep 1000"


class Rules(ClusterCase):
    """A project named `shop`, on Compose 2."""

    def setUp(self):
        super().setUp()
        self.client = self.cluster.compose(2)
        self.directory = session.state_dir() / "disk" / "shop"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()

    def write(self, text):
        (self.directory / "compose.yaml").write_text(text)

    def compose(self, *arguments):
        return self.client.ok(*arguments, cwd=self.directory)

    def up(self, text, *arguments):
        self.write(text)
        return self.compose("up", "-d", *arguments)

    def containers(self, service=None):
        labels = ["com.docker.compose.project=shop"] + ([f"com.docker.compose.service={service}"] if service else [])
        return self.cluster.api.get("/containers/json", all="1", filters={"label": labels})

    def one(self, service):
        (container,) = self.containers(service)
        return container["Id"]

    def nodes_of(self, *services):
        return {self.node_of(self.one(service)) for service in services}

    # -- replacement --------------------------------------------------------------------------------------------

    RECREATED = """
services:
  web:
    image: busybox
    stop_signal: SIGKILL
    command: sh -c "echo first >> /kept/log; exec httpd -f -p 80 -h /kept"
    environment: ["COLOUR=%s"]
    ports: ["8088:80"]
    volumes: ["/kept"]
"""

    def test_a_changed_service_takes_over_its_port_its_node_and_its_anonymous_volume(self):
        for filler in range(2):  # so that spread alone would choose another node for the replacement
            self.docker.ok("run", "-d", "--stop-signal=KILL", "--name", f"filler{filler}", "busybox", "sleep", "1000")
        self.up(self.RECREATED % "red")
        before, node = self.one("web"), self.node_of(self.one("web"))
        self.up(self.RECREATED % "blue")
        after = self.one("web")
        self.assertNotEqual(after, before)
        self.assertEqual(self.node_of(after), node)
        self.assertIn("COLOUR=blue", self.docker.out("inspect", "-f", "{{.Config.Env}}", after))
        self.assertEqual(self.compose("exec", "-T", "web", "cat", "/kept/log").out, "first\nfirst", "its volume came along")
        self.assertRegex(self.compose("port", "web", "80").out, r":8088$")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.Name}}", after), "/shop-web-1")
        self.compose("down", "-v")

    def test_a_second_up_changes_nothing(self):
        text = f"services:\n  a:\n    image: busybox\n    {SLEEP}\n    deploy: {{replicas: 3}}\n"
        self.up(text)
        before = sorted(one["Id"] for one in self.containers())
        self.up(text)
        self.assertEqual(sorted(one["Id"] for one in self.containers()), before)
        self.compose("down")

    # -- networks and volumes -----------------------------------------------------------------------------------

    SHARED = f"""
services:
  a:
    image: busybox
    {SLEEP}
    volumes: ["data:/data"]
    networks: [front, back]
    deploy: {{replicas: 3}}
networks:
  front: {{labels: {{side: front}}}}
  back: {{driver_opts: {{com.docker.network.bridge.enable_icc: "true"}}}}
volumes:
  data: {{labels: {{kind: shared}}}}
"""

    @needs_cluster
    def test_networks_and_volumes_are_there_wherever_a_container_goes(self):
        self.up(self.SHARED)
        spread = collections.Counter(self.node_of(one["Id"]) for one in self.containers())
        self.assertEqual(spread, {"pocket": 1, "pi1": 1, "pi2": 1})
        for one in fleet.engines():
            networks = {net["Name"]: net for net in one.api.get("/networks", filters={"type": ["custom"]})}
            self.assertEqual(set(networks), {"shop_front", "shop_back"}, one.name)
            self.assertEqual(networks["shop_front"]["Labels"]["side"], "front")
            self.assertEqual(networks["shop_back"]["Options"]["com.docker.network.bridge.enable_icc"], "true")
            (volume,) = one.api.get("/volumes")["Volumes"]
            self.assertEqual((volume["Name"], volume["Labels"]["kind"]), ("shop_data", "shared"))
            (container,) = one.api.containers()
            self.assertEqual(set(container["NetworkSettings"]["Networks"]), {"shop_front", "shop_back"}, one.name)
        names = self.docker.ok("network", "ls", "--format", "{{.Name}}", "-f", "label=com.docker.compose.project=shop").lines
        self.assertEqual(sorted(names), ["shop_back", "shop_front"], "each is one network to the user")
        self.assertEqual(len(self.docker.ok("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "shop_front").out.split()), 3)
        self.up(self.SHARED)
        self.assertEqual(len(self.containers()), 3)
        self.compose("down", "-v")
        for one in fleet.engines():
            self.assertEqual(one.api.get("/networks", filters={"type": ["custom"]}), [], one.name)
            self.assertEqual(one.api.get("/volumes")["Volumes"] or [], [], one.name)

    # -- together -----------------------------------------------------------------------------------------------

    TOGETHER = f"""
services:
  base:
    image: busybox
    {SLEEP}
    ipc: shareable
    volumes: ["/base"]
  net:
    image: busybox
    {SLEEP}
    network_mode: "service:base"
  ipc:
    image: busybox
    {SLEEP}
    ipc: "service:base"
  pid:
    image: busybox
    {SLEEP}
    pid: "service:base"
  volumes:
    image: busybox
    {SLEEP}
    volumes_from: [base]
  link:
    image: busybox
    command: sh -c "ping -c 1 uplink && echo reached && exec sleep 1000"
    stop_signal: SIGKILL
    links: ["base:uplink"]
"""

    def test_services_that_share_something_are_placed_together(self):
        self.up(self.TOGETHER)
        self.assertEqual(len(self.nodes_of("base", "net", "ipc", "pid", "volumes", "link")), 1)
        eventually(lambda: "reached" in self.compose("logs", "link").out, "the link's alias is reached", show=lambda: self.compose("logs").out)
        self.assertEqual(self.docker.out("inspect", "-f", "{{.HostConfig.NetworkMode}}", self.one("net")), "container:" + self.one("base"))
        self.assertIn("/base", self.docker.out("inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}", self.one("volumes")))
        self.compose("down", "-v")

    # -- small things that people use ---------------------------------------------------------------------------

    SMALL = """
services:
  db:
    image: busybox
    stop_signal: SIGKILL
    command: sh -c "sleep 1; touch /ready; exec sleep 1000"
    healthcheck: {test: "test -e /ready", interval: 1s, start_period: 10s}
  app:
    image: busybox
    stop_signal: SIGKILL
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
    configs: [{source: greeting, target: /greeting}]
configs:
  greeting: {content: "good morning"}
"""

    def test_health_configs_one_off_runs_and_the_other_commands(self):
        self.up(self.SMALL)
        self.assertIn("(healthy)", next(one["Status"] for one in self.containers("db")))
        self.assertEqual(self.compose("exec", "-T", "app", "cat", "/greeting").out, "good morning")
        self.assertEqual(self.compose("run", "--rm", "-T", "app", "sh", "-c", "cat /greeting; exit 0").out, "good morning")
        self.assertEqual(self.client.run("run", "--rm", "-T", "app", "sh", "-c", "exit 7", cwd=self.directory).code, 7)
        self.assertEqual(len(self.containers()), 2, "the one-off runs left nothing")
        self.assertEqual(sorted(self.compose("ps", "--services").lines), ["app", "db"])
        self.assertIn("sleep 1000", self.compose("top", "app").out)
        self.assertIn("busybox", self.compose("images").out)
        self.assertRegex(self.compose("ls").out, r"shop +running\(2\)")
        (self.directory / "note").write_text("carried")
        self.compose("cp", "note", "app:/note")
        self.assertEqual(self.compose("exec", "-T", "app", "cat", "/note").out, "carried")
        self.compose("kill", "app")
        self.assertEqual({one["State"] for one in self.containers("app")}, {"exited"})
        self.compose("start", "app")
        self.compose("pause", "app")
        self.assertEqual({one["State"] for one in self.containers("app")}, {"paused"})
        self.compose("unpause", "app")
        self.compose("rm", "-s", "-f", "app")
        self.assertEqual(self.containers("app"), [])
        self.compose("down")

    def test_foreground_up_shows_output_and_ends_with_the_service(self):
        self.write('services:\n  once:\n    image: busybox\n    command: sh -c "echo from the container; exit 3"\n')
        result = self.client.run("up", "--exit-code-from", "once", cwd=self.directory)
        self.assertEqual(result.code, 3, result)
        self.assertTrue(re.search(r"once-1 +\| from the container", result.out), result)
        self.compose("down")


