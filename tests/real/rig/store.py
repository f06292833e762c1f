"""One real key-value store on loopback: consul, etcd (3.4 with its old API, 3.5 without) or ZooKeeper.

Timings are those of a quick store (elections in tenths of a second, sessions from one second up); all else is as a
server comes. `tls` makes consul and etcd speak https and demand a client certificate.
"""

import base64
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import fetch_stores, guard, session
from .engine import _tail

KINDS = ("consul", "etcd34", "etcd35", "zk")
_PORTS = {"consul": 8500, "etcd34": 2379, "etcd35": 2389, "zk": 2181}
_SCHEMES = {"consul": "consul", "etcd34": "etcd", "etcd35": "etcd", "zk": "zk"}


class Store:
    """`shift` moves its ports, so that several of one kind can run; `name` names its data and its log."""

    def __init__(self, kind, name=None, shift=0, tls=None, settings=None):
        self.kind, self.name, self.tls, self.settings = kind, name or kind, tls, settings or {}
        self.port = _PORTS[kind] + 20 * shift
        self.dir = session.state_dir() / "stores" / self.name
        self.log_path = session.logs_dir() / f"store-{self.name}.log"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{_SCHEMES[self.kind]}://{self.address}"

    # -- life ---------------------------------------------------------------------------------------------------

    def spawn(self):
        """Starts it without waiting."""
        assert not self.alive(), f"{self.name} runs already"
        (self.dir / "data").mkdir(parents=True, exist_ok=True)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.dir), "ETCD_UNSUPPORTED_ARCH": ""}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(getattr(self, f"_{_SCHEMES[self.kind]}")(), env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.dir, preexec_fn=guard.die_with_parent)
        return self

    def start(self, timeout=30):
        """Starts it and waits until it reads and writes."""
        if not self.alive():
            self.spawn()
        deadline = time.monotonic() + timeout
        while not self._ready():
            if not self.alive() or time.monotonic() > deadline:
                raise RuntimeError(f"store {self.name} does not start\n{_tail(self.log_path, 30)}")
            time.sleep(0.05)
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """At once; what it holds is on disk."""
        if self.alive():
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.kill()
        return self.start()

    def wipe(self):
        """Comes back empty."""
        self.kill()
        shutil.rmtree(self.dir / "data")
        return self.start()

    def pause(self):
        """Takes connections, answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        return self.start()

    # -- programs -----------------------------------------------------------------------------------------------

    def _consul(self):
        ports = {"http": -1 if self.tls else self.port, "https": self.port if self.tls else -1, "dns": -1, "grpc": -1,
                 "server": self.port + 1, "serf_lan": self.port + 2, "serf_wan": self.port + 3}
        config = {"server": True, "bootstrap_expect": 1, "data_dir": f"{self.dir}/data", "node_name": "rig", "disable_host_node_id": True,
                  "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": True, "session_ttl_min": "1s",
                  "performance": {"raft_multiplier": 1}, "ports": ports, **self.settings}
        if self.tls:
            config.update(ca_file=self.tls.ca, cert_file=self.tls.cert, key_file=self.tls.key, verify_incoming_https=True)
        (self.dir / "consul.json").write_text(json.dumps(config))
        return [str(fetch_stores.program("consul")), "agent", f"-config-file={self.dir}/consul.json"]

    def _etcd(self):
        scheme, peer = ("https" if self.tls else "http"), f"http://127.0.0.1:{self.port + 1}"
        command = [str(fetch_stores.program(self.kind)), "--name", "rig", "--data-dir", f"{self.dir}/data",
                   "--listen-client-urls", f"{scheme}://{self.address}", "--advertise-client-urls", f"{scheme}://{self.address}",
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"rig={peer}",
                   "--heartbeat-interval", "50", "--election-timeout", "250"]
        if self.kind == "etcd34":
            command.append("--enable-v2=true")
        if self.tls:
            command += ["--cert-file", self.tls.cert, "--key-file", self.tls.key, "--trusted-ca-file", self.tls.ca, "--client-cert-auth"]
        return command

    def _zk(self):
        (self.dir / "zoo.cfg").write_text(f"tickTime=500\ninitLimit=10\nsyncLimit=5\ndataDir={self.dir}/data\nclientPort={self.port}\n"
                                          "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
                                          + "".join(f"{key}={value}\n" for key, value in self.settings.items()))
        return [fetch_stores.java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", fetch_stores.classpath(),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.dir / "zoo.cfg")]

    # -- looking ------------------------------------------------------------------------------------------------

    def apis(self):
        """The ways to look at it: etcd 3.4 has two, which are two stores."""
        return {"consul": ("",), "etcd34": ("v3", "v2"), "etcd35": ("v3",), "zk": ("",)}[self.kind]

    def keys(self, prefix, api="v3"):
        """{key: value} of all keys below `prefix`, seen without swarmd."""
        if self.kind == "consul":
            status, text = self.http("GET", f"/v1/kv/{prefix}?recurse")
            return {} if status == 404 else {pair["Key"]: base64.b64decode(pair["Value"] or "").decode() for pair in json.loads(text)}
        if self.kind == "zk":
            paths = [path for path in self.zookeeper(f"ls -R /{prefix}") if path.startswith(f"/{prefix}")]
            leaves = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
            values = self.zookeeper(*(f"get {path}" for path in leaves)) if leaves else []
            return dict(zip((path[1:] for path in leaves), values, strict=True))
        if api == "v2":
            status, text = self.http("GET", f"/v2/keys/{prefix}?recursive=true")
            return {} if status == 404 else {node["key"][1:]: node["value"] for node in json.loads(text)["node"].get("nodes", ())}
        words = self.etcdctl("get", "--prefix", f"{prefix}/").split("\n")[:-1]
        return dict(zip(words[::2], words[1::2], strict=True))

    def write(self, key, value):
        """As an old agent does (but for the end of it)."""
        if self.kind == "consul":
            self.http("PUT", f"/v1/kv/{key}?flags=3304740253564472344", value.encode())
        elif self.kind == "zk":
            self.zookeeper(*(f"create /{key[:at]}" for at, c in enumerate(key) if c == "/"), f"create /{key} {value}")
        elif self.kind == "etcd34":
            self.http("PUT", f"/v2/keys/{key}?ttl=60&value={value}")
        else:
            self.etcdctl("put", key, value)

    def clear(self, prefix):
        """All keys below `prefix` of consul or etcd, deleted by hand."""
        if self.kind == "consul":
            self.http("DELETE", f"/v1/kv/{prefix}?recurse")
        else:
            self.etcdctl("del", "--prefix", f"{prefix}/")
            if self.kind == "etcd34":
                self.http("DELETE", f"/v2/keys/{prefix}?recursive=true")

    def http(self, method, path, body=None):
        """A plain request of a test to consul or etcd: (status, text)."""
        request = urllib.request.Request(f"http://{self.address}{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as problem:
            return problem.code, problem.read().decode()

    def etcdctl(self, *arguments, env=()):
        done = subprocess.run([str(fetch_stores.etcdctl(self.kind)), "--endpoints", self.address, *arguments], capture_output=True, text=True, timeout=10,
                              env={"PATH": "/usr/bin", "ETCDCTL_API": "3", "ETCD_UNSUPPORTED_ARCH": "", **dict(env)})
        if done.returncode:
            raise RuntimeError(f"etcdctl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def zookeeper(self, *commands):
        """Commands of ZooKeeper's own shell, in one session; the lines that it answers."""
        done = subprocess.run([fetch_stores.java(), "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
                               fetch_stores.classpath(), "org.apache.zookeeper.ZooKeeperMain", "-server", self.address],
                              input="\n".join([*commands, "quit"]) + "\n", capture_output=True, text=True, timeout=20)
        if done.returncode and "Node does not exist" not in done.stdout + done.stderr:
            raise RuntimeError(f"{commands}: {done.stdout}{done.stderr}")
        noise = ("Connecting to", "Welcome to", "JLine", "WATCHER", "WatchedEvent", "Node does not exist")
        return [line for line in done.stdout.splitlines() if line and not line.startswith(noise)]

    def _ready(self):
        try:
            return getattr(self, f"_{_SCHEMES[self.kind]}_ready")()
        except OSError:
            return False

    def _consul_ready(self):
        if self.tls:
            return _accepts(self.port) and "cluster leadership acquired" in self.log_path.read_text(errors="replace")
        leads = ":" in self.http("GET", "/v1/status/leader")[1]
        return leads and self.http("PUT", "/v1/kv/probe", b"1")[0] in (200, 403)

    def _etcd_ready(self):
        if self.tls:
            return _accepts(self.port)
        return "true" in self.http("GET", "/health")[1]

    def _zk_ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
            link.sendall(b"srvr")  # `ruok` is answered before sessions are taken
            return b"Mode:" in link.recv(4096)


