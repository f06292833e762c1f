//! Lets a call in or not: `access` decides, on the body that engines get afterwards.
//!
//! Of callers with a role everything is looked at; of all others (admins, unix sockets, other managers) nothing but
//! that they are who they are: their bodies stay as they came.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, TRAILER};
use hyper::{HeaderMap, Method};

use crate::access::forms::{self, Form};
use crate::access::parameters::{self, Asked};
use crate::access::policy::{self, Options, forbidden};
use crate::access::{Class, check_volume};
use crate::api::Api;
use crate::api::answer::{Answer, Manager, Many, New, One, Several, Streams};
use crate::api::call::{Call, encode};
use crate::api::route::Route;
use crate::cluster::view::View;
use crate::cluster::{lookup, nets};
use crate::config::{Access, Leave};
use crate::docker::http::{CALL_DEADLINE, answered};
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

impl Api {
    /// Whether the caller may make this call, as far as the call itself says. The body of who has a role is put in
    /// order.
    pub async fn admit(&self, call: &mut Call, route: Option<&Route>) -> Result<()> {
        let config = self.config();
        let access = &config.access;
        let options = Options {
            reader_logs: access.reader_logs,
            buildkit: access.deployer_allow.contains(&Leave::Buildkit),
        };
        policy::decide(&call.caller, route.map(|r| r.class), options)?;
        let Some(route) = route.filter(|r| r.class != Class::Token && !call.caller.may_everything()) else {
            return Ok(());
        };
        let form = form(route, call.method());
        let networks = parameters::check(asked(route), call.query.iter(), access)?;
        call.joins.extend(networks);
        if matches!(route.answer, Answer::Owner(One::Connect)) {
            call.joins.push(route.name.clone());
        }
        match form {
            Form::Ours => return Ok(()),
            Form::Stream => return stream_type(call.request.headers_mut()),
            Form::Tunnel => return nothing_before(call.request.headers_mut()),
            _ => {}
        }
        plain(call.request.headers())?;
        let body = call.read_body().await?;
        if !body.trim_ascii().is_empty() && form != Form::Nothing {
            is_json(call.request.headers())?;
        }
        let checked = forms::check(form, &body, access)?;
        call.joins.extend(checked.named.networks);
        call.mounts.extend(checked.named.volumes);
        let headers = call.request.headers_mut();
        headers.remove(CONTENT_TYPE);
        if !checked.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        *call.request.body_mut() = Bytes::from(checked.body).into();
        Ok(())
    }

    /// The same as far as it depends on what is there: asked where the call is carried out.
    pub async fn admit_to_objects(&self, call: &Call, route: &mut Route) -> Result<()> {
        if call.caller.may_everything() || route.class == Class::Token {
            return Ok(());
        }
        let view = self.cluster.view();
        if let Some(network) = call.joins.iter().find(|name| nets::may_be_hosts(&view, name)) {
            return Err(forbidden(format!(
                "{network:?} is the network of the host, which is not for this role"
            ))
            .advise("it takes the role admin, or \"host-network\" in [access] deployer-allow"));
        }
        check_volumes(&view, &call.mounts, &self.config().access)?;
        if route.class == Class::Enter {
            self.admit_into(route).await?;
        }
        Ok(())
    }

    /// Whether there is nothing of the host in the container that is to be entered. From here on it is called by its
    /// ID: names may be given to others meanwhile.
    async fn admit_into(&self, route: &mut Route) -> Result<()> {
        let container = match route.answer {
            Answer::Hijacked(Streams::ExecStart) => self.container_of_exec(&route.name).await?,
            _ => {
                let (node, container) = self.owned(&route.name)?;
                route.name = container.id.clone();
                (node, container.id.clone())
            }
        };
        let (node, id) = container;
        let inspect = self.read(&node, &format!("/containers/{}/json", encode(&id))).await?;
        self.admit_inside(&inspect)
    }

    /// Whether there is nothing of the host in a container of which an engine tells this.
    pub(super) fn admit_inside(&self, inspect: &[u8]) -> Result<()> {
        let config = self.config();
        let named = forms::check_entered(inspect, &config.access)?;
        let view = self.cluster.view();
        check_volumes(&view, &named.volumes, &config.access)?;
        match named.networks.iter().any(|name| nets::may_be_hosts(&view, name)) {
            true => Err(forbidden("the container has something of the host: its network")),
            false => Ok(()),
        }
    }

    async fn container_of_exec(&self, id: &str) -> Result<(std::sync::Arc<Node>, String)> {
        #[derive(serde::Deserialize)]
        struct Session {
            #[serde(rename = "ContainerID")]
            container: String,
            #[serde(rename = "ProcessConfig")]
            process: Process,
        }
        #[derive(serde::Deserialize)]
        struct Process {
            #[serde(default)]
            privileged: Option<bool>,
        }
        let node = self.exec_node(id).await?;
        let answer = self.read(&node, &format!("/exec/{}/json", encode(id))).await?;
        let strange = |_| Error::engine(Kind::Protocol, "the engine says nothing of what the session is");
        let session: Session = serde_json::from_slice(&answer).map_err(strange)?;
        match session.process.privileged {
            Some(true) if !self.config().access.deployer_allow.contains(&Leave::Privileged) => {
                Err(forbidden("the session is privileged, which is not for this role"))
            }
            _ => Ok((node, session.container)),
        }
    }

