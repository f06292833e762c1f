//! One request of a client, taken apart: version, path segments, query.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, Method, Request, StatusCode};
use percent_encoding::percent_decode_str;

use crate::access::Caller;
use crate::api::upload::Upload;
use crate::docker::version::ApiVersion;
use crate::error::{Error, Kind, Result};
use crate::tls::identity::Identity;

/// Largest JSON body that we read. Tar streams are never read whole.
const LARGEST_JSON: usize = 4 << 20;

/// Who is on the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A TCP peer that showed no certificate where clients must (`tlsverify`).
    Stranger(SocketAddr),
    /// A process on this machine that may open our unix socket.
    Unix,
    /// A TCP peer of another manager, which passed its call on. It is that manager's word: good for logs, and for
    /// telling clients apart.
    Behind(SocketAddr),
}

impl Peer {
    /// Who it is, for what belongs to a client rather than to a connection: its address, or `unix` for all
    /// processes of this machine.
    pub fn client(&self) -> String {
        self.address().map_or_else(|| "unix".to_string(), |addr| addr.ip().to_canonical().to_string())
    }

    /// Its address; a process of this machine has none.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Tcp(addr) | Peer::Stranger(addr) | Peer::Behind(addr) => Some(*addr),
            Peer::Unix => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(addr) => addr.fmt(f),
            Peer::Stranger(addr) => write!(f, "{addr} (no certificate)"),
            Peer::Unix => f.write_str("unix"),
            Peer::Behind(addr) => write!(f, "{addr} (passed on)"),
        }
    }
}

/// In the extensions of a request: names and addresses in the certificate that its connection has shown.
#[derive(Debug, Clone)]
pub struct Hosts(pub Arc<[String]>);

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Where it comes from.
    pub peer: Peer,
    /// Who shows a certificate there, if anybody does.
    pub identity: Option<Arc<Identity>>,
    /// Who makes it: another than that if a manager passes it on.
    pub caller: Arc<Caller>,
    /// What the request is called.
    pub id: RequestId,
}

/// A request.
pub struct Call {
    /// As it came; the path in it is not to be trusted, use `segments`.
    pub request: Request<Upload>,
    /// The API version in the path, if there is one.
    pub version: Option<ApiVersion>,
    /// The path behind the version, split at `/` and then percent-decoded.
    pub segments: Vec<String>,
    /// The parameters.
    pub query: Query,
    /// Where it comes from.
    pub peer: Peer,
    /// Who shows a certificate there, if anybody does.
    pub identity: Option<Arc<Identity>>,
    /// Who makes it: another than that if a manager passes it on.
    pub caller: Arc<Caller>,
    /// What the log, and the answer's `X-Request-Id`, call it.
    pub id: RequestId,
    /// Networks that it names, of a caller with a role.
    pub joins: Vec<String>,
    /// Volumes that it names, of a caller with a role.
    pub mounts: Vec<String>,
}

/// What one request is called: in each log line about it, and in the header `X-Request-Id` of its answer. 16 hex
/// digits of chance; not a secret. A manager that passes a call on hands its name over, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// A new one.
    pub fn make() -> RequestId {
        RequestId(fastrand::u64(..))
    }

    /// Reads what another manager says. `None` for what no manager would say.
    pub fn parse(text: &str) -> Option<RequestId> {
        let plain = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| plain).map(RequestId)
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What an engine must know of who asks for a container: taken from a client's call, or empty for a wish of
/// our own.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The API version in the path.
    pub version: Option<ApiVersion>,
    /// The parameters.
    pub query: Query,
    /// The headers, which may hold credentials for a registry.
    pub headers: HeaderMap,
}

impl Call {
    /// Takes a request apart. Fails on paths that are not UTF-8 after decoding.
    pub fn new(request: Request<Incoming>, sender: &Sender) -> Result<Call> {
        let (version, segments) = split_path(request.uri().path())?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let Sender { peer, identity, caller, id } = sender.clone();
        Ok(Call {
            request: request.map(Upload::from),
            version,
            segments,
            query,
            peer,
            identity,
            caller,
            id,
            joins: Vec::new(),
            mounts: Vec::new(),
        })
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Who asks.
    pub fn ask(&self) -> Ask {
        let headers = self.request.headers().clone();
        Ask { version: self.version, query: self.query.clone(), headers }
    }

    /// Whether the client wants to take the connection over.
    pub fn wants_upgrade(&self) -> bool {
        self.header("upgrade").is_some()
    }

    /// Reads a body of known, small length, so that the call can be made more than once. Larger ones stay as they
    /// are. Whether it can, after that.
    pub async fn keep_body(&mut self) -> Result<bool> {
        if self.request.body().size_hint().exact().is_none_or(|length| length > LARGEST_JSON as u64) {
            return Ok(false);
        }
        let whole = self.read_body().await?;
        *self.request.body_mut() = whole.into();
        Ok(true)
    }

    /// Reads the body whole, up to the bound for JSON.
    pub async fn read_body(&mut self) -> Result<Bytes> {
        match Limited::new(self.request.body_mut(), LARGEST_JSON).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => {
                let text = format!("the request body is larger than {} MiB", LARGEST_JSON >> 20);
                Err(Error::client(Kind::Status(StatusCode::PAYLOAD_TOO_LARGE.as_u16()), text))
            }
            Err(e) => Err(Error::client(Kind::Invalid, format!("cannot read the request body: {e}"))),
        }
    }
}

