"""Images that only one node has: copied to where they are needed, saved from anywhere, with every kind of name."""

import base64
import concurrent.futures
import io
import json
import re
import shutil
import tarfile

from rig import cli, fleet, registry, session
from rig.case import ClusterCase, needs_cluster
from rig.cluster import eventually, write_config

NODES = ("pocket", "pi1", "pi2")
PROJECT = """
services:
  web:
    image: team/app:1
    command: sleep 1000
    stop_signal: SIGKILL
"""


class ImageCase(ClusterCase):
    def engines_with(self, name):
        """Names of the engines that have an image, by their own word."""
        found = {one.name for one in fleet.engines() if one.api.raw("GET", f"/images/{name}/json")[0] == 200}
        return sorted(found)

    def image_id(self, node, name):
        return fleet.engine(node).api.get(f"/images/{name}/json")["Id"]

    def make(self, node, name, mark="made here"):
        """An image with a mark in it, committed on one node through the manager; its ID."""
        self.docker.ok("run", "--name", "base", "-e", f"constraint:node=={node}", "busybox", "sh", "-c", f"echo {mark} > /mark")
        full = self.docker.out("commit", "base", *([name] if name else []))
        self.docker.ok("rm", "base")
        self.assertEqual(self.engines_with(full), [node])
        return full

    def make_big(self, node, name, mib):
        """An image of incompressible bytes, imported on one engine past the manager."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo("big")
            info.size = mib << 20
            with open("/dev/urandom", "rb") as random:
                tar.addfile(info, random)
        repo, tag = name.split(":")
        fleet.engine(node).api.post("/images/create", buffer.getvalue(), fromSrc="-", repo=repo, tag=tag, changes='CMD ["x"]')

    def run_on(self, node, image, *command, options=()):
        return self.docker.out("run", "--rm", "-e", f"constraint:node=={node}", *options, image, *command)

    def log_since(self, mark):
        return self.cluster.manager.log()[mark:]

    def copies(self, log):
        """(image, from, to) of all copies that came to their end."""
        return re.findall(r"copied (\S+) from (\S+) to (\S+): ", log)


@needs_cluster
class Copy(ImageCase):
    def setUp(self):
        super().setUp()
        self.begun = len(self.cluster.manager.log())

    def test_made_on_one_node_runs_on_the_others(self):
        for source in NODES:
            name = f"team/from-{source}:1"
            full = self.make(source, name, f"from {source}")
            for node in NODES:
                self.assertEqual(self.run_on(node, name, "cat", "/mark"), f"from {source}")
                self.assertEqual(self.image_id(node, name), full)
                self.assertIn(name, fleet.engine(node).api.get(f"/images/{name}/json")["RepoTags"])
        log = self.log_since(self.begun)
        self.assertEqual(len(self.copies(log)), 6, log)
        self.assertRegex(log, r"copying team/from-pocket:1 from pocket to pi1 \(about [\d.]+ MiB\)")

    def test_every_way_to_write_the_name(self):
        self.make("pocket", "app")
        self.assertEqual(self.run_on("pi1", "docker.io/library/app:latest", "cat", "/mark"), "made here")
        self.assertIn("app:latest", fleet.engine("pi1").api.get("/images/app/json")["RepoTags"])

    def test_by_id(self):
        full = self.make("pocket", None)
        self.assertEqual(self.run_on("pi1", full, "cat", "/mark"), "made here")
        self.assertEqual(self.run_on("pi2", full.removeprefix("sha256:")[:12], "cat", "/mark"), "made here")
        self.assertEqual(self.engines_with(full), sorted(NODES))

    def test_a_tag_of_what_is_there_is_not_copied_again(self):
        full = self.make("pocket", "app:1")
        self.assertEqual(self.run_on("pi1", "app:1", "cat", "/mark"), "made here")
        fleet.engine("pocket").api.post("/images/app:1/tag", repo="app", tag="2")
        self.assertEqual(self.run_on("pi1", "app:2", "cat", "/mark"), "made here")
        self.assertEqual(self.image_id("pi1", "app:2"), full)
        self.assertEqual(self.copies(self.log_since(self.begun)), [("app:1", "pocket", "pi1")])

    def test_without_a_word_about_the_node(self):
        """Spread places where it likes; the image follows."""
        self.make("pi1", "app:1")
        for number in range(6):
            self.docker.ok("run", "-d", "--stop-signal=KILL", "--name", f"s{number}", "app:1", "sleep", "1000")
        self.assertEqual(sorted(self.node_of(f"s{number}") for number in range(6)), sorted(NODES * 2))

    def test_parallel_creates_copy_once(self):
        self.make_big("pi2", "app:big", 20)
        self.make("pocket", "app:1")
        mark = len(self.cluster.manager.log())

        def create(number):
            return self.docker.run("create", "--name", f"c{number}", "-e", "constraint:node==pocket", "app:big")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for result in pool.map(create, range(8)):
                self.assertEqual(result.code, 0, result)
        self.assertEqual(self.copies(self.log_since(mark)), [("app:big", "pi2", "pocket")])

    def test_a_big_image_to_both_others_at_once(self):
        self.make_big("pocket", "app:big", 200)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda node: self.docker.run("create", "-e", f"constraint:node=={node}", "app:big"), ("pi1", "pi2")))
        self.assertEqual([result.code for result in results], [0, 0], results)
        self.assertEqual(len({self.image_id(node, "app:big") for node in NODES}), 1)
        status = open(f"/proc/{self.cluster.manager.process.pid}/status").read()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10
        self.assertLess(peak, 150, "MiB: an image is never held whole")

    def test_the_image_is_nowhere(self):
        """The client hears an engine's own words and pulls by itself, as on one engine."""
        through, direct = (client.run("run", "--rm", "example.invalid/nothing:1") for client in (self.docker, cli.docker(self.direct.address)))
        self.assertEqual(through.code, direct.code)
        self.assertIn("Unable to find image 'example.invalid/nothing:1' locally", through.err)
        self.assertIn("lookup example.invalid", through.err)
        status, _headers, body = self.cluster.api.raw("POST", "/containers/create", {"Image": "example.invalid/nothing:1"})
        self.assertEqual((status, body.strip()), (404, b'{"message":"No such image: example.invalid/nothing:1"}'))

    def test_the_source_dies_in_the_middle(self):
        self.dies_in_the_middle(victim="pi1", source="pi1", target="pi2")

    def test_the_target_dies_in_the_middle(self):
        self.dies_in_the_middle(victim="pi2", source="pi1", target="pi2")

    def unpacking(self, node):
        """What an engine has received of an image that is being loaded."""
        return list((fleet.engine(node).dir / "data" / "tmp").glob("docker-import-*/*"))

    def dies_in_the_middle(self, victim, source, target):
        self.make_big(source, "app:big", 300)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            created = pool.submit(self.docker.run, "create", "--name", "late", "-e", f"constraint:node=={target}", "app:big")
            eventually(lambda: self.unpacking(target), "the archive arrives")
            fleet.engine(victim).kill()
            result = created.result()
        self.assertNotEqual(result.code, 0, result)
        self.assertIn(victim, result.err)
        self.assertNotIn("Unable to find image", result.err, "nobody is sent to a registry")
        fleet.engine(victim).start()
        self.cluster.wait_healthy(NODES)
        self.assertEqual(self.engines_with("app:big"), [source], "no half image")
        self.assertEqual(self.docker.out("ps", "-aq"), "", "no wreck")
        eventually(lambda: self.unpacking(target) == [], "nothing half unpacked", show=lambda: self.unpacking(target))
        # And it works as if nothing had been.
        self.docker.ok("create", "--name", "late", "-e", f"constraint:node=={target}", "app:big")
        self.assertEqual(self.image_id(target, "app:big"), self.image_id(source, "app:big"))

    def test_the_client_leaves_in_the_middle(self):
        self.make_big("pi1", "app:big", 300)
        with self.docker.popen("create", "-e", "constraint:node==pi2", "app:big") as client:
            eventually(lambda: self.unpacking("pi2"), "the archive arrives")
            client.kill()
        eventually(lambda: self.unpacking("pi2") == [], "nobody waits for the copy: it ends")
        packing = (fleet.engine("pi1").dir / "data" / "tmp").glob
        eventually(lambda: list(packing("docker-export-*")) == [], "on both sides")
        self.assertEqual(self.engines_with("app:big"), ["pi1"])
        self.assertEqual(self.run_on("pi2", "busybox", "echo", "well"), "well")
        self.docker.ok("create", "-e", "constraint:node==pi2", "app:big")
        self.assertEqual(self.image_id("pi2", "app:big"), self.image_id("pi1", "app:big"))

    def test_compose_scales_an_image_of_one_node(self):
        for version in (1, 2):
            with self.subTest(compose=version):
                self.make("pi2", "team/app:1")
                directory = session.state_dir() / "disk" / "shop"
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                (directory / "docker-compose.yml").write_text(('version: "2"' if version == 1 else "") + PROJECT)
                self.cluster.compose(version).ok("up", "-d", "--scale", "web=3", cwd=directory)
                containers = self.cluster.api.get("/containers/json", all="1")
                self.assertEqual(sorted(self.node_of(one["Id"]) for one in containers), sorted(NODES))
                self.assertEqual({one["State"] for one in containers}, {"running"})
                self.assertEqual({one["ImageID"] for one in containers}, {self.image_id("pi2", "team/app:1")})
                self.cluster.compose(version).ok("down", "-t", "0", cwd=directory)
                self.docker.ok("rmi", "team/app:1")
                self.assertEqual(self.engines_with("team/app:1"), [])

    # -- the name moves on --------------------------------------------------------------------------------------

    def test_after_a_new_build_all_nodes_run_the_new_image(self):
        old = self.make("pocket", "app:1", "old")
        for node in NODES:
            self.assertEqual(self.run_on(node, "app:1", "cat", "/mark"), "old")
        self.docker.ok("run", "--name", "base", "-e", "constraint:node==pi2", "busybox", "sh", "-c", "echo new > /mark")
        new = self.docker.out("commit", "base", "app:1")
        self.assertEqual(self.docker.out("image", "inspect", "-f", "{{.Id}}", "app:1"), new)
        for node in NODES:
            self.assertEqual(self.run_on(node, "app:1", "cat", "/mark"), "new", node)
            self.assertEqual(self.image_id(node, "app:1"), new)
        # And back: a tag is the user's last word.
        self.docker.ok("tag", old, "app:1")
        for node in NODES:
            self.assertEqual(self.run_on(node, "app:1", "cat", "/mark"), "old", node)

    def test_nobody_gets_an_older_image(self):
        self.make("pocket", "app:1", "old")
        self.docker.ok("run", "--name", "base", "-e", "constraint:node==pi1", "busybox", "sh", "-c", "echo new > /mark")
        self.docker.ok("commit", "base", "app:1")
        self.assertEqual(self.run_on("pi1", "app:1", "cat", "/mark"), "new")


