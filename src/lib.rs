//! swarmd: one Docker endpoint for a handful of machines that run plain Docker.
//!
//! ```text
//!  /etc/swarmd/config.toml ─┐
//!  environment ─────────────┼─► Config ─► role ─┬─► agent: register ♥ ─► discovery      (♥ = heartbeat)
//!  command line ────────────┘                   │
//!                                               └─► manager
//!    discovery ─ entries ─► cluster ─► engine × N ─ inventory ─► View   (immutable, Arc, swapped on change)
//!                                         ▲                        │
//!                                         │                        ├─► scheduler: (View, Pending, Request, rng)
//!                                         │                        │        → Placement | Rejection       (pure)
//!    docker CLI · compose · SDKs ─ :3376 ─► api ── proxy / hijack ─┘
//!                                            └─ replica? ─► the primary     (election over consul, etcd, zookeeper)
//! ```
//!
//! Data flows left to right, and so do the `use` lines: a module uses only what stands before it in the
//! list below (`tests/architecture.rs` holds that). The pure core (`scheduler`, `cluster::view`,
//! `cluster::lookup`, `cluster::orders`, `cluster::pending`, `cluster::recipe`, `engine::machine`,
//! `engine::inventory`, `engine::orders`, `discovery::diff`, `discovery::roster`, `election::machine`,
//! `rescheduler::{book,plan}`, `tls::{lint,identity}`, `access`) knows no socket, no clock and no global randomness: time, chance and
//! facts come in as arguments.

#![forbid(unsafe_code)]
#![recursion_limit = "256"] // one long `json!`: the answer of `GET /info`

/// Who may do what: roles, classes of endpoints, bodies.
pub mod access;
/// The agent role.
pub mod agent;
/// The Docker API in front of the cluster.
pub mod api;
/// The command line: `swarmd run` and the classic commands.
pub mod cli;
/// The operator's side of the manager's own API.
pub mod client;
/// The one place that reads the wall clock.
pub mod clock;
/// All engines together: the view, look-ups, reservations, events.
pub mod cluster;
/// The validated configuration and its layers: file, environment, command line.
pub mod config;
/// From a loaded configuration to an exit: runtime, roles, readiness, signals, drain.
pub mod daemon;
/// Where engines are: node lists, files, token registries, stores.
pub mod discovery;
/// The slice of the Engine API that swarmd understands, and the client that speaks it.
pub mod docker;
/// Which manager leads.
pub mod election;
/// One engine: its life, and what it holds.
pub mod engine;
/// How a machine joins the cluster, and renews its certificate.
pub mod enroll;
/// Errors: whose side, which kind, what to do next.
pub mod error;
/// The manager role: the one list of what is spawned.
pub mod manager;
/// Containers that move when their node fails.
pub mod rescheduler;
/// Which node takes a container, and why.
pub mod scheduler;
/// Files in the state directory, replaced as a whole.
pub mod state_file;
/// Key-value stores: consul, etcd, ZooKeeper.
pub mod store;
/// Connections as bytes.
pub mod stream;
/// The process among others: readiness, inherited sockets, journal, signals.
pub mod systemd;
/// Certificates, and the two rustls configurations made from them.
pub mod tls;
