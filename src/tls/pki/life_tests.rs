//! How long certificates live: never longer than their CA.

use std::time::Duration;

use super::authority::Authority;
use super::authority_tests::{LIFE, Member, boss};
use super::pin::Joins;
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