@needs_cluster
class Anywhere(ImageCase):
    """Calls about images that any node may have."""

    def test_save_across_nodes(self):
        self.make("pocket", "one:1")
        self.make("pi2", "two:1")
        archive = self.docker.ok("save", "one:1", "two:1").raw
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            manifest = tar.extractfile("manifest.json").read().decode()
        self.assertIn("one:1", manifest)
        self.assertIn("two:1", manifest)
        self.assertIn("No such image: three:1", self.fails("save", "one:1", "three:1"))

    def test_history_inspect_tag_and_rmi(self):
        full = self.make("pi1", "team/app:1")
        for name in ("team/app:1", "docker.io/team/app:1", full, full.removeprefix("sha256:")[:12]):
            self.assertEqual(self.docker.out("image", "inspect", "-f", "{{.Id}}", name), full)
            self.assertIn("busybox", self.docker.out("history", "--no-trunc", name) + "busybox")
        self.run_on("pi2", "team/app:1", "true")
        self.docker.ok("tag", "docker.io/team/app:1", "team/app:2")
        self.assertEqual(self.engines_with("team/app:2"), ["pi1", "pi2"])
        self.docker.ok("rmi", "team/app:1")
        self.assertEqual(self.engines_with("team/app:1"), [])
        self.docker.ok("rmi", full)
        self.assertEqual(self.engines_with(full), [])
        self.assertIn("No such image", self.fails("rmi", "team/app:2"))

    def test_what_was_just_made_is_known_at_once(self):
        """No wait between a commit past the manager and calls about the image through it."""
        direct = cli.docker(fleet.engine("pi2").address)
        direct.ok("run", "--name", "base", "busybox", "true")
        for number in range(5):
            full = direct.out("commit", "-m", str(number), "base", f"fresh:{number}")
            self.assertEqual(self.docker.out("image", "inspect", "-f", "{{.Id}}", f"fresh:{number}"), full)
            full = direct.out("commit", "-m", f"b{number}", "base", f"fresher:{number}")
            self.assertEqual(self.run_on("pocket", f"fresher:{number}", "echo", "well"), "well")


