//! A Qwen2-style decoder layer with bidirectional attention. The model and the sampler layer both use it.

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::DreamConfig;

/// The bias that hides a key: far below any score.
pub(crate) const UNSEEN: f32 = -1e30;

/// Bidirectional grouped-query self-attention: every position attends to every other.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, `D → heads · d`, with a bias if the model has one.
    pub q_proj: Linear,
    /// Keys, `D → kv_heads · d`, likewise.
    pub k_proj: Linear,
    /// Values, `D → kv_heads · d`, likewise.
    pub v_proj: Linear,
    /// Output, `heads · d → D`, without bias.
    pub o_proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
}

/// The SwiGLU feed-forward network, `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Gate, `D → F`.
    pub gate_proj: Linear,
    /// Up, `D → F`.
    pub up_proj: Linear,
    /// Down, `F → D`.
    pub down_proj: Linear,
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Norm before the attention.
    pub input_layernorm: RmsNorm,
    /// The attention.
    pub self_attn: Attention,
    /// Norm before the feed-forward network.
    pub post_attention_layernorm: RmsNorm,
    /// The feed-forward network.
    pub mlp: Mlp,
}

/// The rotary embedding's cosines and sines, each [1, 1, T, d], or [B, 1, S, d] at chosen positions.
#[derive(Clone, Debug)]
pub struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

/// Keys and values of some positions, each [B, kv_heads, S, d], the keys rotated.
#[derive(Clone, Debug)]
pub struct KeysValues {
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl KeysValues {
    /// These positions, then those of `other`.
    pub fn then(self, other: &Self) -> Self {
        Self {
            keys: Tensor::cat(vec![self.keys, other.keys.clone()], 2),
            values: Tensor::cat(vec![self.values, other.values.clone()], 2),
        }
    }

    /// The first `count` positions.
    pub fn first(&self, count: usize) -> Self {
        Self {
            keys: self.keys.clone().narrow(2, 0, count),
            values: self.values.clone().narrow(2, 0, count),
        }
    }
}

impl Rotary {
    /// The table of positions `0..length` for `config`'s head size and θ, on `device`.
    pub fn new(config: &DreamConfig, length: usize, device: &Device) -> Self {
        let half = config.head_dim() / 2;
        let angles = |f: fn(f64) -> f64| -> Tensor<4> {
            let table: Vec<f32> = (0..length)
                .flat_map(|t| (0..2 * half).map(move |i| (t, i % half)))
                .map(|(t, i)| {
                    f(t as f64 * config.rope_theta.powf(-(i as f64) / half as f64)) as f32
                })
                .collect();
            Tensor::from_data(TensorData::new(table, [1, 1, length, 2 * half]), device)
        };
        Self { cos: angles(f64::cos), sin: angles(f64::sin) }
    }

    /// The rows of the table [1, 1, T, d] at positions [B · S]: [B, 1, S, d].
    pub fn at(&self, positions: Tensor<1, Int>, batch: usize) -> Self {
        let [.., width] = self.cos.dims();
        let select = |table: &Tensor<4>| -> Tensor<4> {
            let rows = table.clone().select(2, positions.clone());
            rows.reshape([batch, 1, positions.dims()[0] / batch, width])
        };
        Self { cos: select(&self.cos), sin: select(&self.sin) }
    }

    /// The rows of all positions, and the same rows again.
    pub fn twice(&self) -> Self {
        let twice = |table: &Tensor<4>| Tensor::cat(vec![table.clone(), table.clone()], 2);
        Self { cos: twice(&self.cos), sin: twice(&self.sin) }
    }

    /// The rows from row `from` on.
    pub fn from(&self, from: usize) -> Self {
        let narrow = |table: &Tensor<4>| table.clone().narrow(2, from, table.dims()[2] - from);
        Self { cos: narrow(&self.cos), sin: narrow(&self.sin) }
    }

    /// Rotates `x` [B, H, T, d], the first half of d paired with the second.
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.clone().narrow(3, half, half);
        x * self.cos.clone() + Tensor::cat(vec![second.neg(), first], 3) * self.sin.clone()
    }
}

impl Attention {
    fn new(config: &DreamConfig, device: &Device) -> Self {
        let (width, head) = (config.hidden_size, config.head_dim());
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        Self {
            q_proj: linear(width, heads * head, config.qkv_bias, device),
            k_proj: linear(width, kv_heads * head, config.qkv_bias, device),
            v_proj: linear(width, kv_heads * head, config.qkv_bias, device),
            o_proj: linear(heads * head, width, false, device),
            heads,
            kv_heads,
        }
    }

    /// Keys and values of rows `x` [B, S, D].
    fn keys_values(&self, x: Tensor<3>, rotary: &Rotary) -> KeysValues {
        KeysValues {
            keys: rotary.apply(by_head(self.k_proj.forward(x.clone()), self.kv_heads)),
            values: by_head(self.v_proj.forward(x), self.kv_heads),
        }
    }

