//! What the build made of each `<probe>.bpf.c`: the object's bytes, and its maps, programs and types in Rust.

macro_rules! skeletons {
    ($($name:ident),*) => { $(
        #[allow(clippy::all, clippy::pedantic, clippy::restriction, dead_code, unused)]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".skel.rs"));
        }
    )* };
}

skeletons!(tcp, flow, dns, drop, cgroup, feature);
