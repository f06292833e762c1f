"""Old and new in one household: agents and managers of the classic v1.2.9 and of swarmd, on one discovery.

    SWARMD_CLASSIC=/path/to/swarm tests/real/run mixed.py

Not among the tests that run by themselves, since the classic program must be built first (`rig/classic.py` says how).

On each discovery the first engine has a classic agent and the others have ours; a manager of each age must see all of
them, and understand what the other one made. On a token all is TLS, as docker-machine set it up: the registry is our
manager, which demands client certificates of Docker's clients, and the classic agent has nothing but the token.
"""

import json

from rig import classic, cli, fleet, session, swarmd
from rig.case import EngineCase, needs_cluster
from rig.cluster import ENGINE_TEMPO, eventually, new_token, write_config
from rig.relay import TlsFront
from rig.store import Certificates, Store

OURS, THEIRS = "127.0.0.1:3490", "127.0.0.1:3491"
TTL = 4
AGENT = ("--heartbeat=1s", f"--ttl={TTL}s")
SLEEP = ("busybox", "sleep", "1000")
LABEL = "com.docker.swarm."


class Household(EngineCase):
    """What all kinds of discovery share; `url` is for agents and the classic manager."""

    url, flags, their_env = "", (), {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        classic.binary()

    def setUp(self):
        super().setUp()
        self.addresses = {one.name: one.address for one in fleet.engines()}
        self.name = self._testMethodName
        self.ours, self.theirs = cli.docker(OURS), cli.docker(THEIRS)

    def secured(self):
        """TLS and certificates for all: engines, managers and Docker's client."""
        self.certificates = files = Certificates("mixed")
        for one in fleet.engines():
            host, port = one.address.split(":")
            front = TlsFront((host, int(port)), files)
            self.addCleanup(front.close)
            self.addresses[one.name] = front.address
        self.flags = ("--tlsverify", f"--tlscacert={files.ca}", f"--tlscert={files.cert}", f"--tlskey={files.key}")
        self.their_env = {"SSL_CERT_FILE": files.ca}  # a registry's certificate must be good by the machine's own roots
        environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(files.dir)}
        self.ours, self.theirs = cli.docker(OURS, environment=environment), cli.docker(THEIRS, environment=environment)

    # -- who lives there ----------------------------------------------------------------------------------------

    def our_manager(self, url=None, *more):
        config = write_config(f"{self.name}-ttl", f'[discovery]\nttl = "{TTL}s"')  # the classic line has no flag for it
        return self.started(swarmd.Swarmd(f"{self.name}-new", "--debug", "manage", f"--host={OURS}", f"--advertise={OURS}", "--heartbeat=1s", *ENGINE_TEMPO,
                                          *self.flags, *more, f"--config={config}", url or self.url))

    def our_agent(self, node):
        return self.started(swarmd.Swarmd(f"{self.name}-new-{node}", "join", f"--addr={self.addresses[node]}", *AGENT, *self.flags, self.url))

    def their_manager(self, *more):
        return self.started(classic.Classic(f"{self.name}-old", "manage", f"--host={THEIRS}", f"--advertise={THEIRS}", "--heartbeat=1s", *ENGINE_TEMPO,
                                            *self.flags, *more, self.url, env=self.their_env))

    def their_agent(self, node):
        return self.started(classic.Classic(f"{self.name}-old-{node}", "join", f"--addr={self.addresses[node]}", *AGENT, self.url, env=self.their_env))

    def started(self, one):
        def end():
            swarmd.forget(one)
            one.process and one.process.poll() is None and one.kill()

        self.addCleanup(end)
        return one.start()

    # -- looking ------------------------------------------------------------------------------------------------

    def status(self, docker):
        return [tuple(pair) for pair in docker.ok("info", "--format", "{{json .SystemStatus}}").json() or ()]

    def healthy(self, docker):
        """Addresses of the nodes that are Healthy."""
        rows = self.status(docker)
        return sorted(rows[at - 2][1] for at, (key, value) in enumerate(rows) if key.strip() == "└ Status" and value == "Healthy")

    def lists(self):
        """What `list` of both prints. The classic one mixes a line of its log in."""
        new, old = swarmd.run("list", *self.flags, self.url), classic.run("list", self.url, env=self.their_env)
        return [sorted(line for line in result.lines if line.startswith("127.")) for result in (new, old)]

    def everywhere(self, *nodes, within=30):
        """Until both managers and both `list`s have these nodes and no others."""
        wanted = sorted(self.addresses[node] for node in nodes)
        for what, look in (("lists", self.lists), ("ours", lambda: [self.healthy(self.ours)]), ("theirs", lambda: [self.healthy(self.theirs)])):
            eventually(lambda look=look: all(found == wanted for found in look()), f"{what}: {nodes}", within, look)

    def labels(self, docker, name):
        labels = docker.out("inspect", "-f", "{{json .Config.Labels}}", name)
        return {key: value for key, value in json.loads(labels).items() if key.startswith(LABEL)}

    # -- the tests ----------------------------------------------------------------------------------------------

    def live(self):
        """A manager of each age is there: agents come, containers go both ways, agents go."""
        old, new, last = self.their_agent("pocket"), self.our_agent("pi1"), self.our_agent("pi2")
        self.everywhere("pocket", "pi1", "pi2")
        self.containers(self.ours, self.theirs, "new")
        self.containers(self.theirs, self.ours, "old")
        self.assertEqual(new.stop(), 0)
        self.everywhere("pocket", "pi2")
        old.kill()
        self.everywhere("pi2")
        self.assertTrue(last.alive())

    def containers(self, one, other, name):
        """What is made through `one` is understood by `other`, and the other way round it has the same form."""
        wishes = ("-e", "constraint:room==cellar", "-e", "affinity:image==busybox", "-e", "reschedule:on-node-failure", "-e", "KEPT=1")
        one.ok("run", "-d", "--name", name, *wishes, *SLEEP)
        eventually(lambda: name in other.out("ps", "--format", "{{.Names}}"), "the other sees it", show=lambda: other.out("ps"))
        for docker in (one, other):
            self.assertEqual(docker.out("inspect", "-f", "{{.Node.Name}} {{.State.Status}}", name), "pi2 running")
            self.assertEqual(docker.out("ps", "--format", "{{.Names}}", "--filter", f"name={name}"), f"pi2/{name}")
            self.assertEqual(docker.out("exec", name, "sh", "-c", "echo $KEPT"), "1")
        labels = self.labels(other, name)
        self.assertRegex(labels.pop(f"{LABEL}id"), "^[0-9a-f]{64}$")
        self.assertEqual(labels, {f"{LABEL}constraints": '["room==cellar"]', f"{LABEL}affinities": '["image==busybox"]',
                                  f"{LABEL}reschedule-policies": '["on-node-failure"]'})
        # The other schedules by it, and against it.
        near, far = f"{name}-near", f"{name}-far"
        other.ok("run", "-d", "--name", near, "-e", f"affinity:container=={name}", *SLEEP)
        other.ok("run", "-d", "--name", far, "-e", f"affinity:container!={name}", "-e", "constraint:storage==sd", *SLEEP)
        self.assertEqual([other.out("inspect", "-f", "{{.Node.Name}}", made) for made in (near, far)], ["pi2", "pi1"])
        self.assertRegex(other.run("create", "--name", name, *SLEEP).err, "already (in use|assigned)")
        self.assertEqual(other.out("run", "--rm", "busybox", "echo", "out"), "out")
        # A container of the one is stopped and removed by the other.
        for made in (name, near, far):
            other.ok("rm", "-f", made)
        for docker in (one, other):
            eventually(lambda docker=docker: not docker.out("ps", "-aq"), "all are gone at both", show=lambda docker=docker: docker.out("ps", "-a"))

    def lead(self):
        """Managers of both ages replicate each other: one leads, the other forwards to it."""
        replication = ("--replication", f"--replication-ttl={TTL}s")
        agents = [self.their_agent("pocket"), self.our_agent("pi1")]
        new = self.our_manager(None, *replication)
        self.leads(self.ours)
        old = self.their_manager(*replication)
        self.follows(self.theirs, OURS)
        self.assertEqual(new.stop(), 0)
        self.leads(self.theirs)
        new = self.our_manager(None, *replication)
        self.follows(self.ours, THEIRS)
        old.kill()
        self.leads(self.ours)
        old = self.their_manager(*replication)
        self.follows(self.theirs, OURS)
        new.kill()
        self.leads(self.theirs)
        self.assertEqual(len(agents), 2)

    def leads(self, docker):
        eventually(lambda: dict(self.status(docker))["Role"] == "primary", "it leads", 40, lambda: self.status(docker))
        self.works(docker)

    def follows(self, docker, primary):
        eventually(lambda: self.status(docker)[:2] == [("Role", "replica"), ("Primary", primary)], f"it follows {primary}", 40, lambda: self.status(docker))
        self.works(docker)

    def works(self, docker):
        """By itself, or by the one that leads."""
        eventually(lambda: len(self.healthy(docker)) == 2, "both nodes", 30, lambda: self.status(docker))
        eventually(lambda: docker.out("run", "--rm", "busybox", "echo", "out") == "out", "a container runs", 30, lambda: str(docker.run("run", "--rm", "busybox", "echo", "out")))


