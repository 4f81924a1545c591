//! The arguments of `conjoint compare` and `conjoint eval`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use conjoint_corpus::Domain;
use conjoint_lab::comparison::{Beginnings, Comparison, External, Lines, Metric, Texts, markdown};
use conjoint_lab::{Error, ScorerSpec};

use crate::flag::Flags;
use crate::model::ModelArguments;
use crate::names;
use crate::numbers::integer;
use crate::progress::Bars;
use crate::sampling::SamplingArguments;

/// The flags of every comparison.
#[derive(Args)]
pub struct ComparisonArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    texts: TextArguments,
    /// Texts per point
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = integer(2..=u32::MAX))]
    num_samples: u32,
    /// Seeds, separated by commas. Each makes a point of its own; plots show their mean
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0",
          value_parser = integer(0..=u64::MAX))]
    seeds: Vec<u64>,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    external: ExternalArguments,
    /// Folder for report.json, report.md, one SVG per metric, and the texts of each point. A comparison found there is resumed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The beginnings and the length of a comparison's texts.
#[derive(Args)]
pub struct TextArguments {
    /// Begin texts with the tags of these domains of the corpus: story, math, code, list [default: all four]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names::domain)]
    domain: Vec<Domain>,
    /// Begin texts with the prompts of this file, in turn: one per line, with \n for a line break, or the "prompt" of each
    /// object of a .jsonl file. A .jsonl file with "infill" or "infill_ids" has texts with holes, as for
    /// `conjoint generate --prompts`; ids and seeds in it are not used
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    prompts: Option<PathBuf>,
    /// Begin each text with a new task of the corpus: a word problem, a call of a function, or a list to change. The metric
    /// `right` is then the accuracy. --domain selects among math, code and list
    #[arg(long, conflicts_with = "prompts")]
    tasks: bool,
    /// Begin texts with nothing, as `conjoint trajectories` without prompts does
    #[arg(long, conflicts_with_all = ["domain", "prompts", "tasks"])]
    unconditional: bool,
    /// Positions of a text, its prompt included [default: the model's largest length]
    #[arg(long, value_name = "T", value_parser = integer(2..=u32::MAX))]
    length: Option<u32>,
    /// Each text is several texts of the corpus, one after the other, each with its tag and its end token: the model was trained
    /// with `conjoint train base --packed`. The metrics right and parses judge each of them, except a last one without an end
    #[arg(long)]
    packed: bool,
}

/// A language model that evaluates texts and takes no part in the sampling.
#[derive(Args)]
pub struct ExternalArguments {
    /// Language model of the metric external-nll: ngram:N:FILE as with --scorer, or onnx:FILE for a causal language model
    /// (input_ids → logits, exported without past keys). onnx:FILE@ID puts the token ID before every text
    #[arg(long, value_name = "SCORER")]
    external: Option<ScorerSpec>,
    /// Folder of the tokenizer.json of --external [default: the folder of its model; without a tokenizer it reads the
    /// sampled model's token ids]
    #[arg(long, value_name = "DIR", requires = "external")]
    external_tokenizer: Option<PathBuf>,
}

impl TextArguments {
    fn texts(&self) -> Texts {
        let Self { domain, prompts, tasks, unconditional, length, packed } = self;
        let beginnings = match (prompts, tasks, unconditional) {
            (Some(file), ..) => Beginnings::File(file.clone()),
            (_, true, _) => Beginnings::Tasks(domain.clone()),
            (.., true) => Beginnings::Unconditional,
            _ => Beginnings::Domains(domain.clone()),
        };
        Texts { beginnings, length: *length, packed: *packed }
    }
}

/// Runs a comparison, and prints the table of its report.
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
    let named = |error: Error| flags.error(error);
    comparison.check().map_err(named)?;
    let model = arguments.model.open()?;
    let report = comparison.run(&model, &arguments.out, &Bars).map_err(named)?;
    Ok(std::io::stdout().write_all(markdown(&report).map_err(named)?.as_bytes())?)
}
