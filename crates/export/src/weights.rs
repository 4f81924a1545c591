//! The tensors of a model by their role. Having one means that every shape and type is right.

use crate::blueprint::{Blueprint, Body, LayerNames, Names};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::encoder_weights::{EncoderWeights, Transform};
use crate::error::ExportError;
use crate::manifest::Family;

/// y = x Wᵀ + b, with W [out, in] as PyTorch stores it.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

/// One decoder layer.
#[derive(Debug)]
pub(crate) struct DecoderLayer {
    pub(crate) attention_norm: Tensor,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) o: Linear,
    /// Norms of queries and of keys.
    pub(crate) qk_norm: Option<(Tensor, Tensor)>,
    pub(crate) ffn_norm: Tensor,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// The frozen model.
#[derive(Debug)]
pub(crate) struct BaseWeights {
    pub(crate) embed: Embedding,
    pub(crate) body: BodyWeights,
    pub(crate) head: Head,
}

/// What makes a token a vector of the layers' width D.
#[derive(Debug)]
pub(crate) struct Embedding {
    /// [V, E].
    pub(crate) table: Tensor,
    /// From E to D; E is D without it.
    pub(crate) mapping: Option<Linear>,
}

/// What makes hidden states of embeddings.
#[derive(Debug)]
pub(crate) enum BodyWeights {
    /// Layers, and the norm behind them.
    Decoder(Vec<DecoderLayer>, Tensor),
    Encoder(Box<EncoderWeights>),
}

/// What makes logits of hidden states.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) transform: Option<Transform>,
    /// [V, E]; the embedding table where the two are tied.
    pub(crate) output: Linear,
}

/// The sampler layer.
#[derive(Debug)]
pub(crate) struct SamplerWeights {
    pub(crate) norm_embed: Tensor,
    pub(crate) norm_hidden: Tensor,
    pub(crate) norm_post: Tensor,
    pub(crate) down_project: Linear,
    /// One in the published samplers.
    pub(crate) layers: Vec<DecoderLayer>,
}

/// What the names of a sampler's tensors begin with, in its own checkpoint or beside a base model. What trained it may have put
/// a prefix of its own before it, such as `module.`, or left it away.
const SAMPLER: &str = "drafter.";
/// The tensor by which a sampler layer is recognised.
const MARK: &str = "norm_embed.0.weight";
/// What names go on with where they begin with nothing of the sampler's own.
const PARTS: [&str; 5] = ["norm_embed", "norm_hidden", "norm_postattn", "down_project", "layers"];

/// The tensor by which a sampler layer in a checkpoint is recognised, if there is one.
pub(crate) fn sampler_in(checkpoint: &Checkpoint) -> Option<&str> {
    checkpoint.names().find(|name| is_of_sampler(name))
}

/// Whether a tensor is the one by which a sampler layer is recognised.
pub(crate) fn is_of_sampler(name: &str) -> bool {
    sampler_prefix(name).is_some()
}

