//! Tests of the client of a found manager, over real loopback sockets: proof, TLS by the CA alone, several addresses.

use super::*;
use crate::discovery::Registry;
use crate::discovery::entry;
use crate::discovery::lan::advert::Advert;
use crate::discovery::token::tests::{Server, hosted, serve, serve_tls};
use crate::tls::authority_tests::Authority;
use crate::tls::server::acceptor;

fn found(addresses: &[&str], tls: bool) -> Found {
    let advert = Advert { tokens: vec![], tls, version: String::new(), api: None };
    let addresses = addresses.iter().map(|a| Endpoint::parse(a).unwrap()).collect();
    Found { instance: "boss-1._swarmd._tcp.local.".into(), addresses, advert }
}

async fn list(found: &Found, token: &str, tls: Option<&ClientTls>) -> Result<Vec<Entry>> {
    Client::new(found, token, tls)?.list().await
}

fn registry() -> (tempfile::TempDir, Registry) {
    let (directory, registry) = hosted();
    registry.local("T").unwrap();
    (directory, registry)
}

#[tokio::test]
async fn the_token_is_told_only_to_who_knows_it() {
    let (_directory, registry) = registry();
    let (honest, _) = serve(Server::Hosted(registry)).await;
    let (liar, heard) = serve(Server::Fixed(200, "00000000000000000000000000000000")).await;
    assert_eq!(list(&found(&[&honest], false), "T", None).await.unwrap(), []);
    let client = Client::new(&found(&[&liar], false), "SECRET", None).unwrap();
    let error = client.list().await.unwrap_err();
    assert!(error.message.contains("as if it did not know the token"), "{error}");
    let heard = heard.lock().unwrap().join("\n");
    assert!(!heard.is_empty() && !heard.contains("SECRET"), "{heard}");
    // The first address that proves itself is used.
    let both = Client::new(&found(&["127.0.0.1:1", &liar, &honest], false), "T", None).unwrap();
    let way = both.proven().await.unwrap();
    way.list.register(&entry::parse("a:1").unwrap(), std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(both.list().await.unwrap(), [entry::parse("a:1").unwrap()]);
    let unknown = list(&found(&[&honest], false), "OTHER", None).await.unwrap_err();
    assert_eq!(unknown.kind, Kind::NotFound, "{unknown}");
}

#[tokio::test]
async fn with_tls_a_certificate_of_the_ca_counts_and_its_name_does_not() {
    let (_directory, registry) = registry();
    let (ours, others) = (Authority::new(), Authority::new());
    let server = acceptor(&ours.tls()).unwrap();
    let (address, _) = serve_tls(Server::Hosted(registry.clone()), server).await;
    let manager = found(&[&address], true);
    let anybody = ClientTls::of_anybody(&ours.tls()).unwrap();
    assert_eq!(list(&manager, "T", anybody.as_ref()).await.unwrap(), []);
    let named = ClientTls::from_config(&ours.tls()).unwrap();
    let error = list(&manager, "T", named.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Protocol, "the strict client wants the name: {error}");
    let foreign = ClientTls::of_anybody(&others.tls()).unwrap();
    let error = list(&manager, "T", foreign.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Protocol, "another CA: {error}");
}

#[tokio::test]
async fn both_sides_must_agree_on_tls() {
    let (_directory, registry) = registry();
    let (plain, heard) = serve(Server::Hosted(registry)).await;
    let tls = ClientTls::of_anybody(&Authority::new().tls()).unwrap();
    let error = list(&found(&[&plain], false), "T", tls.as_ref()).await.unwrap_err();
    assert!(error.message.contains("does not speak TLS"), "{error}");
    let lying = list(&found(&[&plain], true), "T", tls.as_ref()).await.unwrap_err();
    assert_eq!(lying.kind, Kind::Protocol, "what it says of itself is no reason to speak plainly: {lying}");
    assert!(heard.lock().unwrap().is_empty(), "not a word");
    let error = list(&found(&[&plain], true), "T", None).await.unwrap_err();
    assert!(error.message.contains("speaks TLS only"), "{error}");
}
