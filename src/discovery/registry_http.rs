//! The HTTP face of the hosted registry: the classic token protocol, as old agents and managers speak it.
//!
//! Sockets, routing to `/clusters` and `/v1/clusters`, and the reading of bodies belong to `api`.

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::discovery::{Guest, Registry, Rights, entry};
use crate::error::{Error, Kind, Result};

/// Largest request body that is worth reading: an address.
pub const LARGEST_BODY: usize = 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// An answer of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `Allow`, with status 405.
    pub allow: Option<&'static str>,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer { status: StatusCode::OK, content_type, allow: None, body: body.into() }
    }

    fn error(status: StatusCode, text: &str) -> Answer {
        Answer { status, ..Answer::ok(TEXT, format!("{text}\n")) }
    }

    fn only(allow: &'static str) -> Answer {
        Answer {
            allow: Some(allow),
            ..Answer::error(StatusCode::METHOD_NOT_ALLOWED, &format!("method not allowed, only {allow}"))
        }
    }
}

impl Registry {
    /// Answers a request. `path` is what follows `/clusters`: empty or `/TOKEN`; a slash at the end means
    /// nothing.
    ///
    /// | request | answer |
    /// |---|---|
    /// | `POST /clusters` | a new token |
    /// | `POST /clusters/TOKEN?ttl=SECONDS`, body `host:port` | `OK` |
    /// | `GET /clusters/TOKEN` | a JSON array of entries |
    /// | `DELETE /clusters/TOKEN` | `OK`, the token and its entries are gone |
    /// | `DELETE /clusters/TOKEN?entry=host:port` | `OK`, that entry is gone (not in the classic protocol) |
    ///
    /// What `guest` may not do is 403, whether or not there is such a token.
    pub async fn handle(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
        guest: &Guest,
    ) -> Answer {
        let token = path.trim_matches('/');
        let answered = match *method {
            _ if token.contains('/') => return Answer::error(StatusCode::NOT_FOUND, "page not found"),
            Method::POST if token.is_empty() => self.make(guest).await,
            Method::POST => self.take_registration(token, query, body, guest).await,
            Method::GET if !token.is_empty() => self.list(token).and_then(|entries| json_array(&entries)),
            Method::DELETE if !token.is_empty() => self.take_off(token, query, guest).await,
            _ if token.is_empty() => return Answer::only("POST"),
            _ => return Answer::only("GET, POST, DELETE"),
        };
        answered.unwrap_or_else(|e| Answer::error(status_of(&e), &e.to_string()))
    }

    async fn make(&self, guest: &Guest) -> Result<Answer> {
        guest.may_rule()?;
        self.create(guest.origin).await.map(|token| Answer::ok(TEXT, token))
    }

    async fn take_registration(
        &self,
        token: &str,
        query: Option<&str>,
        body: &[u8],
        guest: &Guest,
    ) -> Result<Answer> {
        if body.len() > LARGEST_BODY {
            let message = format!("the body is longer than {LARGEST_BODY} bytes");
            return Err(Error::client(Kind::Status(413), message).advise("send one host:port"));
        }
        let address = std::str::from_utf8(body).map_err(|_| {
            Error::client(Kind::Invalid, "the body is not UTF-8").advise("send one host:port")
        })?;
        let ttl = read_ttl(parameter(query, "ttl").as_deref())?;
        let entry = entry::parse(address)?;
        guest.may_enter(&entry)?;
        self.register(token, address, ttl, guest.origin).await?;
        if let Rights::Own { name, .. } = &guest.rights {
            self.note_owner(&entry, name);
        }
        Ok(Answer::ok(TEXT, "OK"))
    }

    async fn take_off(&self, token: &str, query: Option<&str>, guest: &Guest) -> Result<Answer> {
        match parameter(query, "entry") {
            Some(text) => {
                let entry = entry::parse(&text)?;
                match &guest.rights {
                    // Its address of before, which is in its certificate no more.
                    Rights::Own { name, .. } if self.is_owner(&entry, name) => {}
                    _ => guest.may_enter(&entry)?,
                }
                self.withdraw(token, &text).await?;
            }
            None => {
                guest.may_rule()?;
                self.delete(token).await?;
            }
        }
        Ok(Answer::ok(TEXT, "OK"))
    }
}

