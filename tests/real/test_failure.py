"""Engines die, hang and come back; the cluster goes on and tells why."""

import time

from rig import cli, fleet
from rig.case import ClusterCase, needs_cluster
from rig.cluster import eventually

SLEEP = ("busybox", "sleep", "1000")


@needs_cluster
class Failure(ClusterCase):
    def status(self, name):
        return self.cluster.nodes()[name]["Status"]

    def wait_status(self, name, status):
        eventually(lambda: self.status(name) == status, f"{name} is {status}", show=self.cluster.nodes)

    def run_d(self, name, *options):
        return self.docker.out("run", "-d", "--stop-signal=KILL", "--name", name, *options, *SLEEP)

    def slowest_list(self, calls=20):
        """Seconds of the slowest of some `GET /containers/json`."""
        slowest = 0.0
        for _ in range(calls):
            begun = time.monotonic()
            self.cluster.api.containers()
            slowest = max(slowest, time.monotonic() - begun)
        return slowest

    def on_engines(self):
        """{container ID: engine} of what really exists."""
        return {container["Id"]: one.name for one in fleet.engines() for container in one.api.containers()}

    def check_view(self):
        """Every container that exists is listed exactly once."""
        def same():
            listed = [container["Id"] for container in self.cluster.api.containers()]
            return sorted(listed) == sorted(self.on_engines())
        eventually(same, "the manager lists what the engines have, once each",
                   show=lambda: ([c["Names"] for c in self.cluster.api.containers()], self.on_engines()))

    def test_killed_engine(self):
        victim = fleet.engine("pi1")
        lost = self.run_d("lost", "-e", "constraint:node==pi1")
        kept = self.run_d("kept", "-e", "constraint:node==pocket")
        back = self.run_d("back", "--restart=always", "-e", "constraint:node==pi1")
        victim.kill()
        self.wait_status("pi1", "Unhealthy")
        self.assertNotEqual(self.cluster.nodes()["pi1"].get("Error", ""), "", "the reason is shown")
        self.assertNotEqual(self.cluster.nodes()["pi1"]["Error"], "(none)")
        # The issue asks for "well under a second"; nothing here may wait for the dead engine.
        self.assertLess(self.slowest_list(), 0.5)
        self.assertEqual(self.docker.ok("ps", "-q", "--no-trunc").lines, [kept])
        everything = {c["Id"]: c["Status"] for c in self.cluster.api.containers()}
        self.assertEqual(set(everything), {lost, kept, back}, "its containers are not forgotten")
        self.assertEqual(everything[lost], "Host Down")
        for number in range(4):
            self.run_d(f"new{number}")
            self.assertNotEqual(self.node_of(f"new{number}"), "pi1")
        self.assertIn("pi1", self.fails("run", "-d", "-e", "constraint:node==pi1", *SLEEP))
        self.assertRegex(self.fails("exec", "lost", "true"), "(?i)unhealthy")

        victim.start()
        self.wait_status("pi1", "Healthy")
        self.check_view()
        eventually(lambda: {c["Id"]: c["State"] for c in self.cluster.api.containers()}.get(back) == "running",
                   "what restarts always runs again", show=self.cluster.api.containers)
        self.assertEqual(self.docker.out("inspect", "-f", "{{.State.Status}} {{.Node.Name}}", "lost"), "exited pi1")
        self.run_d("again", "-e", "constraint:node==pi1")

    def test_hung_engine_holds_up_nobody(self):
        hung = fleet.engine("pi2")
        hung.pause()
        self.addCleanup(hung.unpause)
        self.assertLess(self.slowest_list(), 0.5)
        self.run_d("elsewhere", "-e", "constraint:node==pocket")
        self.wait_unhealthy_within("pi2", 90)
        self.assertLess(self.slowest_list(), 0.5)
        for number in range(3):
            self.run_d(f"new{number}")
            self.assertNotEqual(self.node_of(f"new{number}"), "pi2")
        hung.unpause()
        self.wait_status("pi2", "Healthy")
        self.check_view()

    def wait_unhealthy_within(self, name, seconds):
        eventually(lambda: self.status(name) == "Unhealthy", f"{name} is Unhealthy", seconds, self.cluster.nodes)

    def test_orderly_restart_of_an_engine(self):
        one = fleet.engine("pocket")
        self.run_d("box", "-e", "constraint:node==pocket")
        one.restart()
        self.wait_status("pocket", "Healthy")
        self.check_view()

    def test_changes_made_directly_on_an_engine_are_seen(self):
        direct = cli.docker(fleet.engine("pi2").address)
        full = direct.out("run", "-d", "--name", "outside", *SLEEP)
        eventually(lambda: [c["Id"] for c in self.cluster.api.containers()] == [full], "it appears")
        self.assertEqual(self.node_of("outside"), "pi2")
        direct.ok("rm", "-f", "outside")
        eventually(lambda: self.cluster.api.containers() == [], "it disappears")

    def test_all_engines_die(self):
        for one in fleet.engines():
            one.kill()
        for one in fleet.engines():
            self.wait_status(one.name, "Unhealthy")
        self.assertEqual(self.docker.out("ps", "-aq"), "")
        self.assertIn("No healthy node", self.fails("run", "-d", *SLEEP))
        for one in fleet.engines():
            one.start()
        self.cluster.wait_healthy([one.name for one in fleet.engines()])
        self.run_d("works-again")
