//! A network of the test's own, in which packets are lost: neither end of a connection is told of that.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

const OWN: &str = "AMPHIPOD_FAULT_NETWORK";
const RULES: &str = "
table inet faults {
  set apart { type ipv4_addr; }
  chain input { type filter hook input priority 0; ip saddr @apart drop; ip daddr @apart drop; }
}
";

/// By how many partitions each address is cut off.
static APART: Mutex<BTreeMap<IpAddr, usize>> = Mutex::new(BTreeMap::new());

/// Runs `body` in a network namespace that ends with it: in this test's program once more, as the test `name`.
pub fn own(name: &str, body: impl FnOnce()) {
    if std::env::var_os(OWN).is_some() {
        run("ip", &["link", "set", "lo", "up"], "");
        run("nft", &["-f", "-"], RULES);
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(program).args([name, "--exact", "--nocapture"]);
    let status = command.env(OWN, "own").status();
    let status = status.expect("this test needs unshare; apt-get install util-linux");
    assert!(status.success(), "{status}, see above; a network namespace needs root");
}

/// From now on nothing comes to `address`, or from it.
pub fn part(address: IpAddr) {
    let mut apart = APART.lock().unwrap_or_else(PoisonError::into_inner);
    let count = apart.entry(address).or_default();
    *count += 1;
    if *count == 1 {
        element("add", address);
    }
}

/// The opposite of [`part`].
pub fn join(address: IpAddr) {
    let mut apart = APART.lock().unwrap_or_else(PoisonError::into_inner);
    let count = apart.get_mut(&address).unwrap();
    *count -= 1;
    if *count == 0 {
        apart.remove(&address);
        element("delete", address);
    }
}

fn element(verb: &str, address: IpAddr) {
    run("nft", &[&format!("{verb} element inet faults apart {{ {address} }}")], "");
}

fn run(program: &str, arguments: &[&str], input: &str) {
    let spawned = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("{program}: {error}; apt-get install iproute2 nftables");
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
