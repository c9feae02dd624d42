use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use model::Protocol;

use super::super::{Choice, Dial, Unavailable};
use super::*;

/// A connection tracking of plain data. `None`: it cannot be asked.
#[derive(Default)]
struct Fake {
    known: Option<HashMap<Dial, Choice>>,
    /// How many were asked at once.
    batches: Vec<usize>,
}

impl Conntrack for Fake {
    fn look_up(
        &mut self,
        dials: &[Dial],
        found: &mut Vec<Option<Choice>>,
    ) -> Result<(), Unavailable> {
        self.batches.push(dials.len());
        let known = self.known.as_ref().ok_or(Unavailable::Denied)?;
        found.extend(dials.iter().map(|dial| known.get(dial).copied()));
        Ok(())
    }
}

fn end(last: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, last], port).into()
}

fn question(number: u64) -> Question {
    let client = end(1, number as u16);
    Question { number, dial: Dial { client, service: end(9, 80), protocol: Protocol::TCP } }
}

/// Answers everything that was asked at a desk, which is then closed.
fn serve(desk: Desk, clerk: Clerk, fake: &mut Fake) -> (Vec<Finding>, String) {
    let Desk { questions, answers, .. } = desk;
    drop(questions);
    let obstacle = Arc::new(Obstacle::default());
    thread::scope(|scope| {
        let told = obstacle.clone();
        scope.spawn(move || clerk.serve(fake, &told));
        let found: Vec<Answer> = answers.iter().collect();
        assert!(found.iter().zip(1..).all(|(answer, number)| answer.number == number), "in order");
        (found.iter().map(|answer| answer.finding).collect(), obstacle.get())
    })
}

#[test]
fn everything_is_answered_in_batches() {
    let (mut desk, clerk) = open();
    for number in 1..=70 {
        assert_eq!(desk.ask(question(number)), None);
    }
    assert!(desk.is_waiting());
    let choice = Choice { backend: end(7, 8080), client: end(1, 40) };
    let mut fake = Fake { known: Some([(question(40).dial, choice)].into()), batches: Vec::new() };
    let (found, obstacle) = serve(desk, clerk, &mut fake);
    assert_eq!(found.len(), 70);
    assert_eq!(found[39], Finding::Found(choice));
    assert!(found.iter().enumerate().all(|(index, it)| index == 39 || *it == Finding::None));
    assert_eq!((fake.batches, obstacle), (vec![32, 32, 6], String::new()));
}

#[test]
fn what_cannot_be_asked_is_left_alone_for_a_while() {
    let (mut desk, clerk) = open();
    for number in 1..=70 {
        assert_eq!(desk.ask(question(number)), None);
    }
    let mut fake = Fake::default();
    let (found, obstacle) = serve(desk, clerk, &mut fake);
    assert_eq!(found, vec![Finding::Unavailable; 70]);
    assert_eq!(fake.batches, [32], "asked once");
    assert!(obstacle.contains("CAP_NET_ADMIN"), "{obstacle}");
}

#[test]
fn nobody_waits_for_room() {
    let (mut desk, clerk) = open();
    let refused: Vec<Finding> = (1..=ROOM as u64 + 3)
        .filter_map(|number| desk.ask(question(number)))
        .map(|answer| answer.finding)
        .collect();
    assert_eq!(refused, [Finding::NoRoom; 3]);
    drop(clerk);
    let answer = desk.ask(question(1)).unwrap();
    assert_eq!((answer.number, answer.finding), (1, Finding::Unavailable));
}
