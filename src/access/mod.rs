//! Who may do what: roles, classes of endpoints, and what a request of somebody with a role may say.
//!
//! ```text
//!  certificate ─► Caller ─┐
//!  route ─► Class ────────┴─► policy ─► no
//!                               └─► yes ─► forms: the body parsed once, strictly ─► the same, written anew ─► engine
//! ```
//!
//! What is decided on is what is forwarded: of a caller with a role no byte of a JSON body reaches an engine as it
//! came. It is parsed (duplicate keys, trailing data and the like are refused), held against a list of the fields
//! that are known to be harmless, and written anew with their usual spelling, so that a reader that takes keys
//! without regard to case sees nothing else than we did. (CVE-2024-41110 and CVE-2026-34040 were filters that did not
//! see what the engine saw.) Admins, and whoever needs no role, are not looked at: their bodies pass as they came.
//!
//! Pure: it knows neither requests nor engines. `api::admit` brings it together with them.

pub mod caller;
pub mod forms;
pub mod parameters;
pub mod policy;
mod rules;
mod shape;
mod strict;

#[cfg(test)]
mod forms_tests;
#[cfg(test)]
mod properties_tests;

pub use caller::{Caller, Standing};
pub use policy::Class;
pub use rules::{ORIGIN, check_volume};
pub use shape::Named;
