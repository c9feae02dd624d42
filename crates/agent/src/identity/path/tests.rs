use super::*;

const C: &str = "3f4bb2c0e9d1a7568f0c1d2e3b4a59687786950413223140afbecd0918273645";
const D: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const U: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const S: &str = "4cfa8b9d1e0c3f2a5b6d7e8f90a1b2c3";

/// `{C}`, `{D}` container ids, `{U}` uid, `{V}` uid as systemd writes it, `{S}` uid of a static pod.
fn fill(text: &str) -> String {
    [("{C}", C), ("{D}", D), ("{U}", U), ("{V}", &U.replace('-', "_")), ("{S}", S)]
        .iter()
        .fold(text.to_string(), |text, (name, value)| text.replace(name, value))
}

/// `pod UID QOS RUNTIME CONTAINER`, `container RUNTIME ID`, `unit NAME`, `session NAME` or `-`.
fn show(owner: Option<Owner<'_>>) -> String {
    let show = |container: Container<'_>| format!("{:?} {}", container.runtime, container.id);
    match owner {
        None => "-".into(),
        Some(Owner::Pod { uid, qos, container }) => {
            let qos = qos.map_or("?".into(), |qos| format!("{qos:?}"));
            format!("pod {uid} {qos} {}", container.map_or("-".into(), show))
        }
        Some(Owner::Container(container)) => format!("container {}", show(container)),
        Some(Owner::Unit(name)) => format!("unit {name}"),
        Some(Owner::Session(name)) => format!("session {name}"),
    }
}

