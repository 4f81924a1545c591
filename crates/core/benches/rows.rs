//! Times operations on one row of logits: statistics, compared with a plain sum of the row, draws and
//! filters.
//!
//! `cargo bench -p conjoint-core --bench rows`. With ROWS = 1 the row stays in the second-level cache. With
//! 24, as in a forward with 24 masked positions, it is read from the third level or from memory.
#![allow(unsafe_code)] // the plain sum uses the CPU's vector instructions as well

use std::hint::black_box;

use conjoint_core::draw::{Argmax, Categorical, Draw};
use conjoint_core::filter::{Filter, FilterRow, Memory, MinP, Temperature, TopK, TopP};
use conjoint_core::row_kernels::Backend;
use conjoint_core::{Canvas, RowStats, SeededStream, Stream};
use divan::Bencher;

const VOCABULARIES: [usize; 2] = [32_768, 151_936];

fn main() {
    println!("statistics use {}", Backend::detect());
    divan::main();
}

/// Logits distributed like a model's: bell-shaped, with a standard deviation of 3.
fn rows(rows: usize, vocabulary: usize) -> Vec<Vec<f32>> {
    let mut stream = SeededStream::new(0, 0);
    let mut uniform = || stream.below(1 << 20) as f32 / (1 << 20) as f32;
    let mut logit = || (0..4).map(|_| uniform() - 0.5).sum::<f32>() * 5.2;
    (0..rows).map(|_| (0..vocabulary).map(|_| logit()).collect()).collect()
}

/// Times `f` over rows in turn.
fn each<T>(bencher: Bencher, rows: &[Vec<f32>], mut f: impl FnMut(&[f32]) -> T) {
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % rows.len();
        f(black_box(&rows[next]))
    });
}

#[divan::bench(consts = [1, 24], args = VOCABULARIES)]
fn plain_sum<const ROWS: usize>(bencher: Bencher, vocabulary: usize) {
    each(bencher, &rows(ROWS, vocabulary), sum);
}

#[divan::bench(consts = [1, 24], args = VOCABULARIES)]
fn statistics<const ROWS: usize>(bencher: Bencher, vocabulary: usize) {
    each(bencher, &rows(ROWS, vocabulary), RowStats::of);
}

#[divan::bench(consts = [1, 24], args = VOCABULARIES)]
fn statistics_on_the_baseline<const ROWS: usize>(bencher: Bencher, vocabulary: usize) {
    each(bencher, &rows(ROWS, vocabulary), |row| Backend::baseline().stats(row));
}

/// The sum of a row, with the widest vectors of the CPU.
fn sum(row: &[f32]) -> f32 {
    #[inline(always)]
    fn lanes(row: &[f32]) -> f32 {
        let (body, tail) = row.as_chunks::<64>();
        let mut sums = [0.0; 64];
        for lanes in body {
            sums.iter_mut().zip(lanes).for_each(|(sum, logit)| *sum += logit);
        }
        sums.iter().chain(tail).sum()
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512(row: &[f32]) -> f32 {
            lanes(row)
        }
        #[target_feature(enable = "avx2")]
        fn avx2(row: &[f32]) -> f32 {
            lanes(row)
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has AVX-512F.
            return unsafe { avx512(row) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has AVX2.
            return unsafe { avx2(row) };
        }
    }
    lanes(row)
}

#[divan::bench(args = VOCABULARIES)]
fn draw_categorical(bencher: Bencher, vocabulary: usize) {
    let mut stream = SeededStream::new(0, 1);
    each(bencher, &rows(1, vocabulary), |row| Categorical.draw(row, &mut stream));
}

#[divan::bench(args = VOCABULARIES)]
fn draw_argmax(bencher: Bencher, vocabulary: usize) {
    let mut stream = SeededStream::new(0, 1);
    each(bencher, &rows(1, vocabulary), |row| Argmax.draw(row, &mut stream));
}

/// A draw from the 50 tokens that a filter leaves.
#[divan::bench(args = VOCABULARIES)]
fn draw_after_top_k(bencher: Bencher, vocabulary: usize) {
    let mut stream = SeededStream::new(0, 1);
    let mut row = rows(1, vocabulary);
    apply(&TopK::new(50).expect("50 is a valid k"), &mut row[0], &mut Vec::new());
    each(bencher, &row, |row| Categorical.draw(row, &mut stream));
}

fn apply(filter: &dyn Filter, logits: &mut [f32], scratch: &mut Vec<(f32, u32)>) {
    let canvas = Canvas::unconditional(1, 0).expect("one position");
    filter.apply(&mut FilterRow::new(logits, 0, &canvas, scratch, &mut Memory::default()));
}

fn filter(bencher: Bencher, vocabulary: usize, filter: impl Filter) {
    let (row, mut scratch) = (rows(1, vocabulary).remove(0), Vec::new());
    bencher.with_inputs(|| row.clone()).bench_local_refs(|row| apply(&filter, row, &mut scratch));
}

#[divan::bench(args = VOCABULARIES)]
fn filter_temperature(bencher: Bencher, vocabulary: usize) {
    filter(bencher, vocabulary, Temperature::new(0.7).expect("0.7 is a valid temperature"));
}

#[divan::bench(args = VOCABULARIES)]
fn filter_top_k(bencher: Bencher, vocabulary: usize) {
    filter(bencher, vocabulary, TopK::new(50).expect("50 is a valid k"));
}

#[divan::bench(args = VOCABULARIES)]
fn filter_top_p(bencher: Bencher, vocabulary: usize) {
    filter(bencher, vocabulary, TopP::new(0.9).expect("0.9 is a valid p"));
}

#[divan::bench(args = VOCABULARIES)]
fn filter_min_p(bencher: Bencher, vocabulary: usize) {
    filter(bencher, vocabulary, MinP::new(0.05).expect("0.05 is a valid m"));
}
