"""Three fresh machines with Docker as Debian installs it become a cluster by the words of the README, and by nothing else.

Its quick start is what is typed here, by a user with sudo, as it stands there. What it leaves out (`...`) is taken
from what swarmd printed, which has to look as the README says.
"""

import re
import threading
import unittest
from pathlib import Path

from rig import cli, image
from rig.case import needs_cluster
from rig.cluster import eventually
from rig.host import Host, deb
from rig.lan import Lan

README = Path(__file__).resolve().parents[2] / "README.md"
USER = "pi"
# All that says how Docker runs.
DOCKERS = ("/lib/systemd/system/docker*", "/lib/systemd/system/containerd*", "/etc/systemd/system", "/run/systemd/system",
           "/etc/docker", "/etc/containerd", "/etc/default/docker", "/etc/init.d/docker")


def quick_start():
    """{what is said before it: commands} of the README's quick start."""
    section = README.read_text().split("\n## Quick start", 1)[1].split("\n#", 1)[0]
    blocks = re.findall(r"([^\n]*):\n\n```sh\n(.*?)```", section, re.S)
    return {said: [re.sub(r" +# .*", "", line) for line in text.splitlines()] for said, text in blocks}


def everywhere(hosts, what):
    """Does something on all hosts at once."""
    problems = []

    def one(host):
        try:
            what(host)
        except BaseException as problem:  # noqa: raised below
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def prepare(host):
    """A machine with Docker, an image (there is no registry) and a user who may say sudo."""
    host.wait_running()
    host.ok("useradd", "-m", "-s", "/bin/bash", USER)
    host.path("/etc/sudoers.d/user").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    host.path("/root/busybox.tar").write_bytes(image.rootfs())
    host.ok("docker", "import", "--change", 'CMD ["sh"]', "/root/busybox.tar", "busybox")


def type_in(host, line):
    """What a command printed that the user typed."""
    return host.ok("runuser", "-l", USER, "-c", line, timeout=120)


def docker_as_installed(host):
    """{file: its content} of what Docker is told there."""
    files = host.ok("sh", "-c", f"find {' '.join(DOCKERS)} -path '*swarmd*' -prune -o -type f -print 2>/dev/null; :").splitlines()
    return {file: host.path(file).read_bytes() for file in files if "swarmd" not in file}


def ports(host):
    """{address and port: programs} of what listens there on TCP. containerd, as installed, talks to itself on loopback."""
    rows = [line.split(None, 5) for line in host.ok("ss", "-ltnpH").splitlines()]
    programs = {row[3]: set(re.findall(r'"([^"]+)"', row[-1])) for row in rows}
    return {address: who for address, who in programs.items() if who != {"containerd"} or not address.startswith("127.0.0.1:")}


def filled_in(line, printed):
    """The printed line that a line of the README stands for."""
    pattern = ".*".join(re.escape(part) for part in line.split("..."))
    (found,) = [other.strip() for other in printed.splitlines() if re.fullmatch(pattern, other.strip())]
    return found


@needs_cluster
class Hosts(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.lan = Lan("lan1", "10.0.0")
        cls.addClassCleanup(cls.lan.down)
        cls.hosts = [Host(name, cls.lan, number) for number, name in enumerate(("boss", "pi1", "pi2"), 1)]
        cls.addClassCleanup(everywhere, cls.hosts, Host.down)
        for host in cls.hosts:
            host.switch_on()
        everywhere(cls.hosts, prepare)

    def test_from_the_package_to_a_cluster_by_the_readme(self):
        boss, *others = self.hosts
        before = {host.name: docker_as_installed(host) for host in self.hosts}
        self.assertIn("/lib/systemd/system/docker.service", before["boss"])
        self.assertEqual({host.name: ports(host) for host in self.hosts}, {host.name: {} for host in self.hosts})
        package = deb("2.0.0-1")
        for host in self.hosts:
            host.put(package, f"/home/{USER}/{package.name}")

        on_all, on_boss, on_others, yourself = quick_start().values()
        everywhere(self.hosts, lambda host: [type_in(host, line) for line in on_all])
        told = [type_in(boss, line) for line in on_boss][-1]
        (line,) = on_others
        joining = filled_in(line, told)
        everywhere(others, lambda host: self.assertIn("swarmd runs, now and after each boot", type_in(host, joining)))
        add, create, look = yourself
        create = filled_in(create, type_in(boss, add))
        type_in(boss, create)
        eventually(lambda: type_in(boss, look).count("Status: Healthy") == 3, "all three are healthy", show=lambda: type_in(boss, look))
        self.assertIn(" Nodes: 3", type_in(boss, look).splitlines())

        # It is a Docker: containers on all three, seen in one list.
        docker = look.rsplit(" ", 1)[0]
        for number in range(3):
            type_in(boss, f"{docker} run -d --name one{number} busybox sleep 600")
        listed = type_in(boss, f"{docker} ps --format '{{{{.Names}}}}'").split()
        self.assertEqual(sorted(name.split("/")[0] for name in listed), ["boss", "pi1", "pi2"])
        for host in self.hosts:
            self.assertEqual(type_in(boss, f"{docker} run --rm -e constraint:node=={host.name} busybox echo hello"), "hello")
        # From another machine, with the files or without.
        files = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(boss.path(f"/home/{USER}/alice-cert"))}
        self.assertEqual(len(cli.docker(f"{boss.address}:3376", environment=files).ok("ps", "-q").lines), 3)
        for address in (f"{boss.address}:3376", f"{others[0].address}:2376"):
            self.assertNotEqual(cli.docker(address).run("ps").code, 0)
        self.assertNotEqual(cli.docker(f"{others[0].address}:2376", environment=files).run("ps").code, 0)

        # No plain Docker port, and Docker was not touched.
        for host, port in ((boss, 3376), *((other, 2376) for other in others)):
            listening = ports(host)
            self.assertEqual({address.rsplit(":", 1)[1] for address in listening}, {str(port)}, listening)
            self.assertTrue(all("swarmd" in programs for programs in listening.values()), listening)
        self.assertEqual({host.name: docker_as_installed(host) for host in self.hosts}, before)
        everywhere(self.hosts, lambda host: self.assertIn("PASS", host.ok("swarmd", "check")))
        type_in(boss, f"{docker} rm -f one0 one1 one2")

        # Whoever forgets a line is told which one.
        type_in(others[1], "sudo gpasswd -d swarmd docker")
        again = type_in(others[1], joining.replace("join ", "join --no-start ", 1))
        self.assertIn("sudo usermod -aG docker swarmd && sudo systemctl restart swarmd", again)
