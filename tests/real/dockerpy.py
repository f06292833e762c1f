"""What a program sees that uses docker-py: containers, images, networks, volumes, events, prune, system.

    python dockerpy.py tcp://HOST:PORT API_VERSION

Prints one line for each look, `PART / WHAT: VALUE`; the test runs it on an engine and through swarmd, and compares. It runs in
an environment of its own (rig/fetch.py makes it), so it uses nothing of the rig.
"""

import io
import json
import socket
import sys
import tarfile
import threading
import time

import docker
from docker.types import IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit

SLEEP = ["sleep", "1000"]


part = None  # of PARTS, the one that runs


def show(what, value):
    print(f"{part} / {what}: {json.dumps(value, sort_keys=True, default=repr)}", flush=True)


def refused(what, call, *arguments, **options):
    """Shows the error of a call that must fail."""
    try:
        call(*arguments, **options)
    except docker.errors.DockerException as problem:
        status = getattr(problem, "status_code", None)
        show(what, [type(problem).__name__, status, getattr(problem, "explanation", None) or str(problem)])
    else:
        show(what, "not refused")


def archive(**files):
    """A tar archive in memory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def members(chunks):
    """Names and contents in an archive that comes in pieces."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {one.name: (tar.extractfile(one).read().decode() if one.isfile() else None) for one in tar}


def read_all(raw):
    """What a stream carries until its end. It is a socket, or wraps one."""
    sock = getattr(raw, "_sock", raw)
    sock.settimeout(30)
    text = b""
    while True:
        piece = sock.recv(65536)
        if not piece:
            return text
        text += piece


def running(client, name, **options):
    return client.containers.run("busybox", SLEEP, name=name, detach=True, stop_signal="KILL", **options)


def system(client):
    show("ping", client.ping())
    version = client.version()
    show("version", [version["ApiVersion"], version["Os"], version["Arch"], sorted(version)])
    info = client.info()
    show("info", [info["Containers"], info["Images"], info["OSType"], info["Architecture"], info["Swarm"]["LocalNodeState"]])
    running(client, "box", volumes={"data": {"bind": "/data", "mode": "rw"}})
    usage = client.df()
    show("df", [sorted(key for key in usage if usage[key] is not None), len(usage["Images"]), len(usage["Containers"]),
                [volume["UsageData"]["RefCount"] for volume in usage["Volumes"]]])
    client.containers.get("box").remove(force=True)
    refused("login", client.login, "me", "secret", registry="127.0.0.1:1")
    refused("swarm", lambda: client.nodes.list())


