//! `swarmd manual PAGE`: the manual pages swarmd(8) and swarmd.toml(5), in roff.
//!
//! Made from the help texts and from `etc/config.reference.toml`, so that nothing is told in two places.

use super::commands::{self, CommandKind};
use super::help;

/// The pages, as they are named on the command line.
pub const PAGES: [&str; 2] = ["swarmd.8", "swarmd.toml.5"];

const REFERENCE: &str = include_str!("../../etc/config.reference.toml");

/// A page; `None` if there is none of that name.
pub fn page(name: &str) -> Option<String> {
    match name {
        "swarmd.8" => Some(program()),
        "swarmd.toml.5" => Some(configuration()),
        _ => None,
    }
}

const ABOUT: &str = "swarmd puts Docker Engines on several machines behind one address: the unmodified docker and docker \
compose commands pick a machine for each container. A manager serves the Docker API of the cluster; an agent makes the \
engine of its machine part of it; both may run in one process. It succeeds the standalone Docker Swarm and understands \
its command lines: called as swarm, or with manage, join, list and create, it is that tool.";

fn program() -> String {
    let mut page =
        head("SWARMD", 8, "swarmd \\- one Docker endpoint for a handful of machines running plain Docker");
    page +=
        &format!(".SH SYNOPSIS\n.B swarmd\n[OPTIONS] COMMAND [arg...]\n.SH DESCRIPTION\n{}\n", text(ABOUT));
    page += &format!(".SH COMMANDS\n{}", literal(&help::app("swarmd")));
    for spec in commands::all().filter(|spec| !matches!(spec.kind, CommandKind::Group(_))) {
        page += &format!(".SS swarmd {}\n{}", text(spec.name), literal(&help::command("swarmd", spec)));
    }
    page + ".SH FILES\n\
        .TP\n.I /etc/swarmd/config.toml\nThe configuration; config.d/*.toml beside it is read too. See\n.BR swarmd.toml (5).\n\
        .TP\n.I /var/lib/swarmd\nTokens, registrations, and what was said about nodes.\n\
        .TP\n.I /etc/swarmd/tls\nCertificates and keys, readable for the daemon alone.\n\
        .SH SIGNALS\n\
        .TP\n.B SIGHUP\nReads the configuration again; the log says what needs a restart.\n\
        .TP\n.B SIGTERM\nEnds after open requests are done, for some seconds; a second one ends at once.\n\
        .SH SEE ALSO\n.BR swarmd.toml (5),\n.BR docker (1),\n.BR systemctl (1)\n"
}

/// One entry for each key: the comment above it is its text.
fn configuration() -> String {
    let mut page = head("SWARMD.TOML", 5, "swarmd.toml \\- configuration of swarmd");
    page +=
        ".SH SYNOPSIS\n.I /etc/swarmd/config.toml\n.br\n.I /etc/swarmd/config.d/*.toml\n.SH DESCRIPTION\n";
    let mut comment: Vec<&str> = Vec::new();
    let mut told = false;
    for line in REFERENCE.lines() {
        match key(line) {
            Some((key, value)) => {
                page += &format!(".TP\n.B {} = {}\n", text(key), text(value));
                page += &flowing(&comment);
                comment.clear();
            }
            None if line.starts_with('[') => {
                page += &format!(".SH {}\n", text(line));
            }
            None if line.is_empty() => {
                if !told && !comment.is_empty() {
                    page += &format!("{}.SH GENERAL\n", flowing(&comment));
                    told = true;
                }
                comment.clear();
            }
            None => comment.push(line.trim_start_matches('#')),
        }
    }
    page + ".SH SEE ALSO\n.BR swarmd (8)\n"
}

/// A key with its default, or with an example where it has none.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix('#').unwrap_or(line).split_once(" = ")?;
    let named = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    named.then_some((key, value))
}

fn head(title: &str, section: u8, name: &str) -> String {
    format!(".TH {title} {section} \"\" \"swarmd {}\"\n.SH NAME\n{name}\n", super::version_number())
}

/// Text that is filled; what is indented stays as it is.
fn flowing(lines: &[&str]) -> String {
    let mut out = String::new();
    for line in lines {
        match line.strip_prefix("   ") {
            Some(listed) => out += &format!(".br\n\\ \\ {}\n.br\n", text(listed)),
            None => out += &format!("{}\n", text(line.trim_start())),
        }
    }
    out
}

fn literal(lines: &str) -> String {
    format!(".nf\n{}.fi\n", lines.lines().map(|line| format!("{}\n", text(line))).collect::<String>())
}

/// Escaped: hyphens that can be copied, no line that is taken for a request.
fn text(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    match escaped.starts_with(['.', '\'']) {
        true => format!("\\&{escaped}"),
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_command_has_its_entry() {
        let configuration = page("swarmd.toml.5").unwrap();
        let entries: Vec<_> = configuration.lines().filter_map(|line| line.strip_prefix(".B ")).collect();
        for key in crate::config::keys::KEYS {
            let name = text(key.path.rsplit('.').next().unwrap());
            assert!(entries.iter().any(|entry| entry.starts_with(&format!("{name} = "))), "{}", key.path);
        }
        let program = page("swarmd.8").unwrap();
        for spec in commands::all() {
            assert!(program.contains(&format!("swarmd {}", text(spec.name))), "{}", spec.name);
        }
        assert_eq!(page("swarmd.1"), None);
    }

    #[test]
    fn roff_sees_text_only() {
        assert_eq!(text(".hidden -x \\n"), "\\&.hidden \\-x \\en");
        assert_eq!(flowing(&[" a", "   \"b\"", " c"]), "a\n.br\n\\ \\ \"b\"\n.br\nc\n");
        assert_eq!(key("#url = \"token://T\""), Some(("url", "\"token://T\"")));
        assert_eq!(key("# a sentence = none"), None);
    }
}
