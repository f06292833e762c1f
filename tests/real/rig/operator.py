"""What tests of an operator's commands build on: a manager of its own, and `swarmd` as its client."""

from . import swarmd
from .case import EngineCase
from .cluster import ADDRESS, Cluster

SLEEP = ("busybox", "sleep", "1000")
NAMES = ("pi1", "pi2", "pocket")


class OperatorCase(EngineCase):
    """A manager of its own: what is said about nodes stays in its state directory."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster(cls.__name__.lower())
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up()

    def setUp(self):
        super().setUp()
        self.docker = self.cluster.docker()
        self.cluster.wait_healthy(NAMES)
        self.addCleanup(self.unsay)

    def unsay(self):
        """Takes back all that a test said."""
        for node in self.swarmd("node", "ls", "--json").json():
            if not node["id"]:
                continue
            if node["operator_labels"]:
                self.swarmd("node", "label", node["id"], *[key + "-" for key in node["operator_labels"]])
            self.swarmd("node", "resume", node["id"])

    def swarmd(self, *arguments, code=0, env=()):
        """Runs swarmd as a client of the manager; `-H` stands behind the command, before its words."""
        words = 2 if arguments[0] == "node" else 1
        result = swarmd.run(*arguments[:words], "-H", ADDRESS, *arguments[words:], env=env)
        self.assertEqual(result.code, code, str(result))
        return result

    def run_d(self, name, *options):
        return self.docker.out("run", "-d", "--stop-signal=KILL", "--name", name, *options, *SLEEP)

    def node_of(self, container):
        return self.docker.out("inspect", "-f", "{{.Node.Name}}", container)

    def restart_manager(self):
        self.cluster.manager.stop()
        self.cluster.manager.start()
        self.cluster.wait_healthy(NAMES)
