"""kill -9 of the manager while many containers are being made: nothing acknowledged is lost, nothing is listed twice."""

import subprocess
import time

from rig import fleet
from rig.case import EngineCase, needs_cluster
from rig.cluster import Cluster, eventually

RUNS = 50
BEFORE_KILL = 8  # acknowledged runs to wait for


@needs_cluster
class Crash(EngineCase):
    def setUp(self):
        super().setUp()
        self.cluster = Cluster()
        self.addCleanup(self.cluster.down)
        self.cluster.up()

    def start_runs(self):
        docker = self.cluster.docker()
        return [docker.popen("run", "-d", "--name", f"crash{number}", "busybox", "sleep", "1000", stdin=subprocess.DEVNULL)
                for number in range(RUNS)]

    def existing(self):
        """IDs of all containers on all engines, each with its multiplicity."""
        return sorted(container["Id"] for one in fleet.engines() for container in one.api.containers())

    def listed(self):
        return sorted(container["Id"] for container in self.cluster.api.containers())

    def test_kill_during_fifty_runs(self):
        runs = self.start_runs()
        eventually(lambda: sum(run.poll() == 0 for run in runs) >= BEFORE_KILL, "the first runs are through", 120)
        self.cluster.manager.kill()
        acknowledged = set()
        for run in runs:
            out, _err = run.communicate(timeout=120)
            # `docker run -d` prints the ID when create was answered, and exits 0 when start was too.
            acknowledged.update(out.decode().split())
        self.assertGreaterEqual(len(acknowledged), BEFORE_KILL)

        self.cluster.manager.start()
        self.cluster.wait_healthy([one.name for one in fleet.engines()])
        self.settle()
        existing = self.existing()
        self.assertEqual(len(set(existing)), len(existing))
        self.assertLessEqual(acknowledged, set(existing), "an acknowledged run is lost")
        eventually(lambda: self.listed() == existing, "every container that exists is listed once", show=lambda: (len(self.listed()), len(existing)))

    def settle(self):
        """Engines may still finish what the dead manager had asked for: waits until their lists stand still."""
        before = None
        while (now := self.existing()) != before:
            before = now
            time.sleep(1)

    def test_runs_go_on_after_the_restart(self):
        docker = self.cluster.docker()
        first = docker.out("run", "-d", "--name", "first", "busybox", "sleep", "1000")
        self.cluster.manager.kill()
        self.cluster.manager.start()
        self.cluster.wait_healthy([one.name for one in fleet.engines()])
        self.assertEqual(docker.out("inspect", "-f", "{{.Id}}", "first"), first)
        self.assertRegex(docker.run("run", "-d", "--name", "first", "busybox").err, "(?i)conflict", "the name is still taken")
        docker.ok("rm", "-f", "first")
        self.assertEqual(self.listed(), [])
