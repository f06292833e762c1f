//! `swarmd check`: what is right and wrong before the daemon is started.
//!
//! It looks at the configuration and at the files it names, certificates among them. It opens no port and talks to nobody.

use std::path::Path;

use super::Outcome;
use crate::clock;
use crate::config::Listen;
use crate::config::load::{Loaded, Sources};
use crate::config::names::Named;
use crate::tls::inspect::inspect;
use crate::tls::lint::Weight;

/// How one finding turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it turned out.
    pub verdict: Verdict,
    /// What was looked at, and what to do if it is not right.
    pub text: String,
}

impl Finding {
    fn new(verdict: Verdict, text: impl Into<String>) -> Finding {
        let text = text.into();
        Finding { verdict, text }
    }
}

/// Looks and prints. Exit code 78 when anything failed, else 0.
pub fn check(sources: &Sources) -> Outcome {
    let findings = findings(sources);
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    let word = |verdict| match verdict {
        Verdict::Pass => "PASS",
        Verdict::Warn => "WARN",
        Verdict::Fail => "FAIL",
    };
    let lines = findings.iter().map(|finding| format!("{}  {}\n", word(finding.verdict), finding.text));
    Outcome { stdout: lines.collect(), stderr: String::new(), code: if failed { 78 } else { 0 } }
}

/// All findings.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            let failed = problems.iter().map(|problem| Finding::new(Verdict::Fail, problem.to_string()));
            return failed.collect();
        }
    };
    let mut found = configuration(&loaded);
    let files = files(&loaded);
    let readable = files.iter().all(|finding| finding.verdict != Verdict::Fail);
    found.extend(files);
    // A file that cannot be read is said once.
    if readable {
        found.extend(certificates(&loaded));
    }
    found.extend(sockets(&loaded));
    found
}

fn configuration(loaded: &Loaded) -> Vec<Finding> {
    let read: Vec<String> = loaded.files.iter().map(|path| path.display().to_string()).collect();
    let read = match read.is_empty() {
        true => "no configuration file; built-in defaults".to_string(),
        false => format!("{}: every key is known and right", read.join(", ")),
    };
    let url = loaded.config.discovery.url.as_deref().unwrap_or_default();
    let role = loaded.config.role.word();
    let mut found = vec![
        Finding::new(Verdict::Pass, read),
        Finding::new(Verdict::Pass, format!("role {role}, discovery {url}")),
    ];
    let warn = |text: &String| Finding::new(Verdict::Warn, text.clone());
    found.extend(loaded.warnings.iter().map(warn));
    found
}

/// Files that must be readable at start.
fn files(loaded: &Loaded) -> Vec<Finding> {
    let tls = &loaded.config.tls;
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
        Err(error) => return vec![Finding::new(Verdict::Fail, error.to_string())],
    };
    if found.is_empty() && loaded.config.tls.enabled() {
        return vec![Finding::new(Verdict::Pass, "certificates: valid, and fit for what they are used for")];
    }
    let verdict = |weight| if weight == Weight::Fatal { Verdict::Fail } else { Verdict::Warn };
    found
        .iter()
        .map(|flaw| Finding::new(verdict(flaw.weight), format!("{}: {}", flaw.what, flaw.cure)))
        .collect()
}

fn readable(key: &str, path: &Path) -> Finding {
    let shown = path.display();
    match std::fs::File::open(path) {
        Ok(_) => Finding::new(Verdict::Pass, format!("{key}: {shown} can be read")),
        Err(error) => Finding::new(Verdict::Fail, format!("{key}: {shown} cannot be read: {error}")),
    }
}

