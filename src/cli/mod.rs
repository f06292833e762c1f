//! The command line: words in, a [`Command`] or a finished [`Outcome`] out.
//!
//! Pure but for reading configuration files: arguments and environment come in, nothing is printed, no role
//! is run. `main` prints outcomes and runs commands.

pub mod classic;
pub mod commands;
pub mod completion;
pub mod create;
pub mod doctor;
pub mod enroll;
pub mod flags;
pub mod grammar;
pub mod help;
pub mod manual;
pub mod operate;
pub mod show;
mod users;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Question;
use crate::client::target::Target;
use crate::config::Tls;
use crate::config::check::Purpose;
use crate::config::file;
use crate::config::load::{Loaded, Sources};
use crate::config::overlay::Setting;
use crate::config::problem::{Problem, into_error};
use crate::docker::endpoint::Endpoint;
use crate::error::Error;
use crate::systemd::journal;
use commands::{CommandKind, Spec, Text};
use doctor::Checkup;
use flags::GLOBAL;
use grammar::Parsed;

/// What to do.
#[derive(Debug, Clone)]
pub enum Command {
    /// `run`: the role of the configuration.
    Run(Box<Loaded>),
    /// `manage`: the manager; exit 1 on errors.
    Manage(Box<Loaded>),
    /// `join`: the agent; exit 1 on errors.
    Join(Box<Loaded>),
    /// `list`: print the first answer of discovery, one entry a line; exit 1 on errors.
    List {
        /// `config.discovery` and `config.tls` matter.
        loaded: Box<Loaded>,
        /// Give up with `Timed out` after this.
        timeout: Duration,
    },
    /// `create`: a token; exit 1 on errors.
    Create {
        /// `POST /v1/clusters` here; `None`: [`create::mint`].
        manager: Option<Endpoint>,
        /// How to talk to it.
        tls: Tls,
    },
    /// `check`: run [`doctor::check`].
    Check(Checkup),
    /// `config`: run [`show::config`].
    ShowConfig {
        /// What to read.
        sources: Sources,
        /// Whether to print tokens and passwords.
        secrets: bool,
    },
    /// `node`, `explain`, `plan`: run [`crate::client::ask`].
    Ask {
        /// Which manager.
        target: Box<Target>,
        /// What to ask.
        question: Question,
        /// Whether to print JSON.
        json: bool,
    },
    /// `join --token`: run [`crate::client::join::join`], with the token of the standard input if none is said.
    Enroll(Box<crate::client::join::Plan<Option<crate::tls::pki::pin::JoinToken>>>),
    /// Help or version.
    Print(String),
}

/// What a finished command leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// For the standard output.
    pub stdout: String,
    /// For the standard error.
    pub stderr: String,
    /// Exit code.
    pub code: u8,
}

impl Outcome {
    /// Success with a text.
    pub fn text(stdout: impl Into<String>) -> Outcome {
        Outcome { stdout: stdout.into(), ..Outcome::default() }
    }

    /// A new token, alone on the standard output, and beside it what to do with it.
    pub fn token(token: &str) -> Outcome {
        Outcome { stderr: crate::client::invite::after_create(token), ..Outcome::text(format!("{token}\n")) }
    }

    /// Failure of a native command, exit code after sysexits.
    pub fn of_error(error: &Error) -> Outcome {
        Outcome::failure(error.to_string(), error.exit_code())
    }

    /// Failure of a classic command, exit code 1.
    pub fn of_classic_error(error: &Error) -> Outcome {
        Outcome::failure(error.to_string(), 1)
    }

    fn failure(text: impl std::fmt::Display, code: u8) -> Outcome {
        Outcome { stdout: String::new(), stderr: format!("{text}\n"), code }
    }

    /// Prints both texts. A closed pipe is no reason to complain.
    pub fn print(&self) -> std::process::ExitCode {
        use std::io::Write;
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        let _ = std::io::stdout().flush();
        let _ = match self.code {
            0 => std::io::stderr().write_all(self.stderr.as_bytes()),
            _ => std::io::stderr().write_all(journal::as_error(&self.stderr).as_bytes()),
        };
        std::process::ExitCode::from(self.code)
    }
}

