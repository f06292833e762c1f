//! What one member has, another does not get.

use super::authority::Applicant;
use super::authority_tests::{Member, boss};
use super::pin::Joins;
use crate::clock;
use crate::error::Kind;

#[test]
fn an_address_is_one_agents_until_that_is_revoked_or_expires() {
    let boss = boss();
    let (victim, thief) = (Member::new(), Member::new());
    let held = boss.joins(&victim, Joins::Agent, &victim.at("10.0.0.2")).unwrap();
    let own = boss.joins(&thief, Joins::Agent, &thief.at("10.0.0.3")).unwrap();
    assert_eq!(own.hosts, ["10.0.0.3"], "the host name is the first one's");
    let now = clock::unix_seconds();
    // Neither as a new member nor as one that there is.
    let error = boss.joins(&Member::new(), Joins::Agent, &Member::new().at("10.0.0.2")).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert!(
        error.to_string().contains(&format!("swarmd pki revoke agent {}", held.identity.name)),
        "{error}"
    );
    let error = boss.authority.renew(&own.identity, &thief.at("::ffff:10.0.0.2"), now).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    // Whoever has no token is told of that alone.
    let error = boss.authority.join("x", "y", Joins::Agent, &thief.at("10.0.0.2"), now).unwrap_err();
    assert_eq!(error.kind, Kind::Permission);
    // Its owner renews, and a manager comes there all the same.
    boss.authority.renew(&held.identity, &victim.at("10.0.0.2"), now).unwrap();
    let manager = Member::new();
    boss.joins(&manager, Joins::Manager, &manager.at("10.0.0.4")).unwrap();
    boss.authority.revoke("agent", &held.identity.name).unwrap();
    let next = Member::new();
    boss.joins(&next, Joins::Agent, &next.at("10.0.0.2")).unwrap();
    // What has expired holds nothing.
    let later = now + 2 * 3600;
    boss.authority.renew(&own.identity, &thief.at("10.0.0.2"), later).unwrap();
}

#[test]
fn a_token_is_not_spent_on_what_is_refused() {
    let boss = boss();
    let (one, two) = (Member::new(), Member::new());
    boss.joins(&one, Joins::Agent, &one.at("10.0.0.2")).unwrap();
    let now = clock::unix_seconds();
    let token = boss.authority.new_token(Joins::Agent, None, Some(1), now).unwrap();
    let join = |at: &str| boss.authority.join(&token.id, &token.secret, Joins::Agent, &two.at(at), now);
    assert_eq!(join("10.0.0.2").unwrap_err().kind, Kind::Conflict);
    join("10.0.0.5").unwrap();
}

#[test]
fn machines_whose_addresses_were_swapped_do_not_wait_for_each_other() {
    let boss = boss();
    let (one, two) = (Member::new(), Member::new());
    let first = boss.joins(&one, Joins::Agent, &one.at("10.0.0.2")).unwrap();
    let second = boss.joins(&two, Joins::Agent, &two.at("10.0.0.3")).unwrap();
    let now = clock::unix_seconds();
    assert!(boss.authority.renew(&first.identity, &one.at("10.0.0.3"), now).is_err());
    let moved = boss.authority.renew(&second.identity, &two.at("10.0.0.2"), now).unwrap();
    assert_eq!(moved.hosts[0], "10.0.0.2");
    let moved = boss.authority.renew(&first.identity, &one.at("10.0.0.3"), now).unwrap();
    assert_eq!(moved.hosts[0], "10.0.0.3");
    // Where it is now, and no more where it was.
    let third = Member::new();
    assert!(boss.joins(&third, Joins::Agent, &third.at("10.0.0.3")).is_err());
}

