//! How a machine becomes a member of the cluster, and stays one: joining with a token, renewing in time.
//!
//! ```text
//!  swarmd join ─ ask ─► POST /swarmd/v1/join ──┐
//!  renewal ──── ask ─► POST /swarmd/v1/renew ──┼─► errand ─► the CA, here or at the manager that has it
//!                      GET  /swarmd/v1/trust ──┘
//! ```
//!
//! `talk` is what goes over the wire. What certificates are, and who gets which, is in `tls::pki`; the pages are in
//! `api::swarmd`.

pub mod ask;
pub mod errand;
pub mod limit;
pub mod renewal;
pub mod talk;
mod turn;

pub use errand::Errand;
