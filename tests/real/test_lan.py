"""Managers and agents find each other on a LAN by the token alone (mDNS), follow each other's addresses, and say goodbye.

The machines are network namespaces on a bridge (`rig/lan.py`); the engine is a real one, relayed to the agent's machine.
"""

import json
import unittest

from rig import fleet, lan, session, swarmd
from rig.api import Api
from rig.case import needs_cluster
from rig.cluster import eventually, new_token, write_config

PORT = 3376


@needs_cluster
class OnTheLan(unittest.TestCase):
    def setUp(self):
        self.lan = lan.Lan()
        self.addCleanup(self.lan.down)
        self.boss, self.node = self.lan.host(1), self.lan.host(2)
        self.engine = fleet.engine("pi1")
        host, port = self.engine.address.split(":")
        self.node.relay(2375, (host, int(port)))
        self.token = new_token()

    def manager(self, host, name="lan-manager", role="manager", told="true"):
        path = write_config(name, f"""
            role = "{role}"
            [discovery]
            url = "token://{self.token}"
            heartbeat = "1s"
            [manager]
            host = ["tcp://0.0.0.0:{PORT}"]
            allow-unauthenticated = true
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            engine-failure-retry = 2
            [agent]
            advertise = "auto:2375"
            [advertise]
            lan = {told}
            """)
        return self.started(name, "run", "--config", str(path), within=host.within)

    def agent(self, *more, name="lan-agent"):
        return self.started(name, "join", "--addr=auto:2375", *more, f"token://{self.token}", within=self.node.within)

    def started(self, name, *arguments, within):
        one = swarmd.Swarmd(name, *arguments, within=within)
        self.forget(one)  # what a test before this one left
        one.start()
        self.addCleanup(swarmd.forget, one)
        self.addCleanup(one.stop)
        return one

    @staticmethod
    def forget(one):
        for file in one.state.iterdir():
            file.unlink()

    def api(self, host):
        return Api(f"{host.address}:{PORT}", timeout=5)

    def entries(self, host):
        return self.api(host).get(f"/v1/clusters/{self.token}")

    def wait_entries(self, host, *wanted):
        eventually(lambda: sorted(self.entries(host)) == sorted(wanted), f"{wanted} registered", show=lambda: self.entries(host))

    def nodes(self, host):
        return {node["address"]: node["status"] for node in self.api(host).get("/swarmd/v1/nodes")}

    def registrations(self, agent):
        """{address of the manager: what is registered there} as the agent says."""
        told = json.loads((agent.state / "agent.json").read_text())
        return {place["address"]: place["entry"] for place in told["managers"]}

    def wait_registered(self, agent, *managers, entry=None):
        wanted = {f"{host.address}:{PORT}": entry or f"{self.node.address}:2375" for host in managers}
        eventually(lambda: self.registrations(agent) == wanted, f"registered with {wanted}", show=lambda: self.registrations(agent))

    def test_an_agent_with_nothing_but_the_token(self):
        agent = self.agent()
        eventually(lambda: "no manager with this token was found on eth0 within 5 s" in agent.statuses[-1], "it says that it is alone",
                   show=lambda: agent.statuses)
        manager = self.manager(self.boss)
        self.wait_registered(agent, self.boss)
        at = f"{self.node.address}:2375"
        eventually(lambda: self.nodes(self.boss) == {at: "Healthy"}, "the engine is a node", show=lambda: self.nodes(self.boss))
        self.check_what_is_told()
        # Another address; and what was registered is lost with it: only a new registration brings it back, and the
        # next heartbeat is a minute away.
        self.api(self.boss).raw("DELETE", f"/v1/clusters/{self.token}?entry={at}")
        self.boss.move(7)
        self.wait_registered(agent, self.boss)
        eventually(lambda: self.entries(self.boss) == [at], "registered anew", show=lambda: self.entries(self.boss))
        # The goodbye of the agent, then of the manager.
        self.assertEqual(agent.stop(), 0)
        self.assertEqual(self.entries(self.boss), [])
        agent = self.agent(name="lan-agent-2")
        self.wait_registered(agent, self.boss)
        self.assertEqual(manager.stop(), 0)
        eventually(lambda: self.registrations(agent) == {}, "the manager is gone", show=lambda: self.registrations(agent))

    def check_what_is_told(self):
        status = json.loads(swarmd.run("status", "--json", "-H", f"{self.boss.address}:{PORT}").out)["manager"]
        self.assertEqual((status["nodes"], status["healthy"], status["problem"]), (1, 1, None))
        self.assertEqual((status["lan"]["addresses"], status["lan"]["interfaces"]), ([f"{self.boss.address}:{PORT}"], "eth0"))
        self.assertEqual(status["discovery"]["entries"], 1)
        self.assertNotIn(self.token, json.dumps(status))
        local = swarmd.run("status", "--config", str(session.state_dir() / "swarmd" / "lan-manager.toml"), within=self.boss.within)
        self.assertRegex(local.out, r"(?m)^  LAN +advertised as \S+ on eth0: 10\.99\.0\.1:3376 \(no TLS, 1 token\)$")
        self.assertEqual(local.code, 0, local)
        listed = swarmd.run("list", f"token://{self.token}", within=self.node.within)
        self.assertEqual((listed.code, listed.lines), (0, [f"{self.node.address}:2375"]), listed)
        other = swarmd.run("list", "--timeout=4s", f"token://{new_token()}", within=self.node.within)
        self.assertEqual(other.code, 1)
        self.assertRegex(other.err, r"no manager with this token was found on eth0 within 2 s .*token://MANAGER:3376/TOKEN")
        paste = swarmd.run("join-token", "agent", "--config", str(session.state_dir() / "swarmd" / "lan-manager.toml"), within=self.boss.within)
        self.assertIn(f"swarmd join --addr=THIS-MACHINE:2375 token://{self.boss.address}:{PORT}/{self.token}\n", paste.raw.decode())

    def test_each_manager_is_registered_with_and_comes_back_at_once(self):
        spare = self.lan.host(3)
        host, port = fleet.engine("pi2").address.split(":")
        spare.relay(2375, (host, int(port)))
        # The second one is a node, too: its own list has it by loopback, and it finds the first manager as all do.
        one, two = self.manager(self.boss), self.manager(spare, name="lan-spare", role="both")
        agent = self.agent()
        self.wait_registered(agent, self.boss, spare)
        ours, near, far = f"{self.node.address}:2375", "127.0.0.1:2375", f"{spare.address}:2375"
        self.wait_entries(self.boss, ours, far)
        self.wait_entries(spare, ours, near)
        # Killed without a goodbye, forgotten what it knew: registered with again long before the next heartbeat.
        two.kill()
        self.forget(two)
        two.start()
        self.wait_entries(spare, ours, near)
        self.wait_registered(agent, self.boss, spare)
        everywhere = {"": near, f"{self.boss.address}:{PORT}": far}
        eventually(lambda: self.registrations(two) == everywhere, "it found the first", show=lambda: self.registrations(two))
        self.assertEqual(two.stop(), 0)
        self.wait_registered(agent, self.boss)
        self.wait_entries(self.boss, ours)
        self.assertEqual(one.stop(), 0)

    def test_a_node_that_moves_is_the_same_node(self):
        self.manager(self.boss)
        agent = self.agent()
        old = f"{self.node.address}:2375"
        eventually(lambda: self.nodes(self.boss) == {old: "Healthy"}, "the engine is a node", show=lambda: self.nodes(self.boss))
        identity = self.api(self.boss).get("/swarmd/v1/nodes")[0]["id"]
        self.node.move(8)
        new = f"{self.node.address}:2375"
        eventually(lambda: self.nodes(self.boss) == {new: "Healthy"}, "one node, at the new address", show=lambda: self.nodes(self.boss))
        self.assertEqual(self.api(self.boss).get("/swarmd/v1/nodes")[0]["id"], identity)
        self.wait_registered(agent, self.boss)

    def test_not_a_packet_is_sent_when_it_is_off(self):
        capture = self.lan.capture()
        manager = self.manager(self.boss, told="false")
        # Somebody else on the LAN speaks and asks: that is seen, and not answered.
        other = self.lan.host(4)
        self.manager(other, name="lan-other")
        agent = self.agent()
        self.wait_registered(agent, other)
        self.assertGreater(len(capture.of(other)), 2)
        self.assertGreater(len(capture.of(self.node)), 0)
        status = self.api(self.boss).get("/swarmd/v1/status")
        self.assertEqual(status["lan"]["silent"], "[advertise] lan = false")
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(capture.of(self.boss), [])
        for packet in capture.of(other) + capture.of(self.node):
            self.assertNotIn(self.token.encode(), packet, "a token is never told to all")
