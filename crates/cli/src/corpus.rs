//! `conjoint corpus`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use conjoint_corpus::{Corpus, Domain, Text};

use crate::flag::InvalidArgument;
use crate::names;
use crate::numbers::integer;

/// Print texts of the built-in training corpus, one per line, with \n for a line break
#[derive(Args)]
pub struct Arguments {
    /// Number of texts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = integer(0..=u64::MAX))]
    num: u64,
    /// Print only this domain: story, math, code or list [default: all]
    #[arg(long, value_name = "DOMAIN", value_parser = names::domain)]
    domain: Option<Domain>,
    /// Print only the task of each text, for use as a prompt. Math, code and list texts have tasks
    #[arg(long)]
    questions: bool,
    /// Seed of the corpus
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = integer(0..=u64::MAX))]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut corpus = Corpus::new(arguments.seed);
    if let Some(domain) = arguments.domain {
        corpus = corpus.with_domains(&[domain])?;
    }
    let mut out = std::io::stdout().lock();
    let line = |text: &Text| match arguments.questions {
        true => Some(format!("{}{}", text.domain.tag(), text.question()?)),
        false => Some(text.to_string()),
    };
    if arguments.questions && arguments.domain == Some(Domain::Story) {
        return Err(InvalidArgument::new("--domain", Domain::Story, "stories have no tasks").into());
    }
    let texts = corpus.texts(0..);
    let lines = texts.filter_map(|text| line(&text)).take(arguments.num as usize);
    for line in lines {
        writeln!(out, "{}", line.replace('\n', "\\n"))?;
    }
    Ok(())
}
