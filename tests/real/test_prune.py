"""Prune of all kinds, disk usage, events with a history, and what old nodes do not know: three engines, one of them old."""

import datetime
import http.client
import json
import threading
import time
import urllib.parse

from rig import fleet
from rig.case import ClusterCase, needs_cluster
from rig.cluster import eventually

NODES = ("pocket", "pi1", "pi2")


class OnEvery(ClusterCase):
    def on(self, node, *command, name=None, options=()):
        """A container on a node; one that ends at once unless told otherwise."""
        name = ("--name", name) if name else ()
        return self.docker.out("run", "-d", "--stop-signal=KILL", *name, "-e", f"constraint:node=={node}", *options, "busybox",
                               *(command or ("true",)))

    def ended(self, count):
        eventually(lambda: len(self.docker.ok("ps", "-q", "-f", "status=exited").lines) == count, f"{count} containers have ended")


@needs_cluster
class Prune(OnEvery):
    def test_containers(self):
        ids = {node: self.on(node, name="job-" + node) for node in NODES}
        kept = self.on("pi1", "sleep", "1000")
        self.ended(3)
        out = self.docker.ok("container", "prune", "-f", "--filter", "node=pi2").lines
        self.assertIn(ids["pi2"], out)
        self.assertNotIn(ids["pi1"], out)
        out = self.docker.ok("container", "prune", "-f", "--filter", "label=nothing").lines
        self.assertEqual(out, ["Total reclaimed space: 0B"])
        out = self.docker.ok("container", "prune", "-f").lines
        self.assertEqual({ids["pocket"], ids["pi1"]}, {line for line in out if len(line) == 64})
        self.assertEqual(self.docker.ok("ps", "-aq", "--no-trunc").lines, [kept])
        self.assertRegex(self.fails("container", "prune", "-f", "--filter", "nope=x"), "(?i)invalid filter 'nope'")
        self.assertIn("No such node: nope", self.fails("container", "prune", "-f", "--filter", "node=nope"))

    def test_containers_with_one_node_down(self):
        for node in NODES:
            self.on(node)
        self.ended(3)
        fleet.engine("pi1").pause()
        eventually(lambda: self.cluster.nodes()["pi1"]["Status"] == "Unhealthy", "pi1 is down")
        self.assertEqual(len([line for line in self.docker.ok("container", "prune", "-f").lines if len(line) == 64]), 2)
        self.assertIn("pi1", self.fails("container", "prune", "-f", "--filter", "node=pi1"))

    def test_images(self):
        for node in NODES:
            self.on(node, name="base-" + node)
        self.ended(3)
        for node in NODES:
            self.docker.ok("commit", "base-" + node)
            self.docker.ok("commit", "base-" + node, "named-" + node)
        self.docker.ok("container", "prune", "-f")
        pruned = self.cluster.api.post("/images/prune")
        self.assertEqual(len([i for i in pruned["ImagesDeleted"] if "Deleted" in i and i["Deleted"].startswith("sha256:")]) % 3, 0)
        left = self.docker.ok("images", "--format", "{{.Repository}}").lines
        self.assertEqual(sorted(left), ["busybox", "named-pi1", "named-pi2", "named-pocket"])
        self.on("pi2", "sleep", "1000")  # busybox stays there
        pruned = self.cluster.api.post("/images/prune", filters={"dangling": ["false"], "node": ["pi2", "pi1"]})
        untagged = [i["Untagged"] for i in pruned["ImagesDeleted"] if "Untagged" in i]
        self.assertIn("named-pi1:latest", untagged)
        self.assertNotIn("named-pocket:latest", untagged)
        self.assertTrue(fleet.engine("pi2").api.get("/images/busybox/json"))
        # For the tests that follow: pi1 lost its busybox.
        _status, _headers, archive = fleet.engine("pocket").api.raw("GET", "/images/busybox:latest/get")
        fleet.engine("pi1").api.post("/images/load", archive)

    def test_networks(self):
        self.cluster.api.post("/networks/create", {"Name": "spread"})
        self.docker.ok("network", "create", "-d", "bridge", "bound")
        self.docker.ok("network", "create", "-d", "bridge", "--label", "keep", "kept")
        for node in ("pocket", "pi2"):
            self.on(node, "sleep", "1000", name="on-" + node, options=("--network", "spread"))
        copies = [one.name for one in fleet.engines() if any(n["Name"] == "spread" for n in one.api.get("/networks"))]
        self.assertLessEqual({"pocket", "pi2"}, set(copies))
        self.docker.ok("rm", "-f", "on-pocket")
        out = self.docker.ok("network", "prune", "-f", "--filter", "label!=keep").lines
        self.assertRegex(" ".join(out), r"^Deleted Networks: (pocket|pi1|pi2)/bound$")
        still = [one.name for one in fleet.engines() if any(n["Name"] == "spread" for n in one.api.get("/networks"))]
        self.assertEqual(still, copies, "a container of one node uses the network of all")
        self.docker.ok("rm", "-f", "on-pi2")
        self.assertEqual(self.cluster.api.post("/networks/prune", filters={"until": ["1h"]}), {"NetworksDeleted": None})
        pruned = self.cluster.api.post("/networks/prune")["NetworksDeleted"]
        self.assertEqual([name.split("/")[-1] for name in pruned], ["kept", "spread"])
        for one in fleet.engines():
            self.assertEqual([n["Name"] for n in one.api.get("/networks", filters={"type": ["custom"]})], [], one.name)

    def test_volumes(self):
        self.docker.ok("volume", "create", "data")
        self.on("pi1", "sleep", "1000", options=("-v", "data:/data", "-v", "/nameless"))
        pruned = self.cluster.api.post("/volumes/prune")
        # One node is so old that it knows no "all": so the cluster is asked as of that time, everywhere.
        self.assertEqual(sorted(pruned["VolumesDeleted"]), ["pi2/data", "pocket/data"])
        self.docker.ok("volume", "create", "more")
        self.assertEqual(self.docker.ok("volume", "prune", "-f").lines.count("pi2/more"), 1)
        self.assertEqual(len(self.docker.ok("volume", "ls", "-q").lines), 2)

    def test_build_cache_and_system(self):
        self.assertEqual(self.cluster.api.post("/build/prune"), {"CachesDeleted": None, "SpaceReclaimed": 0})
        for node in NODES:
            self.on(node)
        self.ended(3)
        out = self.docker.out("system", "prune", "-f")
        self.assertIn("Deleted Containers:", out)
        self.assertEqual(self.docker.out("ps", "-aq"), "")

    def test_by_the_old_client(self):
        docker = self.cluster.docker("20")
        for node in NODES:
            self.on(node)
        self.ended(3)
        self.assertEqual(len([line for line in docker.ok("system", "prune", "-f", "--volumes").lines if len(line) == 64]), 3)


