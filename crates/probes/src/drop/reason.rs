//! Names for why a packet was dropped.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Error, btf};

/// The kernel's reasons by number; before 5.17 the function that dropped the packet, by address.
pub struct Reasons {
    names: HashMap<u32, Arc<str>>,
    /// Addresses and names of the kernel's functions, sorted; read when first needed.
    functions: Option<Vec<(u64, Arc<str>)>>,
}

impl Reasons {
    pub fn of_this_kernel() -> Result<Self, Error> {
        let names =
            btf::drop_reasons()?.into_iter().map(|(number, name)| (number, name.into())).collect();
        Ok(Self { names, functions: None })
    }

    pub fn name(&mut self, reason: u32, location: u64) -> Arc<str> {
        if location == 0 {
            return self
                .names
                .get(&reason)
                .cloned()
                .unwrap_or_else(|| format!("REASON_{reason}").into());
        }
        let functions = self.functions.get_or_insert_with(|| {
            let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            parse_functions(&symbols)
        });
        let next = functions.partition_point(|&(address, _)| address <= location);
        match next.checked_sub(1).map(|index| &functions[index]) {
            Some((_, name)) => name.clone(),
            None => "UNKNOWN".into(),
        }
    }
}

fn parse_functions(symbols: &str) -> Vec<(u64, Arc<str>)> {
    let mut functions: Vec<(u64, Arc<str>)> = symbols.lines().filter_map(parse_function).collect();
    functions.sort_unstable_by_key(|&(address, _)| address);
    functions
}

/// A line of /proc/kallsyms. Without the privilege to see addresses they are all 0, and worth nothing.
fn parse_function(line: &str) -> Option<(u64, Arc<str>)> {
    let mut fields = line.split_ascii_whitespace();
    let (address, kind, name) = (fields.next()?, fields.next()?, fields.next()?);
    let address = u64::from_str_radix(address, 16).ok()?;
    (address != 0 && matches!(kind, "t" | "T")).then(|| (address, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_named_by_the_function_around_it() {
        let functions = parse_functions(
            "ffff0020 T udp_rcv\nffff0010 t tcp_v4_rcv\nffff0018 d data\n0 T hidden\n",
        );
        let mut reasons =
            Reasons { names: HashMap::from([(3, "NO_SOCKET".into())]), functions: Some(functions) };
        assert_eq!(&*reasons.name(3, 0), "NO_SOCKET");
        assert_eq!(&*reasons.name(99, 0), "REASON_99");
        assert_eq!(&*reasons.name(0, 0xffff_001f), "tcp_v4_rcv");
        assert_eq!(&*reasons.name(0, 0xffff_0020), "udp_rcv");
        assert_eq!(&*reasons.name(0, 1), "UNKNOWN");
    }
}
