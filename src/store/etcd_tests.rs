//! What goes over the wire, and what is made of the answers. Leases and transactions are tested with a real etcd.

use super::*;
use crate::store::StoreKind;
use crate::store::fake_tests::{Log, serve};

async fn etcd(answers: &[(u16, &str, &str)], login: Option<(&str, &str)>) -> (Etcd, Log) {
    let (address, log) = serve(StoreKind::Etcd, answers).await;
    let login = login.map(|(user, password)| (user.to_string(), password.to_string()));
    (Etcd::new(&address, &Access { login, ..Access::default() }), log)
}

#[tokio::test]
async fn lists_a_prefix() {
    let body = r#"{"header":{"revision":"12","raft_term":"2"},"kvs":[{"key":"bi94","create_revision":"3",
        "mod_revision":"4","version":"2","value":"eA==","lease":"-5"},{"key":"bi95"}],"count":"2"}"#;
    let (etcd, log) = etcd(&[(200, "", body)], None).await;
    let seen = etcd.list(Keys::Prefix("n/")).await.unwrap();
    let keys: Vec<_> = seen.value.iter().map(|p| (&*p.key, &*p.value, p.lease)).collect();
    assert_eq!((seen.revision, keys), (12, vec![("n/x", &b"x"[..], -5), ("n/y", &b""[..], 0)]));
    let wish = r#"POST /v3/kv/range [application/json] {"key":"bi8=","range_end":"bjA="}"#;
    assert_eq!(log.lock().unwrap()[0], wish);
}

#[tokio::test]
async fn a_watch_ends_with_the_first_event() {
    let lines = "{\"result\":{\"header\":{},\"created\":true}}\n{\"result\":{\"header\":{},\"events\":[{\"type\":\"DELETE\"}]}}\n";
    let (etcd, log) = etcd(&[(200, "", lines)], None).await;
    etcd.changed(Keys::One("k"), 41).await.unwrap();
    assert!(log.lock().unwrap()[0].contains(r#""start_revision":"42""#));
    for (body, kind) in [
        ("{\"result\":{\"created\":true}}\n", Kind::Broken),
        (
            "{\"result\":{\"canceled\":true,\"cancel_reason\":\"rpc error: permission denied\"}}\n",
            Kind::Permission,
        ),
        ("{\"error\":{\"message\":\"x\"}}\n", Kind::Protocol),
    ] {
        let (etcd, _) = self::etcd(&[(200, "", body)], None).await;
        assert_eq!(etcd.changed(Keys::One("k"), 1).await.unwrap_err().kind, kind, "{body}");
    }
}

#[tokio::test]
async fn a_lease_that_has_ended_is_told_from_one_that_lives() {
    let alive = r#"{"result":{"header":{},"ID":"7","TTL":"3"}}"#;
    let ended = r#"{"result":{"header":{},"ID":"7"}}"#;
    let missing = r#"{"error":"etcdserver: requested lease not found","code":5}"#;
    let (etcd, _) = etcd(&[(200, "", alive), (200, "", ended), (404, "", missing)], None).await;
    assert_eq!(etcd.keep_alive(7).await.unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(etcd.keep_alive(7).await.unwrap(), None);
    assert_eq!(etcd.put("k", b"v", Some(7)).await.unwrap_err().kind, Kind::NotFound);
    etcd.revoke(7).await.unwrap();
}

#[tokio::test]
async fn logs_in_once_and_again_when_the_token_has_run_out() {
    let empty = r#"{"header":{"revision":"1"}}"#;
    let answers = [
        (200, "", r#"{"token":"one"}"#),
        (200, "", empty),
        (401, "", r#"{"error":"etcdserver: invalid auth token","code":16}"#),
        (200, "", r#"{"token":"two"}"#),
        (200, "", empty),
    ];
    let (etcd, log) = etcd(&answers, Some(("me", "pw"))).await;
    etcd.get("k").await.unwrap();
    etcd.get("k").await.unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log[0], r#"POST /v3/auth/authenticate [application/json] {"name":"me","password":"pw"}"#);
    assert!(log[1].starts_with("POST /v3/kv/range [one] "));
    assert!(log[2].starts_with("POST /v3/kv/range [one] "));
    assert!(log[4].starts_with("POST /v3/kv/range [two] "));
}

#[tokio::test]
async fn refusals_name_the_cure() {
    for (status, body, kind) in [
        (400, r#"{"error":"etcdserver: user name is empty","code":3}"#, Kind::Permission),
        (403, r#"{"error":"etcdserver: permission denied","code":7}"#, Kind::Permission),
        (
            400,
            r#"{"error":"etcdserver: authentication failed, invalid user ID or password"}"#,
            Kind::Permission,
        ),
        (503, r#"{"error":"etcdserver: no leader","code":14}"#, Kind::Unavailable),
    ] {
        let (etcd, _) = etcd(&[(status, "", body)], None).await;
        let error = etcd.get("k").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.advice.is_some(), "{error}");
    }
    let (etcd, _) = etcd(&[(404, "", "404 page not found")], None).await;
    assert!(Etcd::lacks_gateway(&etcd.get("k").await.unwrap_err()));
}
