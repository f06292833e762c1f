//! Whom a member with the cluster's certificates talks to: held against what the CA issues.

use std::time::Duration;

use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::authority_tests::{Boss, Member, boss};
use super::pin::Joins;
use super::revoked::{self, Listed};
use super::{Files, members};
use crate::clock;
use crate::config::{Config, Pki, Tls};
use crate::docker::endpoint::Endpoint;
use crate::docker::http::Client;
use crate::tls::server::acceptor;
use crate::tls::{ClientTls, Peers};

/// A member's configuration: its files are where `[pki]` has them.
struct Machine {
    home: tempfile::TempDir,
    config: Config,
}

impl Machine {
    fn of(member: &Member) -> Machine {
        let home = tempfile::tempdir().unwrap();
        let mut config = Config { state_dir: home.path().to_path_buf(), ..Config::default() };
        config.pki = Pki { enabled: true, ..Pki::default() };
        let directory = config.pki_dir();
        std::fs::create_dir(&directory).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(member.home.path().join(file), directory.join(file)).unwrap();
        }
        config.tls = Tls {
            tlsverify: true,
            tlscacert: Some(directory.join("ca.pem")),
            tlscert: Some(directory.join("cert.pem")),
            tlskey: Some(directory.join("key.pem")),
            ..Tls::default()
        };
        assert!(config.has_pki());
        Machine { home, config }
    }

    fn towards(&self, peers: Peers) -> ClientTls {
        assert!(self.home.path().exists());
        ClientTls::towards(&self.config, peers).unwrap().unwrap()
    }
}

async fn meet(client: &ClientTls, server: &Tls, name: &str) -> Result<(), String> {
    let acceptor = acceptor(server).unwrap().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (near, _) = tokio::join!(client.connect(name, near), acceptor.accept(far));
    near.map(drop).map_err(|e| e.to_string())
}

fn joined(boss: &Boss, joins: Joins, peer: &str) -> Member {
    let member = Member::new();
    boss.joins(&member, joins, &member.at(peer)).unwrap();
    member
}

#[tokio::test]
async fn a_manager_is_a_manager_and_an_engine_an_engine() {
    let boss = boss();
    let (agent, other) =
        (joined(&boss, Joins::Agent, "127.0.0.1"), joined(&boss, Joins::Manager, "10.0.0.8"));
    let machine = Machine::of(&agent);
    let [engines, managers, found] =
        [Peers::Engines, Peers::Managers, Peers::FoundManagers].map(|peers| machine.towards(peers));
    assert_eq!(meet(&managers, &boss.tls(), "boss").await, Ok(()));
    assert_eq!(meet(&managers, &other.tls(), "10.0.0.8").await, Ok(()));
    assert_eq!(meet(&found, &other.tls(), "whoever").await, Ok(()));
    assert_eq!(meet(&engines, &boss.tls(), "boss").await, Ok(()));
    assert_eq!(meet(&engines, &agent.tls(), "127.0.0.1").await, Ok(()));
    // The name counts as ever, and of an agent it is no manager's.
    assert!(meet(&managers, &boss.tls(), "elsewhere").await.is_err());
    assert!(meet(&engines, &agent.tls(), "boss").await.is_err());
    assert!(meet(&managers, &agent.tls(), "127.0.0.1").await.is_err());
    assert!(meet(&found, &agent.tls(), "127.0.0.1").await.is_err());
}

#[tokio::test]
async fn who_was_revoked_is_nobody_any_more() {
    let boss = boss();
    let (agent, other) =
        (joined(&boss, Joins::Agent, "127.0.0.1"), joined(&boss, Joins::Manager, "10.0.0.8"));
    let machine = Machine::of(&agent);
    let (engines, managers) = (machine.towards(Peers::Engines), machine.towards(Peers::Managers));
    assert_eq!(meet(&managers, &other.tls(), "10.0.0.8").await, Ok(()));
    for kind in ["manager", "agent"] {
        let name = boss.authority.issued().iter().rev().find(|r| r.kind == kind).unwrap().name.clone();
        assert_eq!(boss.authority.revoke(kind, &name).unwrap(), 1);
    }
    let listed = Listed { revoked: boss.authority.revoked() };
    revoked::write(&Files::below(&machine.config.pki_dir()), &listed).unwrap();
    assert!(meet(&managers, &other.tls(), "10.0.0.8").await.unwrap_err().contains("Revoked"));
    assert!(meet(&engines, &agent.tls(), "127.0.0.1").await.unwrap_err().contains("Revoked"));
    assert_eq!(meet(&managers, &boss.tls(), "boss").await, Ok(()));
}

#[tokio::test]
async fn a_connection_that_is_kept_ends_when_its_peer_is_revoked() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let boss = boss();
    let (agent, manager) =
        (joined(&boss, Joins::Agent, "127.0.0.1"), joined(&boss, Joins::Manager, "10.0.0.8"));
    let machine = Machine::of(&manager);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let client = Client::new(at, Some(machine.towards(Peers::Engines)));
    let acceptor = acceptor(&agent.tls()).unwrap().unwrap();
    let engine = tokio::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        // The last read is that of the end, which comes without another call.
        let mut calls = 0;
        while timeout(PATIENCE, stream.read(&mut [0; 4096])).await.expect("in time").is_ok_and(|n| n > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").await.unwrap();
            stream.flush().await.unwrap();
            calls += 1;
        }
        (calls, listener, acceptor)
    });
    let (status, _) = client.call(Method::GET, "/_ping", PATIENCE).await.unwrap();
    assert_eq!(status, 200);
    assert!(!engine.is_finished(), "a good one stays open");
    let name = boss.authority.issued().iter().find(|r| r.kind == "agent").unwrap().name.clone();
    boss.authority.revoke("agent", &name).unwrap();
    let listed = Listed { revoked: boss.authority.revoked() };
    revoked::write(&Files::below(&machine.config.pki_dir()), &listed).unwrap();
    let (calls, listener, acceptor) = timeout(PATIENCE, engine).await.expect("it ends by itself").unwrap();
    assert_eq!(calls, 1);
    // Nor does a new one come about.
    let refusal =
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let error = client.call(Method::GET, "/_ping", PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("evoked"), "{error}");
    let _ = timeout(PATIENCE, refusal).await.expect("in time").unwrap();
}

#[tokio::test]
async fn another_ca_is_followed() {
    let boss = boss();
    let agent = joined(&boss, Joins::Agent, "127.0.0.1");
    let machine = Machine::of(&agent);
    let managers = machine.towards(Peers::Managers);
    let now = clock::unix_seconds();
    boss.authority.rotate(now).unwrap();
    let host = super::own::Machine { hostname: "boss".into(), addresses: vec![] };
    super::own::keep_own(&boss.authority, &boss.config, &host, false, now).unwrap();
    assert_eq!(meet(&managers, &boss.tls(), "boss").await, Ok(()), "as the old one has signed it");
    members::trust(&Files::below(&machine.config.pki_dir()), &boss.authority.bundle()).unwrap();
    boss.authority.finish(true, now).unwrap();
    super::own::keep_own(&boss.authority, &boss.config, &host, true, now).unwrap();
    assert_eq!(meet(&managers, &boss.tls(), "boss").await, Ok(()), "as it is");
}
