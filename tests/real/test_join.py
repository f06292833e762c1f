"""Engines come in by a token (classic command line and TOML), by a list and by a file; `docker info` tells it as ever."""

import re
import signal

from rig import fleet, session, swarmd
from rig.case import EngineCase, needs_cluster
from rig.cluster import ADDRESS, Cluster, eventually

ENGINE_ROWS = ["ID", "Status", "Containers", "Reserved CPUs", "Reserved Memory", "Labels", "UpdatedAt", "ServerVersion"]
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


@needs_cluster
class Join(EngineCase):
    def setUp(self):
        super().setUp()
        self.cluster = Cluster()
        self.addCleanup(self.cluster.down)

    def test_classic_command_line(self):
        self.cluster.up()
        self.check_info()

    def test_toml(self):
        self.cluster.up_from_toml()
        self.check_info()

    def check_info(self):
        """The rows of section 5.1 of the classic API: names, order, values."""
        rows = self.cluster.rows()
        self.assertEqual(rows[:2], [("Role", "primary"), ("Strategy", "spread")])
        self.assertEqual(rows[2][0], "Filters")
        self.assertEqual(rows[2][1].split(", ")[:2], ["health", "port"])
        self.assertEqual(rows[3], ("Nodes", "3"))
        self.assertRegex(dict(rows)["Discovery"], r"^token://[0-9a-f]{4}\.\.\., 3 entries, read " + TIME[1:])
        self.assertEqual(rows[-1][0], "Discovery", "behind the classic rows")
        keys = [key for key, _value in rows[4:-1]]
        per_engine = [f"  └ {key}" for key in ENGINE_ROWS]
        self.assertEqual(keys, [key for name in (" pi1", " pi2", " pocket") for key in [name, *per_engine]])
        nodes = self.cluster.nodes()
        for one in fleet.engines():
            node, info = nodes[one.name], one.api.get("/info")
            self.assertEqual((node["addr"], node["ID"], node["Status"]), (one.address, info["ID"], "Healthy"))
            self.assertEqual(node["Containers"], "0 (0 Running, 0 Paused, 0 Stopped)")
            self.assertEqual(node["ServerVersion"], info["ServerVersion"])
            self.assertRegex(node["Reserved CPUs"], rf"^0 / {info['NCPU']}$")
            self.assertRegex(node["Reserved Memory"], r"^0 B / [\d.]+ [KMGT]iB$")
            self.assertRegex(node["UpdatedAt"], TIME)
            labels = node["Labels"].split(", ")
            self.assertEqual(labels, sorted(labels))
            for label in one.labels:
                self.assertIn(label, labels)
        for version in ("28", "20"):
            text = self.cluster.docker(version).out("info")
            self.assertRegex(text, r"(?m)^ *Nodes: 3$")
            self.assertEqual(len(re.findall(r"└ Status: Healthy", text)), 3, text)
        info = self.cluster.api.get("/info")
        self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")
        self.assertRegex(info["ServerVersion"], "^swarm/")

    def test_create_mints_tokens(self):
        one, two = swarmd.run("create"), swarmd.run("create")
        self.assertEqual((one.code, two.code), (0, 0))
        for token in (one.out, two.out):
            self.assertRegex(token, r"^[0-9a-f]{32}$")
        self.assertNotEqual(one.out, two.out)

    def test_list_prints_the_addresses(self):
        self.cluster.up()
        result = swarmd.run("list", f"token://{ADDRESS}/{self.cluster.token}")
        self.assertEqual((result.code, sorted(result.lines)), (0, sorted(one.address for one in fleet.engines())), result)

    def test_nodes_range(self):
        self.cluster.up(discovery="nodes://127.0.0.[11:13]:2375")
        self.assertEqual(self.cluster.rows()[3], ("Nodes", "3"))

    def test_file_appears_grows_and_shrinks(self):
        path = session.state_dir() / "disk" / "engines"
        path.unlink(missing_ok=True)
        self.cluster.up(engines=[], discovery=f"file://{path}")
        path.write_text("# my engines\n127.0.0.11:2375 # the desk\r\n\n")
        self.cluster.wait_healthy(["pocket"])
        path.write_text("127.0.0.[11:12]:2375\n")
        self.cluster.wait_healthy(["pocket", "pi1"])
        path.write_text("127.0.0.12:2375\n")
        self.cluster.wait_healthy(["pi1"])

    def test_agent_that_stops_takes_its_engine_out(self):
        self.cluster.up()
        agent = self.cluster.agents[2]
        self.assertEqual(agent.stop(), 0)
        self.cluster.wait_healthy(["pocket", "pi1"])

    def test_registrations_survive_a_manager_restart(self):
        self.cluster.ttl = "60s"
        self.cluster.up()
        self.cluster.manager.kill()
        for agent in self.cluster.agents:
            agent.kill()  # none is there to register again
        self.cluster.manager.start()
        listed = swarmd.run("list", f"token://{ADDRESS}/{self.cluster.token}").lines
        self.assertEqual(sorted(listed), sorted(one.address for one in fleet.engines()))

    def test_agents_outlive_the_manager(self):
        self.cluster.up()
        self.assertEqual(self.cluster.manager.stop(), 0)
        self.assertTrue(all(agent.alive() for agent in self.cluster.agents))
        self.cluster.manager.start()
        self.cluster.wait_healthy([one.name for one in fleet.engines()])

    def test_an_engine_that_starts_later(self):
        late = fleet.engine("pi2")
        late.kill()
        self.cluster.up(engines=[fleet.engine("pocket"), fleet.engine("pi1")])
        self.cluster.agents.append(self.cluster.agent("pi2", late.address))
        eventually(lambda: ("Nodes", "3") in self.cluster.rows(), "it is counted while pending", show=self.cluster.rows)
        late.start()
        self.cluster.wait_healthy(["pocket", "pi1", "pi2"])

    def test_the_supervisor_is_told(self):
        self.cluster.up()
        manager = self.cluster.manager
        eventually(lambda: any("3" in line for line in manager.statuses), "STATUS= tells of three nodes", show=lambda: manager.statuses)
        manager.signal(signal.SIGTERM)
        self.assertEqual(manager.wait(), 0, "SIGTERM is an orderly end")