fn json_array(entries: &[String]) -> Result<Answer> {
    let json = serde_json::to_vec(entries).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    Ok(Answer::ok(JSON, json))
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Seconds; absent and empty mean the default.
fn read_ttl(text: Option<&str>) -> Result<i64> {
    let text = text.unwrap_or_default();
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match (text.is_empty(), digits) {
        (true, _) => Ok(0),
        // More digits than fit are far above the longest life, which is the answer then.
        (false, true) => Ok(text.parse().unwrap_or(i64::MAX)),
        (false, false) => {
            Err(Error::client(Kind::Invalid, format!("malformed ttl {text:?}")).advise("a number of seconds"))
        }
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Permission => StatusCode::FORBIDDEN,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Origin;

    async fn ask(registry: &Registry, method: Method, target: &str, body: &str) -> (u16, String) {
        ask_as(&Guest::by_token(Origin::Remote), registry, method, target, body).await
    }

    async fn ask_as(
        guest: &Guest,
        registry: &Registry,
        method: Method,
        target: &str,
        body: &str,
    ) -> (u16, String) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let answer = registry.handle(&method, path, query, body.as_bytes(), guest).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        (answer.status.as_u16(), text)
    }

    #[tokio::test]
    async fn table() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), false).unwrap();
        registry.local("T").unwrap();
        let long = format!("{}:1", "h".repeat(LARGEST_BODY));
        let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
        // In order: each builds on those before.
        for (method, target, body, status, start) in [
            (&get, "/T", "", 200, "[]"),
            (&get, "/unknown", "", 404, "unknown token (make one with `swarmd create`"),
            (&post, "/unknown?ttl=9", "a:1", 404, "unknown token"),
            (&delete, "/unknown", "", 404, "unknown token"),
            (&post, "/T?ttl=180", "10.0.0.1:2375", 200, "OK"),
            (&post, "/T", "  pi2:2375\n", 200, "OK"),
            (&post, "/T/?ttl=0", "pi2:2375", 200, "OK"),
            (&post, "/T?ttl=", "pi3:2375", 200, "OK"),
            (&post, "/T?ttl=99999999999999999999999", "pi3:2375", 200, "OK"),
            (&get, "/T/", "", 200, r#"["10.0.0.1:2375","pi2:2375","pi3:2375"]"#),
            (&post, "/T?ttl=3m", "a:1", 400, "malformed ttl \"3m\""),
            (&post, "/T?ttl=-1", "a:1", 400, "malformed ttl"),
            (&post, "/T", "", 400, "missing port in address"),
            (&post, "/T", "pi2", 400, "address pi2: missing port in address"),
            (&post, "/T", "a\"b:1", 400, "malformed address"),
            (&post, "/T", "unix:///s", 400, "unix:///s is a socket of another machine"),
            (&post, "/T", &long, 413, "the body is longer than"),
            (&delete, "/T?entry=pi2:2375", "", 200, "OK"),
            (&delete, "/T?entry=pi2%3A2375", "", 200, "OK"),
            (&get, "/T", "", 200, r#"["10.0.0.1:2375","pi3:2375"]"#),
            (&delete, "/T?entry=pi2", "", 400, "address pi2"),
            (&delete, "/T", "", 200, "OK"),
            (&get, "/T", "", 200, "[]"),
            (&post, "", "", 403, "tokens are made on the manager's machine only"),
            (&get, "", "", 405, "method not allowed, only POST"),
            (&Method::PUT, "/T", "a:1", 405, "method not allowed, only GET, POST, DELETE"),
            (&get, "/T/more", "", 404, "page not found"),
        ] {
            let (is, text) = ask(&registry, method.clone(), target, body).await;
            assert_eq!(is, status, "{method} {target} {body}: {text}");
            assert!(text.starts_with(start), "{method} {target} {body}: {text}");
        }
    }

    #[tokio::test]
    async fn a_new_token_is_the_bare_body() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), true).unwrap();
        let guest = Guest::by_token(Origin::Remote);
        let answer = registry.handle(&Method::POST, "/", None, b"", &guest).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 32));
        let answer = registry.handle(&Method::PATCH, "", None, b"", &guest).await;
        assert_eq!(answer.allow, Some("POST"));
    }

    #[tokio::test]
    async fn with_certificates_the_token_alone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), true).unwrap();
        registry.local("T").unwrap();
        let guest = |rights| Guest { origin: Origin::Verified, rights };
        let agent =
            |address: &str| guest(Rights::Own { name: address.into(), hosts: [address.to_string()].into() });
        let (stranger, boss) = (guest(Rights::Look), guest(Rights::All));
        let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
        // In order: each builds on those before.
        for (who, method, target, body, status) in [
            (&stranger, &get, "/T", "", 200),
            (&stranger, &post, "/T", "10.0.0.2:2376", 403),
            (&stranger, &post, "", "", 403),
            (&agent("10.0.0.2"), &post, "/T", "10.0.0.3:2376", 403),
            (&agent("10.0.0.2"), &post, "/T", "10.0.0.2:2376", 200),
            (&agent("10.0.0.3"), &post, "/T", "10.0.0.3:2376", 200),
            (&agent("10.0.0.2"), &post, "/unknown", "10.0.0.2:2376", 404),
            (&agent("10.0.0.2"), &delete, "/T", "", 403),
            (&agent("10.0.0.2"), &post, "", "", 403),
            (&stranger, &delete, "/T", "", 403),
            (&stranger, &delete, "/T?entry=10.0.0.2:2376", "", 403),
            (&agent("10.0.0.9"), &delete, "/T?entry=10.0.0.2:2376", "", 403),
        ] {
            let (is, text) = ask_as(who, &registry, method.clone(), target, body).await;
            assert_eq!(is, status, "{who:?} {method} {target} {body}: {text}");
        }
        let (_, listed) = ask(&registry, get.clone(), "/T", "").await;
        assert_eq!(listed, r#"["10.0.0.2:2376","10.0.0.3:2376"]"#);
        assert_eq!(ask_as(&boss, &registry, delete, "/T", "").await.0, 200);
        assert_eq!(ask(&registry, get, "/T", "").await.1, "[]");
    }

    #[tokio::test]
    async fn an_agent_takes_back_what_it_registered_at_another_address() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), true).unwrap();
        registry.local("T").unwrap();
        let agent = |name: &str, address: &str| Guest {
            origin: Origin::Verified,
            rights: Rights::Own { name: name.into(), hosts: [address.to_string()].into() },
        };
        let before = agent("ab", "10.0.0.2");
        assert_eq!(ask_as(&before, &registry, Method::POST, "/T", "10.0.0.2:2376").await.0, 200);
        let off = "/T?entry=10.0.0.2:2376";
        assert_eq!(ask_as(&agent("cd", "10.0.0.9"), &registry, Method::DELETE, off, "").await.0, 403);
        assert_eq!(ask_as(&agent("ab", "10.0.0.9"), &registry, Method::DELETE, off, "").await.0, 200);
    }
}
