"""Three managers for each store: who leads when the primary dies, stops, is stopped, or is cut off; who acts meanwhile;
what clients notice.

The stores run side by side, each with its own managers and simulated engines: the scenario is one, and takes its time.
"""

import concurrent.futures
import signal
import subprocess
import threading
import time
import unittest

from rig import cli, swarmd
from rig.api import Api, ApiError
from rig.case import needs_cluster
from rig.cluster import eventually, write_config
from rig.replicas import COUNT, TTL, Load, Managers
from rig.store import Store

STORES = ("consul", "etcd34", "etcd35", "zk")
# A store may take twice its time to end a session (consul), and this machine is busy.
DIED = 2 * TTL + 6


class Scenario:
    """All that happens to one store's managers; `times` is the table's column."""

    def __init__(self, kind, number):
        self.store = Store(kind, name=f"replication-{kind}", shift=2)
        self.number, self.times, self.notes = number, {}, {}

    def play(self):
        self.store.start()
        managers = Managers(self.store, self.number)
        try:
            managers.start()
            # Never the one that is stopped first: the client stays with a manager that lives.
            stays = managers.primary()
            with Load(managers, run_through=(stays + 1) % COUNT) as load:
                for case in (self.stopped, self.killed, self.frozen, self.refused, self.dropped, self.restarted, self.without_a_store, self.watched):
                    managers.say(case.__name__)
                    case(managers)
            self.load = load
            self.lost = load.lost()
        finally:
            managers.stop()
            self.store.kill()
        return self

    def successor(self, what, managers, old, do):
        """Does something to the old primary; waits for another."""
        others = [number for number in range(COUNT) if number != old]
        begun = time.monotonic()
        do()
        new = managers.primary(others, DIED)
        self.times[what] = time.monotonic() - begun
        return new

    def stopped(self, managers):
        old = managers.settled()
        term = threading.Thread(target=managers.managers[old].stop)
        self.successor("SIGTERM", managers, old, term.start)
        term.join()
        managers.managers[old].start()
        managers.settled()

    def killed(self, managers):
        old = managers.settled()
        self.successor("kill -9", managers, old, managers.managers[old].kill)
        managers.managers[old].start()
        managers.settled()

    def frozen(self, managers):
        old = managers.settled()
        process = managers.managers[old]
        self.successor("SIGSTOP", managers, old, lambda: process.signal(signal.SIGSTOP))
        begun = time.monotonic()
        process.signal(signal.SIGCONT)
        eventually(lambda: managers.leader(old).get("role") == "replica", "the old primary follows", 20)
        self.times["SIGCONT: follows after"] = time.monotonic() - begun
        managers.settled()

    def refused(self, managers):
        self.parted("store refuses primary", managers, "refuse")

    def dropped(self, managers):
        self.parted("store unheard by primary", managers, "freeze")

    def parted(self, what, managers, how):
        old = managers.settled()
        relay = managers.relays[old]
        # With a filter that nobody else has: others listen here, too.
        follower = cli.docker(managers.addresses[old]).popen("events", "--filter", f"label=parted-{how}", stdin=subprocess.DEVNULL)
        eventually(lambda: f"parted-{how}" in managers.managers[old].log(), "a stream at the primary itself")
        self.successor(what, managers, old, getattr(relay, how))
        follower.communicate(timeout=DIED)  # it is cut off, too
        self.notes[what] = managers.primaries()
        rows = managers.rows(old)
        self.notes[what + ": rows"] = rows["Role"]
        relay.pass_on()
        managers.settled()

    def restarted(self, managers):
        managers.settled()
        begun = time.monotonic()
        self.store.restart()
        managers.settled()
        self.times["store restarts: all agree after"] = time.monotonic() - begun

    def without_a_store(self, managers):
        managers.settled()
        begun = time.monotonic()
        self.store.kill()
        eventually(lambda: managers.primaries() == [], "nobody leads without a store", DIED)
        self.times["store down: steps down after"] = time.monotonic() - begun
        begun = time.monotonic()
        try:
            managers.apis[0].call("POST", "/containers/create?name=none", {"Image": "busybox"}, timeout=30)
        except ApiError as refusal:
            self.notes["no store"] = (refusal.status, refusal.text)
        self.times["... a create is refused after"] = time.monotonic() - begun
        begun = time.monotonic()
        self.store.start()
        managers.primary()
        self.times["store is back: a primary after"] = time.monotonic() - begun
        managers.settled()

    def watched(self, managers):
        """After all that the loops still turn."""
        processes = [*managers.managers, *managers.agents]
        before = [process.fed for process in processes]
        fed = lambda: all(process.fed >= count + 2 for process, count in zip(processes, before))
        eventually(fed, "the watchdogs of all are fed", 6 * swarmd.WATCHDOG, show=lambda: [process.fed for process in processes])


