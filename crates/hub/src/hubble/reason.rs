//! The kernel's reasons for drops among Cilium's, where one means the same. The others are told in the summary only.

/// Cilium's number (`DropReason` in flow.proto); 0: it has none for this.
pub fn number(kernel: &str) -> i32 {
    match kernel {
        "MAC_INVALID_SOURCE" => 130,
        "OTHERHOST" => 131,
        "IP_RPFILTER" | "IP_INVALID_SOURCE" => 132,
        "NETFILTER_DROP" | "BPF_CGROUP_EGRESS" => 133,
        "IP_CSUM" | "TCP_CSUM" | "UDP_CSUM" | "ICMP_CSUM" | "SKB_CSUM" | "IP_INHDR"
        | "PKT_TOO_SMALL" | "HDR_TRUNC" => 134,
        "PKT_TOO_BIG" => 136,
        "UNHANDLED_PROTO" => 139,
        "IP_NOPROTO" => 142,
        "IPV6_BAD_EXTHDR" => 156,
        "IP_OUTNOROUTES" | "IP_INNOROUTES" => 169,
        "NO_SOCKET" => 178,
        _ => 0,
    }
}
