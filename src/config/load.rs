//! From sources to a checked configuration, and the same again for a reload.
//!
//! This is the only place that puts files, environment and flags together. It reads the configuration
//! files; it opens nothing that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::{self, Purpose};
use super::keys::{self, KEYS};
use super::overlay::{self, Setting};
use super::problem::{self, Origin, Origins, Problem, Style};
use super::{Config, exposure, file, front, local, pki};
use crate::error::Result;

/// The environment variables that configure; nothing else of the environment is kept.
pub const VARIABLES: [&str; 5] =
    ["SWARM_DISCOVERY", "SWARM_HOST", "SWARM_ADVERTISE", "DEBUG", "STATE_DIRECTORY"];

/// Where the configuration comes from; kept for reloads.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What it is for.
    pub purpose: Purpose,
    /// How the user called this program, for messages.
    pub program: String,
    /// The main file, and whether it must exist.
    pub file: Option<(PathBuf, bool)>,
    /// Defaults of this command that differ from [`Config::default`].
    pub base: Vec<Setting>,
    /// The variables among [`VARIABLES`] that are set.
    pub env: BTreeMap<String, String>,
    /// What the command line says.
    pub flags: Vec<Setting>,
    /// What is wrong with the command line beyond single keys.
    pub refused: Vec<Problem>,
    /// What the user should know about the command line.
    pub notes: Vec<String>,
}

/// A configuration that passed all rules, and how it came to be.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// Where they came from.
    pub origins: Origins,
    /// What the user should know; to be logged at start.
    pub warnings: Vec<String>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// For [`Loaded::reload`].
    pub sources: Sources,
}

/// One key that differs after a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, `manager.strategy`.
    pub key: &'static str,
    /// Whether it can be applied now; else it needs a restart.
    pub live: bool,
    /// The old value as TOML; `None` when it was not set.
    pub old: Option<String>,
    /// The new value as TOML.
    pub new: Option<String>,
}

