"""What is in both packages, and the life of the .rpm under a real systemd. (That of the .deb: test_systemd.)

The machine is Debian, to which rpm is lent: the scriptlets want nothing but systemd.
"""

import os
import shutil
import subprocess
import sys
import unittest

from rig import session, swarmd
from rig.cluster import eventually
from rig.host import Host, deb, rpm
from test_systemd import Knocker


class Contents(unittest.TestCase):
    def test_both_have_what_they_shall_have(self):
        both = session.state_dir() / "both"
        both.mkdir()
        for made in (deb("2.0.0-1"), rpm("2.0.0")):
            shutil.copy(made, both)
        done = subprocess.run([sys.executable, swarmd.ROOT / "packaging/verify", "--contents", both], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(done.stdout.count("files with their modes"), 2, done.stdout)

    def test_bill_of_materials(self):
        made = [subprocess.run([swarmd.ROOT / "packaging/sbom", "aarch64-unknown-linux-gnu"], check=True, stdout=subprocess.PIPE,
                               env={**os.environ, "CARGO_NET_OFFLINE": "true"}).stdout for _ in range(2)]
        self.assertEqual(*made)
        self.assertIn(b'"pkg:cargo/rustls@', made[0])
        self.assertNotIn(b'"pkg:cargo/proptest@', made[0], "tests are not shipped")


class Rpm(unittest.TestCase):
    """One machine; each test is the next step in the life of the package."""

    @classmethod
    def setUpClass(cls):
        cls.host = Host("fedora")
        cls.addClassCleanup(cls.host.down)
        cls.host.boot()
        cls.host.borrow("/usr/bin/rpm")
        shutil.copytree("/usr/lib/rpm", cls.host.path("/usr/lib/rpm"), dirs_exist_ok=True)

    def rpm(self, *arguments):
        # Of what it asks for, this machine has nothing from an .rpm.
        return self.host.ok("rpm", *arguments, timeout=120)

    def test_1_install(self):
        host = self.host
        host.put(rpm("2.0.0"), "/root/one.rpm")
        self.rpm("-i", "--nodeps", "/root/one.rpm")
        self.assertRegex(host.ok("getent", "passwd", "swarmd"), "^swarmd:")
        self.assertEqual(host.run("systemctl", "is-enabled", "swarmd").out, "disabled", "that is not for a package to say")
        self.assertEqual(host.run("systemctl", "is-active", "swarmd").out, "inactive")
        self.assertEqual(host.ok("stat", "-c", "%U:%G %a", "/etc/swarmd/tls"), "root:swarmd 750")
        self.assertIn("PASS  config: /etc/swarmd/config.toml", host.run("swarmd", "check").out)
        self.assertEqual(self.rpm("-V", "--nodeps", "swarmd"), "")

    def test_2_upgrade(self):
        host = self.host
        config = host.path("/etc/swarmd/config.toml")
        config.write_text('role = "manager"\n[discovery]\nurl = "nodes://127.0.0.1:9"\n# mine\n')
        host.ok("systemctl", "enable", "--now", "swarmd")
        before = host.unit("MainPID")
        host.put(rpm("2.0.1"), "/root/two.rpm")
        with Knocker() as knocker:
            self.rpm("-U", "--nodeps", "/root/two.rpm")
            eventually(lambda: host.unit("MainPID") not in (before, "0"), "the new one runs", timeout=30)
            answered = knocker.answered
            eventually(lambda: knocker.answered > answered + 20, "and answers")
        self.assertEqual(knocker.failed, [])
        self.assertTrue(config.read_text().endswith("# mine\n"))
        self.assertEqual(host.ok("systemctl", "is-enabled", "swarmd"), "enabled")

    def test_3_remove(self):
        host = self.host
        known = host.path("/var/lib/swarmd/known")
        known.write_text("by the daemon")
        self.rpm("-e", "swarmd")
        self.assertNotEqual(host.run("systemctl", "is-active", "swarmd").code, 0)
        self.assertEqual(host.run("find", "/etc/systemd", "/usr", "-name", "*swarmd*").out, "", "the programs are gone, and no link is left")
        self.assertTrue(host.path("/etc/swarmd/config.toml.rpmsave").read_text().endswith("# mine\n"), "what the daemon was told stays")
        self.assertTrue(known.exists(), "and what it knows")
