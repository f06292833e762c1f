//! One reading of a list, with an end: what `swarmd list` prints.

use std::time::Duration;

use futures_util::future::join_all;

use crate::config::Config;
use crate::discovery::lan::client::Client;
use crate::discovery::lan::search;
use crate::discovery::{Backend, Entry, Means, Spec};
use crate::error::{Error, Kind, Result};
use crate::tls::{ClientTls, Peers};

/// The first list that can be had, within `patience`. With a token alone: what all its managers list together.
pub async fn list_once(config: &Config, patience: Duration) -> Result<Vec<Entry>> {
    let spec = Spec::parse(config.discovery.url.as_deref().unwrap_or_default())?;
    let reading = async {
        match &spec {
            Spec::Token { registry: None, token } if config.discovery.managers.is_empty() => {
                on_the_lan(config, token, patience).await
            }
            Spec::Token { registry: None, token } => at_managers(config, token).await,
            spec => read(&Backend::open(spec, &Means::of(config)?)?).await,
        }
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(listed) => listed,
        Err(_) => Err(Error::store(Kind::Timeout, "Timed out")),
    }
}

/// Reads a list, and leaves its store.
async fn read(backend: &Backend) -> Result<Vec<Entry>> {
    let listed = backend.list().await;
    if let Backend::Store(list) = backend {
        list.close().await;
    }
    listed
}

async fn at_managers(config: &Config, token: &str) -> Result<Vec<Entry>> {
    let means = Means::of(config)?;
    let backends: Result<Vec<Backend>> =
        config.discovery.managers.iter().map(|m| Backend::at_manager(m, token, &means)).collect();
    together(join_all(backends?.iter().map(Backend::list)).await)
}

async fn on_the_lan(config: &Config, token: &str, patience: Duration) -> Result<Vec<Entry>> {
    let tls = ClientTls::towards(config, Peers::FoundManagers)?;
    // Some time must be left for the answer.
    let found = search::managers(&config.advertise, token, search::PATIENCE.min(patience / 2)).await?;
    let list = async |found| Client::new(found, token, tls.as_ref())?.list().await;
    together(join_all(found.iter().map(list)).await)
}

/// Each entry once, in the order of the first list that has it. An error only if nobody answered.
fn together(lists: Vec<Result<Vec<Entry>>>) -> Result<Vec<Entry>> {
    let (mut all, mut good, mut failed): (Vec<Entry>, bool, _) = (Vec::new(), false, None);
    for list in lists {
        match list {
            Ok(entries) => {
                good = true;
                for entry in entries {
                    if !all.contains(&entry) {
                        all.push(entry);
                    }
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !good => Err(error),
        _ => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::entry;

    #[tokio::test]
    async fn a_single_list_keeps_duplicates_and_order() {
        let mut config = Config::default();
        config.discovery.url = Some("b:1,a:1,b:1".into());
        let listed = list_once(&config, Duration::from_secs(1)).await.unwrap();
        let printed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["b:1", "a:1", "b:1"]);
    }

    #[test]
    fn several_managers_are_one_list() {
        let list = |text: &str| Ok(text.split(' ').map(|e| entry::parse(e).unwrap()).collect());
        let down = || Err(Error::store(Kind::Connect, "down"));
        let all = together(vec![list("a:1 b:1"), down(), list("b:1 c:1")]).unwrap();
        assert_eq!(all.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:1", "c:1"]);
        assert_eq!(together(vec![down(), down()]).unwrap_err().message, "down");
        assert_eq!(together(vec![]).unwrap(), []);
    }
}
