"""Docker's own clients, each with a home directory and configuration of its own.

    docker("28")    the newest that Debian carries        compose(2)   its plugin, `docker compose`
    docker("20")    Debian stable's /usr/bin/docker       compose(1)   Debian's /usr/bin/docker-compose

(`/usr/local/bin/docker` may be anybody's: it is never used.)
"""

import json
import os
import shlex
import subprocess

from . import fetch, session

DEADLINE = 120  # seconds for a command that should take two


class Result:
    """What a client did: `code`, `out`, `err` (text; `raw` is stdout as bytes) and the command line."""

    def __init__(self, command, code, raw, err):
        self.line = " ".join(shlex.quote(os.path.basename(word) if n == 0 else word) for n, word in enumerate(command))
        self.code, self.raw, self.err = code, raw, err.decode(errors="replace").strip()

    @property
    def out(self):
        return self.raw.decode(errors="replace").strip()

    @property
    def lines(self):
        return self.out.splitlines()

    def json(self):
        return json.loads(self.raw)

    def __str__(self):
        return f"$ {self.line}\n  exit {self.code}\n  stdout: {self.out[-2000:]}\n  stderr: {self.err[-2000:]}"


class CommandFailed(AssertionError):
    """A client that should have succeeded did not."""


class Client:
    """One client program, pointed at one address."""

    def __init__(self, command, environment, address):
        self.command, self.environment, self.address = list(command), environment, address

    def line(self, *arguments):
        return [*self.command, "-H", self.address, *arguments]

    def popen(self, *arguments, **popen):
        """Starts it with pipes for stdin, stdout and stderr unless told otherwise."""
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.environment, **popen}
        return subprocess.Popen(self.line(*arguments), **options)

    def run(self, *arguments, input=None, cwd=None, timeout=DEADLINE):
        """Runs it to the end, whatever its exit code."""
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        command = self.line(*arguments)
        try:
            done = subprocess.run(command, capture_output=True, env=self.environment, cwd=cwd, timeout=timeout, **stdin)
        except subprocess.TimeoutExpired as late:
            raise CommandFailed(f"no end within {timeout} s: {Result(command, None, late.stdout or b'', late.stderr or b'')}") from None
        return Result(command, done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **kwargs):
        """Runs it; anything but exit code 0 fails the test."""
        result = self.run(*arguments, **kwargs)
        if result.code != 0:
            raise CommandFailed(str(result))
        return result

    def out(self, *arguments, **kwargs):
        """Its standard output, stripped; exit code 0 demanded."""
        return self.ok(*arguments, **kwargs).out


def _environment(kind):
    home = session.state_dir() / "home" / kind
    home.mkdir(parents=True, exist_ok=True)
    return home, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "DOCKER_CONFIG": str(home), "LANG": "C.UTF-8", "TERM": "xterm",
                  "DOCKER_CLI_HINTS": "false"}


def docker(address, version="28", environment=()):
    """The docker CLI of `version` ("28", with its plugins, or "20"); `environment` is added to its own."""
    home, base = _environment("docker" + version)
    program = "/usr/bin/docker" if version == "20" else _with_plugins(home)
    return Client([program], {**base, **dict(environment)}, address)


def _with_plugins(home):
    """The newest CLI, whose configuration in `home` names the plugins."""
    if not (home / "config.json").exists():
        (home / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": fetch.plugin_dirs()}))
    return str(fetch.newest()[1] / "usr/bin/docker")


class _Compose2(Client):
    def line(self, *arguments):
        return [*self.command, "-H", self.address, "compose", *arguments]


def compose(address, version, environment=()):
    """Compose 1 (`docker-compose`) or 2 (`docker compose`)."""
    home, base = _environment(f"compose{version}")
    environment = {**base, **dict(environment)}
    if version == 1:
        return Client(["/usr/bin/docker-compose"], environment, address)
    return _Compose2([_with_plugins(home)], environment, address)
