//! Ping, version, calls that any node can answer, and the hosted registry.

use hyper::header::{ALLOW, CACHE_CONTROL, HeaderValue, PRAGMA};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::access::Standing;
use crate::api::call::{Call, Hosts, Peer};
use crate::api::{Api, build, error};
use crate::discovery::lan::proof::{self, Question};
use crate::discovery::{Guest, Origin, Rights};
use crate::docker::http::{Body, full};
use crate::docker::version::{ApiRange, ApiVersion};
use crate::error::{Error, Kind, Result};
use crate::scheduler::Request;

/// Refuses versions outside the announced range with the engine's own texts.
pub fn check_version(version: ApiVersion, range: ApiRange) -> Result<()> {
    let text = if version > range.max {
        format!("client version {version} is too new. Maximum supported API version is {}", range.max)
    } else if version < range.min {
        format!(
            "client version {version} is too old. Minimum supported API version is {}, please upgrade your client \
             to a newer version",
            range.min
        )
    } else {
        return Ok(());
    };
    Err(Error::client(Kind::Invalid, text))
}

impl Api {
    /// `GET`/`HEAD /_ping`: what clients negotiate by.
    pub fn ping(&self) -> Response<Body> {
        let builder = if build::has_buildkit(&self.cluster.view()) { "2" } else { "1" };
        let mut response = error::typed(StatusCode::OK, "text/plain; charset=utf-8", full("OK"));
        let headers = response.headers_mut();
        headers.insert("builder-version", HeaderValue::from_static(builder));
        headers.insert("swarm", HeaderValue::from_static("inactive"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        response
    }

    /// `GET /version`
    pub fn version(&self, range: ApiRange) -> Response<Body> {
        let version = concat!("swarm/", env!("CARGO_PKG_VERSION"));
        let experimental = self.config().experimental;
        let facts = json!({
            "ApiVersion": range.max.to_string(),
            "Arch": self.host.arch,
            "BuildTime": "",
            "Experimental": experimental.to_string(),
            "GitCommit": "",
            "GoVersion": "none (Rust)",
            "KernelVersion": self.host.kernel,
            "MinAPIVersion": range.min.to_string(),
            "Os": "linux",
        });
        let mut answer = json!({
            "Platform": { "Name": "swarmd" },
            "Components": [{ "Name": "Engine", "Version": version, "Details": facts }],
            "Version": version,
            "ApiVersion": facts["ApiVersion"],
            "MinAPIVersion": facts["MinAPIVersion"],
            "GitCommit": "",
            "GoVersion": facts["GoVersion"],
            "Os": "linux",
            "Arch": facts["Arch"],
            "KernelVersion": facts["KernelVersion"],
            "BuildTime": "",
        });
        // Engines tell it only if it is so.
        if experimental {
            answer["Experimental"] = true.into();
        }
        error::json(StatusCode::OK, &answer)
    }

    /// Calls that say nothing of a node, such as `login` and `search`: the best-ranked node answers.
    pub async fn any_node(&self, call: Call) -> Result<Response<Body>> {
        let node = self.cluster.decide(|view, pending| self.choose(view, pending, &Request::default()))?.node;
        let path = format!(
            "/{}",
            call.segments.iter().map(|s| super::call::encode(s)).collect::<Vec<_>>().join("/")
        );
        self.forward(call, &node, &path).await
    }

    /// The hosted token registry, under `/clusters` and `/v1/clusters`.
    pub async fn registry(&self, mut call: Call) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        let path =
            call.segments.iter().skip_while(|s| *s == "v1").skip(1).cloned().collect::<Vec<_>>().join("/");
        if let Some(question) = call.request.uri().query().and_then(Question::of_query)
            && path.is_empty()
        {
            let own = self.about.lan.borrow().addresses.clone();
            let (status, text) = proof::answer(&self.registry, &own, &question);
            return Ok(error::typed(status, "text/plain; charset=utf-8", full(text)));
        }
        let guest = self.guest(&call);
        let answer =
            self.registry.handle(call.method(), &path, call.request.uri().query(), &body, &guest).await;
        let mut response = error::typed(answer.status, answer.content_type, full(answer.body));
        if let Some(methods) = answer.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        Ok(response)
    }

    /// Who asks the registry.
    fn guest(&self, call: &Call) -> Guest {
        let config = self.config();
        let origin = match call.peer {
            Peer::Unix => Origin::Unix,
            // With `tlsverify` who is no stranger has shown a good certificate.
            Peer::Tcp(peer) => Origin::of_tcp(peer.ip(), config.tls.tlsverify),
            // Managers do not pass such calls on: whoever says so is nobody that we know.
            Peer::Stranger(_) | Peer::Behind(_) => Origin::Remote,
        };
        let hosts = call.request.extensions().get::<Hosts>();
        let rights = match (call.caller.standing, hosts) {
            _ if !config.has_pki() || call.caller.may_everything() => Rights::All,
            _ if config.pki.token_agents => Rights::Entries,
            (Standing::Agent, Some(Hosts(hosts))) if matches!(call.peer, Peer::Tcp(_)) => {
                Rights::Own { name: call.caller.name.clone(), hosts: hosts.clone() }
            }
            _ => Rights::Look,
        };
        Guest { origin, rights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_the_range_get_the_engines_texts() {
        let range = ApiRange { min: ApiVersion::new(1, 24), max: ApiVersion::new(1, 41) };
        let text = |minor| check_version(ApiVersion::new(1, minor), range).unwrap_err().message;
        assert_eq!(text(51), "client version 1.51 is too new. Maximum supported API version is 1.41");
        assert!(
            text(12)
                .starts_with("client version 1.12 is too old. Minimum supported API version is 1.24, please")
        );
        assert!(check_version(ApiVersion::new(1, 30), range).is_ok());
    }
}
