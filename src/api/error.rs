//! Answers that we make ourselves: JSON, text, and errors as an engine would word them.

use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::docker::http::{Body, empty, full};
use crate::docker::version::ApiVersion;
use crate::error::{Error, Kind, Side};

/// The HTTP status of an error: by its side and kind, after `classic-api` section 6. An engine's own status
/// stays as it is.
pub fn status(error: &Error) -> StatusCode {
    match (error.side, error.kind) {
        (_, Kind::Status(code)) => StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        (_, Kind::NotFound) => StatusCode::NOT_FOUND,
        (_, Kind::Conflict) => StatusCode::CONFLICT,
        (_, Kind::Unsupported) => StatusCode::NOT_IMPLEMENTED,
        (_, Kind::NotPrimary) => StatusCode::SERVICE_UNAVAILABLE,
        (Side::Client, Kind::Invalid) => StatusCode::BAD_REQUEST,
        // No node is 500, never 404: on 404 the docker client would start a pull.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Clients of older versions read errors as plain text.
const JSON_ERRORS: ApiVersion = ApiVersion::new(1, 24);

/// An error as the answer of an engine to a client of some version.
pub fn respond(error: &Error, version: Option<ApiVersion>) -> Response<Body> {
    let mut response = worded(error, version);
    if matches!(error.kind, Kind::NotPrimary | Kind::Status(429)) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn worded(error: &Error, version: Option<ApiVersion>) -> Response<Body> {
    if version.is_some_and(|version| version < JSON_ERRORS) {
        return typed(status(error), "text/plain; charset=utf-8", full(format!("{error}\n")));
    }
    #[derive(Serialize)]
    struct Message {
        message: String,
    }
    json(status(error), &Message { message: error.to_string() })
}

/// A JSON answer.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response<Body> {
    // Our own answers always serialise.
    raw_json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer whose JSON text is ready.
pub fn raw_json(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut text: bytes::Bytes = text.into();
    if text.last() != Some(&b'\n') {
        let mut line = Vec::with_capacity(text.len() + 1);
        line.extend_from_slice(&text);
        line.push(b'\n');
        text = line.into();
    }
    typed(status, "application/json", full(text))
}

/// An answer without a body.
pub fn nothing(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// An answer of some media type.
pub fn typed(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_and_kinds_become_statuses() {
        for (error, code) in [
            (Error::client(Kind::NotFound, ""), 404),
            (Error::client(Kind::Conflict, ""), 409),
            (Error::client(Kind::Invalid, ""), 400),
            (Error::client(Kind::NoNode, ""), 500),
            (Error::engine(Kind::Connect, ""), 500),
            (Error::engine(Kind::Status(304), ""), 304),
            (Error::us(Kind::Unsupported, ""), 501),
            (Error::us(Kind::NotPrimary, ""), 503),
        ] {
            assert_eq!(status(&error).as_u16(), code, "{error:?}");
        }
    }
}
