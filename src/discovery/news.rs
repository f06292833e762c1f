//! Word of a change, from sources that can give it, and the rest of the loops that wait for it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::discovery::backoff;
use crate::error::Result;

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(100);

/// Ends when what was read, or written, may not hold any more. An error says that no word will come, for
/// the connection broke: a good moment to look, too.
pub type News = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// For sources that cannot tell.
pub fn none() -> News {
    Box::pin(std::future::pending())
}

/// How a loop rests between two turns. It is woken by news, but not driven by news that keep breaking.
#[derive(Debug, Default)]
pub struct Pace {
    broken: u32,
}

impl Pace {
    /// Rests for `pause`, or until there are news. Pauses after broken news grow up to `cap`.
    pub async fn rest(&mut self, pause: Duration, cap: Duration, news: News) {
        tokio::select! {
            () = sleep(pause) => self.broken = 0,
            told = news => match told {
                Ok(()) => {
                    self.broken = 0;
                    sleep(SETTLE).await;
                }
                Err(error) => {
                    tracing::debug!("No more news of the discovery service: {error}");
                    sleep(match self.broken {
                        0 => SETTLE,
                        n => backoff::retry(n, cap, fastrand::f64()),
                    })
                    .await;
                    self.broken += 1;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::error::{Error, Kind};

    #[tokio::test(start_paused = true)]
    async fn rests_until_the_time_or_the_news() {
        let (hour, cap) = (Duration::from_secs(3600), Duration::from_secs(8));
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.rest(hour, cap, none()).await;
        assert!(start.elapsed() >= hour);
        let start = Instant::now();
        pace.rest(hour, cap, Box::pin(async { Ok(()) })).await;
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn news_that_keep_breaking_are_asked_for_ever_more_rarely() {
        let (hour, cap) = (Duration::from_secs(3600), Duration::from_secs(8));
        let mut pace = Pace::default();
        let mut rests = Vec::new();
        for _ in 0..8 {
            let start = Instant::now();
            let broken = Box::pin(async { Err(Error::store(Kind::Broken, "x")) });
            pace.rest(hour, cap, broken).await;
            rests.push(start.elapsed());
        }
        assert!(rests[0] < Duration::from_secs(1), "{rests:?}");
        assert!(rests[7] >= cap / 2 && rests[7] <= cap + Duration::from_millis(2), "{rests:?}");
    }
}
