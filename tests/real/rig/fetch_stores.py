"""The key-value stores that the tests run: consul 1.8, etcd 3.4 and 3.5, ZooKeeper 3.8, each as a Debian suite carries it.

Downloaded and unpacked beside what `fetch` has, in the same way; the system stays as it is. ZooKeeper needs a Java: the
machine's own, else one of the same suite is fetched, too.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .fetch import _capture, _PrivateApt, _unpack, cache_dir, mirror

JAVA = "openjdk-17-jre-headless"
ZOOKEEPER_PACKAGES = ("libzookeeper-java", "libcommons-cli-java", "libslf4j-java", "libsnappy-java", "libdropwizard-metrics-java")
JARS = ("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "snappy-java", "metrics-core", "commons-cli")
# name, suite, packages, the program and how it tells its version
STORES = (
    ("consul", "bullseye", ("consul",), "usr/bin/consul"),
    ("etcd34", "bookworm", ("etcd-server", "etcd-client"), "usr/bin/etcd"),
    ("etcd35", "trixie", ("etcd-server", "etcd-client"), "usr/bin/etcd"),
    ("zk", "bookworm", ZOOKEEPER_PACKAGES, "usr/share/java/zookeeper.jar"),
)


def program(name):
    """The program of a store (for `zk` its jar)."""
    return cache_dir() / name / next(path for store, _suite, _packages, path in STORES if store == name)


def etcdctl(name):
    return cache_dir() / name / "usr/bin/etcdctl"


def java():
    """A Java: the machine's, else ours."""
    own = shutil.which("java")
    return own or str(cache_dir() / "java/usr/lib/jvm" / f"java-17-openjdk-{_capture('dpkg', '--print-architecture').strip()}" / "bin/java")


def classpath():
    """What ZooKeeper needs, as one string."""
    return ":".join(str(cache_dir() / "zk/usr/share/java" / f"{jar}.jar") for jar in JARS)


def prepare(say=print):
    """Fetches what is missing. Safe to call from several runs at once."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "lock-stores", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [(name, suite, packages) for name, suite, packages, _path in STORES if not program(name).exists()]
        if not Path(java()).exists():
            missing.append(("java", "bookworm", (JAVA,)))
        for suite in sorted({suite for _name, suite, _packages in missing}):
            _fetch(suite, [(name, packages) for name, of, packages in missing if of == suite], say)
        if missing:
            _prove()


def _fetch(suite, wanted, say):
    with tempfile.TemporaryDirectory(prefix="swarmd-apt-") as root:
        apt = _PrivateApt(root, suite, mirror())
        apt.get("update")
        for name, packages in wanted:
            say(f"fetching {name} of Debian {suite}")
            debs = Path(root) / f"debs-{name}"
            debs.mkdir()
            apt.get("download", *(f"{package}/{suite}" for package in packages), cwd=debs)
            target = cache_dir() / name
            shutil.rmtree(target, ignore_errors=True)
            _unpack(debs, target)
            _settle(target)


def _settle(target):
    """Links of packages name places below /; here they are below `target`."""
    for folder, folders, files in os.walk(target):
        for name in folders + files:
            path = Path(folder) / name
            if path.is_symlink() and os.readlink(path).startswith("/"):
                inside = target / os.readlink(path).lstrip("/")
                path.unlink()
                path.symlink_to(inside)


def _prove():
    """They start with this machine's libraries."""
    _capture(str(program("consul")), "version")
    for name in ("etcd34", "etcd35"):
        _capture(str(program(name)), "--version", env={**os.environ, "ETCD_UNSUPPORTED_ARCH": ""})
    _capture(java(), "-cp", classpath(), "org.apache.zookeeper.version.VersionInfoMain")


if __name__ == "__main__":
    try:
        prepare()
    except (RuntimeError, subprocess.CalledProcessError) as problem:
        sys.exit(f"fetch_stores: {getattr(problem, 'output', None) or problem}")
