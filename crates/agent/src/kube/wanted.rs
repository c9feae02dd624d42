//! The addresses that the pipeline wants to know, on their way to the hub.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
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
    /// Each with whether it was answered since it is wanted.
    wanted: HashMap<IpAddr, bool>,
    untold: HashMap<IpAddr, News>,
}

/// What the hub was not told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Add,
    Drop,
    /// Dropped and wanted anew: the answer is to be told again.
    Again,
}

/// What is to be told: first what is dropped, then what is added. An address may be in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub drop: Vec<IpAddr>,
    pub add: Vec<IpAddr>,
}

/// Everything that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct All {
    pub answered: Vec<IpAddr>,
    pub others: Vec<IpAddr>,
}

impl Wanted {
    pub fn apply(&self, wishes: impl Iterator<Item = Wish>) {
        let mut wishes = wishes.peekable();
        if wishes.peek().is_none() {
            return;
        }
        let mut inner = self.lock();
        let Inner { wanted, untold } = &mut *inner;
        for wish in wishes {
            match wish {
                Wish::Want(ip) => {
                    wanted.insert(ip, false);
                    let news = untold.entry(ip).or_insert(News::Add);
                    if *news == News::Drop {
                        *news = News::Again;
                    }
                }
                Wish::Drop(ip) => {
                    wanted.remove(&ip);
                    untold.insert(ip, News::Drop);
                }
            }
        }
        // While nobody is there to be told, drops are forgotten: a new stream begins with all that is wanted.
        if untold.len() > 2 * wanted.len() + 1024 {
            untold.retain(|ip, _| wanted.contains_key(ip));
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// For a new stream.
    pub fn all(&self) -> All {
        let mut inner = self.lock();
        inner.untold.clear();
        let mut all = All::default();
        for (ip, answered) in &inner.wanted {
            if *answered { all.answered.push(*ip) } else { all.others.push(*ip) }
        }
        all
    }

    /// What changed since the last call of this or of [`Self::all`].
    pub fn news(&self) -> Told {
        let untold = std::mem::take(&mut self.lock().untold);
        let mut told = Told::default();
        for (ip, news) in untold {
            if matches!(news, News::Drop | News::Again) {
                told.drop.push(ip);
            }
            if matches!(news, News::Add | News::Again) {
                told.add.push(ip);
            }
        }
        told
    }

    /// The answer is on its way to the pipeline.
    pub fn answered(&self, ip: IpAddr) {
        if let Some(answered) = self.lock().wanted.get_mut(&ip) {
            *answered = true;
        }
    }

    /// Everything will be answered anew.
    pub fn forget_answers(&self) {
        self.lock().wanted.values_mut().for_each(|answered| *answered = false);
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

    fn told(wanted: &Wanted, drop: &[u8], add: &[u8]) {
        let mut news = wanted.news();
        news.drop.sort_unstable();
        news.add.sort_unstable();
        let ips = |all: &[u8]| all.iter().copied().map(ip).collect();
        assert_eq!(news, Told { drop: ips(drop), add: ips(add) });
    }

    #[test]
    fn the_last_wish_counts_and_a_new_stream_begins_with_all() {
        let wanted = Wanted::default();
        wanted.apply([Wish::Want(ip(1)), Wish::Want(ip(2)), Wish::Drop(ip(1))].into_iter());
        told(&wanted, &[1], &[2]);
        told(&wanted, &[], &[]);
        wanted.apply([Wish::Want(ip(3))].into_iter());
        wanted.answered(ip(2));
        wanted.answered(ip(9));
        assert_eq!(wanted.all(), All { answered: vec![ip(2)], others: vec![ip(3)] });
        told(&wanted, &[], &[]);
        wanted.forget_answers();
        assert!(wanted.all().answered.is_empty());
    }

    #[test]
    fn what_is_wanted_anew_is_asked_for_anew() {
        let wanted = Wanted::default();
        wanted.apply([Wish::Want(ip(1)), Wish::Want(ip(2))].into_iter());
        told(&wanted, &[], &[1, 2]);
        wanted.answered(ip(1));
        wanted.apply([Wish::Drop(ip(1)), Wish::Want(ip(1))].into_iter());
        told(&wanted, &[1], &[1]);
        wanted.apply([Wish::Drop(ip(2)), Wish::Want(ip(2)), Wish::Drop(ip(2))].into_iter());
        told(&wanted, &[2], &[]);
        assert_eq!(wanted.all(), All { answered: vec![], others: vec![ip(1)] });
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