    /// Attention of rows `x` [B, S, D] over `context`; `bias` [B or 1, 1, 1 or S, ·] is added to the scores.
    fn attend(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        context: KeysValues,
        bias: Option<&Tensor<4>>,
    ) -> Tensor<3> {
        let [batch, length, _] = x.dims();
        let query = rotary.apply(by_head(self.q_proj.forward(x), self.heads));
        let head = query.dims()[3];
        // The query heads of one key head are consecutive: stack them along the positions.
        let group = self.heads / self.kv_heads;
        let query = query.mul_scalar(1.0 / (head as f32).sqrt()).reshape([
            batch,
            self.kv_heads,
            group * length,
            head,
        ]);
        let scores = query.matmul(context.keys.swap_dims(2, 3));
        let scores = match bias {
            Some(bias) if bias.dims()[2] > 1 => scores + bias.clone().repeat_dim(2, group),
            Some(bias) => scores + bias.clone(),
            None => scores,
        };
        let mixed = softmax(scores, 3).matmul(context.values);
        let mixed = mixed.reshape([batch, self.heads, length, head]).swap_dims(1, 2);
        self.o_proj.forward(mixed.reshape([batch, length, self.heads * head]))
    }
}

/// [B, S, heads · d] → [B, heads, S, d].
fn by_head(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

impl DecoderLayer {
    /// A layer of `config`'s sizes with all weights zero; see [`init`](super::init()).
    pub fn new(config: &DreamConfig, device: &Device) -> Self {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        Self {
            input_layernorm: rms_norm(config, device),
            self_attn: Attention::new(config, device),
            post_attention_layernorm: rms_norm(config, device),
            mlp: Mlp {
                gate_proj: linear(width, inner, false, device),
                up_proj: linear(width, inner, false, device),
                down_proj: linear(inner, width, false, device),
            },
        }
    }

    /// Maps `x` [B, T, D] to [B, T, D].
    pub fn forward(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let context = self.keys_values(x.clone(), rotary);
        self.attend(x, rotary, context, None)
    }

    /// Keys and values of the inputs `x` [B, S, D] at the positions of `rotary`.
    pub fn keys_values(&self, x: Tensor<3>, rotary: &Rotary) -> KeysValues {
        self.self_attn.keys_values(self.input_layernorm.forward(x), rotary)
    }

    /// Maps rows `x` [B, S, D] at the positions of `rotary` to [B, S, D]. The rows attend only to the positions of
    /// `context`. `bias` [B or 1, 1, 1 or S, ·] is added to the attention scores.
    pub fn attend(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        context: KeysValues,
        bias: Option<&Tensor<4>>,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(x.clone());
        let x = x + self.self_attn.attend(normed, rotary, context, bias);
        let normed = self.post_attention_layernorm.forward(x.clone());
        let gated =
            silu(self.mlp.gate_proj.forward(normed.clone())) * self.mlp.up_proj.forward(normed);
        x + self.mlp.down_proj.forward(gated)
    }
}

pub(crate) fn rms_norm(config: &DreamConfig, device: &Device) -> RmsNorm {
    RmsNormConfig::new(config.hidden_size).with_epsilon(config.rms_norm_eps).init(device)
}

pub(crate) fn linear(input: usize, output: usize, bias: bool, device: &Device) -> Linear {
    LinearConfig::new(input, output)
        .with_bias(bias)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn rotation_preserves_lengths_and_depends_on_distance_only() {
        let device = Device::default();
        let rotary = Rotary::new(&DreamConfig::tiny(), 6, &device);
        let one = |seed| {
            device.seed(seed);
            let x = Tensor::<4>::random([1, 1, 1, 4], Distribution::Normal(0.0, 1.0), &device);
            rotary.apply(x.repeat_dim(2, 6))
        };
        let (query, key) = (one(1), one(2));
        // The same query and key at every position: their product at (s, t) is a function of s − t.
        let products: Vec<f32> =
            query.clone().matmul(key.swap_dims(2, 3)).into_data().iter().collect();
        for s in 1..6 {
            for t in 1..6 {
                assert!((products[s * 6 + t] - products[(s - 1) * 6 + t - 1]).abs() < 1e-5);
            }
        }
        assert!((products[1] - products[2]).abs() > 1e-3);
        let lengths: Vec<f32> = query.square().sum_dim(3).into_data().iter().collect();
        assert!(lengths.iter().all(|l| (l - lengths[0]).abs() < 1e-5));
    }

    #[test]
    fn a_layer_of_zero_weights_is_the_identity() {
        let device = Device::default();
        let config = DreamConfig::tiny();
        let x = Tensor::<3>::random([2, 5, 16], Distribution::Normal(0.0, 1.0), &device);
        let rotary = Rotary::new(&config, 5, &device);
        let y = DecoderLayer::new(&config, &device).forward(x.clone(), &rotary);
        assert_eq!(x.to_data(), y.to_data());
    }
}
