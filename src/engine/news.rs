//! What an event says of a container, applied to what is known of it: most events tell enough for look-ups and the
//! scheduler, so that nobody waits for the engine to be asked. What they do not tell (addresses, ports) is read
//! soon after, once for all that changed; see `Container::stale`.

use crate::docker::types::EventMessage;
use crate::engine::container::Container;
use crate::engine::refresh::What;
use crate::engine::status::Life;

/// What to make of an event about a container.
#[derive(Debug)]
pub enum News {
    /// It is so now.
    Now(Box<Container>),
    /// It is gone.
    Gone,
    /// The event does not tell: the container must be read.
    Unclear,
}

/// Applies an event to what is known of its container.
pub fn apply(known: Option<&Container>, event: &EventMessage) -> News {
    let (action, detail) = event.action.split_once(':').unwrap_or((&event.action, ""));
    let at = Some(event.time_nano).filter(|at| *at > 0);
    let (Some(at), known) = (at, known) else { return News::Unclear };
    if action == "destroy" {
        return News::Gone;
    }
    if action == "create" {
        // What it asks of its host is not told: who had it made knows.
        return known.and_then(|known| named(known, event)).map_or(News::Unclear, now);
    }
    // Those that move when their node fails are read as a whole each time.
    let Some(known) = known.filter(|c| c.whole.is_none()) else { return News::Unclear };
    let life = &known.life;
    let life = match action {
        "start" => Life {
            running: true,
            started: Some(at),
            paused: false,
            restarting: false,
            dead: false,
            exit_code: 0,
            health: String::new(),
            ..life.clone()
        },
        "die" => {
            let Some(code) = event.actor.attributes.get("exitCode").and_then(|c| c.parse().ok()) else {
                return News::Unclear;
            };
            let ended = Life { running: false, paused: false, restarting: false, ..life.clone() };
            Life { exit_code: code, finished: Some(at), health: String::new(), ..ended }
        }
        "pause" => Life { paused: true, ..life.clone() },
        "unpause" => Life { paused: false, ..life.clone() },
        "health_status" => Life { health: detail.trim().to_string(), ..life.clone() },
        // They say what `die`, `start` and `destroy` say, too.
        "kill" | "stop" | "restart" | "oom" => life.clone(),
        _ => return News::Unclear,
    };
    now(Container { life, ..known.clone() })
}

fn now(container: Container) -> News {
    News::Now(Box::new(Container { stale: true, ..container }))
}

/// A container that we had made: the engine may have given it its name.
fn named(known: &Container, event: &EventMessage) -> Option<Container> {
    let name = event.actor.attributes.get("name")?;
    let names = if known.names.is_empty() { vec![format!("/{name}")] } else { known.names.clone() };
    Some(Container { names, ..known.clone() })
}

/// What must be read again after an event.
pub fn consequence(event: &EventMessage) -> Option<What> {
    const HARMLESS: [&str; 10] = [
        "top",
        "resize",
        "export",
        "exec_create",
        "exec_start",
        "exec_detach",
        "exec_die",
        "attach",
        "detach",
        "archive-path",
    ];
    // `exec_create: cmd …` carries its command line in the action.
    let action = event.action.split(':').next().unwrap_or_default();
    match event.kind.as_str() {
        "container" if action == "commit" => Some(What::Images),
        // It names no container: each that went has an event of its own, too.
        "container" if action == "prune" => Some(What::Containers),
        "container" if HARMLESS.contains(&action) || action == "copy" || action == "extract-to-dir" => None,
        "container" => Some(What::Container(event.actor.id.clone())),
        "image" => Some(What::Images),
        "volume" if matches!(action, "create" | "destroy" | "prune") => Some(What::Volumes),
        "network" if matches!(action, "create" | "destroy" | "remove" | "prune" | "update") => {
            Some(What::Networks)
        }
        // Attaching to a network shows in the container, not in the network's list entry.
        "network" if matches!(action, "connect" | "disconnect") => {
            event.actor.attributes.get("container").map(|id| What::Container(id.clone()))
        }
        "daemon" if action == "reload" => Some(What::Specs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, more: &str) -> EventMessage {
        let text = format!(
            r#"{{"Type":"container","Action":"{action}","timeNano":7,"Actor":{{"ID":"c1",
               "Attributes":{{"name":"web","image":"busybox","a":"b"{more}}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn applied(known: Option<&Container>, action: &str, more: &str) -> Container {
        match apply(known, &event(action, more)) {
            News::Now(container) => *container,
            other => panic!("{action}: {other:?}"),
        }
    }

    #[test]
    fn a_life_by_events() {
        let ours = Container { id: "c1".into(), image_id: "i".into(), ..Container::default() };
        let c = applied(Some(&ours), "create", "");
        assert_eq!((c.name(), &*c.image_id, c.life.word()), ("web", "i", "created"));
        assert!(c.stale && !c.rough);
        let c = applied(Some(&c), "start", "");
        assert_eq!((c.life.word(), c.life.started), ("running", Some(7)));
        let c = applied(Some(&c), "health_status: healthy", "");
        assert_eq!(c.life.health, "healthy");
        assert_eq!(applied(Some(&c), "pause", "").life.word(), "paused");
        let c = applied(Some(&c), "die", r#","exitCode":"3""#);
        assert_eq!((c.life.word(), c.life.exit_code, c.life.finished), ("exited", 3, Some(7)));
        assert!(matches!(apply(Some(&c), &event("destroy", "")), News::Gone));
    }

    #[test]
    fn what_is_not_told_is_read() {
        let known = Container { whole: Some(Default::default()), ..Container::default() };
        assert!(matches!(apply(Some(&known), &event("start", "")), News::Unclear), "it may move one day");
        let known = Container::default();
        for action in ["update", "rename", "die"] {
            assert!(matches!(apply(Some(&known), &event(action, "")), News::Unclear), "{action}");
        }
        for action in ["create", "start"] {
            assert!(matches!(apply(None, &event(action, "")), News::Unclear), "{action}: never heard of it");
        }
    }
}
