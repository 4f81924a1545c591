//! What a sampler layer shares with its frozen model, read without the rest of the model.

use std::io::Read;
use std::path::Path;

use crate::blueprint::{Activation, Blueprint};
use crate::checkpoint::{self, Checkpoint, Tensor};
use crate::encoder_weights::Transform;
use crate::error::ExportError;
use crate::floats;
use crate::manifest::Manifest;
use crate::quantise::{base_file, read_table};
use crate::sniff;
use crate::tokens::SpecialTokens;
use crate::weights::{Embedding, Head, Linear, OptionalTensors, weight};

/// The sizes of a decoder layer of a model, and the ids that it marks positions by. An encoder's sampler layer is such a layer
/// with the sizes of the encoder's layers, with θ = 10,000 and ε = 1e-6.
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
    /// The embedding, [V, D] row by row. A factorised one is multiplied out.
    pub embedding: Vec<f32>,
    /// What makes logits of hidden states.
    pub head: HeadTables,
}

/// Logits of a hidden state x: M t(x) + c.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTables {
    /// t, from D to E; without it t(x) is x.
    pub transform: Option<HeadTransform>,
    /// M, [V, E] row by row; the embedding table where the two are tied.
    pub matrix: Vec<f32>,
    /// c, `[V]`.
    pub bias: Option<Vec<f32>>,
}

/// What an encoder's head does before its output layer: t(x) = norm(f(W x + b)), with norm(y) = (y − mean(y)) · g / √(var(y) + ε) + s.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTransform {
    /// W, [E, D] row by row.
    pub dense: Vec<f32>,
    /// b, `[E]`.
    pub bias: Option<Vec<f32>>,
    /// f.
    pub activation: Activation,
    /// g, `[E]`.
    pub gain: Vec<f32>,
    /// s, `[E]`.
    pub shift: Option<Vec<f32>>,
    /// ε.
    pub eps: f32,
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
    /// assert_eq!(tables.embedding.len(), tables.sizes.vocab_size * tables.sizes.hidden_size);
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
        let parts = OptionalTensors::of_base(&blueprint, &checkpoint);
        if parts.qk_norm {
            let expected =
                "a model without norms of queries and keys, to train a sampler layer for";
            return Err(config.error("model_type", expected));
        }
        blueprint.check_sampler(&config)?;
        let (name, shape) = Embedding::table(&blueprint);
        let quantised = read_table(&mut checkpoint, &weight(name), shape)?;
        let (table, matrix, mapping, others) = match quantised {
            Some(table) => {
                let name = weight(Head::matrix(&blueprint));
                let matrix = read_table(&mut checkpoint, &name, shape)?;
                let matrix = matrix.unwrap_or_else(|| table.clone());
                let mapping = Embedding::take_mapping(&blueprint, &mut checkpoint)?;
                (table, matrix, mapping, Head::take_others(&blueprint, &mut checkpoint)?)
            }
            None => {
                let Embedding { table, mapping } = Embedding::take(&blueprint, &mut checkpoint)?;
                let Head { transform, output } = Head::take(&blueprint, &mut checkpoint, &table)?;
                let numbers = values(&table)?;
                let matrix = match output.weight == table {
                    true => numbers.clone(),
                    false => values(&output.weight)?,
                };
                (numbers, matrix, mapping, (transform, output.bias))
            }
        };
        let (transform, bias) = others;
        let head = HeadTables {
            transform: transform.as_ref().map(HeadTransform::of).transpose()?,
            matrix,
            bias: bias.as_ref().map(values).transpose()?,
        };
        let embedding = match &mapping {
            None => table,
            Some(mapping) => mapped(&table, mapping)?,
        };
        Ok(Self { sizes: LayerSizes::of(&blueprint, parts, tokens), embedding, head })
    }
}

