//! What the CA has issued and what counts no more, as values. Pure: time comes in.
//!
//! A certificate is on the book until it expires. The book is how a name is kept from being given twice, how all
//! certificates of a user or node are found for revocation, and how far a rotation of the CA is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Certificates of one owner that are kept valid beside each other: a renewed one still counts until it expires, but
/// not without bound.
const BESIDE: usize = 8;
/// Whoever has that many gets the next one after this part of a life: so the lists grow by no more than that.
const PACE: u64 = 256;
/// How long a revoked certificate is listed beyond its end, in seconds: clocks differ, and who judges by the list may
/// judge the end by another one.
const LISTED_ON: i64 = 7 * 24 * 3600;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its serial number, lower-case hexadecimal.
    pub serial: String,
    /// `agent`, `manager` or `user`.
    pub kind: String,
    /// The name of the node, manager or user.
    pub name: String,
    /// A user's role.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Names and addresses in it.
    pub hosts: Vec<String>,
    /// What its machine calls itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// When it was issued, seconds since the epoch.
    pub issued: i64,
    /// When it ends.
    pub expires: i64,
    /// The pin of the CA that signed it.
    pub ca: String,
    /// The pin of its public key.
    pub key: String,
}

impl Record {
    /// Who owns it.
    pub fn owner(&self) -> (&str, &str) {
        (&self.kind, &self.name)
    }
}

/// One that counts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whose it was, for people.
    pub owner: String,
    /// When it ends by itself: some days later it need not be listed any more.
    pub expires: i64,
}

/// The certificate with which a member asks for the next one.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Whose it is: kind and name.
    pub owner: (&'a str, &'a str),
    /// Its serial number.
    pub serial: &'a str,
    /// The pin of the member's key, which stays the same.
    pub key: &'a str,
}

/// What became of a serial number that was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Struck {
    /// It is revoked now.
    Known,
    /// It is revoked now, though no such certificate was on the book: a copy of the book lacks what came later.
    Unknown,
    /// It was revoked before.
    Before,
}

/// Both lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Certificates that may still be valid, the oldest first.
    pub issued: Vec<Record>,
    /// By serial number.
    pub revoked: BTreeMap<String, Revocation>,
}

impl Book {
    /// Forgets what has expired. Whether there was anything.
    pub fn prune(&mut self, now: i64) -> bool {
        let before = (self.issued.len(), self.revoked.len());
        self.issued.retain(|record| record.expires > now);
        self.revoked.retain(|_, revocation| revocation.expires.saturating_add(LISTED_ON) > now);
        before != (self.issued.len(), self.revoked.len())
    }

    /// What was revoked is issued no more: a book from a copy may know less than the list of what is revoked.
    pub fn reconcile(&mut self) {
        let revoked = &self.revoked;
        self.issued.retain(|record| !revoked.contains_key(&record.serial));
    }

    /// Notes a new certificate. Of too many of one owner the oldest count no more, but never the one that its owner has
    /// just `shown`: the new one may get lost on its way.
    pub fn add(&mut self, record: Record, shown: Option<&str>) {
        let owner = (record.kind.clone(), record.name.clone());
        self.issued.push(record);
        let of_owner =
            self.issued.iter().filter(|r| r.owner() == (&*owner.0, &*owner.1)).map(|r| r.serial.clone());
        let serials: Vec<String> = of_owner.collect();
        let too_many = serials.len().saturating_sub(BESIDE);
        for serial in serials.iter().filter(|serial| Some(serial.as_str()) != shown).take(too_many) {
            self.revoke_serial(serial);
        }
    }

