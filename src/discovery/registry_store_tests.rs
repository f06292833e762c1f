//! Tests of what the hosted registry knows, with time as an argument.

use super::*;

fn store() -> Store {
    let mut store = Store::default();
    store.add_token("T").unwrap();
    store
}

#[test]
fn known_tokens_are_empty_and_unknown_ones_are_errors() {
    let mut store = store();
    assert_eq!(store.list("T", 0).unwrap(), Vec::<String>::new());
    assert_eq!(store.list("t", 0).unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.register("t", "a:1", 9, 0).unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.withdraw("t", "a:1").unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.clear("t").unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.remove_token("t").unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.add_token("T").unwrap(), Change::Nothing);
}

#[test]
fn hashes_as_published() {
    // FIPS 180-2, example B.1.
    assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn keeps_the_order_of_the_first_registration() {
    let mut store = store();
    for (address, now) in [("b:1", 0), ("a:1", 1), ("b:1", 2), ("c:1", 3)] {
        store.register("T", address, 100, now).unwrap();
    }
    assert_eq!(store.list("T", 4).unwrap(), ["b:1", "a:1", "c:1"]);
    // An entry that was gone comes back at the end.
    store.register("T", "b:1", 300, 50).unwrap();
    assert_eq!(store.list("T", 200).unwrap(), ["b:1"]);
    store.register("T", "a:1", 300, 200).unwrap();
    assert_eq!(store.list("T", 200).unwrap(), ["b:1", "a:1"]);
}

#[test]
fn entries_die_ttl_after_the_last_registration() {
    for (ttl, alive_at, dead_at) in
        [(10, 9, 10), (0, 179, 180), (-5, 0, 1), (i64::MAX, LONGEST_TTL - 1, LONGEST_TTL)]
    {
        let mut store = store();
        store.register("T", "a:1", ttl, 0).unwrap();
        assert_eq!(store.list("T", alive_at).unwrap(), ["a:1"], "{ttl}");
        assert_eq!(store.list("T", dead_at).unwrap(), Vec::<String>::new(), "{ttl}");
    }
}

#[test]
fn says_what_must_be_saved() {
    let mut store = store();
    let mut at = |now, address| {
        let change = store.register("T", address, 180, now).unwrap();
        if change != Change::Nothing {
            store.mark_saved();
        }
        change
    };
    assert_eq!(at(0, "a:1"), Change::Members);
    assert_eq!(at(60, "a:1"), Change::Nothing);
    assert_eq!(at(120, "a:1"), Change::Expiry);
    assert_eq!(at(180, "a:1"), Change::Nothing);
    assert_eq!(at(200, "b:1"), Change::Members);
    // That save covered all entries.
    assert_eq!(at(240, "a:1"), Change::Nothing);
    // b expired at 380, which a's renewal notices.
    assert_eq!(at(400, "a:1"), Change::Members);
}

#[test]
fn withdraw_and_clear() {
    let mut store = store();
    store.register("T", "a:1", 0, 0).unwrap();
    store.register("T", "b:1", 0, 0).unwrap();
    assert_eq!(store.withdraw("T", "a:1").unwrap(), Change::Members);
    assert_eq!(store.withdraw("T", "a:1").unwrap(), Change::Nothing);
    assert_eq!(store.list("T", 1).unwrap(), ["b:1"]);
    store.clear("T").unwrap();
    assert_eq!(store.list("T", 1).unwrap(), Vec::<String>::new());
    store.remove_token("T").unwrap();
    assert!(!store.knows("T"));
}

#[test]
fn bounds() {
    let mut store = store();
    for n in 1..MOST_TOKENS {
        store.add_token(&n.to_string()).unwrap();
    }
    assert_eq!(store.add_token("more").unwrap_err().kind, Kind::Unavailable);
    store.add_token("T").unwrap();
    let members =
        (0..MOST_ENTRIES).map(|n| Member { address: format!("h{n}:1"), ttl: 9, expires: 9, saved: 9 });
    store.restore(hash("T"), members.collect());
    assert_eq!(store.register("T", "x:1", 9, 0).unwrap_err().kind, Kind::Unavailable);
    store.register("T", "h7:1", 9, 0).unwrap();
    // Room is made by those whose time is over.
    assert_eq!(store.register("T", "x:1", 9, 100).unwrap(), Change::Members);
}
