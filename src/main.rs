//! The program: reads its command line, runs what it says, turns errors into exit codes.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use swarmd::cli::{self, Command, Outcome, create, doctor, show};
use swarmd::client::{self, Answer};
use swarmd::config::Tls;
use swarmd::config::load::Loaded;
use swarmd::daemon;
use swarmd::discovery::list_once;
use swarmd::docker::endpoint::Endpoint;
use swarmd::docker::http::{CALL_DEADLINE, Client, answered, empty, request};
use swarmd::error::{Error, Kind, Result};
use swarmd::systemd::inherited::Inherited;
use swarmd::systemd::journal;
use swarmd::tls::ClientTls;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any thread exists: taking inherited sockets changes the environment.
    let inherited = Inherited::take();
    let early_log = journal::early();
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let outcome = match cli::parse(&program, &args, &|name| std::env::var(name).ok()) {
        Ok(command) => {
            // The daemon's own log takes over.
            drop(early_log);
            inherited.map_or_else(|e| Outcome::of_error(&e), |inherited| execute(command, inherited))
        }
        Err(outcome) => outcome,
    };
    outcome.print()
}

fn execute(command: Command, inherited: Inherited) -> Outcome {
    match command {
        Command::Run(loaded) => finish(daemon::run(*loaded, inherited), Outcome::of_error),
        Command::Manage(loaded) | Command::Join(loaded) => {
            finish(daemon::run(*loaded, inherited), Outcome::of_classic_error)
        }
        Command::List { loaded, timeout } => printed(block_on(list(&loaded, timeout))),
        Command::Create { manager: None, .. } => created(create::mint()),
        Command::Create { manager: Some(manager), tls } => created(block_on(create_at(manager, &tls))),
        Command::Check(checkup) => examine(&checkup),
        Command::ShowConfig { sources, secrets } => show::config(&sources, secrets),
        Command::Ask { target, question, json } => {
            asked(block_on(client::ask(&target, &question, json, &mut say)))
        }
        Command::Enroll(plan) => {
            if plan.token.is_none() && std::io::stdin().is_terminal() {
                eprint!("join token: ");
            }
            asked(plan.with_token(std::io::stdin()).and_then(|plan| block_on(client::join::join(&plan))))
        }
        Command::Print(text) => Outcome::text(text),
    }
}

/// `swarmd check`. What it waits for is told beside the findings, which may go into a file.
fn examine(checkup: &doctor::Checkup) -> Outcome {
    let looked = block_on(async { Ok(doctor::check(checkup, &mut |text| eprint!("{text}")).await) });
    looked.unwrap_or_else(|e| Outcome::of_error(&e))
}

/// Prints at once. A closed pipe is no reason to stop: what is under way goes on.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Exit code 1 is the no of a plan, or of a drain that left something; what went wrong has others.
fn asked(result: Result<Answer>) -> Outcome {
    match result {
        Ok(Answer { text, good }) => Outcome { code: u8::from(!good), ..Outcome::text(text) },
        Err(error) => Outcome::of_error(&error),
    }
}

fn finish(result: Result<()>, failed: fn(&Error) -> Outcome) -> Outcome {
    result.map_or_else(|e| failed(&e), |()| Outcome::default())
}

fn printed(result: Result<String>) -> Outcome {
    result.map_or_else(|e| Outcome::of_classic_error(&e), Outcome::text)
}

fn created(token: Result<String>) -> Outcome {
    token.map_or_else(|e| Outcome::of_classic_error(&e), |token| Outcome::token(&token))
}

fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::us(Kind::Internal, format!("cannot start the runtime: {e}")))?.block_on(task)
}

/// `swarmd list`: one entry a line.
async fn list(loaded: &Loaded, timeout: Duration) -> Result<String> {
    let entries = list_once(&loaded.config, timeout).await?;
    Ok(entries.iter().map(|entry| format!("{entry}\n")).collect())
}

/// `swarmd create --host MANAGER`: a token of that manager's registry.
async fn create_at(manager: Endpoint, tls: &Tls) -> Result<String> {
    let client = Client::new(manager, ClientTls::from_config(tls)?);
    let post = request(hyper::Method::POST, "/v1/clusters", empty())?;
    let (status, body) = client.exchange(post, CALL_DEADLINE).await?;
    match status.is_success() {
        true => Ok(String::from_utf8_lossy(&body).trim().to_string()),
        false => Err(answered(status, &body)),
    }
}
