//! Whose cgroup a path is: the path forms of container runtimes, cgroup drivers and systemd. Pure.
//!
//! The deepest pod of a path counts (a kind node is a container around pods), and in it the outermost container:
//! whatever a container makes below its own cgroup belongs to it. Outside pods the deepest container counts.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// `uid` as the API server prints it: with dashes, or 32 hex digits for a static pod.
    Pod { uid: Cow<'a, str>, qos: Option<Qos>, container: Option<Container<'a>> },
    /// A container that no pod encloses.
    Container(Container<'a>),
    /// A systemd unit: `nginx.service`, `app-3.scope`, or a slice for processes right in it.
    Unit(&'a str),
    /// A login session: `session-3`.
    Session(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    pub runtime: Runtime,
    /// 64 hex digits; LXC: the name; ECS on Fargate: task and number.
    pub id: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Containerd,
    Crio,
    Docker,
    Podman,
    Lxc,
    /// The path does not tell.
    Unknown,
}

/// Quality of service class of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// What the parent component is; a pod is one only in its place below `kubepods`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// The root, or what lies above the reader's cgroup namespace: it may hide any part of the form.
    Hidden,
    Kubepods,
    Class(Qos),
    Other,
}

/// Finds the owner of `path`, which may be relative to a cgroup namespace (`/../..`). `None` for the root and for
/// groups that follow no known form.
pub fn owner(path: &str) -> Option<Owner<'_>> {
    let mut found = None;
    let mut parent = Parent::Hidden;
    // Users own what is below; what they make there is no pod, unless a container (rootless kind) is around it.
    let mut users = false;
    let mut before = ("", "");
    for component in path.split('/').filter(|component| !component.is_empty() && *component != ".")
    {
        if component == ".." {
            continue;
        }
        let inside = matches!(found, Some(Owner::Pod { .. } | Owner::Container(_)));
        users = (users || (parent == Parent::Hidden && component == "user.slice")) && !inside;
        let trusted = !users;
        let place = place(component, parent);
        if let (Some(place), true) = (place, trusted) {
            parent = place;
        } else if let Some(pod) = pod(component, parent).filter(|_| trusted) {
            found = Some(pod);
            parent = Parent::Other;
        } else {
            found = below(found, component, before);
            parent = Parent::Other;
        }
        before = (before.1, component);
    }
    found
}

/// The path in the text of `/proc/PID/cgroup` that tells most of the owner, whichever hierarchy's it is.
pub fn of_process(text: &str) -> &str {
    let mut best = (0, "");
    for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let rank = rank(&owner(path));
        if rank > best.0 {
            best = (rank, path);
        }
    }
    best.1
}

/// The path in the unified hierarchy, from the text of `/proc/PID/cgroup`.
pub fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

fn rank(owner: &Option<Owner<'_>>) -> u8 {
    match owner {
        None => 0,
        Some(Owner::Unit(_)) => 1,
        Some(Owner::Session(_)) => 2,
        Some(Owner::Container(_)) => 3,
        Some(Owner::Pod { container: None, .. }) => 4,
        Some(Owner::Pod { container: Some(_), .. }) => 5,
    }
}

/// `kubepods` itself or a class below it.
fn place(component: &str, parent: Parent) -> Option<Parent> {
    if component == "kubepods" {
        return Some(Parent::Kubepods);
    }
    if !matches!(parent, Parent::Hidden | Parent::Kubepods) {
        // A slice lies in the slice it is named after: `kubelet-kubepods.slice` in `kubelet.slice`.
        return root_slice(component).then_some(Parent::Kubepods);
    }
    let class = match component.strip_suffix(".slice") {
        Some(_) if root_slice(component) => return Some(Parent::Kubepods),
        Some(slice) => after_kubepods(slice)?,
        None => component,
    };
    match class {
        "burstable" => Some(Parent::Class(Qos::Burstable)),
        "besteffort" => Some(Parent::Class(Qos::BestEffort)),
        _ => None,
    }
}

fn root_slice(component: &str) -> bool {
    component == "kubepods.slice" || component.ends_with("-kubepods.slice")
}

/// `kubelet-kubepods-burstable-podU` to `burstable-podU`.
fn after_kubepods(slice: &str) -> Option<&str> {
    let (before, after) = slice.split_once("kubepods-")?;
    (before.is_empty() || before.ends_with('-')).then_some(after)
}

fn pod(component: &str, parent: Parent) -> Option<Owner<'_>> {
    // containerd set to the cgroupfs driver under a kubelet set to systemd: one component says all.
    if let Some((slice, rest)) = component.split_once(".slice:") {
        let (qos, uid) = pod_slice(slice)?;
        let (name, id) = rest.split_once(':')?;
        let container = is_id(id).then(|| Container { runtime: runtime(name), id });
        return Some(Owner::Pod { uid, qos: Some(qos), container });
    }
    if parent == Parent::Other {
        return None;
    }
    let (qos, uid) = if let Some(slice) = component.strip_suffix(".slice") {
        let (qos, uid) = pod_slice(slice)?;
        (Some(qos), uid)
    } else {
        let qos = match parent {
            Parent::Kubepods => Some(Qos::Guaranteed),
            Parent::Class(qos) => Some(qos),
            Parent::Hidden | Parent::Other => None,
        };
        (qos, uid(component.strip_prefix("pod")?)?)
    };
    Some(Owner::Pod { uid, qos, container: None })
}

