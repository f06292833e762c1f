//! From a request to its answer: version check, route, the endpoint's function, and the headers that every
//! answer carries.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;
use tracing::Instrument;

use crate::access::policy;
use crate::api::answer::{Answer, Lists, Manager, Many, New, One, Prune, Refusal, Several, Streams};
use crate::api::audit::{self, Record};
use crate::api::call::{Call, Peer, Sender, version_of};
use crate::api::ending::{cut_by, ended_by, is_endless};
use crate::api::replica::{FromPrimary, Passed, REQUEST_ID};
use crate::api::route::{self, Route};
use crate::api::{Api, error, system};
use crate::clock;
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
        mut request: Request<Incoming>,
        peer: Peer,
        identity: Option<Arc<Identity>>,
    ) -> Response<Body> {
        let sender = self.behind(&mut request, peer, identity);
        self.roles.note(&sender.caller);
        // At the highest level: whatever is told about the request carries its name.
        let span = tracing::error_span!("request", REQUEST_ID = %sender.id);
        self.answer_as(request, sender).instrument(span).await
    }

    async fn answer_as(self: &Arc<Self>, request: Request<Incoming>, sender: Sender) -> Response<Body> {
        let range = self.cluster.view().api_range();
        let (method, path) = (request.method().clone(), audit::shown(request.uri()));
        let record = Record::of(&request, &sender);
        let answered = match self.welcome(&sender) {
            Ok(()) => self.route(request, &sender, range).await,
            Err(e) => Err(e),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(e) => {
                log(&e, &method, &path);
                error::respond(&e, version_of(&path))
            }
        };
        let from_primary = response.extensions().get::<FromPrimary>().is_some();
        // The primary has its record.
        match from_primary || response.status() == StatusCode::TOO_MANY_REQUESTS {
            true => record.drop_unwritten(),
            false => record.answered(&response),
        }
        tracing::debug!(STATUS = response.status().as_u16(), PEER = %sender.peer, "{method} {path}");
        if method == hyper::Method::HEAD {
            *response.body_mut() = empty();
        }
        if !from_primary {
            self.common_headers(&mut response, range);
        }
        if let Ok(id) = HeaderValue::from_str(&sender.id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// Whether somebody is let in at all: whose certificate still counts, and who has not asked too much.
    fn welcome(&self, sender: &Sender) -> Result<()> {
        let shown = sender.identity.as_ref().map(|identity| identity.serial.as_str());
        let serials = [shown, sender.caller.serial.as_deref()];
        for serial in serials.into_iter().flatten() {
            if (self.revoked)(serial) {
                return Err(policy::forbidden("this certificate was revoked").advise("ask for a new one"));
            }
            if self.ends.has_ended(serial, clock::unix_seconds()) {
                return Err(policy::forbidden("this certificate has expired").advise("ask for a new one"));
            }
        }
        self.limits.request(sender.peer, &sender.caller, Instant::now())
    }

    async fn route(
        self: &Arc<Self>,
        request: Request<Incoming>,
        sender: &Sender,
        range: ApiRange,
    ) -> Result<Response<Body>> {
        let mut call = Call::new(request, sender)?;
        let found = route::find(call.method(), &call.segments);
        self.admit(&mut call, found.as_ref()).await?;
        if self.config().manager.cors && call.method() == hyper::Method::OPTIONS {
            return Ok(error::nothing(StatusCode::OK));
        }
        let Some(mut route) = found else {
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
        self.admit_to_objects(&call, &mut route).await?;
        if route.answer.asks_for_images() {
            self.settle_build(call.peer).await;
        }
        let breaks_off = self.breaks_off(&call);
        self.carry_out(&route, call, range).await.map(|response| cut_by(ended(response), breaks_off))
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
            Lists::Networks => self.list_networks(call).await,
            Lists::Volumes => self.list_volumes(call).await,
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

fn refusal(why: Refusal) -> Error {
    match why {
        Refusal::NoSwarmMode => {
            Error::us(Kind::Status(StatusCode::SERVICE_UNAVAILABLE.as_u16()), NO_SWARM_MODE)
        }
        Refusal::NotInCluster => Error::us(Kind::Unsupported, NOT_IN_CLUSTER),
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
