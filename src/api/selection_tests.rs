//! The filters of `docker ps`, each over two small nodes.

use super::*;
use crate::cluster::view::tests::node;
use crate::docker::json::Object;
use crate::engine::Inventory;
use crate::engine::inventory::Image;

fn view() -> View {
    let mut pi1 = node(
        "a:1",
        "pi1",
        &[
            r#"{"Id":"aaa1","Names":["/web"],"ImageID":"sha256:c0","Created":3,"State":"running",
                "Ports":[{"PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],
                "Mounts":[{"Name":"data","Destination":"/data"}],
                "NetworkSettings":{"Networks":{"app":{"NetworkID":"nnn1"}}}}"#,
            r#"{"Id":"aaa2","Names":["/job"],"ImageID":"sha256:b0","Created":1,"Labels":{"a":"b"}}"#,
        ],
    );
    let image = |id: &str, parent: &str, tag: &str| {
        let text = format!(r#"{{"Id":"sha256:{id}","ParentId":"{parent}","RepoTags":["{tag}"]}}"#);
        Image { fields: serde_json::from_str(&text).unwrap(), entry: Object::parse(text.as_bytes()).unwrap() }
    };
    let mut inventory = Inventory::clone(&pi1.inventory);
    inventory.images = [image("b0", "", "base:latest"), image("c0", "sha256:b0", "app:1")].into();
    pi1.inventory = Arc::new(inventory);
    let pi2 = node("b:1", "pi2", &[r#"{"Id":"bbb1","Names":["/db"],"Created":2}"#]);
    View::of([Arc::new(pi1), Arc::new(pi2)])
}

fn picked(query: &str, filters: &str) -> Vec<String> {
    let view = view();
    let selection =
        Selection::new(&Query::parse(query), &view, Filters::parse(Some(filters)).unwrap()).unwrap();
    let hits = selection.pick(&view);
    hits.iter().filter_map(|h| h.find(&view)).map(|(_, c)| c.name().to_string()).collect()
}

#[test]
fn filters_select() {
    for (filters, names) in [
        ("{}", &["web", "db", "job"][..]),
        (r#"{"ancestor":["base"]}"#, &["web", "job"]),
        (r#"{"ancestor":["app:1"]}"#, &["web"]),
        (r#"{"ancestor":["nothing"]}"#, &[]),
        (r#"{"before":["web"]}"#, &["db", "job"]),
        (r#"{"since":["job"]}"#, &["web", "db"]),
        (r#"{"publish":["8080"]}"#, &["web"]),
        (r#"{"publish":["80"]}"#, &[]),
        (r#"{"expose":["70-90/tcp"]}"#, &["web"]),
        (r#"{"publish":["1"],"expose":["80"]}"#, &["web"]),
        (r#"{"volume":["pi1/data"]}"#, &["web"]),
        (r#"{"volume":["/data"]}"#, &["web"]),
        (r#"{"network":["app"]}"#, &["web"]),
        (r#"{"network":["nnn"]}"#, &["web"]),
        (r#"{"node":["pi2"]}"#, &["db"]),
        (r#"{"id":["bb"]}"#, &["db"]),
        (r#"{"id":["aaa"]}"#, &[]),
        (r#"{"id":["aaa1","aaa2"]}"#, &["web", "job"]),
        (r#"{"label":["a=b"]}"#, &["job"]),
        (r#"{"name":["pi2/db"]}"#, &["db"]),
        (r#"{"is-task":["1"]}"#, &[]),
        (r#"{"isolation":["hyperv"],"health":["none"]}"#, &["web", "db", "job"]),
    ] {
        assert_eq!(picked("all=1", filters), names, "{filters}");
    }
    assert_eq!(picked("limit=2", "{}"), ["web", "db"]);
    assert_eq!(picked("all=1&before=db", "{}"), ["job"]);
}

#[test]
fn what_engines_refuse_is_refused() {
    for filters in [
        r#"{"nope":["x"]}"#,
        r#"{"status":["x"]}"#,
        r#"{"health":["x"]}"#,
        r#"{"exited":["x"]}"#,
        r#"{"is-task":["x"]}"#,
        r#"{"publish":["x"]}"#,
        r#"{"before":["nothing"]}"#,
    ] {
        let filters = Filters::parse(Some(filters)).unwrap();
        assert!(Selection::new(&Query::default(), &view(), filters.clone()).is_err(), "{filters:?}");
    }
}