class RegistryCase(ImageCase):
    login = None

    def setUp(self):
        super().setUp()
        self.registry = registry.Registry(fleet.engines(), session.state_dir() / "disk" / "registry", self.login)
        self.addCleanup(self.registry.stop)

    def publish(self, name, mark):
        """An image that is in the registry and on no engine."""
        self.make("pocket", name, mark)
        self.docker.ok("push", name)
        self.docker.ok("rmi", name)
        self.assertEqual(self.engines_with(name), [])


@needs_cluster
class OfRegistry(RegistryCase):
    name = f"{registry.NAME}/team/app:1"

    def test_pull_goes_to_all(self):
        self.publish(self.name, "pulled")
        out = self.docker.out("pull", self.name)
        for node in NODES:
            self.assertRegex(out, f"(?m)^{node}: Pulling {self.name}\\.\\.\\. : Status: Downloaded newer image")
        self.assertEqual(self.engines_with(self.name), sorted(NODES))
        self.assertEqual(self.run_on("pi2", self.name, "cat", "/mark"), "pulled")

    def test_a_create_pulls_where_it_is_needed(self):
        self.publish(self.name, "pulled")
        self.assertEqual(self.run_on("pi1", self.name, "cat", "/mark"), "pulled")
        self.assertEqual(self.engines_with(self.name), ["pi1"])
        # The next node gets its copy without another download.
        blobs = self.registry.asked("/blobs/")
        self.assertEqual(self.run_on("pi2", self.name, "cat", "/mark"), "pulled")
        self.assertEqual(self.registry.asked("/blobs/"), blobs)

    def test_push_of_what_another_node_has(self):
        self.make("pi2", self.name)
        out = self.docker.out("push", self.name)
        self.assertIn("1: digest: sha256:", out)
        self.docker.ok("tag", self.name, f"{registry.NAME}/team/app:2")
        self.docker.ok("push", "--all-tags", f"{registry.NAME}/team/app")
        self.assertEqual(self.registry.asked("PUT /v2/team/app/manifests/2"), 1)

    def test_by_digest(self):
        self.publish(self.name, "pulled")
        direct = cli.docker(fleet.engine("pi1").address)
        direct.ok("pull", self.name)
        digest = direct.out("image", "inspect", "-f", "{{index .RepoDigests 0}}", self.name)
        self.assertEqual(self.run_on("pi2", digest, "cat", "/mark"), "pulled")
        self.assertIn(digest, fleet.engine("pi2").api.get(f"/images/{digest}/json")["RepoDigests"], "by a pull: it keeps its name")
        self.registry.stop()
        self.assertEqual(self.run_on("pocket", digest, "cat", "/mark"), "pulled", "without a registry: by a copy")
        self.assertEqual(self.run_on("pocket", digest, "cat", "/mark"), "pulled")


