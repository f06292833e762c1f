//! The command lines about users: `user add`, `user ls`, `user rm`. Words in, a question out.

use std::path::PathBuf;

use super::commands::{CommandKind, Spec};
use super::flags::{ASK, HELP, NEW_USER, TLS};
use super::grammar::Parsed;
use super::operate::Ask;
use crate::client::Question;
use crate::client::users::Users;
use crate::config::units;
use crate::tls::identity::Role;

/// The commands below `user`.
pub static USER: &[Spec] = &[
    Spec {
        name: "user add",
        short: "",
        summary: "Make a certificate for a user, and print how to use it with docker",
        flags: &[NEW_USER, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::UserAdd),
    },
    Spec {
        name: "user ls",
        short: "",
        summary: "List the users that have a certificate",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Users),
    },
    Spec {
        name: "user rm",
        short: "",
        summary: "Let the certificates of a user count no more",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::UserRemove),
    },
];

/// `user ...`
pub(super) fn user(ask: Ask, parsed: &Parsed) -> Result<Question, String> {
    let words = parsed.positionals.as_slice();
    let users = match (ask, words) {
        (Ask::Users, []) => Users::List,
        (Ask::Users, words) => return Err(format!("user ls takes no arguments, got {}", words.join(" "))),
        (_, []) => return Err("NAME is missing".into()),
        (Ask::UserRemove, [name]) => Users::Remove(name.clone()),
        (_, [name]) => Users::Add {
            name: name.clone(),
            role: role(parsed)?,
            life: life(parsed)?,
            directory: parsed
                .last("out")
                .map_or_else(|| PathBuf::from(format!("{name}-cert")), PathBuf::from),
        },
        (_, words) => return Err(format!("one NAME, not {}: {}", words.len(), words.join(" "))),
    };
    Ok(Question::Users(users))
}

fn role(parsed: &Parsed) -> Result<Role, String> {
    let all = Role::ALL.map(Role::word).join(", ");
    let word = parsed.last("role").ok_or_else(|| format!("--role is missing: {all}"))?;
    Role::parse(word).ok_or_else(|| format!("there is no role {word:?}: {all}"))
}

/// Whole seconds; days may be written as such.
fn life(parsed: &Parsed) -> Result<u64, String> {
    let text = parsed.last("ttl").unwrap_or("90d");
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let seconds = match days {
        Some(days) => days.checked_mul(86_400).ok_or_else(|| format!("invalid --ttl {text}: too long"))?,
        None => {
            let nanos = units::parse_nanos(text).map_err(|e| format!("invalid --ttl: {e}"))?;
            u64::try_from(nanos).unwrap_or(0) / 1_000_000_000
        }
    };
    match seconds {
        0 => Err(format!("invalid --ttl {text}: it must be at least a second")),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    fn users(line: &str) -> Result<Users, String> {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        match crate::cli::parse("swarmd", &words, &|_| None) {
            Ok(Command::Ask { question: Question::Users(users), .. }) => Ok(users),
            Ok(other) => panic!("{other:?}"),
            Err(outcome) => Err(outcome.stderr),
        }
    }

    #[test]
    fn words_about_users() {
        let add = |role, life, directory: &str| Users::Add {
            name: "alice".into(),
            role,
            life,
            directory: directory.into(),
        };
        let day = 86_400;
        for (line, expected) in [
            ("user add -H h:1 alice --role reader", add(Role::Reader, 90 * day, "alice-cert")),
            ("user add -H h:1 alice --role admin --ttl 7d --out /x", add(Role::Admin, 7 * day, "/x")),
            ("user add -H h:1 alice --role deployer --ttl 36h", add(Role::Deployer, 36 * 3600, "alice-cert")),
            ("user ls -H h:1", Users::List),
            ("user rm -H h:1 alice", Users::Remove("alice".into())),
        ] {
            assert_eq!(users(line), Ok(expected), "{line}");
        }
        for (line, why) in [
            ("user add -H h:1 alice", "--role is missing: reader, operator, deployer, admin"),
            ("user add -H h:1 alice --role root", "there is no role \"root\""),
            ("user add -H h:1 --role admin", "NAME is missing"),
            ("user add -H h:1 alice --role admin --ttl 0", "at least a second"),
            ("user add -H h:1 alice --role admin --ttl x", "invalid --ttl"),
            ("user rm -H h:1 a b", "one NAME, not 2"),
        ] {
            assert!(users(line).unwrap_err().contains(why), "{line}");
        }
    }
}
