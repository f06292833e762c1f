//! What operators say about nodes, on all managers: the primary writes its book into the store, the others make it
//! theirs. So a node that was paused stays paused when another manager leads.
//!
//! A new primary reads once before it lets anything be said, and from then on its own book is the one that counts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::orders::Book;
use crate::cluster::{Cluster, Others};
use crate::election::board::Board;
use crate::election::{Mandate, Role};
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::{self, Beat};

/// How long a store may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// How often we look although nothing was heard, and how soon after a failure.
const LOOK: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(2);
/// Commands that may wait.
const QUEUE: usize = 16;

enum Command {
    Ask(oneshot::Sender<Result<()>>),
    Tell(oneshot::Sender<Result<()>>),
}

/// The ear of the task that keeps the books alike.
pub struct Notices(mpsc::Sender<Command>);

impl Notices {
    /// Starts the task; it ends when `cancel` fires.
    pub fn begin(
        board: Board,
        cluster: Arc<Cluster>,
        mandate: Mandate,
        beat: Beat,
        cancel: CancellationToken,
    ) -> Notices {
        let (commands, ear) = mpsc::channel(QUEUE);
        let keeper = Keeper { board, cluster, mandate, beat, settled: None, trouble: None };
        tokio::spawn(async move { cancel.run_until_cancelled(keeper.run(ear)).await });
        Notices(commands)
    }

    async fn command(&self, make: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let (done, wait) = oneshot::channel();
        let stopping = || Error::us(Kind::NotPrimary, "this manager is stopping");
        self.0.send(make(done)).await.map_err(|_| stopping())?;
        wait.await.map_err(|_| stopping())?
    }
}

impl Others for Notices {
    fn ask(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.command(Command::Ask))
    }

    fn tell(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.command(Command::Tell).await.map_err(|error| Error {
                message: format!(
                    "it holds here, but the other managers do not know of it: {}",
                    error.message
                ),
                ..error
            })
        })
    }
}

struct Keeper {
    board: Board,
    cluster: Arc<Cluster>,
    mandate: Mandate,
    beat: Beat,
    /// The reign of ours in which we have read what was said before it.
    settled: Option<u64>,
    trouble: Option<String>,
}

impl Keeper {
    async fn run(mut self, mut ear: mpsc::Receiver<Command>) {
        loop {
            // It looks, rests, and looks again for whoever has asked; a look is a file and two calls.
            self.beat.within((beat::SAVING + CALL_DEADLINE * 2) * 2 + LOOK);
            let looked = self.look().await;
            let pause = if looked.is_ok() { LOOK } else { RETRY };
            self.note(looked);
            let reign = self.reign();
            let mandate = self.mandate.clone();
            tokio::select! {
                command = ear.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                () = sleep(pause) => {}
                () = mandate.until(|l| reign_of(l) != reign) => {}
                told = self.board.changed() => {
                    let broken = told.is_err();
                    self.note(told);
                    if broken {
                        sleep(RETRY).await;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Ask(done) => {
                let settled = self.settled.is_some() && self.settled == self.reign();
                let asked = if settled { Ok(()) } else { self.look().await };
                let _ = done.send(asked.and_then(|()| self.mandate.check()));
            }
            Command::Tell(done) => {
                let told = self.write().await;
                let _ = done.send(told);
            }
        }
    }

    /// Reads what is written. Whose book counts: that of a primary that has read the others', else the store's.
    async fn look(&mut self) -> Result<()> {
        let reign = self.reign();
        let found = timeout(CALL_DEADLINE, self.board.read()).await.unwrap_or_else(|_| Err(slow()))?;
        let found = found.map(|bytes| Book::parse(&bytes)).transpose().map_err(|why| {
            Error::store(Kind::Protocol, format!("what the store has about nodes cannot be read: {why}"))
        })?;
        if let (Some(book), true) = (&found, reign.is_none() || self.settled != reign) {
            self.cluster.adopt(book.clone()).await?;
        }
        self.settled = reign;
        let ours = self.cluster.desk().book();
        let told = found.as_ref() == Some(&*ours) || (found.is_none() && *ours == Book::default());
        if reign.is_some() && !told { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let text = self.cluster.desk().book().render()?;
        self.mandate.check()?;
        timeout(CALL_DEADLINE, self.board.write(&text)).await.unwrap_or_else(|_| Err(slow()))
    }

    /// The term, if we lead.
    fn reign(&self) -> Option<u64> {
        reign_of(&self.mandate.leadership())
    }

    fn note(&mut self, done: Result<()>) {
        let text = done.err().map(|error| error.to_string());
        if let Some(text) = text.as_ref().filter(|text| self.trouble.as_ref() != Some(text)) {
            tracing::warn!("what operators say about nodes is not shared with other managers: {text}");
        }
        self.trouble = text;
    }
}

fn reign_of(leadership: &super::Leadership) -> Option<u64> {
    (leadership.role == Role::Primary).then_some(leadership.term)
}

fn slow() -> Error {
    Error::store(Kind::Timeout, "the store does not answer in time")
}