/// What a sampler layer's names begin with, if this is the tensor by which it is recognised.
fn sampler_prefix(name: &str) -> Option<&str> {
    name.strip_suffix(MARK).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// What the names of the only sampler layer in a checkpoint begin with; of several the one without a prefix before it counts.
fn only_sampler(checkpoint: &Checkpoint) -> Result<String, ExportError> {
    let found: Vec<&str> = checkpoint.names().filter_map(sampler_prefix).collect();
    match found[..] {
        [one] => return Ok(one.to_owned()),
        _ if found.contains(&SAMPLER) => return Ok(SAMPLER.to_owned()),
        _ => {}
    }
    let reason = match found.is_empty() {
        true => format!(
            "it holds no sampler layer: there is no tensor {SAMPLER}{MARK}, nor with a prefix"
        ),
        false => format!("it holds several sampler layers, {}: keep one", found.join(", ")),
    };
    Err(ExportError::SamplerLayer { path: checkpoint.folder().into(), reason })
}

impl BaseWeights {
    /// Claims the base model's tensors.
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, ExportError> {
        checkpoint.reject_quantised()?;
        let embed = Embedding::take(blueprint, checkpoint)?;
        let body = match &blueprint.body {
            Body::Decoder(names) => take_decoder(blueprint, names, checkpoint)?,
            Body::Encoder(encoder) => {
                BodyWeights::Encoder(EncoderWeights::take(blueprint, encoder, checkpoint)?.into())
            }
        };
        let head = Head::take(blueprint, checkpoint, &embed.table)?;
        let unused = match &blueprint.body {
            // RoPE's buffers follow from the configuration.
            Body::Decoder(_) => &[][..],
            Body::Encoder(encoder) => encoder.names.unused,
        };
        checkpoint.refuse_unclaimed(|name| {
            let is_unused = unused.iter().any(|prefix| name.starts_with(prefix));
            let of_sampler = name.starts_with(SAMPLER) || name.contains(&format!(".{SAMPLER}"));
            !(of_sampler || name.ends_with("rotary_emb.inv_freq") || is_unused)
        })?;
        Ok(Self { embed, body, head })
    }

    /// All tensors, in no particular order; those that layers share several times.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let (layers, norm, encoder) = match &self.body {
            BodyWeights::Decoder(layers, norm) => (&layers[..], Some(norm), None),
            BodyWeights::Encoder(encoder) => (&[][..], None, Some(encoder)),
        };
        let own = [Some(&self.embed.table), norm].into_iter().flatten();
        own.chain(self.embed.mapping.iter().flat_map(Linear::tensors))
            .chain(self.head.tensors())
            .chain(layers.iter().flat_map(DecoderLayer::tensors))
            .chain(encoder.into_iter().flat_map(|encoder| encoder.tensors()))
    }
}

impl BaseWeights {
    /// The matrices of its layers; those that layers share several times.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        let (layers, encoder) = match &self.body {
            BodyWeights::Decoder(layers, _) => (&layers[..], None),
            BodyWeights::Encoder(encoder) => (&[][..], Some(encoder)),
        };
        let own = layers.iter().flat_map(DecoderLayer::matrices);
        own.chain(encoder.into_iter().flat_map(|encoder| encoder.matrices()))
    }
}

impl Embedding {
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, ExportError> {
        let (name, shape) = Self::table(blueprint);
        let table = checkpoint.take(&weight(name), &shape)?;
        Ok(Self { table, mapping: Self::take_mapping(blueprint, checkpoint)? })
    }

    /// Name and shape of the table, [V, E].
    pub(crate) fn table(blueprint: &Blueprint) -> (&'static str, [usize; 2]) {
        let (name, width) = match &blueprint.body {
            Body::Decoder(names) => (names.embed, blueprint.hidden_size),
            Body::Encoder(encoder) => (encoder.names.embed, encoder.embedding_size),
        };
        (name, [blueprint.vocab_size, width])
    }

