//! Many prompts: a file of requests in, a file of replies out.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use conjoint::CancelToken;
use conjoint_lab::Error;
use conjoint_lab::requests::{Outcome, ReplyFile, RequestRunner, Requests, line, remove_aside};
use indicatif::{ProgressBar, ProgressStyle};

use crate::files;
use crate::flag::PLAIN;
use crate::interrupt::{self, Interrupted};

/// Some sequences could not be generated.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {of} sequences failed: {where_to_look}")]
pub struct Failed {
    pub failed: usize,
    pub of: usize,
    pub where_to_look: &'static str,
}

/// Where the replies of a file of errors are found.
const IN_THE_REPLIES: &str = "their replies say why, under \"error\"";

/// The requests of a file, or of the standard input.
pub fn requests(path: &Path) -> Result<Requests> {
    let requests = match path.as_os_str() == "-" {
        true => Requests::from_stream(std::io::stdin().lock()),
        false => Requests::read(path),
    };
    requests.map_err(|error| PLAIN.name(error))
}

/// Answers all requests, into a file that can be continued or onto the standard output.
pub fn answer(
    answering: &RequestRunner<'_>,
    requests: &Requests,
    out: Option<&Path>,
) -> Result<()> {
    let cancel = interrupt::token();
    match out {
        None => to_stdout(answering, requests, &cancel),
        Some(path) => to_file(answering, requests, path, &cancel),
    }
}

fn to_stdout(
    answering: &RequestRunner<'_>,
    requests: &Requests,
    cancel: &CancelToken,
) -> Result<()> {
    let (of, mut failed) = (answering.count(requests), 0);
    let bar = bar(of, 0);
    let mut out = std::io::stdout().lock();
    let outcome =
        answering.run(requests, cancel, &mut |_| false, &mut |reply| {
            failed += usize::from(reply.error.is_some());
            out.write_all(&line(&reply)).and_then(|()| out.flush()).map_err(|source| {
                Error::Io { action: "write", path: "the standard output".into(), source }
            })?;
            bar.inc(1);
            Ok(())
        });
    bar.finish_and_clear();
    ended(outcome, String::new())?;
    all_well(failed, of)
}

fn to_file(
    answering: &RequestRunner<'_>,
    requests: &Requests,
    path: &Path,
    cancel: &CancelToken,
) -> Result<()> {
    files::place("--out", path)?;
    let named = |error: Error| PLAIN.name(error);
    remove_aside(path).map_err(named)?;
    let file = ReplyFile::open(path, &answering.settings(requests)).map_err(named)?;
    let (of, before) = (answering.count(requests), file.len());
    if before > 0 && before < of {
        eprintln!("{} holds {before} of {of} replies: going on", path.display());
    }
    let bar = bar(of, before);
    let file = std::cell::RefCell::new(file);
    let outcome =
        answering.run(requests, cancel, &mut |place| file.borrow().has(place), &mut |reply| {
            file.borrow_mut().push(&reply)?;
            bar.inc(1);
            Ok(())
        });
    bar.finish_and_clear();
    let file = file.into_inner();
    let (made, failed) = (file.len(), file.failed());
    ended(
        outcome,
        format!(" ({made} of {of} replies in {}); the same command goes on", path.display()),
    )?;
    file.finish().map_err(named)?;
    eprintln!("{of} replies in {}", path.display());
    all_well(failed, of)
}

fn ended(outcome: Result<Outcome, Error>, kept: String) -> Result<()> {
    match outcome.map_err(|error| PLAIN.name(error))? {
        Outcome::Done => Ok(()),
        Outcome::Cancelled => Err(Interrupted(kept).into()),
    }
}

fn all_well(failed: usize, of: usize) -> Result<()> {
    match failed {
        0 => Ok(()),
        failed => Err(Failed { failed, of, where_to_look: IN_THE_REPLIES }.into()),
    }
}

/// Counts replies on standard error; hidden where that is not a terminal.
fn bar(of: usize, before: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "answering {wide_bar} {pos}/{len} sequences, {per_sec}, {eta} left",
    );
    let bar = ProgressBar::new(of as u64).with_position(before as u64);
    // What was there before took no time now.
    bar.reset_eta();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar, // the default style serves too
    }
}
