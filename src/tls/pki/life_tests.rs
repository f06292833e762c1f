//! How long certificates live: never longer than their CA. And what becomes of them when that comes from a copy.

use std::time::Duration;

use super::authority::Authority;
use super::authority_tests::{LIFE, Member, boss};
use super::book::Struck;
use super::pin::Joins;
use super::{Files, revoked};
use crate::clock;
use crate::error::Kind;
use crate::tls::identity::Role;

#[test]
fn nothing_outlives_the_ca() {
    let boss = boss();
    let (now, a_day) = (clock::unix_seconds(), Duration::from_secs(24 * 3600));
    let user = Member::new();
    let issue = |life| boss.authority.issue_user(&user.request, "alice", Role::Reader, life, now);
    for life in [Duration::ZERO, a_day * 3651, Duration::from_secs(u64::MAX)] {
        let error = issue(life).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{life:?}: {error}");
        assert!(error.to_string().contains("--ttl 36"), "{error}");
    }
    assert!(issue(a_day * 3649).unwrap().expires <= now + 3650 * 24 * 3600);
    // What members get is cut: their life is nobody's wish.
    let open = |life, at| Authority::open(boss.authority.files(), life, at).unwrap();
    let agent = Member::new();
    let join = |authority: &Authority, now| {
        let token = authority.new_token(Joins::Agent, None, None, now).unwrap();
        authority.join(&token.id, &token.secret, Joins::Agent, &agent.applicant(), now)
    };
    let issued = join(&open(Duration::from_secs(u64::MAX), now), now).unwrap();
    assert!((now..=now + 3650 * 24 * 3600).contains(&issued.expires));
    let late = now + 3651 * 24 * 3600;
    assert!(join(&open(LIFE, late), late).unwrap_err().message.contains("CA of the cluster has expired"));
}

#[test]
fn a_ca_from_a_copy_knows_its_members_and_what_was_revoked_since() {
    let boss = boss();
    let (kept, out, late) = (Member::new(), Member::new(), Member::new());
    let now = clock::unix_seconds();
    let join = |member: &Member, at: &str| boss.joins(member, Joins::Agent, &member.at(at)).unwrap();
    let (kept_first, gone) = (join(&kept, "10.0.0.2"), join(&out, "10.0.0.3"));
    let files = boss.authority.files();
    let copy = std::fs::read(files.issued()).unwrap();
    // Since the copy: one has renewed, one was revoked, one has joined.
    let next = boss.authority.renew(&kept_first.identity, &kept.at("10.0.0.2"), now).unwrap();
    boss.authority.revoke("agent", &gone.identity.name).unwrap();
    let unknown = join(&late, "10.0.0.4");
    // The other manager has the list of what was revoked, the copy has the rest.
    let home = tempfile::tempdir().unwrap();
    let other = Files::below(home.path());
    for (from, to) in [(files.ca_key(), other.ca_key()), (files.bundle(), other.bundle())] {
        std::fs::copy(from, to).unwrap();
    }
    std::fs::write(other.issued(), copy).unwrap();
    revoked::write(&other, &revoked::Listed { revoked: boss.authority.revoked() }).unwrap();
    let again = Authority::open(&other, LIFE, now).unwrap();
    assert_eq!(again.revoked(), boss.authority.revoked());
    assert!(again.renew(&gone.identity, &out.at("10.0.0.3"), now).is_err(), "it stays revoked");
    assert!(again.issued().iter().all(|record| record.name != gone.identity.name), "its address is free");
    let renewed = again.renew(&next.identity, &kept.at("10.0.0.2"), now).unwrap();
    assert_eq!(renewed.identity.name, next.identity.name);
    // Of whom it has never heard it can still be told.
    assert!(again.renew(&unknown.identity, &late.at("10.0.0.4"), now).is_err());
    assert_eq!(again.revoke_one(&unknown.identity.serial).unwrap(), Struck::Unknown);
    assert_eq!(again.revoke_one(&unknown.identity.serial).unwrap(), Struck::Before);
    assert!(again.revoked()[&unknown.identity.serial].expires > unknown.expires);
    assert_eq!(again.revoke("agent", &next.identity.name).unwrap(), 3);
    assert!(again.revoked().contains_key(&next.identity.serial), "though the copy did not have it");
}
