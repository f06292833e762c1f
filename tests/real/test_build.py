"""Builds on the cluster: BuildKit (buildx, compose, the old CLI) and the classic builder, and what becomes of the image."""

import functools
import hashlib
import io
import os
import pathlib
import random
import shutil
import signal
import socket
import tarfile
import textwrap

from rig import fetch, fleet, session
from rig.case import ClusterCase, DIRECT, needs_cluster
from rig.cluster import eventually

MIB = 1 << 20
FOREVER = "98765"  # seconds: a sleep that is recognised among all processes

SIMPLE = """
FROM busybox
COPY data /data
RUN sha256sum < /data > /sum
CMD ["cat", "/sum"]
"""

# Nothing but what the context holds: needs no image at all.
SCRATCH = """
FROM scratch
COPY busybox /bin/busybox
CMD ["/bin/busybox", "echo", "from nothing"]
"""

STAGES = """
FROM busybox AS first
ARG COLOUR=none
RUN echo "colour $COLOUR" > /out
CMD ["cat", "/out"]

FROM busybox AS second
COPY --from=first /out /copied
CMD ["sed", "s/^/copied /", "/copied"]
"""


class Building(ClusterCase):
    """Ground for the tests below. `version` and `environment` choose the client and its builder."""

    version, environment = "28", {}

    def setUp(self):
        super().setUp()
        self.docker = self.cluster.docker(self.version, self.environment)

    def context(self, dockerfile, name="context", **files):
        """A directory with a Dockerfile and these files (bytes)."""
        directory = session.state_dir() / "disk" / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        (directory / "Dockerfile").write_text(dockerfile)
        for file, content in files.items():
            (directory / file).write_bytes(content)
            (directory / file).chmod(0o755)
        return str(directory)

    def nodes_with(self, image):
        """Names of the engines that have an image, asked directly."""
        def has(one):
            return any(image + ":latest" in (listed["RepoTags"] or []) for listed in one.api.get("/images/json"))
        return [one.name for one in fleet.engines() if has(one)]


class _Builds:
    """What every kind of builder must do."""

    def test_build_run_and_list(self):
        data = random.Random(7).randbytes(9 * MIB)
        self.docker.ok("build", "-t", "app", self.context(SIMPLE, data=data))
        self.assertRegex(self.docker.out("images", "-q", "app"), r"^[0-9a-f]{12}$")
        self.assertEqual(self.docker.out("run", "--rm", "app").split()[0], hashlib.sha256(data).hexdigest())
        self.assertEqual(self.docker.out("run", "--rm", "docker.io/library/app:latest", "echo", "again"), "again")

    def test_from_scratch(self):
        self.docker.ok("build", "-t", "nothing", self.context(SCRATCH, busybox=fetch.busybox().read_bytes()))
        self.assertEqual(self.docker.out("run", "--rm", "nothing"), "from nothing")

    def test_arguments_stages_and_target(self):
        where = self.context(STAGES)
        self.docker.ok("build", "-t", "both", "--build-arg", "COLOUR=green", "--label", "kind=test", where)
        self.assertEqual(self.docker.out("run", "--rm", "both"), "copied colour green")
        self.assertEqual(self.docker.out("inspect", "-f", "{{.Config.Labels.kind}}", "both"), "test")
        self.docker.ok("build", "-t", "one", "--target", "first", where)
        self.assertEqual(self.docker.out("run", "--rm", "one"), "colour none")

    def test_a_context_from_standard_input(self):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in (("Dockerfile", SIMPLE.encode()), ("data", b"tar\n")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        self.docker.ok("build", "-t", "app", "-", input=archive.getvalue())
        self.assertEqual(self.docker.out("run", "--rm", "app").split()[0], hashlib.sha256(b"tar\n").hexdigest())

    def test_a_failing_step_fails_the_build(self):
        where = self.context("FROM busybox\nRUN echo heard && exit 7\n")
        result = self.docker.run("build", "-t", "app", where)
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("7", result.err)
        self.assertIn("heard", result.out + result.err)
        self.assertEqual(self.nodes_with("app"), [])

    def test_a_missing_image_fails_the_build(self):
        result = self.docker.run("build", self.context("FROM nowhere.invalid/none:1\n"))
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("nowhere.invalid", result.err)

    def test_two_at_once(self):
        script = 'FROM busybox\nRUN for i in 1 2 3; do echo {0} $i; sleep 1; done; echo {0} > /out\nCMD ["cat", "/out"]\n'
        running = []
        for name in ("left", "right"):
            where = self.context(script.format(name), name)
            running.append((name, self.docker.popen("build", "-t", name, where)))
        for name, process in running:
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, (out + err).decode())
        for name, _process in running:
            self.assertEqual(self.docker.out("run", "--rm", name), name)

    def test_the_end_of_a_client_ends_its_build(self):
        where = self.context(f"FROM busybox\nRUN sleep {FOREVER}\n")
        for number in (signal.SIGINT, signal.SIGKILL):
            with self.subTest(number):
                with self.docker.popen("build", "--no-cache", where, start_new_session=True) as building:
                    eventually(sleepers, "the step runs")
                    building.send_signal(number)
                    building.communicate(timeout=60)
                eventually(lambda: not sleepers(), "the step is gone", show=sleepers)
                eventually(lambda: not self.cluster.api.containers(), "no container is left")

    @needs_cluster
    def test_the_end_of_an_engine_fails_its_build(self):
        with self.docker.popen("build", "--no-cache", self.context(f"FROM busybox\nRUN sleep {FOREVER}\n")) as building:
            eventually(sleepers, "the step runs")
            (name,) = sleepers()
            fleet.engine(name).kill()
            building.communicate(timeout=60)
            self.assertNotEqual(building.returncode, 0)
        fleet.engine(name).start()


