//! What must be there before anything is loaded.

use rustix::thread::CapabilitySet;

use crate::{Error, btf, cgroupfs};

/// Each with the oldest name of the same power: before Linux 5.8 there was only CAP_SYS_ADMIN.
const CAPABILITIES: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
];

const OLDEST: (u32, u32) = (5, 10);

/// Names the first thing that is missing (privilege, kernel version, BTF, cgroup2) and what to do about it.
pub fn check() -> Result<(), Error> {
    check_kernel(rustix::system::uname().release().to_str().unwrap_or_default())?;
    check_capabilities(
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective),
    )?;
    if std::fs::metadata(btf::PATH).is_err() {
        return Err(Error::NoBtf);
    }
    cgroupfs::mount().map(drop)
}

fn check_capabilities(effective: CapabilitySet) -> Result<(), Error> {
    for &(capability, name) in CAPABILITIES {
        if !effective.contains(capability) && !effective.contains(CapabilitySet::SYS_ADMIN) {
            return Err(Error::Capability(name));
        }
    }
    Ok(())
}

fn check_kernel(release: &str) -> Result<(), Error> {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            Err(Error::Kernel(release.to_owned()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), Error>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn an_old_kernel_is_named() {
        assert!(
            message(check_kernel("4.19.0-26-amd64"))
                .contains("Linux 4.19.0-26-amd64 is too old; 5.10")
        );
        assert!(message(check_kernel("5.9.16")).contains("5.9.16"));
        assert!(check_kernel("5.10.0-40-cloud-amd64").is_ok());
        assert!(check_kernel("7.2.1").is_ok());
    }

    #[test]
    fn the_missing_capability_is_named() {
        assert!(
            message(check_capabilities(CapabilitySet::empty()))
                .starts_with("needs CAP_BPF; run as root or grant")
        );
        assert!(message(check_capabilities(CapabilitySet::BPF)).starts_with("needs CAP_PERFMON"));
        assert!(
            message(check_capabilities(CapabilitySet::BPF | CapabilitySet::PERFMON))
                .contains("CAP_NET_ADMIN")
        );
        assert!(check_capabilities(CapabilitySet::SYS_ADMIN).is_ok());
    }
}
