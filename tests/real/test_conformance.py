"""A cluster behaves like an engine: the command lines in `conformance/`, on a bare engine and through swarmd.

Over one engine all output is equal, over three the exit code, too, and the output up to what is said here and in the
tables. With both clients and both engines.
"""

import re
from concurrent.futures import ThreadPoolExecutor

from rig import cli, fleet, session, swarmd, transcript
from rig.case import EngineCase, needs_cluster
from rig.cluster import Cluster, eventually

# What swarmd says where an engine says something else, wherever it occurs: (swarmd's, the engine's, why).
MEANT = (
    (r'"com\.docker\.swarm\.(id|network\.driver)": ?"[^"]*",?\s*', "", "swarmd's labels: its ID of a container, a network of no driver"),
    (r", ?com\.docker\.swarm\.(id|network\.driver)=[^,\s\"]*", "", "the same in tables, whose order is the client's whim: behind others"),
    (r"com\.docker\.swarm\.(id|network\.driver)=[^,\s\"]*(, ?)?", "", "and before them"),
    (r',\s*"Node": ?\{[^{}]*\{[^{}]*\}[^{}]*\}', "", "the node of a container"),
    (r"\b127\.0\.0\.1[123]:(\d+)-(>|\\u003e)(\d+/\w+)", r"0.0.0.0:\1-\2\3, [::]:\1-\2\3", "a port is published at the address of its node, told once"),
    (r'\{(\s*)"HostIp":( ?)"127\.0\.0\.1[123]",(\s*)"HostPort": ?"(\d+)"(\s*)\}',
     r'{\1"HostIp":\2"0.0.0.0",\3"HostPort":\2"\4"\5},\5{\1"HostIp":\2"::",\3"HostPort":\2"\4"\5}', "the same in inspect"),
    (r'"node\.(addr|id|ip|name)":"[^"]*",?|node\.(addr|id|ip|name)=[^,)]*(, )?', "", "the node of an event"),
    (r" node:(pocket|pi1|pi2)", "", "the same in the old place"),
    (r"(?<![/\w-])(pocket|pi1|pi2)/", "", "what is on one node only is listed with the name of the node"),
)

# What old engines say where swarmd says it in the newest engine's words: (the old, the new).
OLD_WORDS = (
    (r"Invalid filter", "invalid filter"),
    (r"no such image: \S+ (No such image)", r"\1"),
    (r"no such container (\w+)", r"No such container: \1"),
    (r"daemon: (strconv.Atoi: parsing \"(\w+)\")", r"daemon: invalid filter 'exited=\2': \1"),
    (r"invalid filter 'status=(\w+)'$", r"invalid filter 'status=\1': invalid value for state (\1): must be one of created, running, "
     "paused, restarting, removing, exited, dead"),
    (r"Unrecognised filter value for health: (\w+)", r"invalid filter 'health=\1': invalid value for health (\1): must be one of none, "
     "starting, healthy, unhealthy"),
    (r", :::(\d+-)", r", [::]:\1"),  # Debian stable's client writes addresses so
    (r"Minimum supported API version is 1.12", "Minimum supported API version is 1.24"),
)


# What three engines say where one says something else: (the text, what is compared, why).
OF_SEVERAL = (
    (r"(?m)^(.*: )?(pocket|pi1|pi2): ", r"\1", "a node's line begins with its name"),
    (r"(?m)^(Loading Image|Pulling \S+)\.\.\.( : .*)?\n?", "", "each node tells when it begins and ends"),
    (r"\n\((volume )?removed on [\w, ]+\)", "", "where it went well, when it did not everywhere"),
    (r"/disk/(pocket|pi1|pi2)/", "/disk/NODE/", "where it ran"),
)


def reworded(text, rules):
    for pattern, replacement, *_why in rules:
        text = re.sub(pattern, replacement, text)
    return text


def as_engine(text):
    """swarmd's text without the differences that are meant."""
    return reworded(text, MEANT)


def as_new(text):
    """An engine's text in the newest engine's words."""
    return reworded(text, OLD_WORDS)