/// Unix sockets of engines must be there, and the directories of those we make.
fn sockets(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut found = Vec::new();
    let url = config.discovery.url.as_deref().unwrap_or_default();
    let entries = url.strip_prefix("nodes://").unwrap_or_default().split(',');
    let behind = config.agent.front.is_some().then_some(config.agent.engine.as_str());
    for entry in entries.chain(config.agent.advertise.as_deref()).chain(behind) {
        if let Some(path) = entry.strip_prefix("unix://") {
            found.push(match Path::new(path).exists() {
                true => Finding::new(Verdict::Pass, format!("engine socket {path} is there")),
                false => Finding::new(
                    Verdict::Warn,
                    format!("engine socket {path} is not there (is Docker running?)"),
                ),
            });
        }
    }
    let serves = config.role.manages();
    for listen in config.manager.host.iter().filter(|_| serves) {
        if let Listen::Unix(path) = listen
            && !path.parent().is_some_and(Path::is_dir)
        {
            let text = format!("manager.host: the directory of {} does not exist", path.display());
            found.push(Finding::new(Verdict::Fail, text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::check::Purpose;

    fn outcome(text: &str) -> Outcome {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        sources.file = Some((path, true));
        let mut outcome = check(&sources);
        outcome.stdout = outcome.stdout.replace(&format!("{}/", home.path().display()), "");
        outcome
    }

    #[test]
    fn passes_warns_and_fails() {
        let good = outcome("[discovery]\nurl = \"nodes://unix:///nowhere/docker.sock\"\n");
        assert_eq!(
            (good.code, good.stdout.as_str()),
            (
                0,
                "PASS  config.toml: every key is known and right\n\
                 PASS  role both, discovery nodes://unix:///nowhere/docker.sock\n\
                 WARN  engine socket /nowhere/docker.sock is not there (is Docker running?)\n"
            )
        );
        let bad = outcome("[manager]\nstrategy = \"spraed\"\nhots = 1\n");
        assert_eq!(
            (bad.code, bad.stdout.as_str()),
            (
                78,
                "FAIL  config.toml:2: manager.strategy: strategy not supported (\"spraed\" is unknown; did you \
                 mean \"spread\"?)\n\
                 FAIL  config.toml:3: unknown key manager.hots (did you mean manager.host?)\n"
            )
        );
        let files = outcome(
            "[tls]\ntlsverify = true\ntlscacert = \"/nowhere/ca\"\ntlscert = \"/dev/null\"\ntlskey = \"/dev/null\"",
        );
        assert_eq!(files.code, 78);
        assert!(files.stdout.contains("FAIL  tls.tlscacert: /nowhere/ca cannot be read"));
        assert!(files.stdout.contains("PASS  tls.tlskey: /dev/null can be read"));
        let empty = outcome("[tls]\ntls = true\ntlscert = \"/dev/null\"\ntlskey = \"/dev/null\"");
        assert!(
            empty.stdout.contains("FAIL  cannot use /dev/null: no certificate in it"),
            "{}",
            empty.stdout
        );
    }

    #[test]
    fn certificates_are_looked_into() {
        let made = crate::tls::workshop::Workshop::new();
        made.leaf("v1", "ca", &[]);
        made.leaf("named", "ca", &["extendedKeyUsage=serverAuth,clientAuth"]);
        let look = |pair: &str| {
            let tls = made.verify("ca", pair);
            let line = |key: &str, path: Option<PathBuf>| format!("{key} = {:?}\n", path.unwrap_or_default());
            let files = line("tlscacert", tls.tlscacert)
                + &line("tlscert", tls.tlscert)
                + &line("tlskey", tls.tlskey);
            let outcome = outcome(&format!("[tls]\ntlsverify = true\n{files}"));
            (outcome.code, made.short(&outcome.stdout))
        };
        let (code, good) = look("node");
        assert_eq!(code, 0);
        assert!(good.contains("PASS  certificates: valid"), "{good}");
        let (code, named) = look("named");
        assert_eq!(code, 0);
        assert!(named.contains("WARN  named.pem: names no host in subjectAltName"), "{named}");
        let (code, v1) = look("v1");
        assert_eq!(code, 78);
        assert!(
            v1.contains("FAIL  v1.pem: is an X.509 v1 certificate, which cannot be used: reissue it"),
            "{v1}"
        );
    }
}
