//! Every flaw once, on certificates as how-tos make them: its weight, the file it names, and the cure.

use crate::clock::unix_seconds;
use crate::config::{ClientPair, Config, Role, Tls};
use crate::tls::inspect::{guard, inspect};
use crate::tls::lint::Weight::{self, Fatal, Warning};
use crate::tls::workshop::{GOOD, Workshop};

const SAN: &str = "subjectAltName=IP:127.0.0.1";
const DAY: i64 = 24 * 3600;

fn found(workshop: &Workshop, role: Role, tls: &Tls, now: i64) -> Vec<(Weight, String, String)> {
    let config = Config { role, tls: tls.clone(), ..Config::default() };
    let flaws = inspect(&config, now).unwrap();
    flaws.into_iter().map(|flaw| (flaw.weight, workshop.short(&flaw.what), flaw.cure)).collect()
}

/// One flaw: its weight, how its text starts, and a word of the cure.
type Expected = (Weight, &'static str, &'static str);

fn check(workshop: &Workshop, role: Role, tls: &Tls, now: i64, expected: &[Expected]) {
    let found = found(workshop, role, tls, now);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((weight, what, cure), (heavy, start, word)) in found.iter().zip(expected) {
        assert!(
            weight == heavy && what.starts_with(start) && cure.contains(word),
            "{found:#?}\n{expected:?}"
        );
    }
}

fn bad_pairs() -> Workshop {
    let workshop = Workshop::new();
    let ec = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    workshop.leaf("v1", "ca", &[]);
    workshop.leaf("cn-only", "ca", &["extendedKeyUsage=serverAuth,clientAuth"]);
    workshop.leaf("server-only", "ca", &[SAN, "extendedKeyUsage=serverAuth"]);
    workshop.leaf("client-only", "ca", &[SAN, "extendedKeyUsage=clientAuth"]);
    workshop.leaf("no-usage", "ca", &[SAN]);
    workshop.leaf("foreign", "other", GOOD);
    workshop.leaf("ca-leaf", "ca", &[SAN, "basicConstraints=CA:TRUE"]);
    workshop.special("expired", "ca", GOOD, &ec, &["-days", "-1"]);
    workshop.special("weak", "ca", GOOD, &["rsa:1024"], &["-days", "30"]);
    workshop.special("sha1", "ca", GOOD, &ec, &["-days", "30", "-sha1"]);
    workshop.ca("weak-ca", &["rsa:1024"]);
    workshop.leaf("of-weak-ca", "weak-ca", GOOD);
    workshop
}

#[test]
fn every_flaw_names_the_file_and_the_cure() {
    let made = bad_pairs();
    let reissue = "openssl x509 -req";
    #[rustfmt::skip]
    let table: &[(&str, &[Expected])] = &[
        ("node", &[]),
        ("no-usage", &[]),
        ("v1", &[(Fatal, "v1.pem: is an X.509 v1 certificate", reissue)]),
        ("cn-only", &[(Warning, "cn-only.pem: names no host in subjectAltName", "subjectAltName=")]),
        ("server-only", &[(Warning, "server-only.pem: is not for clients (no clientAuth", "[tls.client]")]),
        ("client-only", &[(Fatal, "client-only.pem: is not for servers (no serverAuth", "serverAuth,clientAuth")]),
        ("expired", &[(Fatal, "expired.pem: expired on 20", reissue)]),
        ("weak", &[(Fatal, "weak.pem: has an RSA key of 1024 bits", "-newkey rsa:2048")]),
        ("sha1", &[(Warning, "sha1.pem: is signed with SHA-1", "-sha256")]),
        ("ca-leaf", &[(Warning, "ca-leaf.pem: is a CA certificate (CA:TRUE)", reissue)]),
        ("foreign", &[(Warning, "foreign.pem: is not signed by the CA in ca.pem", "give the CA that signed it")]),
    ];
    let now = unix_seconds();
    for (pair, expected) in table {
        check(&made, Role::Manager, &made.verify("ca", pair), now, expected);
    }
    let weak = [(Fatal, "weak-ca.pem: has an RSA key of 1024 bits", "make a new CA")];
    check(&made, Role::Manager, &made.verify("weak-ca", "of-weak-ca"), now, &weak);
    let leaf_as_ca = [
        (Warning, "foreign.pem: is not signed by the CA in node.pem", reissue),
        (Fatal, "node.pem: holds no CA certificate (CA:TRUE)", "ca.pem"),
    ];
    check(&made, Role::Manager, &made.verify("node", "foreign"), now, &leaf_as_ca);
    let crossed = Tls { tlskey: made.plain("foreign").tlskey, ..made.verify("ca", "node") };
    let key = [(Fatal, "node.pem: does not belong to the key foreign-key.pem", "openssl pkey -pubout")];
    check(&made, Role::Manager, &crossed, now, &key);
}