impl Sources {
    /// Sources without file, environment and flags.
    pub fn new(purpose: Purpose, program: &str) -> Sources {
        Sources {
            purpose,
            program: program.to_string(),
            file: None,
            base: Vec::new(),
            env: BTreeMap::new(),
            flags: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Keeps the variables that matter.
    pub fn keep_env(&mut self, env: &dyn Fn(&str) -> Option<String>) {
        self.env =
            VARIABLES.iter().filter_map(|name| env(name).map(|value| ((*name).to_string(), value))).collect();
    }

    fn style(&self) -> Style {
        match self.purpose {
            Purpose::Run => Style::Native,
            _ => Style::Classic,
        }
    }

    /// Reads everything and tries all rules.
    ///
    /// # Errors
    /// All problems, at least one. Classic commands: in the order in which the classic tool validated.
    /// `run`: by file and line.
    pub fn load(&self) -> std::result::Result<Loaded, Vec<Problem>> {
        let mut files = match &self.file {
            Some((path, required)) => file::read(path, *required),
            None => file::Files::default(),
        };
        let mut settings = self.base.clone();
        settings.extend(overlay::supervisor(&|name| self.env.get(name).cloned()));
        settings.append(&mut files.settings);
        // Which variable counts depends on the role, which only files and flags can set.
        let said = [settings.as_slice(), &self.flags].concat();
        let role = overlay::apply(&said, self.style()).0.role;
        let (from_env, ambiguity) = overlay::environment(&|name| self.env.get(name).cloned(), role);
        settings.extend(from_env);
        settings.extend(self.flags.iter().cloned());

        let (mut config, mut origins, refused) = overlay::apply(&settings, self.style());
        let mut problems = self.refused.clone();
        problems.append(&mut files.problems);
        problems.extend(refused);
        pki::fill_in(&mut config, &mut origins);
        local::fill_in(&mut config, &mut origins);
        front::fill_in(&mut config, &mut origins);
        exposure::typed_address_counts(&mut config, &mut origins, self.purpose);
        let verdict = check::check(&config, &origins, self.purpose, &problems);
        problems.extend(verdict.problems);
        if !problems.is_empty() {
            return Err(self.arranged(problems, &files.paths));
        }
        let mut warnings = self.notes.clone();
        warnings.extend(ambiguity);
        warnings.extend(verdict.warnings);
        Ok(Loaded { config, origins, warnings, files: files.paths, sources: self.clone() })
    }

    fn arranged(&self, mut problems: Vec<Problem>, files: &[PathBuf]) -> Vec<Problem> {
        for problem in &mut problems {
            problem.text = problem.text.replace("{program}", &self.program);
        }
        let place = |path: &Path| files.iter().position(|file| file == path);
        match self.style() {
            Style::Classic => problems.sort_by_key(|problem| keys::rank(&problem.key)),
            Style::Native => problems.sort_by_key(|problem| match &problem.origin {
                Origin::File(path, line) => (place(path).unwrap_or(files.len()), *line),
                _ => (files.len() + 1, 0),
            }),
        }
        problems
    }
}

impl Loaded {
    /// Reads the same sources again.
    ///
    /// The caller applies the changes that are `live`, and tells the user about the others.
    ///
    /// # Errors
    /// `Kind::Config` with all problems; the running configuration then stays as it is.
    pub fn reload(&self) -> Result<(Loaded, Vec<Change>)> {
        let fresh = self.sources.load().map_err(|problems| problem::into_error(&problems))?;
        let changes = diff(&self.config, &fresh.config);
        Ok((fresh, changes))
    }
}

/// The keys whose values differ.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let change = |key: &'static keys::Key| {
        let (old, new) = ((key.show)(old), (key.show)(new));
        (old != new).then_some(Change { key: key.path, live: key.live, old, new })
    };
    KEYS.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(text: &str) -> (tempfile::TempDir, Sources) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        sources.file = Some((path, true));
        (home, sources)
    }

    /// The problems without the directory in front.
    fn problems(text: &str) -> Vec<String> {
        let (home, sources) = run_with(text);
        let prefix = format!("{}/", home.path().display());
        let found = sources.load().err().unwrap_or_default();
        found.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
    }

    #[test]
    fn all_problems_of_all_files_come_at_once_in_order() {
        let (home, sources) =
            run_with("role = \"boss\"\n[discovery]\nheartbeat = \"1x\"\nttl = 5\n[manager]\nhots = 1\n");
        std::fs::create_dir(home.path().join("config.d")).unwrap();
        std::fs::write(home.path().join("config.d/a.toml"), "[tls]\ntls = true\n").unwrap();
        let prefix = format!("{}/", home.path().display());
        let found: Vec<String> = sources
            .load()
            .unwrap_err()
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect();
        assert_eq!(
            found,
            [
                "config.toml:1: role not supported (\"boss\" is unknown; did you mean \"both\"?)",
                "config.toml:3: invalid discovery.heartbeat: time: unknown unit \"x\" in duration \"1x\" \
                 (write for example 30s or 1m30s)",
                "config.toml:6: unknown key manager.hots (did you mean manager.host?)",
                "config.d/a.toml:2: tls.tlscert and tls.tlskey must be provided when using tls.tls",
            ]
        );
    }

    #[test]
    fn rules_across_keys_name_line_and_key() {
        for (text, expected) in [
            (
                "[discovery]\nttl = 60",
                "config.toml:2: discovery.ttl must be strictly superior to the heartbeat value \
                 (ttl is 1m0s, heartbeat is 1m0s)",
            ),
            (
                "[discovery]\nheartbeat = \"5m\"",
                "config.toml:2: discovery.heartbeat: discovery.ttl must be strictly superior to the heartbeat \
                 value (ttl is 3m0s, heartbeat is 5m0s)",
            ),
            (
                "[manager]\nengine-refresh-min-interval = 90",
                "config.toml:2: manager.engine-refresh-min-interval: max refresh interval cannot be less than min \
                 refresh interval",
            ),
            (
                "[tls]\ntlskey = \"k\"",
                "config.toml:2: tls.tlscert, tls.tlskey and tls.tlscacert require the use of either tls.tls or \
                 tls.tlsverify",
            ),
            (
                "[tls]\ntlsverify = true\ntlskey = \"k\"\ntlscert = \"c\"",
                "config.toml:2: tls.tlscacert must be provided when using tls.tlsverify",
            ),
            (
                "[tls]\ntls = true\ntlskey = \"k\"\ntlscert = \"c\"\n[tls.client]\ncert = \"c\"",
                "config.toml:6: tls.client.cert and tls.client.key must be provided together",
            ),
            (
                "[tls.client]\ncert = \"c\"\nkey = \"k\"",
                "config.toml:2: tls.client.cert: [tls.client] needs tls.tls or tls.tlsverify",
            ),
            (
                "role = \"manager\"",
                "discovery.url is required with role \"manager\" (mint a token with `swarmd create`, then url = \
                 \"token://MANAGER:3376/TOKEN\")",
            ),
            (
                "[discovery]\nurl = \"token://t\"",
                "missing mandatory agent.advertise (the address at which managers reach this engine, HOST:PORT)",
            ),
            (
                "[discovery]\nurl = \"tokn://t\"",
                "config.toml:2: discovery.url: discovery service not supported (\"tokn\" is unknown; there is \
                 token, nodes, file, consul, etcd, zk)",
            ),
            (
                "role = \"agent\"\n[agent]\nadvertise = \"h:1\"\n[discovery]\nurl = \"file:///x\"",
                "config.toml:5: discovery.url: file:// takes no registrations (leave agent.advertise out and use \
                 role = \"manager\")",
            ),
            (
                "[discovery.options]\n\"kv.keyfile\" = \"k\"",
                "config.toml:1: discovery.options: TLS to the store also needs kv.cacertfile and kv.certfile",
            ),
        ] {
            let found = problems(text);
            assert!(found.contains(&expected.to_string()), "{text}: {found:#?}");
        }
    }

    #[test]
    fn replication_needs_a_store_and_an_address() {
        let found = problems("[manager]\nreplication = true\n");
        assert_eq!(
            found,
            [
                "config.toml:2: manager.replication: Leader election is only supported with consul, etcd and \
                 zookeeper discovery.",
                "manager.advertise address must be provided when using --leader-election (manager.replication \
                 needs it)",
            ]
        );
        let good = "role = \"manager\"\n[manager]\nreplication = true\nadvertise = \"h:1\"\n\
                    [discovery]\nurl = \"etcd://h:2\"\n";
        assert_eq!(problems(good), [""; 0]);
        let node = good.replace("\"manager\"", "\"both\"") + "[agent]\nadvertise = \"unix:///d.sock\"\n";
        let found = problems(&node);
        assert!(found[0].contains("other managers would take their own Docker for it"), "{found:?}");
        assert_eq!(problems(&node.replace("unix:///d.sock", "h:2376")), [""; 0]);
    }

    #[test]
    fn an_open_manager_is_refused_until_someone_says_so() {
        let open = "[manager]\nhost = [\"tcp://127.0.0.1:1\", \":3376\"]\n";
        let found = problems(open);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("[manager] allow-unauthenticated = true"), "{found:?}");
        let (_home, sources) = run_with(&format!("{open}allow-unauthenticated = true\n"));
        assert_eq!(sources.load().unwrap().warnings.len(), 1);
        for good in [
            "[manager]\nhost = [\"localhost:1\", \"unix:///s\", \"fd://\"]\n".to_string(),
            format!("role = \"agent\"\nagent.advertise = \"h:1\"\ndiscovery.url = \"token://h:2/t\"\n{open}"),
            format!("{open}[tls]\ntlsverify = true\ntlscert = \"c\"\ntlskey = \"k\"\ntlscacert = \"a\"\n"),
        ] {
            assert_eq!(problems(&good), [""; 0], "{good}");
        }
        let inherited: std::net::SocketAddr = "0.0.0.0:3376".parse().unwrap();
        assert!(exposure::guard_inherited(&Config::default(), inherited).is_err());
        assert!(exposure::guard_inherited(&Config::default(), "127.0.0.1:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn reload_says_what_changed_and_what_can_be_applied() {
        let (home, sources) = run_with("[manager]\nstrategy = \"spread\"\n");
        let loaded = sources.load().unwrap();
        assert_eq!(loaded.reload().unwrap().1, []);
        let path = home.path().join("config.toml");
        std::fs::write(&path, "experimental = true\n[manager]\nstrategy = \"random\"\nadvertise = \"h:1\"\n")
            .unwrap();
        let (_, changes) = loaded.reload().unwrap();
        let seen: Vec<_> = changes.iter().map(|change| (change.key, change.live)).collect();
        assert_eq!(seen, [("experimental", true), ("manager.strategy", true), ("manager.advertise", false)]);
        assert_eq!(changes[1].old.as_deref(), Some("\"spread\""));
        assert_eq!(changes[2].old, None);
        std::fs::write(&path, "nonsense = 1").unwrap();
        assert_eq!(loaded.reload().unwrap_err().exit_code(), 78);
    }
}