def sleepers():
    """The engines on which the endless step runs."""
    command = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"
    return [one.name for one in fleet.engines() if f"sleep {FOREVER}" in one.run_inside("sh", "-c", command)]


class _BuildKit(_Builds):
    """What only BuildKit does: all builds of a client on one engine."""

    @needs_cluster
    def test_a_client_keeps_its_builder(self):
        for n in range(3):
            self.docker.ok("build", "-t", f"app{n}", self.context(f"FROM busybox\nRUN echo {n} > /out\n"))
        first = self.nodes_with("app0")
        self.assertEqual(len(first), 1)
        self.assertEqual([self.nodes_with(f"app{n}") for n in range(3)], [first] * 3)

    @needs_cluster
    def test_a_builder_that_died_is_replaced(self):
        self.docker.ok("build", "-t", "before", self.context("FROM busybox\nRUN echo 1 > /out\n"))
        (name,) = self.nodes_with("before")
        fleet.engine(name).kill()
        eventually(lambda: self.cluster.nodes()[name]["Status"] == "Unhealthy", f"{name} is seen as down")
        self.docker.ok("build", "-t", "after", self.context("FROM busybox\nRUN echo 2 > /out\n"))
        alive = [one.name for one in fleet.engines() if one.name != name]
        self.assertEqual(self.docker.out("run", "--rm", "after", "cat", "/out"), "2")
        fleet.engine(name).start()
        self.assertIn(self.nodes_with("after")[0], alive)


class Buildx(_BuildKit, Building):
    """`docker build` as it comes today: the plugin buildx, over /grpc and /session."""

    def test_dockerfile_from_standard_input_and_secret(self):
        where = self.context("unused", token=b"sesame\n")
        dockerfile = 'FROM busybox\nRUN --mount=type=secret,id=token cp /run/secrets/token /out\nCMD ["cat", "/out"]\n'
        self.docker.ok("build", "-t", "app", "--secret", f"id=token,src={where}/token", "-f-", where, input=dockerfile.encode())
        self.assertEqual(self.docker.out("run", "--rm", "app"), "sesame")

    def test_output_to_the_client(self):
        where = self.context("FROM scratch\nCOPY data /data\n", data=b"back again\n")
        self.docker.ok("build", "-o", f"{where}/out", where)
        with open(f"{where}/out/data", "rb") as file:
            self.assertEqual(file.read(), b"back again\n")

    def test_cache_is_told_and_pruned(self):
        self.docker.ok("build", self.context("FROM busybox\nRUN echo cached > /out\n"))
        self.assertIn("mount / from exec", self.docker.out("buildx", "du", "--verbose"))
        self.docker.ok("buildx", "prune", "--all", "--force")
        self.assertNotIn("mount / from exec", self.docker.out("buildx", "du", "--verbose"))
        self.assertIn("running", self.docker.out("buildx", "ls"))


