//! The tables and views, and what is asked of them. Columns of values come from the list of measures.

use model::Measure;

use crate::query::{Name, Select};
use crate::store::{Level, PerLevel};

/// How much of each level lies together: what is too old goes whole.
const PARTITION_S: PerLevel<u64> = [3600, 86_400, 30 * 86_400];
/// Rows of ten seconds stay this long after they are asked for last: a minute is made again of all of them.
const LATE_S: u64 = 900;
const DAY_S: u64 = 86_400;
/// Of strings.
const TEXTS: [&str; 9] = [
    "source_namespace",
    "source_kind",
    "source_name",
    "source_zone",
    "destination_namespace",
    "destination_kind",
    "destination_name",
    "destination_zone",
    "service",
];
/// What makes an edge, in the order in which it is written.
pub const EDGE: &str = "id, source_namespace, source_kind, source_name, source_zone, \
    destination_namespace, destination_kind, destination_name, destination_zone, \
    service, protocol, port, direction";

pub fn table(level: Level) -> &'static str {
    match level {
        Level::TenSeconds => "row_10s",
        Level::Minute => "row_1m",
        Level::Hour => "row_1h",
    }
}

/// Of one measure: column, type, and how it is added up. A distribution is its buckets' counts (bucket `i` is from
/// 2^(i/4) ns to 2^((i+1)/4) ns), the sum and the greatest.
fn columns(measure: Measure) -> Vec<(String, &'static str, &'static str)> {
    let name = measure.name();
    match measure.is_distribution() {
        false => vec![(name.to_owned(), "UInt64", "sum")],
        true => vec![
            (format!("{name}_buckets"), "Map(UInt8, UInt64)", "sumMap"),
            (format!("{name}_sum_ns"), "UInt64", "sum"),
            (format!("{name}_max_ns"), "UInt64", "max"),
        ],
    }
}

fn all_columns() -> Vec<(String, &'static str, &'static str)> {
    Measure::ALL.into_iter().flat_map(columns).collect()
}

/// Behind the row's own columns: which measures were observed (a bit each), and their values.
pub fn values() -> String {
    let names = all_columns().into_iter().map(|(name, ..)| name);
    std::iter::once("present".to_owned()).chain(names).collect::<Vec<_>>().join(", ")
}

/// The same added up; what is not `wanted` is left out.
fn sums(wanted: Option<&[Measure]>) -> String {
    let mut sums = vec!["groupBitOr(present)".to_owned()];
    let measures = Measure::ALL.into_iter().filter(|it| wanted.is_none_or(|all| all.contains(it)));
    for (name, _, sum) in measures.flat_map(columns) {
        sums.push(format!("{sum}({name})"));
    }
    sums.join(", ")
}

/// What makes everything that is not there. What somebody made otherwise (replicated, on other disks) stays.
pub fn create(keep_s: PerLevel<u64>) -> Vec<String> {
    let texts = TEXTS.map(|name| format!("{name} LowCardinality(String)")).join(", ");
    let longest_s = keep_s.into_iter().max().unwrap_or(0) + 2 * DAY_S;
    let mut all = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS edge (id UInt64, {texts}, protocol UInt8, port UInt16, \
             direction Enum8('egress' = 0, 'ingress' = 1), seen DateTime('UTC')) \
             ENGINE = ReplacingMergeTree(seen) ORDER BY id TTL seen + toIntervalSecond({longest_s})"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS position (node String, life UInt64, sequence UInt64, seen DateTime('UTC')) \
             ENGINE = ReplacingMergeTree(sequence) ORDER BY (node, life) TTL seen + toIntervalSecond({longest_s})"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS loss (node LowCardinality(String), life UInt64, sequence UInt64, \
             reason LowCardinality(String), rows UInt64, since DateTime('UTC'), until DateTime('UTC')) \
             ENGINE = ReplacingMergeTree PARTITION BY intDiv(toUInt32(until), {DAY_S}) \
             ORDER BY (until, node, life, sequence, reason, since, rows) TTL until + toIntervalSecond({longest_s}) \
             SETTINGS ttl_only_drop_parts = 1"
        ),
    ];
    for level in Level::ALL {
        let table = table(level);
        let (own, key, version) = match level {
            Level::TenSeconds => (
                "node LowCardinality(String), life UInt64 CODEC(ZSTD(1)), sequence UInt64 CODEC(ZSTD(1))",
                "time, edge, node, life, sequence",
                "",
            ),
            _ => ("rows UInt64 CODEC(ZSTD(1))", "time, edge", "rows"),
        };
        let values = all_columns()
            .into_iter()
            .map(|(name, kind, _)| format!("{name} {kind} CODEC(ZSTD(1))"));
        let values = values.collect::<Vec<_>>().join(", ");
        let keep_s = keep_s[level as usize] + if level == Level::TenSeconds { LATE_S } else { 0 };
        all.push(format!(
            "CREATE TABLE IF NOT EXISTS {table} (time DateTime('UTC') CODEC(Delta, ZSTD(1)), \
             edge UInt64 CODEC(ZSTD(1)), {own}, present UInt64 CODEC(ZSTD(1)), {values}) \
             ENGINE = ReplacingMergeTree({version}) PARTITION BY intDiv(toUInt32(time), {}) \
             ORDER BY ({key}) TTL time + toIntervalSecond({keep_s}) \
             SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1",
            PARTITION_S[level as usize]
        ));
        // Measures that another version did not know.
        let add = |(name, kind, _): (String, &str, &str)| {
            format!("ADD COLUMN IF NOT EXISTS {name} {kind} CODEC(ZSTD(1))")
        };
        let added = all_columns().into_iter().map(add).collect::<Vec<_>>().join(", ");
        all.push(format!("ALTER TABLE {table} {added}"));
        let traffic = table.replace("row", "traffic");
        let names = EDGE.split_once(", ").map_or("", |(_, names)| names);
        all.push(format!(
            "CREATE VIEW IF NOT EXISTS {traffic} AS SELECT r.*, {names} FROM {table} AS r FINAL \
             ANY LEFT JOIN (SELECT * FROM edge FINAL) AS e ON r.edge = e.id"
        ));
    }
    all
}

