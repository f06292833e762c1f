//! Joining, renewing, and what an admin does with the CA: the pages in front of `enroll`.
//!
//! The class of a route says who gets here. A manager without the CA passes the errand on (`authority`) to the one that
//! has it, for whom it let in.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::access::Standing;
use crate::api::call::{Call, Peer};
use crate::api::swarmd::{Page, read};
use crate::api::{Api, error};
use crate::clock;
use crate::docker::http::Body;
use crate::docker::json::flaw;
use crate::enroll::Errand;
use crate::enroll::limit::Limiter;
use crate::enroll::talk::{Minted, NewUser, Request, SCHEME};
use crate::error::{Error, Kind, Result};
use crate::tls::identity::{Identity, Who};
use crate::tls::pki::own;

impl Api {
    /// Answers a page about certificates; `name` is what its path names.
    pub(super) async fn pki(
        &self,
        page: Page,
        call: &Call,
        name: &str,
        body: &Bytes,
    ) -> Result<Response<Body>> {
        if !self.config().has_pki() {
            return Err(Error::us(Kind::Unsupported, "this manager has no certificates of its own to give")
                .advise("set [pki] enabled = true in its configuration, and no files in [tls]"));
        }
        let (errand, adds) = match page {
            Page::Join => (self.joining(call, read(body)?)?, true),
            Page::Renew => (self.renewing(call, read(body)?)?, true),
            Page::Trust => (Errand::Trust, false),
            Page::Authority => (self.passed_by_manager(call, body)?, false),
            Page::Tokens => (Errand::Tokens, false),
            Page::NewToken => (Errand::NewToken(read(body)?), false),
            Page::RevokeToken => (Errand::RevokeToken { id: name.to_string() }, false),
            Page::Rotate => (Errand::Rotate, false),
            Page::Finish => (Errand::Finish(read(body)?), false),
            Page::NewUser => (new_user(read(body)?), false),
            Page::Revoke => (Errand::Revoke(read(body)?), false),
            Page::Pki => (Errand::Standing, false),
            // Each by its name: a page that is forgotten here does not compile, rather than tell how things stand.
            Page::Leader
            | Page::Nodes
            | Page::Node
            | Page::NodeRemove
            | Page::Labels
            | Page::Pause
            | Page::Resume
            | Page::Drain
            | Page::Rebalance
            | Page::Explain
            | Page::Plan
            | Page::Status => return Err(Error::us(Kind::Internal, "this page is not about certificates")),
        };
        let mut value = self.run(call, errand).await?;
        if adds {
            value["discovery"] = self.config().discovery.url.clone().unwrap_or_default().into();
            // The way there is still one when this manager is gone.
            let elsewhere = self.authority.is_none().then(|| self.config().pki.managers.clone());
            value["managers"] = elsewhere.unwrap_or_default().into();
        }
        if page == Page::NewUser {
            value["manager"] = self.reached_at().into();
        }
        if page == Page::NewToken {
            value["manager"] = self.reached_at().into();
            // Whoever makes a token may read it: its secret is shown this once.
            debug_assert!(serde_json::from_value::<Minted>(value.clone()).is_ok());
        }
        Ok(error::json(StatusCode::OK, &value))
    }

    /// Carries an errand out: here, or where the CA is.
    async fn run(&self, call: &Call, errand: Errand) -> Result<Value> {
        let Some(authority) = self.authority.clone() else {
            return self.pass_to_authority(call, &errand).await;
        };
        let now = own::now(authority.files())?;
        let done = tokio::task::spawn_blocking(move || errand.carry_out(&authority, now)).await;
        done.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
    }

    /// Somebody who shows a join token.
    fn joining(&self, call: &Call, request: Request) -> Result<Errand> {
        self.not_too_often(call, Limiter::admit)?;
        let shown = call.header(AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix(SCHEME));
        let parts: Vec<&str> = shown.unwrap_or_default().splitn(3, '-').collect();
        let [joins, id, secret] = parts.as_slice() else {
            let status = Kind::Status(StatusCode::UNAUTHORIZED.as_u16());
            return Err(Error::client(status, "joining takes a join token")
                .advise("`swarmd join-token agent` on the manager prints the whole line"));
        };
        let (joins, id, secret) = ((*joins).to_string(), (*id).to_string(), (*secret).to_string());
        Ok(Errand::Join { joins, id, secret, peer: address(call), request })
    }

    /// A member, by the certificate that it shows.
    fn renewing(&self, call: &Call, request: Request) -> Result<Errand> {
        self.not_too_often(call, Limiter::admit_member)?;
        let kind = match call.caller.standing {
            Standing::Agent => Who::Agent,
            Standing::Manager => Who::Manager,
            _ => return Err(members_only()),
        };
        let (name, serial) = (call.caller.name.clone(), call.caller.serial.clone().unwrap_or_default());
        Ok(Errand::renewal(&Identity { kind, name, serial }, address(call), request))
    }

    /// What another manager passes on.
    fn passed_by_manager(&self, call: &Call, body: &Bytes) -> Result<Errand> {
        // Whoever it is for, as the caller is: a manager has brought it.
        if call.identity.as_ref().is_none_or(|shown| shown.kind != Who::Manager) {
            return Err(members_only());
        }
        serde_json::from_slice(body)
            .map_err(|e| Error::client(Kind::Invalid, format!("no errand: {}", flaw(&e))))
    }

    fn not_too_often(&self, call: &Call, admit: impl Fn(&mut Limiter, IpAddr, u64) -> bool) -> Result<()> {
        let Some(from) = address(call) else { return Ok(()) };
        let mut seen = self.joining.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match admit(&mut seen, from, clock::since_boot().as_secs()) {
            true => Ok(()),
            false => {
                let status = Kind::Status(StatusCode::TOO_MANY_REQUESTS.as_u16());
                Err(Error::client(status, "too many attempts from this address").advise("wait a minute"))
            }
        }
    }

    /// Where others reach this manager, for people to paste.
    fn reached_at(&self) -> String {
        if let Some(address) = &self.config().manager.advertise {
            return address.clone();
        }
        if let Some(address) = self.about.lan.borrow().addresses.first() {
            return address.to_string();
        }
        let mut exposed =
            self.about.listeners.iter().filter_map(|l| l.strip_prefix("tcp://")?.rsplit_once(':'));
        let (host, port) = exposed.next_back().unwrap_or(("", "3376"));
        match host {
            "" | "0.0.0.0" | "[::]" => format!("{}:{port}", self.host.name),
            host => format!("{host}:{port}"),
        }
    }
}

/// Where a call comes from; `None` from this machine's socket.
fn address(call: &Call) -> Option<IpAddr> {
    match call.peer {
        Peer::Tcp(address) | Peer::Stranger(address) => Some(address.ip()),
        Peer::Unix | Peer::Behind(_) => None,
    }
}

fn members_only() -> Error {
    Error::client(Kind::Status(StatusCode::FORBIDDEN.as_u16()), "that is between the members of the cluster")
}

fn new_user(NewUser { csr, name, role, life }: NewUser) -> Errand {
    Errand::IssueUser { csr, name, role, life }
}