#[test]
fn a_machine_that_joins_again_is_the_one_that_it_was() {
    let boss = boss();
    let (before, after, other) = (Member::new(), Member::new(), Member::new());
    let first = boss.joins(&before, Joins::Agent, &before.at("10.0.0.2")).unwrap();
    let yielding = before.yields_to(&after);
    let again = Applicant { former: Some(&yielding), ..after.at("10.0.0.2") };
    let next = boss.joins(&after, Joins::Agent, &again).unwrap();
    let next_name = next.identity.name.clone();
    assert_eq!((next.identity.name, next.hosts), (first.identity.name, first.hosts));
    // By the key that it had, not by another's.
    let forged = Applicant { former: Some("nonsense"), ..other.at("10.0.0.2") };
    assert_eq!(boss.joins(&other, Joins::Agent, &forged).unwrap_err().kind, Kind::Conflict);
    let strange = Member::new().yields_to(&other);
    let strange = Applicant { former: Some(&strange), ..other.at("10.0.0.2") };
    assert_eq!(boss.joins(&other, Joins::Agent, &strange).unwrap_err().kind, Kind::Conflict);
    // Nor by what it has asked for before: others may have seen that.
    for old in [&before.request, &after.request, &yielding] {
        let replayed = Applicant { former: Some(old), ..other.at("10.0.0.2") };
        assert_eq!(boss.joins(&other, Joins::Agent, &replayed).unwrap_err().kind, Kind::Conflict);
    }
    let from_elsewhere = Applicant { former: Some(&before.request), ..other.at("10.0.0.9") };
    let stranger = boss.joins(&other, Joins::Agent, &from_elsewhere).unwrap();
    assert_ne!(stranger.identity.name, next_name, "it is somebody else");
}

#[test]
fn a_machine_that_has_not_heard_the_answer_asks_again() {
    let boss = boss();
    let (agent, manager) = (Member::new(), Member::new());
    let first = boss.joins(&agent, Joins::Agent, &agent.at("10.0.0.2")).unwrap();
    let itself = agent.yields_to(&agent);
    let again = Applicant { former: Some(&itself), ..agent.at("10.0.0.2") };
    let next = boss.joins(&agent, Joins::Agent, &again).unwrap();
    assert_eq!((&next.identity.name, &next.hosts), (&first.identity.name, &first.hosts));
    // It had joined before that, with another key.
    let newer = Member::new();
    let yielding = agent.yields_to(&newer);
    let again = Applicant { former: Some(&yielding), ..newer.at("10.0.0.2") };
    for _ in 0..2 {
        let next = boss.joins(&newer, Joins::Agent, &again).unwrap();
        assert_eq!(next.identity.name, first.identity.name);
    }
    let first = boss.joins(&manager, Joins::Manager, &manager.applicant()).unwrap();
    let itself = manager.yields_to(&manager);
    let again = Applicant { former: Some(&itself), ..manager.applicant() };
    assert_eq!(boss.joins(&manager, Joins::Manager, &again).unwrap().identity.name, first.identity.name);
    // Not by the request alone, which others may have seen, not as something else, not by the key of another.
    let replayed = Applicant { former: Some(&agent.request), ..agent.at("10.0.0.2") };
    assert_eq!(boss.joins(&agent, Joins::Agent, &replayed).unwrap_err().kind, Kind::Conflict);
    assert_eq!(boss.joins(&manager, Joins::Agent, &again).unwrap_err().kind, Kind::Conflict);
    let other = Member::new();
    boss.joins(&other, Joins::Agent, &other.at("10.0.0.3")).unwrap();
    let yielding = other.yields_to(&agent);
    let mixed = Applicant { former: Some(&yielding), ..agent.at("10.0.0.2") };
    assert_eq!(boss.joins(&agent, Joins::Agent, &mixed).unwrap_err().kind, Kind::Conflict);
}

#[test]
fn an_address_that_several_share_is_nobodys() {
    let boss = boss();
    boss.authority.share(&["203.0.113.7".into(), "nonsense".into()]);
    let (one, two, three) = (Member::new(), Member::new(), Member::new());
    boss.joins(&one, Joins::Agent, &one.at("203.0.113.7")).unwrap();
    let other = boss.joins(&two, Joins::Agent, &two.at("::ffff:203.0.113.7")).unwrap();
    assert_eq!(other.hosts, ["203.0.113.7"]);
    boss.authority.renew(&other.identity, &two.at("203.0.113.7"), clock::unix_seconds()).unwrap();
    boss.joins(&three, Joins::Agent, &three.at("203.0.113.8")).unwrap();
    assert!(boss.joins(&two, Joins::Agent, &Member::new().at("203.0.113.8")).is_err());
}
