//! The HTTP face of the hosted registry: the classic token protocol, as old agents and managers speak it.
//!
//! Sockets, routing to `/clusters` and `/v1/clusters`, and the reading of bodies belong to `api`.

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::discovery::{Origin, Registry};
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
    pub async fn handle(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
        from: Origin,
    ) -> Answer {
        let token = path.trim_matches('/');
        let answered = match *method {
            _ if token.contains('/') => return Answer::error(StatusCode::NOT_FOUND, "page not found"),
            Method::POST if token.is_empty() => self.create(from).await.map(|t| Answer::ok(TEXT, t)),
            Method::POST => self.take_registration(token, query, body, from).await,
            Method::GET if !token.is_empty() => self.list(token).and_then(|entries| json_array(&entries)),
            Method::DELETE if !token.is_empty() => self.take_off(token, query).await,
            _ if token.is_empty() => return Answer::only("POST"),
            _ => return Answer::only("GET, POST, DELETE"),
        };
        answered.unwrap_or_else(|e| Answer::error(status_of(&e), &e.to_string()))
    }

    async fn take_registration(
        &self,
        token: &str,
        query: Option<&str>,
        body: &[u8],
        from: Origin,
    ) -> Result<Answer> {
        if body.len() > LARGEST_BODY {
            let message = format!("the body is longer than {LARGEST_BODY} bytes");
            return Err(Error::client(Kind::Status(413), message).advise("send one host:port"));
        }
        let address = std::str::from_utf8(body).map_err(|_| {
            Error::client(Kind::Invalid, "the body is not UTF-8").advise("send one host:port")
        })?;
        let ttl = read_ttl(parameter(query, "ttl").as_deref())?;
        self.register(token, address, ttl, from).await?;
        Ok(Answer::ok(TEXT, "OK"))
    }

    async fn take_off(&self, token: &str, query: Option<&str>) -> Result<Answer> {
        match parameter(query, "entry") {
            Some(entry) => self.withdraw(token, &entry).await?,
            None => self.delete(token).await?,
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

    async fn ask(registry: &Registry, method: Method, target: &str, body: &str) -> (u16, String) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let answer = registry.handle(&method, path, query, body.as_bytes(), Origin::Remote).await;
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
        let answer = registry.handle(&Method::POST, "/", None, b"", Origin::Remote).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 32));
        let answer = registry.handle(&Method::PATCH, "", None, b"", Origin::Remote).await;
        assert_eq!(answer.allow, Some("POST"));
    }
}
