//! While another manager leads: calls are passed on to it, answers and streams come back.
//!
//! A call that was not sent, or was refused before anything happened, is tried again until there is a primary, for
//! a while. One that may have changed something is never sent twice. A call is passed on once: from manager to
//! manager to manager there is no way.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::access::{Caller, Standing};
use crate::api::call::{Call, Peer, RequestId, Sender};
use crate::api::ending::cut_by;
use crate::api::hijack::until_close;
use crate::api::proxy::{build, pass_back};
use crate::api::upload::Upload;
use crate::api::{Api, error};
use crate::clock;
use crate::docker::endpoint::Endpoint;
use crate::docker::fence::changes;
use crate::docker::http::{Body, Client, Failed, boxed};
use crate::election::{Leadership, Role, no_primary};
use crate::error::{Error, Kind, Result};
use crate::tls::ClientTls;
use crate::tls::identity::Identity;

/// The mark of a call that was passed on: the address of its client, or `unix`.
const PASSED_ON: HeaderName = HeaderName::from_static("x-swarmd-passed-on");
/// Whose call it is, `ROLE SERIAL NAME`; not there for whom the manager that passes it on trusts like itself.
const PASSED_USER: HeaderName = HeaderName::from_static("x-swarmd-user");
/// The mark of an answer that says: nothing was done, I am not the primary.
const REFUSED: HeaderName = HeaderName::from_static("x-swarmd-not-primary");

/// What a call is called.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a call waits for a primary.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until a primary that cannot be reached is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a manager that is not the primary any more has for finishing what may have changed something: as long as
/// it drains when it is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// How often open streams look whether their certificate still counts.
const REVOCATION: Duration = Duration::from_secs(1);

/// What became of a call.
pub enum Passed {
    /// The primary has answered it.
    Answered(Response<Body>),
    /// Meanwhile we are the primary: it is ours.
    Ours(Box<Call>),
}

/// In the extensions of an answer that is the primary's, headers and all.
#[derive(Clone, Copy)]
pub struct FromPrimary;

/// The way to the primary: a client that is kept as long as it leads.
pub struct Way {
    tls: Option<ClientTls>,
    client: Mutex<Option<(String, Client)>>,
}

impl Way {
    /// With the TLS that a manager uses towards engines.
    pub fn new(tls: Option<ClientTls>) -> Way {
        Way { tls, client: Mutex::default() }
    }

    fn to(&self, primary: &str) -> Result<Client> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((address, client)) if address == primary => Ok(client.clone()),
            _ => {
                let client = Client::new(Endpoint::parse(primary)?, self.tls.clone());
                *kept = Some((primary.to_string(), client.clone()));
                Ok(client)
            }
        }
    }
}

impl Api {
    /// Who is behind a call, if it is another manager that makes it. What anybody else says about that is taken out.
    pub fn behind(
        &self,
        request: &mut Request<Incoming>,
        peer: Peer,
        identity: Option<Arc<Identity>>,
    ) -> Sender {
        let caller = match (&identity, peer) {
            (_, Peer::Stranger(_)) => Caller::stranger(),
            (Some(identity), _) => Caller::of(identity, !self.config().has_pki()),
            (None, _) => Caller::trusted(),
        };
        let headers = request.headers_mut();
        let shared = self.mandate.is_shared() && peer != Peer::Unix;
        if !(shared && caller.speaks_for_others()) {
            for name in [PASSED_ON, PASSED_USER] {
                headers.remove(name);
            }
        }
        let id = headers.get(REQUEST_ID).filter(|_| headers.contains_key(PASSED_ON));
        let id = id.and_then(|id| RequestId::parse(id.to_str().ok()?)).unwrap_or_else(RequestId::make);
        match asserted(headers) {
            Some((peer, user)) => Sender { peer, identity, caller: Arc::new(user.unwrap_or(caller)), id },
            None => Sender { peer, identity, caller: Arc::new(caller), id },
        }
    }
}

/// Who is behind a call that another manager passed on: its peer, and who it is. A call of a user, an agent or
/// a stranger always says whose it is, so one that says nothing is of somebody whom the other manager trusts.
fn asserted(headers: &HeaderMap) -> Option<(Peer, Option<Caller>)> {
    let peer = headers.get(PASSED_ON)?.to_str().ok()?.parse().ok().map(Peer::Behind);
    let user = headers.get(PASSED_USER);
    let user = user.map(|u| u.to_str().map_or_else(|_| Caller::stranger(), Caller::from_passed_on));
    match (peer, user) {
        (Some(peer), user) => Some((peer, user)),
        // `unix`: that manager's machine.
        (None, None) => None,
        (None, Some(_)) => {
            Some((Peer::Behind(std::net::SocketAddr::from(([0, 0, 0, 0], 0))), Some(Caller::stranger())))
        }
    }
}