    async fn read(&self, node: &Node, path: &str) -> Result<Bytes> {
        let handle = self.cluster.handle(node)?;
        let (status, answer) = handle.client.call(Method::GET, path, CALL_DEADLINE).await?;
        if status.is_success() { Ok(answer) } else { Err(answered(status, &answer)) }
    }
}

/// Whether none of these volumes is a directory of a host, on whatever node: where it is missing, it is made as it is
/// elsewhere.
fn check_volumes(view: &View, names: &[String], access: &Access) -> Result<()> {
    for name in names {
        let bare = name.rsplit('/').next().unwrap_or_default();
        for (_, volume) in lookup::volumes(view, bare) {
            check_volume(bare, &volume.fields.driver, volume.fields.options.iter(), access)?;
        }
    }
    Ok(())
}

/// What a route carries. Whatever is not named here carries no body.
fn form(route: &Route, method: &Method) -> Form {
    match route.answer {
        Answer::Placed(New::Container) => Form::Create,
        Answer::Placed(New::Network) => Form::Network,
        Answer::Placed(New::Image) => Form::Stream,
        Answer::Owner(One::CreateExec) => Form::Exec,
        Answer::Hijacked(Streams::ExecStart) => Form::ExecStart,
        Answer::Hijacked(Streams::Attach | Streams::Build) => Form::Tunnel,
        Answer::Owner(One::Change) if route.action == "update" => Form::Update,
        Answer::Owner(One::Commit) => Form::Commit,
        Answer::Owner(One::Connect) => Form::Connect,
        Answer::Owner(One::Disconnect) => Form::Disconnect,
        Answer::Owner(One::Pass) if route.action == "copy" => Form::Copy,
        Answer::Owner(One::Pass) if route.action == "archive" && method == Method::PUT => Form::Stream,
        Answer::Everywhere(Many::CreateVolume) => Form::Volume,
        Answer::Everywhere(Many::Pull | Many::Load) => Form::Stream,
        Answer::AnyNode if method == Method::POST => Form::Credentials,
        Answer::Swarmd(_) => Form::Ours,
        Answer::Here(Manager::Ping | Manager::Version | Manager::Info | Manager::Registry)
        | Answer::View(_)
        | Answer::Merged(Several::Events | Several::DiskUsage | Several::Network | Several::Plugins)
        | Answer::Owner(_)
        | Answer::AnyNode
        | Answer::Everywhere(_)
        | Answer::Refused(_) => Form::Nothing,
    }
}

fn asked(route: &Route) -> Asked {
    match route.answer {
        Answer::Owner(One::Change) if route.action == "start" => Asked::Start,
        Answer::Placed(New::Image) => Asked::Build,
        _ => Asked::Any,
    }
}

/// The media type, without what comes behind it. Engines take the first of several headers, others the last.
fn media_type(headers: &HeaderMap) -> Result<Option<String>> {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (first, more) = (all.next(), all.next());
    let bad = || Error::client(Kind::Invalid, "the content type cannot be read");
    if more.is_some() {
        return Err(bad());
    }
    let Some(value) = first else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad())?;
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(Some(media).filter(|m| !m.is_empty()))
}

fn is_json(headers: &HeaderMap) -> Result<()> {
    match media_type(headers)?.as_deref() {
        Some("application/json") => Ok(()),
        other => {
            let text = format!("the body must be application/json, not {}", other.unwrap_or("of no type"));
            Err(Error::client(Kind::Invalid, text))
        }
    }
}

/// No other encoding than the one that we read.
fn plain(headers: &HeaderMap) -> Result<()> {
    let encoded =
        headers.get_all(CONTENT_ENCODING).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"));
    match encoded || headers.contains_key(TRAILER) {
        true => Err(Error::client(Kind::Invalid, "the body must not be encoded, and have no trailers")),
        false => Ok(()),
    }
}

/// A stream of parameters would be read as such by engines: those come in the query alone.
fn stream_type(headers: &mut HeaderMap) -> Result<()> {
    plain(headers)?;
    let media = media_type(headers)?.unwrap_or_default();
    if media == "application/x-www-form-urlencoded" || media.starts_with("multipart/") {
        return Err(Error::client(Kind::Invalid, format!("the body must be a tar archive, not {media}")));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    Ok(())
}

/// The type of a stream that takes the connection over says nothing, and a body before it is not passed on.
fn nothing_before(headers: &mut HeaderMap) -> Result<()> {
    plain(headers)?;
    let media = media_type(headers)?.unwrap_or_default();
    headers.remove(CONTENT_TYPE);
    match media.as_str() {
        "application/x-www-form-urlencoded" | "application/json" | "text/plain" | "" => Ok(()),
        other => Err(Error::client(Kind::Invalid, format!("no body of type {other} is read here"))),
    }
}
