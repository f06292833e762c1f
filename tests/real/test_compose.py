"""Compose projects on the cluster, with docker-compose 1.29 and `docker compose` 2."""

import collections
import shutil

from rig import fleet, session
from rig.case import ClusterCase, DIRECT, needs_cluster
from rig.cluster import eventually

PINNED = """
version: "2"
services:
  web:
    image: busybox
    command: sh -c "echo started; exec httpd -f -p 80 -h /www"
    stop_signal: SIGKILL
    environment: ["constraint:node==pocket", "COLOUR=green"]
    ports: ["8080:80"]
"""

SCALED = """
version: "2"
services:
  foo:
    image: busybox
    command: sh -c "echo here; exec sleep 1000"
    stop_signal: SIGKILL
"""

LINKED = """
version: "2.4"
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    healthcheck: {test: "true", interval: 1s}
    environment: ["constraint:node==pi1"]
  app:
    image: busybox
    command: sh -c "ping -c 1 db && echo reached && exec sleep 1000"
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
    environment: ["constraint:node==pi1"]
volumes: {data: {}}
"""


class Compose1(ClusterCase):
    version = 1

    def setUp(self):
        super().setUp()
        self.client = self.cluster.compose(self.version)

    def project(self, text):
        """A project directory named `shop` with this file."""
        directory = session.state_dir() / "disk" / "shop"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "docker-compose.yml").write_text(text)

        def compose(*arguments):
            return self.client.ok(*arguments, cwd=directory)
        return compose

    def containers(self):
        """The project's containers as the manager lists them."""
        return self.cluster.api.get("/containers/json", all="1", filters={"label": ["com.docker.compose.project=shop"]})

    def node_counts(self):
        return dict(collections.Counter(self.node_of(one["Id"]) for one in self.containers()))

    def empty(self):
        """Nothing of the project is on any engine."""
        for one in fleet.engines():
            self.assertEqual(one.api.containers(), [], one.name)
            self.assertEqual([net["Name"] for net in one.api.get("/networks", filters={"type": ["custom"]})], [], one.name)

    def test_constraint_places_a_service(self):
        compose = self.project(PINNED)
        compose("up", "-d")
        self.assertEqual(self.node_counts(), {"pocket": 1})
        environment = self.docker.out("inspect", "-f", "{{.Config.Env}}", self.containers()[0]["Id"])
        self.assertIn("COLOUR=green", environment)
        if not DIRECT:
            self.assertNotIn("constraint", environment)
        pocket = fleet.engine("pocket")
        eventually(lambda: pocket.run_inside("curl", "-sf", "http://127.0.0.1:8080/") == "ok\n", "the published port answers on pocket")
        compose("down")
        self.empty()

    def test_whole_life(self):
        compose = self.project(PINNED)
        compose("up", "-d")
        self.assertIn("web", compose("ps").out)
        eventually(lambda: "started" in compose("logs").out, "logs")
        self.assertEqual(compose("exec", "-T", "web", "cat", "/www/index.html").out, "ok")
        compose("stop")
        self.assertEqual([one["State"] for one in self.containers()], ["exited"])
        compose("start")
        self.assertEqual([one["State"] for one in self.containers()], ["running"])
        compose("restart", "-t", "1")
        compose("up", "-d")
        self.assertEqual(len(self.containers()), 1, "a second `up` changes nothing")
        compose("down")
        self.empty()

    @needs_cluster
    def test_scale_spreads(self):
        compose = self.project(SCALED)
        compose("up", "-d", "--scale", "foo=6")
        self.assertEqual(self.node_counts(), {"pocket": 2, "pi1": 2, "pi2": 2})
        self.assertEqual(compose("logs").out.count("here"), 6)
        self.assertEqual({one["State"] for one in self.containers()}, {"running"})
        compose("up", "-d", "--scale", "foo=2")
        self.assertEqual(len(self.containers()), 2)
        compose("stop")
        self.assertEqual({one["State"] for one in self.containers()}, {"exited"})
        compose("down")
        self.empty()

    def test_services_reach_each_other(self):
        compose = self.project(LINKED)
        compose("up", "-d")
        eventually(lambda: "reached" in compose("logs", "app").out, "app reaches db by its name", show=lambda: compose("logs").out)
        compose("down", "-v")
        self.empty()
        for one in fleet.engines():
            self.assertEqual(one.api.get("/volumes")["Volumes"] or [], [], one.name)


class Compose2(Compose1):
    version = 2
