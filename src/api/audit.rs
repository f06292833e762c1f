//! One record for each call that may change something: who, from where, what, on which node, with what result.
//!
//! It goes to the log under a target of its own, which no log level turns off; in the journal each part is a field
//! (`journalctl TARGET=swarmd::audit USER=alice`). There are no secrets in it: no bodies, headers or parameters.

use hyper::{Method, Request, Response, Uri};

use crate::access::Class;
use crate::api::answer::{Answer, Manager};
use crate::api::call::{Sender, split_path};
use crate::api::route;

/// Of the records. Which request it was is said by the span around it.
pub const TARGET: &str = "swarmd::audit";
/// The result of a call whose client left before the answer.
const ABORTED: &str = "aborted";
/// Longest object in a record.
const LONGEST: usize = 512;

/// In the extensions of an answer: the node that gave it.
#[derive(Debug, Clone)]
pub struct OnNode(pub String);

impl OnNode {
    /// Marks an answer.
    pub fn mark<B>(mut response: Response<B>, node: &str) -> Response<B> {
        response.extensions_mut().insert(OnNode(node.to_string()));
        response
    }
}

/// A call that will be recorded.
pub struct Entry {
    method: Method,
    object: String,
}

impl Entry {
    /// The entry for a request, if it is one that may change something, or that gets into a container. Agents that
    /// renew their registrations are not recorded; what is taken off a list is.
    pub fn of<B>(request: &Request<B>) -> Option<Entry> {
        let method = request.method();
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let found = split_path(request.uri().path()).ok().and_then(|(_, path)| route::find(method, &path));
        let recorded = match found {
            Some(route) if route.answer == Answer::Here(Manager::Registry) => *method == Method::DELETE,
            Some(route) => route.class == Class::Enter || !(reads || route.class == Class::Look),
            None => !reads,
        };
        recorded.then(|| Entry { method: method.clone(), object: object(request.uri()) })
    }

    fn write(&self, sender: &Sender, node: &str, result: &str) {
        let Entry { method, object } = self;
        let caller = &sender.caller;
        let user = if caller.name.is_empty() { "-" } else { caller.name.as_str() };
        tracing::info!(
            target: TARGET,
            USER = user,
            ROLE = caller.role(),
            PEER = %sender.peer,
            METHOD = %method,
            OBJECT = %object,
            NODE = node,
            RESULT = %result,
            "{user} ({}) {method} {object}: {result}",
            caller.role()
        );
    }
}

/// The record of a call under way. It is written in any case: a client that leaves before the answer ends its call, but
/// not what the call has done by then.
pub struct Record<'s> {
    entry: Option<Entry>,
    sender: &'s Sender,
}

impl<'s> Record<'s> {
    /// Of what `Entry::of` says.
    pub fn of<B>(request: &Request<B>, sender: &'s Sender) -> Record<'s> {
        Record { entry: Entry::of(request), sender }
    }

    /// The call was answered.
    pub fn answered<B>(mut self, response: &Response<B>) {
        let node = response.extensions().get::<OnNode>().map_or("", |node| node.0.as_str());
        if let Some(entry) = self.entry.take() {
            entry.write(self.sender, node, response.status().as_str());
        }
    }

    /// Somebody else has the record, or there is to be none.
    pub fn drop_unwritten(mut self) {
        self.entry = None;
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.write(self.sender, "", ABORTED);
        }
    }
}

/// What is done something to: the path, without parameters and without the tokens that some paths hold.
fn object(uri: &Uri) -> String {
    let path = uri.path();
    let path = match path.split_once("/clusters/") {
        Some((before, token)) if !token.is_empty() => format!("{before}/clusters/TOKEN"),
        _ => path.to_string(),
    };
    path.chars().take(LONGEST).collect()
}