def as_several(text):
    """A text without what tells that several engines speak: what they say alike counts once."""
    lines = []
    for line in reworded(text, OF_SEVERAL).split("\n"):
        if not any(said == line or said.endswith(f": {line}") for said in lines):
            lines.append(line)
    return "\n".join(lines)


def alike(meant, wanted, have):
    """Whether an answer is one of those that are wanted, or what is meant instead."""
    return bool(re.fullmatch(meant, have.whole(), re.S)) if meant else have in wanted


class Side:
    """The cases, on an engine and through a manager over some engines."""

    def __init__(self, engines, client, *settings):
        self.engines, self.client = engines, client
        name = "-".join(one.name for one in engines)
        self.cluster = Cluster(f"manager-{name}", address=engines[0].address.replace("2375", "3376"))
        self.cluster.up_on(engines, *settings)
        self.scratch = session.state_dir() / "disk" / f"scratch-{name}"

    def clean(self):
        for one in self.engines:
            fleet.clean(one)
        count = len(self.engines)
        eventually(lambda: self.seen() == (0, 3 * count, 0, count), "the manager sees that its engines are clean", show=self.seen)

    def seen(self):
        """How many containers, networks, volumes and images the manager sees."""
        api = self.cluster.api
        return len(api.containers()), len(api.get("/networks")), len(api.get("/volumes")["Volumes"]), api.get("/info")["Images"]

    def direct(self, case, engine, version=None):
        """The answers of an engine, maybe as it speaks to older clients."""
        docker = cli.docker(engine.address, self.client)
        if version:
            docker.environment["DOCKER_API_VERSION"] = version
        return self.run(case, docker, as_new)

    def through(self, case):
        """The answers of swarmd."""
        return self.run(case, self.cluster.docker(self.client), lambda text: as_new(as_engine(text)))

    def run(self, case, docker, clean):
        several = as_several if len(self.engines) > 1 else str
        answers = transcript.run(case, docker, self.scratch, lambda text: several(clean(text)))
        self.clean()
        return answers


class Comparison(EngineCase):
    side = None  # which of the meant differences are looked up

    def compare(self, case, wanted, have):
        """`wanted`: for each line the answers that are right."""
        wrong = [f"$ {line.text}\n engine\n{want[0]} swarmd\n{one}" for line, want, one in zip(case.lines, wanted, have)
                 if not alike(line.meant.get(self.side), want, one)]
        if wrong:
            self.fail("\n" + "\n".join(wrong))


@needs_cluster
class OneEngine(Comparison):
    side = "one"

    def run_all(self, client):
        sides = [Side([fleet.engine(name)], client, "node-prefix = false") for name in ("pi1", "pi2")]
        for side in sides:
            self.addCleanup(side.cluster.down)
            swarmd.forget(side.cluster.manager)  # its last lines say nothing of a case that is long over
        cases = transcript.every_case()
        with ThreadPoolExecutor(len(sides)) as pool:
            runs = [pool.submit(lambda side=side: [(side.direct(case, side.engines[0]), side.through(case)) for case in cases]) for side in sides]
            for side, run in zip(sides, runs):
                for case, (direct, through) in zip(cases, run.result()):
                    with self.subTest(case.title, engine=side.engines[0].version, client=client):
                        self.compare(case, [[answer] for answer in direct], through)

    def test_newest_client(self):
        self.run_all("28")

    def test_stable_client(self):
        self.run_all("20")


@needs_cluster
class ThreeEngines(Comparison):
    """The newest engine twice and Debian stable's, as one: each line is answered as one of them would."""
    side = "three"

    def test_newest_client(self):
        side = Side(fleet.engines(), "28")
        self.addCleanup(side.cluster.down)
        swarmd.forget(side.cluster.manager)
        version = side.cluster.api.get("/version")["ApiVersion"]
        newest, _, stable = side.engines
        for case in transcript.every_case():
            with self.subTest(case.title):
                wanted = zip(side.direct(case, newest, version), side.direct(case, stable))
                self.compare(case, list(wanted), side.through(case))
