//! From a request to its answer: version check, route, the endpoint's function, and the headers that every
//! answer carries.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tracing::Instrument;

use crate::api::call::{Call, Peer, RequestId, version_of};
use crate::api::ending::{cut_by, ended_by, is_endless};
use crate::api::replica::{FromPrimary, Passed, REQUEST_ID, passed_on};
use crate::api::route::{
    self, Answer, Lists, Manager, Many, New, One, Prune, Refusal, Route, Several, Streams,
};
use crate::api::{Api, error, system};
use crate::docker::http::{Body, empty};
use crate::docker::version::ApiRange;
use crate::error::{Error, Kind, Result, Side};
use crate::tls::identity::Identity;

/// What an engine outside swarm mode answers; every client knows it.
const NO_SWARM_MODE: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                             connect this node to swarm and try again.";

/// What the classic manager answered to what only makes sense on one engine.
const NOT_IN_CLUSTER: &str = "Not supported in clustering mode.";

impl Api {
    /// Answers one request. Never fails: an error is an answer, too.
    pub async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        identity: Option<Arc<Identity>>,
    ) -> Response<Body> {
        let passed = match peer {
            // Whatever it says.
            Peer::Stranger(_) => None,
            _ => self.mandate.is_shared().then(|| passed_on(request.headers())).flatten(),
        };
        let (peer, id) = match passed {
            Some((client, id)) => (client, id.unwrap_or_else(RequestId::make)),
            None => (peer, RequestId::make()),
        };
        // At the highest level: whatever is told about the request carries its name.
        let span = tracing::error_span!("request", REQUEST_ID = %id);
        self.answer_as(request, peer, identity, id).instrument(span).await
    }

    async fn answer_as(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        identity: Option<Arc<Identity>>,
        id: RequestId,
    ) -> Response<Body> {
        let range = self.cluster.view().api_range();
        let (method, path) = (request.method().clone(), shown(request.uri()));
        let mut response = match self.route(request, peer, identity, id, range).await {
            Ok(response) => response,
            Err(e) => {
                log(&e, &method, &path);
                error::respond(&e, version_of(&path))
            }
        };
        tracing::debug!(STATUS = response.status().as_u16(), PEER = %peer, "{method} {path}");
        if method == hyper::Method::HEAD {
            *response.body_mut() = empty();
        }
        if response.extensions().get::<FromPrimary>().is_none() {
            self.common_headers(&mut response, range);
        }
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    async fn route(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        identity: Option<Arc<Identity>>,
        id: RequestId,
        range: ApiRange,
    ) -> Result<Response<Body>> {
        let mut call = Call::new(request, peer, identity, id)?;
        let found = route::find(call.method(), &call.segments);
        if matches!(peer, Peer::Stranger(_)) && !found.as_ref().is_some_and(|r| r.answer.takes_strangers()) {
            return Err(no_certificate());
        }
        if self.config().manager.cors && call.method() == hyper::Method::OPTIONS {
            return Ok(error::nothing(StatusCode::OK));
        }
        let Some(route) = found else {
            return Err(Error::client(Kind::NotFound, "page not found"));
        };
        let endless = is_endless(&call).then(|| self.closing.clone().cancelled_owned());
        let ended = |response| match endless {
            Some(stop) => ended_by(response, stop),
            None => response,
        };
        if !route.answer.is_anyones() && !self.mandate.may_act() {
            call = match self.pass_on(call).await? {
                Passed::Answered(response) => return Ok(ended(response)),
                Passed::Ours(call) => *call,
            };
        }
        if let (Some(version), false) = (call.version, route.answer == Answer::Here(Manager::Ping)) {
            system::check_version(version, range)?;
        }
        if route.answer.asks_for_images() {
            self.settle_build(call.peer).await;
        }
        let reign = self.reign_ends();
        self.carry_out(&route, call, range).await.map(|response| cut_by(ended(response), reign))
    }

    async fn carry_out(
        self: &Arc<Self>,
        route: &Route,
        call: Call,
        range: ApiRange,
    ) -> Result<Response<Body>> {
        let name = &route.name;
        match route.answer {
            Answer::Here(what) => self.here(what, call, range).await,
            Answer::View(list) => self.list(list, &call).await,
            Answer::Merged(what) => self.merged(what, call, name, range).await,
            Answer::Owner(what) => self.owner(what, call, name, &route.action).await,
            Answer::Hijacked(Streams::Attach) => self.attach_container(call, name, &route.action).await,
            Answer::Hijacked(Streams::ExecStart) => self.start_exec(call, name).await,
            Answer::Hijacked(Streams::Build) => self.tunnel_build(call).await,
            Answer::Placed(New::Container) => self.create_container(call).await,
            Answer::Placed(New::Network) => self.create_network(call).await,
            Answer::Placed(New::Image) => self.build(call).await,
            Answer::AnyNode => self.any_node(call).await,
            Answer::Everywhere(what) => self.everywhere(what, call, name, range).await,
            Answer::Swarmd(page) => self.swarmd(page, call, name).await,
            Answer::Refused(why) => Err(refusal(why)),
        }
    }

    async fn here(&self, what: Manager, call: Call, range: ApiRange) -> Result<Response<Body>> {
        match what {
            Manager::Ping => Ok(self.ping()),
            Manager::Version => Ok(self.version(range)),
            Manager::Info => Ok(self.info()),
            Manager::Registry => self.registry(call).await,
        }
    }

    async fn list(&self, list: Lists, call: &Call) -> Result<Response<Body>> {
        match list {
            Lists::Containers => self.list_containers(call).await,
            Lists::Images => self.list_images(call).await,
            Lists::Networks => self.list_networks(call),
            Lists::Volumes => self.list_volumes(call),
        }
    }

    async fn merged(&self, what: Several, call: Call, name: &str, range: ApiRange) -> Result<Response<Body>> {
        match what {
            Several::Events => self.stream_events(&call),
            Several::DiskUsage => self.disk_usage(call, range).await,
            Several::Network => self.inspect_network(call, name).await,
            Several::Plugins => self.list_plugins(&call).await,
        }
    }

    async fn owner(
        self: &Arc<Self>,
        what: One,
        call: Call,
        name: &str,
        action: &str,
    ) -> Result<Response<Body>> {
        match what {
            One::Inspect => self.inspect_container(call, name).await,
            One::Pass => self.pass_container(call, name, action).await,
            One::Change => self.change_container(call, name, action).await,
            One::CreateExec => self.create_exec(call, name).await,
            One::Rename => self.rename_container(call, name).await,
            One::Remove => self.remove_container(call, name).await,
            One::Commit => self.commit(call).await,
            One::Exec => self.pass_exec(call, name, action).await,
            One::Image => self.pass_image(call, name, action).await,
            One::CancelBuild => self.cancel_build(call).await,
            One::Images => self.save_images(call).await,
            One::Volume => self.inspect_volume(call, name).await,
            One::Connect => self.connect_network(call, name, "connect").await,
            One::Disconnect => self.connect_network(call, name, "disconnect").await,
            One::Plugin => self.inspect_plugin(call, name).await,
        }
    }

    async fn everywhere(
        &self,
        what: Many,
        call: Call,
        name: &str,
        range: ApiRange,
    ) -> Result<Response<Body>> {
        match what {
            Many::Pull => self.pull_or_import(call).await,
            Many::Load => self.load_images(call).await,
            Many::Tag => self.tag_image(call, name).await,
            Many::RemoveImage => self.remove_image(call, name).await,
            Many::RemoveNetwork => self.remove_network(call, name).await,
            Many::CreateVolume => self.create_volume(call).await,
            Many::RemoveVolume => self.remove_volume(call, name).await,
            Many::Prune(Prune::Networks) => self.prune_networks(call).await,
            Many::Prune(what) => self.prune(what, call, range).await,
        }
    }

    /// The headers by which clients learn what they talk to. Set, not added: an engine's own are replaced.
    fn common_headers(&self, response: &mut Response<Body>, range: ApiRange) {
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("api-version", range.max.to_string());
        let config = self.config();
        set("docker-experimental", config.experimental.to_string());
        set("ostype", "linux".to_string());
        set("server", format!("swarm/{} (linux)", env!("CARGO_PKG_VERSION")));
        if config.manager.cors {
            set("access-control-allow-origin", "*".to_string());
            set(
                "access-control-allow-headers",
                "Origin, X-Requested-With, Content-Type, Accept, X-Registry-Auth".to_string(),
            );
            set("access-control-allow-methods", "HEAD, GET, POST, DELETE, PUT, OPTIONS".to_string());
        }
    }
}

