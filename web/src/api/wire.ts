// What the hub's HTTP API says, as it stands on the wire. An absent field is unknown, never zero.

export type MeasureType = "sum" | "gauge" | "distribution";

export interface Measure {
  name: string;
  kind: string;
  unit: string;
  type: MeasureType;
  title: string;
  bad: boolean;
  /** Of what is bad: the measures whose sum it is a share of; none: any of it is a failure. */
  of: string[];
}

export interface Distribution {
  count?: number;
  mean?: number;
  p50?: number;
  p95?: number;
  p99?: number;
  max?: number;
}

export type Value = number | Distribution;
export type Values = Record<string, Value>;

export interface Missing {
  node: string;
  reason: string;
  rows?: number;
}

export interface GraphNode {
  id: number;
  namespace?: string;
  kind: string;
  name: string;
  service?: string[];
  zone?: string;
}

export interface GraphEdge {
  source: number;
  destination: number;
  protocol: string;
  port?: number;
  values: Values;
}

/** With what was so in the time that it is compared with. */
export interface Graph {
  earlier?: Graph;
  since: string;
  until: string;
  step_s: number;
  complete?: boolean;
  missing?: Missing[];
  nodes: GraphNode[];
  edges: GraphEdge[];
  truncated?: boolean;
}

export interface Series {
  measure: string;
  statistic?: string;
  values: (number | null)[];
}

export interface SeriesAnswer {
  earlier?: SeriesAnswer;
  since: string;
  until: string;
  step_s: number;
  times: number[];
  series: Series[];
}

export interface WorkloadName {
  namespace?: string;
  kind: string;
  name: string;
}

export interface WorkloadRow extends WorkloadName {
  pods?: number;
  nodes?: number;
  incoming?: Values;
  outgoing?: Values;
}

export interface Pod {
  name: string;
  node?: string;
  zone?: string;
  ips?: string[];
}

export interface Peer extends WorkloadName {
  direction: "in" | "out";
  protocol: string;
  port?: number;
  values: Values;
}

/** A new ReplicaSet whose pods began to be those of a workload. */
export interface Deploy {
  time: string;
  name: string;
  revision?: number;
}

export interface WorkloadSums {
  since?: string;
  complete?: boolean;
  missing?: Missing[];
  incoming?: Values;
  outgoing?: Values;
  peers?: Peer[];
}

export interface WorkloadPage extends WorkloadName, WorkloadSums {
  earlier?: WorkloadSums;
  pods?: Pod[];
  /** The newest first. */
  deploys?: Deploy[];
  failures?: RecordLine[];
}

export interface End {
  ip?: string;
  port?: number;
  backend?: { ip: string; port: number };
  namespace?: string;
  pod?: string;
  workload?: string;
  workload_kind?: string;
  container?: string;
  service?: string;
  names?: string[];
  labels?: Record<string, string>;
  zone?: string;
  host_network?: boolean;
}

/** A record. Kinds to come bring fields of their own: whatever is not named here is shown by its name. */
export interface RecordLine {
  time: string;
  node: string;
  kind: string;
  event?: string;
  direction?: string;
  protocol?: string;
  source?: End;
  destination?: End;
  process?: { pid?: number; comm?: string; cgroup_id?: number; netns?: number };
  error?: string;
  reason?: string;
  [field: string]: unknown;
}

export interface Lost {
  lost: number;
  node?: string;
}

export interface ProbeVerdict {
  probe: string;
  program: string;
  state: string;
  reason?: string;
}

export interface NodeRow {
  name: string;
  zone?: string;
  version?: string;
  connected: boolean;
  last_seen?: string;
  rows?: number;
  /** Events and records, on the node itself. */
  lost?: number;
  /** Rows that the hub was not told. */
  lost_rows?: number;
  probes?: ProbeVerdict[];
}
