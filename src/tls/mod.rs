//! Certificates: PEM files in, a look at what is wrong with them (`lint`), two rustls configurations out (`client`,
//! `server`). The files are the administrator's, or the cluster's own (`pki`), which say who their owner is (`identity`).

pub mod ciphers;
pub mod client;
pub mod ends;
pub mod floor;
pub mod fresh;
pub mod gate;
pub mod identity;
pub mod inspect;
pub mod lint;
pub mod peers;
pub mod pem;
mod pinned;
pub mod pki;
pub mod refusal;
pub mod server;
mod signatures;
pub mod watched;

#[cfg(test)]
mod lint_tests;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
pub(crate) mod workshop;

pub use client::ClientTls;
pub use peers::Peers;

#[cfg(test)]
pub(crate) mod authority_tests;
