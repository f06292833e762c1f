//! `POST /containers/create`: understand, place, reserve, prepare the node, create there, show.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use std::sync::Arc;

use crate::api::audit::OnNode;
use crate::api::call::{Ask, Call, Query};
use crate::api::exact::Exact;
use crate::api::gap::Gap;
use crate::api::proxy::{build, version_for};
use crate::api::wishes::Wishes;
use crate::api::{Api, older};
use crate::cluster::members::Reserved;
use crate::cluster::pending::{Pending, Reservation};
use crate::cluster::view::View;
use crate::docker::http::{Body, answered, boxed, full, read_whole};
use crate::docker::json::{self, Object};
use crate::docker::platform::Platform;
use crate::engine::container::{SWARM_ID, moves_on_failure};
use crate::engine::resources::shares_of_cpus;
use crate::engine::{Container, Node, Resources};
use crate::error::{Error, Kind, Result, Side};
use crate::scheduler::{self, Placement, Request};

/// What a create body asks for, understood.
pub struct Wanted {
    /// The body as engines get it.
    pub body: Object,
    /// The container's name, without `/`; may be empty.
    pub name: String,
    /// What the scheduler must know.
    pub request: Request,
    /// Bodies by which networks are made that nobody has any more.
    pub networks: Vec<Object>,
    /// The image that it must be made of, where its name will not do.
    pub exact: Option<Exact>,
    wishes: Wishes,
}

impl Wanted {
    /// The cluster-wide ID.
    pub fn swarm_id(&self) -> &str {
        self.request.labels.get(SWARM_ID).map_or("", String::as_str)
    }
}

/// How things stood when a node was chosen: what a decision can be explained from.
pub struct Circumstances {
    /// The nodes in question.
    pub view: Arc<View>,
    /// What was promised to them.
    pub pending: Pending,
    /// The source of chance before it was drawn from.
    pub chance: fastrand::Rng,
}

/// A container that is to be made, and what became of that so far.
pub struct Draft {
    /// Who asks.
    pub ask: Ask,
    /// For what.
    pub wanted: Wanted,
    /// Addresses that are out of the question.
    pub excluded: Vec<String>,
}

/// A container that was made.
pub struct Created {
    /// Where.
    pub node: Arc<Node>,
    /// The engine's answer.
    pub answer: Object,
}

impl Created {
    /// The container's ID.
    pub fn id(&self) -> String {
        self.answer.get("Id").unwrap_or_default()
    }
}

