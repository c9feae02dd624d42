//! Parcels that wait, bounded in bytes.

use std::collections::VecDeque;

use super::parcel::Parcel;

#[derive(Debug)]
pub struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    most_bytes: usize,
}

impl Queue {
    pub fn new(most_bytes: usize) -> Self {
        Self { parcels: VecDeque::new(), bytes: 0, most_bytes }
    }

    /// Also gives how many samples had to make room: the oldest, or those of a parcel that is too large for all of it.
    pub fn push(&mut self, parcel: Parcel) -> u64 {
        let mut lost = 0;
        self.bytes += parcel.body.len();
        self.parcels.push_back(parcel);
        while self.bytes > self.most_bytes {
            lost += self.pop().map_or(0, |it| it.samples);
        }
        lost
    }

    pub fn front(&self) -> Option<&Parcel> {
        self.parcels.front()
    }

    pub fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.pop_front()?;
        self.bytes -= parcel.body.len();
        Some(parcel)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let parcel = |length: usize, samples| Parcel { body: vec![0; length].into(), samples };
        let mut queue = Queue::new(10);
        assert_eq!([queue.push(parcel(4, 1)), queue.push(parcel(6, 2))], [0, 0]);
        assert_eq!((queue.push(parcel(5, 4)), queue.bytes()), (3, 5));
        assert_eq!((queue.push(parcel(11, 8)), queue.bytes(), queue.is_empty()), (12, 0, true));
        queue.push(parcel(3, 16));
        assert_eq!(queue.front().map(|it| it.samples), Some(16));
        assert_eq!((queue.pop().map(|it| it.samples), queue.bytes()), (Some(16), 0));
    }
}
