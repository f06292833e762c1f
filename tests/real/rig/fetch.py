"""Programs that the tests run but do not install: the newest Docker that Debian carries, its builder client buildx, a
static busybox, and docker-py.

The packages are downloaded with a private apt root (own lists, own empty dpkg status, one suite of the machine's
own mirror) and unpacked with `dpkg -x` into `${XDG_CACHE_HOME:-$HOME/.cache}/swarmd-tests`. The system stays as it
is. docker-py comes from the Python package index into a virtual environment beside them. Debian's stable Docker ("20")
is *not* fetched here: it is installed, as the system's own.

Run as a program it fills the cache and says what it has.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITES = ("sid", "trixie")  # newest first; the next older one is used when a suite cannot be had
DOCKER_PY = "docker>=7,<8"
ENGINE_PACKAGES = ("docker.io", "docker-cli", "docker-compose", "containerd")


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "swarmd-tests"


def newest():
    """(suite, directory) of the unpacked newest engine, or (None, None) when nothing was fetched."""
    for suite in SUITES:
        root = cache_dir() / f"engine-{suite}"
        if root.is_dir():
            return suite, root
    return None, None


def buildx():
    """The root of the unpacked buildx."""
    return cache_dir() / f"buildx-{newest()[0]}"


def plugin_dirs():
    """Where the newest CLI finds its plugins, compose and buildx."""
    return [f"{root}/usr/libexec/docker/cli-plugins" for root in (newest()[1], buildx())]


def busybox():
    """The static busybox."""
    return cache_dir() / "busybox" / "bin" / "busybox"


def docker_py():
    """A Python that has docker-py."""
    return cache_dir() / "docker-py" / "bin" / "python"


def _capture(*command, **kwargs):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs).stdout


def release():
    """Code name of the machine's own Debian."""
    return next(line.split("=")[1].strip().strip('"') for line in open("/etc/os-release") if line.startswith("VERSION_CODENAME="))


def mirror():
    """URI of the machine's own archive of its own release (it is never written down here)."""
    codename = release()
    for line in _capture("apt-get", "indextargets", "--format", "$(REPO_URI)|$(CODENAME)|$(COMPONENT)", "Created-By: Packages").split():
        uri, name, component = line.split("|")
        if name == codename and component == "main":
            return uri
    raise RuntimeError(f"apt knows no archive of {codename} (has `apt-get update` ever run?)")


class _PrivateApt:
    """apt with lists of its own for one suite; proxies and other transport settings stay the machine's."""

    def __init__(self, root, suite, uri):
        self.root = Path(root)
        for part in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        signed = f"[signed-by={keyring}] " if os.path.exists(keyring) else ""
        (self.root / "etc/sources.list").write_text(f"deb {signed}{uri} {suite} main\n")
        settings = {
            "Dir::State": f"{root}/state", "Dir::State::status": f"{root}/status", "Dir::Cache": f"{root}/cache",
            "Dir::Etc::sourcelist": f"{root}/etc/sources.list", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": f"{root}/etc/preferences.d", "Dir::Etc::preferences": "/dev/null",
            "APT::Sandbox::User": "root", "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",  # a mirror's snapshot of sid may be older than its lists allow
            "Acquire::Retries": "2", "Acquire::http::Timeout": "30",
        }
        self.options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def get(self, *arguments, cwd=None):
        return _capture("apt-get", "-qq", *self.options, *arguments, cwd=cwd)


def _unpack(debs, target):
    """Unpacks all .deb files under `debs` into `target`, which appears complete or not at all."""
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for deb in sorted(Path(debs).glob("*.deb")):
            _capture("dpkg", "-x", str(deb), str(partial))
        partial.chmod(0o755)
        # The newer suites' runc needs a newer libc than this machine's: the installed one is used.
        for runc in ("usr/sbin/runc", "usr/bin/runc"):
            (partial / runc).unlink(missing_ok=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch_engine(say):
    problems = []
    for suite in SUITES:
        target = cache_dir() / f"engine-{suite}"
        with tempfile.TemporaryDirectory(prefix="swarmd-apt-") as root:
            try:
                apt = _PrivateApt(root, suite, mirror())
                say(f"fetching Docker of Debian {suite}")
                apt.get("update")
                apt.get("download", *(f"{package}/{suite}" for package in ENGINE_PACKAGES), cwd=root)
                _unpack(root, target)
                # Proof that its programs start with this machine's libraries.
                _capture(str(target / "usr/sbin/dockerd"), "--version")
                _capture(str(target / "usr/bin/docker"), "--version")
                return
            except (subprocess.CalledProcessError, RuntimeError, OSError) as problem:
                text = (getattr(problem, "output", None) or str(problem)).strip().splitlines()
                problems.append(f"{suite}: {text[-1] if text else problem!r}")
                shutil.rmtree(target, ignore_errors=True)
                say(f"Docker of Debian {problems[-1]}")
    raise RuntimeError("no newer Docker could be had: " + "; ".join(problems))


def _fetch_buildx(say):
    """Of the same suite as the engine."""
    suite = newest()[0]
    say(f"fetching buildx of Debian {suite}")
    with tempfile.TemporaryDirectory(prefix="swarmd-apt-") as root:
        apt = _PrivateApt(root, suite, mirror())
        apt.get("update")
        apt.get("download", f"docker-buildx/{suite}", cwd=root)
        _unpack(root, buildx())


def _fetch_busybox(say):
    say("fetching a static busybox")
    target = cache_dir() / "busybox"
    with tempfile.TemporaryDirectory(prefix="swarmd-apt-") as root:
        download = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static")
        try:
            _capture(*download, cwd=root)
        except subprocess.CalledProcessError:  # no lists yet, or lists that are too old
            _capture("apt-get", "-qq", "update")
            _capture(*download, cwd=root)
        _unpack(root, target)


def _fetch_docker_py(say):
    say("fetching docker-py")
    target = cache_dir() / "docker-py"
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _capture(sys.executable, "-m", "venv", str(partial))
        _capture(str(partial / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", DOCKER_PY)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def prepare(say=print):
    """Fills the cache where it has gaps. Safe to call from several runs at once."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if newest()[1] is None:
            _fetch_engine(say)
        if not buildx().is_dir():
            _fetch_buildx(say)
        if not busybox().exists():
            _fetch_busybox(say)
        if not docker_py().exists():
            _fetch_docker_py(say)
    suite, root = newest()
    version = _capture(str(root / "usr/sbin/dockerd"), "--version").strip()
    note = "" if suite == SUITES[0] else f" (Debian {SUITES[0]}'s could not be had)"
    say(f"newest engine: {version}, from Debian {suite}{note}")


if __name__ == "__main__":
    try:
        prepare()
    except (RuntimeError, subprocess.CalledProcessError) as problem:
        sys.exit(f"fetch: {getattr(problem, 'output', None) or problem}")
