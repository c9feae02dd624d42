//! How long it takes until somebody sees what happens: from the event in the kernel to a client of the hub.
//!
//! `amphipod demo` is the subject: agent, hub, and a shop whose pods make connections. A record has the kernel's time of
//! its event, and clients are on the same clock.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use model::Timestamp;
use proto::hubble::observer::GetFlowsRequest;
use proto::hubble::observer::get_flows_response::ResponseTypes;
use proto::hubble::observer::observer_client::ObserverClient;
use tonic::transport::Endpoint;

use super::child::Child;
use super::fetch::free_address;
use super::lab::Lab;
use super::report::Findings;
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "observe";
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(20);
/// Requests a second at the shop's front end, each of which makes connections behind it.
const LOAD: u32 = 100;
/// Records of one measurement, and those before it that are not looked at: names are new.
const RECORDS: usize = 3000;
const FIRST: usize = 300;
/// What a person takes for at once.
const GOAL_US: f64 = 300_000.0;

pub fn run(lab: &Lab) -> Result<Findings> {
    let (http, hubble) = (free_address()?, free_address()?);
    let socket = lab.site.file("observe.sock");
    let arguments = [
        "demo".to_owned(),
        format!("--listen={http}"),
        format!("--hubble={hubble}"),
        format!("--socket={}", socket.display()),
        format!("--load={LOAD}"),
    ];
    let cgroup = lab.site.container("demo")?;
    let log = lab.site.file("observe.log");
    let mut demo = Child::start(lab.binary(), &arguments, &cgroup, None, log)?;
    while !demo.line(&lab.interrupt, START)?.starts_with("Ctrl-C") {}
    let mut findings = Findings::default();
    for (what, seen) in [
        ("/api/v1/records, connections", records as fn(SocketAddr) -> Result<Vec<f64>>),
        ("Hubble's GetFlows, all", flows),
    ] {
        lab.say(&format!("observe: {what}, {RECORDS} records"));
        let rounds = (0..lab.options.rounds)
            .map(|_| seen(if what.starts_with('/') { http } else { hubble }));
        let rounds = rounds.collect::<Result<Vec<_>>>()?;
        for (name, place) in [("p50", 0.5), ("p99", 0.99)] {
            let of = |all: &Vec<f64>| all[(all.len() as f64 * place) as usize];
            let row = Row::new(
                NAME,
                format!("event to client, {what}, {name}"),
                Unit::Microseconds,
                Summary::of(rounds.iter().map(of)),
            );
            findings.rows.push(if name == "p99" { row.goal(Goal::AtMost(GOAL_US)) } else { row });
        }
    }
    demo.stop(&lab.interrupt, STOP)?;
    Ok(findings)
}

/// Ages of records when they were seen, sorted, in microseconds.
fn ages(ages: impl Iterator<Item = Result<u128>>) -> Result<Vec<f64>> {
    let ages = ages.skip(FIRST).take(RECORDS).map(|it| it.map(|us| us as f64));
    let mut ages = ages.collect::<Result<Vec<f64>>>()?;
    if ages.len() < RECORDS {
        bail!("only {} records came: expected {RECORDS}", ages.len());
    }
    ages.sort_by(f64::total_cmp);
    Ok(ages)
}

fn age(time: Timestamp) -> u128 {
    Timestamp::now().since(time).as_micros()
}

fn records(address: SocketAddr) -> Result<Vec<f64>> {
    let what = || format!("GET http://{address}/api/v1/records");
    let mut stream = TcpStream::connect(address).with_context(what)?;
    stream.set_read_timeout(Some(ANSWER)).with_context(what)?;
    let path = "/api/v1/records?follow=1&kind=connection";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").with_context(what)?;
    let times = BufReader::new(stream).lines().filter_map(|line| match line {
        Ok(line) => {
            let time = line.strip_prefix(r#"{"time":""#)?.split('"').next()?.to_owned();
            Some(time.parse::<Timestamp>().map(age).map_err(anyhow::Error::msg))
        }
        Err(error) => Some(Err(anyhow::Error::new(error))),
    });
    ages(times).with_context(what)
}

fn flows(address: SocketAddr) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (told, seen) = std::sync::mpsc::channel();
    let stream = async {
        let mut client = ObserverClient::new(
            Endpoint::from_shared(format!("http://{address}"))?.connect().await?,
        );
        let request = GetFlowsRequest { follow: true, ..Default::default() };
        let mut flows = client.get_flows(request).await?.into_inner();
        for _ in 0..2 * (FIRST + RECORDS) {
            let Some(response) = tokio::time::timeout(ANSWER, flows.message()).await?? else {
                break;
            };
            let Some(ResponseTypes::Flow(flow)) = response.response_types else { continue };
            let time = flow.time.context("a flow without a time")?;
            let ns = time.seconds as u64 * 1_000_000_000 + time.nanos as u64;
            told.send(Ok(age(Timestamp(ns))))?;
        }
        drop(told);
        Ok::<_, anyhow::Error>(())
    };
    runtime.block_on(stream).with_context(|| format!("GetFlows of {address}"))?;
    ages(seen.into_iter())
}
