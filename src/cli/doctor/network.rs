//! Whoever the configuration names on the network: do their names resolve, do they answer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::PATIENCE;
use super::finding::Finding;
use crate::config::local::{bare_token, scheme};
use crate::config::{Config, Listen};
use crate::discovery::{Backend, Means, Spec, list_once};
use crate::docker::endpoint::{Endpoint, split_host_port};
use crate::error::Error;

/// Each name of a machine in the configuration.
pub async fn names(config: &Config) -> Vec<Finding> {
    let found = names_in(config).into_iter().map(|name| async move {
        let asked = timeout(PATIENCE, tokio::net::lookup_host((name.as_str(), 1))).await;
        let why = match asked {
            Ok(Ok(addresses)) => match BTreeSet::from_iter(addresses.map(|a| a.ip().to_string())) {
                none if none.is_empty() => "no address".to_string(),
                all => {
                    let all: Vec<String> = all.into_iter().collect();
                    return Finding::pass("dns", format!("{name} is {}", all.join(", ")));
                }
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_string(),
        };
        let cure = "give its address instead, or add it to /etc/hosts here and on all other machines";
        Finding::fail("dns", format!("{name} cannot be resolved: {why}"), cure)
    });
    join_all(found).await
}

fn names_in(config: &Config) -> BTreeSet<String> {
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        hosts.extend(split_host_port(text).ok().map(|(host, _)| host.to_string()));
    };
    config.discovery.managers.iter().for_each(|manager| add(manager));
    [&config.manager.advertise, &config.agent.advertise, &config.advertise.address]
        .into_iter()
        .flatten()
        .filter(|text| !text.starts_with("auto:") && !text.starts_with("unix:"))
        .for_each(|text| add(text));
    let endpoints = match Spec::parse(config.discovery.url.as_deref().unwrap_or_default()) {
        Ok(Spec::Token { registry: Some(registry), .. }) => vec![registry.endpoint],
        Ok(Spec::Store(address)) => address.endpoints,
        _ => Vec::new(),
    };
    hosts
        .extend(endpoints.iter().filter(|e| matches!(e, Endpoint::Tcp { .. })).map(|e| e.host().to_string()));
    if config.role.manages() {
        hosts.extend(config.manager.host.iter().filter_map(|listen| match listen {
            Listen::Tcp { host, .. } => Some(host.trim_matches(['[', ']']).to_string()),
            _ => None,
        }));
    }
    hosts.into_iter().filter(|host| !host.is_empty() && host.parse::<IpAddr>().is_err()).collect()
}

/// Whether the list of engines can be read.
pub async fn discovery(config: &Config) -> Vec<Finding> {
    let url = config.discovery.url.as_deref().unwrap_or_default();
    if bare_token(url).is_some() && config.role.manages() {
        return vec![Finding::pass("discovery", "this manager hosts the list itself")];
    }
    if bare_token(url).is_some() && !config.discovery.managers.is_empty() {
        return Vec::new(); // see `managers`
    }
    let scheme = scheme(url);
    vec![match list_once(config, PATIENCE).await {
        Ok(entries) if entries.is_empty() => Finding::warn(
            "discovery",
            format!("{scheme}:// answers, and lists no engine yet"),
            "start swarmd with role \"agent\" on the machines that are to belong to the cluster",
        ),
        Ok(entries) => Finding::pass("discovery", format!("{scheme}:// answers, {}", listed(entries.len()))),
        Err(error) => failed("discovery", format!("{scheme}://"), &error),
    }]
}

/// Each manager that the configuration names.
pub async fn managers(config: &Config) -> Vec<Finding> {
    let Some(token) = bare_token(config.discovery.url.as_deref().unwrap_or_default()) else {
        return Vec::new();
    };
    let means = match Means::of(config) {
        Ok(means) => means,
        // Said under tls.
        Err(_) => return Vec::new(),
    };
    let asked = config.discovery.managers.iter().map(|manager| {
        let means = &means;
        async move {
            let reading = async { Backend::at_manager(manager, token, means)?.list().await };
            match timeout(PATIENCE, reading).await {
                Ok(Ok(entries)) => {
                    Finding::pass("managers", format!("{manager} answers, {}", listed(entries.len())))
                }
                Ok(Err(error)) => failed("managers", manager.clone(), &error),
                Err(_) => Finding::fail(
                    "managers",
                    format!("{manager} does not answer in time"),
                    "is it on, is its port open in the firewall, is the address right?",
                ),
            }
        }
    });
    join_all(asked).await
}

fn listed(count: usize) -> String {
    if count == 1 { "1 engine listed".to_string() } else { format!("{count} engines listed") }
}

fn failed(about: &'static str, whom: String, error: &Error) -> Finding {
    let cure = error.advice.clone().unwrap_or_else(|| "is it running, and reachable from here?".to_string());
    Finding::fail(about, format!("{whom}: {}", error.message), cure)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn config(url: &str) -> Config {
        let mut config = Config::default();
        config.discovery.url = Some(url.into());
        config
    }

    #[test]
    fn names_come_from_everywhere_and_addresses_are_none() {
        let mut config = config("etcd://store1:2379,10.0.0.1/p");
        config.discovery.managers = vec!["boss.lan:3376".into(), "[fe80::1]:3376".into()];
        config.agent.advertise = Some("auto:2376".into());
        config.manager.advertise = Some("me.lan:3376".into());
        config.manager.host =
            vec![Listen::Tcp { host: "front".into(), port: 1 }, Listen::Tcp { host: String::new(), port: 1 }];
        let names: Vec<String> = names_in(&config).into_iter().collect();
        assert_eq!(names, ["boss.lan", "front", "me.lan", "store1"]);
    }

    #[tokio::test]
    async fn who_does_not_answer_is_named_with_a_cure() {
        let mut config = config("token://127.0.0.1:1/T");
        let found = discovery(&config).await;
        assert_eq!((found.len(), found[0].verdict), (1, Verdict::Fail), "{found:?}");
        assert!(found[0].cure.is_some());
        config.discovery.url = Some("token://T".into());
        assert_eq!(discovery(&config).await[0].verdict, Verdict::Pass, "it is the host");
        config.discovery.managers = vec!["127.0.0.1:1".into()];
        let found = managers(&config).await;
        assert_eq!(
            (found[0].verdict, found[0].text.starts_with("127.0.0.1:1: ")),
            (Verdict::Fail, true),
            "{found:?}"
        );
        config.discovery.url = Some("nodes://127.0.0.1:1".into());
        assert_eq!(discovery(&config).await[0].text, "nodes:// answers, 1 engine listed");
    }
}
