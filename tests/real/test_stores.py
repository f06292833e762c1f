"""Discovery over the real stores: consul 1.8, etcd 3.4 (with the old API) and 3.5, ZooKeeper 3.8.

Each test does the same with all four at once, each in a thread of its own: one store, one manager, three agents on
the three engines, with a heartbeat of a second and a ttl of a few.
"""

import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from rig import fleet, session, swarmd
from rig.api import Api
from rig.case import EngineCase, needs_cluster
from rig.cluster import ENGINE_TEMPO, TEMPO, eventually
from rig.store import KINDS, Certificates, Store

TTL = 3


class Life:
    """One cluster on one store."""

    def __init__(self, kind, ttl=TTL, heartbeat=1, options=(), **store):
        self.kind, self.ttl, self.options, self.tempo = kind, ttl, options, f"--heartbeat={heartbeat}s"
        self.store = Store(kind, **store)
        self.port = 3400 + KINDS.index(kind)
        self.api = Api(f"127.0.0.1:{self.port}")
        self.manager, self.agents = None, {}

    @property
    def url(self):
        return f"{self.store.url}/rig"

    def manage(self):
        address = self.api.address
        # The classic `manage` has no --ttl: a file gives it.
        path = session.state_dir() / f"{self.kind}-ttl.toml"
        path.write_text(f'[discovery]\nttl = "{self.ttl}s"\n')
        self.manager = swarmd.Swarmd(f"{self.kind}-manager", "manage", self.url, f"--host={address}", f"--advertise={address}", self.tempo,
                                     *ENGINE_TEMPO, *self.options, f"--config={path}").start()

    def join(self, *engines):
        for one in engines or fleet.engines():
            self.agents[one.name] = swarmd.Swarmd(f"{self.kind}-{one.name}", "join", f"--addr={one.address}", self.tempo, f"--ttl={self.ttl}s",
                                                  *self.options, self.url).start()

    def list(self):
        result = swarmd.run("list", *self.options, self.url)
        assert result.code == 0, result
        return sorted(result.lines)

    def info(self):
        return [tuple(pair) for pair in self.api.get("/info")["SystemStatus"]]

    def nodes(self):
        """Addresses of those that are Healthy."""
        rows = self.info()
        return sorted(rows[at - 2][1] for at, (key, value) in enumerate(rows) if key == "  └ Status" and value == "Healthy")

    def wait(self, *engines, within=20):
        """Until these engines, and no others, are listed and healthy nodes, and there is nothing to complain about."""
        wanted = addresses(*engines)
        eventually(lambda: self.list() == wanted, f"{self.kind} lists {wanted}", within, self.list)
        eventually(lambda: self.nodes() == wanted and "; " not in dict(self.info())["Discovery"], f"{self.kind}: nodes {wanted}", within, self.info)

    def down(self):
        for one in [*self.agents.values(), self.manager]:
            if one is not None:
                one.stop()
                swarmd.forget(one)
        self.manager, self.agents = None, {}
        self.store.kill()
        # The next one on this store is another cluster, and its manager shall not know this one's nodes.
        shutil.rmtree(session.state_dir() / "swarmd" / f"{self.kind}-manager", ignore_errors=True)


def addresses(*engines):
    return sorted(one.address for one in (engines or fleet.engines()))


class Watched:
    """Looks at a cluster's nodes all the time; `gone` is what was missed, if anything was."""

    def __init__(self, life):
        self.life, self.gone, self.looks, self.over = life, None, 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self.over.is_set():
            nodes = self.life.nodes()
            self.looks += 1
            if nodes != addresses():
                self.gone = self.gone or (nodes, self.life.info())
            self.over.wait(0.1)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_problem):
        self.over.set()
        self.thread.join()


class StoreCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.threads = {}
        self.lives = []

    def live(self, kinds, act, **options):
        """Runs `act(life)` for a fresh cluster on each store, all at once. A process dies with the thread that started it: so each
        kind keeps its thread to the end of the test."""
        for kind in kinds:
            self.threads[kind] = ThreadPoolExecutor(1, thread_name_prefix=kind)
            self.addCleanup(self.threads[kind].shutdown)
        self.lives = {kind: Life(kind, name=f"{kind}-{self._testMethodName}", **options) for kind in kinds}
        for life in self.lives.values():
            self.addCleanup(lambda life=life: self.threads[life.kind].submit(life.down).result())
        running = {kind: self.threads[kind].submit(act, life) for kind, life in self.lives.items()}
        problems = {kind: future.exception() for kind, future in running.items()}
        for kind, problem in problems.items():
            if problem is not None:
                raise AssertionError(f"{kind}: {problem}") from problem

    def fails(self, *arguments, **expected):
        """`swarmd list` must fail; returns its words."""
        result = swarmd.run("list", *arguments)
        self.assertEqual(result.code, 1, result)
        return result.err


