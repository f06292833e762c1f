//! The architecture as a test: the flow of the modules, the purity of the core, the shape of the files.
//!
//! It reads the source as text, which is enough for `use` lines and paths; it is *not* a parser of Rust.

#![allow(clippy::unwrap_used, reason = "a test: clippy only sees that of functions marked so")]

use std::fs;
use std::path::{Path, PathBuf};

/// The order of flow. A module uses what stands in an earlier line, or itself.
const FLOW: &[&[&str]] = &[
    &["error", "clock"], // free for all
    &["config", "state_file"],
    &["systemd", "stream"],
    &["tls"],
    &["access"],
    &["docker"],
    &["enroll"],
    &["store"],
    &["discovery"],
    &["engine"],
    &["cluster"],
    &["scheduler"],
    &["election"],
    &["api"],
    &["rescheduler"],
    &["agent", "manager", "client"],
    &["daemon"],
    &["cli"],
    &["main", "lib"],
];

/// Files that decide and do nothing else. A trailing slash means all files below.
const PURE: &[&str] = &[
    "scheduler/",
    "cluster/view.rs",
    "cluster/directory.rs",
    "cluster/lookup.rs",
    "cluster/orders.rs",
    "cluster/moves.rs",
    "cluster/pending.rs",
    "cluster/recipe/",
    "cluster/standing.rs",
    "engine/machine.rs",
    "engine/containers.rs",
    "engine/inventory.rs",
    "engine/ledger.rs",
    "engine/orders.rs",
    "engine/resources.rs",
    "discovery/diff.rs",
    "discovery/outlook.rs",
    "discovery/roster.rs",
    "election/machine.rs",
    "rescheduler/book.rs",
    "rescheduler/plan.rs",
    "api/builders.rs",
    "tls/lint.rs",
    "tls/identity.rs",
    "tls/pki/book.rs",
    "tls/pki/pin.rs",
    "tls/pki/policy.rs",
    "tls/pki/tokens.rs",
    "enroll/limit.rs",
    "enroll/talk.rs",
    "access/",
];

/// Words that a pure file does not say: sockets, clocks, chance, files, environment.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "Instant",
    "SystemTime",
    "clock::unix_nanos",
    "clock::unix_seconds",
    "getrandom",
    "Rng::new",
    "std::net::TcpStream",
    "std::fs",
    "std::env",
];

const LONGEST_FILE: usize = 400;

struct Source {
    /// Below `src/`, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let top = self.path.split('/').next().unwrap_or_default();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    fn code(&self) -> String {
        code(&self.text)
    }

    /// Unit tests in a file of their own may use what they like, as those within a file.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(!files.is_empty(), "no source below {}", root.display());
    files
        .into_iter()
        .map(|file| Source {
            path: file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&file).unwrap(),
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments and without the unit tests, which stand last and may use what they like.
fn code(text: &str) -> String {
    let untested = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = untested.lines().map(|line| {
        // A `//` after a colon is part of a URL.
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        comment.map_or(line, |(at, _)| &line[..at])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The top-level modules named after `crate::`, also in `use crate::{a::X, b};`.
fn used_modules(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` counts, `mycrate::` does not.
        if is_word(code[..at].chars().next_back()) {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(heads(group)),
            None => used.push(word(rest)),
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

/// The first words of the items of a group whose opening brace is gone.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = vec![word(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| is_word(Some(*c))).collect()
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Whether `phrase` stands in `code` as whole words.
fn says(code: &str, phrase: &str) -> bool {
    code.match_indices(phrase).any(|(at, _)| {
        !is_word(code[..at].chars().next_back()) && !is_word(code[at + phrase.len()..].chars().next())
    })
}

/// `fastrand::u64(..)` draws from a global source, `fastrand::Rng` is one that was handed in.
fn draws_globally(code: &str) -> bool {
    code.match_indices("fastrand::").any(|(at, found)| !code[at + found.len()..].starts_with("Rng"))
}

fn place(module: &str) -> Option<usize> {
    FLOW.iter().position(|names| names.contains(&module))
}

/// What is wrong with `module` using these modules.
fn against_the_flow(module: &str, used: &[String]) -> Vec<String> {
    let Some(own) = place(module) else {
        return vec![format!(
            "module {module} has no place in the flow: give it one in tests/architecture.rs"
        )];
    };
    used.iter()
        .filter(|name| name.as_str() != module)
        // Names that are no modules are items of the crate's root.
        .filter(|name| place(name).is_some_and(|other| other >= own))
        .map(|name| format!("{module} uses {name}, which comes later"))
        .collect()
}

fn impurities(code: &str) -> Vec<&'static str> {
    let mut found: Vec<&str> = IMPURE.iter().copied().filter(|phrase| says(code, phrase)).collect();
    if draws_globally(code) {
        found.push("a function of fastrand");
    }
    found
}

fn is_pure_by_contract(path: &str) -> bool {
    PURE.iter().any(|pure| path == *pure || (pure.ends_with('/') && path.starts_with(pure)))
}

#[test]
fn modules_use_only_what_comes_before_them() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_test())
        .flat_map(|source| {
            let wrong = against_the_flow(source.module(), &used_modules(&source.code()));
            wrong.into_iter().map(move |what| format!("src/{}: {what}", source.path))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_is_pure() {
    let sources = sources();
    let core: Vec<&Source> =
        sources.iter().filter(|s| is_pure_by_contract(&s.path) && !s.is_test()).collect();
    assert!(!core.is_empty(), "the core is gone, or its list is out of date");
    let wrong: Vec<String> = core
        .iter()
        .flat_map(|source| {
            let found = impurities(&source.code());
            found.into_iter().map(move |what| format!("src/{} mentions {what}", source.path))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter_map(|source| {
            let lines = source.text.lines().count();
            if !source.text.starts_with("//!") {
                Some(format!("src/{} does not begin with //!", source.path))
            } else if lines > LONGEST_FILE {
                Some(format!("src/{} has {lines} lines, more than {LONGEST_FILE}", source.path))
            } else {
                None
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The checks above are only worth what they can see.
#[test]
fn the_checks_see_what_they_should() {
    let text = "use crate::{api::server, config::{Config, Level}, tls};\n\
                // crate::cli in a comment\n\
                let x = \"tcp://\"; crate::discovery::diff(); othercrate::election::x();\n\
                #[cfg(test)]\nmod tests { use crate::manager; }\n";
    let used = used_modules(&code(text));
    assert_eq!(used, ["api", "config", "tls", "discovery"]);
    assert_eq!(
        against_the_flow("docker", &used),
        ["docker uses api, which comes later", "docker uses discovery, which comes later"]
    );
    assert!(against_the_flow("cli", &used).is_empty());
    assert_eq!(against_the_flow("agent", &["manager".into()]).len(), 1);
    assert_eq!(against_the_flow("unheard_of", &[]).len(), 1);

    assert_eq!(impurities("use std::time::{Duration, Instant};"), ["Instant"]);
    assert_eq!(impurities("tokio::spawn(f)"), ["tokio"]);
    assert_eq!(impurities("fastrand::u64(..)"), ["a function of fastrand"]);
    assert!(impurities("fn pick(rng: &mut fastrand::Rng, hyperdrive: Instantly) {}").is_empty());

    assert!(is_pure_by_contract("scheduler/filter/health.rs"));
    assert!(!is_pure_by_contract("cluster/events.rs"));
}
