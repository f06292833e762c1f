//! The configuration file and its drop-ins: TOML text in, settings with line numbers out.
//!
//! It walks the parsed document itself instead of deserialising into a struct, because that would stop at
//! the first mistake. Whether a value is right is decided by `keys`; which layer wins, by `overlay`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS};
use super::names::nearest;
use super::overlay::Setting;
use super::problem::{Origin, Problem};
use super::value::Value;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/swarmd/config.toml";

/// More than any honest configuration; a wrong path (a disk image, a log) is refused instead of read.
const MAX_BYTES: u64 = 1 << 20;

/// What the files say.
#[derive(Debug, Default)]
pub struct Files {
    /// The files that were read, in order.
    pub paths: Vec<PathBuf>,
    /// Their settings, later ones win.
    pub settings: Vec<Setting>,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
}

/// Reads `main` and the drop-ins `config.d/*.toml` beside it in lexical order.
///
/// A missing `main` is a problem only if it is `required`: the drop-ins are read all the same.
pub fn read(main: &Path, required: bool) -> Files {
    let mut files = Files::default();
    files.add(main, required);
    match drop_ins(main) {
        Ok(paths) => paths.iter().for_each(|path| files.add(path, true)),
        Err(problem) => files.problems.push(*problem),
    }
    files
}

fn drop_ins(main: &Path) -> Result<Vec<PathBuf>, Box<Problem>> {
    let folder = main.with_file_name("config.d");
    let failed = |error: std::io::Error| Box::new(unreadable(&folder, &error));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension().is_some_and(|ext| ext == "toml") && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let mut problem = Problem::in_file(path.to_path_buf(), 0, format!("cannot be read: {error}"));
    problem.advice = match error.kind() {
        ErrorKind::NotFound => Some("check the path given with --config".into()),
        ErrorKind::PermissionDenied => Some("run as root, or as the user swarmd".into()),
        _ => None,
    };
    problem
}

impl Files {
    fn add(&mut self, path: &Path, required: bool) {
        match load(path) {
            Ok(text) => {
                self.paths.push(path.to_path_buf());
                self.add_text(path, &text);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {}
            Err(error) => self.problems.push(unreadable(path, &error)),
        }
    }

    /// Takes the text of one file.
    pub fn add_text(&mut self, path: &Path, text: &str) {
        let (document, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            let problem = Problem::in_file(path.to_path_buf(), line_of(text, at), error.message());
            self.problems.push(problem);
        }
        // After a syntax error the recovered tree is a guess: unknown keys in it would mislead.
        if errors.is_empty() {
            let mut walk = Walk { path, text, files: self };
            walk.table("", document.get_ref());
        }
    }
}

fn load(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    match length > MAX_BYTES {
        true => Err(std::io::Error::other("larger than 1 MiB, this is no configuration")),
        false => std::fs::read_to_string(path),
    }
}

/// Line number, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    files: &'a mut Files,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        // The parser sorts by name; a person reads from the top.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let place = format!("{prefix}{}", key.get_ref());
            let line = line_of(self.text, key.span().start);
            self.entry(&place, line, value);
        }
    }

    fn entry(&mut self, place: &str, line: usize, value: &Spanned<DeValue<'_>>) {
        if let Some(key) = keys::find(place) {
            self.files.settings.push(Setting {
                key,
                value: convert(value.get_ref()),
                origin: Origin::File(self.path.to_path_buf(), line),
            });
            return;
        }
        let is_table = table_names().any(|name| name == place);
        match (is_table, value.get_ref()) {
            (true, DeValue::Table(table)) => self.table(&format!("{place}."), table),
            (true, _) => {
                let text = format!("{place} is a table: write [{place}]");
                self.refuse(place, line, text, None);
            }
            (false, _) => self.refuse(place, line, format!("unknown key {place}"), suggestion(place)),
        }
    }

    fn refuse(&mut self, place: &str, line: usize, text: String, advice: Option<String>) {
        let mut problem = Problem::in_file(self.path.to_path_buf(), line, text);
        problem.key = place.to_string();
        problem.advice = advice;
        self.files.problems.push(problem);
    }
}

/// The tables that hold keys: `log`, `discovery`, ...
fn table_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.path.rsplit_once('.')).map(|(table, _)| table)
}