/// The version without a name, `2.0.0`.
pub fn version_number() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// `swarmd version 2.0.0 (COMMIT)`.
pub fn version(program: &str) -> String {
    let commit = option_env!("SWARMD_COMMIT").unwrap_or("unknown");
    format!("{program} version {} ({commit})\n", version_number())
}

/// How the program was called: the last part of `argv0`.
pub fn program_name(argv0: &str) -> &str {
    match argv0.rsplit('/').next() {
        None | Some("") => "swarmd",
        Some(name) => name,
    }
}

/// Reads a command line. `args` is without the program's name.
///
/// # Errors
/// The finished outcome: texts and exit code, after 1.1 to 1.7 of the classic behaviour.
pub fn parse(argv0: &str, args: &[String], env: &dyn Fn(&str) -> Option<String>) -> Result<Command, Outcome> {
    let program = program_name(argv0);
    let global = grammar::leading(GLOBAL, args).map_err(|error| misused(&help::app(program), &error, 1))?;
    if global.switch("help") == Some(true) {
        return Ok(Command::Print(help::app(program)));
    }
    if global.switch("version") == Some(true) {
        return Ok(Command::Print(version(program)));
    }
    let Some((name, rest)) = global.positionals.split_first() else {
        return Ok(Command::Print(help::app(program)));
    };
    if matches!(name.as_str(), "help" | "h") {
        return help_on(program, rest);
    }
    let (spec, rest) = commands::named(&global.positionals).ok_or_else(|| unknown(program, name))?;
    let code = if matches!(spec.kind, CommandKind::Classic(_)) { 1 } else { 64 };
    let read = if matches!(spec.kind, CommandKind::Ask(_)) { grammar::mixed } else { grammar::command };
    let parsed =
        read(spec.flags, rest).map_err(|error| misused(&help::command(program, spec), &error, code))?;
    if parsed.switch("help") == Some(true) {
        return Ok(Command::Print(help::command(program, spec)));
    }
    match spec.kind {
        CommandKind::Classic(Purpose::Join) if enroll::has_token(&parsed, env) => {
            enroll::join(program, &parsed, env)
        }
        CommandKind::Classic(purpose) => classic_command(program, purpose, spec, &global, &parsed, env),
        CommandKind::Group(members) => group(program, spec, members, &parsed),
        CommandKind::Ask(ask) => operate::command(program, spec, ask, &parsed, env),
        CommandKind::Text(text) => made(program, spec, text, &parsed),
        _ => native_command(program, spec, &global, &parsed, env),
    }
}

/// The outcome of a command that needs neither network nor runtime; `None` for the others.
pub fn answer(command: &Command) -> Option<Outcome> {
    match command {
        Command::Print(text) => Some(Outcome::text(text.as_str())),
        Command::ShowConfig { sources, secrets } => Some(show::config(sources, *secrets)),
        Command::Create { manager: None, .. } => Some(match create::mint() {
            Ok(token) => Outcome::token(&token),
            Err(error) => Outcome::of_classic_error(&error),
        }),
        _ => None,
    }
}

fn help_on(program: &str, rest: &[String]) -> Result<Command, Outcome> {
    let text = match rest.first() {
        None => help::app(program),
        Some(name) if name.starts_with('-') || matches!(name.as_str(), "help" | "h") => help::app(program),
        Some(name) => {
            let (spec, _) = commands::named(rest).ok_or_else(|| unknown(program, name))?;
            help::command(program, spec)
        }
    };
    Ok(Command::Print(text))
}

/// A group without a command prints its help; a word that is none of its commands is a mistake.
fn group(program: &str, spec: &Spec, members: &'static [Spec], parsed: &Parsed) -> Result<Command, Outcome> {
    let Some(word) = parsed.positionals.first() else {
        return Ok(Command::Print(help::command(program, spec)));
    };
    let names = members.iter().filter_map(|m| m.name.split(' ').nth(1));
    let hint = match crate::config::names::nearest(word, names) {
        Some(meant) => format!("did you mean '{program} {} {meant}'?", spec.name),
        None => format!("run '{program} {} --help' for its commands", spec.name),
    };
    Err(Outcome::failure(format!("{} has no command {word:?}\n{hint}", spec.name), 64))
}

/// A text by the word behind the command.
fn made(program: &str, spec: &Spec, text: Text, parsed: &Parsed) -> Result<Command, Outcome> {
    let made = match parsed.positionals.as_slice() {
        [word] => (text.make)(word),
        _ => None,
    };
    let usage = || format!("usage: {program} {} {}", spec.name, text.words.join("|"));
    made.map(Command::Print).ok_or_else(|| Outcome::failure(usage(), 64))
}

