//! The slice of the Docker Engine API that swarmd understands, and the client that speaks it.
//!
//! It is *not* a typed model of the whole API: what we do not need to read we carry as bytes.

pub mod alike;
pub mod alone;
pub mod bulk;
pub mod connect;
pub mod endless;
pub mod endpoint;
pub mod failure;
pub mod fence;
pub mod filters;
pub mod form;
pub mod framing;
pub mod http;
pub mod json;
pub mod lent;
pub mod platform;
pub mod reference;
pub mod tags;
pub mod types;
pub mod version;
