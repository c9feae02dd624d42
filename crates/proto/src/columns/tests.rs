use model::Measure;
use model::row::Values;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn rows() -> impl Strategy<Value = Vec<(u32, Values)>> {
    let value = (0..Measure::ALL.len(), 0_u64..1 << 45);
    let values = vec(value, 0..12).prop_map(|all| {
        let mut values = Values::default();
        for (code, value) in all {
            let measure = Measure::ALL[code];
            match measure.is_distribution() {
                true => values.observe(measure, value),
                false => values.add(measure, value),
            }
        }
        values
    });
    btree_map(0_u32..400, values, 0..80).prop_map(|all| all.into_iter().collect())
}

fn block(rows: &[(u32, Values)]) -> Vec<u8> {
    let mut writer = Writer::default();
    rows.iter().for_each(|(id, values)| assert!(writer.push(*id, values)));
    writer.finish()
}

fn read(blocks: &[&[u8]]) -> Vec<(u32, Values)> {
    let readers = blocks.iter().map(|it| Reader::new(it).unwrap()).collect();
    let mut rows = Vec::new();
    merge(readers, |_| true, |id, sum| rows.push((id, sum.take()))).unwrap();
    rows
}

/// Sums and greatest values of distributions are told in steps.
fn told(values: &Values) -> Values {
    let mut told = values.clone();
    for measure in values.measures().filter(|it| it.is_distribution()) {
        let it = told.distribution_mut(measure).unwrap();
        *it = it.told();
    }
    told
}

