use std::net::IpAddr;

use super::{Fields, int32};
use crate::meta::Meta;
use crate::trim::{Trim, container_id, protocol};
use crate::wire::Malformed;
use crate::{Container, Phase, Pod, Port, Str};

pub fn pod(meta: Meta, message: &[u8], trim: &mut Trim) -> Result<Pod, Malformed> {
    let mut pod = bare(meta, trim);
    let mut statuses: &[u8] = &[];
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            2 => spec(&mut pod, field.bytes(), trim)?,
            3 => statuses = field.bytes(),
            _ => {}
        }
    }
    status(&mut pod, statuses, trim)?;
    pod.containers.shrink_to_fit();
    pod.ports.shrink_to_fit();
    pod.ips.shrink_to_fit();
    Ok(pod)
}

pub fn bare(meta: Meta, trim: &Trim) -> Pod {
    Pod {
        uid: meta.uid,
        namespace: meta.namespace,
        name: meta.name,
        node: trim.empty(),
        ips: Vec::new(),
        host_network: false,
        phase: Phase::Unknown,
        containers: Vec::new(),
        owner: meta.owner,
        labels: meta.labels,
        annotations: meta.annotations,
        ports: Vec::new(),
        started_at: None,
        deleted: meta.deleted,
    }
}

/// `PodSpec`.
fn spec(pod: &mut Pod, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            // containers, initContainers
            2 | 20 => container(pod, field.bytes(), trim)?,
            10 => pod.node = trim.shared_or_empty(field.bytes()),
            11 => pod.host_network = field.number() != 0,
            // ephemeralContainers, whose field 1 has the fields of any container
            34 => {
                for field in Fields::of(field.bytes()) {
                    let field = field?;
                    if field.number == 1 {
                        container(pod, field.bytes(), trim)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `Container`.
fn container(pod: &mut Pod, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    if !trim.fits(&pod.containers) {
        return Ok(());
    }
    let mut container = Container { id: None, name: trim.empty(), image: trim.empty() };
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => container.name = trim.shared_or_empty(field.bytes()),
            2 => container.image = trim.shared_or_empty(field.bytes()),
            6 => container_port(&mut pod.ports, field.bytes(), trim)?,
            _ => {}
        }
    }
    pod.containers.push(container);
    Ok(())
}

/// `ContainerPort`.
fn container_port(ports: &mut Vec<Port>, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut name, mut kind): (&[u8], &[u8]) = (b"", b"");
    let mut number = 0;
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => name = field.bytes(),
            3 => number = int32(field.number()),
            4 => kind = field.bytes(),
            _ => {}
        }
    }
    if trim.fits(ports)
        && let Some(number) = trim.port(number)
    {
        ports.push(Port { name: trim.shared_or_empty(name), number, protocol: protocol(kind) });
    }
    Ok(())
}

/// `PodStatus`.
fn status(pod: &mut Pod, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let mut first: &[u8] = &[];
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => pod.phase = phase(field.bytes()),
            6 => first = field.bytes(),
            7 => pod.started_at = seconds(field.bytes())?,
            // containerStatuses, initContainerStatuses, ephemeralContainerStatuses
            8 | 10 | 13 => container_status(pod, field.bytes(), trim)?,
            12 => pod_ip(&mut pod.ips, field.bytes(), trim)?,
            _ => {}
        }
    }
    if pod.ips.is_empty() {
        trim.address(&mut pod.ips, first);
    }
    Ok(())
}

/// `PodIP`.
fn pod_ip(ips: &mut Vec<IpAddr>, message: &[u8], trim: &Trim) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            trim.address(ips, field.bytes());
        }
    }
    Ok(())
}

/// `ContainerStatus`.
fn container_status(pod: &mut Pod, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut name, mut image, mut id): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => name = field.bytes(),
            6 => image = field.bytes(),
            8 => id = field.bytes(),
            _ => {}
        }
    }
    identify(pod, name, image, id, trim);
    Ok(())
}

/// Gives the container of this name its id.
pub fn identify(pod: &mut Pod, name: &[u8], image: &[u8], id: &[u8], trim: &mut Trim) {
    let id: Option<Str> = trim.own(container_id(id));
    let known = pod.containers.iter_mut().find(|container| container.name.as_bytes() == name);
    if let Some(container) = known {
        container.id = id.or(container.id.take());
    } else if trim.fits(&pod.containers) {
        let (name, image) = (trim.shared_or_empty(name), trim.shared_or_empty(image));
        pod.containers.push(Container { id, name, image });
    }
}

pub fn phase(text: &[u8]) -> Phase {
    match text {
        b"Pending" => Phase::Pending,
        b"Running" => Phase::Running,
        b"Succeeded" => Phase::Succeeded,
        b"Failed" => Phase::Failed,
        _ => Phase::Unknown,
    }
}

/// The whole seconds of a `Time`. The first year, which stands for no time at all, is none.
pub fn seconds(message: &[u8]) -> Result<Option<i64>, Malformed> {
    let mut seconds = None;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            seconds = Some(field.number() as i64).filter(|seconds| *seconds > 0);
        }
    }
    Ok(seconds)
}
