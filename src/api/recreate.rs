//! Makes a container once more, by its recipe, as if a client had asked for it: the same filters, the same
//! reservations, the same preparation of the node.
//!
//! The container that it takes the place of counts as gone: its name, ports and memory are free. Nobody's
//! credentials are at hand, so its image comes from where the cluster has it. Who moves containers decides what
//! becomes of the old one, and when to start the new one.

use std::sync::Arc;

use hyper::{Method, StatusCode};

use crate::api::Api;
use crate::api::call::Ask;
use crate::api::create::{Created, Draft, Wanted};
use crate::api::proxy::{build, own_prefix};
use crate::cluster::Recipe;
use crate::cluster::moves::Moving;
use crate::cluster::view::View;
use crate::docker::http::{CALL_DEADLINE, answered, empty};
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};

impl Api {
    /// Reads the recipe of a container from its engine.
    pub async fn recipe_of(&self, node: &Node, container: &str) -> Result<Recipe> {
        let client = self.cluster.handle(node)?.client;
        let path = format!("{}/containers/{container}/json", own_prefix(node));
        let inspected = client.get_json(&path, CALL_DEADLINE).await?;
        let nothing = || Error::engine(Kind::Protocol, "the answer describes no container");
        Recipe::read(&inspected, node, &self.cluster.view()).ok_or_else(nothing)
    }

    /// Creates a container by its recipe on another node than those at the `excluded` addresses, and does not
    /// start it. Addresses that cannot be had there are given up, which the log tells.
    ///
    /// `moving` is that of the old container (`Cluster::begin_move`). Keep it until the move is over: a copy that
    /// does not run and that nobody moves counts as a left-over.
    pub async fn recreate(
        self: &Arc<Self>,
        moving: &Moving,
        recipe: &Recipe,
        excluded: &[String],
    ) -> Result<Created> {
        debug_assert_eq!(moving.id(), recipe.id);
        match self.recreate_as_is(recipe, excluded).await {
            Err(error) if recipe.has_addresses() && is_about_addresses(&error) => {
                gives_up(recipe, &error);
                self.recreate_as_is(&recipe.without_addresses(), excluded).await
            }
            outcome => outcome,
        }
    }

    /// Starts what `recreate` made. Some engines see only now that an address is taken: it is made once more
    /// then, without; `let_go` is called before, to free what is held for the first one. Whatever comes of it, also
    /// if it is given up, `created` is the one that is there.
    pub async fn start_recreated(
        self: &Arc<Self>,
        recipe: &Recipe,
        created: &mut Created,
        excluded: &[String],
        let_go: impl FnOnce(),
    ) -> Result<()> {
        let error = match self.start_container(&created.node, &created.id()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !recipe.has_addresses() || !is_about_addresses(&error) {
            return Err(error);
        }
        gives_up(recipe, &error);
        self.discard(&created.node, &created.id()).await?;
        let_go();
        *created = self.recreate_as_is(&recipe.without_addresses(), excluded).await?;
        self.start_container(&created.node, &created.id()).await
    }

    async fn recreate_as_is(self: &Arc<Self>, recipe: &Recipe, excluded: &[String]) -> Result<Created> {
        let mut ask = Ask::default();
        if !recipe.name.is_empty() {
            ask.query.set("name", &recipe.name);
        }
        let wanted = self.want_again(&self.cluster.view(), recipe, &ask).await?;
        self.create(Draft { ask, wanted, excluded: excluded.to_vec() }).await
    }

    /// What a recipe asks of the scheduler and of the node: also for saying where it would go.
    pub async fn want_again(&self, view: &View, recipe: &Recipe, ask: &Ask) -> Result<Wanted> {
        let mut wanted = self.understand(view, &ask.query, recipe.body.clone()).await?;
        let request = &mut wanted.request;
        request.replaces = Some(recipe.id.clone());
        request.afresh = true;
        // Where its networks were made says nothing about where it should go next.
        let drawn_back = format!("node==~{}", recipe.node);
        request.extra_constraints.retain(|constraint| *constraint != drawn_back);
        wanted.networks.clone_from(&recipe.networks);
        wanted.exact = self.exact_image(recipe);
        Ok(wanted)
    }

    /// Starts a container and waits until the view shows it.
    pub async fn start_container(&self, node: &Node, id: &str) -> Result<()> {
        let handle = self.cluster.handle(node)?;
        let path = format!("{}/containers/{id}/start", own_prefix(node));
        let request = build(Method::POST, &path, &hyper::HeaderMap::new(), empty())?;
        // Engines answer 304 to what runs already.
        let started = match self.ask(node, request).await {
            Err(e) if e.kind == Kind::Status(StatusCode::NOT_MODIFIED.as_u16()) => Ok(()),
            outcome => outcome.map(drop),
        };
        handle.refresh(What::Container(id.to_string())).await;
        started
    }

    /// Removes a container by force, and none of its volumes. That there is none any more is fine.
    pub async fn discard(&self, node: &Node, id: &str) -> Result<()> {
        let handle = self.cluster.handle(node)?;
        let path = format!("{}/containers/{id}?force=1", own_prefix(node));
        let (status, answer) = handle.client.call(Method::DELETE, &path, CALL_DEADLINE * 3).await?;
        match status.is_success() || status == StatusCode::NOT_FOUND {
            true => handle.forget(id).await,
            false => return Err(answered(status, &answer)),
        }
        Ok(())
    }
}

fn gives_up(recipe: &Recipe, error: &Error) {
    tracing::warn!(
        CONTAINER = recipe.name,
        "{} gets other addresses than it had on {}: {error}",
        recipe.name,
        recipe.node
    );
}

/// Whether an engine objects to an address that the container asks for.
fn is_about_addresses(error: &Error) -> bool {
    let text = error.message.to_lowercase();
    let said = |words: &str| text.contains(words);
    // Ports have their own words: "bind: address already in use".
    let port = said("bind") || said("port");
    (said("address already in use") && !port)
        || said("user specified ip address")
        || said("no configured subnet")
        || said("invalid address")
        || said("no available ip")
        || said("mac address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_addresses() {
        for (text, about) in [
            ("Address already in use", true),
            (
                "invalid config for network app: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.1.0.9",
                true,
            ),
            (
                "user specified IP address is supported only when connecting to networks with user configured subnets",
                true,
            ),
            (
                "driver failed programming external connectivity: listen tcp4 0.0.0.0:80: bind: address already in use",
                false,
            ),
            ("port is already allocated", false),
            ("No such image: x", false),
        ] {
            let error = Error::engine(Kind::Status(500), text);
            assert_eq!(is_about_addresses(&error), about, "{text}");
        }
    }
}
