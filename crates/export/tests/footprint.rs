//! The memory that an export needs, as estimated from its graphs.

mod common;

use common::fixture;
use conjoint_export::{ExportOptions, Footprint, Quantisation, export};

/// Factor for memory beside the weights.
const OVERHEAD: f64 = 1.04;

fn footprint(checkpoint: &str, quantisation: Option<Quantisation>) -> Footprint {
    let out = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture(checkpoint));
    options.sampler = (checkpoint == "dream-tiny").then(|| fixture("adjust-dream-tiny"));
    options.out = Some(out.path().to_owned());
    options.quantisation = quantisation;
    export(&options).unwrap().footprint(out.path()).unwrap()
}

/// V = 96, D = 32, F = 56, 2 layers with 4 query heads and 2 key heads, tied, in bfloat16. The table is in
/// memory twice: with 2 bytes as the embedding, and with 4 as the output layer. All other weights have 4 bytes.
#[test]
fn sixteen_bit_matrices_need_twice_their_bytes() {
    let (table, width, ffn, keys) = (96 * 32, 32, 56, 16);
    let layer = 2 * width * width + 2 * width * keys + 3 * width * ffn;
    let vectors = 2 * width + width + 2 * keys;
    let numbers = 2 * (layer + vectors) + width;
    let expected = (2 * table + 4 * table + 4 * numbers) as f64 * OVERHEAD;
    assert_eq!(footprint("dream-tied-bf16-sharded", None).model, expected as u64);
}

#[test]
fn fewer_bits_need_less_memory() {
    let kinds = [None, Some(Quantisation::Int8), Some(Quantisation::Int4)];
    let [plain, eight, four] =
        kinds.map(|kind| footprint(conjoint_models::tiny().to_str().unwrap(), kind).model);
    assert!(plain > 3 * eight && eight > four, "{plain} {eight} {four}");
    let [plain, eight, _] = kinds.map(|kind| footprint("dream-tiny", kind));
    assert!(plain.sampler > eight.sampler && eight.sampler > 0);
    assert_eq!(plain.total(), plain.model + plain.sampler);
    assert_eq!(footprint("llada-tiny", None).sampler, 0);
}

/// A batch of 2 with 4 heads and 48 positions, plus terms that are linear in the rows.
#[test]
fn scores_grow_with_the_square_of_the_length() {
    let out = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture("dream-tied-bf16-sharded"));
    options.out = Some(out.path().to_owned());
    let manifest = export(&options).unwrap();
    let rows = 2 * 48 * 4 * (3 * 56 + 6 * 32 + 96);
    assert_eq!(manifest.scratch(2, 48), 2 * 48 * 48 * (4 * 4 + 5) + rows);
    assert_eq!(manifest.scratch(usize::MAX, usize::MAX), u64::MAX);
}
