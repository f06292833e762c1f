"""A little Debian machine with a real systemd as its first process, for tests of the package and its units.

It is a `systemd-nspawn` container over an overlay: what a test installs in it is gone with it. It is entered with
`nsenter`, since no machined and no message bus run outside. Two kinds:

* `Host(NAME)` shares the session's network, so it reaches the real engines and the tests reach its port 3376.
* `Host(NAME, LAN, NUMBER)` is a machine of a LAN (`lan.Lan`), with Docker Engine as Debian installs it.

`root()` makes the tree of either with debootstrap, once. `deb()` and `rpm()` pack the binary under test, with the project's own
packaging data.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import fetch, guard, session, swarmd
from .cli import CommandFailed, Result

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT = 60  # seconds; it takes one or two
_POWEROFF = signal.SIGRTMIN + 4  # to systemd: poweroff


_BASE = ("systemd", "systemd-sysv", "dbus")
_WITH_DOCKER = (*_BASE, "docker.io", "iptables", "iproute2", "sudo")


def root(docker=False):
    """The tree of a minimal Debian of this machine's release with systemd, and with Docker if so wished. Made once."""
    release = fetch.release()
    tree = fetch.cache_dir() / (f"root-docker-{release}" if docker else f"root-{release}")
    if not tree.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=".root-", dir=fetch.cache_dir()))
        try:
            packages = ",".join(_WITH_DOCKER if docker else _BASE)
            _run("debootstrap", "--variant=minbase", f"--include={packages}", release, str(partial), fetch.mirror())
            partial.chmod(0o755)
            partial.rename(tree)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return tree


def tool(kind):
    """A packing tool, "deb" or "rpm". Built once."""
    name = {"deb": "cargo-deb", "rpm": "cargo-generate-rpm"}[kind]
    return os.path.join(_run(str(swarmd.ROOT / "packaging" / "tools"), kind).splitlines()[-1], name)


def _files():
    """A target directory with what goes into a package."""
    target = session.state_dir() / "packages"
    (target / "release").mkdir(parents=True, exist_ok=True)
    _run("strip", "-o", str(target / "release" / "swarmd"), swarmd.binary())
    _run(str(swarmd.ROOT / "packaging" / "texts"), swarmd.binary(), str(target / "release" / "made"))
    return target


