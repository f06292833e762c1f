//! The CA of the cluster, on the one manager that has its key: issues, renews, revokes, and keeps the join tokens.
//!
//! Every change is on disk before anybody hears of it; calls block on that, so they belong on a blocking thread.
//!
//! During a rotation there are two CAs: the new one signs, both are trusted, and what the new one signs is sent with
//! its certificate by the old one, so that also those who do not know it yet take it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::CertificateDer;

use crate::error::{Error, Kind, Result};
use crate::tls::identity::{Identity, Role, Who};
use crate::tls::pem;
use crate::tls::pki::book::{Book, Record, Shown};
use crate::tls::pki::claims::{Claims, member_before};
use crate::tls::pki::issue::{self, Leaf};
use crate::tls::pki::pin::{Joins, Pin};
use crate::tls::pki::tokens::Tokens;
use crate::tls::pki::{Files, damaged, failed, hex, policy, random, request, revoked};

/// The CA. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    files: Files,
    /// How long certificates of members live.
    life: Duration,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) ca: Ca,
    /// Other CAs that are trusted, while they are replaced: their certificates as PEM.
    pub(super) former: Vec<String>,
    /// The CA signed by the one before it, during a rotation.
    pub(super) cross: Option<String>,
    pub(super) book: Book,
    pub(super) claims: Claims,
    pub(super) tokens: Tokens,
}

/// The CA that signs.
pub(super) struct Ca {
    pub(super) pem: String,
    pub(super) pin: Pin,
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// When it ends, seconds since the epoch: nothing that it signs lives longer.
    pub(super) ends: i64,
}

/// What a member gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its certificate and those that lead to the CA, PEM.
    pub chain: String,
    /// All trusted CAs, PEM.
    pub bundle: String,
    /// Whose it is.
    pub identity: Identity,
    /// Names and addresses in it.
    pub hosts: Vec<String>,
    /// When it ends, seconds since the epoch.
    pub expires: i64,
}

/// Who asks for a member's certificate.
#[derive(Debug, Clone)]
pub struct Applicant<'a> {
    /// Its request, PEM.
    pub request: &'a str,
    /// Where it asks from; `None`: this process.
    pub peer: Option<IpAddr>,
    /// What its machine calls itself.
    pub hostname: &'a str,
    /// Names and addresses that a manager is reached by.
    pub names: &'a [String],
    /// Of a machine that joins again: a request with the key that it had, for the new one (`request::for_successor`), PEM.
    /// It is the same agent then.
    pub former: Option<&'a str>,
}

impl Authority {
    /// Whether there is a CA in these files that can sign.
    pub fn is_here(files: &Files) -> bool {
        files.ca_key().exists()
    }

