//! Help texts: the layout of the classic tool for its commands, teaching ones for `run`, `check`, `config`.
//!
//! All are made from the tables in `flags`; the golden files beside this one show what comes out.

use super::commands::{COMMANDS, CommandKind, Spec};
use super::flags::GLOBAL;
use super::grammar::{Flag, Tables, Takes};
use super::operate::Ask;
use crate::config::check::Purpose;

/// Help of the program as a whole.
pub fn app(program: &str) -> String {
    let commands: Vec<(String, String)> = COMMANDS
        .iter()
        .map(|spec| (aliases(spec.name, spec.short), spec.summary.to_string()))
        .chain([("help, h".to_string(), "Print the commands, or the help of one".to_string())])
        .collect();
    format!(
        "Usage: {program} [OPTIONS] COMMAND [arg...]\n\n\
         One Docker endpoint for a handful of machines running plain Docker\n\n\
         Version: {}\n\n\
         Options:\n{}\n\
         Commands:\n{}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        super::version_number(),
        options(GLOBAL),
        columns(&commands),
    )
}

/// Help of one command.
pub fn command(program: &str, spec: &Spec) -> String {
    let name = spec.name;
    let (operand, arguments) = match spec.kind {
        CommandKind::Classic(Purpose::Create) => ("", ""),
        CommandKind::Classic(_) => (" <discovery>", DISCOVERY),
        CommandKind::Group(members) => return group(program, spec, members),
        CommandKind::Ask(ask) => (ask.operand(), ""),
        CommandKind::Text(made) => (&*format!(" {}", made.words.join("|")), ""),
        _ => ("", ""),
    };
    let mut text = format!("Usage: {program} {name} [OPTIONS]{operand}\n\n{}\n\n", spec.summary);
    if !arguments.is_empty() {
        text += &format!("Arguments:\n{arguments}\n");
    }
    text += &format!("Options:\n{}", options(spec.flags));
    text += &tail(spec.kind).replace("{program}", program);
    text
}

/// Help of a word before further commands.
fn group(program: &str, spec: &Spec, members: &[Spec]) -> String {
    let rows: Vec<_> = members
        .iter()
        .map(|m| {
            let name = m.name.trim_start_matches(spec.name).trim_start();
            (name.to_string(), m.summary.to_string())
        })
        .collect();
    format!(
        "Usage: {program} {0} COMMAND [arg...]\n\n{1}\n\nCommands:\n{2}\n\
         Run '{program} {0} COMMAND --help' for more information on a command.\n{3}",
        spec.name,
        spec.summary,
        columns(&rows),
        if spec.name == "node" { NODE } else { "" },
    )
}

const DISCOVERY: &str = "   \
   <discovery>    where the engines of the cluster are listed [$SWARM_DISCOVERY]
                   * token://<host>:<port>/<token>, or token://<token>: a manager hosts it, others find it on the LAN
                   * consul://<ip>/<path>
                   * etcd://<ip1>,<ip2>/<path>
                   * file://path/to/file
                   * zk://<ip1>,<ip2>/<path>
                   * [nodes://]<ip1>:<port>,<ip2>:<port>
";

fn tail(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Classic(Purpose::Manage) => CLUSTER_OPTIONS,
        CommandKind::Classic(Purpose::Create) => CREATE,
        CommandKind::Classic(_) => "",
        CommandKind::Run => RUN,
        CommandKind::Check => CHECK,
        CommandKind::Config => CONFIG,
        CommandKind::Ask(Ask::Label) => LABEL,
        CommandKind::Ask(Ask::Pause) => PAUSE,
        CommandKind::Ask(Ask::Drain) => DRAIN,
        CommandKind::Ask(Ask::Rebalance) => REBALANCE,
        CommandKind::Ask(Ask::Remove) => REMOVE,
        CommandKind::Ask(Ask::Explain) => EXPLAIN,
        CommandKind::Ask(Ask::Plan) => PLAN,
        CommandKind::Ask(Ask::Status) => STATUS,
        CommandKind::Ask(Ask::JoinToken) => JOIN_TOKEN,
        CommandKind::Ask(Ask::PkiRotate) => ROTATE,
        CommandKind::Text(_) => TEXT,
        CommandKind::Ask(_) | CommandKind::Group(_) => "",
    }
}

