//! `conjoint corpus`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use conjoint_corpus::{Corpus, Domain};

/// Print texts of the training corpus, one a line, with \n for a line's end inside a text
#[derive(Args)]
pub struct Arguments {
    /// How many texts
    #[arg(long, value_name = "N", default_value_t = 10)]
    num: u64,
    /// Only this domain: story, math, code or list
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<Domain>,
    /// Seed of the corpus
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut corpus = Corpus::new(arguments.seed);
    if let Some(domain) = arguments.domain {
        corpus = corpus.with_domains(&[domain])?;
    }
    let mut out = std::io::stdout().lock();
    for text in corpus.texts(0..arguments.num) {
        writeln!(out, "{}", text.to_string().replace('\n', "\\n"))?;
    }
    Ok(())
}
