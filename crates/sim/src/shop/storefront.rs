//! The services that a customer meets, and those right behind them.

use std::io;

use super::http::{Client, Request, Response, listen, serve};
use super::lookup::Family;
use super::metrics::Meter;
use super::postgres::Database;
use super::redis::Cache;
use super::settings::Settings;
use crate::names;

/// `GET /` shows products and the cart; `POST /checkout` buys.
pub fn frontend(settings: &Settings) -> io::Result<()> {
    let resolver = settings.resolver();
    let catalogue = Client::new(resolver.clone(), names::CATALOGUE, 8080);
    let cart = Client::new(resolver.clone(), names::CART, 8080);
    let checkout = Client::new(resolver.clone(), names::CHECKOUT, 8080);
    let meter = Meter::new(resolver, Family::V4)?;
    serve(&listen(settings.port)?, move |request| {
        meter.count("frontend.requests");
        match route(request) {
            ("GET", "healthz") => Response::ok("ok\n"),
            ("GET", "") => {
                let products = Response::from_upstream(catalogue.get("/products"));
                let cart = Response::from_upstream(cart.get("/cart/alice"));
                if products.status == 200 && cart.status == 200 {
                    Response::ok([products.body, cart.body].concat())
                } else {
                    Response::error(502, "products or cart are not available")
                }
            }
            ("POST", "checkout") => {
                Response::from_upstream(checkout.post("/orders", b"{\"user\":\"alice\"}"))
            }
            _ => Response::error(404, "no such page"),
        }
    })
}

pub fn catalogue(settings: &Settings) -> io::Result<()> {
    let database = Database::new(settings.resolver(), names::POSTGRES);
    serve(&listen(settings.port)?, move |request| match route(request) {
        ("GET", "products") => match database.query("SELECT document FROM products WHERE shown") {
            Ok(bytes) => Response::ok("p".repeat(bytes)),
            Err(e) => Response::error(503, &e.to_string()),
        },
        _ => Response::error(404, "no such product"),
    })
}

pub fn cart(settings: &Settings) -> io::Result<()> {
    let cache = Cache::new(settings.resolver(), names::REDIS);
    let meter = Meter::new(settings.resolver(), Family::V6)?;
    serve(&listen(settings.port)?, move |request| {
        meter.count("cart.requests");
        let result = match route(request) {
            ("GET", "cart") => cache.get(&request.path).map(Option::unwrap_or_default),
            ("POST", "cart") => {
                cache.set(&request.path, b"[\"hat\",\"scarf\"]").map(|()| Vec::new())
            }
            ("GET", "healthz") => return Response::ok("ok\n"),
            _ => return Response::error(404, "no such cart"),
        };
        match result {
            Ok(body) => Response::ok(body),
            Err(e) => Response::error(503, &e.to_string()),
        }
    })
}

/// Reads the cart, has it paid (over IPv6), writes the order, empties the cart.
pub fn checkout(settings: &Settings) -> io::Result<()> {
    let resolver = settings.resolver();
    let cart = Client::new(resolver.clone(), names::CART, 8080);
    let payment = Client::new(resolver.clone(), names::PAYMENT, 8080).family(Family::V6);
    let database = Database::new(resolver, names::POSTGRES);
    serve(&listen(settings.port)?, move |request| match route(request) {
        ("POST", "orders") => {
            let order = || -> io::Result<Response> {
                cart.get("/cart/alice")?;
                let paid = payment.post("/charge", b"{\"cents\":4200}")?;
                if paid.status == 200 {
                    database.query("INSERT INTO orders (document) VALUES ($1)")?;
                    cart.post("/cart/alice", b"[]")?;
                }
                Ok(paid)
            };
            Response::from_upstream(order())
        }
        _ => Response::error(404, "no such order"),
    })
}

/// Asks a bank outside of the cluster, with a connection for each charge.
pub fn payment(settings: &Settings) -> io::Result<()> {
    let bank = Client::new(settings.resolver(), names::BANK, names::BANK_PORT).without_keep_alive();
    serve(&listen(settings.port)?, move |request| match route(request) {
        ("POST", "charge") => {
            Response::from_upstream(bank.post("/v1/charges", b"{\"cents\":4200}"))
        }
        _ => Response::error(404, "no such charge"),
    })
}

pub fn bank(_: &Settings) -> io::Result<()> {
    serve(&listen(names::BANK_PORT)?, |_| Response::ok("{\"status\":\"succeeded\"}"))
}

/// Method, and first part of the path.
fn route(request: &Request) -> (&str, &str) {
    (&request.method, request.path.split('/').nth(1).unwrap_or_default())
}
