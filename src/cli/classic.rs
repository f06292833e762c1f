//! The classic command lines as sources of configuration: `create`, `list`, `manage`, `join`.
//!
//! Nearly every flag is another spelling of a key; here is what is more than that. The rules themselves,
//! with their classic texts, are in `config`.

use std::path::PathBuf;

use super::grammar::{Parsed, Takes};
use crate::config::check::Purpose;
use crate::config::keys;
use crate::config::load::Sources;
use crate::config::overlay::Setting;
use crate::config::problem::{Origin, Problem, Style};
use crate::config::value::{Bad, Value};

/// Settings from the flags that are spellings of keys.
pub fn settings(parsed: &Parsed) -> Vec<Setting> {
    let mut settings = Vec::new();
    for flag in parsed.flags().into_iter().filter(|flag| !flag.key.is_empty()) {
        let name = flag.names[0];
        let value = match flag.takes {
            Takes::Many => Value::List(parsed.all(name).into_iter().map(Value::from).collect()),
            Takes::Switch => Value::Boolean(parsed.switch(name).unwrap_or(false)),
            _ => Value::from(parsed.last(name).unwrap_or_default()),
        };
        settings.extend(Setting::new(flag.key, value, origin(name)));
    }
    settings
}

fn origin(name: &str) -> Origin {
    Origin::Flag(format!("--{name}"))
}

/// The global flags: `--log-level` beats `--debug` wherever they stand, and `--debug=false` beats `DEBUG`.
pub fn global(sources: &mut Sources, global: &Parsed) {
    sources.flags.extend(settings(global));
    let level = match (global.last("log-level"), global.switch("debug")) {
        (Some(level), _) => Setting::new("log.level", level, origin("log-level")),
        (None, Some(true)) => Setting::new("log.level", "debug", origin("debug")),
        (None, off) => {
            if off == Some(false) {
                sources.env.remove("DEBUG");
            }
            None
        }
    };
    sources.flags.extend(level);
}

/// Adds what a classic command line says.
pub fn fill(sources: &mut Sources, parsed: &Parsed) {
    let purpose = sources.purpose;
    let relevant: &[&str] = match purpose {
        Purpose::Manage | Purpose::Run => {
            &["SWARM_DISCOVERY", "SWARM_HOST", "SWARM_ADVERTISE", "DEBUG", "STATE_DIRECTORY"]
        }
        Purpose::Join => &["SWARM_DISCOVERY", "SWARM_ADVERTISE", "DEBUG", "STATE_DIRECTORY"],
        Purpose::List => &["SWARM_DISCOVERY", "DEBUG"],
        Purpose::Create => &["DEBUG"],
    };
    sources.env.retain(|name, _| relevant.contains(&name.as_str()));
    sources.file = parsed.last("config").map(|path| (PathBuf::from(path), true));
    if purpose == Purpose::Manage {
        let port = Value::List(vec!["tcp://127.0.0.1:2375".into()]);
        sources.base.extend(Setting::new("manager.host", port, Origin::Default));
    }
    let (role, why) = match purpose {
        Purpose::Join => ("agent", "the command join"),
        Purpose::List => ("manager", "the command list"),
        _ => ("manager", "the command manage"),
    };
    sources.flags.extend(settings(parsed));
    sources.flags.extend(Setting::new("role", role, Origin::Implied(why)));
    if let [discovery] = parsed.positionals.as_slice() {
        let from = Origin::Flag("<discovery>".into());
        sources.flags.extend(Setting::new("discovery.url", discovery.as_str(), from));
    }
    if purpose == Purpose::Manage {
        manage(sources, parsed);
    }
}

/// What `manage` has beyond keys: the driver, its options, and a flag that is no more.
fn manage(sources: &mut Sources, parsed: &Parsed) {
    let retry = parsed.last("engine-refresh-retry").map(Value::from);
    if retry.is_some_and(|value| value.integer() != Ok(3)) {
        let text = "--engine-refresh-retry is deprecated. Use --engine-failure-retry";
        refuse(sources, "manager.engine-failure-retry", Bad::new(text));
    }
    if let Some(driver) = parsed.last("cluster-driver").filter(|name| *name != "swarm") {
        let bad = Bad::new(format!("unsupported cluster {driver:?}")).advise("the only driver is swarm");
        refuse(sources, "manager.overcommit", bad);
    }
    let options = parsed.all("cluster-opt");
    for (name, key) in
        [("swarm.overcommit", "manager.overcommit"), ("swarm.createretry", "manager.create-retry")]
    {
        let prefix = |option: &&&str| option.split('=').next() == Some(name);
        let Some(option) = options.iter().find(prefix) else {
            continue;
        };
        match option.split_once('=') {
            Some((_, value)) => {
                let from = Origin::Flag(format!("--cluster-opt {name}"));
                sources.flags.extend(Setting::new(key, value, from));
            }
            None => refuse(sources, key, Bad::new(format!("{name} needs a value: {name}=VALUE"))),
        }
    }
    let known = |option: &&&str| {
        let name = option.split('=').next();
        !matches!(name, Some("swarm.overcommit" | "swarm.createretry"))
    };
    let ignored: Vec<String> = options
        .iter()
        .filter(known)
        .map(|option| format!("--cluster-opt {option} is unknown and ignored"))
        .collect();
    sources.notes.extend(ignored);
}

fn refuse(sources: &mut Sources, key: &str, bad: Bad) {
    let problem = Problem::of_value(key, &Origin::Default, Style::Classic, bad);
    debug_assert!(keys::find(key).is_some(), "the key gives the place in the order");
    sources.refused.push(problem);
}

/// Reads `--timeout` of `list`.
pub fn timeout(sources: &mut Sources, parsed: &Parsed) -> std::time::Duration {
    let text = parsed.last("timeout").unwrap_or("10s");
    let read = Value::from(text).nanos().map(u64::try_from);
    let bad = match read {
        Ok(Ok(nanos)) if nanos > 0 => return std::time::Duration::from_nanos(nanos),
        Ok(_) => Bad::new("--timeout should be a positive number"),
        Err(bad) => bad,
    };
    sources.refused.push(Problem {
        origin: origin("timeout"),
        key: "timeout".into(),
        text: bad.text.replace("{name}", "--timeout"),
        advice: bad.advice,
    });
    std::time::Duration::ZERO
}
