//! Questions to a manager, one attempt each.

use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::docker::endpoint::Endpoint;
use crate::docker::http::{Client, answered, empty, full, request};
use crate::enroll::errand::Errand;
use crate::enroll::talk::{Membership, Request, SCHEME, Trust};
use crate::error::{Error, Kind, Result, Side};
use crate::tls::ClientTls;
use crate::tls::pki::pin::JoinToken;

/// A manager thinks no longer, and passes a call on within it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Joins with a token, whose CA the manager must show.
///
/// # Errors
/// No connection, another CA, a token that opens nothing.
pub async fn join(manager: &Endpoint, token: &JoinToken, wanted: &Request) -> Result<Membership> {
    let client = Client::new(manager.clone(), Some(ClientTls::pinned(&token.pin)?));
    let secret = format!("{SCHEME}{}-{}-{}", token.joins.word(), token.id, token.secret);
    let mut secret = HeaderValue::try_from(secret).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    secret.set_sensitive(true);
    call(&client, Method::POST, "/swarmd/v1/join", Some(wanted), Some(secret)).await
}

/// Renews our certificate, which `tls` shows.
///
/// # Errors
/// No connection, or the manager's refusal.
pub async fn renew(manager: &Endpoint, tls: &ClientTls, wanted: &Request) -> Result<Membership> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    call(&client, Method::POST, "/swarmd/v1/renew", Some(wanted), None).await
}

/// Asks whom to trust.
///
/// # Errors
/// No connection, or the manager's refusal.
pub async fn trust(manager: &Endpoint, tls: &ClientTls) -> Result<Trust> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    call(&client, Method::GET, "/swarmd/v1/trust", None::<&()>, None).await
}

/// Has the manager with the CA do something, as another manager.
///
/// # Errors
/// No connection, or what the CA says: that with its own status, for the client.
pub async fn errand(manager: &Endpoint, tls: &ClientTls, errand: &Errand) -> Result<Value> {
    let client = Client::new(manager.clone(), Some(tls.clone()));
    call(&client, Method::POST, "/swarmd/v1/authority", Some(errand), None).await
}

async fn call<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
    secret: Option<HeaderValue>,
) -> Result<T> {
    let text = body.map(serde_json::to_string).transpose();
    let text = text.map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    let mut call = request(method, path, text.map_or_else(empty, full))?;
    call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(secret) = secret {
        call.headers_mut().insert(AUTHORIZATION, secret);
    }
    let (status, answer) = client.exchange(call, DEADLINE).await.map_err(|e| of_manager(e, client))?;
    if !status.is_success() {
        return Err(refused(status, answered(status, &answer), client));
    }
    serde_json::from_slice(&answer).map_err(|e| {
        let text = format!("{} is no swarmd manager, or an older one: {e}", client.endpoint());
        Error::store(Kind::Protocol, text)
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