@needs_cluster
class DiskUsage(OnEvery):
    def test_all_nodes_count(self):
        for node in NODES:
            self.on(node, "sleep", "1000", name="c-" + node, options=("-v", f"v-{node}:/data"))
        usage = self.cluster.api.get("/system/df")
        self.assertEqual(sorted(c["Names"][0] for c in usage["Containers"]), ["/pi1/c-pi1", "/pi2/c-pi2", "/pocket/c-pocket"])
        self.assertEqual([(i["RepoTags"], i["Containers"]) for i in usage["Images"]], [(["busybox:latest"], 3)])
        self.assertEqual(sum(v["UsageData"]["RefCount"] for v in usage["Volumes"]), 3)
        self.assertEqual({v["Name"] for v in usage["Volumes"]}, {"pi1/v-pi1", "pi2/v-pi2", "pocket/v-pocket"})
        layers = [one.api.get("/system/df")["LayersSize"] for one in fleet.engines()]
        self.assertEqual(usage["LayersSize"], sum(layers))
        for client in ("28", "20"):
            docker = self.cluster.docker(client)
            self.assertRegex(docker.out("system", "df"), r"Containers +3 +3")
            self.assertIn("c-pi2", docker.out("system", "df", "-v"))

    def test_ps_with_sizes(self):
        self.on("pi2", "sh", "-c", "dd if=/dev/zero of=/file bs=1024 count=64; sleep 1000", name="big")
        self.on("pocket", "sleep", "1000", name="small")

        def sizes():
            return {c["Names"][0].split("/")[-1]: c.get("SizeRw", 0) for c in self.cluster.api.get("/containers/json", size="1")}
        eventually(lambda: sizes()["big"] >= 65536, "the file counts", show=sizes)
        self.assertLess(sizes()["small"], 65536)
        self.assertIn("(virtual", self.docker.out("ps", "-s", "--format", "{{.Size}}", "-f", "name=small"))


