//! How endpoints are answered: the words of which the table of routes is made.

use crate::api::swarmd::Page;
use Answer::{Everywhere, Here, Owner, Placed, Refused, Swarmd, View};

/// How an endpoint is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// From what the manager itself is.
    Here(Manager),
    /// From the view, without asking an engine (unless the client asks for what only engines know).
    View(Lists),
    /// From the answers of several engines, merged.
    Merged(Several),
    /// By the one node that has the object.
    Owner(One),
    /// By the node that has the object, and the connection may become a stream.
    Hijacked(Streams),
    /// By a node that the scheduler picks.
    Placed(New),
    /// By any usable node: it says nothing of nodes.
    AnyNode,
    /// By all usable nodes, or all that have the object.
    Everywhere(Many),
    /// It is none of Docker's.
    Swarmd(Page),
    /// Not at all.
    Refused(Refusal),
}

impl Answer {
    /// Whether any manager answers it, primary or not: what it is, and what it is not.
    ///
    /// All else is the primary's, lists too: a container whose creation the primary has just answered may not be in
    /// another's view yet, and reservations and decisions never are.
    pub fn is_anyones(self) -> bool {
        match self {
            Swarmd(page) => page == Page::Leader || page.is_pki(),
            _ => matches!(self, Here(Manager::Ping | Manager::Info | Manager::Registry) | Refused(_)),
        }
    }

    /// Whether it depends on which images there are.
    pub fn asks_for_images(self) -> bool {
        matches!(
            self,
            Placed(New::Container)
                | View(Lists::Images)
                | Owner(One::Images | One::Image)
                | Everywhere(Many::RemoveImage | Many::Tag)
        )
    }
}

/// Endpoints about the manager itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Manager {
    Ping,
    Version,
    Info,
    Registry,
}

/// Lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Lists {
    Containers,
    Images,
    Networks,
    Volumes,
}

/// Endpoints for which several engines are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Several {
    Events,
    DiskUsage,
    Network,
    Plugins,
}

/// Endpoints about one object on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum One {
    /// `GET /containers/{name}/json`
    Inspect,
    /// A container's; nothing changes.
    Pass,
    /// A container's; it is read again afterwards.
    Change,
    /// `POST /containers/{name}/exec`
    CreateExec,
    /// `POST /containers/{name}/rename`
    Rename,
    /// `DELETE /containers/{name}`
    Remove,
    /// `POST /commit`
    Commit,
    /// Of an exec session.
    Exec,
    /// `POST /build/cancel`
    CancelBuild,
    /// Of an image.
    Image,
    /// `GET /images/get`: of several images.
    Images,
    /// `GET /volumes/{name}`
    Volume,
    /// `POST /networks/{name}/connect`, on the container's node
    Connect,
    /// `POST /networks/{name}/disconnect`, on the container's node
    Disconnect,
    /// `GET /plugins/{name}/json`
    Plugin,
}

/// Endpoints whose connection may become a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Streams {
    Attach,
    ExecStart,
    /// BuildKit takes the connection over.
    Build,
}

/// Endpoints that make something on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum New {
    Container,
    Network,
    Image,
}

/// Endpoints that change something on many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Many {
    Pull,
    Load,
    Tag,
    RemoveImage,
    RemoveNetwork,
    CreateVolume,
    RemoveVolume,
    Prune(Prune),
}

/// What a prune is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prune {
    Containers,
    Images,
    Networks,
    Volumes,
    BuildCache,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Swarm mode: answered as by an engine that is not in it, and never forwarded.
    NoSwarmMode,
    /// It would change one engine behind the cluster's back.
    NotInCluster,
}