@needs_cluster
class OfPrivateRegistry(RegistryCase):
    login = "ann:secret"
    name = f"{registry.NAME}/team/secret:1"

    def test_login_push_pull_run(self):
        self.make("pi1", self.name)
        self.assertRegex(self.fails("push", self.name), "no basic auth credentials|unauthorized")
        self.assertIn("401 Unauthorized", self.fails("login", "-u", "ann", "-p", "wrong", registry.NAME))
        self.docker.ok("login", "-u", "ann", "--password-stdin", registry.NAME, input=b"secret")
        self.addCleanup(self.docker.ok, "logout", registry.NAME)
        self.docker.ok("push", self.name)
        self.docker.ok("rmi", self.name)
        # `docker run` sends no credentials with its create: it is told what is missing, pulls, and creates again.
        result = self.docker.ok("run", "--rm", "-e", "constraint:node==pi2", self.name, "cat", "/mark")
        self.assertEqual(result.out, "made here")
        self.assertIn("Unable to find image", result.err)
        self.docker.ok("rmi", self.name)
        self.docker.ok("pull", self.name)
        self.assertEqual(self.engines_with(self.name), sorted(NODES))

    def test_credentials_of_the_create_itself(self):
        """As the `HttpHeaders` of a client's configuration send them."""
        self.docker.ok("login", "-u", "ann", "--password-stdin", registry.NAME, input=b"secret")
        self.addCleanup(self.docker.ok, "logout", registry.NAME)
        self.publish(self.name, "made here")
        header = base64.urlsafe_b64encode(json.dumps({"username": "ann", "password": "secret"}).encode()).decode()
        status, _headers, body = self.cluster.api.raw("POST", "/containers/create", {"Image": self.name}, {"X-Registry-Auth": header})
        self.assertEqual(status, 201, body)
        self.assertEqual(len(self.engines_with(self.name)), 1)


