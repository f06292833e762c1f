//! The configuration, and the files that it names, certificates among them. Contacts nobody.

use std::path::Path;

use super::finding::{Finding, Verdict};
use crate::clock;
use crate::config::load::Loaded;
use crate::config::names::Named;
use crate::config::{Config, Listen, Tls};
use crate::error::Error;
use crate::tls::inspect::inspect;
use crate::tls::lint::{Flaw, Weight};
use crate::tls::pki::Files;
use crate::tls::pki::members::Own;
use crate::tls::pki::own;

/// All findings.
pub fn look(loaded: &Loaded) -> Vec<Finding> {
    let mut found = configuration(loaded);
    let files = files(loaded);
    let readable = files.iter().all(|finding| finding.verdict != Verdict::Fail);
    found.extend(files);
    // A file that cannot be read is said once.
    if readable {
        found.extend(certificates(loaded));
    }
    if loaded.config.has_pki() {
        found.push(pki(&loaded.config));
    }
    found.extend(sockets(loaded));
    found
}

fn configuration(loaded: &Loaded) -> Vec<Finding> {
    let read: Vec<String> = loaded.files.iter().map(|path| path.display().to_string()).collect();
    let read = match read.is_empty() {
        true => "no configuration file; built-in defaults".to_string(),
        false => format!("{}: every key is known and right", read.join(", ")),
    };
    // A token is a key to the cluster, and this is what people paste when they ask for help.
    let shown = loaded.config.without_secrets();
    let url = shown.discovery.url.as_deref().unwrap_or_default();
    let role = loaded.config.role.word();
    let mut found =
        vec![Finding::pass("config", read), Finding::pass("config", format!("role {role}, discovery {url}"))];
    let warn = |text: &String| Finding::warn("config", text.clone(), "");
    found.extend(loaded.warnings.iter().map(warn));
    found
}

/// The cluster's own certificates.
fn pki(config: &Config) -> Finding {
    let fail = |error: Error| Finding::fail("tls", error.message, error.advice.unwrap_or_default());
    match Own::read(&Files::below(&config.pki_dir())) {
        Ok(Some(own)) => {
            let end = clock::rfc3339(own.expires);
            Finding::pass("tls", format!("pki: the certificate of {} is good until {end}", own.identity))
        }
        Ok(None) if config.role.manages() && config.pki.managers.is_empty() => {
            Finding::pass("tls", "pki: the CA and a certificate are made at the first start")
        }
        Ok(None) => fail(own::not_joined(config)),
        Err(error) => fail(error),
    }
}

/// Files that must be readable at start.
fn files(loaded: &Loaded) -> Vec<Finding> {
    // The cluster's own certificates are another matter.
    let none = Tls::default();
    let tls = if loaded.config.has_pki() { &none } else { &loaded.config.tls };
    let named = [
        ("tls.tlscacert", &tls.tlscacert),
        ("tls.tlscert", &tls.tlscert),
        ("tls.tlskey", &tls.tlskey),
        ("tls.client.cert", &tls.client.cert),
        ("tls.client.key", &tls.client.key),
    ];
    let mut found: Vec<Finding> =
        named.into_iter().filter_map(|(key, path)| path.as_deref().map(|path| readable(key, path))).collect();
    for key in ["kv.cacertfile", "kv.certfile", "kv.keyfile"] {
        if let Some(path) = loaded.config.discovery.options.get(key) {
            found.push(readable(key, Path::new(path)));
        }
    }
    let listed = loaded.config.discovery.url.as_deref();
    if let Some(path) = listed.and_then(|url| url.strip_prefix("file://")) {
        let mut finding = readable("discovery.url", Path::new(path));
        if finding.verdict == Verdict::Fail {
            finding.verdict = Verdict::Warn; // picked up when it appears
        }
        found.push(finding);
    }
    found
}

/// What is in the files of `[tls]` and of the store's TLS.
fn certificates(loaded: &Loaded) -> Vec<Finding> {
    let found = match inspect(&loaded.config, clock::unix_seconds()) {
        Ok(found) => found,
        Err(error) => return vec![Finding::fail("tls", error.message, error.advice.unwrap_or_default())],
    };
    if found.is_empty() && loaded.config.tls.enabled() && !loaded.config.has_pki() {
        return vec![Finding::pass("tls", "certificates: valid, and fit for what they are used for")];
    }
    let finding = |flaw: Flaw| match flaw.weight {
        Weight::Fatal => Finding::fail("tls", flaw.what, flaw.cure),
        Weight::Warning => Finding::warn("tls", flaw.what, flaw.cure),
    };
    found.into_iter().map(finding).collect()
}