const CLUSTER_OPTIONS: &str = "
Values of --cluster-opt:
   swarm.overcommit=0.05    share of memory and CPUs promised beyond what a node has
   swarm.createretry=0      further attempts of a failed create, on other nodes
";

const CREATE: &str = "
Any manager started with token://TOKEN keeps the list of this token itself. On the same network agents find it
with token://TOKEN; elsewhere they join with token://MANAGER:PORT/TOKEN. The token alone goes to the standard
output, what to do with it to the standard error.
";

const STATUS: &str = "
Of the manager: its role, what it listens on, the nodes, the list of engines and when that was read, what it tells
on the LAN, and what is wrong. Of the agent of this machine: whether its engine answers, with which managers it is
registered, and why not. Exit code 1 when something does not run or is wrong.
";

const JOIN_TOKEN: &str = "
Run it on the manager, as root. It prints one line to paste on the next machine:
   {program} join-token agent              a machine with Docker joins
   {program} join-token manager            another manager joins
   {program} join-token ls                 the tokens that there are, without their secrets
   {program} join-token revoke ID          takes one back
   {program} join-token rotate agent       takes all for agents back, and makes a new one
A manager without [pki] has the plain token of its configuration; one that was started with `{program} manage` has not
even that, so name its <discovery>:
   {program} join-token agent token://TOKEN
Whoever has a token can join an engine, and see the addresses of all others.
";

const ROTATE: &str = "
From now on another CA signs, and both are trusted: nothing is interrupted. Agents and managers renew their certificates
by themselves within a minute or two; once everybody has, the old CA is trusted no more. `{program} pki status` shows who
is missing. Users get new certificates with `{program} user add`.
";

const RUN: &str = "
What it does follows from `role` in the file:
   manager   serves the Docker API of the cluster
   agent     registers the Docker Engine of this host
   both      both, in one process; alone on a machine it needs no further setting

