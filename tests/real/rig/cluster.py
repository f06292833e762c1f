"""A whole swarmd cluster on the fleet: one manager, one agent for each engine, short intervals."""

import time

from . import cli, fleet, session, swarmd
from .api import Api

ADDRESS = "127.0.0.1:3376"
TEMPO = ("--heartbeat=1s",)
ENGINE_TEMPO = ("--engine-refresh-min-interval=1s", "--engine-refresh-max-interval=2s", "--engine-failure-retry=2")


def new_token():
    """A token from `swarmd create`."""
    return swarmd.run("create").out


class Cluster:
    """Started by `up` (classic command line) or `up_from_toml`."""

    def __init__(self, name="manager", ttl="5s", address=ADDRESS):
        self.name, self.ttl, self.address, self.token = name, ttl, address, None
        self.manager, self.agents = None, []
        self.api = Api(address)

    def up(self, engines=None, manage=(), discovery=None):
        """`swarmd manage` and, unless another discovery is given, one `swarmd join` for each engine."""
        self.token = new_token()
        where = discovery or f"token://{self.token}"
        self.manager = swarmd.Swarmd(self.name, "--debug", "manage", where, f"--host={self.address}", f"--advertise={self.address}", *TEMPO,
                                     *ENGINE_TEMPO, *manage).start()
        engines = fleet.engines() if engines is None else engines
        if discovery is None:
            self.agents = [self.agent(one.name, one.address) for one in engines]
        return self.wait_healthy([one.name for one in engines])

    def agent(self, name, address):
        """A running agent that registers `address`."""
        return swarmd.Swarmd(f"agent-{name}", "--debug", "join", f"--addr={address}", *TEMPO, f"--ttl={self.ttl}",
                             f"token://{self.address}/{self.token}").start()

    def up_from_toml(self):
        """The same cluster, from configuration files."""
        self.token = new_token()
        self._manager_from_toml(f"token://{self.token}")
        for one in fleet.engines():
            self.agents.append(self._from_toml(f"agent-{one.name}", f"""
                role = "agent"
                [discovery]
                url = "token://{self.address}/{self.token}"
                heartbeat = "1s"
                ttl = "{self.ttl}"
                [agent]
                advertise = "{one.address}"
                """))
        return self.wait_healthy([one.name for one in fleet.engines()])

    def up_on(self, engines, *settings):
        """A manager alone, on listed engines, with further settings (lines of its section)."""
        self._manager_from_toml("nodes://" + ",".join(one.address for one in engines), *settings)
        return self.wait_healthy([one.name for one in engines])

    def _manager_from_toml(self, discovery, *settings):
        self.manager = self._from_toml(self.name, "\n".join([f"""
            role = "manager"
            [log]
            level = "debug"
            [discovery]
            url = "{discovery}"
            heartbeat = "1s"
            [manager]
            host = ["tcp://{self.address}"]
            advertise = "{self.address}"
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            engine-failure-retry = 2
            """, *settings]))

    def _from_toml(self, name, text):
        path = write_config(name, text)
        return swarmd.Swarmd(name, "run", "--config", str(path)).start()

    def down(self):
        for one in [*self.agents, self.manager]:
            if one is not None:
                one.stop()
                swarmd.forget(one)
        self.manager, self.agents = None, []

    # -- looking ------------------------------------------------------------------------------------------------

    def docker(self, version="28", environment=()):
        return cli.docker(self.address, version, environment)

    def compose(self, version, environment=()):
        return cli.compose(self.address, version, environment)

    def rows(self):
        """The rows of `docker info` as (key, value) pairs, in order, keys as sent."""
        return [tuple(pair) for pair in self.api.get("/info")["SystemStatus"] or []]

    def nodes(self):
        """{node name: {"Status": ..., "Error": ..., "addr": ...}} as `docker info` has it."""
        nodes, current = {}, None
        for key, value in self.rows():
            if key.startswith("  └ "):
                current[key[4:]] = value
            elif key.startswith(" "):
                current = nodes[key[1:]] = {"addr": value}
        return nodes

    def wait_healthy(self, names, timeout=30):
        names = sorted(names)

        def check():
            nodes = self.nodes()
            return sorted(nodes) == names and all(node["Status"] == "Healthy" for node in nodes.values())

        eventually(check, f"nodes {names} all Healthy", timeout, self.nodes)
        return self


def write_config(name, text):
    """A configuration file; indentation of the text is stripped."""
    path = session.state_dir() / "swarmd" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return path


def eventually(check, what, timeout=20, show=None):
    """Waits until `check()` is true (an exception counts as false); returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        problem = None
        try:
            value = check()
            if value:
                return value
        except Exception as caught:  # noqa: the last one is reported
            problem = caught
        if time.monotonic() > deadline:
            state = ""
            if show is not None:
                try:
                    state = f"\nlast seen: {show()!r}"
                except Exception as caught:
                    state = f"\nlast seen: {caught!r}"
            raise AssertionError(f"not within {timeout} s: {what}" + (f" ({problem!r})" if problem else "") + state)
        time.sleep(0.05)