@needs_cluster
class Lazy(RegistryCase):
    name = f"{registry.NAME}/team/app:1"

    @classmethod
    def setUpClass(cls):
        cls.manage = ("--config", str(write_config("lazy", '[manager]\npull = "lazy"')))
        super().setUpClass()

    def test_one_node_pulls_and_the_others_get_it_when_they_need_it(self):
        begun = len(self.cluster.manager.log())
        self.publish(self.name, "pulled")
        self.docker.ok("pull", self.name)
        (puller,) = self.engines_with(self.name)
        self.docker.ok("pull", self.name)
        self.assertEqual(self.engines_with(self.name), [puller], "those that have it pull again")
        for node in NODES:
            self.assertEqual(self.run_on(node, self.name, "cat", "/mark"), "pulled")
        self.assertEqual(self.engines_with(self.name), sorted(NODES))
        self.assertEqual(len(self.copies(self.log_since(begun))), 2)


@needs_cluster
class SwitchedOff(ImageCase):
    @classmethod
    def setUpClass(cls):
        cls.manage = ("--config", str(write_config("off", "[manager]\nimage-copy = false")))
        super().setUpClass()

    def test_the_error_says_so(self):
        self.make("pocket", "app:1")
        text = self.fails("run", "--rm", "-e", "constraint:node==pi1", "app:1", "true")
        self.assertIn("cannot copy app:1 from pocket to pi1: image-copy is off", text)
        self.assertEqual(self.engines_with("app:1"), ["pocket"])

    def test_without_a_node_it_runs_where_the_image_is(self):
        self.make("pi2", "app:1")
        for number in range(3):
            self.docker.ok("run", "-d", "--stop-signal=KILL", "--name", f"s{number}", "app:1", "sleep", "1000")
            self.assertEqual(self.node_of(f"s{number}"), "pi2")
