//! What remains of probes that ended. Alone in its process, whose descriptors it counts.

mod harness;

use harness::Session;

#[test]
fn nothing_is_left_behind() {
    let programs = |session: &Session| session.report().programs.len();
    let attached = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = attached();
    let session = Session::start();
    assert!(programs(&session) > 0 && attached() > before);
    drop(session.finish());
    assert_eq!(attached(), before, "descriptors of programs, maps or links are still open");
}