fn check(rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(case, path, expected)| {
            let (path, expected) = (fill(path), fill(expected));
            let found = show(owner(&path));
            (found != expected).then(|| {
                format!("{case}\n  path     {path}\n  expected {expected}\n  found    {found}")
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn pods() {
    check(&[
        ("EKS, AKS, kubeadm: containerd, systemd driver",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Burstable Containerd {C}"),
        ("best effort",
         "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} BestEffort Containerd {C}"),
        ("guaranteed",
         "/kubepods.slice/kubepods-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Guaranteed Containerd {C}"),
        ("the pod's own group",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice",
         "pod {U} Burstable -"),
        ("OpenShift: CRI-O",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/crio-{C}.scope",
         "pod {U} Burstable Crio {C}"),
        ("OpenShift: CRI-O, crun's inner group",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/crio-{C}.scope/container",
         "pod {U} Burstable Crio {C}"),
        ("CRI-O, cgroupfs driver", "/kubepods/burstable/pod{U}/crio-{C}", "pod {U} Burstable Crio {C}"),
        ("CRI-O's monitor in the pod is the pod's, no container",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/crio-conmon-{C}.scope",
         "pod {U} Burstable -"),
        ("cri-dockerd",
         "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{V}.slice/docker-{C}.scope",
         "pod {U} BestEffort Docker {C}"),
        ("GKE, k3s: cgroupfs driver", "/kubepods/burstable/pod{U}/{C}", "pod {U} Burstable Unknown {C}"),
        ("GKE, k3s, best effort", "/kubepods/besteffort/pod{U}/{C}", "pod {U} BestEffort Unknown {C}"),
        ("GKE, k3s, guaranteed", "/kubepods/pod{U}/{C}", "pod {U} Guaranteed Unknown {C}"),
        ("a kubelet with --cgroup-root", "/custom/kubepods/burstable/pod{U}/{C}", "pod {U} Burstable Unknown {C}"),
        ("kind: systemd driver",
         "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Burstable Containerd {C}"),
        ("kind: guaranteed",
         "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Guaranteed Containerd {C}"),
        ("kind seen from the host, cgroupfs",
         "/docker/{D}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Burstable Containerd {C}"),
        ("kind seen from the host, systemd",
         "/system.slice/docker-{D}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Guaranteed Containerd {C}"),
        ("kind, older: cgroupfs", "/docker/{D}/kubelet/kubepods/besteffort/pod{U}/{C}", "pod {U} BestEffort Unknown {C}"),
        ("minikube in Docker",
         "/system.slice/docker-{D}.scope/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/docker-{C}.scope",
         "pod {U} Burstable Docker {C}"),
        ("k3d", "/docker/{D}/kubepods/besteffort/pod{U}/{C}", "pod {U} BestEffort Unknown {C}"),
        ("kind in rootless Podman",
         "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{D}.scope/container/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Guaranteed Containerd {C}"),
        ("kind in a pod: the inner pod", "/kubepods/burstable/pod{S}/{D}/docker/{D}/kubepods/pod{U}/{C}",
         "pod {U} Guaranteed Unknown {C}"),
        ("mixed drivers", "/system.slice/containerd.service/kubepods-burstable-pod{V}.slice:cri-containerd:{C}",
         "pod {U} Burstable Containerd {C}"),
        ("mixed drivers, guaranteed, k3s", "/system.slice/k3s.service/kubepods-pod{V}.slice:cri-containerd:{C}",
         "pod {U} Guaranteed Containerd {C}"),
        ("mixed drivers, CRI-O", "/kubepods-besteffort-pod{V}.slice:crio:{C}", "pod {U} BestEffort Crio {C}"),
        ("static pod, systemd",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/cri-containerd-{C}.scope",
         "pod {S} Burstable Containerd {C}"),
        ("static pod, cgroupfs", "/kubepods/burstable/pod{S}/{C}", "pod {S} Burstable Unknown {C}"),
        ("from inside a namespace: pod level", "/../../pod{U}/{C}", "pod {U} ? Unknown {C}"),
        ("from inside a namespace: class level", "/../../../besteffort/pod{U}/{C}", "pod {U} BestEffort Unknown {C}"),
        ("from inside a namespace: slice level",
         "/../../kubepods-besteffort-pod{V}.slice/cri-containerd-{C}.scope", "pod {U} BestEffort Containerd {C}"),
        ("from inside a namespace: class slice",
         "/../kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/cri-containerd-{C}.scope",
         "pod {U} Burstable Containerd {C}"),
        ("leading parts missing", "kubepods-pod{V}.slice/crio-{C}.scope", "pod {U} Guaranteed Crio {C}"),
        ("systemd in the container",
         "/kubepods.slice/kubepods-pod{V}.slice/cri-containerd-{C}.scope/init.scope", "pod {U} Guaranteed Containerd {C}"),
        ("a service in the container",
         "/kubepods.slice/kubepods-pod{V}.slice/cri-containerd-{C}.scope/system.slice/nginx.service",
         "pod {U} Guaranteed Containerd {C}"),
        ("a session in the container", "/kubepods/pod{U}/{C}/user.slice/user-0.slice/session-1.scope",
         "pod {U} Guaranteed Unknown {C}"),
        ("Docker in the container is still the container", "/kubepods/pod{U}/{C}/docker/{D}",
         "pod {U} Guaranteed Unknown {C}"),
        ("Docker in the container, systemd", "/kubepods/burstable/pod{U}/{C}/system.slice/docker-{D}.scope",
         "pod {U} Burstable Unknown {C}"),
        ("a group of the container's own", "/kubepods/burstable/pod{U}/{C}/workers/7", "pod {U} Burstable Unknown {C}"),
        ("doubled and trailing slashes", "//kubepods//pod{U}/./{C}/", "pod {U} Guaranteed Unknown {C}"),
    ]);
}

#[test]
#[rustfmt::skip]
fn containers_outside_pods() {
    check(&[
        ("Docker, cgroupfs", "/docker/{C}", "container Docker {C}"),
        ("Docker, systemd", "/system.slice/docker-{C}.scope", "container Docker {C}"),
        ("Docker, systemd inside", "/system.slice/docker-{C}.scope/system.slice/nginx.service", "container Docker {C}"),
        ("Docker in Docker: the longest leaf", "/docker/{D}/docker/{C}", "container Docker {C}"),
        ("Podman, root", "/machine.slice/libpod-{C}.scope", "container Podman {C}"),
        ("Podman, root, inner group", "/machine.slice/libpod-{C}.scope/container", "container Podman {C}"),
        ("Podman, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{C}.scope",
         "container Podman {C}"),
        ("Podman, cgroupfs", "/libpod_parent/libpod-{C}", "container Podman {C}"),
        ("Podman's pod", "/machine.slice/machine-libpod_pod_{D}.slice/libpod-{C}.scope", "container Podman {C}"),
        ("nerdctl", "/system.slice/nerdctl-{C}.scope", "container Containerd {C}"),
        ("containerd's namespace", "/k8s.io/{C}", "container Containerd {C}"),
        ("any parent", "/a/b/{C}", "container Unknown {C}"),
        ("from inside a namespace", "/../{C}", "container Unknown {C}"),
        ("ECS on EC2", "/ecs/{S}/{C}", "container Unknown {C}"),
        ("ECS on EC2, systemd", "/ecstasks.slice/ecstasks-{S}.slice/docker-{C}.scope", "container Docker {C}"),
        ("ECS on Fargate", "/ecs/{S}/{S}-2531612879", "container Unknown {S}-2531612879"),
        ("LXC", "/lxc.payload.web", "container Lxc web"),
        ("LXC, systemd inside", "/lxc.payload.web/system.slice/nginx.service", "container Lxc web"),
        ("LXC, older", "/lxc/web", "container Lxc web"),
        ("Docker in LXC", "/lxc.payload.web/system.slice/docker-{C}.scope", "container Docker {C}"),
        ("runc with the wrong driver", "/system.slice/docker.service/system.slice:docker:{C}", "container Docker {C}"),
    ]);
}

#[test]
#[rustfmt::skip]
fn units_and_sessions() {
    check(&[
        ("a service", "/system.slice/nginx.service", "unit nginx.service"),
        ("its sub-group", "/system.slice/nginx.service/workers", "unit nginx.service"),
        ("a service that delegates", "/system.slice/systemd-udevd.service/udev/a.scope", "unit systemd-udevd.service"),
        ("a templated service in its slice", "/system.slice/system-getty.slice/getty@tty1.service", "unit getty@tty1.service"),
        ("a session", "/user.slice/user-1000.slice/session-11909.scope", "session session-11909"),
        ("a user's service", "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", "unit sync.service"),
        ("a user's manager", "/user.slice/user-1000.slice/user@1000.service/init.scope", "unit user@1000.service"),
        ("a slice", "/machine.slice", "unit machine.slice"),
        ("init", "/init.scope", "unit init.scope"),
        ("the runtime itself", "/system.slice/containerd.service", "unit containerd.service"),
        ("a virtual machine", r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator", r"unit machine-qemu\x2d1\x2dvm.scope"),
    ]);
}

#[test]
#[rustfmt::skip]
fn look_alikes() {
    let (long, short) = (format!("{C}0"), &C[1..]);
    let upper = C.to_uppercase();
    check(&[
        ("the root", "/", "-"),
        ("nothing", "", "-"),
        ("above the namespace", "/../..", "-"),
        ("a name", "/process_api/e397aebae1781e30865184bc50bdbeee", "-"),
        ("CRI-O's monitor", "/system.slice/crio-conmon-{C}.scope", "unit crio-conmon-{C}.scope"),
        ("Podman's monitor", "/machine.slice/libpod-conmon-{C}.scope", "unit libpod-conmon-{C}.scope"),
        ("LXC's monitor", "/lxc.monitor.web", "-"),
        ("65 digits", &format!("/docker/{long}"), "-"),
        ("63 digits", &format!("/docker/{short}"), "-"),
        ("65 digits in a scope", &format!("/system.slice/docker-{long}.scope"), &format!("unit docker-{long}.scope")),
        ("63 digits in a pod", &format!("/kubepods/pod{{U}}/{short}"), "pod {U} Guaranteed -"),
        ("upper case", &format!("/docker/{upper}"), "-"),
        ("a prefix of nobody's outside pods", "/system.slice/backup-{C}.scope", "unit backup-{C}.scope"),
        ("a pod outside kubepods", "/mine/pod{U}/{C}", "container Unknown {C}"),
        ("a pod slice outside kubepods", "/system.slice/kubepods-burstable-pod{V}.slice/cri-containerd-{C}.scope",
         "container Containerd {C}"),
        ("kubepods made by a user", "/user.slice/user-1000.slice/user@1000.service/kubepods/pod{U}/{C}",
         "container Unknown {C}"),
        ("kubepods slices made by a user",
         "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod{V}.slice/cri-containerd-{C}.scope",
         "container Containerd {C}"),
        ("mixed form made by a user",
         "/user.slice/user-1000.slice/user@1000.service/kubepods-pod{V}.slice:cri-containerd:{C}", "container Containerd {C}"),
        ("a pod deeper than its place", "/kubepods/burstable/x/pod{U}/{C}", "container Unknown {C}"),
        ("a uid too short", "/kubepods/pod0a1b2c3d/{C}", "container Unknown {C}"),
        ("a uid of mixed separators", "/kubepods/pod0a1b2c3d-4e5f_6071-8293-a4b5c6d7e8f9/{C}", "container Unknown {C}"),
        ("a name that ends like kubepods", "/notkubepods/pod{U}/{C}", "container Unknown {C}"),
        ("kubepods itself", "/kubepods.slice/kubepods-burstable.slice", "-"),
    ]);
}

#[test]
fn lines_of_a_process() {
    let check = |text: &str, expected: &str| {
        assert_eq!(show(owner(of_process(&fill(text)))), fill(expected), "{text}")
    };
    check("0::/kubepods/pod{U}/{C}\n", "pod {U} Guaranteed Unknown {C}");
    check(
        "12:pids:/kubepods/burstable/pod{U}/{C}\n1:name=systemd:/\n0::/\n",
        "pod {U} Burstable Unknown {C}",
    );
    check(
        "12:pids:/docker/{C}\n1:name=systemd:/system.slice/docker.service\n0::/",
        "container Docker {C}",
    );
    check(
        "4:cpu,cpuacct:/kubepods/pod{U}\n3:name=systemd:/kubepods/pod{U}/{C}\n",
        "pod {U} Guaranteed Unknown {C}",
    );
    check("0::/system.slice/a:b.service\n", "unit a:b.service");
    check("9:name=systemd:/\n0::/\n", "-");
    check("nonsense\n:\n::\n\n", "-");
    assert_eq!(unified("1:cpu:/a\n0::/b/c\n"), Some("/b/c"));
    assert_eq!(unified("1:cpu:/a\n"), None);
}

#[test]
fn hostile_names_harm_nothing() {
    let deep = format!("/{}", "x/".repeat(2_000));
    let wide = format!("/{}.service", "y".repeat(4_000));
    let controls = "/system.slice/\u{1b}[31mred\u{7}.service";
    let lossy =
        String::from_utf8_lossy(b"/kubepods/pod\xff\xfe\xfd-4e5f-6071-8293-a4b5c6d7e8f9/\xff")
            .into_owned();
    let edge =
        "/é-kubepods-podé.slice/pod\u{fffd}/-.scope/.slice:/.slice::/-/lxc.payload./session-.scope";
    for path in [&deep, &wide, controls, &lossy, edge] {
        let _ = owner(path);
    }
    assert_eq!(owner(&deep), None);
    assert_eq!(owner(&wide), Some(Owner::Unit(&wide[1..])));
}

proptest::proptest! {
    /// Neither panics nor finds an id that is not in the path.
    #[test]
    fn any_path(path in r"(/(\PC{0,12}|\.\.|kubepods(\.slice)?|burstable|pod[0-9a-f]{32}|[a-z]{0,6}-?[0-9a-f]{62,66}(\.scope)?|user\.slice|docker)){0,6}") {
        match owner(&path) {
            Some(Owner::Pod { container: Some(container), .. } | Owner::Container(container)) => {
                assert!(path.contains(container.id));
            }
            Some(Owner::Pod { uid, container: None, .. }) => assert!(path.contains(&*uid)),
            Some(Owner::Unit(name) | Owner::Session(name)) => assert!(path.contains(name)),
            None => {}
        }
    }
}