@needs_cluster
class Events(OnEvery):
    def events(self, **query):
        status, _headers, body = self.cluster.api.raw("GET", "/events", **query)
        self.assertEqual(status, 200, body)
        return [json.loads(line) for line in body.splitlines()]

    def test_history_of_all_nodes_in_order(self):
        before = time.time()
        for node in ("pi2", "pocket", "pi1"):
            self.on(node, name="job-" + node)
        self.ended(3)
        told = self.events(since=f"{before:.9f}", until=f"{time.time():.9f}", filters={"type": ["container"], "event": ["start"]})
        self.assertEqual([e["Actor"]["Attributes"]["name"] for e in told], ["job-pi2", "job-pocket", "job-pi1"])
        self.assertEqual([e["node"]["Name"] for e in told], ["pi2", "pocket", "pi1"])
        times = [e["timeNano"] for e in self.events(since=str(int(before)), until=f"{time.time():.9f}")]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.events(since="0", until=str(int(before) - 3600)), [])
        lines = self.docker.ok("events", "--since", "10m", "--until", f"{time.time():.9f}", "--filter", "container=job-pi1", "--format", "{{.Action}}").lines
        self.assertLessEqual({"create", "start", "die"}, set(lines))

    def test_forms_of_times(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        for since in (f"{time.time() - 60:.0f}", f"{time.time() - 60:.3f}", (now - datetime.timedelta(minutes=1)).isoformat(), "1m"):
            self.events(since=since, until=f"{time.time():.9f}")
        for query in ({"since": "yesterday"}, {"until": "x"}, {"since": "2000000000", "until": "1000000000"}):
            self.assertEqual(self.cluster.api.raw("GET", "/events", **query)[0], 400, query)

    def test_until_in_the_future_ends_by_itself(self):
        started = time.time()
        told = []
        watch = threading.Thread(target=lambda: told.extend(self.events(until=f"{started + 3:.9f}", filters={"event": ["start"]})))
        watch.start()
        self.on("pi2", name="in-time")
        watch.join(30)
        self.assertFalse(watch.is_alive())
        self.assertIn("in-time", [e["Actor"]["Attributes"]["name"] for e in told])

    def test_no_gap_and_no_double_between_history_and_stream(self):
        """Clients that join with `since` while things happen get each of them once."""
        before = f"{time.time():.9f}"
        made = [f"e{number}" for number in range(12)]
        told, watchers = [], []

        def follow(mine):
            for event in self.stream(since=before, filters={"type": ["container"], "event": ["create"]}):
                mine.append(event["Actor"]["Attributes"]["name"])
                if mine[-1] == "last":
                    return
        for number, name in enumerate([*made, "last"]):
            if number % 3 == 0:
                told.append([])
                watchers.append(threading.Thread(target=follow, args=(told[-1],), daemon=True))
                watchers[-1].start()
            self.docker.ok("create", "--name", name, "-e", f"constraint:node=={NODES[number % 3]}", "busybox")
        for watch in watchers:
            watch.join(60)
        for mine in told:
            self.assertEqual(mine, [*made, "last"])

    def stream(self, **query):
        """Events as they come, without an end."""
        connection = http.client.HTTPConnection(self.cluster.api.address, timeout=60)
        try:
            connection.request("GET", "/events?" + urllib.parse.urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}))
            for line in connection.getresponse():
                yield json.loads(line)
        finally:
            connection.close()

    def test_nodes_come_and_go_in_the_history(self):
        before = f"{time.time():.9f}"
        fleet.engine("pi1").pause()
        eventually(lambda: self.cluster.nodes()["pi1"]["Status"] == "Unhealthy", "pi1 is down")
        fleet.engine("pi1").unpause()
        self.cluster.wait_healthy(NODES)
        told = self.events(since=before, until=f"{time.time():.9f}", filters={"type": ["swarm"], "node": ["pi1"]})
        self.assertEqual([e["Action"] for e in told], ["engine_disconnect", "engine_reconnect"])


@needs_cluster
class OldNode(OnEvery):
    def test_several_networks_at_once(self):
        for name in ("front", "back"):
            self.cluster.api.post("/networks/create", {"Name": name})
        made = self.cluster.api.post("/containers/create?name=both", {
            "Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "KILL", "Env": ["constraint:node==pi2"],
            "HostConfig": {"NetworkMode": "front"},
            "NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["b"]}, "front": {"Aliases": ["f"]}}}})
        networks = self.cluster.api.get(f"/containers/{made['Id']}/json")["NetworkSettings"]["Networks"]
        self.assertEqual(sorted(networks), ["back", "front"])
        self.assertIn("b", networks["back"]["Aliases"])
        self.docker.ok("start", "both")

    def test_what_it_does_not_know_is_told(self):
        body = {"Image": "busybox", "HostConfig": {"Annotations": {"a": "b"}, "ConsoleSize": [0, 0]}, "Healthcheck": {"StartInterval": 10**9, "Test": ["NONE"]}}
        made = self.cluster.api.post("/containers/create", {**body, "Env": ["constraint:node==pi2"]})
        self.assertEqual(len(made["Warnings"]), 2, made)
        self.assertRegex(made["Warnings"][0], r"^pi2 runs Docker 20\.\S+ \(API 1\.41\), which does not know HostConfig\.Annotations; ignored$")
        made = self.cluster.api.post("/containers/create", {**body, "Env": ["constraint:node==pi1"]})
        self.assertEqual(made["Warnings"], [])

    def test_what_only_engines_do(self):
        self.assertEqual(self.cluster.api.get("/plugins"), [])
        self.assertEqual(self.cluster.api.raw("GET", "/plugins/nope/json")[0], 404)
        for method, path, status in (("POST", "/swarm/init", 501), ("POST", "/swarm/leave", 501), ("GET", "/swarm", 503),
                                     ("GET", "/services", 503), ("POST", "/plugins/pull", 501), ("PUT", "/volumes/x", 501)):
            self.assertEqual(self.cluster.api.raw(method, path, body={})[0], status, path)
        self.assertIn("not a swarm manager", self.fails("node", "ls"))
        for one in fleet.engines():
            self.assertEqual(one.api.get("/info")["Swarm"]["LocalNodeState"], "inactive")
