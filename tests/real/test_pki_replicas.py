"""The cluster's own certificates with several managers: one has the CA, another leads, members are at either of them."""

import concurrent.futures
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from rig import cli
from rig.case import EngineCase, needs_cluster
from rig.cluster import eventually
from rig.members import Machine, Manager, Members
from rig.store import Store

SLEEP = ("busybox", "sleep", "1000")
COUNT = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.1; done"
AWAY = "the manager with the CA cannot be asked"
WAIT = "joining, certificates, join tokens and users wait until it is back"


def member(machine, manager):
    """What a manager says to who shows this machine's certificate: (status, text)."""
    context = ssl.create_default_context(cafile=str(machine.pki("ca.pem")))
    context.load_cert_chain(machine.pki("cert.pem"), machine.pki("key.pem"))
    try:
        with urllib.request.urlopen(f"https://{manager.address}/swarmd/v1/trust", timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


class Replicated(EngineCase):
    """A cluster of its own for the class."""

    name, number, ttl, pki = "", 0, 0, ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        store = Store("etcd35", name=f"pki-{cls.name}", shift=5).start()
        cls.addClassCleanup(store.kill)
        cls.cluster = Members(cls.name, cls.number, store, cls.ttl, cls.pki)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up()
        cls.boss, cls.second = cls.cluster.boss, cls.cluster.second
        cls.near, cls.far = cls.cluster.agents

    def refused(self, client, words, *arguments):
        result = client.run(*arguments)
        self.assertNotEqual(result.code, 0, str(result))
        self.assertIn(words, result.err, str(result))
        return result.err

    def popen(self, client, *arguments):
        process = client.popen(*arguments)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process


@needs_cluster
class Several(Replicated):
    name, number, ttl = "several", 0, 4

    def test_the_second_manager_has_all_but_the_ca(self):
        """Joined by a manager's token, it is one of two that answer, over mutual TLS, and issue nothing themselves."""
        for name in ("ca-key.pem", "tokens.json", "issued.json"):
            self.assertTrue(self.boss.pki(name).exists(), name)
            self.assertFalse(self.second.pki(name).exists(), f"{name} is on the first manager only")
        self.assertIn('role = "both"', self.second.drop_in(), "it stays the node that it is")
        self.assertEqual(self.second.pki("ca.pem").read_text(), self.boss.pki("ca.pem").read_text())
        self.assertEqual(self.second.pki("key.pem").stat().st_mode & 0o777, 0o600)
        eventually(lambda: (self.boss.rows()["Role"], self.second.rows()["Primary"]) == ("primary", self.boss.address), "the first one leads")
        admin = self.boss.user("anna", "admin")
        for manager in (self.boss, self.second):
            docker = manager.docker(admin)
            for node in ("pocket", "pi1", "pi2"):
                self.assertEqual(docker.out("run", "--rm", "-e", f"constraint:node=={node}", "busybox", "echo", "hello"), "hello")
            self.assertIn("the certificate of an agent opens no Docker API", manager.docker(self.near.pki("")).run("ps").err)
            self.assertNotEqual(cli.docker(f"tcp://{manager.address}").run("ps").code, 0, "without a certificate")
        status = self.second.ask("pki", "status").out
        for machine in (self.second, self.near, self.far):
            self.assertRegex(status, rf"(?m)^\w+ +{machine.member()} ")

    def test_a_member_at_the_replica(self):
        """Its line names the replica; what it is told, and what is done to it, comes from the CA all the same."""
        self.assertIn(f'managers = ["{self.second.address}", "{self.boss.address}"]', self.far.drop_in())
        line = self.second.line("agent", "--uses", "1")
        self.assertEqual(line[1], self.second.address)
        for where in (self.boss, self.second):
            self.assertIn(line[0].split("-")[4], where.ask("join-token", "ls").out)
        spare = self.cluster.add(Machine("spare", ""))
        self.assertEqual(spare.join(line).code, 0, spare.joined)
        late = self.cluster.add(Machine("late", ""))
        self.assertIn("is used up", late.join(line).err)
        name = spare.member()
        for manager in (self.boss, self.second):
            self.assertIn(name, manager.ask("pki", "status").out)
            self.assertEqual(member(spare, manager)[0], 200)
        self.assertEqual(self.second.ask("pki", "revoke", "agent", name).code, 0)
        for manager in (self.second, self.boss):
            status, text = member(spare, manager)
            self.assertEqual((status, "this certificate was revoked" in text), (403, True), text)

    def test_a_manager_that_joined_at_the_replica(self):
        """The third: its line named one without the CA. Taken out, it is out, with what it has under way."""
        third = self.cluster.add(Manager("several-third", 3463, self.ttl))
        self.addCleanup(third.gone)
        self.assertEqual(third.join(self.second.line("manager")).code, 0, third.joined)
        third.start()
        eventually(lambda: third.rows()["Primary"] == self.boss.address, "it follows", show=third.rows)
        spare = self.cluster.add(Machine("third-spare", ""))
        self.assertEqual(spare.join(third.line("agent")).code, 0, spare.joined)
        boss = third.docker(third.user("berta", "admin"))
        boss.ok("run", "-d", "--name", "stays", *SLEEP)
        events, logs = self.popen(boss, "events"), self.popen(third.root, "logs", "-f", "stays")
        eventually(lambda: all(f"/{what}" in self.boss.daemon.log() for what in ("events STATUS=200", "logs?follow=1")), "both are under way")
        self.assertEqual(self.second.ask("pki", "revoke", "manager", third.member()).code, 0)
        for stream in (events, logs):
            stream.communicate(timeout=20)
        self.refused(third.root, "this certificate was revoked", "ps")
        self.assertIn("stays", self.second.root.out("ps", "--format", "{{.Names}}"))

    def test_roles_are_the_same_at_both(self):
        files = {role: self.second.user(f"{role}1", role) for role in ("reader", "operator", "deployer")}
        docker = {role: [manager.docker(files[role]) for manager in (self.boss, self.second)] for role in files}
        self.second.root.ok("run", "-d", "--name", "power", "--privileged", *SLEEP)
        for role, words, line in (
                ("reader", "the role reader may not", ("run", "-d", *SLEEP)),
                ("reader", "the role reader may not", ("logs", "power")),
                ("reader", "the role reader may not", ("stop", "power")),
                ("operator", "the role operator may not", ("rm", "-f", "power")),
                ("operator", "something of the host: Privileged", ("exec", "power", "true")),
                ("deployer", "not for this role", ("run", "-d", "--privileged", *SLEEP)),
                ("deployer", "not for this role", ("run", "-d", "-v", "/:/host", *SLEEP)),
                ("deployer", "something of the host", ("exec", "power", "true"))):
            with self.subTest(role=role, line=line):
                said = [self.refused(client, words, *line) for client in docker[role]]
                self.assertEqual(said[0], said[1], "the replica says what the primary says")
        for number, deployer in enumerate(docker["deployer"]):
            deployer.ok("run", "-d", "--name", f"web{number}", *SLEEP)
            docker["operator"][1 - number].ok("restart", "-t", "0", f"web{number}")
            self.assertIn(f"/web{number}", docker["reader"][1 - number].out("ps", "--format", "{{.Names}}"))
        log = self.boss.daemon.log()
        made = re.findall(r'USER="deployer1" ROLE="deployer" PEER=(.*?) METHOD=POST OBJECT=\S*/containers/create NODE="\w+" RESULT=201', log)
        self.assertEqual([place.endswith("(passed on)") for place in made], [False, True], made)
        self.assertRegex(log, r'USER="reader1" ROLE="reader" .*RESULT=403')
        # What an admin does with the CA through the replica is on record, too, by name.
        admin = self.boss.user("carla", "admin")
        done = subprocess.run([*self.client(admin), "-X", "POST", f"https://{self.second.address}/swarmd/v1/pki/revoke", "-d", '{"kind":"user","name":"reader1"}'],
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), '{"certificates":1}')
        self.assertRegex(self.boss.daemon.log(), r'USER="carla" ROLE="admin" PEER=\S+ \(passed on\) METHOD=POST OBJECT=/swarmd/v1/authority .*RESULT=200')
        for client in docker["reader"]:
            self.refused(client, "this certificate was revoked", "ps")

    @staticmethod
    def client(files):
        return ["curl", "-sS", "--cacert", f"{files}/ca.pem", "--cert", f"{files}/cert.pem", "--key", f"{files}/key.pem"]

    def test_while_the_manager_with_the_ca_is_away(self):
        """Another leads: all goes on but what takes the CA, and that says so."""
        files, out = self.boss.user("dora", "deployer"), self.boss.user("otto", "reader")
        self.assertEqual(self.second.ask("user", "rm", "otto").code, 0)
        token = self.second.line("agent")
        self.boss.daemon.kill()
        docker = self.second.docker(files)
        docker.ok("run", "-d", "--name", "web", *SLEEP)  # waits for the next primary
        eventually(lambda: self.second.rows()["Role"] == "primary" and self.second.healthy() == 3, "the other leads", show=self.second.rows)
        self.assertIn("/web", docker.out("ps", "--format", "{{.Names}}"))
        self.refused(self.second.docker(out), "this certificate was revoked", "ps")
        spare = self.cluster.add(Machine("away-spare", ""))
        self.wait_for_the_ca(spare, token)
        # It is back, but hangs: nobody waits for it for long.
        self.boss.start()
        eventually(lambda: self.boss.rows()["Primary"] == self.second.address, "the first one follows", show=self.boss.rows)
        self.boss.daemon.signal(signal.SIGSTOP)
        try:
            self.wait_for_the_ca(spare, token)
        finally:
            self.boss.daemon.signal(signal.SIGCONT)
        # It does not lead, and has the CA.
        self.assertEqual(spare.join(token).code, 0, spare.joined)
        for manager in (self.boss, self.second):
            manager.docker(manager.user(f"late-{manager.address[-1]}", "reader")).ok("ps")
        self.lead_again()

    def wait_for_the_ca(self, spare, token):
        """What takes the CA, all at once."""
        files = str(self.second.home / "emil")
        lines = (("join-token", "agent"), ("pki", "status"), ("user", "add", "emil", "--role", "reader", "--out", files))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = [pool.submit(spare.join, token), *(pool.submit(self.second.ask, *line) for line in lines)]
        for result in (one.result() for one in asked):
            self.assertNotEqual(result.code, 0, result)
            self.assertIn(AWAY, result.err + result.out)
            self.assertIn(WAIT, result.err + result.out)
            self.assertIn(self.boss.address, result.err + result.out)
        self.assertFalse(spare.pki("cert.pem").exists())

    def lead_again(self):
        """The first one leads, as other tests expect."""
        self.second.daemon.stop()
        eventually(lambda: self.boss.rows()["Role"] == "primary", "the first one leads", show=self.boss.rows)
        self.second.start()
        self.cluster.settled()


