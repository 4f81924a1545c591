//! The frozen model's output head: from hidden states to logits.

use burn::tensor::activation::{gelu, gelu_approximate, relu, silu};
use burn::tensor::{Device, Tensor, TensorData};
use conjoint_export::{Activation, HeadTables, HeadTransform, LayerSizes};

use crate::TrainError;

/// A frozen head: x → M t(x) + c, with t the identity for decoders and a small network for encoders.
#[derive(Clone, Debug)]
pub struct Head {
    transform: Option<Transform>,
    /// M, [V, E].
    matrix: Tensor<2>,
    /// c, `[V]`.
    bias: Option<Tensor<1>>,
}

/// t(x) = norm(f(W x + b)), from D to E.
#[derive(Clone, Debug)]
struct Transform {
    /// W, [E, D].
    dense: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
    /// Of the norm, as are the next two.
    gain: Tensor<1>,
    shift: Option<Tensor<1>>,
    eps: f32,
}

impl Head {
    /// A head that multiplies by `matrix` [V, D] and does nothing else.
    pub fn plain(matrix: Tensor<2>) -> Self {
        Self { transform: None, matrix, bias: None }
    }

    /// The head of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] for an activation that is not known here.
    pub fn read(
        tables: HeadTables,
        sizes: &LayerSizes,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let width = tables.matrix.len() / sizes.vocab_size;
        let of = |transform| Transform::read(transform, [width, sizes.hidden_size], device);
        Ok(Self {
            transform: tables.transform.map(of).transpose()?,
            matrix: matrix(tables.matrix, [sizes.vocab_size, width], device),
            bias: tables.bias.map(|values| vector(values, device)),
        })
    }

    /// Hidden states [N, D] → logits [N, V].
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let rows = match &self.transform {
            Some(transform) => transform.forward(hidden),
            None => hidden,
        };
        plus(rows.matmul(self.matrix.clone().transpose()), self.bias.as_ref())
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.matrix.device()
    }

    /// A copy on `device`.
    pub fn on(&self, device: &Device) -> Self {
        let transform = self.transform.as_ref().map(|transform| Transform {
            dense: transform.dense.clone().to_device(device),
            bias: on(transform.bias.as_ref(), device),
            gain: transform.gain.clone().to_device(device),
            shift: on(transform.shift.as_ref(), device),
            ..*transform
        });
        let matrix = self.matrix.clone().to_device(device);
        Self { transform, matrix, bias: on(self.bias.as_ref(), device) }
    }
}

impl Transform {
    fn read(of: HeadTransform, shape: [usize; 2], device: &Device) -> Result<Self, TrainError> {
        use Activation::{Gelu, GeluTanh, Relu, Silu};
        let known = matches!(of.activation, Gelu | GeluTanh | Relu | Silu);
        let name = format!("{:?}", of.activation);
        crate::config::check(known, "activation", name, "one that the trainer implements")?;
        Ok(Self {
            dense: matrix(of.dense, shape, device),
            bias: of.bias.map(|values| vector(values, device)),
            activation: of.activation,
            gain: vector(of.gain, device),
            shift: of.shift.map(|values| vector(values, device)),
            eps: of.eps,
        })
    }

    /// [N, D] → [N, E].
    fn forward(&self, hidden: Tensor<2>) -> Tensor<2> {
        let x = plus(hidden.matmul(self.dense.clone().transpose()), self.bias.as_ref());
        let x = match self.activation {
            Activation::GeluTanh => gelu_approximate(x),
            Activation::Relu => relu(x),
            Activation::Silu => silu(x),
            _ => gelu(x),
        };
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().square().mean_dim(1);
        let normed = centred / (variance + self.eps).sqrt() * self.gain.clone().unsqueeze();
        plus(normed, self.shift.as_ref())
    }
}

/// Rows [N, ·] plus a vector.
fn plus(rows: Tensor<2>, vector: Option<&Tensor<1>>) -> Tensor<2> {
    match vector {
        Some(vector) => rows + vector.clone().unsqueeze(),
        None => rows,
    }
}

fn on(vector: Option<&Tensor<1>>, device: &Device) -> Option<Tensor<1>> {
    vector.map(|vector| vector.clone().to_device(device))
}

fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Tables;
    use crate::testing::{self, fixture};

    /// Logits of transformers from its own hidden states, with each activation that heads have, with and without biases and tied.
    #[test]
    fn heads_of_encoders_agree_with_the_reference() {
        let device = Device::default();
        for name in
            ["bert-tiny", "bert-untied", "albert-tiny", "modernbert-tiny", "modernbert-biased"]
        {
            let tables = Tables::read(&fixture(name), &device).unwrap();
            let reference = fixture(name).join("reference.safetensors");
            let hidden = testing::tensor::<3>(&reference, "hidden", &device);
            let [batch, length, width] = hidden.dims();
            let head = tables.on(&device).head().clone();
            let logits = head.logits(hidden.reshape([batch * length, width]));
            let vocabulary = logits.dims()[1];
            let logits = logits.reshape([batch, length, vocabulary]);
            testing::assert_close(&logits, &reference, "logits", 1e-4);
        }
    }
}
