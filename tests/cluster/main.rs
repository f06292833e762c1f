//! The manager, a process of its own, over simulated engines: faults, placement, streams, events, restarts,
//! malformed requests, and what it holds on to. Needs no root; a few seconds on two cores.
//!
//! ```text
//!  a test ─► rig::http ─► swarmd ─► sim × N        (sim: tests/sim, in the test's own process)
//!     └──── asks the engines what they got, and gives them faults
//! ```
//!
//! Nothing here uses the `swarmd` crate. Nothing is timed: tests wait for conditions, with a generous limit.

#![allow(missing_docs, unreachable_pub, reason = "a test crate")]

#[path = "../sim/mod.rs"]
mod sim;

mod access;
mod backpressure;
mod company;
mod create;
mod drain;
mod events;
mod fanout;
mod faults;
mod fresh;
mod fuzz;
mod identity;
mod operate;
mod placement;
mod reschedule;
mod restart;
mod rig;
mod soak;
mod streams;
