use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint_eval::{
    Bootstrap, CoOccurrence, Featuriser, Mauve, Measured, Named, OwnPath, Sample, Surprise,
    distinct, nll, word_entropy,
};
use ndarray::Array2;

use super::external::Evaluator;
use super::validity::{Shares, ended};
use super::{Comparison, Metric};
use crate::Error;
use crate::model::Model;
use crate::progress::{Progress, masked};
use crate::registry::{Registry, ScheduleSpec};
use crate::sampling::Sampling;

/// The name of the features of MAUVE.
pub(super) const FEATURES: &str = "mean final hidden state of the frozen model";

/// The texts of a point.
#[derive(Clone, Copy)]
pub(super) struct Drawn<'d> {
    /// The seed that they were drawn with.
    pub seed: u64,
    /// The canvases that they began with.
    pub canvases: &'d [Canvas],
    pub outputs: &'d [Output],
}

impl<'d> Drawn<'d> {
    fn pairs(self) -> impl Iterator<Item = (&'d Canvas, &'d Output)> {
        self.canvases.iter().zip(self.outputs)
    }

    /// The texts with the canvases that they began with.
    fn samples(self) -> Result<Vec<Sample>, Error> {
        let sample = |(canvas, output): (&Canvas, &Output)| {
            Sample::new(canvas.clone(), output.tokens.clone())
        };
        Ok(self.pairs().map(sample).collect::<Result<_, _>>()?)
    }
}

/// Computes the metrics of every point.
pub(super) struct Judge<'a> {
    model: &'a Arc<Model>,
    sampling: &'a Sampling,
    metrics: &'a [Metric],
    /// Whether an output is several texts.
    packed: bool,
    external: Option<Evaluator>,
    progress: &'a dyn Progress,
    /// The one-at-a-time samples that others are compared with, and their features, by seed.
    references: BTreeMap<u64, Reference>,
}

struct Reference {
    texts: Vec<Vec<TokenId>>,
    features: Option<Array2<f32>>,
    surprise: Option<Array2<f32>>,
}

/// Gives the reference another seed than every point, `exact` included. So the score of `exact` is that of a second set of
/// one-at-a-time samples, which is the best a sampler can reach.
const REFERENCE: u64 = 0x7265_6665_7265_6e63;

impl<'a> Judge<'a> {
    pub fn new(
        model: &'a Arc<Model>,
        comparison: &'a Comparison,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        let Comparison { sampling, metrics, external, .. } = comparison;
        for metric in [Metric::Right, Metric::Parses, Metric::Diversity] {
            if metrics.contains(&metric) {
                model.tokenizer("metrics", metric.name())?;
            }
        }
        let is_requested = metrics.contains(&Metric::ExternalNll);
        let external = is_requested.then(|| external.open(model)).transpose()?;
        let packed = comparison.texts.packed;
        Ok(Self {
            model,
            sampling,
            metrics,
            packed,
            external,
            progress,
            references: BTreeMap::new(),
        })
    }

    /// All metrics of a point's texts. `what` is shown beside the progress.
    pub fn figures(
        &mut self,
        drawn: Drawn<'_>,
        what: &str,
    ) -> Result<BTreeMap<String, Measured>, Error> {
        let mut figures = BTreeMap::new();
        if self.measures(&[Metric::Right, Metric::Parses]) {
            self.validity(drawn, &mut figures)?;
        }
        if self.measures(&[Metric::Diversity]) {
            let texts = self.decoded(drawn, "diversity")?;
            figures.insert("distinct".into(), Measured::share(distinct(&texts), drawn.seed));
            let entropy = word_entropy(&texts, &Bootstrap::new(drawn.seed))?;
            figures.insert("word entropy".into(), entropy);
        }
        if self.measures(&[Metric::Nll]) {
            let figure = self.nll(drawn, what)?;
            figures.insert("NLL".into(), figure);
        }
        if let Some(external) = &self.external {
            let until_end = |(canvas, output)| (canvas, self.until_end(canvas, output));
            let texts: Vec<_> = drawn.pairs().map(until_end).collect();
            let bar = self.progress.working(&format!("{what}: external likelihood"));
            let figure = external.nll(self.model, &texts, &Bootstrap::new(drawn.seed))?;
            drop(bar);
            figures.extend(figure.map(|figure| ("external NLL".to_owned(), figure)));
        }
        if self.measures(&[Metric::Mauve, Metric::MauveSurprise, Metric::Neighbours]) {
            self.closeness(drawn, &mut figures)?;
        }
        Ok(figures)
    }