    /// Claims all but the table.
    pub(crate) fn take_mapping(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Option<Linear>, ExportError> {
        let Body::Encoder(encoder) = &blueprint.body else { return Ok(None) };
        let shape = [blueprint.hidden_size, encoder.embedding_size];
        let mapping = encoder.names.mapping;
        mapping.map(|name| Linear::take(checkpoint, name, shape, true)).transpose()
    }
}

fn take_decoder(
    blueprint: &Blueprint,
    names: &Names,
    checkpoint: &mut Checkpoint,
) -> Result<BodyWeights, ExportError> {
    let prefix = |number| format!("{}{number}.", names.layers);
    let parts = OptionalTensors::of_base(blueprint, checkpoint);
    let layers = (0..blueprint.layers)
        .map(|number| {
            DecoderLayer::take(blueprint, parts, checkpoint, &prefix(number), &names.layer)
        })
        .collect::<Result<_, _>>()?;
    let final_norm = checkpoint.take(&weight(names.final_norm), &[blueprint.hidden_size])?;
    Ok(BodyWeights::Decoder(layers, final_norm))
}

impl SamplerWeights {
    /// Claims the sampler layer's tensors; a base model's beside them are left alone.
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, ExportError> {
        let width = blueprint.hidden_size;
        let sampler = only_sampler(checkpoint)?;
        let mut norm =
            |name: &str| checkpoint.take(&weight(&format!("{sampler}{name}.0")), &[width]);
        let norm_embed = norm("norm_embed")?;
        let norm_hidden = norm("norm_hidden")?;
        let norm_post = norm("norm_postattn")?;
        let name = format!("{sampler}down_project.0");
        let down_project = Linear::take(checkpoint, &name, [width, 2 * width], true)?;

        // A sampler names its layers as one of the families does.
        let prefix = |number: usize| format!("{sampler}layers.0.{number}.");
        let has = |checkpoint: &Checkpoint, number: usize, naming: &LayerNames| {
            checkpoint.contains(&weight(&format!("{}{}", prefix(number), naming.q)))
        };
        let naming = blueprint
            .layer_namings()
            .into_iter()
            .find(|naming| has(checkpoint, 0, naming))
            .unwrap_or(blueprint.layer_namings()[0]);
        // At least one, so that a checkpoint without any is told what it lacks.
        let count = (0..).take_while(|&n| has(checkpoint, n, naming)).count().max(1);
        let parts = OptionalTensors::of(blueprint, checkpoint, &prefix(0), naming);
        let layers = (0..count)
            .map(|n| DecoderLayer::take(blueprint, parts, checkpoint, &prefix(n), naming))
            .collect::<Result<_, _>>()?;
        checkpoint.refuse_unclaimed(|name| {
            let is_part = |rest: &str| PARTS.contains(&rest.split('.').next().unwrap_or_default());
            let rest = name.strip_prefix(sampler.as_str());
            rest.is_some_and(|rest| !sampler.is_empty() || is_part(rest))
                && !name.ends_with("rotary_emb.inv_freq")
        })?;
        Ok(Self { norm_embed, norm_hidden, norm_post, down_project, layers })
    }

    /// All tensors, in no particular order.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.norm_embed, &self.norm_hidden, &self.norm_post]
            .into_iter()
            .chain(self.down_project.tensors())
            .chain(self.layers.iter().flat_map(DecoderLayer::tensors))
    }

    /// The matrices of its layers.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(DecoderLayer::matrices)
    }
}

impl Head {
    /// Claims the head of a model with this embedding table.
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
        table: &Tensor,
    ) -> Result<Self, ExportError> {
        let weight = take_matrix(blueprint, checkpoint, Self::matrix(blueprint), table)?;
        let (transform, bias) = Self::take_others(blueprint, checkpoint)?;
        Ok(Self { transform, output: Linear { weight, bias } })
    }

    /// Name of the matrix, [V, E].
    pub(crate) fn matrix(blueprint: &Blueprint) -> &'static str {
        match &blueprint.body {
            Body::Decoder(names) => names.head,
            Body::Encoder(encoder) => encoder.names.output,
        }
    }

    /// Claims all but the matrix: what comes before it, and its bias.
    pub(crate) fn take_others(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<(Option<Transform>, Option<Tensor>), ExportError> {
        let Body::Encoder(encoder) = &blueprint.body else { return Ok((None, None)) };
        let transform = Transform::take(blueprint, encoder, checkpoint)?;
        let bias = encoder.biases.output.then(|| encoder.take_output_bias(blueprint, checkpoint));
        Ok((Some(transform), bias.transpose()?))
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.output.tensors().chain(self.transform.iter().flat_map(Transform::tensors))
    }
}

/// The head's matrix: the embedding table where the two are tied. If the checkpoint holds another one all the same, Transformers 5
/// uses that one; LLaDA's own code does not, so that there it is an error.
fn take_matrix(
    blueprint: &Blueprint,
    checkpoint: &mut Checkpoint,
    name: &str,
    table: &Tensor,
) -> Result<Tensor, ExportError> {
    let name = weight(name);
    if blueprint.tied && !checkpoint.contains(&name) {
        return Ok(table.clone());
    }
    let matrix = checkpoint.take(&name, &table.shape)?;
    if blueprint.tied && matrix.equals(table)? {
        return Ok(table.clone());
    }
    match blueprint.family {
        Family::Llada if blueprint.tied => {
            Err(ExportError::TwoHeads { path: matrix.file, key: "weight_tying", tensor: name })
        }
        _ => Ok(matrix),
    }
}