#[test]
fn only_what_no_peer_takes_is_fatal() {
    let made = bad_pairs();
    let now = unix_seconds();
    // Nobody verifies.
    check(&made, Role::Manager, &made.plain("expired"), now, &[(Warning, "expired.pem: expired", "reissue")]);
    check(&made, Role::Manager, &made.plain("client-only"), now, &[(Warning, "client-only.pem: is not", "")]);
    // An agent serves nothing.
    check(&made, Role::Agent, &made.verify("ca", "client-only"), now, &[]);
    check(&made, Role::Agent, &made.verify("ca", "cn-only"), now, &[]);
    // A clock that was not set yet, and the last days.
    let node = made.verify("ca", "node");
    check(
        &made,
        Role::Manager,
        &node,
        0,
        &[(Warning, "node.pem: is not valid before", "clock of this machine")],
    );
    check(&made, Role::Manager, &node, now + 20 * DAY, &[(Warning, "node.pem: expires on", "reissue")]);
}

#[test]
fn a_start_is_refused_with_the_cure() {
    let made = bad_pairs();
    let start = |tls: Tls| guard(&Config { role: Role::Manager, tls, ..Config::default() }, unix_seconds());
    start(made.verify("ca", "server-only")).unwrap();
    let refused = start(made.verify("ca", "v1")).unwrap_err();
    assert_eq!(refused.exit_code(), 78);
    assert!(
        refused.message.ends_with("v1.pem: is an X.509 v1 certificate, which cannot be used"),
        "{refused}"
    );
    assert!(refused.advice.is_some_and(|cure| cure.contains("openssl x509 -req")));
    made.openssl(&["pkey", "-in", "node-key.pem", "-aes128", "-passout", "pass:x", "-out", "locked-key.pem"]);
    let locked = Tls { tlskey: Some(made.path("locked-key.pem")), ..made.verify("ca", "node") };
    let refused = start(locked).unwrap_err().to_string();
    assert!(refused.contains("locked-key.pem") && refused.contains("Key encrypted?"), "{refused}");
}

#[test]
fn a_pair_for_clients_may_be_a_second_one() {
    let made = bad_pairs();
    let pair = |server: &str, client: &str| {
        let shown = made.plain(client);
        let client = ClientPair { cert: shown.tlscert, key: shown.tlskey };
        Tls { client, ..made.verify("ca", server) }
    };
    let now = unix_seconds();
    check(&made, Role::Manager, &pair("server-only", "client-only"), now, &[]);
    let swapped = [
        (Fatal, "client-only.pem: is not for servers", "serverAuth"),
        (Warning, "server-only.pem: is not for clients", "clientAuth"),
    ];
    check(&made, Role::Manager, &pair("client-only", "server-only"), now, &swapped);
    // Who serves nothing shows only the second.
    check(&made, Role::Agent, &pair("v1", "client-only"), now, &[]);
}

#[test]
fn keys_in_all_pem_forms() {
    let made = Workshop::new();
    made.special("rsa", "ca", GOOD, &["rsa:2048"], &["-days", "30"]);
    for (form, pair) in [("SEC1", "node"), ("PKCS#1", "rsa")] {
        let now = unix_seconds();
        check(&made, Role::Manager, &made.verify("ca", pair), now, &[]); // PKCS#8
        let (from, to) = (format!("{pair}-key.pem"), format!("{pair}-old-key.pem"));
        made.openssl(&["pkey", "-traditional", "-in", &from, "-out", &to]);
        let old = Tls { tlskey: Some(made.path(&to)), ..made.verify("ca", pair) };
        check(&made, Role::Manager, &old, now, &[]);
        assert!(crate::tls::server::acceptor(&old).is_ok(), "{form}");
    }
}
