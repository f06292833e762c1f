"""Lists with every filter: a manager in front of one engine answers as that engine does, by IDs, fields and error texts."""

import json

from rig import cli, fleet
from rig.case import DIRECT, EngineCase
from rig.cluster import Cluster

import unittest

CONTAINERS = [
    {}, {"ancestor": ["busybox"]}, {"ancestor": ["kid:1"]}, {"ancestor": ["nothing"]}, {"before": ["job"]}, {"since": ["job"]},
    {"exited": ["3"]}, {"exited": ["0"]}, {"exited": ["0", "3"]}, {"expose": ["80"]}, {"expose": ["80/udp"]}, {"publish": ["8080"]},
    {"publish": ["80"]}, {"publish": ["8000-9000/tcp"]}, {"publish": ["1"], "expose": ["80"]}, {"health": ["none"]}, {"health": ["healthy"]},
    {"is-task": ["true"]}, {"is-task": ["false"]}, {"label": ["tier"]}, {"label": ["tier=front"]}, {"label": ["tier=front", "a"]},
    {"name": ["we"]}, {"name": ["^/web$"]}, {"name": ["web", "job"]}, {"network": ["app"]}, {"network": ["bridge"]},
    {"status": ["exited"]}, {"status": ["running"]}, {"status": ["created", "paused"]}, {"volume": ["data"]}, {"volume": ["/data"]},
    {"volume": ["/elsewhere"]}, {"id": ["0"]}, {"nope": ["x"]}, {"status": ["x"]}, {"health": ["x"]}, {"exited": ["x"]}, {"is-task": ["x"]},
    {"publish": ["x"]}, {"before": ["nothing"]},
]
IMAGES = [
    {}, {"dangling": ["true"]}, {"dangling": ["false"]}, {"label": ["of"]}, {"label": ["of=kid"]}, {"label": ["of=x"]}, {"reference": ["busy*"]},
    {"reference": ["kid"]}, {"reference": ["kid:2"]}, {"reference": ["*:1"]}, {"before": ["kid:1"]},
    {"since": ["busybox"]}, {"nope": ["x"]}, {"dangling": ["x"]}, {"since": ["nothing"]},
]
NETWORKS = [
    {}, {"driver": ["bridge"]}, {"driver": ["null"]}, {"label": ["a"]}, {"label": ["a=b"]},
    {"label": ["a=x"]}, {"name": ["ap"]}, {"name": ["app", "idle"]}, {"scope": ["local"]}, {"scope": ["swarm"]}, {"type": ["custom"]},
    {"type": ["builtin"]}, {"nope": ["x"]}, {"dangling": ["x"]},
]
VOLUMES = [
    {}, {"dangling": ["true"]}, {"dangling": ["false"]}, {"driver": ["local"]}, {"driver": ["x"]}, {"label": ["a"]}, {"label": ["a=b"]},
    {"label": ["a=x"]}, {"name": ["dat"]}, {"name": ["data", "idle"]}, {"nope": ["x"]}, {"dangling": ["x"]},
]