/// The key that was meant: the same name in another table, else the nearest in this one, else anywhere.
fn suggestion(place: &str) -> Option<String> {
    let (table, name) = place.rsplit_once('.').unwrap_or(("", place));
    let split = |path: &'static str| path.rsplit_once('.').unwrap_or(("", path));
    let elsewhere = KEYS.iter().find(|key| split(key.path).1 == name.replace('_', "-")).map(|key| key.path);
    let siblings = KEYS.iter().map(|key| split(key.path));
    let here = nearest(
        name,
        siblings
            .filter(|(of, _)| *of == table)
            .map(|(_, name)| name)
            .chain(table_names().filter(|_| table.is_empty())),
    );
    let anywhere = || nearest(place, KEYS.iter().map(|key| key.path).chain(table_names()));
    let meant = match (elsewhere, here) {
        (Some(path), _) => Some(path.to_string()),
        (None, Some(name)) if table.is_empty() => Some(name.to_string()),
        (None, Some(name)) => Some(format!("{table}.{name}")),
        (None, None) => anywhere().map(str::to_string),
    };
    meant.map(|path| format!("did you mean {path}?"))
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("a malformed float"), Value::Float)
        }
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.iter().map(|item| convert(item.get_ref())).collect()),
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), convert(value.get_ref())))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

/// The value after `=` on the right of `--set key=value`: TOML if it is, else a plain string, so that
/// nobody has to quote for two parsers.
pub fn inline(text: &str) -> Value {
    match DeValue::parse(text) {
        Ok(value) => convert(value.get_ref()),
        Err(_) => Value::Text(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Files {
        let mut files = Files::default();
        files.add_text(Path::new("/c.toml"), text);
        files
    }

    fn problems(text: &str) -> Vec<String> {
        read_text(text).problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn settings_carry_their_line() {
        let files = read_text("role = \"agent\"\n\n[discovery]\nttl = \"4m\"\noptions.\"kv.path\" = \"x\"\n");
        let seen: Vec<_> =
            files.settings.iter().map(|setting| (setting.key.path, setting.origin.to_string())).collect();
        let expected =
            [("role", "/c.toml:1"), ("discovery.ttl", "/c.toml:4"), ("discovery.options", "/c.toml:5")];
        assert_eq!(seen, expected.map(|(key, at)| (key, at.to_string())));
        let table = BTreeMap::from([("kv.path".to_string(), Value::from("x"))]);
        assert_eq!(files.settings[2].value, Value::Table(table));
    }

    #[test]
    fn unknown_keys_are_all_named_with_the_nearest_known_one() {
        assert_eq!(
            problems(
                "rol = \"agent\"\nheartbeat = 5\n[manager]\nstratgy = \"x\"\nreplication_ttl = 1\n\
                 [agnet]\n[tls]\nfoobarbaz = 1\n"
            ),
            [
                "/c.toml:1: unknown key rol (did you mean role?)",
                "/c.toml:2: unknown key heartbeat (did you mean discovery.heartbeat?)",
                "/c.toml:4: unknown key manager.stratgy (did you mean manager.strategy?)",
                "/c.toml:5: unknown key manager.replication_ttl (did you mean manager.replication-ttl?)",
                "/c.toml:6: unknown key agnet (did you mean agent?)",
                "/c.toml:8: unknown key tls.foobarbaz",
            ]
        );
        assert_eq!(problems("manager = 3"), ["/c.toml:1: manager is a table: write [manager]"]);
    }

    #[test]
    fn syntax_errors_name_each_line_and_nothing_else() {
        let found = problems("role = \nexperimental = true\n[manager\nhost = \"x\n");
        assert!(found.len() >= 2, "{found:?}");
        assert!(found[0].starts_with("/c.toml:1: "), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("/c.toml:3: ")), "{found:?}");
        assert!(!found.iter().any(|line| line.contains("unknown key")), "{found:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z\\[\\]=.\"'{}0-9\n# -]{0,60}") {
            let _ = problems(&text);
        }
    }

    #[test]
    fn drop_ins_follow_in_lexical_order() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().join("config.toml");
        let folder = home.path().join("config.d");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&main, "role = \"agent\"\n").unwrap();
        for name in ["20-b.toml", "10-a.toml", "README", ".hidden.toml", "30-c.toml~"] {
            std::fs::write(folder.join(name), "experimental = true\n").unwrap();
        }
        let files = read(&main, true);
        assert_eq!(files.paths, [main, folder.join("10-a.toml"), folder.join("20-b.toml")]);
        assert_eq!(files.settings.len(), 3);
        assert!(files.problems.is_empty());
    }

    #[test]
    fn a_missing_file_matters_only_when_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().join("config.toml");
        assert!(read(&main, false).problems.is_empty());
        let files = read(&main, true);
        assert_eq!(files.problems.len(), 1);
        assert!(files.problems[0].to_string().contains("cannot be read"));
    }
}
