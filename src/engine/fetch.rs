//! The questions that an engine's task asks, each with a deadline. No state, no retry.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use hyper::StatusCode;

use crate::clock;
use crate::docker::endpoint::Endpoint;
use crate::docker::filters::Filters;
use crate::docker::http::{CALL_DEADLINE, Client, answered};
use crate::docker::json::Object;
use crate::docker::types::{Info, Inspected, Version};
use crate::docker::version::NEWEST;
use crate::engine::container::{Container, Place, moves_on_failure};
use crate::engine::inventory::{Image, Network, Volume};
use crate::engine::specs::Specs;
use crate::error::{Error, Kind, Result};

/// Deadline of a ping: a healthy engine answers in milliseconds, a busy small one within a second.
pub const PING_DEADLINE: Duration = Duration::from_secs(3);
/// Deadline of a list: an engine with thousands of containers on an SD card takes its time.
const LIST_DEADLINE: Duration = Duration::from_secs(30);
/// What all containers are listed under.
const ALL: &str = "/containers/json?all=1";
/// Most IDs that go into one question: beyond that it is for all containers.
const MOST_IDS: usize = 100;
/// Inspects under way at once while an engine is read for the first time.
const PARALLEL_INSPECTS: usize = 4;

/// A client with the version prefix that its engine accepts.
#[derive(Clone)]
pub struct Asker {
    /// The connection.
    pub client: Client,
    /// `/v1.41`, or empty before the engine told its range.
    pub prefix: String,
}

impl Asker {
    /// An asker for an engine of which nothing is known yet.
    pub fn new(client: Client) -> Asker {
        Asker { client, prefix: String::new() }
    }

    /// The same for one question after which there will be none for a while.
    pub fn alone(&self) -> Asker {
        Asker { client: self.client.clone().alone(), prefix: self.prefix.clone() }
    }

    /// One ping.
    pub async fn ping(&self) -> Result<()> {
        let (status, body) = self.client.ask("/_ping", PING_DEADLINE).await?;
        match status {
            StatusCode::OK => Ok(()),
            _ => Err(self.not_docker("/_ping", answered(status, &body))),
        }
    }

    /// Reads and checks what the engine says of itself; from then on questions carry a version.
    pub async fn specs(&mut self, addr: &str) -> Result<Specs> {
        let info: Info = self.first("/info").await?;
        let now = clock::unix_nanos();
        let version: Version = self.first("/version").await?;
        let specs = Specs::read(addr, &info, &version, now)?;
        self.prefix = format!("/v{}", specs.api.nearest(NEWEST));
        Ok(specs)
    }