class Tunnels(Building):
    """The tunnels as bytes on the wire, such as buildx sends them: no host is named."""

    HEAD = b"POST %s HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n%s\r\n"
    SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # an empty frame

    def open(self, path, headers=b""):
        """(connection, its reading end, the head of the answer as text)."""
        host, port = self.cluster.api.address.split(":")
        connection = socket.create_connection((host, int(port)), timeout=30)
        self.addCleanup(connection.close)
        connection.sendall(self.HEAD % (path, headers))
        reading = connection.makefile("rb")
        self.addCleanup(reading.close)
        lines = iter(lambda: reading.readline().strip(), b"")
        return connection, reading, [line.decode() for line in lines]

    def test_grpc_speaks_http2_until_the_client_ends(self):
        connection, reading, head = self.open(b"/grpc")
        self.assertTrue(head[0].startswith("HTTP/1.1 101 "), head)
        self.assertIn("upgrade: h2c", [line.lower() for line in head])
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.SETTINGS)
        self.assertEqual(reading.read(9)[3], 4, "the engine's settings")
        connection.shutdown(socket.SHUT_WR)
        reading.read()  # whatever the engine still says, then its end

    def test_the_engine_ends_a_session(self):
        name = b"X-Docker-Expose-Session-Uuid: test%d\r\nX-Docker-Expose-Session-Name: test\r\n" % random.getrandbits(60)
        connection, reading, head = self.open(b"/session", name)
        self.assertTrue(head[0].startswith("HTTP/1.1 101 "), head)
        self.assertTrue(reading.read(24).startswith(b"PRI * HTTP/2.0"), "the engine is the one that asks")
        connection.sendall(b"this is no HTTP/2")
        reading.read()

    @needs_cluster
    def test_clients_that_vanish_leave_no_descriptor(self):
        descriptors = f"/proc/{self.cluster.manager.process.pid}/fd"
        before = len(os.listdir(descriptors))
        host, port = self.cluster.api.address.split(":")
        upload = b"POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200\r\nhalf a chunk"
        for _ in range(100):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(self.HEAD % (b"/grpc", b""))
                connection.recv(1)
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(upload)
        # The pool may keep a few idle connections to the engines.
        eventually(lambda: len(os.listdir(descriptors)) < before + 10, f"again about {before} descriptors",
                   show=lambda: len(os.listdir(descriptors)))


class OldBuildKit(_BuildKit, Building):
    """The CLI of Debian stable: /session and `/build?version=2`."""

    version, environment = "20", {"DOCKER_BUILDKIT": "1"}


class Classic(_Builds, Building):
    """The classic builder: the context is uploaded, the messages are streamed."""

    environment = {"DOCKER_BUILDKIT": "0"}

    @needs_cluster
    def test_build_arguments_choose_the_node(self):
        where = self.context(STAGES)
        for name in ("pi1", "pi2", "pocket"):
            self.docker.ok("build", "-t", f"on-{name}", "--build-arg", f"constraint:node=={name}", "--build-arg", "COLOUR=blue", where)
            self.assertEqual(self.nodes_with(f"on-{name}"), [name])
            self.assertEqual(self.docker.out("run", "--rm", f"on-{name}"), "copied colour blue")
        self.docker.ok("build", "-t", "cellar", "--build-arg", "constraint:room==cellar", where)
        self.assertEqual(self.nodes_with("cellar"), ["pi2"])
        self.docker.ok("build", "-t", "beside", "--build-arg", "affinity:image==on-pi1", where)
        self.assertEqual(self.nodes_with("beside"), ["pi1"])

    @needs_cluster
    def test_no_node_is_told(self):
        where = self.context(STAGES, data=bytes(20 * MIB))  # refused while the client still uploads
        error = self.fails("build", "--build-arg", "constraint:node==pi9", where)
        self.assertIn("Unable to find a node that satisfies the following conditions", error)
        self.assertIn("node==pi9", error)
        status, _headers, _body = self.cluster.api.raw("POST", "/build", b"", buildargs={"constraint:node": "=pi9"})
        self.assertEqual(status, 500)

    @needs_cluster
    def test_builds_at_once_spread(self):
        where = self.context(f"FROM busybox\nRUN sleep {FOREVER}\n")
        running = [self.docker.popen("build", "--no-cache", where) for _ in range(3)]
        eventually(lambda: len(sleepers()) == 3, "one on each engine", show=sleepers)
        for process in running:
            process.kill()
            process.communicate(timeout=60)
        eventually(lambda: not sleepers(), "all are gone", show=sleepers)

    def test_messages_come_as_they_are_said(self):
        where = self.context("FROM busybox\nRUN echo first && while [ ! -e /go ]; do sleep 0.1; done\n")
        with self.docker.popen("build", "--no-cache", where, text=True) as building:
            for line in building.stdout:
                if line.strip() == "first":
                    break
            eventually(self.cluster.api.containers, "the step's container is listed")
            self.docker.ok("exec", self.cluster.api.containers()[0]["Id"], "touch", "/go")
            self.assertIn("Successfully built", building.stdout.read())
            self.assertEqual(building.wait(60), 0)

    def test_an_upload_that_is_refused_early_is_answered(self):
        where = self.context(SIMPLE, data=random.Random(3).randbytes(30 * MIB))
        result = self.docker.run("build", "--isolation", "nonsense", where)
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("isolation", result.err)

    def test_the_answer_is_the_engines(self):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            info = tarfile.TarInfo("Dockerfile")
            info.size = len(b"FROM busybox\n")
            tar.addfile(info, io.BytesIO(b"FROM busybox\n"))
        answers = []
        for api in (self.direct.api, self.cluster.api):
            status, headers, body = api.raw("POST", "/v1.41/build", archive.getvalue(), {"Content-Type": "application/x-tar"})
            answers.append((status, headers["Content-Type"], body))
        self.assertEqual(*answers)

    def test_a_missing_build_id_is_refused(self):
        self.assertEqual(self.cluster.api.raw("POST", "/build/cancel")[0], 400)
        self.assertEqual(self.cluster.api.raw("POST", "/build/cancel", id="nobody's")[0], 200)


