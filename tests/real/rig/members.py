"""Managers on a store and agents, with the cluster's own certificates: each is a machine with a state directory and a
configuration of its own, and became a member by the line that a manager printed.

    boss      made the CA                                        agent "near" joined at boss
    second    joined with a manager's token, has no CA, and      agent "far" joined at second
              is a node itself

Their engines are those of the fleet, each behind a unix socket that only its agent uses.
"""

import re
import shutil

from . import cli, fleet, session, swarmd
from .cluster import eventually
from .relay import unix_relay

_LINE = re.compile(r"sudo swarmd join --token (\S+) (\S+)")


class Machine:
    """One machine. `text` is its configuration file before it joins."""

    def __init__(self, name, text):
        self.name = name
        self.home = session.state_dir() / "swarmd" / f"{name}-etc"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.config = self.home / "config.toml"
        self.daemon = swarmd.Swarmd(name, "run", "--config", str(self.config))
        self.config.write_text(f'state-dir = "{self.daemon.state}"\n' + "\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
        self.joined = None

    def join(self, line):
        """With the line that a manager printed: (token, address)."""
        token, address = line
        self.joined = swarmd.run("join", "--no-start", "--state-dir", str(self.daemon.state), "--config", str(self.config), "--token", token, address)
        return self.joined

    def member(self):
        """Its name in the cluster."""
        return re.match(r"Joined the cluster as (?:agent|manager) (\S+)\.\n", self.joined.out).group(1)

    def start(self):
        self.daemon.start()
        return self

    def pki(self, file):
        return self.daemon.state / "pki" / file

    def drop_in(self):
        return (self.home / "config.d/50-joined.toml").read_text()

    def gone(self):
        """Forgets it, whatever state it is in."""
        if self.daemon.alive():
            self.daemon.kill()
        swarmd.forget(self.daemon)
        for path in (self.home, self.daemon.state):
            shutil.rmtree(path, ignore_errors=True)


class Manager(Machine):
    """One that replicates."""

    def __init__(self, name, port, ttl, store="", pki="", agent=""):
        self.address = f"127.0.0.1:{port}"
        self.socket = session.state_dir() / f"{name}.sock"
        super().__init__(name, f"""
            role = "{"both" if agent else "manager"}"
            [log]
            level = "debug"
            [discovery]
            {store and f'url = "{store}"'}
            heartbeat = "1s"
            [manager]
            host = ["unix://{self.socket}", "tcp://{self.address}"]
            advertise = "{self.address}"
            replication = true
            replication-ttl = "{ttl}s"
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            [advertise]
            lan = false
            [pki]
            enabled = true
            {pki}
            {agent}
            """)
        self.root = cli.docker(f"unix://{self.socket}")

    def ask(self, *words):
        """An operator's command on this machine."""
        return swarmd.run(*words, "--config", str(self.config))

    def line(self, *words):
        """The line for the next machine, as `join-token` prints it here: (token, address)."""
        said = self.ask("join-token", *words)
        assert said.code == 0, said
        return _LINE.search(said.out).groups()

    def docker(self, directory):
        """The docker command of who has these files, through this manager."""
        return cli.docker(f"tcp://{self.address}", environment={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)})

    def user(self, name, role):
        """A new user's files, made on this machine."""
        directory = self.home / f"{name}-cert"
        said = self.ask("user", "add", name, "--role", role, "--ttl", "1d", "--out", str(directory))
        assert said.code == 0, said
        return directory

    def info(self):
        return self.root.ok("info", "--format", "{{json .SystemStatus}}").json() or ()

    def rows(self):
        return dict(map(tuple, self.info()))

    def healthy(self):
        """How many engines it sees."""
        return sum(key.endswith("Status") and value == "Healthy" for key, value in self.info())


class Members:
    """All of it; `number` keeps ports and names of several clusters apart. `ttl` is that of the lease, in seconds; `pki` are
    further lines of boss's configuration."""

    def __init__(self, name, number, store, ttl, pki=""):
        self.name, self.parts = name, []
        self.boss = self.add(Manager(f"{name}-boss", 3461 + 5 * number, ttl, f"{store.url}/{name}", pki))
        fronts = [self.front(number, *engine) for engine in enumerate(("pocket", "pi1", "pi2"))]
        self.second = self.add(Manager(f"{name}-second", 3462 + 5 * number, ttl, agent=fronts[2]))
        self.agents = [self.agent("near", fronts[0]), self.agent("far", fronts[1])]

    def add(self, machine):
        self.parts.append(machine)
        return machine

    def front(self, number, place, engine):
        """The lines of an agent before an engine of the fleet."""
        path = str(session.state_dir() / f"{self.name}-{engine}.sock")
        host, _, port = fleet.engine(engine).address.rpartition(":")
        self.parts.append(unix_relay(path, (host, int(port))))
        return f"""
            [agent]
            front = "127.0.0.1:{2391 + 3 * number + place}"
            engine = "unix://{path}"
            """

    def agent(self, name, front):
        return self.add(Machine(f"{self.name}-{name}", f"""
            [log]
            level = "debug"
            [discovery]
            heartbeat = "1s"
            ttl = "5s"
            {front}
            """))

    def up(self):
        """The first leads."""
        self.boss.start()
        eventually(lambda: self.boss.rows()["Role"] == "primary", "the first one leads")
        for machine, line in ((self.second, ("manager",)), *((agent, ("agent",)) for agent in self.agents)):
            asked = self.second if machine is self.agents[1] else self.boss
            machine.join(asked.line(*line))
            assert machine.joined.code == 0, machine.joined
            machine.start()
        return self.settled()

    def settled(self):
        for manager in (self.boss, self.second):
            eventually(lambda manager=manager: manager.healthy() == 3, f"all engines at {manager.name}", 30, manager.rows)
        return self

    def down(self):
        for part in reversed(self.parts):
            part.gone() if isinstance(part, Machine) else part.close()
