//! Between the pipeline, which never waits, and the thread that asks the kernel.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::{Answer, Conntrack, Finding, Obstacle, Question};

/// Questions that wait at most.
const ROOM: usize = 4096;
/// Questions asked at once: their answers must have room in a socket's buffer.
const BATCH: usize = 32;
/// How long after it could not be asked the kernel is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// The pipeline's side.
#[derive(Debug)]
pub struct Desk {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    waiting: usize,
}

/// The asking side.
#[derive(Debug)]
pub struct Clerk {
    questions: Receiver<Question>,
    answers: SyncSender<Answer>,
}

pub fn open() -> (Desk, Clerk) {
    let (ask, questions) = sync_channel(ROOM);
    let (answers, answered) = sync_channel(ROOM);
    (Desk { questions: ask, answers: answered, waiting: 0 }, Clerk { questions, answers })
}

impl Desk {
    /// Leaves a question, or gives the answer where there is no room for it.
    pub fn ask(&mut self, question: Question) -> Option<Answer> {
        let refused = |finding| {
            let Question { number, dial } = question;
            Some(Answer { number, dial, finding })
        };
        match self.questions.try_send(question) {
            Ok(()) => {
                self.waiting += 1;
                None
            }
            Err(TrySendError::Full(_)) => refused(Finding::NoRoom),
            Err(TrySendError::Disconnected(_)) => refused(Finding::Unavailable),
        }
    }

    pub fn take(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        self.waiting = self.waiting.saturating_sub(1);
        Some(answer)
    }

    /// An answer is to be expected.
    pub fn is_waiting(&self) -> bool {
        self.waiting > 0
    }
}

impl Clerk {
    /// Answers until the desk is closed.
    pub fn serve(&self, conntrack: &mut impl Conntrack, obstacle: &Obstacle) {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut dials, mut found) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut again: Option<Instant> = None;
        while let Ok(first) = self.questions.recv() {
            batch.clear();
            batch.push(first);
            batch.extend(self.questions.try_iter().take(BATCH - 1));
            found.clear();
            if again.is_none_or(|again| Instant::now() >= again) {
                dials.clear();
                dials.extend(batch.iter().map(|question| question.dial));
                let asked = conntrack.look_up(&dials, &mut found);
                again = asked.is_err().then(|| Instant::now() + PAUSE);
                report(asked.err().map(|why| why.to_string()).unwrap_or_default(), obstacle);
            }
            let available = again.is_none();
            for (index, &Question { number, dial }) in batch.iter().enumerate() {
                let finding = match found.get(index) {
                    _ if !available => Finding::Unavailable,
                    Some(&Some(choice)) => Finding::Found(choice),
                    _ => Finding::None,
                };
                if self.answers.send(Answer { number, dial, finding }).is_err() {
                    return;
                }
            }
        }
    }
}

fn report(why: String, obstacle: &Obstacle) {
    if why == obstacle.get() {
        return;
    }
    match why.as_str() {
        "" => tracing::info!("the backends behind services are known again"),
        why => tracing::warn!(why, "the backends behind services stay unknown"),
    }
    obstacle.set(why);
}

#[cfg(test)]
mod tests;
