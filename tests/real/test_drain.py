"""`swarmd node drain` and `swarmd rebalance`: a machine is taken out and comes back, and the README shows it as it is."""

import json
import re
from pathlib import Path

from rig.case import needs_cluster
from rig.cluster import eventually
from rig.operator import NAMES, SLEEP, OperatorCase

README = Path(__file__).resolve().parents[2] / "README.md"
WITHOUT_DATA = ("--label", "com.docker.swarm.reschedule-volumes=move")
HEALTHY = ("--health-cmd", "true", "--health-interval", "1s")


@needs_cluster
class Drain(OperatorCase):

    def on(self, node, name, *options):
        """Runs a container on a node, and nothing says that it has to be there."""
        others = [other for other in NAMES if other != node]
        for other in others:
            self.swarmd("node", "pause", other)
        identifier = self.run_d(name, *options)
        for other in others:
            self.swarmd("node", "resume", other)
        return identifier

    def where(self):
        """{container: node} of all containers."""
        names = [name.rsplit("/", 2)[-2:] for name in self.docker.out("ps", "-a", "--format", "{{.Names}}").split()]
        where = {name: node for node, name in names}
        self.assertEqual(len(where), len(names), f"one of a name: {names}")
        return where

    def running(self):
        return {name.rsplit("/", 1)[-1] for name in self.docker.out("ps", "--format", "{{.Names}}").split()}

    def wait_for(self, name):
        eventually(lambda: self.docker.out("inspect", "-f", "{{.State.Health.Status}}", name) == "healthy", f"{name} is healthy")

    def readme(self):
        """{command: output} of the section in the README."""
        section = README.read_text().split("\n## Take a machine out", 1)[1].split("\n## ", 1)[0]
        shown = "\n".join(re.findall(r"```console\n(.*?)```", section, re.S))
        pairs = [block.split("\n", 1) for block in re.split(r"(?m)^\$ ", shown) if block]
        return {command: plain(output) for command, output in pairs}

    def test_a_machine_is_taken_out_and_comes_back(self):
        readme = self.readme()
        self.on("pi1", "web", "-p", "8080:80")
        self.on("pi1", "api", *HEALTHY)
        self.on("pi1", "db", "-v", "data:/data")
        self.on("pi1", "cam", "-e", "constraint:node==pi1")
        for number in range(6):
            self.on(("pi2", "pocket")[number % 2], f"job{number}")
        self.docker.ok("exec", "db", "sh", "-c", "echo kept > /data/file")
        self.wait_for("api")
        before, was = self.where(), self.docker.out("ps", "-aq", "--no-trunc")

        dry = self.swarmd("node", "drain", "pi1", "--dry-run", code=1).out
        self.assertEqual((self.where(), self.docker.out("ps", "-aq", "--no-trunc")), (before, was), "nothing happened")
        self.assertNotIn("Availability", self.cluster.nodes()["pi1"])
        self.assertEqual(plain(dry), readme["swarmd node drain pi1 --dry-run"])

        told = self.swarmd("node", "drain", "pi1", "--reason", "new disk", code=1).out
        self.assertEqual(plain(told), readme['swarmd node drain pi1 --reason "new disk"'])
        after = self.where()
        self.assertEqual({name for name, node in after.items() if node == "pi1"}, {"db", "cam"})
        self.assertEqual(after.keys(), before.keys())
        self.assertEqual(self.running(), before.keys(), "all run")
        self.assertIn(":8080", self.docker.out("port", "web"))
        self.assertEqual(self.docker.out("exec", "db", "cat", "/data/file"), "kept")
        self.assertRegex(self.cluster.nodes()["pi1"]["Availability"], r"^drained since \S+Z$")
        self.assertEqual(self.cluster.nodes()["pi1"]["Availability Reason"], "new disk")
        self.assertRegex(self.swarmd("node", "ls").out, r"(?m)^pi1 +Healthy +drained ")
        self.restart_manager()
        self.assertRegex(self.cluster.nodes()["pi1"]["Availability"], r"^drained since ")
        self.assertIn("pi1: drained by the operator", self.docker.run("run", "-d", "-e", "constraint:node==pi1", *SLEEP).err)

        self.assertEqual(self.swarmd("node", "resume", "pi1").out, "pi1: active")
        proposed = self.swarmd("rebalance", "--dry-run").out
        self.assertEqual(self.where(), after, "nothing happened")
        self.assertEqual(plain(proposed), readme["swarmd rebalance --dry-run"])
        done = self.swarmd("rebalance").out
        self.assertIn("moved 1", done)
        evened = self.where()
        self.assertEqual(sorted(list(evened.values()).count(node) for node in NAMES), [3, 3, 4])
        self.assertEqual(self.running(), before.keys())
        self.assertIn("nothing to do", self.swarmd("rebalance").out)

    def test_what_stays_says_why(self):
        self.on("pi1", "base", "-v", "/shared", *WITHOUT_DATA)
        self.on("pi1", "user", "--volumes-from", "base", *WITHOUT_DATA)
        self.on("pi1", "host", "-v", "/srv:/srv:ro")
        self.on("pi1", "clock", "-v", "/etc/localtime:/etc/localtime:ro")
        self.on("pi1", "once", "--rm")
        self.on("pi1", "halted")
        self.on("pi1", "frozen")
        self.docker.ok("kill", "halted")
        self.docker.ok("pause", "frozen")
        self.addCleanup(self.docker.run, "unpause", "frozen")
        self.docker.ok("create", "--name", "fresh", "-e", "constraint:node==~pi1", *SLEEP)
        lines = self.swarmd("node", "drain", "pi1", "--json", code=1).lines
        done = json.loads(lines[-1])
        why = {left["container"]: left["why"] for left in done["left"]}
        self.assertEqual(why.keys(), {"base", "user", "host", "once", "halted", "frozen"})
        self.assertIn("belongs together with user", why["base"])
        self.assertIn("belongs together with base", why["user"])
        self.assertIn("uses /srv of this machine", why["host"])
        self.assertIn("--rm", why["once"])
        self.assertIn("is stopped", why["halted"])
        self.assertIn("is paused", why["frozen"])
        self.assertFalse(next(left for left in done["left"] if left["container"] == "halted")["holds_up"])
        where = self.where()
        self.assertNotEqual(where["clock"], "pi1")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.State.Status}}", "clock"), "running")
        self.assertNotEqual(where["fresh"], "pi1")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.State.Status}}", "fresh"), "created")

    def test_what_does_not_get_well_elsewhere_stays(self):
        # A new volume lacks the file that its health check wants.
        ill = ("--health-cmd", "test -e /data/ok", "--health-interval", "1s", "--health-retries", "1", "-v", "/data", *WITHOUT_DATA)
        self.on("pi1", "sick", *ill)
        self.docker.ok("exec", "sick", "touch", "/data/ok")
        self.wait_for("sick")
        was = self.docker.out("inspect", "-f", "{{.Id}}", "sick")
        told = self.swarmd("node", "drain", "pi1", code=1).out
        self.assertRegex(told, r"sick: created on \S+, started, removed from \S+ again\n")
        self.assertIn("its health check fails; it is on pi1 as before", told)
        self.assertEqual(self.docker.out("inspect", "-f", "{{.Id}} {{.State.Health.Status}}", "sick"), f"{was} healthy")
        self.assertEqual(self.where(), {"sick": "pi1"})

    def test_volumes_without_a_name_are_made_anew_and_the_old_ones_kept(self):
        self.on("pi1", "cache", "-v", "/cache", *WITHOUT_DATA)
        self.on("pi1", "keeps", "-v", "/data")
        volume = self.docker.out("inspect", "-f", "{{(index .Mounts 0).Name}}", "cache")
        kept = self.docker.out("inspect", "-f", "{{(index .Mounts 0).Name}}", "keeps")
        dry = self.swarmd("node", "drain", "pi1", "--dry-run", code=1).out
        self.assertIn(f"cache begins anew, without the data of its volumes on pi1: {volume}", dry)
        self.assertRegex(dry, rf"(?m)^keeps +pi1 +has data in the volume {kept[:12]} of this node$")
        told = self.swarmd("node", "drain", "pi1", code=1).out
        self.assertIn(f"cache begins anew, without the data of its volumes on pi1: {volume}", told)
        self.assertEqual(self.where()["keeps"], "pi1")
        self.docker.ok("rm", "-f", "keeps")
        self.assertIn(f"old volumes stay on pi1: {volume}", told)
        self.assertNotEqual(self.docker.out("inspect", "-f", "{{(index .Mounts 0).Name}}", "cache"), volume)
        self.assertIn(f"pi1/{volume}", self.docker.out("volume", "ls", "-q"))
        self.assertEqual(self.swarmd("node", "drain", "pi1", "--dry-run").out, "pi1 is empty")


def plain(text):
    """Without what is another one each time: moments, and the width of columns that they may have."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