@needs_cluster
class ShortLives(Replicated):
    """Certificates of seconds: members renew theirs while they run, at whichever manager."""

    name, number, ttl, pki = "short", 1, 20, 'lifetime = "20s"'

    def test_renewed_under_open_streams(self):
        """By themselves in time, then once more since the CA is replaced; nobody's stream breaks, whatever it began with."""
        files = self.boss.user("frida", "admin")
        boss, second, local = self.boss.docker(files), self.second.docker(files), self.second.root
        for name, node in (("near", "pocket"), ("far", "pi1")):
            boss.ok("run", "-d", "--name", name, "-e", f"constraint:node=={node}", "busybox", "sh", "-c", COUNT)
        boss.ok("run", "-di", "--name", "echo", "busybox", "sh", "-c", "while read x; do echo got $x; done")
        logs = [(name, self.popen(client, "logs", "-f", name)) for client in (boss, second, local) for name in ("near", "far")]
        attached = self.popen(local, "attach", "echo")
        self.say(attached, b"before")
        self.members = (self.boss, self.second, self.near, self.far)
        shown_until = max(ssl.cert_time_to_seconds(self.said(member, "enddate")) for member in self.members)
        self.renewed("when it is time", lambda: None)
        self.renewed("when the CA is replaced", lambda: self.asked("rotate"))
        self.asked("rotate", "--finish")  # users have old ones
        for member in self.members:
            eventually(lambda member=member: member.pki("ca.pem").read_text().count("BEGIN") == 1, f"{member.name} trusts the new CA only")
        eventually(lambda: time.time() > shown_until + 2, "what was shown when the streams began has ended")
        self.say(attached, b"after")
        for client in (local, self.boss.root, self.second.docker(self.second.user("greta", "admin"))):
            self.assertEqual(client.out("run", "--rm", "busybox", "echo", "new"), "new")
        self.assertEqual((self.boss.rows()["Role"], self.second.rows()["Role"]), ("primary", "replica"), "nobody lost the lease")
        for name, stream in logs:
            last = int(local.out("logs", "--tail", "1", name))
            seen = [int(stream.stdout.readline()) for _ in range(last + 1)]
            self.assertEqual(seen, list(range(last + 1)), "nothing is missing, nothing comes twice")
            self.assertIsNone(stream.poll())
        for member in self.members:
            self.assertNotIn("could not be looked after", member.daemon.log())

    def test_the_ca_from_a_copy(self):
        """The first manager never comes back; another one gets the CA and its book of a copy. Nobody joins anew, nobody is back."""
        out = self.cluster.add(Machine("copy-out", ""))
        line = self.boss.line("agent")
        self.assertEqual(out.join(line).code, 0, out.joined)
        copy = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copytree(self.boss.pki(""), copy, dirs_exist_ok=True)
        self.assertEqual(self.second.ask("pki", "revoke", "agent", out.member()).code, 0)
        self.boss.daemon.kill()
        self.second.daemon.stop()
        for name in ("ca-key.pem", "issued.json"):
            shutil.copy(copy / name, self.second.pki(name))
        self.second.start()
        self.assertIn(self.said(out, "serial").lower(), self.second.pki("revoked.json").read_text())
        self.assertNotIn(out.member(), self.second.ask("pki", "status").out)
        late = self.cluster.add(Machine("copy-late", ""))
        self.assertNotEqual(late.join([line[0], self.second.address, *line[2:]]).code, 0, "its token ended with the first manager")
        spare = self.cluster.add(Machine("copy-spare", ""))
        self.assertEqual(spare.join(self.second.line("agent")).code, 0, spare.joined)
        self.assertIn(f'managers = ["{self.second.address}"]', spare.drop_in())
        self.assertEqual(member(self.far, self.second)[0], 200)
        status = self.second.ask("pki", "status").out
        for machine in (spare, self.near, self.far, self.second):
            self.assertIn(machine.member(), status)

    def renewed(self, when, do):
        before = {member: self.said(member, "serial") for member in self.members}
        do()
        late = lambda: [member.name for member in self.members if self.said(member, "serial") == before[member]]
        eventually(lambda: not late(), f"all are renewed {when}", 40, late)

    def asked(self, *words):
        done = self.second.ask("pki", *words)
        self.assertEqual(done.code, 0, done)

    def say(self, attached, word):
        attached.stdin.write(word + b"\n")
        attached.stdin.flush()
        self.assertEqual(attached.stdout.readline(), b"got " + word + b"\n")

    @staticmethod
    def said(member, what):
        """A line of its certificate: `serial`, `enddate`."""
        command = ["openssl", "x509", "-noout", f"-{what}", "-in", str(member.pki("cert.pem"))]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split("=", 1)[1]