@needs_cluster
class OnStores(Household):
    def on(self, kind):
        store = Store(kind, name=f"mixed-{self.name}", shift=4).start()
        self.addCleanup(store.kill)
        self.url = f"{store.url}/rig"

    def together(self, kind):
        self.on(kind)
        self.our_manager()
        self.their_manager()
        self.live()

    def test_consul(self):
        self.together("consul")

    def test_etcd(self):
        self.together("etcd34")

    def test_zookeeper(self):
        self.together("zk")

    def test_consul_leading(self):
        self.on("consul")
        self.lead()

    def test_etcd_leading(self):
        self.on("etcd34")
        self.lead()

    def test_etcd_leading_with_tls(self):
        self.secured()
        self.on("etcd34")
        self.lead()

    def test_zookeeper_leading(self):
        self.on("zk")
        self.lead()


@needs_cluster
class OnToken(Household):
    def setUp(self):
        super().setUp()
        self.secured()
        token = new_token()
        self.url = f"token://{OURS}/{token}"
        self.our_manager(f"token://{token}")

    def test_token(self):
        self.their_manager()
        self.live()

    def test_without_a_certificate_there_is_the_registry_and_nothing_else(self):
        only_ca = ("--tlsverify", f"--tlscacert={self.certificates.ca}")
        self.assertEqual(swarmd.run("list", *only_ca, self.url).code, 0)
        stranger = cli.docker(OURS)
        for command in (["ps"], ["info", "--format", "{{.ID}}"], ["run", "busybox"]):
            result = stranger.run(*only_ca, *command)
            self.assertIn("a client certificate is needed here", result.out + result.err, result)
        self.assertIn("is needed here", stranger.run(*only_ca, "rm", "nobody").err)
