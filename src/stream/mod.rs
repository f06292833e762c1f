//! Connections as bytes: whether anyone is left at the other end, how to say last words, and both ways at once.
//!
//! Nothing here knows what the bytes mean.

pub mod ahead;
pub mod line;
pub mod linger;
pub mod relay;

pub use ahead::{AHEAD, Ahead, LITTLE_AHEAD, ahead};
pub use line::{Line, Socket};
pub use linger::Lingering;
pub use relay::relay;