@needs_cluster
class Order(StoreCase):
    """Whoever starts first."""

    def test_the_store_last_and_the_manager_anew(self):
        self.live(KINDS, self.store_last)

    def store_last(self, life):
        life.join()
        life.manage()
        self.assertIn("cannot reach", life.manager.log())
        row = eventually(lambda: dict(life.info())["Discovery"].partition("; ")[2], "told in docker info", show=life.info)
        self.assertRegex(row, r"^unreachable since \d+s: cannot reach ")
        life.store.start()
        life.wait()
        life.manager.stop()
        life.manage()  # agents first
        life.wait()
        life.manager.stop()
        life.store.kill()
        life.manage()  # without its store, it goes on with the nodes that it knew
        eventually(lambda: life.nodes() == addresses(), "the nodes that it knew", show=life.info)
        life.store.start()
        life.wait()

    def test_the_manager_first(self):
        self.live(KINDS, self.manager_first)

    def manager_first(self, life):
        life.store.start()
        self.assertEqual(life.list(), [])
        self.assertEqual(life.store.keys("rig"), {}, "`list` writes nothing")
        life.manage()
        self.assertEqual(life.nodes(), [])
        life.join()
        life.wait()
        # Keys and values are those of old agents and managers, and theirs are ours.
        listed = {f"rig/docker/swarm/nodes/{address}": address for address in addresses()}
        for api in life.store.apis():
            found = life.store.keys("rig/docker/swarm/nodes", api)
            self.assertEqual(found, listed, api)
        life.store.write("rig/docker/swarm/nodes/10.9.9.9:2375", "10.9.9.9:2375")
        life.store.write("rig/docker/swarm/nodes/junk", ":2375")
        eventually(lambda: life.list() == sorted([*addresses(), "10.9.9.9:2375"]), "an old agent's entry", show=life.list)
        eventually(lambda: ("Nodes", "4") in life.info(), "is a node", show=life.info)
        eventually(lambda: "not an engine's address, ignored" in life.manager.log(), "told once", show=life.manager.log)


@needs_cluster
class Leaving(StoreCase):
    def test_stopped_at_once_and_killed_after_the_ttl(self):
        # Long enough for a look before it is over, on a busy machine, too.
        self.live(KINDS, self.leave, ttl=2 * TTL)

    def leave(self, life):
        life.store.start()
        life.manage()
        life.join()
        life.wait()
        first, second, third = fleet.engines()
        self.assertEqual(life.agents[first.name].stop(), 0)
        self.assertEqual(life.list(), addresses(second, third), "an agent that was stopped is off the list when it ends")
        life.wait(second, third)
        life.agents[second.name].kill()
        self.assertEqual(life.list(), addresses(second, third), "its ttl is not over")
        life.wait(third)
        self.assertEqual(life.agents[third.name].stop(), 0)
        eventually(lambda: life.nodes() == [], "the last one, too", show=life.info)
        # Back with a new process, while what an earlier one left may still be there.
        life.join(second)
        life.wait(second)
        life.agents[second.name].kill()
        life.join(second)
        with Lasting(life, addresses(second), 2 * life.ttl):
            pass


class Lasting:
    """The list holds these entries all the time."""

    def __init__(self, life, wanted, seconds):
        self.life, self.wanted, self.until = life, wanted, time.monotonic() + seconds

    def __enter__(self):
        while time.monotonic() < self.until:
            assert self.life.list() == self.wanted, self.life.list()

    def __exit__(self, *_problem):
        pass


@needs_cluster
class Outages(StoreCase):
    """Blank discovery is not the failure of a node."""

    def test_restarted_wiped_and_cleared(self):
        # With heartbeats that are none here: the store itself must give the word.
        self.live(KINDS, self.restart_and_wipe, ttl=300, heartbeat=100)

    def restart_and_wipe(self, life):
        life.store.start()
        life.manage()
        life.join()
        life.wait()
        with Watched(life) as watched:
            troubles = [life.store.restart, life.store.wipe]
            if life.kind != "zk":  # where a directory is not cleared in one step
                troubles += [lambda: life.store.clear("rig"), lambda: life.store.clear("rig/docker/swarm/nodes")]
            for trouble in troubles:
                trouble()
                life.wait()
        self.assertIsNone(watched.gone)
        self.assertGreater(watched.looks, 5)
        # What it holds then is as good as before.
        first, second, third = fleet.engines()
        life.agents[first.name].stop()
        life.wait(second, third)

    def test_blank_or_gone_for_five_ttls(self):
        # Gone is one of two: it is dead, or it hangs.
        self.live(KINDS, self.blank, ttl=2)

    def blank(self, life):
        life.store.start()
        life.manage()
        life.join()
        life.wait()
        with Watched(life) as watched:
            hangs = life.kind in ("consul", "etcd35")
            life.store.pause() if hangs else life.store.kill()
            eventually(lambda: "keeping 3 nodes" in dict(life.info()).get("Discovery", ""), "told in docker info", show=life.info)
            self.rest(life)
            life.store.resume() if hangs else life.store.start()
            life.wait()
            # Agents that are well would fill it again at once.
            for agent in life.agents.values():
                agent.signal(signal.SIGSTOP)
            life.store.wipe()
            eventually(lambda: "the list lost entries, keeping 3 nodes" in dict(life.info()).get("Discovery", ""), "told", show=life.info)
            self.assertEqual(life.list(), [])
            self.rest(life)
            self.assertEqual(life.list(), [])
            for agent in life.agents.values():
                agent.signal(signal.SIGCONT)
            life.wait()
        self.assertIsNone(watched.gone)
        # Told for each loss, not at each look: a look a second, and a store that hangs loses entries, too.
        self.assertIn(life.manager.log().count("keeping 3 of 3 nodes"), range(1, 6))
        self.assertTrue(any("keeping 3 nodes" in line for line in life.manager.statuses), life.manager.statuses)

    def rest(self, life):
        """Five ttls: the time itself is what is tested."""
        over = time.monotonic() + 5 * life.ttl
        eventually(lambda: time.monotonic() > over, "time passes", timeout=6 * life.ttl)


