//! Whoever may tag images gets none of its own run with the rights of another's container.

use serde_json::{Value, json};

use super::people::Guarded;
use crate::rig::{engines, sleeper, until};
use crate::sim::SimEngine;

/// A container's name, as engines tell it, and the image that it was made of.
fn made_of(engine: &SimEngine, name: &str) -> (Value, Value) {
    let inspect = engine.inspect(name).expect("it is there");
    (inspect["Config"]["Image"].clone(), inspect["Image"].clone())
}

/// Containers of an admin, one of them with rights, on the first of two nodes.
async fn with_rights(guarded: &Guarded, engines: &[SimEngine], plain: Value) {
    let ann = guarded.user("ann", "admin");
    ann.post(&format!("/swarmd/v1/nodes/{}/pause", engines[1].name()), &json!({})).await.fine();
    let mut strong = plain.clone();
    strong["HostConfig"] = json!({ "Privileged": true });
    for (name, body) in [("strong", &strong), ("plain", &plain)] {
        ann.post(&format!("/containers/create?name={name}"), body).await.fine();
        ann.post(&format!("/containers/{name}/start"), &Value::Null).await.fine();
    }
    ann.post(&format!("/swarmd/v1/nodes/{}/resume", engines[1].name()), &json!({})).await.fine();
}

async fn drain(guarded: &Guarded, engine: &SimEngine) {
    let path = format!("/swarmd/v1/nodes/{}/drain", engine.name());
    let said = guarded.local_stream("POST", &path, r#"{"timeout":60}"#).await;
    assert!(said.contains(r#""complete":true"#), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_given_to_another_image_changes_nothing_for_who_has_rights() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "").await;
    with_rights(&guarded, &engines, sleeper()).await;
    let (name, image) = made_of(&engines[0], "strong");
    assert_eq!(name, "busybox");
    let dora = guarded.user("dora", "deployer");
    guarded.local_stream("POST", "/images/create?fromImage=alpine&tag=latest", "").await;
    dora.call("POST", "/images/alpine/tag?repo=busybox&tag=latest", "", "").await.fine();
    drain(&guarded, &engines[0]).await;
    assert_eq!(made_of(&engines[1], "strong"), (image.clone(), image.clone()), "by its ID");
    let (_, other) = made_of(&engines[1], "plain");
    assert_ne!(other, image, "whoever could have made it anyway follows the name");
}

/// As ever with `--tlsverify`: an image that was built on each node has one name and another ID on each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_has_a_role_the_name_counts() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "").await;
    let cara = guarded.person(&[(rcgen::DnType::CommonName, "cara")]);
    let path = |what: &str| format!("/swarmd/v1/nodes/{}/{what}", engines[1].name());
    cara.post(&path("pause"), &json!({})).await.fine();
    let mut body = sleeper();
    body["HostConfig"] = json!({ "Privileged": true });
    cara.post("/containers/create?name=strong", &body).await.fine();
    cara.post("/containers/strong/start", &Value::Null).await.fine();
    cara.post(&path("resume"), &json!({})).await.fine();
    let (name, image) = made_of(&engines[0], "strong");
    guarded.local_stream("POST", "/images/create?fromImage=alpine&tag=latest", "").await;
    cara.call("POST", "/images/alpine/tag?repo=busybox&tag=latest", "", "").await.fine();
    drain(&guarded, &engines[0]).await;
    let (name_there, image_there) = made_of(&engines[1], "strong");
    assert_eq!(name_there, name);
    assert_ne!(image_there, image);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_changed_keeps_its_name() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "").await;
    with_rights(&guarded, &engines, sleeper()).await;
    let before = made_of(&engines[0], "strong");
    drain(&guarded, &engines[0]).await;
    assert_eq!(made_of(&engines[1], "strong"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_its_node_fails() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "reschedule-delay = \"300ms\"\nengine-failure-retry = 1\n").await;
    let mut body = sleeper();
    body["Env"] = json!(["reschedule:on-node-failure"]);
    with_rights(&guarded, &engines, body).await;
    let (_, image) = made_of(&engines[0], "strong");
    let dora = guarded.user("dora", "deployer");
    guarded.local_stream("POST", "/images/create?fromImage=alpine&tag=latest", "").await;
    dora.call("POST", "/images/alpine/tag?repo=busybox&tag=latest", "", "").await.fine();
    engines[0].stop();
    until("both run elsewhere", async || {
        let there = engines[1].containers();
        (there.len() == 2 && there.iter().all(|(_, state)| *state == "running")).then_some(())
    })
    .await;
    assert_eq!(made_of(&engines[1], "strong"), (image.clone(), image.clone()));
    assert_ne!(made_of(&engines[1], "plain").1, image);
}
