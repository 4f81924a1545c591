//! What a sampler layer shares with its frozen model, read without the rest of the model.

use std::io::Read;
use std::path::Path;

use crate::blueprint::Blueprint;
use crate::checkpoint::{self, Checkpoint, Tensor};
use crate::error::ExportError;
use crate::floats;
use crate::manifest::Manifest;
use crate::quantise::{base_file, read_table};
use crate::sniff;
use crate::tokens::SpecialTokens;
use crate::weights::{Parts, take_head};

/// The sizes of a decoder layer of a model, and the ids that it marks positions by.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSizes {
    /// V.
    pub vocab_size: usize,
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// F, the inner width of the feed-forward network.
    pub ffn_size: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The longest sequence.
    pub max_positions: usize,
    /// θ of the rotary embedding.
    pub rope_theta: f32,
    /// ε under the root of each RMS norm.
    pub norm_eps: f32,
    /// Whether queries, keys and values are affine.
    pub qkv_bias: bool,
    /// Special ids.
    pub tokens: SpecialTokens,
}

/// A frozen model's tables: all of it that a sampler layer is trained with, beside its hidden states.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Of the model's own kind of layer.
    pub sizes: LayerSizes,
    /// The embedding, [V, D] row by row.
    pub embedding: Vec<f32>,
    /// The output layer, [V, D] row by row; the embedding where the two are tied.
    pub head: Vec<f32>,
}

impl Tables {
    /// Reads the tables of a checkpoint of any architecture that [`export`](crate::export()) knows, in one
    /// file or in shards, of 16 or 32 bits; of the decoder layers nothing but names and shapes is looked at. Of a
    /// [quantised](crate::Quantisation) export these are the tables that its graphs use.
    ///
    /// # Errors
    ///
    /// As [`export`](crate::export()); and [`ExportError::Config`] for a model that normalises queries and
    /// keys, which no published sampler layer does.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), conjoint_export::ExportError> {
    /// let tables = conjoint_export::Tables::read("checkpoints/LLaDA-8B-Base".as_ref())?;
    /// assert_eq!(tables.head.len(), tables.sizes.vocab_size * tables.sizes.hidden_size);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read(folder: &Path) -> Result<Self, ExportError> {
        sniff::checkpoint(folder)?;
        let config = checkpoint::read_config(folder)?;
        checkpoint::reject_adapter(folder)?;
        // An export beside it has said which keys to ignore, which ids are special, whether to shift, and whether the graphs use
        // other weights than the checkpoint's.
        let export = Manifest::read_now(folder).ok();
        let shift = export.as_ref().map(|own| own.shift);
        let quantised = export.as_ref().and_then(|own| own.quantised);
        let provenance = export.map(|own| own.provenance);
        let (ignored, given) =
            provenance.map(|own| (own.ignored_keys, own.given_tokens)).unwrap_or_default();
        Blueprint::check_keys(&config, &ignored)?;
        let blueprint = Blueprint::read(&config, shift)?;
        let (tokens, _) = SpecialTokens::find(&config, &given, blueprint.vocab_size)?;
        let mut checkpoint = match quantised {
            None => Checkpoint::open(folder)?,
            Some(quantisation) => Checkpoint::open_file(&folder.join(base_file(quantisation)))?,
        };
        if quantised.is_none() {
            checkpoint.reject_quantised()?;
        }
        let parts = Parts::of_base(&blueprint, &checkpoint);
        if parts.qk_norm {
            let expected =
                "a model without norms of queries and keys, to train a sampler layer for";
            return Err(config.error("model_type", expected));
        }
        let shape = [blueprint.vocab_size, blueprint.hidden_size];
        let sizes = LayerSizes::of(&blueprint, parts, tokens);
        let name = format!("{}.weight", blueprint.names.embed);
        if let Some(embedding) = read_table(&mut checkpoint, &name, shape)? {
            let name = format!("{}.weight", blueprint.names.head);
            let head = read_table(&mut checkpoint, &name, shape)?;
            let head = head.unwrap_or_else(|| embedding.clone());
            return Ok(Self { sizes, embedding, head });
        }
        let embed = checkpoint.take(&name, &shape)?;
        let head = take_head(&blueprint, &mut checkpoint, &embed)?;
        let embedding = values(&embed)?;
        let head = if head == embed { embedding.clone() } else { values(&head)? };
        Ok(Self { sizes, embedding, head })
    }
}

impl LayerSizes {
    fn of(blueprint: &Blueprint, parts: Parts, tokens: SpecialTokens) -> Self {
        Self {
            vocab_size: blueprint.vocab_size,
            hidden_size: blueprint.hidden_size,
            ffn_size: blueprint.ffn_size,
            heads: blueprint.heads,
            kv_heads: blueprint.kv_heads,
            head_dim: blueprint.head_dim,
            max_positions: blueprint.max_positions,
            rope_theta: blueprint.rope_theta,
            norm_eps: blueprint.norm_eps,
            qkv_bias: parts.qkv_bias,
            tokens,
        }
    }
}

/// A tensor's numbers, read piece by piece so that a large one is not in memory twice.
fn values(tensor: &Tensor) -> Result<Vec<f32>, ExportError> {
    const PIECE: u64 = 1 << 20;
    let mut file = tensor.reader()?;
    let mut values = Vec::with_capacity(tensor.shape.iter().product());
    let mut left = tensor.length;
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.resize(left.min(PIECE) as usize, 0);
        file.read_exact(&mut bytes).map_err(ExportError::io("read", &tensor.file))?;
        left -= bytes.len() as u64;
        floats::extend(&mut values, &bytes, tensor.dtype);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DType;
    use half::{bf16, f16};

    fn read(name: &str) -> Tables {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        Tables::read(&fixtures.join(name)).unwrap()
    }

    #[test]
    fn every_kind_of_checkpoint_has_its_tables() {
        for (name, biased, tied) in [
            ("dream-tiny", true, false),
            ("llada-tiny", false, false),
            ("dream-tied-bf16-sharded", true, true),
        ] {
            let Tables { sizes, embedding, head } = read(name);
            assert_eq!((sizes.qkv_bias, embedding == head), (biased, tied), "{name}");
            assert_eq!(embedding.len(), sizes.vocab_size * sizes.hidden_size, "{name}");
            assert_eq!(head.len(), embedding.len(), "{name}");
            assert_eq!(sizes.heads * sizes.head_dim, sizes.hidden_size, "{name}");
            // Real weights: neither zero nor the bytes of another type.
            let square = embedding.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let size = (square / embedding.len() as f64).sqrt();
            assert!((1e-3..10.0).contains(&size), "{name}: {size}");
        }
    }

    #[test]
    fn numbers_of_every_width_are_read_across_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let count = 300_000;
        let numbers: Vec<f32> = (0..count).map(|i| (i % 251) as f32 * 0.25).collect();
        for dtype in [DType::Float32, DType::Float16, DType::BFloat16] {
            let bytes: Vec<u8> = match dtype {
                DType::Float32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
                DType::Float16 => {
                    numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()
                }
                DType::BFloat16 => {
                    numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()
                }
            };
            let file = folder.path().join("numbers");
            std::fs::write(&file, [vec![7; 5], bytes.clone()].concat()).unwrap();
            let (offset, length) = (5, bytes.len() as u64);
            let tensor =
                Tensor { name: "numbers".into(), file, offset, length, dtype, shape: vec![count] };
            assert!(values(&tensor).unwrap() == numbers, "{dtype:?}");
            let beyond = Tensor { length: length + 4, ..tensor };
            assert!(matches!(values(&beyond), Err(ExportError::Io { .. })));
        }
    }
}
