//! One engine: its life (`machine`), what it says of itself (`specs`), what it holds (`inventory`, `ledger`), and the
//! task that keeps all three true: it connects (`task`), serves (`serve`), asks (`questions`, `fetch`), and takes in
//! answers (`fold`, `compare`) and what it is told (`tell`, `news`). What its containers have alike is kept once (`shared`).
//!
//! An engine's task is the only writer of that engine's state. It publishes immutable `Node`s, to which the
//! cluster adds what the operator says about them (`orders`); nobody else ever changes one. Whoever
//! wants something of the task has a `handle`.

mod compare;
pub mod container;
pub mod containers;
pub mod events;
pub mod fetch;
mod fold;
pub mod handle;
pub mod inventory;
pub mod ledger;
pub mod machine;
pub mod news;
pub mod node;
pub mod orders;
mod questions;
pub mod refresh;
pub mod resources;
mod serve;
mod shared;
pub mod specs;
pub mod status;
pub mod task;
mod tell;
pub mod turns;

pub use container::Container;
pub use inventory::Inventory;
pub use node::Node;
pub use orders::{Availability, Orders};
pub use resources::Resources;
