//! All engines together.
//!
//! `view` is the immutable picture that every reader works on, `lookup` finds things in it, `pending` holds
//! what is promised but not there yet, `orders` what the operator says about nodes (kept by `desk`), `recipe` how a container is
//! made once more, `moves` which containers wait for that or gave way, `events`
//! is the merged stream, and `members` starts and ends the engines' tasks as discovery tells.

pub mod desk;
pub mod directory;
pub mod events;
pub mod lookup;
pub mod members;
pub mod moves;
pub mod nets;
pub mod orders;
pub mod pending;
pub mod recipe;
pub mod standing;
pub mod view;

pub use desk::{Desk, Others};
pub use members::Cluster;
pub use recipe::Recipe;
pub use view::View;