@unittest.skipIf(DIRECT, "compares an engine with a manager")
class AsOneEngine(EngineCase):
    engine = "pocket"
    versions = ("", "/v1.24", "/v1.43", "/v1.51")

    def setUp(self):
        super().setUp()
        self.one = fleet.engine(self.engine)
        self.cluster = Cluster()
        self.addCleanup(self.cluster.down)
        self.prepare(cli.docker(self.one.address))
        self.cluster.up(engines=[self.one])

    @staticmethod
    def prepare(docker):
        """One of each that filters can tell apart."""
        docker.ok("network", "create", "--label", "a=b", "app")
        docker.ok("network", "create", "idle")
        docker.ok("volume", "create", "--label", "a=b", "data")
        docker.ok("volume", "create", "idle")
        docker.ok("run", "-d", "--stop-signal=KILL", "--name", "web", "-l", "tier=front", "-l", "a=b", "--network", "app", "-p", "8080:80",
                  "-v", "data:/data", "--health-cmd", "true", "--health-interval", "1s", "busybox", "sleep", "1000")
        docker.run("run", "--name", "job", "busybox", "sh", "-c", "exit 3")
        docker.ok("run", "--name", "done", "-l", "tier=back", "busybox", "true")
        docker.ok("create", "--name", "made", "-v", "/data", "busybox", "true")
        for tag in ("kid:1", "kid:2", ""):
            docker.ok("commit", "-c", "LABEL of=kid", "-c", f"ENV TAG={tag}", "done", *([tag] if tag else []))
        docker.ok("run", "--name", "grown", "--stop-signal=KILL", "-d", "kid:1", "sleep", "1000")
        docker.ok("pause", "grown")

    def both(self, path, **query):
        """The answers of the engine and of the manager, as far as they must be alike."""
        answers = []
        for api in (self.one.api, self.cluster.api):
            status, _headers, body = api.raw("GET", path, **query)
            answers.append((status, json.loads(body)))
        return answers

    def alike(self, path, simple, **query):
        (status, expected), (got_status, got) = self.both(path, **query)
        if status != 200:
            # Errors are worded as the newest engines word them.
            if self.engine == "pocket":
                self.assertEqual((got_status, got), (status, expected))
            self.assertGreaterEqual(got_status, 400, got)
            return
        self.assertEqual(got_status, 200, got)
        self.assertEqual(simple(got), simple(expected))

    def test_containers(self):
        def simple(containers):
            return [(c["Id"], [name.split("/")[-1] for name in c["Names"]], c["State"], c["Image"]) for c in containers]

        for version in self.versions:
            for filters in CONTAINERS:
                for more in ({}, {"all": "1"}, {"limit": "2"}):
                    with self.subTest(version=version, filters=filters, **more):
                        self.alike(f"{version}/containers/json", simple, filters=filters, **more)

    def test_containers_by_prefix(self):
        full = self.one.api.get("/containers/web/json")["Id"]
        for wanted in ([full], [full[:12]], [full[:4], "nothing"], [""]):
            with self.subTest(wanted=wanted):
                self.alike("/containers/json", lambda containers: [c["Id"] for c in containers], all="1", filters={"id": wanted})

    def test_sizes(self):
        (_, expected), (_, got) = self.both("/containers/json", all="1", size="1")
        sizes = [[(c["Id"], c.get("SizeRw"), c.get("SizeRootFs")) for c in answer] for answer in (expected, got)]
        self.assertEqual(sizes[1], sizes[0])
        self.assertTrue(all(root for _, _, root in sizes[0]), sizes[0])
        self.assertNotIn("SizeRw", self.both("/containers/json", all="1")[1][1][0])

    def test_images(self):
        def simple(images):
            keys = ("Id", "RepoTags", "RepoDigests", "Size", "VirtualSize", "SharedSize", "Labels", "ParentId")
            return sorted(json.dumps({k: sorted(i[k] or []) if k == "RepoTags" else i[k] for k in keys if k in i}) for i in images)

        for version in self.versions:
            for filters in IMAGES:
                for more in ({}, {"all": "1"}):
                    with self.subTest(version=version, filters=filters, **more):
                        self.alike(f"{version}/images/json", simple, filters=filters, **more)
        for more in ({"shared-size": "1"}, {"manifests": "1"}, {"shared-size": "true", "all": "1"}):
            with self.subTest(**more):
                self.alike("/images/json", simple, **more)
        for more in ({"filter": "kid"}, {"filter": "kid:1"}):
            with self.subTest(**more):
                self.alike("/v1.24/images/json", simple, **more)

    def test_image_by_old_clients(self):
        for version in self.versions:
            with self.subTest(version=version):
                self.alike(f"{version}/images/kid:1/json", lambda image: image)

    def test_networks(self):
        def simple(networks):
            return sorted((n["Id"], n["Name"].split("/")[-1], n["Driver"], n["Created"]) for n in networks)

        for version in self.versions:
            for filters in NETWORKS:
                with self.subTest(version=version, filters=filters):
                    self.alike(f"{version}/networks", simple, filters=filters)
        self.alike("/networks/", simple)
        # The newest engine itself takes every network for unused here.
        for value, names in (("true", ["idle"]), ("0", ["app", "bridge", "host", "none"])):
            listed = self.cluster.api.get("/networks", filters={"dangling": [value]})
            self.assertEqual(sorted(n["Name"].split("/")[-1] for n in listed), names)

    def test_volumes(self):
        def simple(answer):
            return sorted((v["Name"].split("/")[-1], v["Mountpoint"]) for v in answer["Volumes"] or [])

        for version in self.versions:
            for filters in VOLUMES:
                with self.subTest(version=version, filters=filters):
                    self.alike(f"{version}/volumes", simple, filters=filters)

    def test_disk_usage(self):
        def simple(usage):
            for volume in usage["Volumes"] or []:
                volume["Name"] = volume["Name"].split("/")[-1]
            for container in usage["Containers"] or []:
                container["Names"] = [name.split("/")[-1] for name in container["Names"]]
                container.pop("Status"), container.pop("Ports")
            for key in ("Images", "Containers", "Volumes"):
                usage[key] = sorted(usage[key] or [], key=lambda o: o.get("Id") or o.get("Name"))
            return usage

        for version in self.versions[1:]:
            with self.subTest(version=version):
                self.alike(f"{version}/system/df", simple)

    def test_refusals_are_the_engines(self):
        for method, path in (("GET", "/swarm"), ("GET", "/nodes"), ("GET", "/services/x"), ("POST", "/secrets/create"),
                             ("GET", "/nonsense"), ("GET", "/containers/web"), ("GET", "/v1.99/info")):
            with self.subTest(path=path):
                (status, _, text), (got, _, ours) = (api.raw(method, path, body={}) for api in (self.one.api, self.cluster.api))
                if not path.startswith("/v1"):
                    self.assertEqual((got, json.loads(ours)), (status, json.loads(text)))
                self.assertEqual(got, status)


class AsOneOldEngine(AsOneEngine):
    engine = "pi2"
    versions = ("", "/v1.24", "/v1.41")
