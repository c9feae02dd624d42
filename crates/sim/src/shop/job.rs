//! Programs that end, or that are wrong.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::http::Client;
use super::lookup::Family;
use super::postgres::Database;
use super::settings::Settings;
use crate::names;

/// Where nobody listens.
const CLOSED_PORT: u16 = 9999;
const RECOMMENDER_INTERVAL: Duration = Duration::from_millis(500);

/// Writes invoices for as long as it may live, at least one, then is done.
pub fn invoice(settings: &Settings) -> io::Result<()> {
    let end = Instant::now() + settings.life;
    let database = Database::new(settings.resolver(), names::POSTGRES);
    loop {
        database.query("SELECT document FROM orders WHERE invoice IS NULL LIMIT 1")?;
        if Instant::now() >= end {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads carts, then fails for want of a mail server.
pub fn email(settings: &Settings) -> io::Result<()> {
    let cart = Client::new(settings.resolver(), names::CART, 8080);
    let answer = cart.get("/healthz")?;
    thread::sleep(settings.life);
    Err(io::Error::other(format!("cart said {}, but no mail server is configured", answer.status)))
}

/// Has been told a wrong port.
pub fn recommender(settings: &Settings) -> io::Result<()> {
    let resolver = settings.resolver();
    loop {
        if resolver.connect(names::CATALOGUE, CLOSED_PORT, Family::V4).is_ok() {
            return Err(io::Error::other(format!(
                "somebody listens on {}:{CLOSED_PORT}",
                names::CATALOGUE
            )));
        }
        thread::sleep(RECOMMENDER_INTERVAL);
    }
}