    /// Makes a CA and opens it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(files: &Files, life: Duration, now: i64) -> Result<Authority> {
        files.make_directory()?;
        let key = KeyPair::generate().map_err(|e| failed("make a key", e))?;
        let root = issue::root(&key, &issue::new_name()?, now)?;
        Files::write(&files.bundle(), &root.pem())?;
        // Last, since with it there is a CA.
        Files::write(&files.ca_key(), &key.serialize_pem())?;
        Authority::open(files, life, now)
    }

    /// Opens the CA that is there.
    ///
    /// # Errors
    /// Files that cannot be read, or do not fit together.
    pub fn open(files: &Files, life: Duration, now: i64) -> Result<Authority> {
        let (ca, former) = Ca::open(files)?;
        let cross = Files::read(&files.cross())?.filter(|_| !former.is_empty());
        let issued = json(&files.issued())?.unwrap_or_default();
        let mut book = Book { issued, revoked: revoked::read(&files.revoked())?.revoked };
        book.reconcile();
        book.prune(now);
        let tokens = json(&files.tokens())?.unwrap_or_default();
        let state = Mutex::new(State { ca, former, cross, book, claims: Claims::default(), tokens });
        Ok(Authority(Arc::new(Inner { files: files.clone(), life, state })))
    }

    /// A first certificate, for who has a token.
    ///
    /// # Errors
    /// `Kind::Permission` for a token that opens nothing, `Kind::Invalid` for a request that is none, `Kind::Conflict` for
    /// a key that has been certified already (requests are not taken twice, but from who has not heard the answer), or for
    /// another agent's address.
    pub fn join(
        &self,
        id: &str,
        secret: &str,
        joins: Joins,
        who: &Applicant<'_>,
        now: i64,
    ) -> Result<Issued> {
        let wanted = request::read(who.request)?;
        let mut state = self.state();
        // Whoever has no token hears of nothing else.
        state.tokens.clone().spend(id, secret, joins, now)?;
        let name = match (member_before(joins, &wanted, who, &state.book)?, joins) {
            (Some(name), _) => name,
            (None, Joins::Agent) => hex(&random::<8>()?),
            (None, Joins::Manager) => manager_name(who.hostname, &state.book)?,
        };
        let hosts = state.claims.hosts(joins.who(), Some(&name), who, &state.book, now)?;
        // Spent before anything is signed: whatever happens now, it is not used twice.
        self.change_tokens(&mut state, |tokens| tokens.spend(id, secret, joins, now))?;
        let leaf = Leaf { who: joins.who(), name, hosts, life: self.0.life };
        self.sign(&mut state, &leaf, who.hostname, &wanted, None, now)
    }

    /// The next certificate of a member; `owner` is who its present one says it is.
    ///
    /// # Errors
    /// `Kind::Permission` for who is no member, is not on the book, or asks too often, or for a key of somebody else.
    pub fn renew(&self, owner: &Identity, who: &Applicant<'_>, now: i64) -> Result<Issued> {
        let refused =
            |why: &str| Error::client(Kind::Permission, format!("{owner} gets no certificate: {why}"));
        if !matches!(owner.kind, Who::Agent | Who::Manager) {
            return Err(refused("only agents and managers renew theirs")
                .advise("on the manager: swarmd user add makes users' certificates"));
        }
        let wanted = request::read(who.request)?;
        let mut state = self.state();
        let unit = owner.kind.unit().unwrap_or_default();
        let key = Pin::of_key(&wanted.spki);
        let shown = Shown { owner: (unit, &owner.name), serial: &owner.serial, key: key.text() };
        if let Some(why) = state.book.bars(shown, state.ca.pin.text(), self.0.life, now) {
            return Err(refused(why));
        }
        if state.book.owner_of(key.text()).is_some_and(|found| found != shown.owner) {
            return Err(refused("the key is somebody else's"));
        }
        let State { claims, book, .. } = &mut *state;
        book.adopt(shown, now.saturating_add(i64::try_from(self.0.life.as_secs()).unwrap_or(i64::MAX)));
        claims.seen(owner, who.peer, book);
        let hosts = claims.hosts(owner.kind, Some(&owner.name), who, book, now)?;
        let leaf = Leaf { who: owner.kind, name: owner.name.clone(), hosts, life: self.0.life };
        self.sign(&mut state, &leaf, who.hostname, &wanted, Some(&owner.serial), now)
    }

    /// A certificate for this very manager.
    pub fn issue_own(&self, who: &Applicant<'_>, name: Option<&str>, now: i64) -> Result<Issued> {
        let wanted = request::read(who.request)?;
        let mut state = self.state();
        let name = match name {
            Some(name) => name.to_string(),
            None => manager_name(who.hostname, &state.book)?,
        };
        let hosts = policy::of_manager(None, who.names)?;
        let leaf = Leaf { who: Who::Manager, name, hosts, life: self.0.life };
        self.sign(&mut state, &leaf, who.hostname, &wanted, None, now)
    }

    /// A certificate for a user. Who asks for it must be an admin; that is the caller's affair.
    ///
    /// # Errors
    /// `Kind::Invalid` for a name that is none, or a request, or a life that no certificate can have.
    pub fn issue_user(
        &self,
        request: &str,
        name: &str,
        role: Role,
        life: Duration,
        now: i64,
    ) -> Result<Issued> {
        if !policy::is_user(name) {
            return Err(Error::client(Kind::Invalid, format!("{name:?} is no name for a user"))
                .advise("letters, digits, - . _ @, at most 64"));
        }
        let wanted = request::read(request)?;
        let mut state = self.state();
        if state.book.owner_of(Pin::of_key(&wanted.spki).text()).is_some() {
            return Err(Error::client(Kind::Conflict, "this key has a certificate already"));
        }
        let longest = state.ca.longest(now);
        if life.is_zero() || life > longest {
            let days = longest.as_secs() / (24 * 3600);
            return Err(Error::client(
                Kind::Invalid,
                "a certificate lives for a second at least, and no longer than its CA",
            )
            .advise(format!("--ttl {days}d is the longest that this CA can give")));
        }
        let leaf = Leaf { who: Who::User(role), name: name.to_string(), hosts: vec![], life };
        self.sign(&mut state, &leaf, "", &wanted, None, now)
    }

    /// Certificates that may be in use, the oldest first.
    pub fn issued(&self) -> Vec<Record> {
        self.state().book.issued.clone()
    }

    /// The trusted CAs, PEM.
    pub fn bundle(&self) -> String {
        self.state().bundle()
    }

    /// The pin of the CA that signs.
    pub fn pin(&self) -> Pin {
        self.state().ca.pin.clone()
    }

    /// How long certificates of members live.
    pub fn life(&self) -> Duration {
        self.0.life
    }

    /// Where it is.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(
        &self,
        state: &mut State,
        leaf: &Leaf,
        hostname: &str,
        wanted: &request::Wanted,
        shown: Option<&str>,
        now: i64,
    ) -> Result<Issued> {
        let leaf = &Leaf { life: leaf.life.min(state.ca.longest(now)), ..leaf.clone() };
        if leaf.life.is_zero() {
            return Err(Error::us(
                Kind::Config,
                "the CA of the cluster has expired, or certificates live for no time",
            )
            .advise("`swarmd pki rotate` on the first manager makes another CA; see [pki] lifetime, too"));
        }
        let (cert, identity) = issue::leaf(leaf, &wanted.key, &state.ca.issuer, now)?;
        let expires = now.saturating_add(i64::try_from(leaf.life.as_secs()).unwrap_or(i64::MAX));
        let mut book = state.book.clone();
        book.prune(now);
        let record = Record {
            serial: identity.serial.clone(),
            kind: leaf.who.unit().unwrap_or_default().into(),
            name: leaf.name.clone(),
            role: if let Who::User(role) = leaf.who { role.word().into() } else { String::new() },
            hosts: leaf.hosts.clone(),
            hostname: hostname.chars().take(253).collect(),
            issued: now,
            expires,
            ca: state.ca.pin.text().into(),
            key: Pin::of_key(&wanted.spki).text().into(),
        };
        book.add(record, shown);
        self.keep_book(state, book)?;
        let chain = cert.pem() + &state.way_to_ca();
        Ok(Issued { chain, bundle: state.bundle(), identity, hosts: leaf.hosts.clone(), expires })
    }

    /// Saves the book, then takes it over.
    pub(super) fn keep_book(&self, state: &mut State, book: Book) -> Result<()> {
        if book.revoked != state.book.revoked {
            let listed = revoked::Listed { revoked: book.revoked.clone() };
            save(&self.0.files.revoked(), &listed)?;
        }
        save(&self.0.files.issued(), &book.issued)?;
        state.book = book;
        Ok(())
    }
}

