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

/// The greatest value is told in steps.
fn told(values: &Values) -> Values {
    let mut told = values.clone();
    for measure in values.measures().filter(|it| it.is_distribution()) {
        let it = told.distribution_mut(measure).unwrap();
        let last = it.buckets().last().unwrap().0;
        it.max_ns = model::row::Distribution::max_ns_of(last, it.max_step());
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

#[test]
fn ids_must_ascend() {
    let mut writer = Writer::default();
    let values = Values::default();
    assert!(writer.push(0, &values) && writer.push(5, &values));
    assert!(!writer.push(5, &values) && !writer.push(4, &values));
    assert_eq!((writer.rows(), writer.last()), (2, 5));
}