impl Api {
    /// `POST /containers/create`
    pub async fn create_container(self: &Arc<Self>, mut call: Call) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        let body = Object::parse(&body)
            .map_err(|e| Error::client(Kind::Invalid, format!("invalid request body: {}", json::flaw(&e))))?;
        let wanted = self.understand(&self.cluster.view(), &call.query, body).await?;
        let draft = Draft { ask: call.ask(), wanted, excluded: Vec::new() };
        let created = self.create(draft).await?;
        let answer = super::error::raw_json(StatusCode::CREATED, created.answer.to_json());
        Ok(OnNode::mark(answer, created.node.name()))
    }

    /// Places a container and creates it, if need be on one node after the other.
    pub async fn create(self: &Arc<Self>, mut draft: Draft) -> Result<Created> {
        let mut retries = self.config().manager.create_retry;
        if draft.wanted.request.resources() != Resources::default() {
            self.cluster.details_known().await;
        }
        let mut before = None;
        loop {
            // No other node is left: what went wrong on the one before is what the client must know.
            let (node, reserved, circumstances) =
                self.place(&draft).map_err(|none| before.unwrap_or(none))?;
            let reserved = Arc::new(reserved);
            let error = match self.create_on(&draft, &node, &reserved).await {
                Ok(answer) => {
                    self.remember(&draft.wanted, circumstances);
                    return Ok(Created { node, answer });
                }
                Err(error) => error,
            };
            drop(reserved);
            if !self.learn_from(&error, &mut draft, &node, &mut retries) {
                return Err(error);
            }
            tracing::info!(NODE = node.name(), "create failed on {}, trying elsewhere: {error}", node.name());
            before = Some(error);
        }
    }

    /// Reads the body of a create call with this query.
    pub async fn understand(&self, view: &View, query: &Query, mut body: Object) -> Result<Wanted> {
        let name = query.get("name").unwrap_or_default().trim_start_matches('/').to_string();
        let mut request = Request::from_create(&mut body, Some(name.as_str()).filter(|n| !n.is_empty()))?;
        set_swarm_id(&mut body, &mut request)?;
        let wishes = Wishes::read(view, &mut body, &mut request)?;
        request.platform = asked_platform(view, query.get("platform"));
        request.built_for = self.built_for(view, &request.image).await;
        Ok(Wanted { body, name, request, networks: Vec::new(), exact: None, wishes })
    }

    fn place(&self, draft: &Draft) -> Result<(Arc<Node>, Reserved, Circumstances)> {
        let Wanted { name, request, .. } = &draft.wanted;
        self.cluster.decide(|view, pending| {
            pending.check_name(view, name, request.outgoing())?;
            let without = |view: Arc<View>, addr: &String| Arc::new(view.without(addr));
            let left = draft.excluded.iter().fold(Arc::clone(view), without);
            let chance = self.chance().clone();
            let node = self.choose(&left, pending, request)?.node;
            let circumstances = Circumstances { view: left, pending: pending.clone(), chance };
            let reservation = Reservation { addr: node.addr.clone(), container: request.reservation(&node) };
            let reserved = self.cluster.reserve(pending, reservation);
            Ok((node, reserved, circumstances))
        })
    }

    /// Asks the scheduler.
    pub fn choose(&self, view: &View, pending: &Pending, request: &Request) -> Result<Placement> {
        scheduler::place(view, pending, request, &self.placement(), &mut self.chance())
            .map_err(scheduler::Rejection::into_error)
    }

    /// Asks the scheduler for all nodes that would do, best first.
    pub fn rank(&self, view: &View, pending: &Pending, request: &Request) -> Result<Vec<Arc<Node>>> {
        scheduler::rank(view, pending, request, &self.placement(), &mut self.chance())
            .map_err(scheduler::Rejection::into_error)
    }

    /// The source of chance for the scheduler.
    pub fn chance(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What to do differently after a failure. False: nothing would be different.
    fn learn_from(&self, error: &Error, draft: &mut Draft, node: &Node, retries: &mut u32) -> bool {
        // The engine never got the request, or has something in its way that others may not have.
        if error.side == Side::Engine && (error.kind == Kind::Connect || is_of_one_node(error)) {
            draft.excluded.push(node.addr.clone());
            return true;
        }
        // The image could not be brought there: a node that has it will do.
        if matches!(error.kind, Kind::NotFound | Kind::Unavailable)
            && !draft.wanted.request.image_holders_only
            && !draft.wanted.request.has_node_constraint()
        {
            let view = self.cluster.view();
            draft.wanted.request.image_holders_only =
                view.healthy().any(|n| n.inventory.image(&draft.wanted.request.image).is_some());
            return draft.wanted.request.image_holders_only;
        }
        let ours = error.side == Side::Client || matches!(error.kind, Kind::Status(400..=499) | Kind::Broken);
        if ours || *retries == 0 {
            return false;
        }
        *retries -= 1;
        draft.excluded.push(node.addr.clone());
        true
    }

    /// Creates on a node: networks and volumes first, then the container, with its image brought there if it
    /// is missing.
    async fn create_on(
        self: &Arc<Self>,
        draft: &Draft,
        node: &Arc<Node>,
        reserved: &Arc<Reserved>,
    ) -> Result<Object> {
        let mut body = self.prepare(draft, node).await?;
        let image = &draft.wanted.request.image;
        let exact = match &draft.wanted.exact {
            Some(exact) => Some(self.provide_exactly(exact, image, node).await?),
            None => None,
        };
        match &exact {
            Some(exact) => body.set("Image", &exact.name),
            None => self.renew(image, node).await?,
        }
        Gap::between(draft.ask.version, node).create(&mut body);
        let warnings = older::warnings(node, &body.to_json(), draft.ask.query.get("platform"));
        let networks = older::split_networks(&mut body, version_for(draft.ask.version, node));
        let (mut status, mut answer) = self.post_create(draft, node, reserved, &body, &networks).await?;
        if status == StatusCode::NOT_FOUND && is_image_missing(&answer) && exact.is_none() {
            let missing = answered(status, &answer);
            if let Some(name) = self.provide(&draft.ask, image, node, missing).await? {
                body.set("Image", &name);
            }
            (status, answer) = self.post_create(draft, node, reserved, &body, &networks).await?;
        }
        if !status.is_success() {
            return Err(answered(status, &answer));
        }
        let mut created = Object::parse(&answer).map_err(|e| {
            Error::engine(Kind::Protocol, format!("the answer to a create is malformed: {e}"))
        })?;
        if let Some(exact) = &exact {
            self.confirm_exactly(exact, node, &created.get::<String>("Id").unwrap_or_default()).await?;
        }
        if !warnings.is_empty() {
            let told = created.get::<Vec<String>>("Warnings").unwrap_or_default();
            created.set("Warnings", &told.into_iter().chain(warnings).collect::<Vec<_>>());
        }
        Ok(created)
    }

    /// The body for one node, whose networks and volumes are there then.
    async fn prepare(&self, draft: &Draft, node: &Arc<Node>) -> Result<Object> {
        let mut body = draft.wanted.body.clone();
        for volume in &draft.wanted.wishes.volumes {
            self.ensure_volume(node, volume).await?;
        }
        let mut names = Vec::new();
        for query in &draft.wanted.wishes.networks {
            let model =
                draft.wanted.networks.iter().find(|m| m.get::<String>("Name").as_deref() == Some(query));
            names.push((query.clone(), self.ensure_network(node, query, model).await?));
        }
        Wishes::name_networks(&mut body, &names);
        let mut host = body.object("HostConfig");
        let cpus = draft.wanted.request.host.cpu_shares;
        if let (Some(specs), true) = (&node.specs, cpus > 0) {
            host.set("CpuShares", &shares_of_cpus(cpus, specs.cpus));
            body.set("HostConfig", &host);
        }
        Ok(body)
    }

    /// Sends the create, and joins the container to further networks. An engine that got it will do it, so it
    /// is followed to its end though the client may leave: until the container shows, its name, ports and memory
    /// stay reserved, and none is left half-joined.
    async fn post_create(
        self: &Arc<Self>,
        draft: &Draft,
        node: &Arc<Node>,
        reserved: &Arc<Reserved>,
        body: &Object,
        networks: &[(String, Object)],
    ) -> Result<(StatusCode, bytes::Bytes)> {
        let handle = self.cluster.handle(node)?;
        let Ask { version, query, headers } = &draft.ask;
        let sent = version_for(*version, node);
        let target = format!("/v{sent}/containers/create{}", query.to_text());
        let mut request = build(Method::POST, &target, headers, full(body.to_json()))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (api, node, reserved) = (Arc::clone(self), Arc::clone(node), Arc::clone(reserved));
        let networks = networks.to_vec();
        let sketch = sketch(&draft.wanted.request, &node);
        self.to_the_end(async move {
            let response = api.exchange(&handle, &node, request).await?;
            let status = response.status();
            let answer = read_whole(boxed(response.into_body())).await?;
            let id = Object::parse(&answer).ok().and_then(|o| o.get::<String>("Id"));
            let mut joined = Ok(());
            if let (true, Some(id)) = (status.is_success(), id) {
                joined = api.join_networks(&node, sent, &id, networks).await;
                let seen = async {
                    match sketch {
                        Some(sketch) => handle.created(Container { id, ..sketch }).await,
                        None => handle.created_unseen(id).await,
                    }
                };
                tokio::select! {
                    () = seen => {}
                    _ = api.cluster.until_lost(&node) => {}
                }
            }
            drop(reserved);
            joined.map(|()| (status, answer))
        })
        .await
    }
}