pub fn insert_rows() -> String {
    format!("INSERT INTO row_10s (time, edge, node, life, sequence, {}) FORMAT RowBinary", values())
}

/// Makes one interval of `level` of all that is there of the finer one. Done once more it is the same, or more complete:
/// the one of more rows counts.
pub fn fold(level: Level, finer: Level, time_s: u64) -> String {
    let (into, from, until_s) = (table(level), table(finer), time_s + level.seconds());
    let rows = if finer == Level::TenSeconds { "count()" } else { "sum(rows)" };
    format!(
        "INSERT INTO {into} (time, edge, rows, {}) \
         SELECT toDateTime({time_s}, 'UTC'), edge, {rows}, {} FROM {from} FINAL \
         WHERE time >= toDateTime({time_s}, 'UTC') AND time < toDateTime({until_s}, 'UTC') GROUP BY edge",
        values(),
        sums(None)
    )
}

/// Step, edge, and its values.
pub fn read(
    level: Level,
    times_s: &std::ops::Range<u64>,
    step_s: Option<u64>,
    measures: Option<&[Measure]>,
    select: Option<&Select>,
) -> String {
    let (start, end) = (times_s.start, times_s.end);
    let step = match step_s {
        Some(step_s) => format!("intDiv(toUInt32(time), {step_s}) * {step_s}"),
        None => start.to_string(),
    };
    let edges = select.and_then(edges).unwrap_or_default();
    format!(
        "SELECT toUInt32({step}) AS step, edge, toUInt32(max(time)), {} FROM {} FINAL \
         WHERE time >= toDateTime({start}, 'UTC') AND time < toDateTime({end}, 'UTC'){edges} \
         GROUP BY step, edge SETTINGS do_not_merge_across_partitions_select_final = 1 FORMAT RowBinary",
        sums(measures),
        table(level)
    )
}

/// As far as the engine can tell: what somebody may not see is left out by who asks.
fn edges(select: &Select) -> Option<String> {
    let Select { scope: _, namespaces, source, destination, workload } = select;
    let mut all = Vec::new();
    if !namespaces.is_empty() {
        let names = namespaces.iter().map(|it| quote(it)).collect::<Vec<_>>().join(", ");
        all.push(format!("(source_namespace IN ({names}) OR destination_namespace IN ({names}))"));
    }
    let end = |end: &str, it: &Name| {
        format!(
            "({end}_namespace = {} AND {end}_kind = {} AND {end}_name = {})",
            quote(&it.namespace),
            quote(&it.kind),
            quote(&it.name)
        )
    };
    all.extend(source.iter().map(|it| end("source", it)));
    all.extend(destination.iter().map(|it| end("destination", it)));
    all.extend(
        workload.iter().map(|it| format!("({} OR {})", end("source", it), end("destination", it))),
    );
    (!all.is_empty())
        .then(|| format!(" AND edge IN (SELECT id FROM edge WHERE {})", all.join(" AND ")))
}

/// A string of SQL.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