/// The classic text on stdout, but not with exit code 0.
fn unknown(program: &str, name: &str) -> Outcome {
    let names = commands::COMMANDS.iter().map(|spec| spec.name).chain(["help"]);
    let hint = match crate::config::names::nearest(name, names) {
        Some(meant) => format!("did you mean '{program} {meant}'?"),
        None => format!("run '{program} help' for the list of commands"),
    };
    Outcome { stdout: format!("No help topic for '{name}'\n"), stderr: format!("{hint}\n"), code: 1 }
}

fn misused(help: &str, error: &str, code: u8) -> Outcome {
    Outcome { stdout: format!("Incorrect Usage.\n\n{help}"), stderr: format!("{error}\n"), code }
}

fn classic_command(
    program: &str,
    purpose: Purpose,
    spec: &Spec,
    global: &Parsed,
    parsed: &Parsed,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, Outcome> {
    let name = spec.name;
    let fatal = |text: String| Outcome::failure(text, 1);
    match (purpose, parsed.positionals.len()) {
        (_, 0) => {}
        (Purpose::Create, _) => {
            let text = format!("the `create` command takes no arguments. See '{program} create --help'.");
            return Err(fatal(text));
        }
        (_, 1) => {}
        (_, count) => {
            let all = parsed.positionals.join(" ");
            let text = format!(
                "{name} takes one <discovery>, got {count}: {all}. Flags stand before or behind it, not on both \
                 sides. See '{program} {name} --help'."
            );
            return Err(fatal(text));
        }
    }
    let mut sources = Sources::new(purpose, program);
    sources.keep_env(env);
    classic::fill(&mut sources, parsed);
    classic::global(&mut sources, global);
    let timeout = match purpose {
        Purpose::List => classic::timeout(&mut sources, parsed),
        _ => Duration::ZERO,
    };
    let loaded = sources.load().map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        fatal(lines.join("\n"))
    })?;
    let loaded = Box::new(loaded);
    Ok(match purpose {
        Purpose::Join => Command::Join(loaded),
        Purpose::List => Command::List { loaded, timeout },
        Purpose::Create => Command::Create {
            manager: manager_of(parsed).map_err(|error| Outcome::of_classic_error(&error))?,
            tls: loaded.config.tls,
        },
        Purpose::Manage | Purpose::Run => Command::Manage(loaded),
    })
}

fn manager_of(parsed: &Parsed) -> Result<Option<Endpoint>, Error> {
    let host = parsed.last("host").filter(|host| !host.is_empty());
    host.map(Endpoint::parse).transpose()
}

fn native_command(
    program: &str,
    spec: &Spec,
    global: &Parsed,
    parsed: &Parsed,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, Outcome> {
    let name = spec.name;
    if let Some(extra) = parsed.positionals.first() {
        let text = format!(
            "{name} takes no arguments, got {extra:?}; its settings are in the configuration file. See '{program} \
             {name} --help'."
        );
        return Err(Outcome::failure(text, 64));
    }
    let mut sources = Sources::new(Purpose::Run, program);
    sources.keep_env(env);
    let path = parsed.last("config").unwrap_or(file::DEFAULT_PATH);
    sources.file = Some((PathBuf::from(path), parsed.has("config")));
    for text in parsed.all("set") {
        let setting = Setting::from_assignment(text).map_err(|error| Outcome::failure(error, 64))?;
        sources.flags.push(setting);
    }
    sources.flags.extend(classic::settings(parsed));
    classic::global(&mut sources, global);
    match spec.kind {
        CommandKind::Check => {
            let (offline, json) =
                (parsed.switch("offline") == Some(true), parsed.switch("json") == Some(true));
            Ok(Command::Check(Checkup { sources, offline, json }))
        }
        CommandKind::Config => {
            Ok(Command::ShowConfig { sources, secrets: parsed.switch("secrets") == Some(true) })
        }
        _ => match sources.load() {
            Ok(loaded) => Ok(Command::Run(Box::new(loaded))),
            Err(problems) => Err(Outcome::of_error(&into_error(&problems))),
        },
    }
}

#[cfg(test)]
mod tests;
