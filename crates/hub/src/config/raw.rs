//! The file as it is written. The defaults here are the one list of valid keys and the reference.

use daemon::export::{Otlp, RemoteWrite};
use daemon::{section, sections};

sections! {
    /// The hub as a whole.
    hub: Hub,
    /// Who may ask, and sees what. Without tokens and without [oidc] only a loopback address is served.
    access: Access,
    /// People who sign in with an OpenID provider (authorization code with PKCE).
    oidc: Oidc,
    /// The API server that is watched.
    kube: Kube,
    /// What agents are told.
    inventory: Inventory,
    /// What agents told, kept for queries.
    history: History,
    /// History in a ClickHouse server instead of a file, for all replicas of the hub together.
    clickhouse: ClickHouse,
    /// The hub's own metrics to an OpenTelemetry receiver, under OpenTelemetry's names.
    otlp: Otlp,
    /// The hub's own metrics to Prometheus, or what takes its remote write.
    remote_write: RemoteWrite,
    /// Records for clients of Cilium's Hubble: the command line tool, its UI.
    hubble: Hubble,
}

section!(Hub {
    /// Address and port of the pages, /api/v1, /metrics, /healthz and /readyz; "off": nowhere.
    listen: String = "127.0.0.1:7171",
    /// PEM file with the certificate of listen, and the chain below it; empty: plain text.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// Answer everything beyond this host, to anybody who reaches listen.
    open_api: bool = false,
    /// URLs at which the replicas of this hub take agents (inventory.listen): all addresses that a name has are asked, but
    /// for our own, and an answer is made of what each has.
    peers: Vec<String> = Vec::<String>::new(),
    /// How long a stop may take.
    drain: String = "5s",
});
section!(Access {
    /// Take bearer tokens that the API server accepts (TokenReview).
    tokens: bool = false,
    /// For whom those tokens must be meant; empty: for the API server itself, as those of kubectl are.
    audience: String = "",
    /// Where people reach the hub, such as "https://amphipod.example.org"; with https where a proxy in front ends TLS.
    url: String = "",
    /// How long somebody stays signed in.
    session: String = "8h",
    /// File with a secret of at least 32 bytes that seals sessions, the same for all replicas; empty: one of its own, so
    /// that sessions end with the hub.
    session_key: String = "",
    /// How long the API server's word on somebody holds.
    holds: String = "1m",
    /// Namespaces that the API server is asked about for one person; what is beyond is hidden.
    max_namespaces: u64 = 2000_u32,
});
section!(Oidc {
    /// The provider's URL, as its tokens have it; empty: nobody signs in this way.
    issuer: String = "",
    /// The hub's name there.
    client_id: String = "",
    /// File with the hub's secret there; empty: it has none.
    client_secret: String = "",
    /// PEM file with the authorities that vouch for the provider; empty: those of the system.
    ca: String = "",
    /// What is asked for besides "openid".
    scopes: Vec<String> = vec!["email".to_owned(), "groups".to_owned()],
    /// The claim that names a person, as in the API server's --oidc-username-claim.
    username_claim: String = "email",
    /// Put before that, as in --oidc-username-prefix.
    username_prefix: String = "",
    /// The claim with groups.
    groups_claim: String = "groups",
    /// Put before each.
    groups_prefix: String = "",
});
section!(Kube {
    /// The kubeconfig; empty: KUBECONFIG, ~/.kube/config or the pod's service account.
    kubeconfig: String = "",
    /// Its context; empty: the current one.
    context: String = "",
    /// Labels of pods that are kept and told; a * at the end stands for any rest.
    labels: Vec<String> = vec![
        "app".to_owned(), "k8s-app".to_owned(), "version".to_owned(), "app.kubernetes.io/*".to_owned(),
    ],
    /// Annotations of pods that are kept, likewise.
    annotations: Vec<String> = Vec::<String>::new(),
    /// Ask for lists as the beginning of a watch; an API server that does not offer that is asked for pages.
    streamed: bool = true,
});
section!(Inventory {
    /// Address and port to which agents connect.
    listen: String = "127.0.0.1:7173",
    /// PEM file with the hub's certificate, and the chain below it; empty: plain text. Certificates are read again when
    /// they change.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// PEM file with the authorities that vouch for agents; each agent is told of the node that its certificate names.
    client_ca: String = "",
    /// Take a service account's token instead of a certificate: the API server is asked whose it is (TokenReview).
    tokens: bool = false,
    /// For whom those tokens must be meant.
    audience: String = "amphipod-hub",
    /// Allow plain text beyond this host, and agents that only say which node they are on.
    insecure: bool = false,
    /// Newest changes that are kept: an agent that comes back within them is told the difference only.
    log_entries: u64 = 131_072_u32,
    /// For how long such a change is kept at most, and until when an address was somebody's: connections outlive pods, and
    /// the next pod gets the address at once.
    remember: String = "1h",
    /// Agents at once.
    max_agents: u64 = 10_000_u32,
    /// Addresses that one agent can ask for.
    max_addresses: u64 = 16_384_u32,
    /// Agents that are told everything at the same time; others wait for their turn.
    syncs: u64 = 32_u32,
});
section!(History {
    /// The database's file; it and its folder are made if need be. Empty: history is kept in memory only.
    path: String = "",
    /// What the file may take: beyond it what is oldest goes before its time, of each level a like part of what it is kept
    /// for, and is counted. Some 16 MiB more are written ahead.
    disk: String = "3GiB",
    /// Memory for history. Three quarters are for what is recent: without a file all there is, else what need not be read
    /// again; a quarter for what was added up for a question and serves the next ones.
    memory: String = "64MiB",
    /// How long intervals of ten seconds are kept.
    keep_10s: String = "1h",
    /// How long those of a minute are kept.
    keep_1m: String = "24h",
    /// How long those of an hour are kept.
    keep_1h: String = "720h",
    /// Different pairs of workloads, ports and protocols that are told apart; what is beyond is added up as one.
    max_edges: u64 = 262_144_u32,
});
section!(ClickHouse {
    /// The server's HTTP interface, such as "https://clickhouse.example.org:8443"; empty: none is used.
    url: String = "",
    /// The database, which must be there; tables are made in it.
    database: String = "amphipod",
    /// Who the hub is there.
    user: String = "default",
    /// File with the user's password; empty: it has none.
    password: String = "",
    /// PEM file with the authorities that vouch for the server; empty: those of the system.
    ca: String = "",
    /// How long an answer may take.
    timeout: String = "30s",
});
section!(Hubble {
    /// Address and port of Hubble's gRPC API, such as "127.0.0.1:4245"; "off": nowhere.
    listen: String = "off",
    /// PEM file with the certificate that is shown, and the chain below it; empty: plain text. Certificates are read
    /// again when they change.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// PEM file with the authorities that vouch for clients' certificates; empty: they show none. Where [access] takes
    /// tokens, clients show one of those.
    client_ca: String = "",
    /// Allow plain text beyond this host, and where [access] takes no tokens, clients that prove nothing.
    insecure: bool = false,
});
