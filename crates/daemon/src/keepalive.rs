//! Connections whose other end is gone without a word. The kernel asks, and answers: neither process is woken.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// Has the kernel ask the other end after each `every` in which nothing came, in whole seconds, and ends the connection
/// once that was so for `within`, whether it was idle or waited for what it had sent to be acknowledged. Without this it
/// lives for many minutes, and after a short outage its other end may wait for as long as that lasted before it tries again.
///
/// # Errors
/// The socket does not take the options.
pub fn keepalive(tcp: impl AsFd, every: Duration, within: Duration) -> io::Result<()> {
    let most = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_socket_keepalive(&tcp, true)?;
    sockopt::set_tcp_keepidle(&tcp, every)?;
    sockopt::set_tcp_keepintvl(&tcp, every)?;
    sockopt::set_tcp_keepcnt(&tcp, (most / 1000).max(1))?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(&tcp, most)?;
    Ok(())
}
