//! Hidden states reach the policies that request them.

use std::sync::{Arc, Mutex};

use crate::model::{Model, canvas};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::policy::Selection;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Denoiser, Error, Generator, Observation, Policy, StepRequest, Vocabulary};
use ndarray::Array2;

/// A model that answers hidden states with this many rows, if any.
struct WithHidden {
    model: Model,
    rows: Option<usize>,
}

impl Denoiser for WithHidden {
    fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.model.forward(request)?;
        let hidden = |rows| request.batch.iter().map(move |_| Array2::zeros((rows, 2))).collect();
        let hidden = self.rows.filter(|_| request.hidden).map(hidden);
        Ok(Answer { hidden: hidden.unwrap_or_default(), ..answer })
    }
}

/// Selects one candidate, requests hidden states or not, and records whether it sees any.
#[derive(Clone)]
struct Recording {
    requests_hidden: bool,
    seen: Arc<Mutex<Vec<(usize, bool)>>>,
}

impl Policy for Recording {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        if self.requests_hidden {
            request.request_hidden();
        }
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.seen.lock().unwrap().push((rows.sequence(), rows.hidden().is_some()));
        selection.all_of(rows.rows().take(1));
        Ok(())
    }
}

#[test]
fn only_a_policy_that_requests_hidden_states_sees_them() {
    let run = |hidden| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let model = WithHidden { model: Model::default(), rows: hidden };
        let generator = Generator::new(model).unmasker(Marginal::default());
        let with = |requests_hidden| {
            generator.clone().policy(Recording { requests_hidden, seen: seen.clone() })
        };
        let requests = [false, true].map(|requests_hidden| (canvas(1, 1), with(requests_hidden)));
        let mut run = generator.start_each(requests.into()).unwrap();
        let outcome = run.finish_all(&mut ());
        let seen = seen.lock().unwrap().clone();
        (outcome, seen)
    };
    let (outcome, seen) = run(Some(2));
    assert!(outcome.unwrap().iter().all(Result::is_ok));
    assert_eq!(seen, [(0, false), (1, true)]);
    // A model without hidden states: only the sequence that requested them fails.
    let (outcome, seen) = run(None);
    let outcome = outcome.unwrap();
    assert!(outcome[0].is_ok() && matches!(outcome[1], Err(Error::NoHiddenStates)));
    assert_eq!(seen, [(0, false)]);
    let (outcome, _) = run(Some(1));
    assert!(outcome.unwrap_err().to_string().contains("1 hidden states: expected 2"));
}
