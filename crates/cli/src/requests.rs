//! `conjoint generate --prompts`: reads a file of requests and writes a file of replies.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use conjoint::CancelToken;
use conjoint_lab::Error;
use conjoint_lab::requests::{Outcome, ReplyFile, RequestRunner, Requests, line, remove_temporary};

use crate::files;
use crate::flag::PLAIN;
use crate::interrupt::{self, Interrupted};
use crate::progress::Replies;

/// Some sequences could not be generated.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {of} sequences failed: {where_to_look}")]
pub struct Failed {
    pub failed: usize,
    pub of: usize,
    pub where_to_look: &'static str,
}

/// Where to find the errors of a file of replies.
const IN_THE_REPLIES: &str = "see \"error\" in their replies";

/// Reads the requests of a file, or of standard input.
pub fn read(path: &Path) -> Result<Requests> {
    let requests = match path.as_os_str() == "-" {
        true => Requests::from_stream(std::io::stdin().lock()),
        false => Requests::read(path),
    };
    requests.map_err(|error| PLAIN.error(error))
}

/// Runs all requests, with a resumable file of replies or standard output.
pub fn run(runner: &RequestRunner<'_>, requests: &Requests, out: Option<&Path>) -> Result<()> {
    let cancel = interrupt::token();
    match out {
        None => to_stdout(runner, requests, &cancel),
        Some(path) => to_file(runner, requests, path, &cancel),
    }
}

fn to_stdout(runner: &RequestRunner<'_>, requests: &Requests, cancel: &CancelToken) -> Result<()> {
    let (of, mut failed) = (runner.count(requests), 0);
    let bar = Replies::new(of, 0);
    let mut out = std::io::stdout().lock();
    let outcome =
        runner.run(requests, cancel, &mut |_| false, &mut |reply| {
            failed += usize::from(reply.error.is_some());
            out.write_all(&line(&reply)).and_then(|()| out.flush()).map_err(|source| {
                Error::Io { action: "write", path: "standard output".into(), source }
            })?;
            bar.add();
            Ok(())
        });
    drop(bar);
    check_outcome(outcome, String::new())?;
    check_failures(failed, of)
}

fn to_file(
    runner: &RequestRunner<'_>,
    requests: &Requests,
    path: &Path,
    cancel: &CancelToken,
) -> Result<()> {
    files::place("--out", path)?;
    let named = |error: Error| PLAIN.error(error);
    remove_temporary(path).map_err(named)?;
    let file = ReplyFile::open(path, &runner.settings(requests)).map_err(named)?;
    let (of, before) = (runner.count(requests), file.len());
    if before > 0 && before < of {
        eprintln!("{} has {before} of {of} replies: resuming", path.display());
    }
    let bar = Replies::new(of, before);
    let file = std::cell::RefCell::new(file);
    let outcome =
        runner.run(requests, cancel, &mut |place| file.borrow().has(place), &mut |reply| {
            file.borrow_mut().push(&reply)?;
            bar.add();
            Ok(())
        });
    drop(bar);
    let file = file.into_inner();
    let (made, failed) = (file.len(), file.failed());
    check_outcome(
        outcome,
        format!(" ({made} of {of} replies in {}); run the same command to resume", path.display()),
    )?;
    file.finish().map_err(named)?;
    eprintln!("{of} replies in {}", path.display());
    check_failures(failed, of)
}

fn check_outcome(outcome: Result<Outcome, Error>, kept: String) -> Result<()> {
    match outcome.map_err(|error| PLAIN.error(error))? {
        Outcome::Done => Ok(()),
        Outcome::Cancelled => Err(Interrupted(kept).into()),
    }
}

fn check_failures(failed: usize, of: usize) -> Result<()> {
    match failed {
        0 => Ok(()),
        failed => Err(Failed { failed, of, where_to_look: IN_THE_REPLIES }.into()),
    }
}
