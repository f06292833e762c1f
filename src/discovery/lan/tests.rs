//! Tests of advertising and looking with real packets, on loopback alone.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::discovery::Registry;
use crate::discovery::lan::advertise::{Advertising, Hosting};

/// A packet may get lost while the machine is busy: the question is asked again then.
const LIMIT: Duration = Duration::from_secs(30);

fn lan(host: &str) -> Lan {
    Lan::open(&config::Advertise { interfaces: vec!["lo".into()], ..config::Advertise::default() }, host)
        .unwrap()
}

fn advertised(lan: &Lan, registry: &Registry, port: u16, cancel: &CancellationToken) -> Advertising {
    let bound = vec![(std::net::Ipv4Addr::LOCALHOST, port).into()];
    lan.advertise(Hosting { registry: registry.clone(), bound, tls: true }, cancel.clone())
}

/// Waits for these managers, by their labels without the random part.
async fn until(browser: &mut Browser, labels: &[&str]) -> Vec<Found> {
    let of = |found: &Found| found.label().rsplit_once('-').map(|(host, _)| host.to_string());
    let all = browser.found.wait_for(|all| all.iter().filter_map(of).collect::<Vec<_>>() == labels);
    timeout(LIMIT, all).await.unwrap_or_else(|_| panic!("not in time: {labels:?}")).unwrap().clone()
}

#[tokio::test]
async fn managers_are_found_by_others_and_say_goodbye() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open(directory.path(), false).unwrap();
    registry.local("lan-test-token").unwrap();
    let (one, two, agent) = (lan("One.example"), lan("two"), lan("agent"));
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    let first = advertised(&one, &registry, 40_001, &stop_one);
    assert_eq!(
        first.told.borrow().addresses,
        [crate::docker::endpoint::Endpoint::parse("127.0.0.1:40001").unwrap()]
    );
    let mut seen = agent.browse("lan-test-token");
    let found = until(&mut seen, &["one"]).await;
    assert_eq!(found[0].addresses, first.told.borrow().addresses);
    assert_eq!((found[0].advert.tls, found[0].advert.version.as_str()), (true, env!("CARGO_PKG_VERSION")));
    let second = advertised(&two, &registry, 40_002, &stop_two);
    until(&mut seen, &["one", "two"]).await;
    // Nobody finds himself, nor what belongs to another token.
    until(&mut one.browse("lan-test-token"), &["two"]).await;
    let stranger = lan("stranger");
    assert!(until(&mut stranger.browse("another-token"), &[]).await.is_empty());
    stop_one.cancel();
    first.stopped().await;
    until(&mut seen, &["two"]).await;
    stop_two.cancel();
    second.stopped().await;
    until(&mut seen, &[]).await;
}

#[test]
fn labels_are_fit_for_dns() {
    for (host, name) in [("Pi1.home.lan", "pi1"), ("my_box", "mybox"), ("", "swarmd"), ("\u{e9}", "swarmd")] {
        assert_eq!(label(host), name);
    }
    assert_eq!(label(&"x".repeat(70)).len(), 40);
}
