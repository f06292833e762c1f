"""One real Docker Engine in a little machine of its own.

Network, UTS, mount and pid namespace are private, so its host name (the node's name), /etc/docker (key.json, hence the
engine's ID), /run, bridges, ports and firewall are its own and never meet another engine's. Only its API socket
is made *outside*, in the session's network, and handed in as an inherited descriptor (`dockerd -H fd://`): the
engine is at 127.0.0.x:2375 for the tests with no proxy between, and when it dies the port is refused at once.

It is *not* a virtual machine: kernel, time and memory are shared.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import fetch, guard, session
from .api import Api, UnixApi

_DEBIAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# Runs as child of the pid namespace's init (tini: dockerd as pid 1 would leave its shims as zombies). $1: directory.
_SETUP = r"""
set -eu
dir=$1; shift
hostname "$NODE"
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run            # sockets and pid files of a crashed engine go with it
mount -t overlay -o "lowerdir=/etc,upperdir=$dir/etc,workdir=$dir/etc-work" overlay /etc
mkdir -p /etc/docker
echo "$NODE" > /etc/hostname
printf '127.0.0.1\tlocalhost %s\n' "$NODE" > /etc/hosts
mount --rbind /sys/fs/cgroup "$dir/cgroup"       # /sys must show this network namespace, with the same cgroups in it
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
if [ "$API_FD" != 3 ]; then exec 3<&"$API_FD" {API_FD}<&-; fi
export LISTEN_FDS=1 LISTEN_PID=$$                # exec keeps the pid
exec dockerd "$@"
"""


class Engine:
    """A dockerd. `version`: "20" (Debian stable's, installed) or "28" (the newest that Debian carries)."""

    def __init__(self, name, host, version, labels=()):
        self.name, self.version, self.labels = name, version, tuple(labels)
        self.address = f"{host}:2375"
        self.api = Api(self.address)
        self.dir = session.state_dir() / "disk" / name
        self.log_path = session.logs_dir() / f"{name}.log"
        self._holder = None  # the `unshare` process
        for part in ("data", "etc", "etc-work", "cgroup"):
            (self.dir / part).mkdir(parents=True, exist_ok=True)

    # -- life ---------------------------------------------------------------------------------------------------

    def spawn(self):
        """Starts the engine without waiting for it."""
        assert not self.alive(), f"{self.name} runs already"
        session.remove_cgroups(session.cgroup_parent(self.name))  # of containers that died with the engine
        environment = {"PATH": _DEBIAN_PATH, "HOME": "/root", "NODE": self.name}
        options = ["-H", "fd://", "--data-root", f"{self.dir}/data", "--storage-driver", "overlay2", "--shutdown-timeout", "3",
                   "--cgroup-parent", session.cgroup_parent(self.name)]
        if self.version == "28":
            root = fetch.newest()[1]
            environment["PATH"] = f"{root}/usr/sbin:{root}/usr/bin:{_DEBIAN_PATH}"
            options += ["--init-path", "/usr/bin/tini-static"]
        for label in self.labels:
            options += ["--label", label]
        listener = self._listen()
        environment["API_FD"] = str(listener.fileno())
        command = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                   "tini", "--", "bash", "-c", _SETUP, "engine", str(self.dir), *options]
        with open(self.log_path, "ab") as log:
            self._holder = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            preexec_fn=guard.die_with_parent, pass_fds=(listener.fileno(),))
        listener.close()  # the engine alone holds it: its death closes the port

    def _listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address.split(":")[0], 2375))
        listener.listen(1024)
        return listener

    def wait_ready(self, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            try:
                if self.api.raw("GET", "/_ping", timeout=5)[0] == 200:
                    return self
            except OSError as problem:
                if not self.alive() or time.monotonic() > deadline:
                    raise RuntimeError(f"engine {self.name} does not start: {problem}\n{self.log_tail()}") from None
                time.sleep(0.05)

    def start(self):
        self.spawn()
        return self.wait_ready()

    def alive(self):
        return self._holder is not None and self._holder.poll() is None

    def kill(self):
        """kill -9 of the whole little machine: engine, containerd, containers. Returns when the port is refused."""
        for init in guard.children(self._holder.pid):
            os.kill(init, signal.SIGKILL)
        self._holder.wait()

    def stop(self):
        """An orderly end, as at shutdown."""
        self._signal_engine(signal.SIGCONT)
        self._signal_engine(signal.SIGTERM)
        self._holder.wait(timeout=60)

    def restart(self, crash=False):
        if self.alive():
            self.kill() if crash else self.stop()
        return self.start()

    def pause(self):
        """The engine hangs: connections are taken, nothing is answered. Containers run on."""
        engine = self._dockerd()
        os.kill(engine, signal.SIGSTOP)
        while not self._stands_still(engine):  # the signal takes a moment to reach every thread
            time.sleep(0.01)

    @staticmethod
    def _stands_still(pid):
        try:
            threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # one ended meanwhile
            return False
        return all(thread.rsplit(")", 1)[1].split()[0] in "Tt" for thread in threads)

    def unpause(self):
        self._signal_engine(signal.SIGCONT)

    def _signal_engine(self, number):
        os.kill(self._dockerd(), number)

    def _dockerd(self):
        (init,) = guard.children(self._holder.pid)
        (engine,) = (pid for pid in guard.children(init) if _program(pid).endswith("/dockerd"))
        return engine

    # -- looking ------------------------------------------------------------------------------------------------

    def run_inside(self, *command):
        """Output of a command in the engine's namespaces, as if typed on that machine."""
        (init,) = guard.children(self._holder.pid)
        command = ["nsenter", "-t", str(init), "-n", "-m", "-u", "-p", "--", *command]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, timeout=60).stdout

    def enter(self):
        """The beginning of a command that runs in the engine's network and otherwise outside of it."""
        (init,) = guard.children(self._holder.pid)
        return ["nsenter", "-t", str(init), "-n", "--"]

    def network(self):
        """The file of the engine's network namespace."""
        (init,) = guard.children(self._holder.pid)
        return f"/proc/{init}/ns/net"

    def log_tail(self, lines=15):
        return _tail(self.log_path, lines)

    def id(self):
        return self.api.get("/info")["ID"]

    # -- objects ------------------------------------------------------------------------------------------------

    def clean(self):
        """Removes every container, network of users, volume, image but busybox:latest, and what builds kept."""
        for container in self.api.containers():
            self._gone("/containers/" + container["Id"], force="1", v="1")
        for network in self.api.get("/networks", filters={"type": ["custom"]}):
            self._gone("/networks/" + network["Id"])
        for volume in self.api.get("/volumes")["Volumes"] or []:
            self._gone("/volumes/" + volume["Name"], force="1")
        for image in self.api.get("/images/json", all="1"):
            tags = [tag for tag in image["RepoTags"] or [] if tag not in ("busybox:latest", "<none>:<none>")]
            for name in tags or ([] if image["RepoTags"] and "busybox:latest" in image["RepoTags"] else [image["Id"]]):
                self._gone("/images/" + name, force="1")
        self.api.post("/build/prune", all="1")

    def _gone(self, path, **query):
        status, _headers, body = self.api.raw("DELETE", path, **query)
        if status >= 400 and status not in (404, 409):
            raise RuntimeError(f"{self.name}: DELETE {path}: {status} {body!r}")


class HiddenEngine(Engine):
    """Listens on a unix socket only, at `path`, as Docker does when it was just installed."""

    def __init__(self, name, version="28"):
        super().__init__(name, "nowhere", version)
        self.path = session.state_dir() / f"{name}.sock"
        self.address = f"unix://{self.path}"
        self.api = UnixApi(self.path)

    def _listen(self):
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(1024)
        return listener


def _program(pid):
    """What a process runs; nothing when it has just ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return ""


def _tail(path, lines):
    try:
        with open(path, errors="replace") as file:
            return "".join(f"    {line}" for line in file.readlines()[-lines:])
    except FileNotFoundError:
        return "    (no log)\n"
