//! Reading the tables of a checkpoint.

use std::io::Read;
use std::path::Path;

use super::{HeadTables, HeadTransform, LayerSizes, Tables};
use crate::blueprint::{Blueprint, Overrides};
use crate::checkpoint::{Checkpoint, Tensor, read_config, reject_adapter};
use crate::error::FormatError;
use crate::manifest::Manifest;
use crate::path_check;
use crate::quantised_weights::{base_file, read_table};
use crate::tokens::SpecialTokens;
use crate::weights::{Embedding, Head, Linear, OptionalTensors, Transform, weight};

/// An opened checkpoint.
struct Source {
    blueprint: Blueprint,
    tokens: SpecialTokens,
    checkpoint: Checkpoint,
    parts: OptionalTensors,
}

impl Source {
    /// Opens a checkpoint and checks that a sampler layer can be trained for it.
    fn open(folder: &Path) -> Result<Self, FormatError> {
        path_check::check_checkpoint(folder)?;
        let config = read_config(folder)?;
        reject_adapter(folder)?;
        // The manifest of an export records ignored keys, given tokens, the shift, the attention blocks, and the use
        // of quantised weights.
        let export = Manifest::read_now(folder).ok();
        let overrides = Overrides {
            shift: export.as_ref().map(|manifest| manifest.shift),
            attention_block: export.as_ref().map(|manifest| manifest.attention_block.unwrap_or(0)),
        };
        let quantised = export.as_ref().and_then(|manifest| manifest.quantised);
        let provenance = export.map(|manifest| manifest.provenance);
        let (ignored, given) =
            provenance.map(|own| (own.ignored_keys, own.given_tokens)).unwrap_or_default();
        Blueprint::check_keys(&config, &ignored)?;
        let blueprint = Blueprint::read(&config, overrides)?;
        let (tokens, _) = SpecialTokens::find(&config, &given, blueprint.vocab_size)?;
        let checkpoint = match quantised {
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
        Ok(Self { blueprint, tokens, checkpoint, parts })
    }
}

impl Tables {
    /// Reads the tables of a checkpoint of any supported architecture, in 16 or 32 bits, in one file or in
    /// shards.
    ///
    /// Of the layers, only names and shapes are read. For a [quantised](crate::Quantisation) export, these are
    /// the tables that its graphs use.
    ///
    /// # Errors
    ///
    /// [`FormatError`] has a variant for each problem of a checkpoint. [`FormatError::Config`] also rejects a
    /// model that normalises queries and keys, which no published sampler layer does.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), conjoint_format::FormatError> {
    /// let tables = conjoint_format::Tables::read("checkpoints/LLaDA-8B-Base".as_ref())?;
    /// assert_eq!(tables.embedding.len(), tables.sizes.vocab_size * tables.sizes.hidden_size);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read(folder: &Path) -> Result<Self, FormatError> {
        let Source { blueprint, tokens, mut checkpoint, parts } = Source::open(folder)?;
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
    fn of(Transform { dense, activation, norm }: &Transform) -> Result<Self, FormatError> {
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

/// Applies a linear map to rows [·, E]: rows [·, D].
fn mapped(rows: &[f32], map: &Linear) -> Result<Vec<f32>, FormatError> {
    let (matrix, width) = (values(&map.weight)?, map.weight.shape[1]);
    let bias = map.bias.as_ref().map(values).transpose()?;
    let bias = bias.unwrap_or_else(|| vec![0.0; map.weight.shape[0]]);
    let map_row = |row: &[f32]| -> Vec<f32> {
        let dot = |weights: &[f32]| row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>();
        matrix.chunks_exact(width).zip(&bias).map(|(weights, b)| dot(weights) + b).collect()
    };
    Ok(rows.chunks_exact(width).flat_map(map_row).collect())
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

/// Reads the numbers of a tensor, piece by piece to avoid a second copy in memory.
fn values(tensor: &Tensor) -> Result<Vec<f32>, FormatError> {
    const PIECE: u64 = 1 << 20;
    let mut file = tensor.reader()?;
    let mut values = Vec::with_capacity(tensor.shape.iter().product());
    let mut left = tensor.length;
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.resize(left.min(PIECE) as usize, 0);
        file.read_exact(&mut bytes).map_err(FormatError::io("read", &tensor.file))?;
        left -= bytes.len() as u64;
        tensor.dtype.append(&mut values, &bytes);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::blueprint::Activation;
    use crate::dtype::DType;

    fn read(name: &str) -> Tables {
        let fixtures = conjoint_models::fixtures();
        Tables::read(&fixtures.join(name)).unwrap()
    }

    #[test]
    fn tables_of_decoders_are_read() {
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
            // Neither zeros nor bytes of another type: the root mean square is that of weights.
            let square = embedding.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let rms = (square / embedding.len() as f64).sqrt();
            assert!((1e-3..10.0).contains(&rms), "{name}: {rms}");
        }
    }

    #[test]
    fn tables_of_encoders_have_a_network_before_the_output_layer() {
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
    fn a_factorised_embedding_is_multiplied_out() {
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
            assert!(matches!(values(&beyond), Err(FormatError::Io { .. })));
        }
    }
}