/// Parameters whose values say nothing that is secret. Of all others only the name is logged: build arguments, addresses
/// of Git repositories and the like may hold passwords.
const SHOWN: [&str; 27] = [
    "all",
    "limit",
    "size",
    "follow",
    "stdout",
    "stderr",
    "timestamps",
    "tail",
    "since",
    "until",
    "stream",
    "name",
    "t",
    "v",
    "force",
    "link",
    "signal",
    "fromImage",
    "tag",
    "repo",
    "platform",
    "h",
    "w",
    "condition",
    "ttl",
    "networkmode",
    "filters",
];

/// What logs say was asked for.
pub fn shown(uri: &Uri) -> String {
    let query = uri.query().map(|query| {
        let shown = |pair: &str| match pair.split_once('=') {
            Some((key, _)) if !SHOWN.contains(&key) => format!("{key}=..."),
            _ => pair.to_string(),
        };
        format!("?{}", query.split('&').map(shown).collect::<Vec<_>>().join("&"))
    });
    object(uri) + &query.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;
    use crate::access::Caller;
    use crate::api::call::{Peer, RequestId};

    /// Collects the results of records.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl tracing::field::Visit for Seen {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            if field.name() == "RESULT" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            event.record(&mut self.clone());
        }
    }

    #[test]
    fn a_call_that_ends_without_an_answer_is_recorded() {
        let caller = Arc::new(Caller::trusted());
        let sender = Sender { peer: Peer::Unix, identity: None, caller, id: RequestId::make() };
        let record = |method: &str| {
            let request = Request::builder().method(method).uri("/containers/a").body(()).unwrap();
            Record::of(&request, &sender)
        };
        let seen = Seen::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(seen.clone()), || {
            drop(record("DELETE"));
            record("DELETE").answered(&Response::builder().status(204).body(()).unwrap());
            record("DELETE").drop_unwritten();
            drop(record("GET"));
        });
        assert_eq!(*seen.0.lock().unwrap(), ["aborted", "204"]);
    }

    #[test]
    fn what_changes_something_is_recorded() {
        let recorded = |method: &str, path: &str| {
            Entry::of(&Request::builder().method(method).uri(path).body(()).unwrap()).map(|e| e.object)
        };
        for (method, path) in [
            ("GET", "/containers/json"),
            ("POST", "/containers/a/wait"),
            ("HEAD", "/_ping"),
            ("POST", "/clusters/SECRET"),
            ("GET", "/nonsense"),
        ] {
            assert_eq!(recorded(method, path), None, "{method} {path}");
        }
        for (method, path, object) in [
            ("POST", "/v1.41/containers/create?name=a", "/v1.41/containers/create"),
            ("DELETE", "/containers/pi1%2Fa?v=1", "/containers/pi1%2Fa"),
            ("GET", "/containers/a/archive?path=/etc/shadow", "/containers/a/archive"),
            ("POST", "/build?buildargs=CANARY", "/build"),
            ("POST", "/nonsense", "/nonsense"),
            ("DELETE", "/v1/clusters/SECRET?entry=a:1", "/v1/clusters/TOKEN"),
            ("POST", "/swarmd/v1/nodes/pi1/drain", "/swarmd/v1/nodes/pi1/drain"),
        ] {
            assert_eq!(recorded(method, path).as_deref(), Some(object), "{method} {path}");
        }
    }

    #[test]
    fn tokens_and_secrets_are_not_logged() {
        for (asked, logged) in [
            ("/clusters/SECRET?ttl=180", "/clusters/TOKEN?ttl=180"),
            ("/v1/clusters/SECRET", "/v1/clusters/TOKEN"),
            ("/clusters/SECRET/", "/clusters/TOKEN"),
            ("/clusters", "/clusters"),
            ("/v1.41/containers/json?all=1", "/v1.41/containers/json?all=1"),
            (
                "/build?t=a&buildargs=%7B%22P%22%3A%22S%22%7D&remote=https://u:p@h",
                "/build?t=a&buildargs=...&remote=...",
            ),
        ] {
            assert_eq!(shown(&asked.parse().unwrap()), logged);
        }
    }
}
