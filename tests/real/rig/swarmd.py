"""The program under test: started, asked, stopped, killed and started again as a supervisor would.

The binary is `$SWARMD_BIN`, else cargo's debug build. Each process gets a state directory (STATE_DIRECTORY, as systemd
names it) and a notification socket; readiness is what it says there, never a guess.
"""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import guard, session
from .cli import CommandFailed, Result
from .engine import _tail

ROOT = Path(__file__).resolve().parents[3]
WATCHDOG = 10  # seconds, as systemd has it in $WATCHDOG_USEC; nobody is killed
_started = []  # of the running test, for the report


def binary():
    target = os.environ.get("CARGO_TARGET_DIR") or ROOT / "target"
    return os.environ.get("SWARMD_BIN") or str(Path(target).absolute() / "debug" / "swarmd")


def _environment(extra=()):
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(session.state_dir() / "home"), "RUST_BACKTRACE": "1", **dict(extra)}


def run(*arguments, timeout=30, env=(), within=(), typed=""):
    """Runs swarmd to its end (`create`, `list`, `check`, or something that must fail); returns a `Result`. `within` is
    put before the command, to run it elsewhere (see `lan`); `typed` is on its standard input."""
    command = [*within, binary(), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, input=typed.encode(), env=_environment(env), timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"no end within {timeout} s: {Result(command, None, late.stdout or b'', late.stderr or b'')}") from None
    return Result(command, done.returncode, done.stdout, done.stderr)


class Swarmd:
    """One swarmd process that stays. `name` names its log and its state directory, which survive a restart."""

    def __init__(self, name, *arguments, env=(), within=()):
        self.name, self.arguments, self.env, self.within = name, arguments, dict(env), within
        self.process, self.ready, self.statuses, self.fed = None, threading.Event(), [], 0
        self.log_path = session.logs_dir() / f"{name}.log"
        self.state = session.state_dir() / "swarmd" / name
        self.state.mkdir(parents=True, exist_ok=True)
        _started.append(self)

    def spawn(self):
        """Starts it without waiting."""
        self.ready.clear()
        directory = tempfile.mkdtemp(prefix="n", dir=session.state_dir())
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(f"{directory}/notify")
        environment = _environment({"NOTIFY_SOCKET": f"{directory}/notify", "WATCHDOG_USEC": str(WATCHDOG * 10**6),
                                    "STATE_DIRECTORY": str(self.state), **self.env})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.within, binary(), *self.arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd="/", preexec_fn=guard.die_with_parent)
        threading.Thread(target=self._listen, args=(listener, self.process), daemon=True).start()
        return self

    def _listen(self, listener, process):
        """Keeps what the process notifies, until it is gone."""
        listener.settimeout(0.5)
        while process.poll() is None:
            try:
                message = listener.recv(65536).decode(errors="replace")
            except TimeoutError:
                continue
            for line in message.splitlines():
                if line.startswith("STATUS="):
                    self.statuses.append(line[len("STATUS="):])
                elif line == "READY=1":
                    self.ready.set()
                elif line == "WATCHDOG=1":
                    self.fed += 1
        listener.close()

    def start(self, timeout=30):
        """Starts it and waits for READY=1."""
        self.spawn()
        deadline = time.monotonic() + timeout
        while not self.ready.wait(0.05):
            code = self.process.poll()
            if code is not None:
                raise CommandFailed(f"{self} ended with {code} before it was ready\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise CommandFailed(f"{self} did not say READY=1 within {timeout} s\n{self.log_tail()}")
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=20):
        """SIGTERM; returns the exit code. Fails when it does not end."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CommandFailed(f"{self} did not end within {timeout} s of SIGTERM\n{self.log_tail()}") from None

    def wait(self, timeout=30):
        """Its exit code, when it ends by itself."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{self} still runs after {timeout} s\n{self.log_tail()}") from None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines=40):
        return _tail(self.log_path, lines)

    def __str__(self):
        return f"swarmd {' '.join(self.arguments)}"


def running():
    """Those started since `forget`, for the report of a failed test."""
    return list(_started)


def forget(one):
    """It is no longer of interest to reports."""
    if one in _started:
        _started.remove(one)
