//! Tests of the files under `etc/`: what the package installs, and the reference of all keys.

use super::check::Purpose;
use super::file::Files;
use super::keys::KEYS;
use super::load::Sources;
use super::overlay::apply;
use super::pki::OWN_LIST;
use super::problem::Style;
use super::{Config, Role};
use std::path::Path;

const REFERENCE: &str = include_str!("../../etc/config.reference.toml");
const INSTALLED: &str = include_str!("../../etc/config.toml");

fn read(text: &str) -> (Files, Config) {
    let mut files = Files::default();
    files.add_text(Path::new("etc"), text);
    let (config, _, refused) = apply(&files.settings, Style::Native);
    assert_eq!(files.problems, []);
    assert_eq!(refused, []);
    (files, config)
}

#[test]
fn the_reference_is_the_defaults_and_names_every_key() {
    let (files, config) = read(REFERENCE);
    assert_eq!(config, Config::default());
    for key in KEYS {
        let has_default = (key.show)(&Config::default()).is_some();
        let set = files.settings.iter().any(|setting| setting.key.path == key.path);
        assert_eq!(set, has_default, "{}", key.path);
    }
    // The examples of keys without default are right too, each in its table.
    let (files, _) = read(&uncommented(REFERENCE));
    assert_eq!(files.settings.len(), KEYS.len());
}

#[test]
fn the_reference_marks_what_a_reload_applies() {
    let mut marked = false;
    let mut table = "";
    for line in REFERENCE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        }
        let assignment = line.strip_prefix('#').unwrap_or(line).split_once(" = ");
        match assignment {
            Some((name, _)) if !name.contains(' ') => {
                let path = match table {
                    "" => name.to_string(),
                    _ => format!("{table}.{name}"),
                };
                let key = super::keys::find(&path).unwrap();
                assert_eq!(key.live, marked, "{path}");
            }
            _ if line.is_empty() => marked = false,
            _ => marked |= line.contains("[reload]") && !line.contains("marks"),
        }
    }
}

#[test]
fn the_installed_file_works_on_one_machine_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    std::fs::write(&path, INSTALLED).unwrap();
    let mut sources = Sources::new(Purpose::Run, "swarmd");
    sources.file = Some((path, true));
    let loaded = sources.load().unwrap();
    let config = loaded.config;
    assert!(config.has_pki() && config.registers());
    assert_eq!(config.discovery.url.as_deref(), Some(OWN_LIST));
    assert_eq!(config.agent.advertise.as_deref(), Some("unix:///var/run/docker.sock"));
    assert_eq!(loaded.warnings, [""; 0]);
    // What it does not say is as it is without it.
    let mut plain = read(INSTALLED).1;
    (plain.pki.enabled, plain.manager.host) = (false, Config::default().manager.host);
    assert_eq!(plain, Config::default());
}

#[test]
fn the_two_lines_for_a_cluster_are_enough() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    let text = INSTALLED.replace("#url", "url").replace("#advertise", "advertise");
    std::fs::write(&path, text).unwrap();
    let mut sources = Sources::new(Purpose::Run, "swarmd");
    sources.file = Some((path, true));
    let config = sources.load().unwrap().config;
    assert_eq!(config.role, Role::Both);
    assert!(config.registers());
}

/// The text with its commented-out keys (`#key = ...`, no blank behind the `#`) switched on.
fn uncommented(text: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(on).collect()
}
