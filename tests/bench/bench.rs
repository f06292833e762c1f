//! The whole manager under load: `tests/bench/run --help`.
//!
//! ```text
//!  this process: load, clocks, table ──► manager under test (a process of its own) ──► simulated engines
//!       └── starts both, reads /proc of both, asks the engines how often they were called ──┘  (one process)
//! ```
//!
//! It measures and compares; it is *not* a test: what must hold is tested elsewhere, without a clock.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]

mod client;
mod company;
mod converge;
mod creates;
mod engines;
mod events;
mod failures;
mod options;
mod reads;
mod sheet;
mod small;
mod streams;
mod subject;

#[path = "../sim/mod.rs"]
mod sim;

use std::process::ExitCode;

use engines::Fleet;
use options::{Options, Parsed};
use sheet::Sheet;
use subject::Subject;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [first, rest @ ..] = arguments.as_slice()
        && first == engines::CHILD
    {
        runtime.block_on(engines::serve(rest));
        return ExitCode::SUCCESS;
    }
    match options::parse(&arguments) {
        Ok(Parsed::Help) => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        // `cargo test --benches`: nothing is asked for.
        Ok(Parsed::Nothing) => ExitCode::SUCCESS,
        Ok(Parsed::Run(options)) => {
            runtime.block_on(run(&options));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("tests/bench/run: {why}; see --help");
            ExitCode::from(64)
        }
    }
}

async fn run(options: &Options) {
    for nodes in &options.nodes {
        let mut sheet = Sheet::new(*nodes, options);
        for round in 0..options.rounds {
            for subject in &options.subjects {
                eprintln!("== {nodes} nodes, round {}, {}", round + 1, subject.label);
                measure(*nodes, options, subject, &mut sheet).await;
            }
        }
        println!("{sheet}");
    }
}

/// One manager, from its start to its end, on engines of its own.
async fn measure(nodes: usize, options: &Options, subject: &Subject, sheet: &mut Sheet) {
    let wanted = |part: &str| options.wants(part);
    sheet.column(&subject.label);
    if wanted("small") {
        small::measure(subject, sheet).await;
    }
    let mut fleet = Fleet::start(nodes, options).await;
    let Some(mut manager) = converge::measure(&mut fleet, subject, options, sheet).await else { return };
    if wanted("idle") {
        converge::idle(&mut fleet, &manager, options, sheet).await;
    }
    if wanted("reads") {
        reads::measure(&fleet, &manager, options, sheet).await;
    }
    if wanted("events") {
        events::measure(&fleet, &manager, options, sheet).await;
    }
    if wanted("streams") {
        streams::measure(&fleet, &manager, sheet).await;
    }
    if wanted("creates") {
        creates::measure(&mut fleet, &manager, options, sheet).await;
    }
    if wanted("company") {
        company::measure(&mut fleet, &manager, options, sheet).await;
    }
    if wanted("failures") {
        failures::measure(&mut fleet, &manager, options, sheet).await;
    }
    // Last: a manager that dies of it had measured everything else.
    if wanted("flood") {
        creates::flood(&mut fleet, &mut manager, options, sheet).await;
    }
}