impl Api {
    /// Has the primary answer a call.
    pub async fn pass_on(&self, mut call: Call) -> Result<Passed> {
        if call.request.headers().contains_key(PASSED_ON) {
            let mut response = error::respond(&no_primary(), call.version);
            response.headers_mut().insert(REFUSED, HeaderValue::from_static("1"));
            return Ok(Passed::Answered(response));
        }
        let repeatable = call.keep_body().await?;
        let deadline = Instant::now() + PATIENCE;
        let mut why = no_primary();
        while let Some(now) = self.leader_before(deadline).await {
            if now.role == Role::Primary {
                return Ok(Passed::Ours(Box::new(call)));
            }
            let primary = now.primary.unwrap_or_default();
            let body = self.body_of(&mut call, repeatable);
            match self.ask_primary(&primary, &call, body).await {
                Ok(response) if response.headers().contains_key(REFUSED) => why = no_primary(),
                Ok(response) => return Ok(Passed::Answered(self.bring_back(call, response, &primary))),
                Err(Failed { error, unsent }) => {
                    why = unreachable(&error, &primary, !unsent);
                    if !unsent && changes(call.method()) {
                        return Err(why);
                    }
                }
            }
            if !repeatable {
                return Err(why);
            }
            // Until there is another, or the same can be reached again.
            let pause = deadline.min(Instant::now() + PAUSE);
            let _ = timeout_at(pause, self.mandate.until(|l| l.primary.as_ref() != Some(&primary))).await;
        }
        Err(why)
    }

    /// Who leads, once that is known. `None` after the deadline.
    async fn leader_before(&self, deadline: Instant) -> Option<Leadership> {
        let known = |l: &Leadership| l.role != Role::Candidate;
        timeout_at(deadline, self.mandate.until(known)).await.ok()?;
        (Instant::now() < deadline).then(|| self.mandate.leadership())
    }

    /// The body for one attempt: a copy, as long as there may be another.
    fn body_of(&self, call: &mut Call, repeatable: bool) -> Body {
        match repeatable {
            true => boxed(call.request.body().copy()),
            false => boxed(std::mem::replace(call.request.body_mut(), Upload::from(Bytes::new()))),
        }
    }

    /// One attempt. A primary that is replaced while we wait for it may not be able to answer any more.
    async fn ask_primary(
        &self,
        primary: &str,
        call: &Call,
        body: Body,
    ) -> Result<Response<Incoming>, Failed> {
        let client = self.primary.to(primary)?;
        let request = passed(call, body)?;
        let grace = if changes(call.method()) { GRACE } else { Duration::ZERO };
        tokio::select! {
            answer = client.try_send(request) => answer,
            () = self.replaced(primary.to_string(), grace) => {
                Err(Error::engine(Kind::Broken, "it was replaced while it had the call").into())
            }
        }
    }

    /// The primary's answer as ours. Its streams end when it is replaced.
    fn bring_back(&self, call: Call, answer: Response<Incoming>, primary: &str) -> Response<Body> {
        let grace = if changes(call.method()) { GRACE } else { Duration::ZERO };
        let (replaced, revoked) = (self.replaced(primary.to_string(), grace), self.revocation(&call));
        let cut = async {
            tokio::select! {
                () = replaced => {}
                () = revoked => {}
            }
        };
        let mut response = match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => self.tunnel(call, answer, cut, async {}),
            _ => cut_by(until_close(pass_back(answer)), cut),
        };
        response.extensions_mut().insert(FromPrimary);
        response
    }

    /// Ends some time after `primary` has ceased to be that.
    fn replaced(&self, primary: String, grace: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mandate = self.mandate.clone();
        async move {
            mandate.until(|l| l.primary.as_ref() != Some(&primary)).await;
            sleep(grace).await;
        }
    }

    /// Ends when a call is to be broken off: the reign that we are in has ended, other than by an orderly stop (then
    /// what is under way is drained), or a certificate behind it counts no more.
    pub fn breaks_off(&self, call: &Call) -> impl Future<Output = ()> + Send + 'static {
        let (mandate, closing) = (self.mandate.clone(), self.closing.clone());
        let (term, revoked) = (mandate.leadership().term, self.revocation(call));
        async move {
            tokio::select! {
                () = mandate.deposed(term) => {}
                () = revoked => return,
            }
            if closing.is_cancelled() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends when the caller's certificate counts no more, or that of the manager who has passed the call on; without
    /// certificates never.
    ///
    /// A user's counts until it ends. Managers renew theirs by themselves, and what they have open goes on, here as at the
    /// fronts of engines: they are out when they are revoked.
    fn revocation(&self, call: &Call) -> impl Future<Output = ()> + Send + 'static {
        let (revoked, ends) = (Arc::clone(&self.revoked), Arc::clone(&self.ends));
        let caller = call.caller.serial.clone();
        let renews = call.caller.standing == Standing::Manager;
        let shown = call.identity.as_ref().map(|identity| identity.serial.clone());
        async move {
            let counts = |serial: &String| !revoked(serial);
            let lives = |serial: &String| renews || !ends.has_ended(serial, clock::unix_seconds());
            if caller.is_none() && shown.is_none() {
                return std::future::pending().await;
            }
            while caller.iter().chain(&shown).all(counts) && caller.iter().all(lives) {
                sleep(REVOCATION).await;
            }
        }
    }
}

