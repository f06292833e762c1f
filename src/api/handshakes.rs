//! TLS handshakes under way: so many at once, and of one address at most a quarter of them. Who is beyond that waits
//! its turn; so one that begins many and ends none keeps nobody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// One address gets one of so many parts.
const PARTS: usize = 4;

/// The turns. Of loopback they are counted in all only.
pub struct Handshakes {
    room: Semaphore,
    /// Most of one address.
    share: usize,
    shares: Mutex<HashMap<IpAddr, Share>>,
}

/// What one address has, for as long as anybody of it has a turn, or waits for one.
struct Share {
    turns: Arc<Semaphore>,
    users: usize,
}

impl Handshakes {
    /// `most` at once.
    pub fn new(most: usize) -> Handshakes {
        Handshakes { room: Semaphore::new(most), share: (most / PARTS).max(1), shares: Mutex::default() }
    }

    /// A turn of this address; it ends when the value is dropped.
    pub async fn turn(&self, from: IpAddr) -> Turn<'_> {
        let from = from.to_canonical();
        let user = (!from.is_loopback()).then(|| self.enter(from));
        // The semaphores are never closed.
        let own = match &user {
            Some(user) => Arc::clone(&user.turns).acquire_owned().await.ok(),
            None => None,
        };
        let room = self.room.acquire().await.ok();
        Turn { _room: room, _own: own, _user: user }
    }

    fn enter(&self, address: IpAddr) -> User<'_> {
        let mut shares = self.shares();
        let new = || Share { turns: Arc::new(Semaphore::new(self.share)), users: 0 };
        let share = shares.entry(address).or_insert_with(new);
        share.users += 1;
        User { all: self, address, turns: Arc::clone(&share.turns) }
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<IpAddr, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to shake hands.
pub struct Turn<'h> {
    _room: Option<SemaphorePermit<'h>>,
    _own: Option<OwnedSemaphorePermit>,
    _user: Option<User<'h>>,
}

/// Somebody of an address, from before it waits until it has ended.
struct User<'h> {
    all: &'h Handshakes,
    address: IpAddr,
    turns: Arc<Semaphore>,
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        let mut shares = self.all.shares();
        if let Some(share) = shares.get_mut(&self.address) {
            share.users -= 1;
            if share.users == 0 {
                shares.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_address_leaves_turns_for_others() {
        let all = Handshakes::new(8);
        let (greedy, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let (first, second) = (all.turn(greedy).await, all.turn(greedy).await);
        let mut third = Box::pin(all.turn(greedy));
        assert!(third.as_mut().now_or_never().is_none(), "it waits");
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(all.turn(mapped).now_or_never().is_none(), "the same machine");
        assert!(all.turn(other).now_or_never().is_some());
        drop(first);
        let third = third.await;
        drop((second, third));
        assert!(all.shares().is_empty(), "nobody is remembered");
    }

    #[tokio::test]
    async fn all_of_them_have_a_bound_and_loopback_no_other() {
        let all = Handshakes::new(8);
        let mut turns = Vec::new();
        for _ in 0..8 {
            turns.push(all.turn([127, 0, 0, 1].into()).now_or_never().expect("a turn"));
        }
        assert!(all.turn([10, 0, 0, 2].into()).now_or_never().is_none());
        turns.pop();
        assert!(all.turn([10, 0, 0, 2].into()).now_or_never().is_some());
        assert!(all.shares().is_empty(), "who gave up is not remembered either");
    }
}
