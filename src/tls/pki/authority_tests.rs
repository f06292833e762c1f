//! The CA as a whole: what it issues is held against rustls, and what it must refuse is refused.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::PublicKeyData;
use tokio::net::{TcpListener, TcpStream};

use super::authority::{Applicant, Authority, Issued};
use super::members::{self, Own};
use super::own::{self, Machine};
use super::pin::{Joins, Pin};
use super::{Files, request};
use crate::clock;
use crate::config::{Config, Pki, Role as Does, Tls};
use crate::error::{Kind, Result};
use crate::tls::ClientTls;
use crate::tls::identity::{Identity, Role, Who};
use crate::tls::server::acceptor;

pub(super) const LIFE: Duration = Duration::from_secs(3600);

/// A cluster's first manager.
pub(super) struct Boss {
    home: tempfile::TempDir,
    pub(super) config: Config,
    pub(super) authority: Authority,
}

/// A machine with a key.
pub(super) struct Member {
    pub(super) home: tempfile::TempDir,
    pub(super) request: String,
}

pub(super) fn boss() -> Boss {
    let home = tempfile::tempdir().unwrap();
    let config = Config {
        role: Does::Manager,
        state_dir: home.path().to_path_buf(),
        pki: Pki { enabled: true, lifetime: LIFE, ..Pki::default() },
        ..Config::default()
    };
    let machine = Machine { hostname: "boss".into(), addresses: vec!["10.0.0.1".into()] };
    let authority = own::prepare(&config, &machine).unwrap().unwrap();
    Boss { home, config, authority }
}

fn tls_of(directory: &Path) -> Tls {
    let file = |name: &str| Some(directory.join(name));
    Tls {
        tlsverify: true,
        tlscacert: file("ca.pem"),
        tlscert: file("cert.pem"),
        tlskey: file("key.pem"),
        ..Tls::default()
    }
}

impl Member {
    pub(super) fn new() -> Member {
        let home = tempfile::tempdir().unwrap();
        let key = members::key(&Files::below(home.path())).unwrap();
        Member { request: request::for_key(&key).unwrap(), home }
    }