A cluster of several machines:
   1. {program} create                                   prints a TOKEN
   2. first machine, config.toml:   discovery.url = \"token://TOKEN\"
                                    agent.advertise = \"unix:///var/run/docker.sock\"
      and where to listen:          manager.host = [\"tcp://0.0.0.0:3376\"], with [tls] set up
   3. every other machine:          role = \"agent\"
                                    discovery.url = \"token://TOKEN\"
                                    agent.advertise = \"THIS-HOST:2376\"
   4. docker -H FIRST:3376 info

The agents find the first machine on the LAN. From another network: \"token://FIRST:3376/TOKEN\".
`{program} join-token agent` on the first machine prints what belongs on the others.

Order of precedence: --set and other flags, environment (SWARM_DISCOVERY, SWARM_HOST, SWARM_ADVERTISE,
DEBUG), config.d/*.toml in lexical order, config.toml, built-in defaults.
SIGHUP reads the files again. SIGTERM ends after open requests are done; a second one ends at once.

Exit codes: 64 bad command line, 69 something needed is not there, 70 internal error, 77 no permission,
78 bad configuration.
";

const CHECK: &str = "
Prints one line per finding, PASS, WARN or FAIL, and below it what to do: configuration, certificates, clock, name
and memory cgroup of this machine, state directory, ports, names, Docker, discovery, managers. It is done within
seconds, opens no port and changes nothing, so it can run beside the daemon. As root it knows most.

Exit code 0 when nothing failed; 78 when the configuration or a file that it names is wrong, 69 when something
else failed. With --json: `ok`, and `findings` with `verdict`, `about`, `text`, `cure`.
";

const CONFIG: &str = "
The output is a valid configuration file; the comment behind each value says where it came from: default,
FILE:LINE, an environment variable or a flag. Keys without a value are shown as comments. In place of tokens
and passwords stands ***, unless --secrets is given.
";

const NODE: &str = "
A NODE is named by its name, its engine's ID or its address. What is said about a node belongs to its engine:
it holds while the node is away and when the manager starts anew.
";

const LABEL: &str = "
Set disk, take rack off, and use it:
   {program} node label pi3 disk=ssd rack-
   docker run -e constraint:disk==ssd ...

Let a node have at most 5 containers:
   {program} node label pi3 containerslots=5

A label of the engine itself with the same key is hidden. What an engine says of itself (storagedriver,
kernelversion, operatingsystem, ostype, architecture) cannot be set.
";

const PAUSE: &str = "
Until `{program} node resume` nothing new is placed there, whatever a constraint asks for. `docker info` shows it.
";

const DRAIN: &str = "
Nothing new is placed there any more, as with `{program} node pause`. Then one container after the other is
created on another node, started, and stopped and removed here only when the new one runs (is healthy, if it
has a health check). What would be in its own way twice, such as on a multi-host network, stops first. If the
new one does not run, the old one goes on. No volume is ever removed.

These stay, and the list at the end says why: containers with a volume of this node or a directory of this machine, those that share something (--link, --volumes-from, --net container:), those that no other node
takes, with --rm, paused ones, stopped ones, and those that were not created through the manager. With the
label com.docker.swarm.reschedule-volumes=move a container moves without the data of its volumes.

Ctrl-C ends it after the container at hand; start it again to go on. `{program} node resume` takes the order
back; `{program} rebalance` brings containers back. Exit code 1 when something stays that somebody must see to:
all but stopped containers and those that are not the manager's.
";

const REBALANCE: &str = "
A node's load: 1 for each container that runs, and 1 for each tenth of its memory or CPUs that is reserved.
Strategy spread: a move must bring the loads of two nodes closer together by 1 or more. Strategy binpack: nodes
are emptied onto others, each as a whole. Strategy random: there is nothing to even out. Nodes that are
unhealthy, paused or drained are left alone.

A move restarts a container. So only those move that have nothing to lose: no volumes, no directories of the
machine, nothing shared with a container beside them, no network of this node over which they talk to one, none
that was placed beside them on purpose, and not reschedule:off. It goes on as `{program} node drain` does, and ends at the first failure. --dry-run shows
what stays, too.
";

const REMOVE: &str = "
Its engine and containers are not touched. A node whose agent still runs joins again, active and without
labels: stop the agent first. A node on a written list (nodes://, file://) is back when the manager starts anew.
";

const EXPLAIN: &str = "
Shows what the container asked for, what was decided when it was created (the manager remembers the last 1000
decisions until it ends), and what would be decided now if it were not there.
";

const TEXT: &str = "
Packages install both; by hand:
   {program} completion bash > /usr/share/bash-completion/completions/swarmd
   {program} completion zsh > /usr/share/zsh/vendor-completions/_swarmd
   {program} completion fish > /usr/share/fish/vendor_completions.d/swarmd.fish
   {program} manual swarmd.8 > /usr/share/man/man8/swarmd.8
   {program} manual swarmd.toml.5 > /usr/share/man/man5/swarmd.toml.5
";

const PLAN: &str = "
   {program} plan -- run -d -p 80:80 -e constraint:disk==ssd nginx
   {program} plan compose.yaml

Each container is placed with those before it in mind. Compose reads its files itself (`docker compose config`);
a .json file is taken as resolved already. Exit code 1 when something finds no node.
";

fn aliases(name: &str, short: &str) -> String {
    match short {
        "" => name.to_string(),
        _ => format!("{name}, {short}"),
    }
}

fn options(tables: Tables) -> String {
    let rows: Vec<(String, String)> =
        tables.iter().flat_map(|table| table.iter()).map(|flag| (left(flag), right(flag))).collect();
    columns(&rows)
}

/// `--name, -n "default"`, or `--name [--name option --name option]` for lists.
fn left(flag: &Flag) -> String {
    let dashed = |name: &&str| match name.len() {
        1 => format!("-{name}"),
        _ => format!("--{name}"),
    };
    let names: Vec<String> = flag.names.iter().map(dashed).collect();
    let names = names.join(", ");
    let first = dashed(&flag.names[0]);
    match flag.takes {
        Takes::Switch => names,
        Takes::Many => format!("{names} [{first} option {first} option]"),
        Takes::One | Takes::Number => format!("{names} \"{}\"", flag.default),
    }
}

fn right(flag: &Flag) -> String {
    match flag.env {
        "" => flag.help.to_string(),
        name => format!("{} [${name}]", flag.help),
    }
}

/// Two columns; a left part that is too wide does not push all others out.
fn columns(rows: &[(String, String)]) -> String {
    const WIDEST: usize = 44;
    let width = rows.iter().map(|(left, _)| left.len()).filter(|w| *w <= WIDEST);
    let width = width.max().unwrap_or(0);
    let row = |(left, right): &(String, String)| match left.len() <= width {
        true => format!("   {left:<width$}  {right}\n"),
        false => format!("   {left}\n   {:<width$}  {right}\n", ""),
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::commands;
    use super::*;

    /// The golden files are compared, never written: `swarmd COMMAND --help` prints what belongs there.
    #[test]
    fn help_is_as_in_the_golden_files() {
        let of = |name: &str| {
            let words: Vec<String> = name.split(' ').map(String::from).collect();
            command("swarmd", commands::named(&words).unwrap().0)
        };
        let version = super::super::version_number();
        for (name, made, golden) in [
            ("app", app("swarmd").replace(version, "VERSION"), include_str!("golden/app.txt")),
            ("create", of("create"), include_str!("golden/create.txt")),
            ("list", of("list"), include_str!("golden/list.txt")),
            ("manage", of("manage"), include_str!("golden/manage.txt")),
            ("join", of("join"), include_str!("golden/join.txt")),
            ("run", of("run"), include_str!("golden/run.txt")),
            ("check", of("check"), include_str!("golden/check.txt")),
            ("config", of("config"), include_str!("golden/config.txt")),
            ("node", of("node"), include_str!("golden/node.txt")),
            ("node ls", of("node ls"), include_str!("golden/node-ls.txt")),
            ("node inspect", of("node inspect"), include_str!("golden/node-inspect.txt")),
            ("node label", of("node label"), include_str!("golden/node-label.txt")),
            ("node pause", of("node pause"), include_str!("golden/node-pause.txt")),
            ("node drain", of("node drain"), include_str!("golden/node-drain.txt")),
            ("rebalance", of("rebalance"), include_str!("golden/rebalance.txt")),
            ("node resume", of("node resume"), include_str!("golden/node-resume.txt")),
            ("node rm", of("node rm"), include_str!("golden/node-rm.txt")),
            ("status", of("status"), include_str!("golden/status.txt")),
            ("join-token", of("join-token"), include_str!("golden/join-token.txt")),
            ("pki", of("pki"), include_str!("golden/pki.txt")),
            ("pki status", of("pki status"), include_str!("golden/pki-status.txt")),
            ("pki rotate", of("pki rotate"), include_str!("golden/pki-rotate.txt")),
            ("pki revoke", of("pki revoke"), include_str!("golden/pki-revoke.txt")),
            ("explain", of("explain"), include_str!("golden/explain.txt")),
            ("plan", of("plan"), include_str!("golden/plan.txt")),
            ("completion", of("completion"), include_str!("golden/completion.txt")),
            ("manual", of("manual"), include_str!("golden/manual.txt")),
        ] {
            assert_eq!(made, golden, "help of {name}");
        }
    }

    #[test]
    fn the_name_it_was_called_by_is_the_name_in_the_help() {
        let manage = command("swarm", commands::command("m").unwrap());
        assert!(manage.starts_with("Usage: swarm manage [OPTIONS] <discovery>\n\n"));
        assert!(!manage.contains("{program}"));
    }
}
