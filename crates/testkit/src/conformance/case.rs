use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Error as CoreError, Generator, Output, SeededStream};

use super::Violation;
use super::move_limit::MoveLimited;
use super::probe::{Probe, Rows};
use super::replay::Replay;

/// One combination of settings, run on all canvases.
pub(super) struct Case {
    run: String,
    probe: Probe,
    generator: Generator,
    canvases: Vec<Canvas>,
    extra_forwards: bool,
    /// Whether each sequence has its own settings, beside sequences with another strategy.
    own_settings: bool,
}

impl Case {
    /// A case by its name, its model and the settings of its generator.
    pub fn new(
        run: String,
        probe: Result<Probe, CoreError>,
        set: impl Fn(Generator) -> Result<Generator, CoreError>,
    ) -> Result<Self, Violation> {
        let parts = || {
            let probe = probe?;
            let mut generator = Generator::new(probe.clone());
            if probe.rows() == Rows::ForbiddenFirst {
                // The mask is not on the list. It must not be drawn anyway.
                generator = generator.ban(probe.banned());
            }
            let canvases = probe.canvases()?;
            Ok((probe, set(generator)?, canvases))
        };
        let (probe, generator, canvases) = parts().map_err(|e| Violation::failed(&run, e))?;
        Ok(Self { run, probe, generator, canvases, extra_forwards: false, own_settings: false })
    }

    /// Allows more forwards than steps that reveal.
    pub fn extra_forwards(self, extra_forwards: bool) -> Self {
        Self { extra_forwards, ..self }
    }

    /// Gives each sequence its own settings, and neighbours with another strategy. These must not change the output.
    pub fn own_settings(self) -> Self {
        Self { own_settings: true, ..self }
    }

    /// Checks the settings with a strategy.
    pub fn check_settings(&self, strategy: Strategy) -> Result<(), CoreError> {
        self.generator.clone().unmasker(strategy).check(&[])
    }

    /// Runs the case in batches of every size and compares the outputs.
    pub fn check(&self, make: &impl Fn() -> Strategy) -> Result<(), Violation> {
        let mut replay = Replay::new(self.probe.vocabulary().eos_ids());
        let all = || self.canvases.clone();
        let expected = self.outputs(make(), all(), 0, 16, &mut replay)?;
        let vocabulary = self.probe.vocabulary();
        let banned = self.probe.banned();
        for (sequence, output) in expected.iter().enumerate() {
            replay.check(&self.run, sequence, output, self.extra_forwards, |token| {
                (token as usize) < vocabulary.size()
                    && token != vocabulary.mask()
                    && !banned.contains(&token)
            })?;
        }
        for (batch, how) in [(16, "run again"), (1, "one at a time"), (2, "in batches of 2")] {
            let outputs = self.outputs(make(), all(), 0, batch, &mut Replay::new(&[]))?;
            for (sequence, pair) in outputs.iter().zip(&expected).enumerate() {
                self.same(sequence, how, pair)?;
            }
        }
        for (sequence, canvas) in all().into_iter().enumerate() {
            let alone =
                self.outputs(make(), vec![canvas], sequence as u64, 16, &mut Replay::new(&[]))?;
            for output in &alone {
                self.same(sequence, "alone", (output, &expected[sequence]))?;
            }
        }
        Ok(())
    }

    /// Runs canvases whose streams are numbered from `first_stream`.
    fn outputs(
        &self,
        strategy: Strategy,
        canvases: Vec<Canvas>,
        first_stream: u64,
        batch: usize,
        replay: &mut Replay,
    ) -> Result<Vec<Output>, Violation> {
        let generator = self
            .generator
            .clone()
            .unmasker(strategy)
            .streams(move |sequence| Box::new(SeededStream::new(5, first_stream + sequence)))
            .batch_size(batch);
        let run = |generator: Generator| match self.own_settings {
            false => generator.run(canvases, replay),
            true => {
                let count = canvases.len();
                let others = generator.clone().without_strategy().unmasker(Marginal::default());
                let others = others.schedule(TokensPerStep::new(3)?);
                let other = |canvas: &Canvas| (canvas.clone(), others.clone());
                let neighbours: Vec<_> = canvases.iter().map(other).collect();
                let own = canvases.into_iter().map(|canvas| (canvas, generator.clone()));
                let mut outputs = generator.run_each(own.chain(neighbours).collect(), replay)?;
                outputs.truncate(count);
                Ok(outputs)
            }
        };
        generator.and_then(run).map_err(|error| MoveLimited::violation(&self.run, error))
    }

    fn same(
        &self,
        sequence: usize,
        how: &str,
        (got, expected): (&Output, &Output),
    ) -> Result<(), Violation> {
        if got == expected {
            return Ok(());
        }
        let (got, expected) = (Box::new(got.clone()), Box::new(expected.clone()));
        let (run, how) = (self.run.clone(), how.to_owned());
        Err(Violation::OutputChanged { run, sequence, how, got, expected })
    }
}