/// To a stranger, whether or not there is such a page.
fn no_certificate() -> Error {
    let status = Kind::Status(StatusCode::FORBIDDEN.as_u16());
    Error::client(status, "a client certificate is needed here")
        .advise("use `docker --tlsverify` with --tlscacert, --tlscert and --tlskey, or set DOCKER_CERT_PATH")
}

fn refusal(why: Refusal) -> Error {
    match why {
        Refusal::NoSwarmMode => {
            Error::us(Kind::Status(StatusCode::SERVICE_UNAVAILABLE.as_u16()), NO_SWARM_MODE)
        }
        Refusal::NotInCluster => Error::us(Kind::Unsupported, NOT_IN_CLUSTER),
    }
}

/// What logs say was asked for: without tokens, which are keys to the cluster.
fn shown(uri: &hyper::Uri) -> String {
    let text = uri.to_string();
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    match path.split_once("/clusters/") {
        Some((before, token)) if !token.is_empty() => format!("{before}/clusters/TOKEN{query}"),
        _ => text,
    }
}

fn log(error: &Error, method: &hyper::Method, path: &str) {
    match error.side {
        Side::Client => tracing::debug!(KIND = error.kind.word(), "{method} {path}: {error}"),
        _ if matches!(error.kind, Kind::Status(_) | Kind::Unsupported | Kind::NotPrimary) => {
            tracing::debug!(KIND = error.kind.word(), "{method} {path}: {error}");
        }
        _ => tracing::warn!(KIND = error.kind.word(), "{method} {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_logged() {
        for (asked, logged) in [
            ("/clusters/SECRET?ttl=180", "/clusters/TOKEN?ttl=180"),
            ("/v1/clusters/SECRET", "/v1/clusters/TOKEN"),
            ("/clusters/SECRET/", "/clusters/TOKEN"),
            ("/clusters", "/clusters"),
            ("/v1.41/containers/json?all=1", "/v1.41/containers/json?all=1"),
        ] {
            assert_eq!(shown(&asked.parse().unwrap()), logged);
        }
    }
}
