//! A command line of `docker run` as the create call that Docker's client would make of it, as far as
//! placement goes.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::api::swarmd::talk::Create;
use crate::client::flags::{self, Means};
use crate::client::ports::{bytes, nano_cpus, published};
use crate::docker::json::Object;

/// Reads the words behind `run`; `read` reads the files of `--env-file` and `--label-file`.
///
/// # Errors
/// What is wrong, for a person.
pub fn parse(words: &[String], read: &dyn Fn(&Path) -> Result<String, String>) -> Result<Create, String> {
    let (given, rest) = flags::split(words)?;
    let image = rest.first().ok_or("docker run needs an image")?;
    let mut run = Run::default();
    for (flag, value) in &given {
        run.take(flag.means, value, read)?;
    }
    Ok(run.create(image))
}

#[derive(Default)]
struct Run {
    create: Create,
    env: Vec<String>,
    labels: Map<String, Value>,
    exposed: Map<String, Value>,
    ports: Map<String, Value>,
    networks: Vec<String>,
    links: Vec<String>,
    /// Further fields of `HostConfig`.
    host: Map<String, Value>,
}

impl Run {
    fn take(
        &mut self,
        means: Means,
        value: &str,
        read: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<(), String> {
        match means {
            Means::Nothing => {}
            Means::Name => self.create.name = value.to_string(),
            Means::Platform => {
                self.create.query.insert("platform".into(), value.to_string());
            }
            Means::Env => self.env.push(value.to_string()),
            Means::EnvFile => self.env.extend(lines(&read(Path::new(value))?)),
            Means::Label => self.label(value),
            Means::LabelFile => lines(&read(Path::new(value))?).iter().for_each(|line| self.label(line)),
            Means::Publish => self.publish(value)?,
            Means::PublishAll => self.set("PublishAllPorts", value != "false"),
            Means::Expose => self.expose(value)?,
            Means::Memory => self.set("Memory", bytes(value)?),
            Means::MemoryReservation => self.set("MemoryReservation", bytes(value)?),
            Means::Cpus => self.set("NanoCpus", nano_cpus(value)?),
            Means::CpuShares => {
                let shares: i64 = value.parse().map_err(|_| format!("malformed CPU shares {value:?}"))?;
                self.set("CpuShares", shares);
            }
            Means::Ipc => self.set("IpcMode", value),
            Means::Pid => self.set("PidMode", value),
            Means::Remove => self.set("AutoRemove", value != "false"),
            Means::Network => self.networks.push(network_name(value)),
            Means::Link => self.links.push(value.to_string()),
            Means::VolumesFrom => self.push("VolumesFrom", json!(value)),
            // A path alone is a new anonymous volume, which goes anywhere.
            Means::Volume if value.contains(':') => self.push("Binds", json!(value)),
            Means::Volume => {}
            Means::Mount => self.push("Mounts", mount(value)),
            Means::Device => self.device(value),
            Means::Gpus => self.push("DeviceRequests", gpus(value)),
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.host.insert(key.to_string(), value.into());
    }

    fn push(&mut self, key: &str, value: Value) {
        if let Value::Array(list) = self.host.entry(key).or_insert_with(|| json!([])) {
            list.push(value);
        }
    }

    fn label(&mut self, text: &str) {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        self.labels.insert(key.to_string(), json!(value));
    }

    fn publish(&mut self, text: &str) -> Result<(), String> {
        for port in published(text)? {
            let binding = json!({ "HostIp": port.host_ip, "HostPort": port.host_port });
            if let Value::Array(list) = self.ports.entry(&port.container).or_insert_with(|| json!([])) {
                list.push(binding);
            }
            self.exposed.insert(port.container, json!({}));
        }
        Ok(())
    }

    fn expose(&mut self, text: &str) -> Result<(), String> {
        if text.contains(':') {
            return Err(format!("malformed port {text:?}"));
        }
        self.exposed.extend(published(text)?.into_iter().map(|port| (port.container, json!({}))));
        Ok(())
    }

    /// A path of the host, or the name of a CDI device (`vendor.com/class=name`).
    fn device(&mut self, text: &str) {
        if text.contains('=') && !text.starts_with('/') {
            self.push("DeviceRequests", json!({ "Driver": "cdi", "DeviceIDs": [text] }));
            return;
        }
        let mut parts = text.split(':');
        let host = parts.next().unwrap_or_default();
        let (inside, permissions) = (parts.next().unwrap_or(host), parts.next().unwrap_or("rwm"));
        let device =
            json!({ "PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": permissions });
        self.push("Devices", device);
    }

    fn create(mut self, image: &str) -> Create {
        let mode = self.networks.first().cloned().unwrap_or_else(|| "default".into());
        let own = |name: &&String| {
            !matches!(name.as_str(), "default" | "bridge" | "host" | "none" | "nat")
                && !name.starts_with("container:")
        };
        let mut endpoints: Map<String, Value> =
            self.networks.iter().filter(own).map(|name| (name.clone(), json!({}))).collect();
        if !self.links.is_empty() {
            match endpoints.get_mut(&mode) {
                Some(endpoint) => *endpoint = json!({ "Links": self.links }),
                None => self.set("Links", self.links.clone()),
            }
        }
        self.set("NetworkMode", mode);
        self.set("PortBindings", self.ports.clone());
        let mut body = Object::default();
        body.set("Image", image);
        body.set("Env", &self.env);
        body.set("Labels", &self.labels);
        body.set("ExposedPorts", &self.exposed);
        body.set("HostConfig", &self.host);
        body.set("NetworkingConfig", &json!({ "EndpointsConfig": endpoints }));
        Create { body, ..self.create }
    }
}

/// The lines of a file of variables or labels; empty ones and comments do not count.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(String::from).collect()
}

/// `NAME` or `name=NAME,alias=…`.
fn network_name(text: &str) -> String {
    let named = text.split(',').find_map(|part| part.strip_prefix("name="));
    named.unwrap_or(text).to_string()
}

/// `type=volume,source=data,target=/data`
fn mount(text: &str) -> Value {
    let mut mount = Map::new();
    mount.insert("Type".into(), json!("volume"));
    for (key, value) in text.split(',').filter_map(|part| part.split_once('=')) {
        let key = match key.to_lowercase().as_str() {
            "type" => "Type",
            "source" | "src" => "Source",
            "target" | "destination" | "dst" => "Target",
            _ => continue,
        };
        mount.insert(key.into(), json!(value));
    }
    Value::Object(mount)
}

/// `all`, a number, or `device=…,capabilities=…`.
fn gpus(text: &str) -> Value {
    let text = text.trim_matches('"');
    let devices: Vec<&str> = match text.split_once("device=") {
        Some((_, list)) => list.split(',').filter(|id| !id.contains('=')).collect(),
        None => Vec::new(),
    };
    let count = match text.strip_prefix("count=").unwrap_or(text) {
        "all" => -1,
        number => number.parse().unwrap_or(0),
    };
    json!({ "Driver": "", "Count": count, "DeviceIDs": devices, "Capabilities": [["gpu"]] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Create, String> {
        let words: Vec<String> = words.iter().map(|w| w.to_string()).collect();
        parse(&words, &|path| match path.to_str() {
            Some("vars") => Ok("# hints\n\nconstraint:disk==ssd\nB=2\n".into()),
            _ => Err("no such file".into()),
        })
    }

    fn body(words: &[&str]) -> Value {
        serde_json::from_str(&read(words).unwrap().body.to_json()).unwrap()
    }

    #[test]
    fn what_matters_is_in_the_body() {
        let words = [
            "-dit",
            "--rm",
            "--name",
            "web",
            "-e",
            "constraint:node==pi1",
            "--env-file=vars",
            "-l",
            "k=v",
            "-p",
            "8080:80",
            "-m",
            "512m",
            "--cpus",
            "1.5",
            "-c2",
            "--net",
            "app",
            "--link",
            "db:store",
            "--volumes-from",
            "data",
            "-v",
            "vol:/v",
            "-v",
            "/anonymous",
            "--platform",
            "linux/arm64",
            "--device",
            "/dev/fuse",
            "--ipc=container:db",
            "--restart=always",
            "box",
            "-e",
            "mine",
        ];
        let create = read(&words).unwrap();
        assert_eq!((create.name.as_str(), create.query["platform"].as_str()), ("web", "linux/arm64"));
        let body = body(&words);
        assert_eq!(body["Image"], "box");
        assert_eq!(body["Env"], json!(["constraint:node==pi1", "constraint:disk==ssd", "B=2"]));
        assert_eq!(body["Labels"], json!({ "k": "v" }));
        assert_eq!(body["ExposedPorts"], json!({ "80/tcp": {} }));
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], json!({ "app": { "Links": ["db:store"] } }));
        let host = &body["HostConfig"];
        for (key, value) in [
            ("PortBindings", json!({ "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] })),
            ("Memory", json!(512 << 20)),
            ("NanoCpus", json!(1_500_000_000)),
            ("CpuShares", json!(2)),
            ("NetworkMode", json!("app")),
            ("VolumesFrom", json!(["data"])),
            ("Binds", json!(["vol:/v"])),
            ("IpcMode", json!("container:db")),
            ("AutoRemove", json!(true)),
        ] {
            assert_eq!(host[key], value, "{key}");
        }
        assert_eq!(host["Devices"][0]["PathInContainer"], "/dev/fuse");
    }

    #[test]
    fn other_spellings() {
        let body = body(&[
            "--network",
            "name=app,alias=x",
            "--gpus",
            "all",
            "--mount",
            "type=volume,src=d,dst=/d",
            "box",
        ]);
        assert_eq!(body["HostConfig"]["NetworkMode"], "app");
        assert_eq!(body["HostConfig"]["DeviceRequests"][0]["Count"], -1);
        assert_eq!(
            body["HostConfig"]["Mounts"][0],
            json!({ "Type": "volume", "Source": "d", "Target": "/d" })
        );
        let bare = body_of_link();
        assert_eq!(bare["HostConfig"]["Links"], json!(["db"]));
        assert_eq!(bare["HostConfig"]["NetworkMode"], "default");
    }

    fn body_of_link() -> Value {
        body(&["--link", "db", "box"])
    }

    #[test]
    fn mistakes_are_said() {
        for (words, error) in [
            (&["-d"][..], "docker run needs an image"),
            (&["-p", "x", "box"], "malformed port \"x\""),
            (&["-m", "much", "box"], "malformed amount of memory \"much\""),
            (&["--env-file", "gone", "box"], "no such file"),
            (&["--expose", "1:2", "box"], "malformed port \"1:2\""),
        ] {
            assert_eq!(read(words).unwrap_err(), error);
        }
    }
}