/// Which parts the layers of a checkpoint have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalTensors {
    pub(crate) qkv_bias: bool,
    pub(crate) qk_norm: bool,
}

impl OptionalTensors {
    /// Those of the frozen model; of an encoder, those of the decoder layers that go with it.
    pub(crate) fn of_base(blueprint: &Blueprint, checkpoint: &Checkpoint) -> Self {
        match &blueprint.body {
            Body::Decoder(names) => {
                Self::of(blueprint, checkpoint, &format!("{}0.", names.layers), &names.layer)
            }
            Body::Encoder(encoder) => Self { qkv_bias: encoder.biases.attention, qk_norm: false },
        }
    }

    /// Those of the layer with this prefix, and so of all.
    fn of(
        blueprint: &Blueprint,
        checkpoint: &Checkpoint,
        prefix: &str,
        names: &LayerNames,
    ) -> Self {
        let has = |tensor: String| move || checkpoint.contains(&tensor);
        let bias = has(format!("{prefix}{}.bias", names.q));
        let norm = has(weight(&format!("{prefix}{}", names.q_norm)));
        Self {
            qkv_bias: blueprint.qkv_bias.is_there(bias),
            qk_norm: blueprint.qk_norm.is_there(norm),
        }
    }
}

impl DecoderLayer {
    fn take(
        blueprint: &Blueprint,
        OptionalTensors { qkv_bias, qk_norm }: OptionalTensors,
        checkpoint: &mut Checkpoint,
        prefix: &str,
        names: &LayerNames,
    ) -> Result<Self, ExportError> {
        let width = blueprint.hidden_size;
        let (q_width, kv_width) =
            (blueprint.heads * blueprint.head_dim, blueprint.kv_heads * blueprint.head_dim);
        let ffn = blueprint.ffn_size;
        let full = |name: &str| format!("{prefix}{name}");

        let mut norm = |name, size| checkpoint.take(&weight(&full(name)), &[size]);
        let attention_norm = norm(names.attention_norm, width)?;
        let ffn_norm = norm(names.ffn_norm, width)?;
        let qk_norm = if qk_norm {
            let head_dim = blueprint.head_dim;
            Some((norm(names.q_norm, head_dim)?, norm(names.k_norm, head_dim)?))
        } else {
            None
        };
        let mut linear =
            |name, out, input, bias| Linear::take(checkpoint, &full(name), [out, input], bias);
        Ok(Self {
            attention_norm,
            q: linear(names.q, q_width, width, qkv_bias)?,
            k: linear(names.k, kv_width, width, qkv_bias)?,
            v: linear(names.v, kv_width, width, qkv_bias)?,
            o: linear(names.o, width, q_width, false)?,
            qk_norm,
            ffn_norm,
            gate: linear(names.gate, ffn, width, false)?,
            up: linear(names.up, ffn, width, false)?,
            down: linear(names.down, width, ffn, false)?,
        })
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let norms = self.qk_norm.iter().flat_map(|(q, k)| [q, k]);
        [&self.attention_norm, &self.ffn_norm]
            .into_iter()
            .chain(norms)
            .chain(self.linears().into_iter().flat_map(Linear::tensors))
    }

    fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        self.linears().into_iter().map(|linear| &linear.weight)
    }

    fn linears(&self) -> [&Linear; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }
}

impl Linear {
    pub(crate) fn take(
        checkpoint: &mut Checkpoint,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Self, ExportError> {
        let weight = checkpoint.take(&weight(name), &shape)?;
        let bias =
            bias.then(|| checkpoint.take(&format!("{name}.bias"), &shape[..1])).transpose()?;
        Ok(Self { weight, bias })
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

pub(crate) fn weight(name: &str) -> String {
    format!("{name}.weight")
}
