//! The engines that the configuration names: there, allowed to be used, new enough.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use futures_util::future::join_all;

use super::PATIENCE;
use super::finding::Finding;
use crate::config::Config;
use crate::discovery::lan::interfaces;
use crate::discovery::nodes;
use crate::docker::endpoint::Endpoint;
use crate::docker::http::Client;
use crate::docker::types::Version;
use crate::docker::version::{ApiVersion, OLDEST};
use crate::systemd::account;
use crate::tls::{ClientTls, Peers};

/// Where Docker listens as installed.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// How many of a long list are asked.
const MOST: usize = 16;

/// One finding for each engine, or more.
pub async fn look(config: &Config) -> Vec<Finding> {
    // Without usable certificates (which `files` tells; before the first start there are none yet) only this machine's
    // own can be asked.
    let (tls, usable) = match ClientTls::towards(config, Peers::Engines) {
        Ok(tls) => (tls, true),
        Err(_) => (None, false),
    };
    let engines = engines(config).into_iter().filter(|one| usable || matches!(one, Endpoint::Unix(_)));
    let asked = engines.map(|endpoint| {
        let tls = tls.clone();
        async move {
            if let Endpoint::Unix(path) = &endpoint
                && let Some(finding) = unusable(path)
            {
                return finding;
            }
            answers(endpoint, tls).await
        }
    });
    join_all(asked).await
}

/// Those that are named: a list of nodes, the engine that an agent makes known, or that it is the front of.
fn engines(config: &Config) -> Vec<Endpoint> {
    let url = config.discovery.url.as_deref().unwrap_or_default();
    let listed = match url.split_once("://") {
        Some(("nodes", rest)) => nodes::parse(rest),
        None => nodes::parse(url),
        _ => Ok(Vec::new()),
    };
    let agent = &config.agent;
    // A front lets in managers only: an agent that asked itself would be turned away.
    let own = match agent.front {
        Some(_) => Some(agent.engine.as_str()),
        None => agent.advertise.as_deref(),
    };
    let own = own.filter(|_| config.role.joins());
    let own = own.map(|text| match text.strip_prefix("auto:") {
        Some(port) => {
            let lan = interfaces::here(&[]).first().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip);
            SocketAddr::new(lan, port.parse().unwrap_or_default()).to_string()
        }
        None => text.to_string(),
    });
    let mut seen = HashSet::new();
    let all = listed.unwrap_or_default().into_iter().chain(own.and_then(|text| Endpoint::parse(&text).ok()));
    all.filter(|endpoint| seen.insert(endpoint.clone())).take(MOST).collect()
}

/// What keeps the daemon from a socket, as far as its file tells.
fn unusable(path: &Path) -> Option<Finding> {
    let shown = path.display();
    if fs::metadata(path).is_err() {
        let (text, cure) = match path == Path::new(DOCKER_SOCKET) {
            true => (
                format!("{shown} is not there: Docker does not run"),
                "`systemctl enable --now docker`; not installed yet: `apt install docker.io`".to_string(),
            ),
            false => (format!("{shown} is not there"), "start that engine, or correct the path".to_string()),
        };
        return Some(Finding::fail("docker", text, cure));
    }
    let barred = account::barred(path)?;
    Some(Finding::fail(
        "docker",
        format!("{} may not use {shown}", barred.who),
        format!(
            "`{}`, then `systemctl restart swarmd` (whoever is in that group is root on this machine)",
            barred.cure()
        ),
    ))
}

async fn answers(endpoint: Endpoint, tls: Option<ClientTls>) -> Finding {
    let shown = endpoint.to_string();
    let local = matches!(endpoint, Endpoint::Unix(_));
    match Client::new(endpoint, tls).get_json::<Version>("/version", PATIENCE).await {
        Ok(version) => judge(&shown, &version),
        Err(error) => {
            let cure = match (&error.advice, local) {
                (Some(advice), _) => advice.clone(),
                (None, true) => "`systemctl status docker`, `journalctl -u docker`".to_string(),
                (None, false) => {
                    "is Docker on, does it listen on that port (`-H tcp://…`, with TLS), is the firewall open?".to_string()
                }
            };
            Finding::fail("docker", format!("{shown} does not answer: {}", error.message), cure)
        }
    }
}

fn judge(shown: &str, version: &Version) -> Finding {
    let (engine, api) = (&version.version, &version.api_version);
    let text = format!("{shown}: Docker {engine}, API {api}");
    match ApiVersion::parse(api) {
        Some(api) if api >= OLDEST => Finding::pass("docker", text),
        Some(_) => {
            Finding::fail("docker", text, format!("upgrade it: engines must speak API {OLDEST} or newer"))
        }
        None => Finding::warn("docker", format!("{text}: that is no version"), "is it a Docker Engine?"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn engines_are_those_of_the_list_and_the_agents_own() {
        let mut config = Config::default();
        config.discovery.url = Some("nodes://unix:///s,10.0.0.[1:2]:2375".into());
        config.agent.advertise = Some("auto:2376".into());
        let all: Vec<String> = engines(&config).iter().map(ToString::to_string).collect();
        assert_eq!(all[..3], ["unix:///s", "10.0.0.1:2375", "10.0.0.2:2375"]);
        assert!(all[3].ends_with(":2376"), "an address of this machine: {all:?}");
        config.agent.front = Some(crate::config::Listen::Tcp { host: String::new(), port: 2376 });
        config.agent.engine = "unix:///e".into();
        assert_eq!(engines(&config).last().unwrap().to_string(), "unix:///e");
        config.agent.front = None;
        config.discovery.url = Some("token://T".into());
        config.agent.advertise = Some("unix:///s".into());
        assert_eq!(engines(&config).len(), 1);
    }

    #[tokio::test]
    async fn a_socket_without_an_engine_is_found() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("docker.sock");
        assert!(unusable(&path).unwrap().text.ends_with("is not there"));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut config = Config::default();
        config.discovery.url = Some(format!("nodes://unix://{}", path.display()));
        let found = look(&config).await;
        assert_eq!(found[0].verdict, Verdict::Fail);
        assert!(found[0].cure.is_some());
    }

    #[test]
    fn versions_are_judged() {
        let of = |api: &str| Version { version: "1".into(), api_version: api.into(), ..Version::default() };
        for (api, verdict) in [("1.51", Verdict::Pass), ("1.22", Verdict::Fail), ("x", Verdict::Warn)] {
            assert_eq!(judge("h:1", &of(api)).verdict, verdict, "{api}");
        }
    }
}