    async fn first<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.client.get_json(path, CALL_DEADLINE).await.map_err(|e| self.not_docker(path, e))
    }

    /// A server that is no engine has no such page, or lets nobody in; an engine in trouble answers 5xx.
    fn not_docker(&self, path: &str, error: Error) -> Error {
        match error.kind {
            Kind::Status(code @ 300..=499) => Error::engine(
                Kind::Protocol,
                format!("{} is not a Docker Engine: it answered {code} to {path}", self.client.endpoint()),
            )
            .advise("make sure that the address and port are those of dockerd"),
            _ => error,
        }
    }

    /// All containers, as list entries.
    async fn containers(&self) -> Result<Vec<Object>> {
        self.read_list(&self.list_of_containers().await?)
    }

    /// The same as text.
    pub async fn list_of_containers(&self) -> Result<Bytes> {
        self.client.get(&format!("{}{ALL}", self.prefix), LIST_DEADLINE).await
    }

    /// The entries of such a text.
    pub fn read_list(&self, list: &[u8]) -> Result<Vec<Object>> {
        Ok(self.client.understood::<Option<_>>(ALL, list)?.unwrap_or_default())
    }

    /// One container, or `None` if it is gone. The list entry and the inspect answer are asked for together.
    pub async fn container(&self, id: &str, place: &Place) -> Result<Option<Container>> {
        let mut filter = Filters::default();
        filter.add("id", id);
        let filter: String = form_urlencoded::byte_serialize(filter.to_json().as_bytes()).collect();
        let path = format!("/containers/json?all=1&filters={filter}");
        let (listed, inspected) = tokio::join!(self.list::<Object>(&path), self.inspect(id));
        let listed = listed?.into_iter().find(|entry| entry.get::<String>("Id").as_deref() == Some(id));
        Ok(match (listed, inspected?) {
            (Some(listed), Some(inspected)) => Container::build(&listed, &inspected, place),
            _ => None,
        })
    }

    /// The list entries of some containers. What is not in the answer is gone.
    pub async fn entries(&self, ids: &[String]) -> Result<Vec<Object>> {
        let mut filter = Filters::default();
        ids.iter().for_each(|id| filter.add("id", id));
        let filter: String = form_urlencoded::byte_serialize(filter.to_json().as_bytes()).collect();
        match ids.len() {
            0 => Ok(Vec::new()),
            1..=MOST_IDS => self.list(&format!("/containers/json?all=1&filters={filter}")).await,
            _ => self.containers().await,
        }
    }

    /// Builds listed containers. One whose inspect fails is kept with what its list entry says: one stuck
    /// container must not keep a whole engine out of the cluster.
    pub async fn complete(&self, entries: Vec<Object>, place: &Place) -> Vec<Container> {
        // Boxed: the compiler cannot see that the borrowing futures are `Send`.
        let built = stream::iter(entries)
            .map(|entry| self.build(entry, place).boxed())
            .buffer_unordered(PARALLEL_INSPECTS);
        built.filter_map(|container| async { container }).collect().await
    }

    async fn build(&self, entry: Object, place: &Place) -> Option<Container> {
        let id = entry.get::<String>("Id")?;
        let inspected = match self.inspect(&id).await {
            Ok(inspected) => inspected?,
            Err(e) => {
                tracing::warn!(CONTAINER = id, "cannot inspect a container, using its list entry alone: {e}");
                from_entry(&entry)
            }
        };
        Container::build(&entry, &inspected, place)
    }

    /// The inspect answer of one container, or `None` if it is gone.
    pub async fn inspect(&self, id: &str) -> Result<Option<Inspected>> {
        let path = format!("{}/containers/{id}/json", self.prefix);
        let answer = match self.client.get(&path, CALL_DEADLINE).await {
            Ok(answer) => answer,
            Err(e) if e.kind == Kind::Status(404) => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut inspected: Inspected = self.client.understood(&path, &answer)?;
        if moves_on_failure(&inspected.config.labels) {
            inspected.whole = Object::parse(&answer).ok().map(Arc::new);
        }
        Ok(Some(inspected))
    }

    /// All networks.
    pub async fn networks(&self) -> Result<Vec<Network>> {
        let entries = self.list::<Object>("/networks").await?;
        let mut networks: Vec<_> = entries.iter().filter_map(Network::read).collect();
        networks.sort_unstable_by(|a, b| a.fields.id.cmp(&b.fields.id)); // Engines have them in any order.
        Ok(networks)
    }

    /// All volumes.
    pub async fn volumes(&self) -> Result<Vec<Volume>> {
        let answer: Object = self.get("/volumes").await?;
        let entries = answer.get::<Vec<Object>>("Volumes").unwrap_or_default();
        let volumes = entries.into_iter().filter_map(|entry| Some(Volume { fields: fields(&entry)?, entry }));
        let mut volumes: Vec<_> = volumes.collect();
        volumes.sort_unstable_by(|a, b| a.fields.name.cmp(&b.fields.name)); // Engines have them in any order.
        Ok(volumes)
    }

    /// All images, intermediate layers included.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let entries = self.list::<Object>("/images/json?all=1").await?;
        Ok(entries.into_iter().filter_map(|entry| Some(Image { fields: fields(&entry)?, entry })).collect())
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        Ok(self.get::<Option<Vec<T>>>(path).await?.unwrap_or_default())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.client.get_json(&format!("{}{path}", self.prefix), LIST_DEADLINE).await
    }
}

/// The address behind an endpoint. `None` for a unix socket: its node is this machine, and "all interfaces"
/// of its ports means just that.
pub async fn resolve(endpoint: &Endpoint) -> Result<Option<IpAddr>> {
    let Endpoint::Tcp { host, port } = endpoint else {
        return Ok(None);
    };
    let failed = |why: String| {
        Error::engine(Kind::Connect, format!("cannot resolve {host}: {why}"))
            .advise("check the name, or use an address")
    };
    match tokio::time::timeout(CALL_DEADLINE, tokio::net::lookup_host((host.as_str(), *port))).await {
        Ok(Ok(mut addresses)) => {
            addresses.next().map(|a| Some(a.ip())).ok_or_else(|| failed("no address".into()))
        }
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(_) => Err(failed("no answer in time".into())),
    }
}

fn fields<T: serde::de::DeserializeOwned>(entry: &Object) -> Option<T> {
    serde_json::from_str(&entry.to_json()).ok()
}

/// What an inspect answer would say, guessed from the list entry.
pub fn from_entry(entry: &Object) -> Inspected {
    let mut inspected = Inspected::default();
    let state = entry.get::<String>("State").unwrap_or_default();
    inspected.state.running = matches!(state.as_str(), "running" | "paused" | "restarting");
    inspected.state.paused = state == "paused";
    inspected.state.restarting = state == "restarting";
    inspected
}