/// `[prefix-]kubepods[-class]-podU`, without `.slice`.
fn pod_slice(slice: &str) -> Option<(Qos, Cow<'_, str>)> {
    let rest = after_kubepods(slice)?;
    let (qos, rest) = if let Some(rest) = rest.strip_prefix("burstable-") {
        (Qos::Burstable, rest)
    } else if let Some(rest) = rest.strip_prefix("besteffort-") {
        (Qos::BestEffort, rest)
    } else {
        (Qos::Guaranteed, rest)
    };
    Some((qos, uid(rest.strip_prefix("pod")?)?))
}

/// A pod's uid: a UUID (systemd: with `_` for `-`), or 32 hex digits for a static pod.
fn uid(text: &str) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    match bytes.len() {
        32 => bytes.iter().all(is_hex).then_some(Cow::Borrowed(text)),
        36 => {
            let separator = bytes[8];
            let shape = bytes.iter().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => *byte == separator,
                _ => is_hex(byte),
            });
            match separator {
                b'-' if shape => Some(Cow::Borrowed(text)),
                b'_' if shape => Some(Cow::Owned(text.replace('_', "-"))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The owner of `component` in a group of `found`; `before` are the two components above it.
fn below<'a>(
    found: Option<Owner<'a>>,
    component: &'a str,
    before: (&str, &str),
) -> Option<Owner<'a>> {
    match found {
        Some(Owner::Pod { container: Some(_), .. }) => found,
        Some(Owner::Pod { uid, qos, container: None }) => {
            // The kubelet made the parent: any runtime's prefix will do, but a monitor is not the container.
            let container = container(component).filter(|_| !component.contains("conmon"));
            Some(Owner::Pod { uid, qos, container })
        }
        _ => match standalone(component, before) {
            Some(container) => Some(Owner::Container(container)),
            None => unit(found, component),
        },
    }
}

/// `C`, `C.scope`, `prefix-C`, `prefix-C.scope`.
fn container(component: &str) -> Option<Container<'_>> {
    let stem = component.strip_suffix(".scope").unwrap_or(component);
    if is_id(stem) {
        return Some(Container { runtime: Runtime::Unknown, id: stem });
    }
    let (prefix, id) = stem.rsplit_once('-')?;
    is_id(id).then(|| Container { runtime: runtime(prefix), id })
}

fn standalone<'a>(component: &'a str, (above, parent): (&str, &str)) -> Option<Container<'a>> {
    if let Some(name) = component.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()) {
        return Some(Container { runtime: Runtime::Lxc, id: name });
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return Some(Container { runtime: Runtime::Lxc, id: component });
    }
    if above == "ecs" && fargate(component, parent) {
        return Some(Container { runtime: Runtime::Unknown, id: component });
    }
    // containerd's systemd form outside pods: `system.slice:docker:C`.
    if let Some((_, rest)) = component.split_once(".slice:") {
        let (name, id) = rest.split_once(':')?;
        return is_id(id).then(|| Container { runtime: runtime(name), id });
    }
    let found = container(component)?;
    if found.id.len() < component.trim_end_matches(".scope").len() {
        // Some prefix: outside pods only a runtime's.
        return (found.runtime != Runtime::Unknown).then_some(found);
    }
    let runtime = match parent {
        "docker" => Runtime::Docker,
        "k8s.io" => Runtime::Containerd,
        _ => Runtime::Unknown,
    };
    Some(Container { runtime, ..found })
}

/// A container of an ECS task on Fargate: the task's id and a number.
fn fargate(component: &str, task: &str) -> bool {
    let number = component.strip_prefix(task).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The outermost unit counts, but a user's service manager (`user@1000.service`) only where nothing is inside it.
fn unit<'a>(found: Option<Owner<'a>>, component: &'a str) -> Option<Owner<'a>> {
    match found {
        Some(Owner::Unit(unit)) => {
            let open = unit.ends_with(".slice") || unit.starts_with("user@");
            match systemd(component) {
                Some(Owner::Unit(inner)) if unit.starts_with("user@") && inner == "init.scope" => {
                    found
                }
                Some(Owner::Unit(inner))
                    if unit.starts_with("user@") && inner.ends_with(".slice") =>
                {
                    found
                }
                Some(inner) if open => Some(inner),
                _ => found,
            }
        }
        None => systemd(component),
        _ => found,
    }
}

fn systemd(component: &str) -> Option<Owner<'_>> {
    let (name, kind) = component.rsplit_once('.')?;
    match kind {
        "scope" if name.starts_with("session-") => Some(Owner::Session(name)),
        "service" | "scope" | "socket" | "mount" | "swap" | "slice" if !name.is_empty() => {
            Some(Owner::Unit(component))
        }
        _ => None,
    }
}

fn runtime(name: &str) -> Runtime {
    match name {
        "cri-containerd" | "containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::Crio,
        "docker" => Runtime::Docker,
        "libpod" => Runtime::Podman,
        _ => Runtime::Unknown,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| is_hex(&byte))
}

fn is_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests;