def _accepts(port):
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True


class Certificates:
    """A CA with one pair for both sides of 127.0.0.1, made by openssl."""

    def __init__(self, name="ca"):
        self.dir = session.state_dir() / "certificates" / name
        self.dir.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (str(self.dir / file) for file in ("ca.pem", "cert.pem", "key.pem"))
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                      "-keyout", "ca-key.pem", "-out", "ca.pem")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=store", "-keyout", "key.pem", "-out", "csr.pem")
        (self.dir / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                      "-extfile", "extensions", "-out", "cert.pem")

    def issue(self, name, subject):
        """A directory with a pair for `subject` ("/OU=manager/CN=boss"), as DOCKER_CERT_PATH wants it."""
        home = self.dir / name
        home.mkdir(exist_ok=True)
        shutil.copy(self.ca, home / "ca.pem")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                      "-keyout", f"{name}/key.pem", "-out", "csr.pem")
        self._openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                      "-extfile", "extensions", "-out", f"{name}/cert.pem")
        return home

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.dir, check=True, capture_output=True)

    def options(self, ca=None):
        """The `--discovery-opt` flags; another's CA may be given."""
        pairs = {"kv.cacertfile": ca or self.ca, "kv.certfile": self.cert, "kv.keyfile": self.key}
        return [f"--discovery-opt={key}={value}" for key, value in pairs.items()]
