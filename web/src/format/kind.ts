// Kinds of workloads in few letters, as kubectl has them.

const SHORT: Record<string, string> = {
  CronJob: "cj",
  DaemonSet: "ds",
  Deployment: "deploy",
  Namespace: "ns",
  Node: "no",
  Pod: "po",
  ReplicaSet: "rs",
  ReplicationController: "rc",
  Service: "svc",
  StatefulSet: "sts",
};

/** Other kinds (`Job`, `Process`) are short as they are. */
export function shortKind(kind: string): string {
  return SHORT[kind] ?? kind.toLowerCase();
}
