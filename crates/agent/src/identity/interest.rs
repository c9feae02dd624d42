//! The remote addresses that records met and the feed is asked for: as many as the node talks to, whatever the size of
//! the cluster. Each is asked for once, and the answer holds until the address has not been met for a while.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use super::clock::Moment;
use super::counters::Table;

/// Addresses looked at for one that may go; when all of them are in use, the new one has no room.
const CHANCES: usize = 8;

/// A step from the addresses asked for so far to those wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Want(IpAddr),
    Drop(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    /// It did not come in time: it is no longer waited for.
    Overdue,
    Known,
    Unknown,
}

#[derive(Debug)]
struct Wanted {
    answer: Answer,
    used: Moment,
    /// Of the account in which the answer was told last.
    account: u32,
}

#[derive(Debug)]
pub struct Interest {
    wanted: HashMap<IpAddr, Wanted>,
    /// One entry for each address, and when it was queued.
    order: VecDeque<(Moment, IpAddr)>,
    wishes: Vec<Wish>,
    limit: usize,
    idle: Duration,
    misses: u64,
    known: u64,
    unknown: u64,
    unasked: u64,
    evicted: u64,
}

/// What asking has led to. Everything but `wanted` and `known_now` only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterestCounters {
    /// Addresses asked for now.
    pub wanted: u64,
    /// Addresses that had to be asked for.
    pub misses: u64,
    /// Answers that named the holder.
    pub known: u64,
    /// Answers that there is none.
    pub unknown: u64,
    /// Answers to what was not asked, or not any more: left out.
    pub unasked: u64,
}

impl Interest {
    pub fn new(limit: usize, idle: Duration) -> Self {
        Self {
            wanted: HashMap::new(),
            order: VecDeque::new(),
            wishes: Vec::new(),
            limit,
            idle,
            misses: 0,
            known: 0,
            unknown: 0,
            unasked: 0,
            evicted: 0,
        }
    }

    /// A record met `ip`: whether its answer is worth waiting for, and the address that had to make room.
    pub fn want(&mut self, ip: IpAddr, at: Moment) -> (bool, Option<IpAddr>) {
        if let Some(wanted) = self.wanted.get_mut(&ip) {
            wanted.used = at;
            return (wanted.answer == Answer::Awaited, None);
        }
        let mut gone = None;
        if self.wanted.len() >= self.limit {
            self.evicted += 1;
            gone = self.make_room(at);
            if gone.is_none() {
                return (false, None);
            }
        }
        self.misses += 1;
        self.wanted.insert(ip, Wanted { answer: Answer::Awaited, used: at, account: 0 });
        self.order.push_back((at, ip));
        self.wishes.push(Wish::Want(ip));
        (true, gone)
    }

    /// The least recently queued that was not met since then.
    fn make_room(&mut self, at: Moment) -> Option<IpAddr> {
        for _ in 0..CHANCES {
            let (moment, ip) = self.order.pop_front()?;
            match self.wanted.get(&ip) {
                Some(wanted) if wanted.used > moment => self.order.push_back((at, ip)),
                _ => {
                    self.drop(ip);
                    return Some(ip);
                }
            }
        }
        None
    }

    fn drop(&mut self, ip: IpAddr) {
        self.wanted.remove(&ip);
        self.wishes.push(Wish::Drop(ip));
    }

    /// A record was named by the answer for `ip`.
    pub fn touch(&mut self, ip: &IpAddr, at: Moment) {
        if let Some(wanted) = self.wanted.get_mut(ip) {
            wanted.used = at;
        }
    }

    /// False if nobody asked for it.
    pub fn answer(&mut self, ip: &IpAddr, known: bool, account: u32) -> bool {
        let Some(wanted) = self.wanted.get_mut(ip) else {
            self.unasked += 1;
            return false;
        };
        wanted.account = account;
        match known {
            true => self.known += 1,
            false => self.unknown += 1,
        }
        wanted.answer = if known { Answer::Known } else { Answer::Unknown };
        true
    }

