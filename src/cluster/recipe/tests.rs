//! Inspect answers of real engines (`golden/`), and what is made of them. Each has the same containers:
//!
//! * `web`: `--network app --ip 10.77.0.9 --network-alias w --link db:database -v data:/data -v /anon
//!   -v /etc/hosts:/h:ro --mount type=volume,target=/m --mount type=tmpfs,target=/t --restart unless-stopped
//!   -p 8080:80 -p 90 -c 2 -m 64m --health-cmd true`, later `network connect --alias wb back`
//! * `side`: `--net container:web --volumes-from db:ro`, where `db` has `-v dbdata:/var/db`
//! * `onhost`: `--net host`; `byid`: `--network ID --uts host --ipc shareable`; `legacy`: `--link olddb:db
//!   --hostname mine --entrypoint ""`

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cluster::view::tests::node;
use crate::engine::Inventory;
use crate::engine::inventory::{Network, Volume};

const ENGINES: [&str; 2] = [include_str!("golden/engine-28.json"), include_str!("golden/engine-20.json")];

fn inspected(engine: &str, name: &str) -> Object {
    Object::parse(engine.as_bytes()).unwrap().object(name)
}

/// The node of `web`, with its networks and some volumes.
fn origin(web: &Object) -> Node {
    let entry = format!(r#"{{"Id":"{}","Names":["/web"]}}"#, web.get::<String>("Id").unwrap());
    let mut pocket = node("a:1", "pocket", &[&entry]);
    let parse = |value: Value| Object::parse(value.to_string().as_bytes()).unwrap();
    let network = |id: &str, name: &str| {
        let value = json!({ "Id": id, "Name": name, "Scope": "local", "Driver": "bridge" });
        Network::read(&parse(value)).unwrap()
    };
    let volume = |name: &str, driver: &str, scope: &str, options: Value| {
        let value = json!({ "Name": name, "Driver": driver, "Scope": scope, "Options": options });
        Volume { fields: serde_json::from_value(value.clone()).unwrap(), entry: parse(value) }
    };
    let mut inventory = Inventory::clone(&pocket.inventory);
    inventory.networks = [network("i1", "app"), network("i2", "back"), network("i3", "bridge")].into();
    inventory.volumes = [
        volume("data", "local", "local", Value::Null),
        volume("share", "local", "local", json!({ "type": "nfs", "o": "addr=10.0.0.9" })),
        volume("bound", "local", "local", json!({ "type": "none", "o": "bind", "device": "/srv" })),
        volume("plugged", "plugin", "local", Value::Null),
        volume("everywhere", "plugin", "global", Value::Null),
    ]
    .into();
    pocket.inventory = Arc::new(inventory);
    pocket
}

fn read(engine: &str, name: &str) -> Recipe {
    recipe(engine, &inspected(engine, name))
}

fn recipe(engine: &str, inspected: &Object) -> Recipe {
    let node = Arc::new(origin(&self::inspected(engine, "web")));
    Recipe::read(inspected, &node, &View::of([Arc::clone(&node)])).unwrap()
}

fn body(recipe: &Recipe) -> Value {
    serde_json::from_str(&recipe.body.to_json()).unwrap()
}

#[test]
fn what_the_user_said_comes_back() {
    for engine in ENGINES {
        let web = read(engine, "web");
        let body = body(&web);
        assert_eq!((web.name.as_str(), web.node.as_str(), web.running), ("web", "pocket", true));
        assert_eq!(body["Hostname"], Value::Null, "the engine made it of the ID");
        assert_eq!(body["Healthcheck"]["Test"], json!(["CMD-SHELL", "true"]));
        assert_eq!(body["Labels"]["com.docker.swarm.id"], "feed");
        assert_eq!(body["Labels"]["com.docker.swarm.replaces"], web.id);
        let stranger = read(engine, "side");
        assert_eq!(self::body(&stranger)["Labels"]["com.docker.swarm.id"], stranger.id);
        assert_eq!((&body["Env"], &body["Cmd"]), (&json!(["A=1"]), &json!(["sleep", "1000"])));
        let host = &body["HostConfig"];
        assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
        assert_eq!(host["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
        assert_eq!(host["PortBindings"]["90/tcp"][0]["HostPort"], "", "any port will do again");
        assert_eq!(host["Memory"], 64 << 20);
        assert_eq!(host["ContainerIDFile"], Value::Null);
    }
}

#[test]
fn networks_keep_what_was_asked_of_them() {
    for engine in ENGINES {
        let web = read(engine, "web");
        let endpoints = body(&web)["NetworkingConfig"]["EndpointsConfig"].clone();
        assert_eq!(
            endpoints,
            json!({
                "app": { "IPAMConfig": { "IPv4Address": "10.77.0.9" }, "Aliases": ["w"], "Links": ["db:database"] },
                "back": { "Aliases": ["wb"] },
            })
        );
        let models: Vec<String> = web.networks.iter().filter_map(|n| n.get("Name")).collect();
        assert_eq!(models, ["app", "back"]);
        assert_eq!(web.networks[0].get::<String>("Driver").as_deref(), Some("bridge"));
        assert!(web.has_addresses());
        let without = web.without_addresses();
        assert!(!without.has_addresses());
        let app = &body(&without)["NetworkingConfig"]["EndpointsConfig"]["app"];
        assert_eq!(*app, json!({ "Aliases": ["w"], "Links": ["db:database"] }));
        assert_eq!(body(&read(engine, "byid"))["HostConfig"]["NetworkMode"], "app");
    }
    // Only newer engines can be asked for one by themselves, and only what was asked for is told.
    let mac = |engine| body(&read(engine, "web"))["MacAddress"].clone();
    assert_eq!((mac(ENGINES[0]), mac(ENGINES[1])), ("02:42:0a:4d:00:77".into(), Value::Null));
}

#[test]
fn other_containers_are_meant_by_name() {
    for engine in ENGINES {
        let side = body(&read(engine, "side"));
        assert_eq!(side["HostConfig"]["NetworkMode"], "container:web");
        assert_eq!(side["HostConfig"]["VolumesFrom"], json!(["db:ro"]));
        for refused in ["Hostname", "Domainname", "ExposedPorts", "MacAddress", "NetworkingConfig"] {
            assert_eq!(side[refused], Value::Null, "{refused} goes with no other container's network");
        }
        let legacy = read(engine, "legacy");
        let links = body(&legacy)["HostConfig"]["Links"].clone();
        assert_eq!((links, &body(&legacy)["Hostname"]), (json!(["olddb:db"]), &"mine".into()));
        assert!(legacy.networks.is_empty(), "every engine has its bridge");
    }
}

#[test]
fn names_that_engines_gave_go() {
    for engine in ENGINES {
        let mut onhost = inspected(engine, "onhost");
        let mut config = onhost.object("Config");
        config.set("Hostname", "pocket");
        onhost.set("Config", &config);
        let onhost = body(&recipe(engine, &onhost));
        assert_eq!((&onhost["Hostname"], &onhost["NetworkingConfig"]), (&Value::Null, &Value::Null));
        assert_eq!(body(&read(engine, "byid"))["Hostname"], Value::Null);
        assert_eq!(body(&read(engine, "legacy"))["Entrypoint"], json!([""]), "none, not the image's");
    }
}

#[test]
fn volumes_stay_or_keep_or_come() {
    for engine in ENGINES {
        let web = read(engine, "web");
        assert_eq!(
            (web.kept_by.as_slice(), web.paths.as_slice()),
            (&["data".into()][..], &["/etc/hosts".into()][..])
        );
        assert_eq!(web.left.len(), 2, "/anon and /m: {:?}", web.left);
        let body = body(&web);
        assert_eq!(body["Volumes"], json!({ "/anon": {} }));
        let mounts = &body["HostConfig"]["Mounts"];
        assert_eq!(
            *mounts,
            json!([{ "Type": "volume", "Target": "/m" }, { "Type": "tmpfs", "Target": "/t" }])
        );
        let side = read(engine, "side");
        assert!(side.kept_by.is_empty() && side.left.is_empty(), "those are db's");
    }
}

/// (binds, label, what keeps it, how many are left)
#[test]
fn whose_data_is_elsewhere_is_free_to_go() {
    let hash = "ab".repeat(32);
    let anonymous = format!("{hash}:/cache:rw");
    for (binds, label, kept_by, left) in [
        (vec!["share:/s", "everywhere:/e"], "", vec![], 2),
        (vec!["bound:/b", "plugged:/p:ro", "unheard-of:/u"], "", vec!["bound", "plugged", "unheard-of"], 2),
        (vec!["data:/d"], "move", vec![], 3),
        (vec!["data:/d"], "stay", vec!["data"], 2),
        (vec![anonymous.as_str()], "", vec![], 3),
    ] {
        let mut web = inspected(ENGINES[0], "web");
        let mut host = web.object("HostConfig");
        host.set("Binds", &binds);
        web.set("HostConfig", &host);
        let mut config = web.object("Config");
        config.set("Labels", &json!({ VOLUMES_LABEL: label }));
        web.set("Config", &config);
        let recipe = recipe(ENGINES[0], &web);
        assert_eq!(
            (&recipe.kept_by, recipe.left.len()),
            (&kept_by.iter().map(|s| s.to_string()).collect(), left),
            "{binds:?}"
        );
        if binds == [anonymous.as_str()] {
            assert_eq!(body(&recipe)["HostConfig"]["Binds"], json!([]));
            assert_eq!(body(&recipe)["Volumes"], json!({ "/anon": {}, "/cache": {} }));
        }
    }
}

#[test]
fn it_comes_back_from_disk_as_it_was() {
    let web = read(ENGINES[0], "web");
    let text = serde_json::to_string(&web).unwrap();
    let back: Recipe = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert!(Recipe::read(&Object::default(), &node("a:1", "a", &[]), &View::default()).is_none());
}
