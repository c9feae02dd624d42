//! The shop's customers: a steady rate of requests at the front.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::http::Client;
use super::settings::Settings;
use crate::names;

const MAX_WORKERS: f64 = 64.0;
/// What one customer asks for in a second, at most; a page takes a few milliseconds.
const RATE_PER_WORKER: f64 = 25.0;
/// One in so many pages ends in a purchase.
const PURCHASE_EVERY: u64 = 10;

pub fn run(settings: &Settings) -> io::Result<()> {
    let workers = (settings.rate / RATE_PER_WORKER).ceil().clamp(2.0, MAX_WORKERS);
    let interval = Duration::from_secs_f64(workers / settings.rate.max(0.01));
    let customers: Vec<_> = (0..workers as u32)
        .map(|number| {
            let client = Client::new(settings.resolver(), names::FRONTEND, 8080);
            // Some customers come anew for each page.
            let client = if number % 4 == 1 { client.without_keep_alive() } else { client };
            let start = Instant::now() + interval.mul_f64(f64::from(number) / workers);
            thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || shop(&client, start, interval))
        })
        .collect::<io::Result<_>>()?;
    for customer in customers {
        customer.join().map_err(|_| io::Error::other("a customer panicked"))?;
    }
    Ok(())
}

fn shop(client: &Client, mut next: Instant, interval: Duration) {
    for page in 1u64.. {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        // The customer is not interested in why; the observer is.
        let _ = if page % PURCHASE_EVERY == 0 {
            client.post("/checkout", b"")
        } else {
            client.get("/")
        };
        // What could not be asked in time is not made up for later.
        next = (next + interval).max(Instant::now());
    }
}
