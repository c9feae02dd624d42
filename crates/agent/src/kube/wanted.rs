//! The addresses that the pipeline wants to know, on their way to the hub.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{HashMap, HashSet};
use tokio::sync::Notify;

use crate::identity::Wish;

/// Holds no more than the pipeline wants, and what it no longer wants until that has been told.
#[derive(Debug, Default)]
pub struct Wanted {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    wanted: HashSet<IpAddr>,
    /// Not told yet, and whether it is wanted or was dropped.
    untold: HashMap<IpAddr, bool>,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub add: Vec<IpAddr>,
    pub drop: Vec<IpAddr>,
}

impl Wanted {
    pub fn apply(&self, wishes: impl Iterator<Item = Wish>) {
        let mut wishes = wishes.peekable();
        if wishes.peek().is_none() {
            return;
        }
        let mut inner = self.lock();
        for wish in wishes {
            match wish {
                Wish::Want(ip) => {
                    inner.wanted.insert(ip);
                    inner.untold.insert(ip, true);
                }
                Wish::Drop(ip) => {
                    inner.wanted.remove(&ip);
                    inner.untold.insert(ip, false);
                }
            }
        }
        // While nobody is there to be told, drops are forgotten: a new stream begins with all that is wanted.
        if inner.untold.len() > 2 * inner.wanted.len() + 1024 {
            let Inner { wanted, untold } = &mut *inner;
            untold.retain(|ip, _| wanted.contains(ip));
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Everything that is wanted: for a new stream.
    pub fn all(&self) -> Vec<IpAddr> {
        let mut inner = self.lock();
        inner.untold.clear();
        inner.wanted.iter().copied().collect()
    }

    /// What changed since the last call of this or of [`Self::all`].
    pub fn news(&self) -> News {
        let untold = std::mem::take(&mut self.lock().untold);
        let mut news = News::default();
        for (ip, wanted) in untold {
            if wanted { news.add.push(ip) } else { news.drop.push(ip) }
        }
        news
    }

    /// Returns when there may be news.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn the_last_wish_counts_and_a_new_stream_begins_with_all() {
        let wanted = Wanted::default();
        wanted.apply([Wish::Want(ip(1)), Wish::Want(ip(2)), Wish::Drop(ip(1))].into_iter());
        assert_eq!(wanted.news(), News { add: vec![ip(2)], drop: vec![ip(1)] });
        assert_eq!(wanted.news(), News::default());
        wanted.apply([Wish::Want(ip(3))].into_iter());
        let mut all = wanted.all();
        all.sort_unstable();
        assert_eq!(all, [ip(2), ip(3)]);
        assert_eq!(wanted.news(), News::default());
    }

    #[test]
    fn drops_that_nobody_hears_are_bounded() {
        let wanted = Wanted::default();
        for number in 0..100_000_u32 {
            let ip = IpAddr::from(number.to_be_bytes());
            wanted.apply([Wish::Want(ip), Wish::Drop(ip)].into_iter());
        }
        assert!(wanted.lock().untold.len() <= 1024);
    }
}