@needs_cluster
class Protected(StoreCase):
    """TLS and credentials."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours, cls.others = Certificates("ours"), Certificates("others")

    def test_tls(self):
        self.live(("consul", "etcd34", "etcd35"), self.tls, tls=self.ours, options=self.ours.options())

    def tls(self, life):
        life.store.start()
        life.manage()
        life.join()
        life.wait()
        self.assertIn("was signed by another CA than the one in", self.fails(*self.ours.options(ca=self.others.ca), life.url))
        self.assertRegex(self.fails(*self.others.options(ca=self.ours.ca), life.url), "refuses our certificate")
        self.assertRegex(self.fails(life.url), "want|give kv.cacertfile")

    def test_plain_stores_are_told_from_wrong_certificates(self):
        self.live(("consul", "etcd35"), self.plain)
        self.assertIn("zk:// speaks no TLS", self.fails(*self.ours.options(), "zk://127.0.0.1:1"))
        some = [f"--discovery-opt=kv.cacertfile={self.ours.ca}", "etcd://127.0.0.1:1"]
        self.assertIn("TLS to the store also needs kv.certfile and kv.keyfile", self.fails(*some))

    def plain(self, life):
        life.store.start()
        self.assertIn("does not speak https: name the one that does, or leave kv.cacertfile", self.fails(*self.ours.options(), life.url))

    def test_consul_token(self):
        acl = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "0123-root"}}}
        self.live(("consul",), self.consul_token, settings=acl, options=["--discovery-opt=kv.token=0123-root"])

    def consul_token(self, life):
        life.store.start()
        life.manage()
        life.join()
        life.wait()
        self.assertRegex(self.fails("--discovery-opt=kv.token=wrong", life.url), "refuses us: .*give discovery-opt kv.token")
        stranger = swarmd.Swarmd("consul-stranger", "join", "--addr=127.0.0.1:1", *TEMPO, f"--ttl={TTL}s", life.url).start()
        self.assertRegex(stranger.log(), "refuses us: .*give discovery-opt kv.token")
        stranger.stop()
        by_environment = swarmd.run("list", life.url, env={"CONSUL_HTTP_TOKEN": "0123-root"})
        self.assertEqual(sorted(by_environment.lines), addresses())

    def test_etcd_password(self):
        options = ["--discovery-opt=kv.username=root", "--discovery-opt=kv.password=pw"]
        self.live(("etcd35",), self.etcd_password, options=options)

    def etcd_password(self, life):
        life.store.start()
        life.store.etcdctl("user", "add", "root:pw")
        life.store.etcdctl("user", "grant-role", "root", "root")
        life.store.etcdctl("auth", "enable")
        life.manage()
        life.join()
        life.wait()
        for wrong in ([], ["--discovery-opt=kv.username=root", "--discovery-opt=kv.password=no"]):
            self.assertRegex(self.fails(*wrong, life.url), "refuses us: .*give discovery-opt kv.username and kv.password")

    def test_zookeeper_password(self):
        self.live(("zk",), self.zookeeper_password, options=["--discovery-opt=kv.username=me", "--discovery-opt=kv.password=pw"])

    def zookeeper_password(self, life):
        life.store.start()
        life.store.zookeeper("addauth digest me:pw", "create /rig x auth::cdrwa")
        stranger = swarmd.Swarmd("zk-stranger", "join", "--addr=127.0.0.1:1", *TEMPO, f"--ttl={TTL}s", life.url).start()
        self.assertRegex(stranger.log(), "refuses us: .*give discovery-opt kv.username and kv.password")
        stranger.stop()
        life.manage()
        life.join()
        life.wait()
        self.assertRegex(self.fails(life.url), "refuses us: .*give discovery-opt kv.username and kv.password")
