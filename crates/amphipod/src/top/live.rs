//! The interactive `top`: the terminal, its keys, and the loop between what comes and the screen.

use std::time::Duration;

use anyhow::{Context, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::Feed;
use super::screen;
use super::snapshot::Snapshot;
use super::state::{After, State};

const REDRAW: Duration = Duration::from_secs(1);
/// How long the keyboard's thread waits before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_millis(100);

/// The terminal in its raw state; as it was before once this is dropped. A panic restores it, too.
struct Screen(DefaultTerminal);

impl Screen {
    fn enter() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("terminal: cannot be taken over; use --once")?;
        Ok(Self(terminal))
    }

    fn draw(&mut self, snapshot: &Snapshot, state: &State) -> anyhow::Result<()> {
        self.0.draw(|frame| screen::draw(frame, snapshot, state)).context("terminal")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub async fn run(mut feed: impl Feed, mut state: State) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut screen = Screen::enter()?;
    let mut events = keyboard()?;
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut snapshot = Snapshot::default();
    loop {
        let refresh = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            event = events.recv() => match event {
                Some(Event::Key(key)) => {
                    if state.press(key) == After::Quit {
                        return Ok(());
                    }
                    true
                }
                Some(_) => true,
                None => bail!("terminal: no more input; use --once without one"),
            },
            _ = redraw.tick() => true,
            taken = feed.next() => {
                taken?;
                false
            }
        };
        if refresh {
            if !state.paused {
                snapshot = feed.snapshot(&state);
            }
            screen.draw(&snapshot, &state)?;
        }
    }
}

/// Reads the keyboard in a thread of its own, which ends when the receiver is dropped.
fn keyboard() -> anyhow::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(64);
    let read = move || {
        while !sender.is_closed() {
            match event::poll(WAIT) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(event) => {
                        if sender.blocking_send(event).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    };
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(read).context("keyboard")?;
    Ok(receiver)
}
