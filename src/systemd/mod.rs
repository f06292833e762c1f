//! The process among others: what it inherits from its supervisor, what it tells it, how it logs and stops.
//!
//! Works the same without systemd: every part then falls back to what a terminal or a container offers.
//! It is *not* where tasks are started or requests are served.

pub mod account;
pub mod beat;
pub mod host;
pub mod inherited;
pub mod journal;
pub mod limits;
pub mod notify;
pub mod signals;
pub mod sockets;

mod tcp_socket;
mod unix_socket;

pub use inherited::Inherited;
pub use notify::Notifier;
pub use signals::Signal;
pub use sockets::Socket;
pub use unix_socket::SocketFile;