impl HeadTransform {
    fn of(Transform { dense, activation, norm }: &Transform) -> Result<Self, ExportError> {
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(values).transpose();
        Ok(Self {
            dense: values(&dense.weight)?,
            bias: optional(&dense.bias)?,
            activation: *activation,
            gain: values(&norm.gain)?,
            shift: optional(&norm.bias)?,
            eps: norm.eps,
        })
    }
}

/// Rows [·, E] times a map's matrix, plus its bias: rows [·, D].
fn mapped(rows: &[f32], map: &Linear) -> Result<Vec<f32>, ExportError> {
    let (matrix, width) = (values(&map.weight)?, map.weight.shape[1]);
    let bias = map.bias.as_ref().map(values).transpose()?;
    let bias = bias.unwrap_or_else(|| vec![0.0; map.weight.shape[0]]);
    let of_row = |row: &[f32]| -> Vec<f32> {
        let dot = |weights: &[f32]| row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>();
        matrix.chunks_exact(width).zip(&bias).map(|(weights, b)| dot(weights) + b).collect()
    };
    Ok(rows.chunks_exact(width).flat_map(of_row).collect())
}

impl LayerSizes {
    fn of(blueprint: &Blueprint, parts: OptionalTensors, tokens: SpecialTokens) -> Self {
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
        let fixtures = conjoint_models::fixtures();
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
            assert_eq!((sizes.qkv_bias, embedding == head.matrix), (biased, tied), "{name}");
            assert_eq!(embedding.len(), sizes.vocab_size * sizes.hidden_size, "{name}");
            assert_eq!(head.matrix.len(), embedding.len(), "{name}");
            assert_eq!((head.transform, head.bias), (None, None), "{name}");
            assert_eq!(sizes.heads * sizes.head_dim, sizes.hidden_size, "{name}");
            // Real weights: neither zero nor the bytes of another type.
            let square = embedding.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let size = (square / embedding.len() as f64).sqrt();
            assert!((1e-3..10.0).contains(&size), "{name}: {size}");
        }
    }

    #[test]
    fn encoders_have_heads_of_their_own() {
        for (name, biased, activation) in [
            ("bert-tiny", true, Activation::Gelu),
            ("albert-tiny", true, Activation::GeluTanh),
            ("modernbert-tiny", false, Activation::Gelu),
            ("modernbert-biased", true, Activation::Relu),
        ] {
            let Tables { sizes, embedding, head } = read(name);
            let transform = head.transform.unwrap();
            let width = head.matrix.len() / sizes.vocab_size;
            assert_eq!(width, if name == "albert-tiny" { 8 } else { 16 }, "{name}");
            assert_eq!(embedding.len(), sizes.vocab_size * sizes.hidden_size, "{name}");
            assert_eq!(embedding == head.matrix, name.ends_with("t-tiny") && width == 16, "{name}");
            assert_eq!((sizes.qkv_bias, transform.activation), (biased, activation), "{name}");
            assert_eq!(transform.dense.len(), width * sizes.hidden_size, "{name}");
            assert_eq!((transform.bias.is_some(), transform.shift.is_some()), (biased, biased));
            assert_eq!(head.bias.is_some(), name != "modernbert-biased", "{name}");
            assert_eq!((sizes.rope_theta, sizes.norm_eps), (1e4, 1e-6), "{name}");
        }
    }

    #[test]
    fn a_factorised_table_is_multiplied_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("numbers");
        let numbers = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, 0.0, -1.0];
        std::fs::write(&file, numbers.map(f32::to_le_bytes).concat()).unwrap();
        let tensor = |offset: u64, shape: &[usize]| Tensor {
            name: "numbers".into(),
            file: file.clone(),
            offset: 4 * offset,
            length: 4 * shape.iter().product::<usize>() as u64,
            dtype: DType::Float32,
            shape: shape.into(),
        };
        let map = Linear { weight: tensor(0, &[3, 2]), bias: Some(tensor(6, &[3])) };
        assert_eq!(
            mapped(&[10.0, 1.0, 0.0, 0.0], &map).unwrap(),
            [12.5, 34.0, 55.0, 0.5, 0.0, -1.0]
        );
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
