//! What a newcomer can do with a running demo.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use sim::Cluster;

use super::control_plane::ControlPlane;

pub fn text(
    cluster: &Cluster,
    control_plane: &ControlPlane,
    agent: SocketAddr,
    socket: &Path,
) -> String {
    let pods = cluster.pods();
    let mut namespaces: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in &pods {
        *namespaces.entry(&pod.namespace).or_default() += 1;
    }
    let namespaces: Vec<String> =
        namespaces.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let place = cluster.node().instance().place();
    let mut text = format!(
        "{} pods run on this host ({}), each in its own network namespace and cgroup.\n\
         Pods come and go, one crashes, one asks at a closed port, one calls {} outside.\n\
         The agent has their names from a hub, which watches a simulated API server.\n\n\
         In another terminal, as root:\n",
        pods.len(),
        namespaces.join(", "),
        sim::OUTSIDE_V4,
    );
    let frontend = cluster.frontend();
    let mut commands = commands(&program(), socket, agent, frontend, place);
    if let Some(hub) = control_plane.hub() {
        text.insert_str(0, &format!("The cluster in a browser: http://{hub}/\n\n"));
        let command = format!("{} status --hub http://{hub}", program());
        commands.push((command, "the hub and all nodes; so does top, and so does observe"));
        let command = format!("curl -s 'http://{hub}/api/v1/graph?since=-5m'");
        commands.push((command, "the hub: who talks to whom, of all nodes and from a while ago"));
        let command = format!("curl -s http://{hub}/api/v1/openapi.json");
        commands.push((command, "what else it can be asked"));
    }
    if let Some(hubble) = control_plane.hubble() {
        commands.push((
            format!("hubble observe --server {hubble} -f"),
            "every record of the hub with the command line of Cilium's Hubble",
        ));
    }
    let kubeconfig = control_plane.kubeconfig().display();
    let command = format!("kubectl --kubeconfig {kubeconfig} get pods -A -w");
    commands.push((command, "the cluster as Kubernetes shows it"));
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, purpose) in commands {
        text.push_str(&format!("  {command:width$}   {purpose}\n"));
    }
    text.push_str("\nCtrl-C ends the demo and removes whatever it made.\n");
    text
}

fn commands(
    program: &str,
    socket: &Path,
    agent: SocketAddr,
    frontend: SocketAddr,
    place: u16,
) -> Vec<(String, &'static str)> {
    let socket = match socket {
        usual if usual == Path::new(::agent::Config::SOCKET) => String::new(),
        other => format!(" --socket {}", other.display()),
    };
    vec![
        (format!("{program} observe{socket} -f"), "every connection and flow, live"),
        (format!("{program} observe{socket} -f --verdict failed"), "what goes wrong"),
        (format!("{program} observe{socket} -f --to-service redis"), "who uses the cache"),
        (
            format!("{program} observe{socket} -f --kind dns"),
            "who looks up what, and what comes of it",
        ),
        (format!("{program} top{socket}"), "the busiest pairs"),
        (format!("{program} status{socket}"), "the probes, and what they cost"),
        (format!("curl -s http://{agent}/metrics | grep amphipod_"), "the same for Prometheus"),
        (format!("curl http://{frontend}/"), "a visit to the shop, to see yourself as a client"),
        (format!("ls /run/netns | grep amph-{place}-"), "the pods, for ip netns exec"),
    ]
}

/// As it was called, so that what is printed can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "amphipod".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_socket_only_where_it_is_not_the_usual_one() {
        let check = |socket: &str, expected: &str| {
            let web = SocketAddr::from(([127, 0, 0, 1], 7171));
            let commands = commands("amphipod", Path::new(socket), web, web, 3);
            assert_eq!(commands[4].0, expected);
        };
        check("/run/amphipod/agent.sock", "amphipod top");
        check("/run/amphipod/demo-3.sock", "amphipod top --socket /run/amphipod/demo-3.sock");
    }
}
