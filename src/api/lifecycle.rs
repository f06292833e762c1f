//! Calls that change a container: carried to its owner, then read again before the client hears of success,
//! so that a list right after the answer shows the change.

use std::sync::Arc;

use hyper::{Response, StatusCode};

use crate::api::call::{Call, encode};
use crate::api::{Api, error};
use crate::cluster::lookup;
use crate::docker::http::Body;
use crate::engine::Container;
use crate::engine::refresh::What;
use crate::error::{Error, Result};

impl Api {
    /// start, stop, restart, kill, pause, unpause, update
    pub async fn change_container(&self, call: Call, name: &str, action: &str) -> Result<Response<Body>> {
        let found = self.owned(name)?;
        let (node, container) = &found;
        let handle = self.cluster.handle(node)?;
        let path = format!("/containers/{}/{}", encode(lookup::spoken(&found, name)), encode(action));
        self.note_wish(&call, container, action);
        let response = self.forward(call, node, &path).await?;
        if matches!(action, "stop" | "kill") && is_refusal(response.status()) {
            self.cluster.moves().take_stop(&container.id);
        }
        match action {
            _ if !response.status().is_success() => {}
            "start" if container.whole.is_none() => handle.started(container).await,
            _ => handle.refresh(What::Container(container.id.clone())).await,
        }
        Ok(response)
    }

    /// Remembers what the user wants of a container that may have to be made anew. Before the engine is asked: it
    /// may die between that and its answer.
    fn note_wish(&self, call: &Call, container: &Container, action: &str) {
        const ENDING: [&str; 9] = ["", "KILL", "SIGKILL", "9", "TERM", "SIGTERM", "15", "INT", "SIGINT"];
        let signal = call.query.get("signal").unwrap_or_default().to_uppercase();
        match action {
            _ if container.whole.is_none() => {}
            "kill" if !ENDING.contains(&signal.as_str()) => {}
            "stop" | "kill" => self.cluster.moves().user_stops(&container.id),
            "start" | "restart" => drop(self.cluster.moves().take_stop(&container.id)),
            _ => {}
        }
    }

    /// `DELETE /containers/{name}`
    pub async fn remove_container(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let waits = self.waiting(name);
        if let (Some(id), true) = (&waits, call.query.flag("force")) {
            self.cluster.moves().give_up(id);
            self.cluster.hide(id);
            return Ok(error::nothing(StatusCode::NO_CONTENT));
        }
        let found = self.owned(name).map_err(|e| match waits {
            Some(_) => e.advise("with --force it moves no more, and is removed when its node is back"),
            None => e,
        })?;
        let (node, container) = &found;
        let handle = self.cluster.handle(node)?;
        let link = call.query.flag("link");
        let target = if link { name } else { lookup::spoken(&found, name) };
        let response = self.forward(call, node, &format!("/containers/{}", encode(target))).await?;
        match response.status() {
            _ if link => handle.refresh(What::Container(container.id.clone())).await,
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => handle.forget(&container.id).await,
            _ => {}
        }
        Ok(response)
    }

    /// ID of the container of this name, if its node is away and it waits for a place elsewhere.
    fn waiting(&self, name: &str) -> Option<String> {
        let (node, container) = lookup::container(&self.cluster.view(), name).ok()?;
        let waits = !node.is_healthy() && self.cluster.moves().why_waiting(&container.id).is_some();
        waits.then(|| container.id.clone())
    }

    /// `POST /containers/{name}/rename`: names are unique in the whole cluster. Once sent it is followed to its
    /// end though the client may leave: until the new name shows, nobody else gets it.
    pub async fn rename_container(self: &Arc<Self>, mut call: Call, name: &str) -> Result<Response<Body>> {
        let found = self.owned(name)?;
        let path = format!("/containers/{}/rename", encode(lookup::spoken(&found, name)));
        let (node, container) = found;
        let handle = self.cluster.handle(&node)?;
        let wanted = call.query.get("name").unwrap_or_default().to_string();
        let wanted = match lookup::node_prefix(&self.cluster.view(), &wanted) {
            Some((to, rest)) if to.addr == node.addr => rest.to_string(),
            _ => wanted,
        };
        call.query.set("name", &wanted);
        let held = self.cluster.decide(|view, pending| {
            // What the same engine has is that engine's to refuse: its own name, say.
            if node.inventory.containers.named(wanted.trim_start_matches('/')).is_none() {
                pending.check_name(view, &wanted, None).map_err(|e| {
                    let message = format!("Error when allocating new name: {}", e.message);
                    Error { message, ..e }
                })?;
            }
            Ok(self.cluster.hold_name(pending, &wanted))
        })?;
        let api = Arc::clone(self);
        self.to_the_end(async move {
            let response = api.forward(call, &node, &path).await?;
            if response.status().is_success() {
                handle.refresh(What::Container(container.id.clone())).await;
            }
            drop(held);
            Ok(response)
        })
        .await
    }

    /// `POST /commit?container=…`: the image appears on the container's node.
    pub async fn commit(&self, mut call: Call) -> Result<Response<Body>> {
        let name = call.query.get("container").unwrap_or_default().to_string();
        let (node, container) = self.owned(&name)?;
        call.query.set("container", &container.id);
        let handle = self.cluster.handle(&node)?;
        let response = self.forward(call, &node, "/commit").await?;
        if response.status().is_success() {
            handle.refresh(What::Images).await;
        }
        Ok(response)
    }
}

/// Whether the engine did not do it, and it was not done before.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