    fn measures(&self, metrics: &[Metric]) -> bool {
        metrics.iter().any(|metric| self.metrics.contains(metric))
    }

    fn validity(
        &self,
        drawn: Drawn<'_>,
        figures: &mut BTreeMap<String, Measured>,
    ) -> Result<(), Error> {
        let shares = match self.packed {
            false => Shares::of_texts(&self.decoded(drawn, "right")?, drawn.seed),
            true => Shares::of_packed(&self.packed(drawn)?, drawn.seed)?,
        };
        if self.measures(&[Metric::Right]) {
            figures.insert("right".into(), shares.right);
            let domains = shares.by_domain.into_iter();
            figures.extend(domains.map(|(domain, share)| (format!("right {domain}"), share)));
        }
        if self.measures(&[Metric::Parses]) {
            figures.insert("parses".into(), shares.parses);
        }
        Ok(())
    }

    /// The texts of each output that end and are not given.
    fn packed(&self, drawn: Drawn<'_>) -> Result<Vec<Vec<String>>, Error> {
        let tokenizer = self.model.tokenizer("metrics", "right")?;
        let vocabulary = self.model.denoiser.vocabulary();
        let texts = |(canvas, output): (&Canvas, &Output)| {
            let ended = ended(&output.tokens, |token| vocabulary.is_eos(token));
            let drawn = ended.filter(|text| !(text.start..=text.end).all(|i| canvas.is_given(i)));
            drawn.map(|text| Ok(tokenizer.decode(&output.tokens[text])?)).collect()
        };
        drawn.pairs().map(texts).collect()
    }

    /// The texts of the outputs up to their ends, for a metric.
    fn decoded(&self, drawn: Drawn<'_>, metric: &str) -> Result<Vec<String>, Error> {
        let tokenizer = self.model.tokenizer("metrics", metric)?;
        let vocabulary = self.model.denoiser.vocabulary();
        let text = |(canvas, output)| {
            // Prompts may begin with the id that ends texts.
            let text = self.until_end(canvas, output).iter().copied();
            let text: Vec<TokenId> = text.filter(|&token| !vocabulary.is_eos(token)).collect();
            Ok(tokenizer.decode(&text)?)
        };
        drawn.pairs().map(text).collect()
    }