class OldClassic(Classic):
    """The same with the CLI of Debian stable."""

    version = "20"


class Compose(Building):
    """`docker compose build` and `up --build`, with BuildKit and with the classic builder."""

    project = """
        services:
          web:
            build: {context: ., target: first, args: {COLOUR: red}}
            image: shop-web
            command: sh -c "cat /out; exec sleep 1000"
            stop_signal: SIGKILL
        """

    def each(self):
        """(kind, client of a project directory) for every builder."""
        for kind, environment in (("buildkit", {}), ("classic", {"DOCKER_BUILDKIT": "0"})):
            where = self.context(STAGES, "shop")
            with open(f"{where}/docker-compose.yml", "w") as file:
                file.write(textwrap.dedent(self.project))
            client = self.cluster.compose(2, environment)
            with self.subTest(kind):
                yield functools.partial(client.ok, cwd=where)

    def test_build_then_up(self):
        for compose in self.each():
            compose("build")
            compose("up", "-d")
            eventually(lambda: "colour red" in compose("logs").out, "the built command runs", show=lambda: compose("logs").out)
            built = self.docker.out("inspect", "-f", "{{.Id}}", "shop-web")
            compose("up", "-d")
            self.assertEqual(self.docker.out("inspect", "-f", "{{.Id}}", "shop-web"), built)
            self.assertEqual(len(self.cluster.api.containers()), 1)
            compose("down", "--rmi", "all")
            self.assertEqual(self.nodes_with("shop-web"), [])

    def test_up_builds(self):
        for compose in self.each():
            compose("up", "--build", "-d")
            eventually(lambda: "colour red" in compose("logs").out, "the built command runs", show=lambda: compose("logs").out)
            compose("down", "--rmi", "all")
            self.assertEqual(self.cluster.api.containers(), [])

    def test_up_builds_and_scales(self):
        for compose in self.each():
            compose("up", "--build", "-d", "--scale", "web=3")
            self.assertEqual([one["State"] for one in self.cluster.api.containers()], ["running"] * 3)
            eventually(lambda: compose("logs").out.count("colour red") == 3, "all three run", show=lambda: compose("logs").out)
            self.assertEqual(self.spread(), 1 if DIRECT else 3)
            # The next build is on one node again, and what runs is new everywhere.
            file = pathlib.Path(compose.keywords["cwd"]) / "docker-compose.yml"
            file.write_text(file.read_text().replace("COLOUR: red", "COLOUR: blue"))
            compose("up", "--build", "-d", "--scale", "web=3")
            eventually(lambda: compose("logs").out.count("colour blue") == 3, "all three are new", show=lambda: compose("logs").out)
            self.assertEqual(self.spread(), 1 if DIRECT else 3)
            self.assertEqual(len({one["ImageID"] for one in self.cluster.api.containers()}), 1)
            compose("down", "--rmi", "all")

    def spread(self):
        """How many nodes the containers are on."""
        return len({self.node_of(one["Id"]) for one in self.cluster.api.containers()})
