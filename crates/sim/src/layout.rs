//! Where kubelets and container runtimes put the cgroups of pods. The forms differ by cgroup driver and runtime.

use std::path::PathBuf;

/// A pod's quality of service, by which its cgroup is filed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    #[default]
    Burstable,
    BestEffort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// systemd driver, containerd.
    #[default]
    Containerd,
    /// systemd driver, CRI-O.
    Crio,
    /// systemd driver, cri-dockerd.
    Docker,
    /// cgroupfs driver, any runtime.
    Cgroupfs,
    /// kind: the node is itself a container, and its kubelet files below `kubelet.slice`.
    Kind,
}

impl Layout {
    /// The pod's directory, relative to the root of the hierarchy. `uid` as the API server prints it.
    pub fn pod(self, qos: Qos, uid: &str) -> PathBuf {
        let class = match qos {
            Qos::Guaranteed => None,
            Qos::Burstable => Some("burstable"),
            Qos::BestEffort => Some("besteffort"),
        };
        if self == Self::Cgroupfs {
            let parent = class.map_or_else(
                || PathBuf::from("kubepods"),
                |class| PathBuf::from("kubepods").join(class),
            );
            return parent.join(format!("pod{uid}"));
        }
        // systemd names a slice by all its parents, and escapes with a dash.
        let uid = uid.replace('-', "_");
        let (mut path, root) = match self {
            Self::Kind => {
                (PathBuf::from("kubelet.slice/kubelet-kubepods.slice"), "kubelet-kubepods")
            }
            _ => (PathBuf::from("kubepods.slice"), "kubepods"),
        };
        match class {
            None => path.push(format!("{root}-pod{uid}.slice")),
            Some(class) => {
                path.push(format!("{root}-{class}.slice"));
                path.push(format!("{root}-{class}-pod{uid}.slice"));
            }
        }
        path
    }

    /// A container's directory within its pod's. `id`: 64 hex digits.
    pub fn container(self, id: &str) -> String {
        match self {
            Self::Containerd | Self::Kind => format!("cri-containerd-{id}.scope"),
            Self::Crio => format!("crio-{id}.scope"),
            Self::Docker => format!("docker-{id}.scope"),
            Self::Cgroupfs => id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_real_nodes() {
        let check = |layout: Layout, qos, expected: &str| {
            let path = layout.pod(qos, "0a1b-2c").join(layout.container("c0ffee"));
            assert_eq!(path.to_str(), Some(expected));
        };
        check(
            Layout::Containerd,
            Qos::Burstable,
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b_2c.slice/cri-containerd-c0ffee.scope",
        );
        check(
            Layout::Crio,
            Qos::Guaranteed,
            "kubepods.slice/kubepods-pod0a1b_2c.slice/crio-c0ffee.scope",
        );
        check(
            Layout::Docker,
            Qos::BestEffort,
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a1b_2c.slice/docker-c0ffee.scope",
        );
        check(Layout::Cgroupfs, Qos::Burstable, "kubepods/burstable/pod0a1b-2c/c0ffee");
        check(Layout::Cgroupfs, Qos::Guaranteed, "kubepods/pod0a1b-2c/c0ffee");
        check(
            Layout::Kind,
            Qos::BestEffort,
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod0a1b_2c.slice/cri-containerd-c0ffee.scope",
        );
    }
}
