"""Three managers on one store, over simulated engines that write down on whose word they were changed.

Each manager reaches the store through a relay of its own. Three clients never stop: one creates through each manager's
API in turn, one is `docker run` through a fixed manager, one is `docker events`, begun anew where it broke off.
"""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from . import cli, guard, session, swarmd
from .api import Api, ApiError
from .cluster import eventually, write_config
from .relay import Relay

TTL = 4  # seconds
COUNT = 3
ENGINES = 2


class Managers:
    """Up with `start`; `number` keeps ports of several at once apart."""

    def __init__(self, store, number):
        self.store, self.name = store, store.name
        self.relays = [Relay(("127.0.0.1", store.port)) for _ in range(COUNT)]
        self.addresses = [f"127.0.0.1:{3400 + 10 * number + i}" for i in range(COUNT)]
        self.engine_port = 2450 + number
        self.apis = [Api(address, timeout=3) for address in self.addresses]
        self.engines = [Api("127.0.0.1:" + str(self.engine_port)), Api(f"127.1.0.2:{self.engine_port}")]
        self.managers, self.agents, self.simulator = [], [], None
        self.said = None  # an operator's label of node-0

    def start(self):
        simulator = str(Path(swarmd.binary()).parent / "examples" / "sim-engine")
        self.simulator = subprocess.Popen([simulator, f"--engines={ENGINES}", f"--port={self.engine_port}"], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, preexec_fn=guard.die_with_parent)
        for number in range(ENGINES):
            self.agents.append(swarmd.Swarmd(f"{self.name}-agent{number}", "join", f"--addr={self.engines[number].address}", "--heartbeat=1s",
                                             "--ttl=30s", self.store.url).spawn())
        for number, (relay, address) in enumerate(zip(self.relays, self.addresses)):
            scheme = self.store.url.split("://")[0]
            path = write_config(f"{self.name}-{number}", f"""
                role = "manager"
                [log]
                level = "debug"
                [discovery]
                url = "{scheme}://{relay.address}"
                heartbeat = "1s"
                [manager]
                host = ["tcp://{address}"]
                advertise = "{address}"
                replication = true
                replication-ttl = "{TTL}s"
                engine-refresh-min-interval = "1s"
                engine-refresh-max-interval = "2s"
                """)
            self.managers.append(swarmd.Swarmd(f"{self.name}-manager{number}", "run", "--config", str(path)).spawn())
        self.settled()
        return self

    def stop(self):
        for one in [*self.managers, *self.agents]:
            if one.alive():
                one.signal(signal.SIGCONT)
                one.kill()
            swarmd.forget(one)
        if self.simulator:
            self.simulator.kill()
            self.simulator.wait()
        for relay in self.relays:
            relay.close()

    # -- looking ------------------------------------------------------------------------------------------------

    def leader(self, number):
        """What one manager says; {} if it says nothing."""
        try:
            return self.apis[number].call("GET", "/swarmd/v1/leader", timeout=0.5)
        except (OSError, ApiError, ValueError):
            return {}

    def primaries(self, among=range(COUNT)):
        return [number for number in among if self.leader(number).get("role") == "primary"]

    def primary(self, among=range(COUNT), timeout=30):
        """The one primary among some managers, once there is one."""
        return eventually(lambda: [found for found in [self.primaries(among)] if len(found) == 1], f"{self.name}: one primary", timeout)[0][0]

    def say(self, label, timeout=40):
        """Labels node-0, at whichever manager. On a busy machine a primary may lose its lease at any moment: an operator who
        is told so ("try again in a moment") says it again. Any other refusal is a fault."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.apis[0].call("POST", "/swarmd/v1/nodes/node-0/labels", {"set": {"said": label}}, timeout=15)
                break
            except ApiError as refusal:
                if refusal.status != 503 or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)
        self.said = label

    def settled(self, timeout=40):
        """One leads, the others say that it does, and all see all engines, and what the operator said."""
        def check():
            first = self.primaries()
            said = [self.leader(number).get("primary") for number in range(COUNT)]
            return len(first) == 1 and said == [self.addresses[first[0]]] * COUNT and all(self.healthy(number) == ENGINES for number in range(COUNT))

        eventually(check, f"{self.name}: one primary that all know", timeout, lambda: [self.leader(number) for number in range(COUNT)])
        return self.primary()

    def healthy(self, number):
        """How many engines one manager sees; with the operator's label, if there is one to see."""
        rows = self.apis[number].get("/info")["SystemStatus"]
        labels = "".join(f"{value}, " for key, value in rows if key.endswith("Labels"))
        told = self.said is None or f"said={self.said}, " in labels
        return told and sum(value == "Healthy" for key, value in rows if key.endswith("Status"))

    def rows(self, number):
        return {key: value for key, value in self.apis[number].get("/info")["SystemStatus"]}


