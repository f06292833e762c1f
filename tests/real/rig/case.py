"""What every test class here builds on: clean engines before each test, and one cluster for each class.

With SWARMD_TESTS_DIRECT=1 the "cluster" is the bare engine `pocket`: a test of the tests. What only a cluster can do is
not asserted then (`DIRECT`), all else must hold on an engine as well as through the manager.
"""

import os
import unittest

from . import cli, fleet
from .api import Api
from .cluster import Cluster

DIRECT = bool(os.environ.get("SWARMD_TESTS_DIRECT"))
needs_cluster = unittest.skipIf(DIRECT, "needs a cluster")


class _BareEngine:
    """Looks like a Cluster, is one engine."""

    def __init__(self):
        self.api = Api(fleet.engine("pocket").address)

    def up(self, **_ignored):
        return self

    def down(self):
        pass

    def docker(self, version="28", environment=()):
        return cli.docker(self.api.address, version, environment)

    def compose(self, version, environment=()):
        return cli.compose(self.api.address, version, environment)

    def wait_healthy(self, _names):
        return self


class EngineCase(unittest.TestCase):
    """Tests on the engines; afterwards they run, answer and are empty again."""

    maxDiff = 4000

    def setUp(self):
        self.addCleanup(fleet.repair)


class ClusterCase(EngineCase):
    """Tests through one manager with three agents, shared by the class."""

    cluster = None
    manage = ()  # further flags of the manager

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = _BareEngine() if DIRECT else Cluster()
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up(manage=cls.manage)

    def setUp(self):
        super().setUp()
        self.docker = self.cluster.docker()
        self.direct = fleet.engine("pocket")
        self.cluster.wait_healthy([one.name for one in fleet.engines()])

    def node_of(self, container):
        """Name of the node that a container is on."""
        return "pocket" if DIRECT else self.docker.out("inspect", "-f", "{{.Node.Name}}", container)

    def listed(self, name):
        """How `docker ps` names the container `name`."""
        return name if DIRECT else f"{self.node_of(name)}/{name}"

    def fails(self, *arguments, client=None):
        """Runs a docker command that must fail; returns its error text."""
        result = (client or self.docker).run(*arguments)
        self.assertNotEqual(result.code, 0, f"should have failed:\n{result}")
        return result.err
