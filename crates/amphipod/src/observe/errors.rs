//! What the errors of sockets and name servers mean, for somebody who is woken by one.

/// A few words on an errno that a connection can end with.
pub fn explain(name: &str) -> Option<&'static str> {
    Some(match name {
        "ECONNREFUSED" => "connection refused: nobody listens",
        "ETIMEDOUT" => "timed out: no answer",
        "ECONNRESET" => "reset by peer",
        "ECONNABORTED" => "aborted",
        "EHOSTUNREACH" => "no route to host",
        "ENETUNREACH" => "no route to network",
        "EHOSTDOWN" => "host is down",
        "ENETDOWN" => "network is down",
        "EADDRNOTAVAIL" => "no free local port or address",
        "EADDRINUSE" => "address in use",
        "EPIPE" => "peer has closed",
        "EPERM" | "EACCES" => "forbidden here: firewall or policy",
        "ENOBUFS" | "ENOMEM" => "out of memory for sockets",
        "EMSGSIZE" => "message too long",
        "EPROTO" => "protocol error",
        _ => return None,
    })
}

/// The same of how a DNS lookup can end, where the name does not say it.
pub fn rcode(name: &str) -> Option<&'static str> {
    Some(match name {
        "NXDOMAIN" => "no such name",
        "SERVFAIL" => "the server could not find out",
        "REFUSED" => "the server does not answer such questions",
        "FORMERR" => "the server did not understand",
        "NOTIMP" => "the server cannot do that",
        "timeout" => "no answer",
        _ => return None,
    })
}
