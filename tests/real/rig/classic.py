"""The classic Go program, v1.2.9: started, asked, ended. The project does not carry it; $SWARMD_CLASSIC names it."""

import os
import subprocess
from pathlib import Path

from . import guard, session
from .cli import CommandFailed, Result

HOW = """SWARMD_CLASSIC must name the classic `swarm` program, v1.2.9. To build it (Go with GOPATH mode, Debian's golang-go has it):

    git clone --branch v1.2.9 https://github.com/docker-archive/classicswarm gopath/src/github.com/docker/swarm
    cd gopath/src/github.com/docker/swarm
    GOPATH=$OLDPWD/gopath GO111MODULE=off CGO_ENABLED=0 go build -o /tmp/swarm .

    SWARMD_CLASSIC=/tmp/swarm tests/real/run mixed.py"""


def binary():
    """The program; fails with the way to get one."""
    path = os.environ.get("SWARMD_CLASSIC", "")
    if not (os.path.isabs(path) and os.access(path, os.X_OK)):
        raise CommandFailed(HOW)
    return path


def _environment(extra):
    return {"PATH": "/usr/bin:/bin", "HOME": str(session.state_dir() / "home"), **extra}


def run(*arguments, env=(), timeout=30):
    """Runs it to its end (`list`)."""
    command = [binary(), *arguments]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=_environment(dict(env)), timeout=timeout)
    return Result(command, done.returncode, done.stdout, done.stderr)


class Classic:
    """One process that stays. It tells nobody when it is ready: look at what it does."""

    def __init__(self, name, *arguments, env=()):
        self.arguments, self.env, self.process = arguments, dict(env), None
        self.log_path = Path(session.logs_dir() / f"{name}.log")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([binary(), *self.arguments], env=_environment(self.env), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd="/", preexec_fn=guard.die_with_parent)
        return self

    def kill(self):
        """It knows no other end: with SIGTERM it says no goodbye, either."""
        self.process.kill()
        self.process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace")
