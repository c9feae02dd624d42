//! What this kernel can do, found out by loading `feature.bpf.c` program by program.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::skel::feature::FeatureSkelBuilder;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `bpf_get_socket_cookie` in tracing programs (5.12).
    pub cookie: bool,
    /// `bpf_sock_from_file` in iterators (5.11).
    pub sock_from_file: bool,
    /// Programs at the exit of kernel functions, and that `inet_csk_accept` is one.
    pub fexit: bool,
    /// `bpf_rdonly_cast` and `bpf_loop` in programs that user space runs (6.2).
    pub direct_loads: bool,
    /// Iterators over the elements of a map; some hardened kernels refuse them.
    pub map_iterator: bool,
    /// Iterators over the storage of sockets; refused with them.
    pub storage_iterator: bool,
}

impl Features {
    pub fn detect() -> Self {
        Self {
            cookie: loads("feature_cookie"),
            sock_from_file: loads("feature_sock_from_file"),
            fexit: attaches(),
            direct_loads: loads("feature_direct_loads"),
            map_iterator: loads("feature_map_iterator"),
            storage_iterator: loads("feature_storage_iterator"),
        }
    }
}

/// A trampoline can load and still be refused when it attaches.
fn attaches() -> bool {
    let mut storage = MaybeUninit::uninit();
    let Ok(mut open) = FeatureSkelBuilder::default().open(&mut storage) else { return false };
    only(&mut open, "feature_fexit");
    open.load().and_then(|skel| skel.progs.feature_fexit.attach_trace()).is_ok()
}

fn loads(program: &str) -> bool {
    let mut storage = MaybeUninit::uninit();
    let Ok(mut open) = FeatureSkelBuilder::default().open(&mut storage) else { return false };
    only(&mut open, program);
    open.load().is_ok()
}

fn only<'obj>(open: &mut impl OpenSkel<'obj>, program: &str) {
    for mut each in open.open_object_mut().progs_mut() {
        let wanted = each.name() == program;
        each.set_autoload(wanted);
    }
}
