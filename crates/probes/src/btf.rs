//! The running kernel's own description of its types.

use libbpf_rs::Btf;
use libbpf_rs::ReferencesType;
use libbpf_rs::btf::types::{Enum, FuncProto, Ptr, Typedef};

use crate::Error;

pub const PATH: &str = "/sys/kernel/btf/vmlinux";

/// How many arguments a `tp_btf` program at this tracepoint gets; 0 if there is no such tracepoint.
pub fn tracepoint_arguments(name: &str) -> Result<usize, Error> {
    let btf = Btf::from_vmlinux().map_err(|_| Error::NoBtf)?;
    let prototype = btf
        .type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}"))
        .and_then(|typedef| Ptr::try_from(typedef.referenced_type()).ok())
        .and_then(|pointer| FuncProto::try_from(pointer.referenced_type()).ok());
    // The first is the tracepoint's own.
    Ok(prototype.map_or(0, |prototype| prototype.len().saturating_sub(1)))
}

/// The names of `skb_drop_reason`, without their common prefix, by number; empty before Linux 5.17.
pub fn drop_reasons() -> Result<Vec<(u32, String)>, Error> {
    let btf = Btf::from_vmlinux().map_err(|_| Error::NoBtf)?;
    let Some(reasons) = btf.type_by_name::<Enum<'_>>("skb_drop_reason") else {
        return Ok(Vec::new());
    };
    let mut names = Vec::with_capacity(reasons.len());
    for reason in reasons.iter() {
        let Some(name) = reason.name.and_then(|name| name.to_str()) else { continue };
        let name = name
            .strip_prefix("SKB_DROP_REASON_")
            .or_else(|| name.strip_prefix("SKB_"))
            .unwrap_or(name);
        names.push((reason.value as u32, name.to_owned()));
    }
    Ok(names)
}