/// The client's call as the primary gets it.
fn passed(call: &Call, body: Body) -> Result<Request<Body>> {
    let target = call.request.uri().path_and_query().map_or("/", |p| p.as_str());
    let mut request = build(call.method().clone(), target, call.request.headers(), body)?;
    let headers = request.headers_mut();
    if let Some(protocol) = call.request.headers().get(UPGRADE) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    name_client(call, headers);
    name_user(call, headers);
    Ok(request)
}

/// Tells another manager where a call comes from, and what it is called.
pub fn name_client(call: &Call, headers: &mut HeaderMap) {
    // The bare address: without a certificate, too, it is what the other one's record names.
    let client =
        HeaderValue::try_from(call.peer.address().map_or_else(|| "unix".to_string(), |at| at.to_string()));
    headers.insert(PASSED_ON, client.unwrap_or(HeaderValue::from_static("unix")));
    if let Ok(id) = HeaderValue::try_from(call.id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Tells another manager whose call it is.
pub fn name_user(call: &Call, headers: &mut HeaderMap) {
    if let Some(user) = call.caller.passed_on() {
        let user = HeaderValue::try_from(user);
        headers.insert(PASSED_USER, user.unwrap_or(HeaderValue::from_static("?")));
    }
}

/// In the classic words. What was not sent may be repeated, and the answer says so.
fn unreachable(error: &Error, primary: &str, sent: bool) -> Error {
    let text = format!("Unable to reach primary cluster manager ({error}): {primary}");
    match sent {
        false => Error::us(Kind::NotPrimary, text),
        true => Error::us(Kind::Broken, text)
            .advise("what became of the call is not known: look before you repeat it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_may_be_repeated() {
        let refused = Error::engine(Kind::Connect, "no");
        let text = "Unable to reach primary cluster manager (no): a:1";
        let error = unreachable(&refused, "a:1", false);
        assert_eq!((error.kind, &*error.message), (Kind::NotPrimary, text));
        let error = unreachable(&refused, "a:1", true);
        assert_eq!((error::status(&error).as_u16(), error.advice.is_some()), (500, true));
    }

    #[test]
    fn another_managers_word_names_the_client() {
        let mut headers = HeaderMap::new();
        assert_eq!(asserted(&headers), None);
        headers.insert(PASSED_ON, HeaderValue::from_static("10.0.0.1:5"));
        let (peer, user) = asserted(&headers).unwrap();
        assert_eq!(
            (peer.client().as_str(), peer.to_string().as_str(), user),
            ("10.0.0.1", "10.0.0.1:5 (passed on)", None)
        );
        headers.insert(PASSED_ON, HeaderValue::from_static("unix"));
        assert_eq!(asserted(&headers), None, "that manager is the client then");
    }

    #[test]
    fn another_managers_word_names_the_user() {
        let mut headers = HeaderMap::new();
        headers.insert(PASSED_ON, HeaderValue::from_static("10.0.0.1:5"));
        for (said, role) in [
            ("reader 0a alice", "reader"),
            ("agent 0a pi1", "agent"),
            ("admin", "stranger"),
            ("stranger - -", "stranger"),
            ("?", "stranger"),
        ] {
            headers.insert(PASSED_USER, HeaderValue::from_static(said));
            assert_eq!(asserted(&headers).unwrap().1.unwrap().role(), role, "{said}");
        }
        headers.insert(PASSED_ON, HeaderValue::from_static("unix"));
        assert_eq!(
            asserted(&headers).unwrap().1.unwrap().role(),
            "stranger",
            "nobody on the unix socket has a role"
        );
    }
}
