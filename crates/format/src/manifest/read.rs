//! Reading and checking a manifest.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Manifest;
use super::graphs::HeadTop;
use crate::error::FormatError;
use crate::lock::wait_for_exports;
use crate::names::{MANIFEST, is_plain_name};
use crate::path_check;
use crate::tokens::SpecialTokens;

impl Manifest {
    /// The layout that this version writes and reads.
    pub const FORMAT: u32 = 4;

    /// Reads `conjoint.json` from a model's folder.
    ///
    /// If there is none and an export into the folder is running, waits up to two seconds for it.
    ///
    /// # Errors
    ///
    /// - [`NotACheckpoint`](FormatError::NotACheckpoint) if the path does not lead to a model's folder,
    /// - [`MissingFile`](FormatError::MissingFile) if the folder has not been exported,
    /// - [`Busy`](FormatError::Busy) if an export into it is still running,
    /// - [`ManifestFormat`](FormatError::ManifestFormat) if another version wrote the manifest,
    /// - [`Config`](FormatError::Config) if a value is invalid, such as a graph outside the folder,
    /// - [`Io`](FormatError::Io) or [`Json`](FormatError::Json) if the manifest cannot be read or parsed.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, FormatError> {
        let folder = folder.as_ref();
        match Self::read_now(folder) {
            Err(FormatError::MissingFile { .. }) => {
                path_check::check_folder(folder)?;
                let Some(_lock) = wait_for_exports(folder) else {
                    return Err(FormatError::Busy { path: folder.into() });
                };
                Self::read_now(folder)
            }
            read => read,
        }
    }

    /// As [`read`](Self::read), without waiting.
    #[doc(hidden)]
    pub fn read_now(folder: &Path) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }

        let path = folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(FormatError::MissingFile { path, hint: "export the checkpoint first" });
            }
            text => text.map_err(FormatError::io("read", &path))?,
        };
        let Version { format } = serde_json::from_slice(&text).map_err(FormatError::json(&path))?;
        if format != Self::FORMAT {
            return Err(FormatError::ManifestFormat { path, expected: Self::FORMAT, got: format });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(FormatError::json(&path))?;
        manifest.check_values(&path)?;
        for name in manifest.graphs.names() {
            if !is_plain_name(name) {
                return Err(FormatError::Config {
                    path,
                    key: "graphs".into(),
                    expected: "file names without a folder".into(),
                    got: name.into(),
                });
            }
        }
        Ok(manifest)
    }

    /// Rejects values that no export writes, as an edited file may hold.
    fn check_values(&self, path: &Path) -> Result<(), FormatError> {
        let invalid = |key: &str, expected: &str, got: String| FormatError::Config {
            path: path.into(),
            key: key.into(),
            expected: expected.into(),
            got,
        };
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("max_positions", self.max_positions),
        ];
        if let Some(HeadTop { k, .. }) = self.graphs.head_top
            && !(2..=self.vocab_size.max(2)).contains(&k)
        {
            let expected = format!("from 2 to vocab_size = {}", self.vocab_size);
            return Err(invalid("graphs.head_top.k", &expected, k.to_string()));
        }
        let block = self.attention_block.map(|length| ("attention_block", length));
        if let Some((key, _)) = sizes.into_iter().chain(block).find(|&(_, size)| size == 0) {
            return Err(invalid(key, "at least 1", "0".into()));
        }
        if self.attention_block == Some(0) {
            return Err(invalid("attention_block", "at least 1", "0".into()));
        }
        let SpecialTokens { mask, eos, pad, bos, assigned } = &self.tokens;
        let ends = eos.iter().map(|&id| ("eos", id));
        let others = [("pad", *pad), ("bos", *bos)];
        let others = others.into_iter().filter_map(|(name, id)| Some((name, id?)));
        let mut ids = [("mask", *mask)].into_iter().chain(ends).chain(others);
        if let Some((name, id)) = ids.find(|&(_, id)| id as usize >= self.vocab_size) {
            let expected = format!("an id below vocab_size = {}", self.vocab_size);
            return Err(invalid(&format!("tokens.{name}"), &expected, id.to_string()));
        }
        match assigned {
            Some(assigned) if !(1..=self.vocab_size).contains(assigned) => {
                let expected = format!("from 1 to vocab_size = {}", self.vocab_size);
                Err(invalid("tokens.named", &expected, assigned.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the weight files have not changed since the export.
    ///
    /// # Errors
    ///
    /// [`WeightsChanged`](FormatError::WeightsChanged), or [`Io`](FormatError::Io) if a file is missing.
    pub fn check_weights(&self, folder: impl AsRef<Path>) -> Result<(), FormatError> {
        self.provenance.weights.iter().try_for_each(|file| file.check(folder.as_ref()))
    }
}
