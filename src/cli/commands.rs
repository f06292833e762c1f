//! The commands, as a table: names, summaries, flags.
//!
//! No behaviour; `cli::parse` decides what a kind of command does with its words.

use super::enroll::PKI;
use super::flags::{
    ASK, CHECK, CREATE, HELP, JOIN, LIST, MANAGE, NATIVE, NEW_TOKEN, PROJECT, SECRETS, SOURCES, TLS,
};
use super::grammar::Tables;
use super::operate::{Ask, NODE, REBALANCE};
use super::{completion, manual};
use crate::config::check::Purpose;

/// One command.
#[derive(Debug)]
pub struct Spec {
    /// Full name.
    pub name: &'static str,
    /// Short alias; empty for none.
    pub short: &'static str,
    /// One line for the list of commands.
    pub summary: &'static str,
    /// Its flags.
    pub flags: Tables,
    /// What it does.
    pub kind: CommandKind,
}

/// Which command.
#[derive(Debug, Clone, Copy)]
pub enum CommandKind {
    /// One of the predecessor's: exit 1 on error, texts kept.
    Classic(Purpose),
    /// `run`.
    Run,
    /// `check`.
    Check,
    /// `config`.
    Config,
    /// A word before further commands: `node`.
    Group(&'static [Spec]),
    /// A question to a manager.
    Ask(Ask),
    /// A text for other programs: which one is said by the word behind.
    Text(Text),
}

/// Texts that are made from the tables of this program.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The words that may stand behind the command.
    pub words: &'static [&'static str],
    /// The text for a word; `None` for other words.
    pub make: fn(&str) -> Option<String>,
}

/// All commands but `help`, in the order of the help.
pub static COMMANDS: &[Spec] = &[
    Spec {
        name: "run",
        short: "",
        summary: "Run the daemon as the configuration file says",
        flags: &[NATIVE],
        kind: CommandKind::Run,
    },
    Spec {
        name: "check",
        short: "",
        summary: "Find what is wrong with the configuration, this machine and its neighbours; change nothing",
        flags: &[CHECK, NATIVE],
        kind: CommandKind::Check,
    },
    Spec {
        name: "config",
        short: "",
        summary: "Print the effective configuration and where each value came from",
        flags: &[SECRETS, NATIVE],
        kind: CommandKind::Config,
    },
    Spec {
        name: "node",
        short: "",
        summary: "Say what nodes may take, label them, take them out",
        flags: &[&[HELP]],
        kind: CommandKind::Group(NODE),
    },
    REBALANCE,
    Spec {
        name: "status",
        short: "",
        summary: "Show how the manager and the agent of this machine stand",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Status),
    },
    Spec {
        name: "join-token",
        short: "",
        summary: "Print what to paste on the next machine",
        flags: &[NEW_TOKEN, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::JoinToken),
    },
    Spec {
        name: "pki",
        short: "",
        summary: "Show who has a certificate of the cluster, replace its CA",
        flags: &[&[HELP]],
        kind: CommandKind::Group(PKI),
    },
    Spec {
        name: "explain",
        short: "",
        summary: "Show why a container is where it is",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Explain),
    },
    Spec {
        name: "plan",
        short: "",
        summary: "Show where containers would go, and create nothing",
        flags: &[PROJECT, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Plan),
    },
    Spec {
        name: "completion",
        short: "",
        summary: "Print a script that completes command lines in bash, zsh or fish",
        flags: &[&[HELP]],
        kind: CommandKind::Text(Text { words: &completion::SHELLS, make: completion::script }),
    },
    Spec {
        name: "manual",
        short: "",
        summary: "Print a manual page, swarmd.8 or swarmd.toml.5, for man",
        flags: &[&[HELP]],
        kind: CommandKind::Text(Text { words: &manual::PAGES, make: manual::page }),
    },
    Spec {
        name: "create",
        short: "c",
        summary: "Mint the token of a new cluster",
        flags: &[CREATE, TLS, &[HELP]],
        kind: CommandKind::Classic(Purpose::Create),
    },
    Spec {
        name: "list",
        short: "l",
        summary: "List the engines of a cluster",
        flags: &[LIST, TLS, SOURCES, &[HELP]],
        kind: CommandKind::Classic(Purpose::List),
    },
    Spec {
        name: "manage",
        short: "m",
        summary: "Serve the Docker API of a cluster",
        flags: &[MANAGE, TLS, SOURCES, &[HELP]],
        kind: CommandKind::Classic(Purpose::Manage),
    },
    Spec {
        name: "join",
        short: "j",
        summary: "Make an engine part of a cluster",
        flags: &[JOIN, TLS, SOURCES, &[HELP]],
        kind: CommandKind::Classic(Purpose::Join),
    },
];

/// The command with this name or alias.
pub fn command(name: &str) -> Option<&'static Spec> {
    let called = |spec: &&Spec| spec.name == name || (!spec.short.is_empty() && spec.short == name);
    COMMANDS.iter().find(called)
}

/// The command that the words begin with, and the other words. Of a group it is the command named next, if
/// there is one of that name; else the group itself.
pub fn named(words: &[String]) -> Option<(&'static Spec, &[String])> {
    let (first, rest) = words.split_first()?;
    let spec = command(first)?;
    if let (CommandKind::Group(members), Some((second, tail))) = (spec.kind, rest.split_first())
        && let Some(member) = members.iter().find(|m| m.name == format!("{} {second}", spec.name))
    {
        return Some((member, tail));
    }
    Some((spec, rest))
}

/// All commands, those of groups included.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    COMMANDS.iter().flat_map(|spec| {
        let members = match spec.kind {
            CommandKind::Group(members) => members,
            _ => &[],
        };
        std::iter::once(spec).chain(members)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::Flag;

    #[test]
    fn every_flag_names_a_key_that_exists_and_no_name_twice() {
        for spec in all() {
            let flags: Vec<&Flag> = spec.flags.iter().flat_map(|table| table.iter()).collect();
            let mut names: Vec<&str> = flags.iter().flat_map(|flag| flag.names).copied().collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{} has a name twice", spec.name);
            for flag in flags.iter().filter(|flag| !flag.key.is_empty()) {
                assert!(crate::config::keys::find(flag.key).is_some(), "{}", flag.key);
            }
        }
    }

    #[test]
    fn defaults_in_the_help_are_the_real_ones() {
        let defaults = crate::config::Config::default();
        for flag in all().flat_map(|spec| spec.flags.iter().copied().flatten()) {
            let Some(key) = crate::config::keys::find(flag.key) else {
                continue;
            };
            if !flag.default.is_empty() {
                let mut config = defaults.clone();
                (key.set)(&mut config, &flag.default.into()).unwrap();
                assert_eq!(config, defaults, "--{}", flag.names[0]);
            }
        }
    }
}
