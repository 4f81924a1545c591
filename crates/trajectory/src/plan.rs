//! Makes the trajectories that a folder lacks.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use conjoint_core::{Denoiser, Observer};

use crate::error::Error;
use crate::sources::Source;
use crate::store::Store;

/// The part of one process in work that several processes share, such as `2/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    number: u64,
    of: u64,
}

impl ShardIndex {
    /// The `number`-th of `of` equal parts.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 1 ≤ number ≤ of.
    pub fn new(number: u64, of: u64) -> Result<Self, Error> {
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(Error::parameter("shard", format!("{number}/{of}"), "i/n with 1 ≤ i ≤ n")),
        }
    }
}

impl Default for ShardIndex {
    /// The whole work, `1/1`.
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl FromStr for ShardIndex {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (number, of) = parts.unwrap_or_default();
        Self::new(number, of).map_err(|_| Error::parameter("shard", text, "i/n with 1 ≤ i ≤ n"))
    }
}

/// The number of trajectories to make, and how the work is divided. The division does not change any trajectory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The number of trajectories in the finished folder.
    pub count: u64,
    /// The number of trajectories per file. An interruption loses at most one file.
    pub per_file: u64,
    /// The number of sequences per forward pass.
    pub batch: usize,
    /// The part of this process.
    pub share: ShardIndex,
}

impl Default for Partition {
    /// 4000 trajectories in files of 128, with 32 per forward pass, by one process.
    fn default() -> Self {
        Self { count: 4000, per_file: 128, batch: 32, share: ShardIndex::default() }
    }
}

/// The trajectories that a process still has to make.
pub struct Plan<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    batch: usize,
    files: Vec<Range<u64>>,
}

impl<'a> Plan<'a> {
    /// Plans the trajectories that `store` lacks in this process's part. Files begin at multiples of `per_file`, and are
    /// assigned to processes in turn.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `per_file` or `batch` is 0, or if the source has fewer trajectories; otherwise those of
    /// [`Store::read`].
    pub fn new(
        store: &'a Store,
        source: &'a dyn Source,
        partition: &Partition,
    ) -> Result<Self, Error> {
        let &Partition { count, per_file, batch, share } = partition;
        if per_file == 0 || batch == 0 {
            let (got, expected) = (format!("{per_file}, {batch}"), "at least 1 each");
            return Err(Error::parameter("trajectories per file and per forward", got, expected));
        }
        if let Some(most) = source.len().filter(|&most| count > most) {
            return Err(Error::parameter(
                "number of trajectories",
                count,
                format!("at most {most}"),
            ));
        }
        let mine = |file: &Range<u64>| file.start / per_file % share.of == share.number - 1;
        let cut = |gap: Range<u64>| {
            let next = move |&start: &u64| Some((start / per_file + 1) * per_file);
            let starts =
                std::iter::successors(Some(gap.start), next).take_while(move |&s| s < gap.end);
            starts.map(move |start| start..((start / per_file + 1) * per_file).min(gap.end))
        };
        let files = store.missing(count)?.into_iter().flat_map(cut).filter(mine).collect();
        Ok(Self { store, source, batch, files })
    }

    /// The number of trajectories to make.
    pub fn trajectories(&self) -> u64 {
        self.files.iter().map(|file| file.end - file.start).sum()
    }

    /// The number of positions that they reveal.
    pub fn reveals(&self) -> u64 {
        self.files.iter().cloned().flatten().map(|index| self.source.reveals(index) as u64).sum()
    }

    /// Makes the trajectories, one file at a time.
    ///
    /// # Errors
    /// Those of [`Source::make`], and [`Error::Io`].
    pub fn run(&self, model: &Arc<dyn Denoiser>, observer: &mut dyn Observer) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| {
            let rows = self.source.make(model, file.clone(), self.batch, observer)?;
            self.store.write(file.clone(), &rows)
        })
    }
}
