"""The rig proves itself: three real engines, each a machine of its own, that die and come back as told.

No swarmd here. If one of these fails, failures of the other files mean nothing.
"""

import socket

from rig import cli, fleet
from rig.case import EngineCase
from rig.cluster import eventually


class Rig(EngineCase):
    def test_engines_are_three_different_machines(self):
        infos = [one.api.get("/info") for one in fleet.engines()]
        self.assertEqual([info["Name"] for info in infos], ["pocket", "pi1", "pi2"])
        self.assertEqual(len({info["ID"] for info in infos}), 3, "engine IDs must differ")
        self.assertCountEqual(infos[0]["Labels"], ["storage=ssd", "room=desk"])  # Docker gives them no order
        versions = [int(info["ServerVersion"].split(".")[0]) for info in infos]
        self.assertEqual(versions[0], versions[1])
        self.assertGreater(versions[0], versions[2], "a newer and an older engine")
        self.assertEqual([info["Driver"] for info in infos], ["overlay2"] * 3)

    def test_networks_are_private(self):
        networks = set()
        for one in fleet.engines():
            self.assertIn("docker0", one.run_inside("ip", "-o", "link"))
            networks.add(one.run_inside("readlink", "/proc/1/ns/net").strip())
            # The same port on every engine: no clash.
            one.api.post("/containers/create?name=web", {"Image": "busybox", "Cmd": ["httpd", "-f", "-p", "80", "-h", "/www"],
                                                         "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}})
            one.api.post("/containers/web/start")
            eventually(lambda: one.run_inside("curl", "-sf", "http://127.0.0.1:80/") == "ok\n", f"port 80 of {one.name}")
        self.assertEqual(len(networks), 3)

    def test_both_clients_on_every_engine(self):
        for one in fleet.engines():
            for version in ("28", "20"):
                with self.subTest(engine=one.name, client=version):
                    docker = cli.docker(one.address, version)
                    name = "c" + version
                    self.assertEqual(docker.out("run", "--name", name, "busybox", "echo", "hello"), "hello")
                    self.assertEqual(docker.out("start", "-a", name), "hello")
                    self.assertEqual(docker.ok("logs", name).lines, ["hello", "hello"])
                    docker.ok("run", "-d", "--name", name + "s", "busybox", "sleep", "1000")
                    self.assertEqual(docker.out("exec", "-i", name + "s", "cat", input=b"through exec"), "through exec")

    def test_client_versions(self):
        address = fleet.engine("pocket").address
        versions = [int(cli.docker(address, v).out("version", "-f", "{{.Client.Version}}").split(".")[0]) for v in ("28", "20")]
        self.assertGreater(versions[0], versions[1])
        self.assertRegex(cli.compose(address, 2).out("version", "--short"), r"^v?2\.")
        self.assertRegex(cli.compose(address, 1).out("version", "--short"), r"^1\.")

    def test_same_image_on_all(self):
        self.assertEqual(len({one.api.get("/images/busybox/json")["Id"] for one in fleet.engines()}), 1)

    def test_memory_limit_reaches_the_cgroup(self):
        for one in fleet.engines():
            docker = cli.docker(one.address)
            self.assertEqual(docker.out("run", "--rm", "-m", "64m", "busybox", "sh", "-c",
                                        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"),
                             str(64 << 20))

    def test_kill_and_restart(self):
        for one in fleet.engines():
            with self.subTest(engine=one.name):
                identity = one.id()
                docker = cli.docker(one.address)
                kept = docker.out("run", "-d", "--name", "kept", "busybox", "sleep", "1000")
                back = docker.out("run", "-d", "--restart=always", "--name", "back", "busybox", "sleep", "1000")
                one.kill()
                host, port = one.address.split(":")
                with self.assertRaises(ConnectionRefusedError):
                    socket.create_connection((host, int(port)), timeout=1)
                one.start()
                self.assertEqual(one.id(), identity)
                eventually(lambda: {c["Id"]: c["State"] for c in one.api.containers()} == {kept: "exited", back: "running"},
                           "both containers are listed, the second runs", show=one.api.containers)

    def test_orderly_restart(self):
        one = fleet.engine("pi2")
        cli.docker(one.address).ok("run", "-d", "--stop-signal=KILL", "--name", "kept", "busybox", "sleep", "1000")
        one.restart()
        self.assertEqual([c["Names"] for c in one.api.containers()], [["/kept"]])

    def test_pause(self):
        one = fleet.engine("pi1")
        one.pause()
        with self.assertRaises(TimeoutError):
            one.api.raw("GET", "/_ping", timeout=0.5)
        one.unpause()
        self.assertEqual(one.api.raw("GET", "/_ping", timeout=10)[0], 200)
