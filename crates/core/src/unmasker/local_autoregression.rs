use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use super::{Control, Next, Unmasker, View};
use crate::observation::Row;
use crate::order::MaxProb;
use crate::span_decoder::{Span, SpanDecoder};
use crate::{Error, TokenId, range};

/// CoDiLA, coherent diffusion with local autoregression: a small model decodes one span a step from the
/// denoiser's marginals, from left to right.
///
/// The block is split into spans of B positions. Let h(k) be the mean entropy of the k leftmost masked
/// positions of a span. A step takes the largest k with h(k) ≤ τ over all spans; ties go to the lowest h,
/// then to the leftmost span. It draws these k tokens one after the other from the decoder: p(x_j | π, x_<j).
/// If the largest k is 1 or 0, it draws the most confident token of the block from the denoiser's own row.
/// Filters only rule out tokens of the decoder's rows: a temperature has no effect. A schedule is an error.
///
/// **Law.** *Where* depends on rows only. With a decoder that returns the model's true conditionals it is
/// exact for every B and τ. Otherwise the tokens of a step follow the decoder's chain, not the denoiser's
/// joint. With B = 1, or τ below every h(2), it is [`ExactSequential`](super::ExactSequential) in [`MaxProb`]
/// order.
///
/// Source: reports of arXiv 2603.20216 (B = 2, 4, 8): its "static" mode with τ = ∞, its "dynamic" mode
/// otherwise. Not confirmed: how the dynamic mode chooses between spans, and that h is the denoiser's
/// entropy. Its third mode, in which the decoder only lowers the confidence of tokens that it would not
/// choose, is not implemented.
#[doc(alias = "CoDiLA")]
#[derive(Clone)]
pub struct LocalAutoregression {
    decoder: Arc<dyn SpanDecoder>,
    length: usize,
    bound: f64,
}

impl LocalAutoregression {
    /// Creates the unmasker with spans of B = `length` positions and τ = ∞.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless B is at least 1.
    pub fn new(decoder: impl SpanDecoder + 'static, length: usize) -> Result<Self, Error> {
        let length = range::at_least("span length", length, 1)?;
        Ok(Self { decoder: Arc::new(decoder), length, bound: f64::INFINITY })
    }

    /// Sets τ, the largest mean entropy of the decoded part of a span, in nats.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is at least 0; it may be infinite.
    pub fn bound(self, bound: f64) -> Result<Self, Error> {
        Ok(Self { bound: range::within("mean entropy bound", bound, 0.0..=f64::INFINITY)?, ..self })
    }

    /// The span to decode, and the candidates to decode there.
    fn choose(&self, view: &View<'_>) -> (Range<usize>, Range<usize>) {
        let open = view.canvas().open_positions();
        let candidates = view.candidates();
        let mut best = (0..0, 0..0, f64::INFINITY);
        let mut first = 0;
        for start in open.clone().step_by(self.length) {
            let span = start..open.end.min(start.saturating_add(self.length));
            let mut sum = 0.0;
            let begin = first;
            while let Some(candidate) = candidates.get(first).filter(|c| c.position < span.end) {
                sum += candidate.stats.entropy;
                first += 1;
                let (k, most) = (first - begin, best.1.len());
                let mean = sum / k as f64;
                if mean <= self.bound && (k > most || (k == most && mean < best.2)) {
                    best = (span.clone(), begin..first, mean);
                }
            }
        }
        (best.0, best.1)
    }

    fn decode(
        &self,
        view: &mut View<'_>,
        positions: Range<usize>,
        candidates: Range<usize>,
    ) -> Result<(), Error> {
        let canvas = view.canvas();
        let marginals = marginals(view, positions.clone(), candidates.start)?;
        let span = Span { canvas, positions: positions.clone(), marginals };
        let mut before: Vec<TokenId> = canvas.tokens()[positions.clone()].to_vec();
        for candidate in candidates.map(Row::candidate) {
            let place = view.row(candidate).position - positions.start;
            let mut logits = self.row(view, candidate, &span, &before[..place])?;
            let drawn = view.draw_from(candidate, &mut logits)?;
            before[place] = drawn.token;
            view.reveal(candidate, drawn);
        }
        Ok(())
    }

    /// The decoder's logits \[V\] of a candidate, checked, and −∞ for tokens that the filters rule out.
    fn row(
        &self,
        view: &mut View<'_>,
        candidate: Row,
        span: &Span<'_>,
        before: &[TokenId],
    ) -> Result<Vec<f32>, Error> {
        let decoded = self.decoder.row(span, before)?;
        if decoded.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            let position = view.row(candidate).position;
            let what = "the span decoder's row holds NaN or +∞";
            return Err(Error::model(format!("position {position}: {what}")));
        }
        let mut logits = view.filtered(candidate)?.to_vec();
        for (token, logit) in logits.iter_mut().enumerate() {
            if *logit > f32::NEG_INFINITY {
                *logit = decoded.get(token).copied().unwrap_or(f32::NEG_INFINITY);
            }
        }
        Ok(logits)
    }
}

/// π \[B, V\] of a span whose masked positions are the candidates from `first` on.
fn marginals(view: &View<'_>, positions: Range<usize>, first: usize) -> Result<Array2<f32>, Error> {
    let canvas = view.canvas();
    let mut marginals = Array2::zeros((positions.len(), view.logits(Row::candidate(first))?.len()));
    let mut candidates = (first..).map(Row::candidate);
    for (mut row, position) in marginals.rows_mut().into_iter().zip(positions) {
        if !canvas.is_masked(position) {
            // The canvas was checked: its tokens are within the vocabulary.
            row[canvas.tokens()[position] as usize] = 1.0;
            continue;
        }
        // Each masked position has one.
        let Some(candidate) = candidates.next() else { break };
        if let Some(stats) = view.raw_stats(candidate) {
            let logits = view.logits(candidate)?;
            row.iter_mut().zip(logits).for_each(|(p, &l)| *p = stats.probability(l) as f32);
        }
    }
    Ok(marginals)
}

impl Unmasker for LocalAutoregression {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let (positions, candidates) = self.choose(view);
        if candidates.len() > 1 {
            self.decode(view, positions, candidates)?;
        } else {
            view.rank(&MaxProb)?;
            let best = view.ranked(0);
            let drawn = view.draw(best)?;
            view.reveal(best, drawn);
        }
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Alone
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NeverCalled;

    impl SpanDecoder for NeverCalled {
        fn row(&self, _: &Span<'_>, _: &[TokenId]) -> Result<Vec<f32>, Error> {
            Err(Error::model("called"))
        }
    }

    #[test]
    fn invalid_parameters_are_rejected() {
        let error = LocalAutoregression::new(NeverCalled, 0).err().unwrap().to_string();
        assert!(error.contains("span length") && error.contains("at least 1"), "{error}");
        let strategy = LocalAutoregression::new(NeverCalled, 4).unwrap();
        for bad in [-0.1, f64::NAN] {
            let error = strategy.clone().bound(bad).err().unwrap().to_string();
            assert!(error.contains("mean entropy bound"), "{error}");
        }
        assert!(strategy.bound(0.0).is_ok());
    }
}