def containers(client):
    show("run", sorted(client.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], remove=True, stderr=True).decode().split()))
    refused("run that fails", client.containers.run, "busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    refused("run of nothing", client.containers.run, "busybox", ["/absent"], name="nothing")
    client.containers.get("nothing").remove()
    refused("run without image", client.containers.run, "nowhere.invalid/absent:1")
    box = running(client, "box", labels={"tier": "front"}, environment={"A": "b"}, mem_limit="64m", ports={"80/tcp": ("127.0.0.1", 18080)},
                  ulimits=[Ulimit(name="nofile", soft=99, hard=100)], tmpfs={"/t": "size=1m"}, restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
                  log_config=LogConfig(type="json-file", config={"max-size": "1m"}), mounts=[Mount("/data", "data")])
    show("attributes", [box.name, box.status, box.labels.get("tier"), box.ports, box.image.tags, box.attrs["HostConfig"]["Memory"]])
    box.reload()
    show("reloaded", [box.status, box.attrs["HostConfig"]["RestartPolicy"], box.attrs["HostConfig"]["Tmpfs"], box.attrs["HostConfig"]["LogConfig"],
                      [mount["Name"] for mount in box.attrs["Mounts"]], sorted(key for key in box.attrs if key != "Node")])
    made = client.containers.create("busybox", ["sh", "-c", "sleep 0.2; echo made; exit 4"], name="made")
    show("list", [one.name.split("/")[-1] for one in client.containers.list()])
    show("list all", [one.name.split("/")[-1] for one in client.containers.list(all=True)])
    for filters in ({"label": "tier=front"}, {"status": "created"}, {"name": "bo"}, {"ancestor": "busybox"}, {"volume": "data"}, {"label": ["tier", "x"]}):
        show(f"list {filters}", [one.name.split("/")[-1] for one in client.containers.list(all=True, filters=filters)])
    show("list sparse", [sorted(set(one.attrs) & {"Id", "Names", "Image", "State", "Labels"}) for one in client.containers.list(sparse=True)])
    refused("list with a wrong filter", client.containers.list, filters={"nonsense": "1"})
    made.start()
    show("wait", made.wait()["StatusCode"])
    show("wait next", made.wait(condition="not-running")["StatusCode"])
    show("logs", made.logs().decode())
    show("logs in time", [len(line.split(b" ", 1)) for line in made.logs(timestamps=True, stream=True)])
    made.rename("other")
    made.reload()
    show("renamed", made.name)
    refused("rename to a taken name", made.rename, "box")
    refused("create with a taken name", client.containers.create, "busybox", name="box")
    show("update", box.update(mem_limit="32m", memswap_limit="64m").get("Warnings"))
    show("top", box.top(ps_args="-eo pid,comm")["Titles"])
    stats = box.stats(stream=False)
    show("stats", [stats["name"].split("/")[-1], stats["pids_stats"]["current"], sorted(stats)])
    show("stats stream", next(box.stats(decode=True))["id"] == box.id)
    box.exec_run(["sh", "-c", "echo x > /new"])
    show("diff", [entry for entry in box.diff() if entry["Path"] == "/new"])
    for step in ("pause", "unpause", "stop", "start", "restart", "kill"):
        getattr(box, step)(**({"timeout": 1} if step in ("stop", "restart") else {}))
        box.reload()
        show(step, box.status)
    refused("kill what is dead", box.kill)
    refused("get what is not", client.containers.get, "absent")
    refused("inspect with no name", client.containers.get, "")
    box.start()
    refused("remove what runs", box.remove)
    image = box.commit("made", tag="1", message="m", author="a", changes=["CMD [\"true\"]"])
    show("commit", [image.tags, image.attrs["Author"], image.attrs["Config"]["Cmd"]])
    show("export", b"".join(box.export())[257:262].decode())
    box.remove(force=True)
    made.remove()
    image.remove()
    show("none left", client.containers.list(all=True))


def execs(client):
    box = running(client, "box")
    show("exec", list(box.exec_run(["sh", "-c", "echo out; exit 3"])))
    show("exec apart", list(box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)))
    show("exec stream", [piece.decode() for piece in box.exec_run(["sh", "-c", "echo one; sleep 0.2; echo two"], stream=True).output])
    show("exec in", list(box.exec_run("pwd", workdir="/tmp", user="root", environment={"A": "b"}, privileged=True)))
    show("exec away", box.exec_run(["sh", "-c", "sleep 0.1"], detach=True).output)
    show("list after a detached exec", [one.name.split("/")[-1] for one in client.containers.list()])
    refused("exec of nothing", lambda: show("exit", box.exec_run("/absent").exit_code))
    session = client.api.exec_create(box.id, ["cat"], stdin=True)["Id"]
    stream = client.api.exec_start(session, socket=True)
    sock = stream._sock
    sock.sendall(b"through a socket\n")
    sock.shutdown(socket.SHUT_WR)
    show("exec socket", read_all(stream).decode(errors="replace"))
    show("exec ended", [client.api.exec_inspect(session)[key] for key in ("ExitCode", "Running", "OpenStdin")])
    terminal = client.api.exec_create(box.id, ["sh", "-c", "stty size"], tty=True)["Id"]
    show("exec terminal", client.api.exec_start(terminal, tty=True).strip() != b"")
    refused("exec inspect of nothing", client.api.exec_inspect, "0" * 64)
    box.remove(force=True)
    reader = client.containers.create("busybox", ["sh", "-c", "read line; echo got $line; exit 5"], name="reader", stdin_open=True)
    stream = reader.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    reader.start()
    stream._sock.sendall(b"word\n")
    show("attach socket", read_all(stream).decode(errors="replace"))
    show("attached ended", reader.wait()["StatusCode"])
    show("logs of what was attached", reader.logs().decode())
    reader.remove()


def files(client):
    box = client.containers.create("busybox", name="box")
    show("put", box.put_archive("/tmp", archive(a="one", b="two")))
    chunks, stat = box.get_archive("/tmp")
    show("get", [stat["name"], sorted(members(chunks).items(), key=str)])
    refused("get what is not", box.get_archive, "/absent")
    refused("put where nothing is", box.put_archive, "/absent", archive(a="one"))
    box.remove()


def images(client):
    busybox = client.images.get("busybox")
    show("get", [busybox.tags, busybox.labels, busybox.id == client.images.get("docker.io/library/busybox:latest").id, busybox.short_id == busybox.id[:19]])
    show("tag", busybox.tag("team/app", "1"))
    show("list", sorted(tag for image in client.images.list() for tag in image.tags))
    show("list by name", [image.tags for image in client.images.list(name="team/app")])
    show("list by filter", [sorted(image.tags) for image in client.images.list(filters={"reference": "team/*"})])
    show("list dangling", client.images.list(filters={"dangling": True}))
    refused("list with a wrong filter", client.images.list, filters={"nonsense": "1"})
    show("history", len(busybox.history()))
    saved = b"".join(client.images.get("team/app:1").save(named="team/app:1"))
    client.images.remove("team/app:1")
    refused("get what is gone", client.images.get, "team/app:1")
    show("load", [image.tags for image in client.images.load(saved) if "team/app:1" in image.tags] != [])
    show("import", "sha256:" in str(client.api.import_image_from_data(archive(x="y"), repository="small", tag="1")))
    client.images.remove("small:1")
    client.images.remove("team/app:1")
    refused("remove what is not", client.images.remove, "team/app:1")
    refused("tag what is not", client.api.tag, "absent", "x")
    refused("pull from nowhere", client.images.pull, "127.0.0.1:1/app", tag="1")
    busybox.tag("127.0.0.1:1/app", "1")
    show("push to nowhere", "error" in client.images.push("127.0.0.1:1/app", tag="1"))
    client.images.remove("127.0.0.1:1/app:1")
    refused("registry data", client.images.get_registry_data, "127.0.0.1:1/app")


