//! What goes over the wire, and what is made of the answers. The rest is tested with a real etcd.

use super::*;
use crate::store::StoreKind;
use crate::store::fake_tests::{Log, serve};

async fn etcd(answers: &[(u16, &str, &str)]) -> (EtcdV2, Log) {
    let (address, log) = serve(StoreKind::Etcd, answers).await;
    (EtcdV2::new(&address, &Access::default()), log)
}

const ABSENT: &str = r#"{"errorCode":100,"message":"Key not found","cause":"/n","index":4}"#;

#[tokio::test]
async fn lists_the_values_below_a_directory() {
    let tree = r#"{"action":"get","node":{"key":"/n","dir":true,"nodes":[{"key":"/n/a:1","value":"a:1","ttl":9,
        "modifiedIndex":5,"createdIndex":5},{"key":"/n/sub","dir":true}],"modifiedIndex":4,"createdIndex":4}}"#;
    let (etcd, log) = etcd(&[(200, "X-Etcd-Index: 8\r\n", tree), (404, "X-Etcd-Index: 9\r\n", ABSENT)]).await;
    let seen = etcd.list("n").await.unwrap();
    let values: Vec<_> = seen.value.iter().map(|n| (n.value.as_deref(), n.modified_index)).collect();
    assert_eq!((seen.index, values), (8, vec![(Some("a:1"), 5)]));
    assert_eq!(etcd.list("n").await.unwrap(), Seen { value: vec![], index: 9 });
    assert_eq!(log.lock().unwrap()[0], "GET /v2/keys/n?recursive=true&quorum=true&sorted=true");
}

#[tokio::test]
async fn writes_as_the_old_tool_does() {
    let wrote = r#"{"action":"set","node":{"key":"/n/a:1","value":"a:1","modifiedIndex":6}}"#;
    let exists = r#"{"errorCode":105,"message":"Key already exists","cause":"/n/a:1","index":6}"#;
    let (etcd, log) = etcd(&[(201, "", wrote), (412, "", exists), (404, "", ABSENT)]).await;
    let ttl = Duration::from_millis(2500);
    assert_eq!(etcd.put("n/a:1", "a:1", ttl, If::Any).await.unwrap(), Some(6));
    assert_eq!(etcd.put("n/a:1", "a:1", ttl, If::Absent).await.unwrap(), None);
    assert!(!etcd.delete("n/a:1", If::Unchanged(6)).await.unwrap());
    let log = log.lock().unwrap();
    assert_eq!(log[0], "PUT /v2/keys/n/a:1 [application/x-www-form-urlencoded] value=a%3A1&ttl=3");
    assert!(log[1].starts_with("PUT /v2/keys/n/a:1?prevExist=false "));
    assert_eq!(log[2], "DELETE /v2/keys/n/a:1?prevIndex=6");
}

#[tokio::test]
async fn servers_without_this_api_are_told() {
    let (without, _) = etcd(&[(404, "", "404 page not found\n")]).await;
    assert!(!without.is_there().await.unwrap());
    let error = without.get("n").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.advice.unwrap().contains("--enable-v2"));
    let (with, _) = etcd(&[(200, "", r#"{"action":"get","node":{"dir":true}}"#)]).await;
    assert!(with.is_there().await.unwrap());
}

#[tokio::test]
async fn a_wait_that_came_too_late_is_a_change() {
    let cleared = r#"{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"x","index":9}"#;
    let (etcd, log) = etcd(&[(400, "", cleared)]).await;
    etcd.changed("n", 7).await.unwrap();
    assert_eq!(log.lock().unwrap()[0], "GET /v2/keys/n?wait=true&recursive=true&waitIndex=8");
}
