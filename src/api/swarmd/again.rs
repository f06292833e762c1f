//! A container as if it were asked for once more: for explanations, and for saying where it would go.

use serde_json::json;

use crate::api::Api;
use crate::api::wishes::Wishes;
use crate::cluster::View;
use crate::docker::json::Object;
use crate::engine::{Container, Node};
use crate::error::Result;
use crate::scheduler::Request;

impl Api {
    /// The request of a container that is there. Its networks may tie it to a node. Links within networks are
    /// not known of a container, and its volumes do not tie a new one to a node.
    pub(super) async fn asked_again(
        &self,
        view: &View,
        node: &Node,
        container: &Container,
    ) -> Result<Request> {
        let mut request = Request::again(container, node);
        let mut networks = Object::default();
        container.networks.iter().for_each(|(name, _)| networks.set(name, &json!({})));
        let mut body = Object::default();
        body.set("HostConfig", &json!({ "NetworkMode": request.host.network_mode }));
        body.set("NetworkingConfig", &json!({ "EndpointsConfig": networks }));
        let itself = request.replaces.clone();
        Wishes::read(view, &mut body, &mut request)?;
        // What compose had it replace is gone.
        request.replaces = itself;
        request.built_for = self.built_for(view, &request.image).await;
        Ok(request)
    }
}