def networks(client):
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet="10.79.0.0/24", gateway="10.79.0.1")])
    network = client.networks.create("app", driver="bridge", ipam=pool, labels={"kind": "test"}, internal=True)
    show("create", [network.name, network.attrs["Driver"], network.attrs["Internal"], network.attrs["Labels"], network.attrs["IPAM"]["Config"]])
    refused("create twice", client.networks.create, "app", check_duplicate=True)
    box = running(client, "box")
    network.connect(box, aliases=["alias"], ipv4_address="10.79.0.9")
    network.reload()
    show("connected", [[one.name.split("/")[-1] for one in network.containers], network.attrs["Containers"][box.id]["IPv4Address"]])
    box.reload()
    show("on networks", sorted(box.attrs["NetworkSettings"]["Networks"]))
    refused("remove what is used", network.remove)
    network.disconnect(box)
    show("names", sorted({one.name.split("/")[-1] for one in client.networks.list()}))
    show("list by filter", [one.name.split("/")[-1] for one in client.networks.list(filters={"label": "kind=test"})])
    show("list by name", [one.name.split("/")[-1] for one in client.networks.list(names=["app"], greedy=True)])
    show("list by id", [one.id == network.id for one in client.networks.list(ids=[network.id])])
    network.remove()
    refused("get what is gone", client.networks.get, "app")
    box.remove(force=True)


def volumes(client):
    volume = client.volumes.create("labelled", labels={"kind": "test"})
    show("create", [volume.name, volume.attrs["Driver"], volume.attrs["Labels"], volume.attrs["Scope"]])
    show("list", sorted({one.name.split("/")[-1] for one in client.volumes.list()}))
    show("list by filter", sorted({one.name.split("/")[-1] for one in client.volumes.list(filters={"label": "kind=test", "dangling": True})}))
    client.containers.run("busybox", ["sh", "-c", "echo kept > /data/file"], volumes={"labelled": {"bind": "/data"}}, remove=True)
    show("get", client.volumes.get("labelled").name)
    volume.remove()
    refused("get what is gone", client.volumes.get, "labelled")
    refused("remove what is gone", volume.remove)


def past_events(client):
    begun = time.time()
    box = client.containers.create("busybox", ["true"], name="box", labels={"tier": "front"})
    box.start()
    box.wait()
    box.remove()
    client.volumes.create("passing").remove()
    ended = time.time()

    def actions(**filters):
        return [(event["Type"], event["Action"]) for event in client.events(since=begun, until=ended, decode=True, filters=filters)]

    show("container events", actions(type="container"))
    show("some events", actions(event=["create", "destroy"], type="container"))
    show("events of a label", actions(label="tier=front", event="start"))
    show("volume events", actions(type="volume"))
    show("no events", actions(container="absent"))


def live_events(client):
    seen, stream = [], client.events(decode=True, filters={"type": "container"})
    reader = threading.Thread(target=lambda: seen.extend(iter(stream)), daemon=True)
    reader.start()
    deadline = time.monotonic() + 30
    while not seen and time.monotonic() < deadline:  # until the stream is open, as its first event tells
        client.containers.create("busybox", name="first").remove()
    client.containers.create("busybox", name="box").remove()
    while not any(event["Actor"]["Attributes"]["name"] == "box" and event["Action"] == "destroy" for event in seen) and time.monotonic() < deadline:
        time.sleep(0.05)
    stream.close()
    show("live events", [event["Action"] for event in seen if event["Actor"]["Attributes"]["name"] == "box"])


def prune(client):
    client.containers.create("busybox", name="made")
    client.networks.create("app")
    client.volumes.create("unused")
    running(client, "box")
    show("containers", len(client.containers.prune()["ContainersDeleted"]))
    show("networks", client.networks.prune()["NetworksDeleted"])
    show("volumes", sorted(set((client.volumes.prune(filters={"label!": "keep"})["VolumesDeleted"]) or [])))
    show("images", client.images.prune()["ImagesDeleted"])
    show("builds", sorted(client.api.prune_builds()))
    show("left", [one.name.split("/")[-1] for one in client.containers.list(all=True)])
    client.containers.get("box").remove(force=True)


PARTS = (system, containers, execs, files, images, networks, volumes, past_events, live_events, prune)


def main():
    client = docker.DockerClient(base_url=sys.argv[1], version=sys.argv[2], timeout=60)
    global part
    for run in PARTS:
        part = run.__name__
        try:
            run(client)
        except Exception as problem:  # the rest is of interest all the same
            show("BROKE", [type(problem).__name__, str(problem)])
            for one in client.containers.list(all=True, sparse=True):
                one.remove(force=True)


if __name__ == "__main__":
    main()