    pub(super) fn applicant(&self) -> Applicant<'_> {
        self.at("127.0.0.1")
    }

    pub(super) fn at(&self, peer: &str) -> Applicant<'_> {
        Applicant { request: &self.request, peer: Some(ip(peer)), hostname: "pi", names: &[], former: None }
    }

    /// That the other's key takes the place of its own.
    pub(super) fn yields_to(&self, other: &Member) -> String {
        let key = |member: &Member| members::key(&Files::below(member.home.path())).unwrap();
        request::for_successor(&key(self), &request::pin_of(&key(other)).unwrap()).unwrap()
    }

    pub(super) fn takes(&self, issued: &Issued) {
        members::replace(&Files::below(self.home.path()), &issued.chain, &issued.bundle).unwrap();
    }

    pub(super) fn tls(&self) -> Tls {
        tls_of(self.home.path())
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Boss {
    pub(super) fn tls(&self) -> Tls {
        tls_of(&self.home.path().join("pki"))
    }

    pub(super) fn joins(&self, member: &Member, joins: Joins, who: &Applicant<'_>) -> Result<Issued> {
        let now = clock::unix_seconds();
        let token = self.authority.new_token(joins, Some(60), Some(1), now).unwrap();
        let issued = self.authority.join(&token.id, &token.secret, joins, who, now);
        if let Ok(issued) = &issued {
            member.takes(issued);
        }
        issued
    }
}

/// Who the server sees, or why there is no connection.
async fn meet(server: &Tls, client: &Tls, name: &str) -> std::io::Result<Option<Identity>> {
    let (acceptor, connector) =
        (acceptor(server).unwrap().unwrap(), ClientTls::from_config(client).unwrap().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (near, far) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    near?;
    let far = far?;
    let leaf = far.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    Ok(leaf.and_then(|leaf| Identity::of(&leaf)))
}

#[tokio::test]
async fn members_and_managers_know_each_other() {
    let boss = boss();
    let (agent, user) = (Member::new(), Member::new());
    let issued = boss.joins(&agent, Joins::Agent, &agent.applicant()).unwrap();
    assert_eq!(issued.hosts, ["127.0.0.1", "pi"]);
    let who = meet(&boss.tls(), &agent.tls(), "boss").await.unwrap().unwrap();
    assert_eq!((who.kind, who.name), (Who::Agent, issued.identity.name.clone()));
    assert_eq!(who.serial, issued.identity.serial);
    let who = meet(&agent.tls(), &boss.tls(), "127.0.0.1").await.unwrap().unwrap();
    assert_eq!((who.kind, who.name.as_str()), (Who::Manager, "boss"));
    let now = clock::unix_seconds();
    let alice = boss.authority.issue_user(&user.request, "alice", Role::Operator, LIFE, now).unwrap();
    user.takes(&alice);
    let who = meet(&boss.tls(), &user.tls(), "10.0.0.1").await.unwrap().unwrap();
    assert_eq!((who.kind, who.name.as_str()), (Who::User(Role::Operator), "alice"));
    // A user is nobody's server, and an agent not the manager by its name.
    assert!(meet(&user.tls(), &boss.tls(), "127.0.0.1").await.is_err());
    assert!(meet(&agent.tls(), &agent.tls(), "boss").await.is_err());
    // Another cluster's CA is nobody here.
    let other = self::boss();
    assert!(meet(&other.tls(), &agent.tls(), "boss").await.is_err());
    assert!(meet(&boss.tls(), &other.tls(), "boss").await.is_err());
}

#[test]
fn a_token_is_spent_by_joining_and_a_request_is_taken_once() {
    let boss = boss();
    let (one, two) = (Member::new(), Member::new());
    let now = clock::unix_seconds();
    let token = boss.authority.new_token(Joins::Agent, Some(60), Some(2), now).unwrap();
    let join = |member: &Member, secret: &str, at: i64| {
        boss.authority
            .join(&token.id, secret, Joins::Agent, &member.applicant(), at)
            .map_err(|e| (e.kind, e.message))
    };
    assert_eq!(join(&one, "wrong", now).unwrap_err().0, Kind::Permission);
    assert!(join(&one, &token.secret, now + 60).unwrap_err().1.contains("expired"));
    join(&one, &token.secret, now).unwrap();
    // The same request once more, with a token that would do.
    let (kind, message) = join(&one, &token.secret, now).unwrap_err();
    assert_eq!((kind, message.as_str()), (Kind::Conflict, "this key has a certificate already"));
    join(&two, &token.secret, now).unwrap();
    assert!(join(&Member::new(), &token.secret, now).unwrap_err().1.contains("used up"));
    boss.authority.revoke_token(&token.id).unwrap();
    assert!(join(&Member::new(), &token.secret, now).unwrap_err().1.contains("revoked"));
}

#[test]
fn a_request_for_more_than_its_key_gets_no_more() {
    let boss = boss();
    let home = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::from_pem(&members::key(&Files::below(home.path())).unwrap()).unwrap();
    // A request that asks to be a CA, a manager, and 10.0.0.1.
    let mut params = rcgen::CertificateParams::new(vec!["boss".into(), "10.0.0.1".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "manager");
    params.distinguished_name.push(rcgen::DnType::CommonName, "boss");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let member = Member { home, request };
    let issued =
        boss.joins(&member, Joins::Agent, &Applicant { hostname: "boss", ..member.at("10.0.0.2") }).unwrap();
    assert_eq!(issued.hosts, ["10.0.0.2"]);
    let own = Own::read(&Files::below(member.home.path())).unwrap().unwrap();
    assert_eq!((own.identity.kind, own.hosts.as_slice()), (Who::Agent, &["10.0.0.2".to_string()][..]));
    let spki = Pin::of_key(&key.subject_public_key_info());
    assert_eq!(boss.authority.issued().last().unwrap().key, spki.text());
    let refused = boss.joins(&member, Joins::Agent, &Member::new().at("10.0.0.1")).unwrap_err();
    assert!(refused.message.contains("address of a manager"), "{refused}");
}

#[test]
fn renewing_takes_the_certificate_that_there_is() {
    let boss = boss();
    let (agent, other) = (Member::new(), Member::new());
    let first = boss.joins(&agent, Joins::Agent, &agent.applicant()).unwrap();
    let second = boss.joins(&other, Joins::Agent, &other.at("10.0.0.7")).unwrap();
    let now = clock::unix_seconds();
    // Elsewhere now: the address follows.
    let next = boss.authority.renew(&first.identity, &agent.at("10.0.0.9"), now).unwrap();
    assert_eq!(next.identity.name, first.identity.name);
    assert_eq!(next.hosts, ["10.0.0.9", "pi"]);
    assert_ne!(next.identity.serial, first.identity.serial);
    // The request of somebody else, and the address of a manager.
    let error = boss.authority.renew(&second.identity, &agent.at("10.0.0.7"), now).unwrap_err();
    assert!(error.message.ends_with("the key is somebody else's"), "{error}");
    assert!(boss.authority.renew(&first.identity, &agent.at("10.0.0.1"), now).is_err());
    assert_eq!(boss.authority.revoke("agent", &first.identity.name).unwrap(), 2);
    let error = boss.authority.renew(&next.identity, &agent.applicant(), now).unwrap_err();
    assert!(error.message.ends_with("it was revoked"), "{error}");
    let user = Member::new();
    let alice = boss.authority.issue_user(&user.request, "alice", Role::Admin, LIFE, now).unwrap();
    assert!(boss.authority.renew(&alice.identity, &user.applicant(), now).is_err());
}

#[test]
fn a_restart_knows_everything() {
    let boss = boss();
    let agent = Member::new();
    let issued = boss.joins(&agent, Joins::Agent, &agent.applicant()).unwrap();
    let now = clock::unix_seconds();
    let token = boss.authority.new_token(Joins::Manager, None, None, now).unwrap();
    boss.authority.revoke("agent", &issued.identity.name).unwrap();
    let again = Authority::open(boss.authority.files(), LIFE, now).unwrap();
    assert_eq!(again.pin(), token.pin);
    assert_eq!(again.issued(), boss.authority.issued());
    assert_eq!(again.tokens(), boss.authority.tokens());
    assert!(again.renew(&issued.identity, &agent.applicant(), now).is_err());
    let other = Member::new();
    again.join(&token.id, &token.secret, Joins::Manager, &other.applicant(), now).unwrap();
}

#[test]
fn the_managers_certificate_follows_its_names() {
    let mut boss = boss();
    let files = Files::below(&boss.config.pki_dir());
    let machine = |address: &str| Machine { hostname: "Boss".into(), addresses: vec![address.into()] };
    let now = clock::unix_seconds();
    let keeps = |config: &Config, machine: &Machine, due| {
        own::keep_own(&boss.authority, config, machine, due, now).unwrap()
    };
    assert!(!keeps(&boss.config, &machine("10.0.0.1"), false));
    assert!(keeps(&boss.config, &machine("10.0.0.5"), false));
    assert!(keeps(&boss.config, &machine("10.0.0.5"), true));
    boss.config.pki.names = vec!["Cluster.example".into()];
    boss.config.manager.advertise = Some("[fd00::1]:3376".into());
    assert!(keeps(&boss.config, &machine("10.0.0.5"), false));
    let own = Own::read(&files).unwrap().unwrap();
    for name in ["boss", "cluster.example", "fd00::1", "10.0.0.5", "localhost", "127.0.0.1"] {
        assert!(own.is_for(name), "{name}: {own:?}");
    }
    assert!(!own.is_for("10.0.0.1"));
    assert_eq!(own.identity.name, "boss");
    assert_eq!(own.ca, Some(boss.authority.pin()));
    for file in ["key.pem", "ca-key.pem", "tokens.json", "issued.json"] {
        let mode = std::fs::metadata(files.directory().join(file))
            .map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()));
        assert!(mode.map_or(file == "tokens.json", |mode| mode & 0o777 == 0o600), "{file}");
    }
}

#[test]
fn a_machine_that_has_not_joined_says_how() {
    let home = tempfile::tempdir().unwrap();
    let mut config = Config { role: Does::Agent, state_dir: home.path().to_path_buf(), ..Config::default() };
    config.pki.enabled = true;
    let machine = Machine { hostname: "pi".into(), addresses: vec![] };
    let error = own::prepare(&config, &machine).err().unwrap();
    assert!(error.to_string().contains("sudo swarmd join --token"), "{error}");
    assert_eq!(error.exit_code(), 78);
}

#[tokio::test]
async fn another_ca_takes_over_and_nobody_is_cut_off() {
    let boss = boss();
    let (early, late, user) = (Member::new(), Member::new(), Member::new());
    let joined = boss.joins(&early, Joins::Agent, &early.applicant()).unwrap();
    let second = boss.joins(&late, Joins::Agent, &late.at("127.0.0.1")).unwrap();
    let now = clock::unix_seconds();
    let machine = Machine { hostname: "boss".into(), addresses: vec!["10.0.0.1".into()] };
    let before = boss.authority.pin();
    boss.authority.rotate(now).unwrap();
    assert_ne!(boss.authority.pin(), before);
    assert_eq!(boss.authority.rotate(now).unwrap_err().kind, Kind::Conflict);
    assert!(own::keep_own(&boss.authority, &boss.config, &machine, false, now).unwrap());
    // The manager is of the new CA, the agents know only the old one: both ways it goes on.
    for member in [&early, &late] {
        assert!(meet(&boss.tls(), &member.tls(), "boss").await.unwrap().is_some());
        assert!(meet(&member.tls(), &boss.tls(), "127.0.0.1").await.unwrap().is_some());
    }
    early.takes(&boss.authority.renew(&joined.identity, &early.applicant(), now).unwrap());
    assert!(meet(&boss.tls(), &early.tls(), "boss").await.unwrap().is_some());
    assert!(meet(&early.tls(), &boss.tls(), "127.0.0.1").await.unwrap().is_some());
    // New and old among themselves.
    assert!(meet(&late.tls(), &early.tls(), "127.0.0.1").await.unwrap().is_some());
    // Who joins now has the new one, by a token of either.
    let third = Member::new();
    boss.joins(&third, Joins::Agent, &third.at("127.0.0.1")).unwrap();
    assert!(meet(&boss.tls(), &third.tls(), "boss").await.unwrap().is_some());
    // A restart in the middle knows that it is one.
    let again = Authority::open(boss.authority.files(), LIFE, now).unwrap();
    assert!(again.standing(now).rotating);
    assert_eq!(again.bundle(), boss.authority.bundle());
    let error = boss.authority.finish(false, now).unwrap_err();
    assert!(error.message.contains(&second.identity.name) && !error.message.contains(&joined.identity.name));
    late.takes(&boss.authority.renew(&second.identity, &late.applicant(), now).unwrap());
    assert!(boss.authority.finish(false, now).unwrap());
    assert!(!boss.authority.finish(false, now).unwrap());
    own::keep_own(&boss.authority, &boss.config, &machine, false, now).unwrap();
    for member in [&early, &late, &third] {
        assert!(meet(&boss.tls(), &member.tls(), "boss").await.unwrap().is_some());
        assert!(meet(&member.tls(), &boss.tls(), "127.0.0.1").await.unwrap().is_some());
    }
    // By force: who has not renewed is out.
    let alice = boss.authority.issue_user(&user.request, "alice", Role::Admin, LIFE, now).unwrap();
    user.takes(&alice);
    assert!(meet(&boss.tls(), &user.tls(), "boss").await.unwrap().is_some());
    boss.authority.rotate(now).unwrap();
    assert!(boss.authority.finish(true, now).unwrap());
    own::keep_own(&boss.authority, &boss.config, &machine, false, now).unwrap();
    assert!(meet(&boss.tls(), &user.tls(), "boss").await.is_err());
}

#[tokio::test]
async fn a_clock_in_the_past_does_not_lock_a_member_out() {
    // The clock of the test is right; a certificate from the future shows the same.
    let boss = boss();
    let agent = Member::new();
    let later = clock::unix_seconds() + 7 * 24 * 3600;
    let token = boss.authority.new_token(Joins::Agent, None, None, later).unwrap();
    let issued =
        boss.authority.join(&token.id, &token.secret, Joins::Agent, &agent.applicant(), later).unwrap();
    agent.takes(&issued);
    let machine = Machine { hostname: "boss".into(), addresses: vec!["10.0.0.1".into()] };
    own::keep_own(&boss.authority, &boss.config, &machine, true, later).unwrap();
    assert!(meet(&boss.tls(), &agent.tls(), "boss").await.unwrap().is_some());
    assert_eq!(own::now(&Files::below(agent.home.path())).unwrap(), later);
}

#[tokio::test]
async fn joining_goes_to_the_manager_of_the_token_and_nobody_else() {
    let (boss, other) = (boss(), self::boss());
    let agent = Member::new();
    boss.joins(&agent, Joins::Agent, &agent.applicant()).unwrap();
    let pin = boss.authority.pin();
    assert_eq!(pinned(&boss.tls(), &pin, "boss").await, Ok(()));
    assert_eq!(pinned(&boss.tls(), &pin, "10.0.0.1").await, Ok(()));
    let error =
        |why: &str, met: Result<(), String>| assert!(met.as_ref().is_err_and(|e| e.contains(why)), "{met:?}");
    // Another cluster, or somebody in between with a CA of his own.
    error("its CA is not the one that the join token names", pinned(&other.tls(), &pin, "boss").await);
    // A member of the cluster that is no manager.
    error("that is no manager but agent", pinned(&agent.tls(), &pin, "127.0.0.1").await);
    error("set [pki] names = [\"elsewhere\"]", pinned(&boss.tls(), &pin, "elsewhere").await);
    // Somebody in between who shows the real CA behind a certificate of his own.
    let mixed = tempfile::tempdir().unwrap();
    let pki = |home: &tempfile::TempDir, file: &str| {
        std::fs::read_to_string(home.path().join("pki").join(file)).unwrap()
    };
    let forged = pki(&other.home, "cert.pem") + &pki(&boss.home, "ca.pem");
    std::fs::write(mixed.path().join("cert.pem"), forged).unwrap();
    std::fs::write(mixed.path().join("key.pem"), pki(&other.home, "key.pem")).unwrap();
    std::fs::write(mixed.path().join("ca.pem"), pki(&boss.home, "ca.pem")).unwrap();
    error("UnknownIssuer", pinned(&tls_of(mixed.path()), &pin, "boss").await);
    // A token of before a rotation is as good, until that ends.
    boss.authority.rotate(clock::unix_seconds()).unwrap();
    let machine = Machine { hostname: "boss".into(), addresses: vec![] };
    own::keep_own(&boss.authority, &boss.config, &machine, false, clock::unix_seconds()).unwrap();
    assert_eq!(pinned(&boss.tls(), &pin, "boss").await, Ok(()));
    assert_eq!(pinned(&boss.tls(), &boss.authority.pin(), "boss").await, Ok(()));
}

/// Whether who has only the pin takes this server.
async fn pinned(server: &Tls, pin: &Pin, name: &str) -> Result<(), String> {
    let (acceptor, connector) = (acceptor(server).unwrap().unwrap(), ClientTls::pinned(pin).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (near, _) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    near.map(drop).map_err(|e| e.to_string())
}
