//! The conformance suites of denoisers and sampler layers: for every check, a broken model that they detect.

use std::sync::atomic::{AtomicU32, Ordering};

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, RowId, SamplerLayer, State, Vocabulary};
use conjoint_testkit::conformance::{self, Violation};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, StaleRefiner, TabularDenoiser, TabularJoint};
use ndarray::Array2;

/// Joints over 2 to 4 positions of 3 symbols.
fn model() -> TabularDenoiser {
    let joint = |length| TabularJoint::random(length, 3, 0.5, length as u64).unwrap();
    TabularDenoiser::new(joint(2)).unwrap().and(joint(3)).unwrap().and(joint(4)).unwrap()
}

fn canvases() -> Vec<Canvas> {
    let tokens = [vec![3, 3, 1, 3], vec![3, 3], vec![3, 3, 3], vec![0, 3, 3, 2], vec![3; 4]];
    tokens.map(|tokens| Canvas::infill(tokens, 3).unwrap()).into()
}

#[test]
fn the_oracle_and_its_layers_pass() {
    conformance::denoiser("oracle", &model(), &canvases(), 0.0).unwrap();
    let noisy = NoisyRefiner::new(1.0, 3).unwrap();
    let layers: [&dyn SamplerLayer; 3] = [&ExactRefiner, &StaleRefiner, &noisy];
    for layer in layers {
        conformance::sampler_layer("layer", &model(), layer, &canvases(), 0.0).unwrap();
    }
}

#[test]
fn without_a_canvas_it_fails() {
    let none = conformance::denoiser("oracle", &model(), &[], 0.0);
    assert!(matches!(none, Err(Violation::Failed { .. })), "{none:?}");
    let none = conformance::sampler_layer("layer", &model(), &ExactRefiner, &[], 0.0);
    assert!(matches!(none, Err(Violation::Failed { .. })), "{none:?}");
}

/// A denoiser whose logits \[N, V\] are zeros changed by a function.
struct Broken<F>(Vocabulary, F);

impl<F: Fn(&mut Array2<f32>, &[&Canvas], &[RowId]) + Send + Sync> Denoiser for Broken<F> {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let mut logits = Array2::zeros((rows.len(), self.0.size()));
        self.1(&mut logits, batch, rows);
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

fn verdict(
    breaks: impl Fn(&mut Array2<f32>, &[&Canvas], &[RowId]) + Send + Sync,
) -> Result<(), Violation> {
    let broken = Broken(Vocabulary::new(4, 3).unwrap(), breaks);
    conformance::denoiser("broken", &broken, &canvases(), 1e-3)
}

/// The description of the run in which a row changed.
fn changed(verdict: Result<(), Violation>) -> String {
    match verdict {
        Err(Violation::RowChanged { how, .. }) => how,
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_denoisers_are_detected() {
    verdict(|_, _, _| ()).unwrap();
    let calls = AtomicU32::new(0);
    let counting =
        verdict(|logits, _, _| logits.fill(calls.fetch_add(1, Ordering::Relaxed) as f32));
    assert_eq!(changed(counting), "run again");
    let by_slot = verdict(|logits, _, rows| {
        rows.iter().zip(logits.rows_mut()).for_each(|(id, mut row)| row[0] = id.sequence as f32);
    });
    assert_eq!(changed(by_slot), "in reverse order");
    let by_padding = verdict(|logits, batch, _| {
        logits.fill(batch.iter().map(|canvas| canvas.len()).max().unwrap_or(0) as f32);
    });
    assert_eq!(changed(by_padding), "alone");
    let by_number = verdict(|logits, batch, rows| {
        if batch.len() == 1 && rows.len() == 1 {
            logits[(0, 2)] = f32::NEG_INFINITY;
        }
    });
    assert!(["alone", "as the only row"].contains(&changed(by_number).as_str()));
    let nan = verdict(|logits, _, _| logits[(1, 2)] = f32::NAN);
    assert!(matches!(nan, Err(Violation::Failed { source, .. })
        if matches!(*source, Error::NonFinite { sequence: 0, position: 1, token: 2, .. })));
    let narrow = verdict(|logits, _, _| *logits = Array2::zeros((logits.nrows(), 3)));
    assert!(matches!(narrow, Err(Violation::Failed { source, .. })
        if matches!(*source, Error::DenseShape { .. })));
}

/// Logits that differ by rounding pass if the difference is within the tolerance.
#[test]
fn the_tolerance_bounds_the_difference() {
    let rounding =
        |size: f32| verdict(move |logits, batch, _| logits.fill(size * batch.len() as f32));
    rounding(1e-5).unwrap();
    assert_eq!(changed(rounding(1e-3)), "alone");
}

/// A layer on [`model`] whose rows are the exact ones changed by a function.
struct BrokenLayer<F>(F);

impl<F: Fn(&mut Array2<f32>, &[RowId]) + Send + Sync> SamplerLayer for BrokenLayer<F> {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let exact = ExactRefiner.refine(state, batch, rows)?;
        let mut logits = Array2::zeros((rows.len(), 4));
        for (n, mut row) in logits.rows_mut().into_iter().enumerate() {
            row.iter_mut().zip(exact.logits(n)).for_each(|(to, &from)| *to = from);
        }
        self.0(&mut logits, rows);
        Ok(DenseRows::from_logits(logits).into())
    }
}

#[test]
fn broken_layers_are_detected() {
    let verdict = |layer: &dyn SamplerLayer| {
        conformance::sampler_layer("broken", &model(), layer, &canvases(), 1e-3)
    };
    verdict(&BrokenLayer(|_: &mut Array2<f32>, _: &[RowId]| ())).unwrap();
    let by_slot = BrokenLayer(|logits: &mut Array2<f32>, rows: &[RowId]| {
        rows.iter().zip(logits.rows_mut()).for_each(|(id, mut row)| row[3] = id.sequence as f32);
    });
    assert_eq!(changed(verdict(&by_slot)), "alone");
    // Advances the state of every sequence in every pass, even of those that take no part.
    let passes = AtomicU32::new(0);
    let advancing = BrokenLayer(|logits: &mut Array2<f32>, rows: &[RowId]| {
        let all = rows.iter().map(|id| id.sequence).collect::<std::collections::BTreeSet<_>>();
        let partial = all.len() > 1 && all.len() < canvases().len();
        let before = if partial { passes.fetch_add(1, Ordering::Relaxed) } else { 0 };
        logits.column_mut(3).fill(before as f32);
    });
    assert_eq!(changed(verdict(&advancing)), "when others take part in another pass");
}

/// A layer that accepts any state.
#[test]
fn a_layer_that_accepts_a_foreign_state_is_detected() {
    struct Careless;
    impl SamplerLayer for Careless {
        fn pass(&self, _: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
            let rows = request.rows;
            Ok(DenseRows::from_logits(Array2::zeros((rows.len(), 4))).into())
        }
    }
    let verdict = conformance::sampler_layer("careless", &model(), &Careless, &canvases(), 0.0);
    match verdict {
        Err(Violation::MissedError { expected, .. }) => assert_eq!(expected, "ForeignState"),
        other => panic!("{other:?}"),
    }
}
