//! Certificates: PEM files in, a look at what is wrong with them (`lint`), two rustls configurations out (`client`,
//! `server`).

pub mod client;
pub mod fresh;
pub mod gate;
pub mod inspect;
pub mod lint;
pub mod pem;
pub mod refusal;
pub mod server;

#[cfg(test)]
mod lint_tests;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
pub(crate) mod workshop;

pub use client::ClientTls;

#[cfg(test)]
pub(crate) mod authority_tests;