    /// The answer did not come in time.
    pub fn despair_of(&mut self, ip: &IpAddr) {
        if let Some(wanted) = self.wanted.get_mut(ip)
            && wanted.answer == Answer::Awaited
        {
            wanted.answer = Answer::Overdue;
        }
    }

    /// The known ones of which `account` did not tell: they are nobody's.
    pub fn sweep(&mut self, account: u32) -> Vec<IpAddr> {
        let missing = self
            .wanted
            .iter_mut()
            .filter(|(_, wanted)| wanted.answer == Answer::Known && wanted.account != account);
        missing
            .map(|(ip, wanted)| {
                wanted.answer = Answer::Unknown;
                *ip
            })
            .collect()
    }

    /// Drops what was not met for so long; gives what was dropped.
    pub fn expire(&mut self, at: Moment) -> Vec<IpAddr> {
        let mut gone = Vec::new();
        while let Some((_, ip)) =
            self.order.pop_front_if(|(moment, _)| at.since(*moment) >= self.idle / 2)
        {
            match self.wanted.get(&ip) {
                Some(wanted) if at.since(wanted.used) < self.idle => self.order.push_back((at, ip)),
                _ => {
                    self.drop(ip);
                    gone.push(ip);
                }
            }
        }
        gone
    }

    pub fn take_wishes(&mut self) -> std::vec::Drain<'_, Wish> {
        self.wishes.drain(..)
    }

    pub fn counters(&self) -> InterestCounters {
        InterestCounters {
            wanted: self.wanted.len() as u64,
            misses: self.misses,
            known: self.known,
            unknown: self.unknown,
            unasked: self.unasked,
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "interest",
            entries: self.wanted.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn wishes(interest: &mut Interest) -> Vec<Wish> {
        interest.take_wishes().collect()
    }

    #[test]
    fn asked_for_once_and_dropped_when_idle() {
        let mut interest = Interest::new(8, Duration::from_secs(60));
        assert_eq!(interest.want(ip(1), at(0)), (true, None));
        assert_eq!(interest.want(ip(1), at(1)), (true, None));
        interest.want(ip(2), at(1));
        assert_eq!(wishes(&mut interest), [Wish::Want(ip(1)), Wish::Want(ip(2))]);
        assert!(interest.answer(&ip(1), false, 0) && !interest.answer(&ip(3), true, 0));
        assert_eq!(interest.want(ip(1), at(40)), (false, None), "known to be unknown");
        assert!(interest.expire(at(59)).is_empty());
        assert_eq!(interest.expire(at(90)), [ip(2)]);
        assert_eq!(interest.expire(at(125)), [ip(1)]);
        assert_eq!(wishes(&mut interest), [Wish::Drop(ip(2)), Wish::Drop(ip(1))]);
        assert!(interest.order.is_empty());
    }

    #[test]
    fn the_one_that_is_not_used_makes_room() {
        let mut interest = Interest::new(2, Duration::from_secs(60));
        interest.want(ip(1), at(0));
        interest.want(ip(2), at(0));
        interest.touch(&ip(1), at(1));
        assert_eq!(interest.want(ip(3), at(2)), (true, Some(ip(2))));
        interest.touch(&ip(3), at(3));
        interest.touch(&ip(1), at(3));
        // Both are in use; after a look at all, the first is as good as any.
        assert_eq!(interest.want(ip(4), at(4)).1, Some(ip(1)));
        assert_eq!(interest.table().entries, 2);
    }

    #[test]
    fn what_an_account_left_out_is_unknown() {
        let mut interest = Interest::new(8, Duration::from_secs(60));
        for last in 1..=3 {
            interest.want(ip(last), at(0));
        }
        interest.answer(&ip(1), true, 1);
        interest.answer(&ip(2), true, 2);
        assert_eq!(interest.sweep(2), [ip(1)]);
        assert_eq!(interest.want(ip(1), at(1)), (false, None));
        assert_eq!(interest.want(ip(3), at(1)), (true, None), "not answered yet");
    }
}