proptest! {
    #[test]
    fn rows_come_back(rows in rows()) {
        let expected: Vec<_> = rows.iter().map(|(id, values)| (*id, told(values))).collect();
        let block = block(&rows);
        prop_assert_eq!(read(&[&block]), expected);
        let packed = compress(&block, 3).unwrap();
        prop_assert_eq!(decompress(&packed, block.len()).unwrap(), block);
    }

    #[test]
    fn blocks_add_up(a in rows(), b in rows()) {
        let mut expected = std::collections::BTreeMap::<u32, Values>::new();
        for (id, values) in a.iter().chain(&b) {
            expected.entry(*id).or_default().merge(&told(values));
        }
        let expected: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(read(&[&block(&a), &block(&b)]), expected);
    }

    #[test]
    fn what_is_not_wanted_is_passed_by(rows in rows()) {
        let block = block(&rows);
        let reader = Reader::of(&block, |it| it == Measure::RTT).unwrap();
        let mut found = Vec::new();
        merge(vec![reader], |id| id % 2 == 0, |id, sum| found.push((id, sum.take()))).unwrap();
        let even: Vec<_> = rows.iter().filter(|(id, _)| id % 2 == 0).collect();
        prop_assert_eq!(found.len(), even.len());
        for ((_, found), (_, values)) in found.iter().zip(even) {
            let expected = told(values);
            prop_assert_eq!(found.distribution(Measure::RTT), expected.distribution(Measure::RTT));
            prop_assert!(found.measures().all(|it| it == Measure::RTT));
        }
    }

    #[test]
    fn other_bytes_do_no_harm(rows in rows(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut block = block(&rows);
        let at = at.index(block.len());
        block[at] = byte;
        block.truncate(cut.index(block.len()) + 1);
        if let Ok(reader) = Reader::new(&block) {
            let _ = merge(vec![reader], |id| id % 3 != 0, |_, sum| drop(sum.take()));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        let bytes = [&[VERSION], &bytes[..]].concat();
        if let Ok(reader) = Reader::new(&bytes) {
            let _ = merge(vec![reader], |_| true, |_, sum| drop(sum.take()));
        }
        let _ = decompress(&bytes, 1 << 10);
    }
}

/// Rows of both ends, of which some are what the other end saw, or nearly.
fn pairs() -> impl Strategy<Value = Vec<(u32, Values)>> {
    (rows(), any::<u64>()).prop_map(|(rows, seed)| {
        let random = &mut fastrand::Rng::with_seed(seed);
        let mut pairs = std::collections::BTreeMap::new();
        for (id, values) in rows {
            if random.bool() {
                let mut other = values.clone();
                values.measures().filter(|_| random.bool()).for_each(|it| other.add_some(it));
                pairs.insert(id ^ 1, other);
            }
            pairs.insert(id, values);
        }
        pairs.into_iter().collect()
    })
}

trait AddSome {
    fn add_some(&mut self, measure: Measure);
}

impl AddSome for Values {
    fn add_some(&mut self, measure: Measure) {
        match measure.is_distribution() {
            true => self.observe(measure, 70_000),
            false => self.add(measure, 3),
        }
    }
}

fn paired(rows: &[(u32, Values)]) -> Vec<u8> {
    let mut writer = Writer::paired();
    rows.iter().for_each(|(id, values)| assert!(writer.push(*id, values)));
    writer.finish()
}

proptest! {
    #[test]
    fn pairs_come_back(rows in pairs()) {
        let expected: Vec<_> = rows.iter().map(|(id, values)| (*id, told(values))).collect();
        let block = paired(&rows);
        prop_assert_eq!(read(&[&block]), expected.clone());
        let packed = compress(&block, 3).unwrap();
        prop_assert_eq!(decompress(&packed, block.len()).unwrap(), block.clone());
        // One of a pair is passed by, or the measures that lead to expect others are not asked for.
        let mut found = Vec::new();
        let wanted = [Measure::PACKETS_SENT, Measure::RTT];
        let reader = Reader::of(&block, |it| wanted.contains(&it)).unwrap();
        merge(vec![reader], |id| id % 2 == 1, |id, sum| found.push((id, sum.take()))).unwrap();
        let odd: Vec<_> = expected.iter().filter(|(id, _)| id % 2 == 1).collect();
        prop_assert_eq!(found.len(), odd.len());
        for ((id, found), (expected, values)) in found.iter().zip(odd) {
            prop_assert_eq!(id, expected);
            prop_assert_eq!(found.sum(Measure::PACKETS_SENT), values.sum(Measure::PACKETS_SENT));
            prop_assert_eq!(found.distribution(Measure::RTT), values.distribution(Measure::RTT));
            prop_assert!(found.measures().all(|it| wanted.contains(&it)));
        }
    }

    #[test]
    fn other_bytes_of_pairs_do_no_harm(rows in pairs(), at: prop::sample::Index, byte: u8) {
        let mut block = paired(&rows);
        let at = at.index(block.len());
        block[at] = byte;
        if let Ok(reader) = Reader::new(&block) {
            let _ = merge(vec![reader], |id| id % 3 != 0, |_, sum| drop(sum.take()));
        }
        let _ = compress(&block, 1);
    }
}

#[test]
fn extremes_come_back() {
    let most = |sent: u64, packets: u64| {
        let mut values = Values::default();
        values.add(Measure::BYTES_SENT, sent);
        values.add(Measure::PACKETS_SENT, packets);
        let it = values.distribution_mut(Measure::RTT).unwrap();
        *it = model::row::Distribution::from_parts(0, u64::MAX, [(0, 1), (127, packets.max(2))]);
        values
    };
    let rows = [(2, most(1, u64::MAX - 1)), (3, most(u64::MAX, 0)), (5, most(0, 1 << 63))];
    let expected: Vec<_> = rows.iter().map(|(id, values)| (*id, told(values))).collect();
    assert_eq!(read(&[&paired(&rows)]), expected);
}

#[test]
fn the_other_end_takes_few_bytes() {
    let random = &mut fastrand::Rng::with_seed(1);
    let row = |bytes: u64, random: &mut fastrand::Rng| {
        let mut values = Values::default();
        values.add(Measure::BYTES_SENT, bytes);
        values.add(Measure::PACKETS_SENT, bytes / 900);
        (0..30).for_each(|_| values.observe(Measure::RTT, random.u64(100_000..400_000)));
        values
    };
    let mut alone = Vec::new();
    let mut both = Vec::new();
    for edge in 0..2000 {
        let bytes = 1 << random.u32(10..24) | random.u64(..1000);
        alone.push((2 * edge, row(bytes, random)));
        both.push(alone[edge as usize].clone());
        both.push((2 * edge + 1, row(bytes + random.u64(..900), random)));
    }
    let size = |block: Vec<u8>| compress(&block, 3).unwrap().len();
    let (one, two) = (size(paired(&alone)), size(paired(&both)));
    let unaware = size(block(&both));
    assert!(two < one * 19 / 10 && two < unaware * 93 / 100, "{one} {two} {unaware}");
}

#[test]
fn ids_must_ascend() {
    let mut writer = Writer::default();
    let values = Values::default();
    assert!(writer.push(0, &values) && writer.push(5, &values));
    assert!(!writer.push(5, &values) && !writer.push(4, &values));
    assert_eq!((writer.rows(), writer.last()), (2, 5));
}
