//! The frozen model's output head, which maps hidden states to logits.

use burn::tensor::activation::{gelu, gelu_approximate, relu, silu};
use burn::tensor::{Device, Tensor, TensorData};
use conjoint_format::{Activation, HeadTables, HeadTransform, LayerSizes};

use crate::error::{TrainError, check};

/// A frozen output head, x → M t(x) + c. The map t is the identity for decoders and a small network for encoders.
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
    /// Gain of the norm, as the next two fields are its shift and its ε.
    gain: Tensor<1>,
    shift: Option<Tensor<1>>,
    eps: f32,
}

impl Head {
    /// A head that only multiplies by `matrix` [V, D].
    pub fn plain(matrix: Tensor<2>) -> Self {
        Self { transform: None, matrix, bias: None }
    }

    /// Converts the head of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] if the trainer does not implement its activation.
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

    /// The weights' device.
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
        check(known, "activation", name, "gelu, gelu-tanh, relu or silu")?;
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

/// Adds a vector to each of the rows [N, ·].
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
