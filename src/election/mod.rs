//! Which manager leads.
//!
//! `machine` decides, `runner` asks the store and waits, and everybody else holds a [`Mandate`]: the cheap answer to
//! "may I act now?", good for each single call. It is *not* told to anyone who acts that the answer has
//! changed: they ask.

mod board;
mod consul;
mod etcd;
mod etcd_v2;
pub mod machine;
mod notices;
pub mod runner;
mod zk;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::discovery::Spec;
use crate::docker::fence::Fence;
use crate::election::board::Board;
use crate::election::consul::ConsulLock;
use crate::election::etcd::{EitherLock, EtcdLock};
use crate::election::etcd_v2::EtcdV2Lock;
use crate::election::machine::Machine;
use crate::election::notices::Notices;
use crate::election::runner::Lock;
use crate::election::zk::ZkLock;
use crate::error::{Error, Kind, Result};
use crate::store::consul::Consul;
use crate::store::etcd::Etcd;
use crate::store::etcd_v2::EtcdV2;
use crate::store::zk::Zk;
use crate::store::{Access, StoreKind};
use crate::systemd::beat::{Beat, Beats};

pub use machine::{Leadership, Moment, Role};

/// What clients read when nobody leads: the classic text.
const NO_PRIMARY: &str = "No elected primary cluster manager";

/// The key of the lease, below the URL's prefix; what it holds is the primary's address. It does *not* depend
/// on `kv.path`, as ever.
const LEADER: &str = "docker/swarm/leader";

/// The key of what operators say about nodes.
const NOTICES: &str = "docker/swarm/swarmd/nodes";

/// The clock by which leases age.
pub type Clock = fn() -> Moment;

/// What this manager may do. Cheap to clone, cheap to ask.
#[derive(Clone)]
pub struct Mandate {
    leadership: watch::Receiver<Leadership>,
    clock: Clock,
    /// Set where there are others.
    shared: bool,
}

impl Mandate {
    /// That of a manager without others: it may do anything, for ever.
    pub fn alone() -> Mandate {
        Mandate { leadership: watch::channel(Leadership::ALONE).1, clock: clock::since_boot, shared: false }
    }

    /// That of one among others, as an election tells it.
    pub fn of(leadership: watch::Receiver<Leadership>, clock: Clock) -> Mandate {
        Mandate { leadership, clock, shared: true }
    }

    /// Whether there may be other managers.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether this manager may change something, now. To be asked before each single step: a process may have
    /// been stopped since the last.
    pub fn may_act(&self) -> bool {
        self.leadership.borrow().may_act((self.clock)())
    }

    /// `may_act`, or why not.
    pub fn check(&self) -> Result<()> {
        match self.may_act() {
            true => Ok(()),
            false => Err(no_primary()),
        }
    }

    /// Who leads, now.
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone().at((self.clock)())
    }

    /// How long the lease lasts, should it not be renewed.
    pub fn left(&self) -> Moment {
        self.leadership().until.saturating_sub((self.clock)())
    }

    /// Ends when what `leadership` says fits.
    pub async fn until(&self, fits: impl Fn(&Leadership) -> bool) {
        let mut leadership = self.leadership.clone();
        let clock = self.clock;
        if leadership.wait_for(|l| fits(&l.clone().at(clock()))).await.is_err() {
            // Nobody will change it any more.
            std::future::pending::<()>().await;
        }
    }

    /// Ends when this manager, which led in `term`, does not any more.
    pub async fn deposed(&self, term: u64) {
        self.until(|now| now.role != Role::Primary || now.term != term).await;
    }
}

impl Fence for Mandate {
    fn pass(&self) -> Result<()> {
        self.check()
    }

    fn stamp(&self) -> Option<String> {
        let now = self.leadership();
        let primary = now.primary.filter(|_| self.shared)?;
        Some(format!("{primary} term={}", now.term))
    }
}

/// The error of a call that only a primary may answer.
pub fn no_primary() -> Error {
    Error::us(Kind::NotPrimary, NO_PRIMARY)
        .advise("try again in a moment; `docker info` on each manager shows its role, and why")
}

/// An election under way, or none.
pub struct Election {
    /// What it says of this manager.
    pub mandate: Mandate,
    task: Option<JoinHandle<()>>,
    board: Option<Board>,
}

impl Election {
    /// Stands for election if `replication` says so; else this manager is alone. When `cancel` fires, the lease is
    /// given up.
    pub fn enter(
        config: &Config,
        spec: &Spec,
        beats: &Beats,
        cancel: &CancellationToken,
    ) -> Result<Election> {
        let manager = &config.manager;
        let (true, Spec::Store(address), Some(me)) = (manager.replication, spec, manager.advertise.clone())
        else {
            return Ok(Election { mandate: Mandate::alone(), task: None, board: None });
        };
        let access = Access::from_options(address.kind, &config.discovery.options)?;
        let (key, ttl) = (address.key(LEADER), manager.replication_ttl);
        let machine = Machine::new(me.clone(), ttl);
        let beat = beats.join("the election");
        let election = match address.kind {
            StoreKind::Consul => Election::begin(
                ConsulLock::new(Consul::new(address, &access)?, key, me, ttl),
                machine,
                beat,
                cancel,
            ),
            StoreKind::Etcd => {
                let v3 = EtcdLock::new(Etcd::new(address, &access), key.clone(), me.clone(), ttl);
                let v2 = EtcdV2Lock::new(EtcdV2::new(address, &access), key, me, ttl);
                Election::begin(EitherLock::new(v3, v2), machine, beat, cancel)
            }
            StoreKind::Zookeeper => {
                Election::begin(ZkLock::new(Zk::new(address, &access, ttl), key, me), machine, beat, cancel)
            }
        };
        let board = Some(Board::new(address, &access, NOTICES, ttl)?);
        Ok(Election { board, ..election })
    }

    /// From now on all managers know what operators say about nodes.
    pub fn share_orders(&mut self, cluster: &Arc<Cluster>, beats: &Beats, cancel: &CancellationToken) {
        if let Some(board) = self.board.take() {
            let beat = beats.join("the sharing of what operators say");
            let mandate = self.mandate.clone();
            let notices = Notices::begin(board, Arc::clone(cluster), mandate, beat, cancel.clone());
            cluster.desk().share(Arc::new(notices));
        }
    }

    fn begin<L: Lock>(lock: L, machine: Machine, beat: Beat, cancel: &CancellationToken) -> Election {
        let (sender, leadership) = watch::channel(Leadership::NONE);
        let clock = clock::since_boot;
        let task = tokio::spawn(runner::run(lock, machine, clock, sender, beat, cancel.clone()));
        Election { mandate: Mandate::of(leadership, clock), task: Some(task), board: None }
    }

    /// Ends when the lease is given up, after `cancel`.
    pub async fn ended(self) {
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}
