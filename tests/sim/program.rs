//! What a container's command does: a handful of commands imitated, anything else runs until stopped. It is
//! *not* a shell: no variables, pipes or loops.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use super::output::{Output, STDERR, STDOUT};

/// One step of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Prints to stdout.
    Print(String),
    /// Prints to stderr.
    Complain(String),
    /// Takes seconds.
    Sleep(f64),
    /// Copies stdin to stdout until its end.
    Cat,
    /// Reads lines from stdin and runs each.
    Shell,
    /// Ends with a code.
    Exit(i64),
    /// Runs until stopped.
    Forever,
}

/// The steps of a command line.
pub fn steps(argv: &[String]) -> Vec<Step> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sh" | "/bin/sh" | "bash", "-c", script, ..] => script_steps(script),
        ["sh" | "/bin/sh" | "bash"] => vec![Step::Shell],
        [] => vec![Step::Forever],
        words => match simple(words) {
            Some(step) => step,
            None => vec![Step::Forever],
        },
    }
}

fn script_steps(script: &str) -> Vec<Step> {
    let parts = script.split([';', '\n']).flat_map(|part| part.split("&&"));
    let mut steps = Vec::new();
    for part in parts.map(str::trim).filter(|p| !p.is_empty()) {
        let words: Vec<String> =
            part.split_whitespace().map(|w| w.trim_matches(['"', '\'']).to_string()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match simple(&words) {
            Some(more) => steps.extend(more),
            None => return steps.into_iter().chain([Step::Forever]).collect(),
        }
    }
    steps
}

fn simple(words: &[&str]) -> Option<Vec<Step>> {
    let command = words.first()?.rsplit('/').next()?;
    Some(match (command, &words[1..]) {
        ("true", _) => vec![],
        ("false", _) => vec![Step::Exit(1)],
        ("exit", [code]) => vec![Step::Exit(code.parse().ok()?)],
        ("echo", ["-n", text @ ..]) => vec![Step::Print(text.join(" "))],
        ("echo", [text @ .., ">&2" | "1>&2"]) => vec![Step::Complain(text.join(" ") + "\n")],
        ("echo", text) => vec![Step::Print(text.join(" ") + "\n")],
        ("sleep", [time]) => vec![sleep(time)?],
        ("cat", []) => vec![Step::Cat],
        ("hostname", []) => vec![Step::Print("sim\n".to_string())],
        _ => return None,
    })
}

fn sleep(time: &str) -> Option<Step> {
    if time == "infinity" || time == "inf" {
        return Some(Step::Forever);
    }
    let (number, unit) = match time.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &time[number.len()..]),
        None => (time, "s"),
    };
    let seconds = number.parse::<f64>().ok().filter(|n| *n >= 0.0)?;
    let unit = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => 1.0,
    };
    Some(Step::Sleep((seconds * unit).min(1e9)))
}

/// Whether the command needs no task of its own because nothing will happen.
pub fn idle(steps: &[Step]) -> bool {
    matches!(steps.first(), Some(Step::Forever))
}

/// Runs a command to its end and returns its exit code. Without stdin, reading finds its end at once.
pub async fn run(steps: Vec<Step>, mut stdin: Option<Receiver<Bytes>>, output: &Output) -> i64 {
    for step in steps {
        match step {
            Step::Print(text) => output.send(STDOUT, text.into()).await,
            Step::Complain(text) => output.send(STDERR, text.into()).await,
            Step::Sleep(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
            Step::Exit(code) => return code,
            Step::Forever => std::future::pending().await,
            Step::Cat => {
                while let Some(bytes) = receive(&mut stdin).await {
                    output.send(STDOUT, bytes).await;
                }
            }
            Step::Shell => return shell(&mut stdin, output).await,
        }
    }
    0
}

async fn receive(stdin: &mut Option<Receiver<Bytes>>) -> Option<Bytes> {
    stdin.as_mut()?.recv().await
}

async fn shell(stdin: &mut Option<Receiver<Bytes>>, output: &Output) -> i64 {
    let mut pending = Vec::new();
    let mut last = 0;
    while let Some(bytes) = receive(stdin).await {
        pending.extend_from_slice(&bytes);
        while let Some(end) = pending.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_string();
            last = 0;
            for step in script_steps(&line) {
                match step {
                    Step::Print(text) => output.send(STDOUT, text.into()).await,
                    Step::Complain(text) => output.send(STDERR, text.into()).await,
                    Step::Sleep(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
                    Step::Exit(code) if line.contains("exit") => return code,
                    Step::Exit(code) => last = code,
                    Step::Cat | Step::Shell => {}
                    Step::Forever => {
                        last = 127;
                        let word = line.split_whitespace().next().unwrap_or("");
                        output.send(STDERR, format!("sh: {word}: not found\n").into()).await;
                    }
                }
            }
        }
    }
    last
}