class Load:
    """What clients do all the while. `acknowledged` are IDs of containers whose creation was answered."""

    def __init__(self, managers, run_through):
        self.managers, self.run_through = managers, run_through
        self.acknowledged, self.heard, self.changes, self.refused = set(), set(), {}, []
        self._over, self._events = threading.Event(), None
        self._since = time.time()
        self._threads = [threading.Thread(target=work, daemon=True) for work in
                         (*(lambda n=n: self._create(n) for n in range(COUNT)), self._run, self._listen, self._record)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads[:-2]:
            thread.join(60)
        eventually(lambda: self.acknowledged <= self.heard, "events of all that was acknowledged", 20,
                   lambda: f"{len(self.acknowledged - self.heard)} of {len(self.acknowledged)} not heard of")
        process = self._events
        if process:
            process.kill()
        for thread in self._threads[-2:]:
            thread.join(20)

    def _create(self, through):
        count = 0
        while not self._over.wait(0.15):
            count += 1
            try:
                made = self.managers.apis[through].call("POST", f"/containers/create?name=c{through}-{count}", {"Image": "busybox"}, timeout=20)
                self.acknowledged.add(made["Id"])
            except (OSError, ApiError, ValueError) as problem:
                self.refused.append(str(problem))

    def _run(self):
        docker, count = cli.docker(self.managers.addresses[self.run_through]), 0
        while not self._over.wait(0.3):
            count += 1
            done = docker.run("run", "-d", "--name", f"run-{count}", "busybox", "sleep", "1000", timeout=60)
            self.acknowledged.update(word for word in done.out.split() if len(word) == 64)
            if done.code:
                self.refused.append(done.err)

    def _listen(self):
        docker = cli.docker(self.managers.addresses[self.run_through])
        while not self._over.is_set() or not self.acknowledged <= self.heard:
            self._events = docker.popen("events", "--since", f"{self._since:.9f}", "--filter", "event=create", "--format", "json", stdin=subprocess.DEVNULL)
            for line in self._events.stdout:
                event = json.loads(line)
                self.heard.add(event["id"])
                # Engines have clocks of their own; what comes twice does not matter.
                self._since = max(self._since, event["timeNano"] / 1e9 - 2)
            self._events.wait()
            time.sleep(0.1)

    def _record(self):
        while not self._over.is_set():
            self._read_calls()
            time.sleep(0.5)
        self._read_calls()

    def _read_calls(self):
        for engine in self.managers.engines:
            for call in engine.get("/_sim/calls")[0]["recent"]:
                if not call["route"].startswith(("GET", "HEAD")):
                    self.changes[(engine.address, call["at"], call["path"])] = call

    def reigns(self):
        """[(term, manager)] in the order in which engines were told to change something; one entry for each turn."""
        order = []
        for call in sorted(self.changes.values(), key=lambda call: call["at"]):
            manager, _, term = call["primary"].partition(" term=")
            reign = (int(term or 0), manager)  # 0: on nobody's word
            if not order or order[-1] != reign:
                order.append(reign)
        return order

    def lost(self):
        """What was acknowledged and is on no engine."""
        there = {container["Id"] for engine in self.managers.engines for container in engine.containers()}
        return self.acknowledged - there
