"""What swarmd takes with ten real engines, and how soon it notices trouble, with its default intervals.

    cargo build --release && SWARMD_BIN=target/release/swarmd tests/real/run figures.py

Not among the tests that run by themselves: it asserts nothing about memory or time, and wants a quiet machine.
"""

import os
import time
import unittest

from rig import fleet, session, swarmd
from rig.api import Api
from rig.case import needs_cluster
from rig.cluster import Cluster, eventually
from rig.engine import Engine

ADDRESS = "127.0.0.1:3376"
CONTAINERS = 3  # on each engine
IDLE = 60  # seconds
TICK = 1 / os.sysconf("SC_CLK_TCK")


def resident(process):
    """MiB."""
    with open(f"/proc/{process.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu(process):
    """Seconds."""
    with open(f"/proc/{process.process.pid}/stat") as stat:
        return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13])) * TICK


@needs_cluster
class Figures(unittest.TestCase):
    def setUp(self):
        self.addCleanup(fleet.repair)
        self.engines = fleet.engines() + [Engine(f"node{n}", f"127.0.0.{20 + n}", "28") for n in range(4, 11)]
        for one in self.engines[3:]:
            one.spawn()
            self.addCleanup(one.kill)
        for one in self.engines:
            one.wait_ready()
            fleet.clean(one)
            for n in range(CONTAINERS):
                one.api.post(f"/containers/create?name={one.name}-{n}", {"Image": "busybox", "Cmd": ["sleep", "1000"]})
                one.api.post(f"/containers/{one.name}-{n}/start")
        self.cluster = Cluster()

    def start(self, name, *arguments):
        process = swarmd.Swarmd(name, *arguments).start()
        self.addCleanup(process.stop)
        return process

    def manager(self, name, engines):
        return self.start(name, "manage", f"--host={ADDRESS}", "nodes://" + ",".join(one.address for one in engines))

    def until(self, status, one):
        """Seconds until the manager says that of an engine."""
        begun = time.monotonic()
        eventually(lambda: self.cluster.nodes()[one.name]["Status"] == status, f"{one.name} {status}", 120, self.cluster.nodes)
        return time.monotonic() - begun

    def idle(self, process):
        """MiB, and per cent of a core, when nothing happens."""
        before = cpu(process)
        time.sleep(IDLE)
        return f"{resident(process):5.1f} MiB, {(cpu(process) - before) / IDLE * 100:.2f} % of a core"

    def test_figures(self):
        (session.state_dir() / "nobody").touch()
        empty = self.start("empty", "manage", "--host=127.0.0.1:3377", f"file://{session.state_dir()}/nobody")
        manager = self.manager("ten", self.engines)
        self.cluster.wait_healthy([one.name for one in self.engines])
        eventually(lambda: Api(ADDRESS).get("/info")["Containers"] == CONTAINERS * len(self.engines), "all containers known")
        token = Api(ADDRESS).raw("POST", "/v1/clusters")[2].decode().strip().strip('"')
        agent = self.start("agent", "join", f"--addr={self.engines[0].address}", f"token://{ADDRESS}/{token}")
        print(f"\nempty manager:                 {self.idle(empty)}")
        print(f"agent:                         {self.idle(agent)}")
        print(f"manager of {len(self.engines)} engines:         {self.idle(manager)}   ({CONTAINERS} containers on each)")
        hung, dead = self.engines[3], self.engines[4]
        hung.pause()
        print(f"engine hangs, nobody calls it: Unhealthy after {self.until('Unhealthy', hung):.1f} s")
        hung.unpause()
        print(f"it answers again:              Healthy after {self.until('Healthy', hung):.1f} s")
        dead.kill()
        print(f"engine dies:                   Unhealthy after {self.until('Unhealthy', dead):.1f} s")
        dead.start()
        print(f"it is there again:             Healthy after {self.until('Healthy', dead):.1f} s")