@needs_cluster
class Replication(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with concurrent.futures.ThreadPoolExecutor(len(STORES)) as pool:
            cls.played = {kind: pool.submit(Scenario(kind, number).play) for number, kind in enumerate(STORES)}
        cls.show()

    @classmethod
    def show(cls):
        done = {kind: future.result() for kind, future in cls.played.items() if not future.exception()}
        cases = list(dict.fromkeys(case for one in done.values() for case in one.times))
        print(f"\n    seconds to a new primary (replication-ttl {TTL} s)   " + "".join(f"{kind:>9}" for kind in done))
        for case in cases:
            print(f"    {case:<48}" + "".join(f"{one.times[case]:9.2f}" for one in done.values()))
        for what, count in (("creates that were answered", lambda load: len(load.acknowledged)), ("... and refused or broken off", lambda load: len(load.refused)),
                            ("changes that engines saw", lambda load: len(load.changes)), ("reigns", lambda load: len(load.reigns()))):
            print(f"    {what:<48}" + "".join(f"{count(one.load):9}" for one in done.values()))

    def check(self, kind):
        one = self.played[kind].result()
        self.assertEqual(one.lost, set(), "acknowledged, and on no engine")
        self.assertGreater(len(one.load.acknowledged), 50)
        reigns = one.load.reigns()
        terms = [term for term, _manager in reigns]
        self.assertEqual(terms, sorted(set(terms)), f"reigns overlap: {reigns}")
        self.assertGreaterEqual(len(reigns), 6, reigns)
        self.assertGreater(terms[0], 0, f"changed on nobody's word: {reigns}")
        for what in ("store refuses primary", "store unheard by primary"):
            self.assertEqual(len(one.notes[what]), 1, "two that say they lead")
            self.assertEqual(one.notes[what + ": rows"], "replica")
        self.assertLess(one.times["SIGTERM"], TTL, "the lease was given up: nobody waited for its end")
        status, text = one.notes["no store"]
        self.assertEqual(status, 503)
        self.assertIn("No elected primary cluster manager", text)

    def test_consul(self):
        self.check("consul")

    def test_etcd(self):
        self.check("etcd35")

    def test_etcd_with_its_old_api(self):
        self.check("etcd34")

    def test_zookeeper(self):
        self.check("zk")

    def test_a_consul_that_grants_no_short_sessions(self):
        """As it comes: at least 10 s. The manager says so, and leads."""
        store = Store("consul", name="replication-stock", shift=4, settings={"session_ttl_min": "10s"}).start()
        self.addCleanup(store.kill)
        path = write_config("stock", f"""
            role = "manager"
            [discovery]
            url = "{store.url}"
            [manager]
            host = ["tcp://127.0.0.1:3490"]
            advertise = "127.0.0.1:3490"
            replication = true
            replication-ttl = "{TTL}s"
            """)
        manager = swarmd.Swarmd("stock", "run", "--config", str(path)).start()
        self.addCleanup(lambda: (manager.kill(), swarmd.forget(manager)))
        leader = eventually(lambda: [said for said in [Api("127.0.0.1:3490").get("/swarmd/v1/leader")] if said["role"] == "primary"], "it leads")[0]
        self.assertGreater(leader["lease_ms"], TTL * 1000)
        self.assertIn("consul refuses sessions of 2s; taking 10 s", manager.log())
        eventually(lambda: "manager (primary)" in manager.statuses[-1], "systemd is told", show=lambda: manager.statuses)
