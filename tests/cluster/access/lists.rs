//! The list of engines that a manager keeps: with certificates of the cluster's own the token opens it for reading.

use super::people::{Guarded, Person};
use crate::rig::{engines, until};

async fn told(who: &Person, method: &str, path: &str, body: &str) -> u16 {
    who.call(method, path, "", body).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_pki_an_entry_takes_the_certificate_that_is_for_it() {
    let engines = engines(1).await;
    let guarded = Guarded::with_pki(&engines, "").await;
    let token = guarded.local("POST", "/clusters", "").await.fine().text();
    let list = format!("/v1/clusters/{token}");
    let one = |address: &str| format!("{list}?entry={address}");
    let (agent, other) = (
        guarded.machine("agent", "a1", &["10.9.0.1"]),
        guarded.machine("agent", "a2", &["10.9.0.2", "10.9.0.3"]),
    );
    let (stranger, rita, ann) =
        (guarded.stranger(), guarded.user("rita", "reader"), guarded.user("ann", "admin"));
    for (who, method, path, body, status) in [
        (&stranger, "GET", list.as_str(), "", 200),
        (&stranger, "POST", &list, "10.9.0.1:2376", 403),
        (&stranger, "POST", "/v1/clusters", "", 403),
        (&rita, "POST", &list, "10.9.0.1:2376", 403),
        (&rita, "POST", "/v1/clusters", "", 403),
        (&agent, "POST", &list, "10.9.0.2:2376", 403),
        (&agent, "POST", &list, "10.9.0.1:2376", 200),
        (&other, "POST", &list, "10.9.0.3:2376", 200),
        (&other, "DELETE", &one("10.9.0.1:2376"), "", 403),
        (&stranger, "DELETE", &one("10.9.0.1:2376"), "", 403),
        (&agent, "DELETE", &list, "", 403),
        (&stranger, "DELETE", &list, "", 403),
        (&rita, "DELETE", &list, "", 403),
    ] {
        assert_eq!(told(who, method, path, body).await, status, "{method} {path} {body}");
    }
    assert_eq!(stranger.get(&list).await.text(), r#"["10.9.0.1:2376","10.9.0.3:2376"]"#);
    assert_eq!(told(&agent, "DELETE", &one("10.9.0.1:2376"), "").await, 200);
    let boss = guarded.machine("manager", "boss2", &["10.9.0.8"]);
    assert_eq!(told(&boss, "POST", &list, "10.9.0.7:2376").await, 200, "managers are trusted");
    assert_eq!(told(&ann, "DELETE", &list, "").await, 200);
    assert_eq!(told(&stranger, "GET", &list, "").await, 404);
    // On record, without the token.
    let log = until("the record", async || {
        let log = guarded.manager.log();
        log.lines()
            .any(|l| l.contains("USER=\"ann\"") && l.contains("OBJECT=/v1/clusters/TOKEN"))
            .then_some(log)
    })
    .await;
    assert!(log.lines().any(|l| l.contains("ROLE=\"stranger\"") && l.contains("RESULT=403")), "{log}");
    assert!(!log.contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_configuration_says_so_the_token_is_enough() {
    let engines = engines(1).await;
    let guarded = Guarded::with_pki(&engines, "token-agents = true").await;
    let token = guarded.local("POST", "/clusters", "").await.fine().text();
    let list = format!("/clusters/{token}");
    let (stranger, agent) = (guarded.stranger(), guarded.machine("agent", "a1", &["10.9.0.1"]));
    assert_eq!(told(&stranger, "POST", &list, "10.9.0.5:2375").await, 200);
    assert_eq!(told(&agent, "POST", &list, "10.9.0.6:2375").await, 200);
    assert_eq!(told(&stranger, "DELETE", &format!("{list}?entry=10.9.0.6:2375"), "").await, 200);
    assert_eq!(told(&stranger, "DELETE", &list, "").await, 403, "all of it is another matter");
    assert_eq!(told(&stranger, "POST", "/clusters", "").await, 403);
    assert_eq!(stranger.get(&list).await.text(), r#"["10.9.0.5:2375"]"#);
    // As ever, where certificates are made by hand.
    let guarded = Guarded::of(&engines, "").await;
    let token = guarded.local("POST", "/clusters", "").await.fine().text();
    let (stranger, list) = (guarded.stranger(), format!("/clusters/{token}"));
    assert_eq!(told(&stranger, "POST", &list, "10.9.0.5:2375").await, 200);
    assert_eq!(told(&stranger, "DELETE", &list, "").await, 200);
}
