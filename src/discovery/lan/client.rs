//! The client of a manager that was found on the LAN: it makes sure of whom it talks to, then it speaks the token
//! protocol like every other client. One attempt for each call.

use crate::discovery::lan::proof::Question;
use crate::discovery::lan::seen::Found;
use crate::discovery::registry_store::{TokenHash, hash};
use crate::discovery::spec::RegistryAddress;
use crate::discovery::{Entry, token};
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::tls::ClientTls;

/// A found manager, and one token.
pub struct Client {
    label: String,
    hash: TokenHash,
    ways: Vec<Way>,
}

/// One address of it.
#[derive(Clone)]
pub struct Way {
    /// The address.
    pub endpoint: Endpoint,
    /// The token's list there.
    pub list: token::Client,
}

impl Client {
    /// A client of `found`. `tls` trusts by the CA alone: a name that mDNS tells proves nothing.
    ///
    /// Errors: one side wants TLS and the other has none.
    pub fn new(found: &Found, token: &str, tls: Option<&ClientTls>) -> Result<Client> {
        let label = found.label().to_string();
        let at = found.addresses.first().map(ToString::to_string).unwrap_or_default();
        match (tls.is_some(), found.advert.tls) {
            (true, false) => {
                return Err(Error::store(
                    Kind::Protocol,
                    format!("the manager {label} at {at} does not speak TLS, and [tls] is set here: refused"),
                )
                .advise("set up [tls] on the manager, too"));
            }
            (false, true) => {
                return Err(Error::store(
                    Kind::Protocol,
                    format!("the manager {label} at {at} speaks TLS only"),
                )
                .advise("set up [tls] here, with certificates of the same CA"));
            }
            _ => {}
        }
        let way = |endpoint: &Endpoint| {
            let registry = RegistryAddress { endpoint: endpoint.clone(), prefix: String::new() };
            Way { endpoint: endpoint.clone(), list: token::Client::new(&registry, token, tls.cloned()) }
        };
        Ok(Client { label, hash: hash(token), ways: found.addresses.iter().map(way).collect() })
    }

    /// The first way at which somebody answers who knows the token.
    pub async fn proven(&self) -> Result<&Way> {
        let mut last = None;
        for way in &self.ways {
            match self.prove(way).await {
                Ok(()) => return Ok(way),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::store(Kind::Connect, format!("{} has no address", self.label))))
    }

    async fn prove(&self, way: &Way) -> Result<()> {
        let question = Question::to(&way.endpoint, &self.hash)
            .map_err(|e| Error::us(Kind::Internal, format!("no randomness: {e}")))?;
        let proof = way.list.ask(&question).await?;
        match question.is_answered_by(&self.hash, &proof) {
            true => Ok(()),
            false => Err(Error::store(
                Kind::Protocol,
                format!("{} at {} answers as if it did not know the token", self.label, way.endpoint),
            )
            .advise("if it is one of your managers, write token://MANAGER:3376/TOKEN or managers = [...]")),
        }
    }

    /// Reads the list.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        self.proven().await?.list.list().await
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
