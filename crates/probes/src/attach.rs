//! Attaching program by program: each gets a verdict, none stops the others.

use libbpf_rs::{Link, MapCore, ProgramMut};

use crate::context::Context;

impl Context {
    /// Attaches where the program's section says, and records the verdict.
    pub fn attach(&self, program: &ProgramMut<'_>) -> Option<Link> {
        self.verdict(program, program.attach_trace())
    }

    /// Attaches to the root of the cgroup2 hierarchy.
    pub fn attach_cgroup(&self, program: &ProgramMut<'_>, cgroup_fd: i32) -> Option<Link> {
        self.verdict(program, program.attach_cgroup(cgroup_fd))
    }

    /// Binds an iterator to the map that it walks.
    pub fn attach_map_iterator(&self, program: &ProgramMut<'_>, map: &dyn MapCore) -> Option<Link> {
        self.verdict(program, program.attach_iter(map.as_fd()))
    }

    /// Attaches an iterator over the kernel's own objects.
    pub fn attach_iterator(&self, program: &ProgramMut<'_>) -> Option<Link> {
        self.verdict(program, program.attach())
    }

    fn verdict(&self, program: &ProgramMut<'_>, attached: libbpf_rs::Result<Link>) -> Option<Link> {
        let name = program.name().to_string_lossy();
        match attached {
            Ok(link) => {
                self.health.active(&name);
                Some(link)
            }
            Err(error) => {
                self.health.failed(&name, &format!("attach: {error}"));
                None
            }
        }
    }
}
