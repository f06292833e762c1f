//! The way to the manager that has the CA, for a manager that has none.
//!
//! That is *not* the way to the primary: whoever leads, the CA stays where it is. While it cannot be asked, nobody joins
//! and nothing is issued or taken back; all else goes on.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::api::call::Call;
use crate::api::replica::{name_client, name_user};
use crate::docker::endpoint::Endpoint;
use crate::docker::http::Failed;
use crate::enroll::Errand;
use crate::enroll::ask::{self, FOR_AUTHORITY};
use crate::enroll::talk::Trust;
use crate::error::{Error, Kind, Result};
use crate::tls::pki::Files;
use crate::tls::pki::revoked::{self, Listed};
use crate::tls::{ClientTls, Peers};

/// How long all managers together are tried: whoever waits for the answer waits longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The answer of who was taken for the manager with the CA, and is not.
const ELSEWHERE: Kind = Kind::Status(StatusCode::MISDIRECTED_REQUEST.as_u16());

impl Api {
    /// Has the manager with the CA carry an errand out.
    pub(super) async fn pass_to_authority(&self, call: &Call, errand: &Errand) -> Result<Value> {
        // It would go round in circles.
        if call.request.headers().contains_key(FOR_AUTHORITY) {
            return Err(Error::us(ELSEWHERE, "this manager does not have the CA"));
        }
        let config = self.config();
        let mut failed = unknown();
        let Some(tls) = ClientTls::towards(&config, Peers::Managers)? else { return Err(failed) };
        let deadline = Instant::now() + PATIENCE;
        for manager in &config.pki.managers {
            let endpoint = Endpoint::parse(manager)?;
            let asked = ask::errand(&endpoint, &tls, errand, on_behalf(call, errand));
            let asked = timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(late(&endpoint).into()));
            match judged(asked, errand) {
                Continue(why) => failed = why.unwrap_or(failed),
                Break(answer) => {
                    if answer.is_ok() {
                        self.learn_at_once(errand, &endpoint, &tls).await;
                    }
                    return answer;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed)
    }

    /// Whoever was taken out through this manager is out here before that is answered. Other managers look every few
    /// seconds (`enroll::renewal`).
    async fn learn_at_once(&self, errand: &Errand, authority: &Endpoint, tls: &ClientTls) {
        if !matches!(errand, Errand::Revoke(_)) {
            return;
        }
        let files = Files::below(&self.config().pki_dir());
        let learnt = match ask::trust(authority, tls).await {
            Ok(Trust { revoked, .. }) => {
                tokio::task::spawn_blocking(move || revoked::write(&files, &Listed { revoked }))
                    .await
                    .unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
            }
            Err(e) => Err(e),
        };
        if let Err(error) = learnt {
            tracing::warn!("what was revoked is learnt at the next look: {error}");
        }
    }
}

/// Whether that is the answer, or the next manager is asked, and why if nobody answers. What was sent and may have changed
/// something is never sent twice.
fn judged(asked: Result<Value, Failed>, errand: &Errand) -> ControlFlow<Result<Value>, Option<Error>> {
    match asked {
        Ok(value) => Break(Ok(value)),
        Err(Failed { error, .. }) if error.kind == ELSEWHERE => Continue(None),
        // It was asked, and that is its answer.
        Err(Failed { error, .. }) if matches!(error.kind, Kind::Status(_)) => Break(Err(error)),
        Err(Failed { error, unsent }) if unsent || !errand.changes() => Continue(Some(away(&error))),
        Err(Failed { error, .. }) => Break(Err(open(&error))),
    }
}

/// For whom it is, for the record of the manager with the CA. Who joins is nobody yet: his token says what he may.
fn on_behalf(call: &Call, errand: &Errand) -> HeaderMap {
    let mut headers = HeaderMap::new();
    name_client(call, &mut headers);
    if !matches!(errand, Errand::Join { .. }) {
        name_user(call, &mut headers);
    }
    headers
}

fn unknown() -> Error {
    Error::us(unavailable(), "this manager does not know the one that has the CA")
        .advise("set [pki] managers = [\"HOST:3376\"] to where that is")
}

fn away(why: &Error) -> Error {
    let why = match why.kind {
        Kind::Connect | Kind::Timeout => why.message.clone(),
        // What else there is to do about it: certificates that one side does not like, say.
        _ => why.to_string(),
    };
    Error::us(unavailable(), format!("the manager with the CA cannot be asked: {why}")).advise(
        "joining, certificates, join tokens and users wait until it is back; all else goes on without it",
    )
}

/// It was sent, and what became of it is not known.
fn open(why: &Error) -> Error {
    Error::us(Kind::Broken, format!("the manager with the CA was asked and did not answer: {why}")).advise(
        "it may have been done: look before you repeat it (`swarmd pki status`, `swarmd join-token ls`)",
    )
}

fn late(manager: &Endpoint) -> Error {
    let text = format!("{manager} did not answer within {} s", PATIENCE.as_secs());
    Error::store(Kind::Timeout, text)
}

fn unavailable() -> Kind {
    Kind::Status(StatusCode::SERVICE_UNAVAILABLE.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_not_asked_for_twice() {
        let fails = |kind, unsent| Err(Failed { error: Error::store(kind, "no answer"), unsent });
        let (join, look) = (Errand::NewToken(Default::default()), Errand::Tokens);
        assert!(matches!(judged(fails(Kind::Connect, true), &join), Continue(Some(_))));
        assert!(matches!(judged(fails(ELSEWHERE, false), &join), Continue(None)));
        for kind in [Kind::Broken, Kind::Timeout, Kind::Protocol] {
            let Break(Err(error)) = judged(fails(kind, false), &join) else { panic!("{kind:?}: once more") };
            assert_eq!(crate::api::error::status(&error).as_u16(), 500);
            assert!(
                error.to_string().contains("it may have been done: look before you repeat it"),
                "{error}"
            );
            assert!(
                matches!(judged(fails(kind, false), &look), Continue(Some(_))),
                "a question changes nothing"
            );
        }
        let refused = judged(fails(Kind::Status(409), false), &join);
        assert!(matches!(refused, Break(Err(error)) if error.kind == Kind::Status(409)));
    }

    #[test]
    fn what_waits_is_said_and_a_cure_is_kept() {
        let gone = Error::store(Kind::Connect, "cannot connect to the manager at a:1").advise("is it there?");
        let text = away(&gone).to_string();
        assert_eq!(
            text,
            "the manager with the CA cannot be asked: cannot connect to the manager at a:1 (joining, certificates, join \
             tokens and users wait until it is back; all else goes on without it)"
        );
        let disliked = Error::store(Kind::Protocol, "TLS broke off").advise("reissue cert.pem");
        assert!(away(&disliked).message.ends_with("TLS broke off (reissue cert.pem)"));
        assert_eq!(crate::api::error::status(&away(&gone)).as_u16(), 503);
    }
}
