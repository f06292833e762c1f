"""A node as it should be: Docker on its unix socket, swarmd's agent before it with mutual TLS, and a manager that has it.

Certificates are made by openssl, with the subjects that the cluster's own CA gives: OU says manager, agent or user.
"""

from . import cli, image, session, swarmd
from .cluster import eventually, new_token, write_config
from .engine import HiddenEngine
from .store import Certificates

MANAGER, FRONT = "127.0.0.1:3390", "127.0.0.1:2376"


class Fronted:
    def __init__(self, name="fronted"):
        self.name = name
        self.certificates = Certificates(name)
        self.homes = {kind: self.certificates.issue(kind, subject) for kind, subject in (
            ("manager", "/OU=manager/CN=boss"), ("agent", "/OU=agent/CN=hidden"), ("user", "/OU=user/O=admin/CN=alice"))}
        self.engine = HiddenEngine("hidden")
        self.manager = self.agent = None

    def up(self):
        self.engine.start()
        self.engine.api.post("/images/create", image.rootfs(), fromSrc="-", repo="busybox", tag="latest", changes='CMD ["sh"]')
        token = new_token()
        self.manager = self._swarmd("manager", f"""
            role = "manager"
            [discovery]
            url = "token://{token}"
            heartbeat = "1s"
            [manager]
            host = ["tcp://{MANAGER}"]
            engine-refresh-min-interval = "1s"
            engine-refresh-max-interval = "2s"
            engine-failure-retry = 2
            """).start()
        self.agent = self._swarmd("agent", f"""
            role = "agent"
            [discovery]
            url = "token://{MANAGER}/{token}"
            heartbeat = "1s"
            ttl = "5s"
            [agent]
            front = "{FRONT}"
            engine = "unix://{self.engine.path}"
            """).start()
        self.wait("Healthy")
        return self

    def _swarmd(self, kind, text):
        home, name = self.homes[kind], f"{self.name}-{kind}"
        text = f'state-dir = "{session.state_dir()}/swarmd/{name}"\n{text}'
        tls = f'[tls]\ntlsverify = true\ntlscacert = "{home}/ca.pem"\ntlscert = "{home}/cert.pem"\ntlskey = "{home}/key.pem"\n'
        return swarmd.Swarmd(name, "run", "--config", str(write_config(name, f"{text}\n{tls}")))

    def down(self):
        for one in (self.agent, self.manager):
            if one is not None:
                one.stop()
                swarmd.forget(one)
        if self.engine.alive():
            self.engine.kill()

    def docker(self, address=MANAGER, who="user", environment=()):
        environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.homes[who]), **dict(environment)}
        return cli.docker(address, environment=environment)

    def rows(self):
        return dict(pair for pair in self.docker().ok("info", "--format", "{{json .SystemStatus}}").json() or ())

    def wait(self, status):
        eventually(lambda: self.rows().get("  └ Status") == status, f"the node is {status}", show=self.rows)
