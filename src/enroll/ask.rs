//! Questions to a manager, one attempt each.

use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::docker::endpoint::Endpoint;
use crate::docker::http::{Client, Failed, answered, empty, full, request};
use crate::enroll::errand::Errand;
use crate::enroll::talk::{Membership, Request, SCHEME, Trust};
use crate::error::{Error, Kind, Result, Side};
use crate::tls::ClientTls;
use crate::tls::pki::pin::JoinToken;

/// A manager thinks no longer, and passes a call on within it.
const DEADLINE: Duration = Duration::from_secs(20);
/// The manager with the CA thinks no longer for another one, whose client waits meanwhile.
const ERRAND_DEADLINE: Duration = Duration::from_secs(8);

/// The mark of a call to the manager that has the CA: whoever has none does not pass it on to yet another.
pub const FOR_AUTHORITY: HeaderName = HeaderName::from_static("x-swarmd-authority");

/// Joins with a token, whose CA the manager must show.
///
/// # Errors
/// No connection, another CA, a token that opens nothing.
pub async fn join(manager: &Endpoint, token: &JoinToken, wanted: &Request) -> Result<Membership> {
    let client = Client::new(manager.clone(), Some(ClientTls::pinned(&token.pin)?));
    let secret = format!("{SCHEME}{}-{}-{}", token.joins.word(), token.id, token.secret);
    let mut secret = HeaderValue::try_from(secret).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    secret.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, secret)]);
    call(&client, Method::POST, "/swarmd/v1/join", Some(wanted), headers, DEADLINE)
        .await
        .map_err(|failed| failed.error)
}

/// Renews our certificate, which `tls` shows.
///
/// # Errors
/// No connection, or the manager's refusal.
pub async fn renew(manager: &Endpoint, tls: &ClientTls, wanted: &Request) -> Result<Membership> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    call(&client, Method::POST, "/swarmd/v1/renew", Some(wanted), HeaderMap::new(), DEADLINE)
        .await
        .map_err(|failed| failed.error)
}

/// Asks whom to trust.
///
/// # Errors
/// No connection, or the manager's refusal.
pub async fn trust(manager: &Endpoint, tls: &ClientTls) -> Result<Trust> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    call(&client, Method::GET, "/swarmd/v1/trust", None::<&()>, HeaderMap::new(), DEADLINE)
        .await
        .map_err(|failed| failed.error)
}

/// Has the manager with the CA do something, as another manager; `headers` say for whom.
///
/// # Errors
/// No connection, or what the CA says: that with its own status, for the client. What was sent may have been done.
pub async fn errand(
    manager: &Endpoint,
    tls: &ClientTls,
    errand: &Errand,
    mut headers: HeaderMap,
) -> Result<Value, Failed> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    headers.insert(FOR_AUTHORITY, HeaderValue::from_static("1"));
    // A question that every member asks all the time: as one it is on no record.
    let (method, path, body) = match errand {
        Errand::Trust => (Method::GET, "/swarmd/v1/trust", None),
        _ => (Method::POST, "/swarmd/v1/authority", Some(errand)),
    };
    call(&client, method, path, body, headers, ERRAND_DEADLINE).await
}

async fn call<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
    headers: HeaderMap,
    deadline: Duration,
) -> Result<T, Failed> {
    let text = body.map(serde_json::to_string).transpose();
    let text = text.map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    let mut call = request(method, path, text.map_or_else(empty, full))?;
    *call.headers_mut() = headers;
    call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let of_manager = |failed: Failed| Failed { error: of_manager(failed.error, client), ..failed };
    let (status, answer) = client.try_exchange(call, deadline).await.map_err(of_manager)?;
    if !status.is_success() {
        return Err(refused(status, answered(status, &answer), client).into());
    }
    serde_json::from_slice(&answer).map_err(|e| {
        let text = format!("{} is no swarmd manager, or an older one: {e}", client.endpoint());
        Error::store(Kind::Protocol, text).into()
    })
}

/// The HTTP client speaks of engines; this is none.
fn of_manager(error: Error, client: &Client) -> Error {
    let old = format!("Cannot connect to the Docker daemon at tcp://{}", client.endpoint());
    let message =
        error.message.replace(&old, &format!("cannot connect to the manager at {}", client.endpoint()));
    let advice = match error.kind {
        Kind::Connect => Some("is swarmd running there, and reachable at that address and port?".to_string()),
        _ => error.advice,
    };
    Error { side: Side::Store, message, advice, ..error }
}

/// The manager's words. What it does not know at all is said in ours.
fn refused(status: StatusCode, said: Error, client: &Client) -> Error {
    match status {
        StatusCode::NOT_FOUND if said.message == "page not found" => {
            let text = format!("{} does not know how to let machines join", client.endpoint());
            Error::store(Kind::Unsupported, text).advise("is it an older swarmd?")
        }
        _ => Error { side: Side::Client, ..said },
    }
}
