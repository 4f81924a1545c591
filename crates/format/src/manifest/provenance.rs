//! The origin of an export.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tokens::GivenTokens;
use crate::weight_file::WeightFile;

/// The origin of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Name of the checkpoint's folder.
    pub checkpoint: Option<String>,
    /// Name of the sampler checkpoint's folder.
    pub sampler: Option<String>,
    /// The weight files that the graphs point into.
    pub weights: Vec<WeightFile>,
    /// Files that the export linked, copied or converted into its folder, by name, each with a checksum.
    ///
    /// The checksum is the SHA-256 of the file, or [that of a weight file](WeightFile::sha256). A later export
    /// replaces or removes the files that have not changed since.
    #[serde(rename = "brought", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exported_files: BTreeMap<String, String>,
    /// Keys of `config.json` that the user chose to ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_keys: Vec<String>,
    /// Special tokens given by the user.
    #[serde(default, skip_serializing_if = "GivenTokens::is_empty")]
    pub given_tokens: GivenTokens,
    /// Notes, a sentence each: defaults that were used, conflicts between configuration and tensors, and
    /// tensors left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Version of `conjoint-export` that wrote the export.
    pub conjoint: String,
}