impl State {
    /// The CAs that are trusted, the one that signs first.
    pub(super) fn bundle(&self) -> String {
        self.ca.pem.clone() + &self.former.concat()
    }

    /// What is sent behind a certificate: the CA itself, in which a pin is found; during a rotation the CA as the one
    /// before has signed it, and that one.
    fn way_to_ca(&self) -> String {
        match &self.cross {
            Some(cross) => cross.clone() + &self.former.concat(),
            None => self.ca.pem.clone(),
        }
    }
}

impl Ca {
    /// The CA whose key is there, and the others in the bundle.
    fn open(files: &Files) -> Result<(Ca, Vec<String>)> {
        let missing = |path: &std::path::Path| damaged(path, "it is not there");
        let key = Files::read(&files.ca_key())?.ok_or_else(|| missing(&files.ca_key()))?;
        let key = KeyPair::from_pem(&key).map_err(|e| damaged(&files.ca_key(), &e.to_string()))?;
        let pin = Pin::of_key(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let (own, former): (Vec<_>, Vec<_>) = pem::certificates(&files.bundle())?
            .into_iter()
            .partition(|cert| Pin::of(cert).as_ref() == Some(&pin));
        let Some(cert) = own.first() else {
            return Err(damaged(&files.bundle(), "it does not hold the CA whose key is in ca-key.pem"));
        };
        let ca = Ca::of(cert, key, pin)?;
        Ok((ca, former.iter().map(pem::text).collect()))
    }

    pub(super) fn of(cert: &CertificateDer<'static>, key: KeyPair, pin: Pin) -> Result<Ca> {
        let issuer = Issuer::from_ca_cert_der(cert, key).map_err(|e| failed("use the CA", e))?;
        let ends = issue::end_of(cert).ok_or_else(|| failed("use the CA", "it is no certificate"))?;
        Ok(Ca { pem: pem::text(cert), pin, issuer, ends })
    }

    /// How long a certificate of it may live.
    fn longest(&self, now: i64) -> Duration {
        Duration::from_secs(u64::try_from(self.ends.saturating_sub(now)).unwrap_or(0))
    }
}

/// A manager is called as its machine; the second of that name gets another.
fn manager_name(hostname: &str, book: &Book) -> Result<String> {
    let host: String =
        hostname.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(48).collect();
    let name = if host.is_empty() { "manager".to_string() } else { host };
    match book.is_taken("manager", &name) {
        true => Ok(format!("{name}-{}", hex(&random::<3>()?))),
        false => Ok(name),
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<Option<T>> {
    let Some(text) = Files::read(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| damaged(path, &e.to_string()))
}

pub(super) fn save<T: serde::Serialize>(path: &std::path::Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| failed("write JSON", e))?;
    Files::write(path, &text)
}
