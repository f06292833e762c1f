//! `swarmd config`: the effective configuration as a file, with the origin of each value behind it.
//!
//! With `--secrets` what it prints can be fed back with `--config` and gives the same configuration; a test holds that.
//! Without, tokens and passwords are hidden: people paste this into reports.

use super::Outcome;
use crate::config::keys::{KEYS, Key};
use crate::config::load::{Loaded, Sources};
use crate::config::local::HIDDEN;
use crate::config::problem::{Origin, into_error};

/// Loads and prints, or says everything that is wrong.
pub fn config(sources: &Sources, secrets: bool) -> Outcome {
    match sources.load() {
        Ok(loaded) => Outcome::text(render(&loaded, secrets)),
        Err(problems) => Outcome::of_error(&into_error(&problems)),
    }
}

/// The text for a loaded configuration.
pub fn render(loaded: &Loaded, secrets: bool) -> String {
    let config = if secrets { loaded.config.clone() } else { loaded.config.without_secrets() };
    let mut text = String::new();
    for path in &loaded.files {
        text += &format!("# read {}\n", path.display());
    }
    for warning in &loaded.warnings {
        text += &format!("# warning: {warning}\n");
    }
    if config != loaded.config {
        text += &format!("# {HIDDEN} stands for tokens and passwords; --secrets shows them\n");
    }
    for table in tables() {
        if !table.is_empty() {
            text += &format!("\n[{table}]\n");
        }
        for key in KEYS {
            let (of, name) = place(key);
            if of == table {
                let origin = loaded.origins.get(key.path);
                text += &line(name, (key.show)(&config), origin);
            }
        }
    }
    text
}

/// A key's table, and its name in there.
fn place(key: &Key) -> (&'static str, &'static str) {
    key.path.rsplit_once('.').unwrap_or(("", key.path))
}

/// All tables. Keys without one must come first in a file.
fn tables() -> Vec<&'static str> {
    let mut tables = vec![""];
    for (table, _) in KEYS.iter().map(place) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    tables
}

fn line(name: &str, value: Option<String>, origin: &Origin) -> String {
    match value {
        Some(value) => format!("{name} = {value}  # {origin}\n"),
        None => format!("# {name} is not set\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::Purpose;
    use crate::config::overlay::Setting;

    #[test]
    fn the_output_is_a_file_that_gives_the_same_configuration() {
        let home = tempfile::tempdir().unwrap();
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        for text in [
            "discovery.url=etcd://h:1/\"quoted\"",
            "discovery.options={\"kv.path\" = \"x\\\\y\", \"kv.token\" = \"s3cret\"}",
            "advertise.interfaces=[\"eth0\"]",
            "advertise.address=h:3",
            "agent.advertise=h:2",
            "manager.host=[\"fd://api\", \"unix:///run/s\"]",
            "manager.overcommit=2",
            "discovery.heartbeat=1500ms",
            "tls.tlscacert=/ca",
            "tls.tlsverify=true",
            "tls.tlscert=/c",
            "tls.tlskey=/k",
        ] {
            sources.flags.push(Setting::from_assignment(text).unwrap());
        }
        let first = sources.load().unwrap();
        assert!(!render(&first, false).contains("s3cret"));
        let shown = render(&first, true);
        for key in KEYS {
            assert!(shown.contains(&format!("{} ", place(key).1)), "{}", key.path);
        }
        assert!(shown.contains("overcommit = 2.0  # flag --set manager.overcommit\n"), "{shown}");
        assert!(shown.contains("strategy = \"spread\"  # default\n"), "{shown}");
        let path = home.path().join("config.toml");
        std::fs::write(&path, &shown).unwrap();
        let mut again = Sources::new(Purpose::Run, "swarmd");
        again.file = Some((path, true));
        assert_eq!(again.load().unwrap().config, first.config);
    }
}