def deb(version):
    """A .deb of the binary under test, as version `version`."""
    target = _files()
    made = target / f"swarmd_{version}_amd64.deb"
    _run(tool("deb"), "deb", "--no-build", "--no-strip", "--fast", "--deb-version", version, "-o", str(made),
         cwd=swarmd.ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_NET_OFFLINE": "true"})
    return made


def rpm(version):
    """The same as .rpm."""
    target = _files()
    made = target / f"swarmd-{version}-1.x86_64.rpm"
    _run(tool("rpm"), "generate-rpm", "--auto-req", "disabled", "--payload-compress", "none", "--set-metadata", f'version = "{version}"',
         "--target-dir", str(target), "-o", str(made), cwd=swarmd.ROOT)
    return made


def _run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


# As a router would have given it.
_NETWORK = """[Match]
Name=host0
[Network]
Address={address}/24
Gateway={gateway}
LinkLocalAddressing=no
"""

# A container sees the controllers of this kernel read-only; Docker in it has to write there. Not in a drop-in of
# docker.service: that is to be as installed.
_CGROUPS = """[Unit]
Before=docker.service containerd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for c in /sys/fs/cgroup/*; do if mountpoint -q $c; then mount -o remount,bind,rw $c; fi; done'
"""


class Host:
    """One machine."""

    def __init__(self, name, lan=None, number=None):
        """With a LAN: its address there is PREFIX.number, and it has Docker."""
        self.name, self.lan = name, lan
        self.address = f"{lan.prefix}.{number}" if lan else None
        # Of its own: another test file may have a machine of the same name.
        self.dir = Path(tempfile.mkdtemp(prefix=f"host-{name}-", dir=session.state_dir() / "disk"))
        self.tree = self.dir / "root"
        self.log_path = session.logs_dir() / f"host-{name}.log"
        self._nspawn, self._init = None, None

    def boot(self):
        """Ends when systemd says that it is running."""
        return self.switch_on().wait_running()

    def switch_on(self):
        """Does not wait. To be called by a thread that stays: the machine ends with it."""
        for part in ("up", "work", "root"):
            (self.dir / part).mkdir(parents=True)
        layers = f"lowerdir={root(docker=bool(self.lan))},upperdir={self.dir}/up,workdir={self.dir}/work"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.tree))
        (self.tree / "etc/hostname").write_text(f"{self.name}\n")
        command = ["systemd-nspawn", "-q", "-D", str(self.tree), "-M", self.name, "--register=no", "--keep-unit",
                   "--notify-ready=no", "--console=pipe", "--resolv-conf=off", *self._on_the_lan(), "-b"]
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"} if self.lan else None
        with open(self.log_path, "ab") as log:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                            preexec_fn=self._prepare)
        return self

    def wait_running(self):
        self._init = self._wait(self._find_init, "its systemd")
        self._wait(self._answers, "an answer of systemd")
        self.ok("systemctl", "is-system-running", "--wait")
        return self

    def _on_the_lan(self):
        """What a machine of its own and Docker want; further options of systemd-nspawn."""
        if self.lan is None:
            return ()
        (self.dir / "docker").mkdir()
        self.path("/etc/resolv.conf").write_text("")
        self.path("/etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        self.path("/etc/systemd/network/10-lan.network").write_text(_NETWORK.format(address=self.address, gateway=f"{self.lan.prefix}.254"))
        self.path("/etc/systemd/system/cgroups.service").write_text(_CGROUPS)
        wanted = self.path("/etc/systemd/system/multi-user.target.wants")
        wanted.mkdir(parents=True, exist_ok=True)
        for unit in ("/etc/systemd/system/cgroups.service", "/lib/systemd/system/systemd-networkd.service"):
            (wanted / Path(unit).name).symlink_to(unit)
        # Docker's store is no overlay itself; runc joins session keyrings.
        return (f"--network-bridge={self.lan.bridge}", "--capability=all", "--system-call-filter=add_key keyctl bpf",
                f"--bind={self.dir}/docker:/var/lib/docker")

    def _prepare(self):
        """A cgroup of its own in each hierarchy: with --keep-unit all machines would else share one."""
        guard.die_with_parent()
        # Docker's containers are below it in all of them, and go with it.
        for group in session.make_cgroups(session.cgroup_parent(f"host-{self.name}"), memory=bool(self.lan)):
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _wait(self, look, what):
        deadline = time.monotonic() + _BOOT
        while True:
            found = look()
            if found:
                return found
            if self._nspawn.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"host {self.name} does not boot: no {what}\n{self.log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def _find_init(self):
        for pid in guard.descendants(self._nspawn.pid):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return pid
        return None

    def _answers(self):
        return self.run("test", "-S", "/run/systemd/private").code == 0

    def down(self):
        """Powers it off and forgets its disk. One with Docker has its plug pulled: an orderly end takes a while."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            if self._init is None:  # it never got so far
                self._nspawn.kill()
            else:
                os.kill(self._init, signal.SIGKILL if self.lan else _POWEROFF)
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                os.kill(self._init, signal.SIGKILL)
                self._nspawn.wait(20)
        subprocess.run(["umount", "-l", str(self.tree)], check=False, stderr=subprocess.DEVNULL)
        session.remove_cgroups(session.cgroup_parent(f"host-{self.name}"))
        shutil.rmtree(self.dir, ignore_errors=True)

    def line(self, *command):
        """How to run a command inside."""
        return ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "env", "-i", f"PATH={_PATH}", "HOME=/root",
                "TERM=dumb", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *command]

    def run(self, *command, timeout=60):
        """Runs a command inside to its end."""
        try:
            done = subprocess.run(self.line(*command), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise CommandFailed(f"no end within {timeout} s: {Result(command, None, late.stdout or b'', late.stderr or b'')}") from None
        return Result(command, done.returncode, done.stdout, done.stderr)

    def ok(self, *command, timeout=60):
        """Runs a command that must succeed; returns what it printed."""
        result = self.run(*command, timeout=timeout)
        if result.code != 0:
            raise CommandFailed(f"on {self.name}: {result}")
        return result.out

    def unit(self, prop, unit="swarmd.service"):
        """A property of a unit."""
        return self.ok("systemctl", "show", "--value", "-p", prop, unit)

    def path(self, absolute):
        """A file of the machine, seen from outside."""
        return self.tree / str(absolute).lstrip("/")

    def put(self, file, absolute):
        shutil.copy(file, self.path(absolute))
        return absolute

    def borrow(self, program):
        """Lends the machine a program of ours, with the libraries that it has not: both are of one release."""
        for file in [program, *re.findall(r"=> (/\S+)", _run("ldd", program))]:
            if not self.path(file).exists():
                self.path(file).parent.mkdir(parents=True, exist_ok=True)
                self.put(file, file)


if __name__ == "__main__":
    print(f"a Debian with systemd: {root()}")
    print(f"the same with Docker: {root(docker=True)}")
    print(f"packing tools: {tool('deb')}, {tool('rpm')}")
