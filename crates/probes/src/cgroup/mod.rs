//! Containers come and go: creation and removal of cgroups.
//! Hooks: tp_btf/cgroup_mkdir, tp_btf/cgroup_rmdir.   Delivers: [`Cgroup`].

use std::mem::MaybeUninit;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::context::Context;
use crate::probe::Probe;
use crate::skel::cgroup::{CgroupSkelBuilder, types};
use crate::{Batch, Cgroup, Error};

pub const PROBE: Probe = Probe {
    name: "cgroup",
    programs: &["cgroup_created", "cgroup_removed"],
    enabled: |settings| settings.cgroup.enabled,
    patience: Duration::from_secs(60),
    run,
};

fn run(ctx: &Context) -> Result<(), Error> {
    let mut storage = MaybeUninit::uninit();
    let open = CgroupSkelBuilder::default().open(&mut storage).map_err(|error| ctx.error(error))?;
    let skel = open.load().map_err(|error| ctx.error(error))?;
    ctx.register(&skel);
    let _links = (ctx.attach(&skel.progs.cgroup_created), ctx.attach(&skel.progs.cgroup_removed));
    ctx.ready();
    ctx.deliver(&skel.maps.events, Batch::Cgroups, || (), convert)
}

fn convert(event: &types::cgroup_event, out: &mut Vec<Cgroup>) {
    if event.created == 0 {
        out.push(Cgroup::Removed { id: event.id });
        return;
    }
    let path = event.path.get(..usize::from(event.length)).unwrap_or_default();
    out.push(Cgroup::Created { id: event.id, path: String::from_utf8_lossy(path).into_owned() });
}