/// The container as far as it is known before its engine tells of it. Of one that moves when its node fails everything
/// must be known.
fn sketch(request: &Request, node: &Node) -> Option<Container> {
    let image_id = node.inventory.image(&request.image).map(|i| i.fields.id.clone()).unwrap_or_default();
    let sketch = Container { image_id: image_id.into(), ..request.reservation(node) };
    (!moves_on_failure(&request.labels)).then_some(sketch)
}

/// The cluster-wide ID: kept if the client gives one, else made.
fn set_swarm_id(body: &mut Object, request: &mut Request) -> Result<()> {
    let id = match request.labels.get(SWARM_ID).filter(|id| !id.is_empty()) {
        Some(id) => id.clone(),
        None => random_hex(32)?,
    };
    request.set_label(body, SWARM_ID, &id);
    Ok(())
}

/// `bytes` random bytes from the operating system, in hex.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(|e| Error::us(Kind::Internal, format!("no randomness: {e}")))?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

/// The platform that the client asks for, as a condition. If no node is of it, it is not: whether they emulate
/// it, or what is wrong with it, is for engines to say.
pub fn asked_platform(view: &View, text: Option<&str>) -> Option<Platform> {
    let asked = text.and_then(Platform::parse)?;
    let runs = |node: &Arc<Node>| node.specs.as_ref().is_some_and(|s| s.platform.runs(&asked));
    view.validated().any(runs).then_some(asked)
}

/// What an engine says before it has created anything, and what another engine may not say.
fn is_of_one_node(error: &Error) -> bool {
    let text = error.message.to_lowercase();
    ["port is already allocated", "address already in use", "no space left on device"]
        .iter()
        .any(|t| text.contains(t))
}

/// A missing network, volume or `container:` peer is 404, too: no pull would help there.
fn is_image_missing(answer: &[u8]) -> bool {
    let text = answered(StatusCode::NOT_FOUND, answer).message.to_lowercase();
    text.contains("image")
        && ["no such", "not found", "does not match the specified platform"].iter().any(|t| text.contains(t))
}
