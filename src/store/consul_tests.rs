//! What goes over the wire, and what is made of the answers. Sessions and locks are tested with a real consul.

use super::*;
use crate::store::StoreKind;
use crate::store::fake_tests::{Log, serve};

async fn consul(answers: &[(u16, &str, &str)], access: Access) -> (Consul, Log) {
    let (address, log) = serve(StoreKind::Consul, answers).await;
    (Consul::new(&address, &access).unwrap(), log)
}

const ONE: &str = r#"[{"LockIndex":1,"Key":"a/b","Flags":3304740253564472344,"Value":"eA==","Session":"S","CreateIndex":7,"ModifyIndex":9}]"#;

#[tokio::test]
async fn reads_at_an_index_and_waits_for_the_next() {
    let answers = [(200, "X-Consul-Index: 9\r\n", ONE), (404, "X-Consul-Index: 0\r\n", "")];
    let (consul, log) = consul(&answers, Access::default()).await;
    let seen = consul.get("a/b", Read { consistent: true, ..Read::default() }).await.unwrap();
    let pair = seen.value.unwrap();
    assert_eq!((seen.index, &*pair.value, pair.flags), (9, &b"x"[..], LOCK_MARK));
    let read = Read { since: Some((9, Duration::from_secs(15))), consistent: false };
    let none = consul.list("a b", read).await.unwrap();
    assert_eq!(none, Seen { value: vec![], index: 1 }, "an index of 0 would not wait");
    let seen = ["GET /v1/kv/a/b?consistent", "GET /v1/kv/a%20b?recurse&index=9&wait=15000ms"];
    assert_eq!(*log.lock().unwrap(), seen);
}

#[tokio::test]
async fn sessions_and_locks_as_the_old_tool_makes_them() {
    let answers = [(200, "", r#"{"ID":"S-1"}"#), (200, "", "true"), (404, "", "Session id 'S-1' not found")];
    let access = Access { token: Some("T".into()), login: Some(("u".into(), "p".into())), tls: None };
    let (consul, log) = consul(&answers, access).await;
    let session = consul.create_session(Duration::from_secs(90), Behaviour::Delete).await.unwrap();
    assert!(consul.acquire("n/h:1", b"h:1", &session).await.unwrap());
    assert!(!consul.renew_session(&session).await.unwrap());
    let log = log.lock().unwrap();
    let wish = r#"{"Behavior":"delete","Checks":[],"LockDelay":"1ms","TTL":"90000ms"}"#;
    assert_eq!(log[0], format!("PUT /v1/session/create [Basic dTpw] [T] [application/octet-stream] {wish}"));
    assert!(log[1].starts_with("PUT /v1/kv/n/h:1?acquire=S-1&flags=3304740253564472344 "), "{}", log[1]);
    assert_eq!(log[2], "PUT /v1/session/renew/S-1 [Basic dTpw] [T]");
}

#[tokio::test]
async fn refusals_name_the_cure() {
    for (status, body, kind, cure) in [
        (403, "Permission denied", Kind::Permission, "kv.token"),
        (
            500,
            "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]",
            Kind::Config,
            "at least 20s",
        ),
        (500, "No cluster leader", Kind::Unavailable, "has it a leader"),
        (400, "Client sent an HTTP request to an HTTPS server.\n", Kind::Protocol, "give kv.cacertfile"),
    ] {
        let (consul, _) = consul(&[(status, "", body)], Access::default()).await;
        let error = consul.create_session(Duration::from_secs(5), Behaviour::Delete).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.advice.as_deref().unwrap().contains(cure), "{error}");
    }
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_does_not_answer() {
    let (mut address, log) = serve(StoreKind::Consul, &[(200, "", "true")]).await;
    let dead = crate::docker::endpoint::Endpoint::parse("127.0.0.1:1").unwrap();
    address.endpoints.insert(0, dead.clone());
    let consul = Consul::new(&address, &Access::default()).unwrap();
    assert!(consul.create("w", b"1").await.unwrap());
    assert_eq!(log.lock().unwrap()[0], "PUT /v1/kv/w?cas=0 [application/octet-stream] 1");
    let (ill, _) = serve(StoreKind::Consul, &[(500, "", "No cluster leader")]).await;
    address.endpoints[0] = ill.endpoints[0].clone();
    assert!(Consul::new(&address, &Access::default()).unwrap().create("w", b"1").await.unwrap());
    address.endpoints = vec![dead];
    let error = Consul::new(&address, &Access::default()).unwrap().delete("w").await.unwrap_err();
    assert_eq!(error.kind, Kind::Connect);
    assert!(error.message.starts_with("cannot reach consul at http://127.0.0.1:1: "), "{error}");
}