    /// The tokens before the first that was generated and ends the text, or all of several texts.
    fn until_end<'t>(&self, canvas: &Canvas, output: &'t Output) -> &'t [TokenId] {
        let (vocabulary, tokens) = (self.model.denoiser.vocabulary(), &output.tokens);
        if self.packed {
            return tokens;
        }
        let ends =
            |&position: &usize| vocabulary.is_eos(tokens[position]) && !canvas.is_given(position);
        &tokens[..(0..tokens.len()).find(ends).unwrap_or(tokens.len())]
    }

    fn nll(&self, drawn: Drawn<'_>, what: &str) -> Result<Measured, Error> {
        let samples = drawn.samples()?;
        let bar = self.progress.working(&format!("{what}: likelihood"));
        let path = OwnPath::new(self.exact(drawn.seed)?).order(self.sampling.plain_order());
        let figure = nll(&samples, &path, &Bootstrap::new(drawn.seed))?;
        drop(bar);
        Ok(figure)
    }

    fn closeness(
        &mut self,
        drawn: Drawn<'_>,
        figures: &mut BTreeMap<String, Measured>,
    ) -> Result<(), Error> {
        let seed = drawn.seed;
        if !self.references.contains_key(&seed) {
            let reference = self.reference(drawn)?;
            self.references.insert(seed, reference);
        }
        let reference = &self.references[&seed];
        let texts = self.texts(drawn);
        let bootstrap = Bootstrap::new(seed);
        let mauve = |features: &Array2<f32>, reference: &Array2<f32>| {
            Mauve::default().measure(features.view(), reference.view(), &bootstrap)
        };
        if let Some(reference) = &reference.features {
            figures.insert("MAUVE".into(), mauve(&self.features(&texts)?, reference)?);
        }
        if let Some(reference) = &reference.surprise {
            let profiles = self.surprise(drawn)?;
            figures.insert("MAUVE, surprise".into(), mauve(&profiles, reference)?);
        }
        // Texts of one token have no neighbours.
        let has_pairs = |texts: &[Vec<TokenId>]| texts.iter().any(|text| text.len() > 1);
        if self.measures(&[Metric::Neighbours]) && has_pairs(&texts) && has_pairs(&reference.texts)
        {
            let found = CoOccurrence::between(&reference.texts, &texts, 1, &bootstrap)?;
            figures.insert("neighbours".into(), found.divergence);
            figures.insert("neighbours, floor".into(), found.floor);
        }
        Ok(())
    }

    /// One-at-a-time samples from the same canvases.
    fn reference(&self, drawn: Drawn<'_>) -> Result<Reference, Error> {
        let Drawn { seed, canvases, .. } = drawn;
        let mut bar = self.progress.generating("one-at-a-time reference", masked(canvases));
        let generator = self.exact(seed ^ REFERENCE)?;
        let outputs = generator.run(canvases.to_vec(), &mut *bar)?;
        drop(bar);
        let exact = Drawn { outputs: &outputs, ..drawn };
        let texts = self.texts(exact);
        let features =
            self.measures(&[Metric::Mauve]).then(|| self.features(&texts)).transpose()?;
        let surprise = self.measures(&[Metric::MauveSurprise]).then(|| self.surprise(exact));
        let surprise = surprise.transpose()?;
        Ok(Reference { texts, features, surprise })
    }

    /// The tokens of each output up to its end.
    fn texts(&self, drawn: Drawn<'_>) -> Vec<Vec<TokenId>> {
        let text = |(canvas, output)| self.until_end(canvas, output).to_vec();
        drawn.pairs().map(text).collect()
    }

    fn surprise(&self, drawn: Drawn<'_>) -> Result<Array2<f32>, Error> {
        let bar = self.progress.working("surprise");
        let profiles = Surprise::new(self.model.denoiser.clone()).profiles(&drawn.samples()?);
        drop(bar);
        Ok(profiles?)
    }

    fn features(&self, texts: &[Vec<TokenId>]) -> Result<Array2<f32>, Error> {
        let denoiser = &self.model.denoiser;
        let featuriser = Named::new(FEATURES, |texts: &[Vec<TokenId>]| denoiser.mean_hidden(texts));
        let bar = self.progress.working("features");
        // An empty text becomes its end token, because a mean needs at least one.
        let eos = denoiser.vocabulary().eos();
        let text = |text: &Vec<TokenId>| match (text.as_slice(), eos) {
            ([], Some(eos)) => vec![eos],
            _ => text.clone(),
        };
        let features = featuriser.features(&texts.iter().map(text).collect::<Vec<_>>())?;
        drop(bar);
        Ok(features)
    }

    /// One token at a time, with the comparison's own filters and order.
    fn exact(&self, seed: u64) -> Result<Generator, Error> {
        let exact = Registry::builtin().unmasker("exact")?;
        let one = ScheduleSpec::per_step(1)?;
        // The judge is the model itself, not an approximation of it.
        let sampling = Sampling { cache: None, ..self.sampling.clone() };
        Ok(sampling.generator(self.model, &exact, &one, None)?.seed(seed))
    }
}
