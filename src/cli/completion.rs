//! `swarmd completion SHELL`: scripts that complete commands and flags, made from the tables of `commands`.
//!
//! They know words, not values: nodes and containers are not asked for while somebody types.

use std::fmt::Write as _;

use super::commands::{COMMANDS, CommandKind, Spec};
use super::flags::GLOBAL;
use super::grammar::{Flag, Tables, Takes};

/// The shells, as they are named on the command line.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The script for a shell; `None` if there is none.
pub fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// What may stand behind some words: further commands with their summaries, and flags.
struct Place {
    /// The words, `node ls`; empty for none.
    words: String,
    commands: Vec<(&'static str, &'static str)>,
    flags: Vec<&'static Flag>,
}

fn places() -> Vec<Place> {
    let mut places = vec![Place {
        words: String::new(),
        commands: named(COMMANDS).chain([("help", "Print the commands, or the help of one")]).collect(),
        flags: listed(GLOBAL),
    }];
    for spec in COMMANDS {
        let members = match spec.kind {
            CommandKind::Group(members) => members,
            _ => &[],
        };
        let commands = match spec.kind {
            CommandKind::Text(text) => text.words.iter().map(|word| (*word, "")).collect(),
            _ => named(members).collect(),
        };
        places.push(Place { words: spec.name.into(), commands, flags: listed(spec.flags) });
        places.extend(members.iter().map(|member| Place {
            words: member.name.into(),
            commands: Vec::new(),
            flags: listed(member.flags),
        }));
    }
    places
}

/// Commands by their last word.
fn named(specs: &'static [Spec]) -> impl Iterator<Item = (&'static str, &'static str)> {
    specs.iter().map(|spec| (spec.name.rsplit(' ').next().unwrap_or_default(), spec.summary))
}

fn listed(tables: Tables) -> Vec<&'static Flag> {
    tables.iter().copied().flatten().collect()
}

fn long(flag: &Flag) -> String {
    format!("--{}", flag.names[0])
}

/// Sets `place` to the command that the words before the cursor name. Bash and zsh read it alike.
const FIND_PLACE: &str = r#"    for word in "${before[@]}"; do
        case $word in -*) continue ;; esac
        case $place in
            '') place=$word ;;
            GROUPS) place="$place $word"; break ;;
            *) break ;;
        esac
    done
"#;

fn find_place() -> String {
    let groups = COMMANDS.iter().filter(|spec| matches!(spec.kind, CommandKind::Group(_)));
    FIND_PLACE.replace("GROUPS", &groups.map(|spec| spec.name).collect::<Vec<_>>().join("|"))
}

fn bash() -> String {
    let mut script = String::from("# bash completion of swarmd\n_swarmd() {\n");
    script += "    local word place='' words='' cur=${COMP_WORDS[COMP_CWORD]}\n";
    script += "    local before=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n";
    script += &find_place();
    script += "    case $place in\n";
    for place in places() {
        let words = place.commands.iter().map(|(name, _)| (*name).to_string());
        let words: Vec<_> = words.chain(place.flags.iter().map(|flag| long(flag))).collect();
        let _ = writeln!(script, "        '{}') words='{}' ;;", place.words, words.join(" "));
    }
    script
        + "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _swarmd swarmd\n"
}

fn zsh() -> String {
    let described =
        |(name, text): (&str, &str)| format!("'{name}:{}'", text.replace('\'', "'\\''").replace(':', "\\:"));
    let mut script = String::from("#compdef swarmd\n_swarmd() {\n    local word place=''\n");
    script += "    local -a before commands options\n    before=(\"${(@)words[2,CURRENT-1]}\")\n";
    script += &find_place();
    script += "    case $place in\n";
    for place in places() {
        let commands: Vec<_> = place.commands.iter().copied().map(described).collect();
        let options: Vec<_> = place.flags.iter().map(|flag| described((&long(flag), flag.help))).collect();
        let _ = writeln!(script, "        '{}')", place.words);
        let _ = writeln!(script, "            commands=({})", commands.join(" "));
        let _ = writeln!(script, "            options=({}) ;;", options.join(" "));
    }
    script
        + "    esac\n    _describe -t commands command commands\n    _describe -o -t options option options\n    _files\n}\n_swarmd \"$@\"\n"
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut script = String::from("# fish completion of swarmd\n");
    for place in places() {
        let here = condition(&place);
        for (name, summary) in &place.commands {
            let _ = writeln!(script, "complete -c swarmd -f -n {here} -a {name} -d {}", quoted(summary));
        }
        for flag in &place.flags {
            let names = flag.names.iter().map(|name| match name.len() {
                1 => format!("-s {name}"),
                _ => format!("-l {name}"),
            });
            let value = if flag.takes == Takes::Switch { "" } else { " -r" };
            let names = names.collect::<Vec<_>>().join(" ");
            let _ = writeln!(script, "complete -c swarmd -n {here} {names}{value} -d {}", quoted(flag.help));
        }
    }
    script
}

/// When fish is at this place.
fn condition(place: &Place) -> String {
    let seen = |words: &str| format!("__fish_seen_subcommand_from {words}");
    match place.words.split_once(' ') {
        Some((group, member)) => format!("'{}; and {}'", seen(group), seen(member)),
        None if place.words.is_empty() => "__fish_use_subcommand".into(),
        None if place.commands.is_empty() => format!("'{}'", seen(&place.words)),
        None => {
            let members: Vec<_> = place.commands.iter().map(|(name, _)| *name).collect();
            format!("'{}; and not {}'", seen(&place.words), seen(&members.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands;
    use super::*;

    #[test]
    fn every_script_knows_every_command_and_flag() {
        for shell in SHELLS {
            let script = script(shell).unwrap();
            for spec in commands::all() {
                let word = spec.name.rsplit(' ').next().unwrap();
                assert!(script.contains(word), "{shell}: {word}");
                for flag in spec.flags.iter().copied().flatten() {
                    assert!(script.contains(flag.names[0]), "{shell}: {} --{}", spec.name, flag.names[0]);
                }
            }
        }
        assert_eq!(script("tcsh"), None);
    }

    /// What bash itself makes of it.
    #[test]
    fn bash_completes() {
        let ask = |line: &str| {
            let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
            let ask = format!(
                "COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _swarmd; echo \"${{COMPREPLY[*]}}\"",
                words.join(" ")
            );
            let done = std::process::Command::new("bash").args(["-c", &(bash() + &ask)]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_string()
        };
        assert_eq!(ask("swarmd ru"), "run");
        assert_eq!(ask("swarmd --debug ru"), "run");
        assert_eq!(ask("swarmd node la"), "label");
        assert_eq!(ask("swarmd node label --js"), "--json");
        assert_eq!(ask("swarmd run --config x --ro"), "--role");
        assert_eq!(ask("swarmd completion z"), "zsh");
        assert_eq!(ask("swarmd nosuch "), "");
    }
}
