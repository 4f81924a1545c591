//! What `conjoint compare` and `conjoint eval` share.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use conjoint_corpus::Domain;
use conjoint_lab::comparison::{Beginnings, Comparison, External, Lines, Metric, Texts, markdown};
use conjoint_lab::{Error, ScorerSpec};

use crate::flag::Flags;
use crate::model::ModelArguments;
use crate::progress::Bars;
use crate::sampling::SamplingArguments;

/// The flags of every comparison.
#[derive(Args)]
pub struct ComparisonArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    texts: TextArguments,
    /// Texts a point
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    num_samples: u32,
    /// Seeds; each makes a point of its own, and plots show their mean
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    external: ExternalArguments,
    /// The folder of the comparison: report.json, report.md and one SVG a figure. A comparison found
    /// there goes on where it stopped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What the texts of a comparison begin with.
#[derive(Args)]
pub struct TextArguments {
    /// Texts of these domains of the corpus, given nothing but the domain's tag [default: all four]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    domain: Vec<Domain>,
    /// Texts that continue these prompts, taken in turn: one a line, \n standing for a line's end, or the
    /// "prompt" of each object of a .jsonl file
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    prompts: Option<PathBuf>,
    /// Texts that answer tasks of the corpus, a new one each: problems in words, calls of functions, lists to be
    /// changed. `right` is then the accuracy; --domain chooses among math, code and list
    #[arg(long, conflicts_with = "prompts")]
    tasks: bool,
    /// Texts that continue nothing, as those of `conjoint trajectories` without prompts do
    #[arg(long, conflicts_with_all = ["domain", "prompts", "tasks"])]
    unconditional: bool,
    /// Positions of a text, its prompt included [default: the model's longest]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(2..))]
    length: Option<u32>,
}

/// A language model that has no part in the sampling, to judge texts by.
#[derive(Args)]
pub struct ExternalArguments {
    /// The judge of the figure external-nll: ngram:N:FILE as for --scorer, or onnx:FILE for a causal language
    /// model (input_ids → logits, exported without past keys), onnx:FILE@ID if it wants the token ID before every text
    #[arg(long, value_name = "SCORER")]
    external: Option<ScorerSpec>,
    /// Folder of the judge's tokenizer.json [default: the judge's own folder if there is one, otherwise the
    /// model's token ids are taken as the judge's]
    #[arg(long, value_name = "DIR", requires = "external")]
    external_tokenizer: Option<PathBuf>,
}

impl TextArguments {
    fn texts(&self) -> Texts {
        let Self { domain, prompts, tasks, unconditional, length } = self;
        let beginnings = match (prompts, tasks, unconditional) {
            (Some(file), ..) => Beginnings::File(file.clone()),
            (_, true, _) => Beginnings::Tasks(domain.clone()),
            (.., true) => Beginnings::Unconditional,
            _ => Beginnings::Domains(domain.clone()),
        };
        Texts { beginnings, length: *length }
    }
}

/// Runs every line at every K, writes the report and prints its table.
pub fn run(
    arguments: &ComparisonArguments,
    lines: Lines,
    metrics: &[Metric],
    flags: Flags,
) -> Result<()> {
    let ExternalArguments { external, external_tokenizer } = &arguments.external;
    let comparison = Comparison {
        lines,
        texts: arguments.texts.texts(),
        num_samples: arguments.num_samples,
        seeds: arguments.seeds.clone(),
        sampling: arguments.sampling.settings(),
        metrics: metrics.to_vec(),
        external: External { scorer: external.clone(), tokenizer: external_tokenizer.clone() },
    };
    let named = |error: Error| flags.name(error);
    comparison.check().map_err(named)?;
    let model = arguments.model.open()?;
    let report = comparison.run(&model, &arguments.out, &Bars).map_err(named)?;
    Ok(std::io::stdout().write_all(markdown(&report).map_err(named)?.as_bytes())?)
}
