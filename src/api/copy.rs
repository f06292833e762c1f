//! One image from one node to another: what the one saves is loaded by the other while it comes. Nothing is
//! kept here but the piece that is under way, so the slower side sets the pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use crate::api::call::Query;
use crate::api::fanout::Messages;
use crate::api::holders::Found;
use crate::api::proxy::own_prefix;
use crate::cluster::Cluster;
use crate::docker::http::{Body, answered, boxed, empty, read_whole, request};
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};
use crate::scheduler::explain::size;

/// An engine packs a whole image before it sends the first byte, and unpacks it before it answers: on an SD
/// card that takes minutes. If nothing at all moves for this long, the copy has died.
const STALLED: Duration = Duration::from_secs(600);
/// Pause between two lines about a copy under way.
const REPORT: Duration = Duration::from_secs(10);

/// A copy that did not come to its end.
#[derive(Debug)]
pub struct Broken {
    /// Whether another source may do better.
    pub by_source: bool,
    /// What happened.
    pub error: Error,
}

/// A copy to be made.
pub struct Copy<'a> {
    /// Where all nodes are.
    pub cluster: &'a Cluster,
    /// The image and where it is.
    pub found: &'a Found,
    /// The reference to save it by, which is what it will be called there.
    pub reference: &'a str,
    /// Where it goes.
    pub target: &'a Node,
}

impl Copy<'_> {
    /// Carries the image over. Returns when the target has it.
    pub async fn run(&self) -> Result<(), Broken> {
        let begun = Instant::now();
        let meter = Arc::new(Meter::default());
        self.say(&format!("copying {self} (about {})", size(self.found.image.size)));
        let carried = tokio::select! {
            carried = self.carry(&meter) => carried,
            error = self.watch(&meter) => Err(Broken { by_source: false, error }),
            error = self.cluster.until_lost(&self.found.node) => Err(Broken { by_source: true, error }),
            error = self.cluster.until_lost(self.target) => Err(Broken { by_source: false, error }),
        };
        match &carried {
            Ok(()) => self.say(&format!(
                "copied {self}: {} in {:.1} s",
                meter.text(),
                begun.elapsed().as_secs_f32()
            )),
            Err(broken) => tracing::warn!(
                NODE = self.target.name(),
                IMAGE = self.reference,
                "copying {self} failed after {}: {}",
                meter.text(),
                broken.error
            ),
        }
        carried
    }

    async fn carry(&self, meter: &Arc<Meter>) -> Result<(), Broken> {
        let by = |by_source| move |error| Broken { by_source, error };
        let archive = self.save().await.map_err(by(true))?;
        let archive = meter.measure(archive, self.found.node.name());
        self.load(archive, meter).await.map_err(|error| match meter.fault() {
            // What the target makes of an archive that ends too early is not what happened.
            Some(fault) => Broken { by_source: true, error: fault },
            None => Broken { by_source: false, error },
        })
    }

    async fn save(&self) -> Result<Incoming> {
        let node = &self.found.node;
        let mut query = Query::default();
        query.set("names", self.reference);
        let path = format!("{}/images/get{}", own_prefix(node), query.to_text());
        let client = self.cluster.handle(node)?.client;
        let response = client.send(request(Method::GET, &path, empty())?).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(answered(status, &read_whole(boxed(response.into_body())).await?)),
        }
    }

    async fn load(&self, archive: Body, meter: &Meter) -> Result<()> {
        let handle = self.cluster.handle(self.target)?;
        // Not quietly: its progress is the sign of life while it unpacks.
        let path = format!("{}/images/load?quiet=0", own_prefix(self.target));
        let mut request = request(Method::POST, &path, archive)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let response = handle.client.send(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(answered(status, &read_whole(boxed(response.into_body())).await?));
        }
        let mut messages = Messages::new(response.into_body(), STALLED);
        while messages.next().await?.is_some() {
            meter.tick();
        }
        handle.refresh(What::Images).await;
        Ok(())
    }

    /// Tells how far the copy is, now and then. Ends only if nothing moves any more.
    async fn watch(&self, meter: &Meter) -> Error {
        let (mut seen, mut moved) = (0, Instant::now());
        loop {
            tokio::time::sleep(REPORT).await;
            self.say(&format!("copying {self}: {} of about {}", meter.text(), size(self.found.image.size)));
            let ticks = meter.ticks.load(Ordering::Relaxed);
            if ticks != seen {
                (seen, moved) = (ticks, Instant::now());
            } else if moved.elapsed() > STALLED {
                let text = format!("no progress for {} s after {}", STALLED.as_secs(), meter.text());
                return Error::engine(Kind::Timeout, text);
            }
        }
    }

    fn say(&self, text: &str) {
        tracing::info!(NODE = self.target.name(), IMAGE = self.reference, "{text}");
    }
}

impl std::fmt::Display for Copy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {} to {}", self.reference, self.found.node.name(), self.target.name())
    }
}

/// What passes from source to target, counted.
#[derive(Default)]
struct Meter {
    bytes: AtomicU64,
    ticks: AtomicU64,
    fault: Mutex<Option<Error>>,
}

impl Meter {
    /// The same archive, counted; an error of the source is kept for later.
    fn measure(self: &Arc<Meter>, archive: Incoming, node: &str) -> Body {
        let (counting, failing, node) = (Arc::clone(self), Arc::clone(self), node.to_string());
        let counted = archive.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            counting.bytes.fetch_add(bytes, Ordering::Relaxed);
            counting.tick();
            frame
        });
        boxed(counted.map_err(move |e| {
            let error = Error::engine(Kind::Broken, format!("the image from {node} broke off: {e}"));
            *failing.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            error
        }))
    }

    fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    fn fault(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn text(&self) -> String {
        size(i64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
    }
}
