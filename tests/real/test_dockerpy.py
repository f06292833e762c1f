"""docker-py, the newest: what the script `dockerpy.py` sees is the same on an engine and through swarmd."""

import re
import subprocess
from pathlib import Path

from rig import fetch, fleet, transcript
from rig.case import EngineCase, needs_cluster
from rig.cluster import Cluster
from test_conformance import as_engine, as_new

SCRIPT = Path(__file__).resolve().parent / "dockerpy.py"


# What swarmd says where the engine says something else: (look, with how many engines at least, what swarmd says, why).
MEANT = (
    ("system / info", 3, r'\[0, 3, "linux", "x86_64", "inactive"\]', "images are the sum of the nodes, as ever"),
    ("system / version", 3, r'\["1.41", .*', "what all three understand"),
    ("system / df", 3, r'\[\["BuildCache", "BuilderSize", .*', "with what the old engine tells"),
    ("containers / run without image", 3, r'\["ImageNotFound", 404, .*', "a pull by several begins before the first one fails"),
    ("images / pull from nowhere", 3, r'\["ImageNotFound", 404, .*', "the same"),
    ("past_events / volume events", 3, r'(?:.*"create".*){3}(?:.*"destroy".*){3}', "volumes are made on every node"),
    ("prune / volumes", 3, r'\["data"(, "unused"){3}\]', "the same"),
)


def looks(address, version, clean):
    """{look: what the script sees}, normalised."""
    command = [str(fetch.docker_py()), str(SCRIPT), f"tcp://{address}", version]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    names = transcript.Names()
    return dict(names.normal(clean(line)).split(": ", 1) for line in done.stdout.splitlines())


@needs_cluster
class DockerPy(EngineCase):
    def compare(self, reference, engines):
        cluster = Cluster().up_on(engines, "node-prefix = false")
        self.addCleanup(cluster.down)
        # Of three engines the oldest decides what can be said: the reference is spoken to alike.
        version = cluster.api.get("/version")["ApiVersion"]
        direct = looks(reference.address, version, as_new)
        fleet.clean(reference)
        self.assertGreater(len(direct), 100)
        through = looks(cluster.address, version, as_engine)
        wrong = [f"{look}\n engine {direct.get(look)}\n swarmd {through.get(look)}" for look in {**direct, **through}
                 if direct.get(look) != through.get(look) and not self.meant(look, through.get(look), len(engines))]
        if wrong:
            self.fail("\n" + "\n".join(wrong))

    @staticmethod
    def meant(look, text, engines):
        return any(look == name and engines >= least and re.fullmatch(pattern, text or "") for name, least, pattern, _why in MEANT)

    def test_newest_engine(self):
        self.compare(fleet.engine("pocket"), [fleet.engine("pocket")])

    def test_stable_engine(self):
        self.compare(fleet.engine("pi2"), [fleet.engine("pi2")])

    def test_three_engines(self):
        self.compare(fleet.engine("pocket"), fleet.engines())
