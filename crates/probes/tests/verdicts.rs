//! Every program has a verdict, and the essential ones are active.

mod harness;

use harness::Session;
use model::status::ProgramState;

/// What no supported kernel may lack; where there are two ways, one of them.
const ESSENTIAL: &[&[&str]] = &[
    &["cgroup_created"],
    &["cgroup_removed"],
    &["tcp_set_state"],
    &["tcp_destroy"],
    &["tcp_older"],
    &["flow_tcp", "flow_tcp_walk"],
    &["flow_egress"],
    &["flow_ingress"],
    &["flow_create"],
    &["flow_release"],
    &["flow_other", "flow_other_files"],
    &["dns_egress"],
    &["dns_ingress"],
    &["drop_packet"],
];

/// Prints a line for each program, which the kernel matrix makes its table of.
#[test]
fn verdicts() {
    let session = Session::start();
    let report = session.report();
    for program in &report.programs {
        let state = format!("{:?}", program.state).to_lowercase();
        println!("verdict {} {} {state} {}", program.probe, program.program, program.reason);
    }
    for names in ESSENTIAL {
        let ways: Vec<_> = report
            .programs
            .iter()
            .filter(|program| names.contains(&program.program.as_str()))
            .collect();
        assert_eq!(ways.len(), names.len(), "{names:?} have no verdict");
        let active = ways.iter().filter(|way| way.state == ProgramState::Active).count();
        assert_eq!(active, 1, "{ways:?}");
    }
    for program in report.programs.iter().filter(|program| program.state != ProgramState::Active) {
        assert!(!program.reason.is_empty(), "{program:?}");
    }
}

#[test]
fn a_disabled_probe_says_so() {
    let session = Session::with(|settings| {
        settings.tcp.enabled = false;
        settings.drop.enabled = false;
    });
    let report = session.report();
    let state = |name: &str| {
        report.programs.iter().find(|program| program.program == name).map(|program| program.state)
    };
    assert_eq!(state("tcp_set_state"), Some(ProgramState::Disabled));
    assert_eq!(state("drop_packet"), Some(ProgramState::Disabled));
    assert_eq!(state("flow_tcp"), Some(ProgramState::Degraded));
    assert_eq!(state("flow_egress"), Some(ProgramState::Active));
}