fn readable(key: &str, path: &Path) -> Finding {
    let about = if key.starts_with("discovery") { "config" } else { "tls" };
    let shown = path.display();
    match std::fs::File::open(path) {
        Ok(_) => Finding::pass(about, format!("{key}: {shown} can be read")),
        Err(error) => Finding::fail(
            about,
            format!("{key}: {shown} cannot be read: {error}"),
            "correct the path, or let the group `swarmd` read it: `chgrp swarmd FILE; chmod 640 FILE`",
        ),
    }
}

/// The directories of the unix sockets that we make.
fn sockets(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut found = Vec::new();
    for listen in config.manager.host.iter().filter(|_| config.role.manages()) {
        if let Listen::Unix(path) = listen
            && let Some(dir) = path.parent().filter(|dir| !dir.is_dir())
        {
            let text = format!("manager.host: the directory of {} does not exist", path.display());
            let cure = format!("`install -d -o swarmd {}`, or another path", dir.display());
            found.push(Finding::fail("config", text, cure));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Checkup, check};
    use crate::cli::Outcome;
    use crate::config::check::Purpose;
    use crate::config::load::Sources;

    async fn outcome(text: &str) -> Outcome {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        sources.file = Some((path, true));
        let checkup = Checkup { sources, offline: true, json: false };
        let mut outcome = check(&checkup, &mut |_| {}).await;
        outcome.stdout = outcome.stdout.replace(&format!("{}/", home.path().display()), "");
        outcome
    }

    #[tokio::test]
    async fn passes_warns_and_fails() {
        let good = outcome("[discovery]\nurl = \"nodes://unix:///nowhere/docker.sock\"\n").await;
        assert_eq!(
            (good.code, good.stdout.as_str()),
            (
                0,
                "PASS  config: config.toml: every key is known and right\n\
                 PASS  config: role both, discovery nodes://unix:///nowhere/docker.sock\n"
            )
        );
        let bad = outcome("[manager]\nstrategy = \"spraed\"\nhots = 1\n").await;
        assert_eq!(
            (bad.code, bad.stdout.as_str()),
            (
                78,
                "FAIL  config: config.toml:2: manager.strategy: strategy not supported (\"spraed\" is unknown; did you \
                 mean \"spread\"?)\n\
                 FAIL  config: config.toml:3: unknown key manager.hots (did you mean manager.host?)\n"
            )
        );
        let files = outcome(
            "[tls]\ntlsverify = true\ntlscacert = \"/nowhere/ca\"\ntlscert = \"/dev/null\"\ntlskey = \"/dev/null\"",
        ).await;
        assert_eq!(files.code, 78);
        assert!(files.stdout.contains("FAIL  tls: tls.tlscacert: /nowhere/ca cannot be read"));
        assert!(files.stdout.contains("PASS  tls: tls.tlskey: /dev/null can be read"));
        let empty = outcome("[tls]\ntls = true\ntlscert = \"/dev/null\"\ntlskey = \"/dev/null\"").await;
        assert!(
            empty.stdout.contains("FAIL  tls: cannot use /dev/null: no certificate in it"),
            "{}",
            empty.stdout
        );
    }

    #[tokio::test]
    async fn certificates_are_looked_into() {
        let made = crate::tls::workshop::Workshop::new();
        made.leaf("v1", "ca", &[]);
        made.leaf("named", "ca", &["extendedKeyUsage=serverAuth,clientAuth"]);
        let look = async |pair: &str| {
            let tls = made.verify("ca", pair);
            let line = |key: &str, path: Option<PathBuf>| format!("{key} = {:?}\n", path.unwrap_or_default());
            let files = line("tlscacert", tls.tlscacert)
                + &line("tlscert", tls.tlscert)
                + &line("tlskey", tls.tlskey);
            let outcome = outcome(&format!("[tls]\ntlsverify = true\n{files}")).await;
            (outcome.code, made.short(&outcome.stdout))
        };
        let (code, good) = look("node").await;
        assert_eq!(code, 0);
        assert!(good.contains("PASS  tls: certificates: valid"), "{good}");
        let (code, named) = look("named").await;
        assert_eq!(code, 0);
        assert!(named.contains("WARN  tls: named.pem: names no host in subjectAltName"), "{named}");
        let (code, v1) = look("v1").await;
        assert_eq!(code, 78);
        assert!(
            v1.contains(
                "FAIL  tls: v1.pem: is an X.509 v1 certificate, which cannot be used\n      reissue it"
            ),
            "{v1}"
        );
    }
}