    /// Why the holder of this certificate gets no next one, if it gets none. `ca`: the pin of the one that signs; `life`:
    /// that of certificates. One that is not on the book does if its key is, for that owner: the book is from a copy then.
    pub fn bars(&self, shown: Shown<'_>, ca: &str, life: Duration, now: i64) -> Option<&'static str> {
        if self.revoked.contains_key(shown.serial) {
            return Some("it was revoked");
        }
        let mut own: Vec<&Record> =
            self.issued.iter().filter(|record| record.owner() == shown.owner).collect();
        let of_old_ca = match own.iter().find(|record| record.serial == shown.serial) {
            Some(record) => record.ca != ca,
            None if own.iter().any(|record| record.key == shown.key) => false,
            None => {
                return Some("its certificate is not on the book of this CA: `swarmd join` makes a new one");
            }
        };
        if of_old_ca {
            // It must get one of the new CA, or it is locked out: what else it has of the old one does not count.
            own.retain(|record| record.ca == ca || record.serial == shown.serial);
        }
        let pace = i64::try_from(life.as_secs() / PACE).unwrap_or(i64::MAX);
        // Not by a clock that was set back.
        let lately = |record: &&Record| (0..pace).contains(&now.saturating_sub(record.issued));
        match own.len() >= BESIDE && own.last().is_some_and(lately) {
            true => Some("it was renewed too often lately"),
            false => None,
        }
    }

    /// Puts a certificate of which only the key was on the book beside the others of its owner, so that it is revoked
    /// with them. `expires`: when it has ended.
    pub fn adopt(&mut self, shown: Shown<'_>, expires: i64) {
        let at = self.issued.iter().rposition(|r| r.owner() == shown.owner && r.key == shown.key);
        if let Some(at) = at.filter(|_| !self.issued.iter().any(|r| r.serial == shown.serial)) {
            let record = Record { serial: shown.serial.into(), expires, ..self.issued[at].clone() };
            self.issued.insert(at + 1, record);
        }
    }

    /// The certificate with this serial number counts no more. `ends`: when one that is not on the book has expired.
    pub fn revoke_one(&mut self, serial: &str, ends: i64) -> Struck {
        if self.revoked.contains_key(serial) {
            return Struck::Before;
        }
        self.revoke_serial(serial);
        if self.revoked.contains_key(serial) {
            return Struck::Known;
        }
        let owner = "not on the book".to_string();
        self.revoked.insert(serial.to_string(), Revocation { owner, expires: ends });
        Struck::Unknown
    }

    /// The other certificates of the owner of this one that are still good.
    pub fn beside(&self, newest: &Record, now: i64) -> Vec<String> {
        let other = |r: &&Record| r.owner() == newest.owner() && r.serial != newest.serial && r.expires > now;
        self.issued.iter().filter(other).map(|r| r.serial.clone()).collect()
    }

    /// All certificates of an owner count no more. Their number.
    pub fn revoke(&mut self, kind: &str, name: &str) -> usize {
        let of_owner = self.issued.iter().filter(|r| r.owner() == (kind, name)).map(|r| r.serial.clone());
        let serials: Vec<String> = of_owner.collect();
        serials.iter().for_each(|serial| self.revoke_serial(serial));
        serials.len()
    }

    fn revoke_serial(&mut self, serial: &str) {
        let Some(at) = self.issued.iter().position(|record| record.serial == serial) else { return };
        let record = self.issued.remove(at);
        let owner = format!("{} {}", record.kind, record.name);
        self.revoked.insert(record.serial, Revocation { owner, expires: record.expires });
    }

    /// The newest certificate of each owner.
    pub fn latest(&self) -> Vec<&Record> {
        let mut latest: BTreeMap<(&str, &str), &Record> = BTreeMap::new();
        for record in &self.issued {
            latest.insert(record.owner(), record);
        }
        latest.into_values().collect()
    }

    /// Whether the name is one that others of this kind have.
    pub fn is_taken(&self, kind: &str, name: &str) -> bool {
        self.issued.iter().any(|record| record.owner() == (kind, name))
    }

    /// Whose key this is.
    pub fn owner_of(&self, key: &str) -> Option<(&str, &str)> {
        self.issued.iter().find(|record| record.key == key).map(Record::owner)
    }

    /// Those whose newest certificate another CA than this one has signed.
    pub fn behind(&self, ca: &str) -> Vec<&Record> {
        self.latest().into_iter().filter(|record| record.ca != ca).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: &str, name: &str, expires: i64, ca: &str) -> Record {
        let kind = if name == "alice" { "user" } else { "agent" };
        Record {
            serial: serial.into(),
            kind: kind.into(),
            name: name.into(),
            role: String::new(),
            hosts: vec![],
            hostname: String::new(),
            issued: 0,
            expires,
            ca: ca.into(),
            key: format!("key-{name}"),
        }
    }

    fn shown<'a>(name: &'a str, serial: &'a str, key: &'a str) -> Shown<'a> {
        Shown { owner: ("agent", name), serial, key }
    }

    #[test]
    fn an_owner_has_many_and_loses_all() {
        let mut book = Book::default();
        for (serial, name, ca) in [("1", "n1", "old"), ("2", "n2", "old"), ("3", "n1", "new")] {
            book.add(record(serial, name, 100, ca), None);
        }
        let behind: Vec<&str> = book.behind("new").iter().map(|r| r.serial.as_str()).collect();
        assert_eq!(behind, ["2"]);
        assert_eq!(book.owner_of("key-n2"), Some(("agent", "n2")));
        assert!(book.is_taken("agent", "n1") && !book.is_taken("user", "n1"));
        assert_eq!(book.revoke("agent", "n1"), 2);
        let revoked: Vec<&str> = book.revoked.keys().map(String::as_str).collect();
        assert_eq!(revoked, ["1", "3"]);
        assert_eq!(book.revoke("agent", "n1"), 0);
        assert!(book.prune(100));
        assert!(book.issued.is_empty() && book.revoked.len() == 2, "clocks differ");
        assert!(book.prune(100 + LISTED_ON));
        assert_eq!(book, Book::default());
    }

    #[test]
    fn only_who_is_on_the_book_renews_and_not_without_end() {
        let (mut book, life) = (Book::default(), Duration::from_secs(PACE * 10));
        book.add(record("a", "n1", 9999, "ca"), None);
        book.add(record("b", "n2", 9999, "ca"), None);
        assert_eq!(book.bars(shown("n1", "a", "key-n1"), "ca", life, 5), None);
        for serial in ["b", "c"] {
            let why = book.bars(shown("n1", serial, "key-n2"), "ca", life, 5).unwrap();
            assert!(why.contains("not on the book"), "{serial}: {why}");
        }
        assert_eq!(book.revoke_one("b", 10), Struck::Known);
        assert_eq!(book.bars(shown("n2", "b", "key-n2"), "ca", life, 5), Some("it was revoked"));
        for n in 1..BESIDE {
            book.add(Record { issued: 100, ..record(&n.to_string(), "n1", 9999, "ca") }, None);
        }
        let bars = |book: &Book, ca: &str, now| book.bars(shown("n1", "a", "key-n1"), ca, life, now);
        assert!(bars(&book, "ca", 109).unwrap().contains("too often"));
        assert_eq!(bars(&book, "ca", 110), None);
        assert_eq!(bars(&book, "ca", 50), None, "the clock was set back");
        let newest = book.latest()[0].clone();
        assert_eq!(book.beside(&newest, 0).len(), BESIDE - 1);
        assert_eq!(book.beside(&newest, 9999), [""; 0]);
    }

    #[test]
    fn nobody_has_certificates_without_bound() {
        let mut book = Book::default();
        for n in 0..BESIDE + 3 {
            book.add(record(&format!("{n:02}"), "n1", 100, "ca"), None);
        }
        assert_eq!((book.issued.len(), book.revoked.len()), (BESIDE, 3));
        assert!(book.revoked.contains_key("02"));
        // What its owner shows is in use, however old.
        book.add(record("99", "n1", 100, "ca"), Some("03"));
        assert!(book.revoked.contains_key("04") && !book.revoked.contains_key("03"));
        assert_eq!(book.issued.len(), BESIDE);
    }

    #[test]
    fn a_rotation_leaves_nobody_behind_and_yet_has_a_bound() {
        let (mut book, life) = (Book::default(), Duration::from_secs(PACE * 10));
        for n in 0..BESIDE {
            book.add(Record { issued: 100, ..record(&n.to_string(), "n1", 9999, "old") }, None);
        }
        let bars = |book: &Book, ca: &str| book.bars(shown("n1", "0", "key-n1"), ca, life, 101);
        assert!(bars(&book, "old").is_some());
        for n in 1..BESIDE {
            assert_eq!(bars(&book, "new"), None, "{n}");
            book.add(Record { issued: 100, ..record(&format!("new-{n}"), "n1", 9999, "new") }, Some("0"));
        }
        assert_eq!(book.issued.len(), BESIDE);
        assert!(!book.revoked.contains_key("0"), "in use");
        assert!(bars(&book, "new").unwrap().contains("too often"));
    }

    #[test]
    fn a_book_from_a_copy_knows_members_by_their_keys() {
        let (mut book, life) = (Book::default(), Duration::from_secs(PACE * 10));
        book.add(record("1", "n1", 50, "ca"), None);
        book.add(record("2", "n2", 50, "ca"), None);
        let later = shown("n1", "later", "key-n1");
        assert_eq!(book.bars(later, "ca", life, 5), None);
        assert!(book.bars(shown("n1", "later", "key-n2"), "ca", life, 5).is_some(), "another's key");
        book.adopt(later, 90);
        book.adopt(later, 90);
        book.adopt(shown("n2", "2", "key-n2"), 90);
        assert_eq!(book.issued.len(), 3);
        assert_eq!(book.revoke("agent", "n1"), 2, "with the one that it did not know");
        assert!(book.bars(later, "ca", life, 5).is_some());
        // By its number, whatever the book knows.
        assert_eq!(book.revoke_one("strange", 70), Struck::Unknown);
        assert_eq!(book.revoke_one("strange", 80), Struck::Before);
        assert_eq!(book.revoked["strange"].expires, 70);
        // What was revoked after the copy is on the list, and on the book of the copy.
        book.add(record("strange", "n3", 50, "ca"), None);
        book.reconcile();
        assert!(!book.is_taken("agent", "n3") && book.is_taken("agent", "n2"));
    }
}