/// The API version that a path begins with.
pub fn version_of(path: &str) -> Option<ApiVersion> {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next()?;
    ApiVersion::parse(first.strip_prefix('v')?)
}

/// Splits a path into version and decoded segments. Empty segments (`//`, trailing `/`) and `.`/`..` are kept
/// as they are: they match no route, so nothing can be reached by another spelling.
pub fn split_path(path: &str) -> Result<(Option<ApiVersion>, Vec<String>)> {
    let mut raw = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    let version = version_of(path);
    if version.is_some() {
        raw.next();
    }
    let decode = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8();
        decoded
            .map(|s| s.into_owned())
            .map_err(|_| Error::client(Kind::Invalid, "the path is not valid UTF-8"))
    };
    Ok((version, raw.map(decode).collect::<Result<_>>()?))
}

/// The parameters of a request, in order.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query string.
    pub fn parse(text: &str) -> Query {
        Query { pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect() }
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// All values of a parameter.
    pub fn all(&self, key: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect()
    }

    /// A truth value as engines read it: anything but empty, `0`, `no`, `false` and `none` is true.
    pub fn flag(&self, key: &str) -> bool {
        let text = self.get(key).unwrap_or_default().trim().to_lowercase();
        !matches!(text.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number; 0 if it is absent or none.
    pub fn number(&self, key: &str) -> i64 {
        self.get(key).and_then(|v| v.trim().parse().ok()).unwrap_or(0)
    }

    /// Replaces a parameter, or adds it.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.pairs.iter_mut().find(|(k, _)| k == key) {
            Some((_, v)) => *v = value.to_string(),
            None => self.pairs.push((key.to_string(), value.to_string())),
        }
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, key: &str) {
        self.pairs.retain(|(k, _)| k != key);
    }

    /// The query string with its `?`; empty without parameters.
    pub fn to_text(&self) -> String {
        if self.pairs.is_empty() {
            return String::new();
        }
        let mut text = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        text.extend_pairs(&self.pairs).finish()
    }
}

/// Percent-encodes one path segment (a name or an ID may hold anything). `/` stays: image names have it.
pub fn encode(segment: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'/')
        .remove(b':')
        .remove(b'@');
    utf8_percent_encode(segment, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_into_version_and_segments() {
        let split = |p| split_path(p).unwrap();
        let v = |text| ApiVersion::parse(text);
        assert_eq!(split("/v1.41/containers/json"), (v("1.41"), vec!["containers".into(), "json".into()]));
        assert_eq!(split("/_ping"), (None, vec!["_ping".into()]));
        assert_eq!(split("/v1/clusters").0, None);
        assert_eq!(split("/containers/pi1%2Fweb/json").1[1], "pi1/web");
        assert_eq!(split("/containers//json").1[1], "");
        assert!(split_path("/%ff").is_err());
    }

    #[test]
    fn a_client_is_its_address() {
        let client = |text: &str| Peer::Tcp(text.parse().unwrap()).client();
        assert_eq!(client("10.0.0.1:5000"), client("10.0.0.1:6000"));
        assert_eq!(client("[::ffff:10.0.0.1]:5000"), "10.0.0.1", "the same machine over a dual-stack socket");
        assert_eq!((client("[fe80::1]:1").as_str(), Peer::Unix.client().as_str()), ("fe80::1", "unix"));
    }

    #[test]
    fn parameters_read_as_engines_read_them() {
        let mut query = Query::parse("all=True&limit=x&t=a&t=b&name=a%20b&off=none");
        assert!(query.flag("all") && !query.flag("off") && !query.flag("absent"));
        assert_eq!((query.number("limit"), query.all("t")), (0, vec!["a", "b"]));
        query.set("name", "c&d");
        query.remove("t");
        assert_eq!(query.to_text(), "?all=True&limit=x&name=c%26d&off=none");
    }
}
