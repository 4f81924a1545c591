//! The speed of a matrix product on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ndarray::Array2;
use ort::editor::{Graph as Definition, Model, Node, ONNX_DOMAIN, Opset};
use ort::value::{Outlet, Shape, SymbolicDimensions, Tensor, TensorElementType, ValueType};

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::options::OnnxOptions;
use crate::session::Opener;

/// Measures the floating-point operations per second of a product [rows, inner] · [inner, columns] in float32 on ONNX
/// Runtime with these options: the fastest of several runs over at least a tenth of a second. A multiplication and an
/// addition are two operations.
///
/// No forward pass of a model with such matrices can be faster, so this is the limit to compare it with.
///
/// # Errors
/// [`Error::Graph`], and those of [`OnnxDenoiser::open`](crate::OnnxDenoiser::open) for the options.
#[doc(alias("GFLOP/s", "roofline"))]
pub fn product_rate(
    options: impl Into<OnnxOptions>,
    [rows, inner, columns]: [usize; 3],
) -> Result<f64, Error> {
    /// Few runs are not representative, many take long.
    const RUNS: [usize; 2] = [5, 200];
    const TIME: Duration = Duration::from_millis(100);
    let opener = Opener::new(options.into())?;
    let graph = product(&opener, [inner, columns])?;
    let x = graph.named(Tensor::from_array(([rows, inner], vec![0.5_f32; rows * inner])))?;
    let (x, mut y) = (x.into_dyn(), Array2::zeros((rows, columns)));
    let start = Instant::now();
    let mut best = Duration::MAX;
    for run in 0..RUNS[1] {
        let begin = Instant::now();
        graph.run_into(&[&x], &mut y)?;
        best = best.min(begin.elapsed());
        if run + 1 >= RUNS[0] && start.elapsed() > TIME {
            break;
        }
    }
    Ok(2.0 * (rows * inner * columns) as f64 / best.as_secs_f64())
}

/// A graph that multiplies rows [N, inner] by a constant matrix [inner, columns].
fn product(opener: &Opener, [inner, columns]: [usize; 2]) -> Result<Graph, Error> {
    let path = PathBuf::from("MatMul");
    let options = opener.builder()?;
    let session = (|| {
        let outlet = |name: &str, width: usize| {
            let (shape, dimension_symbols) =
                (Shape::new([-1, width as i64]), SymbolicDimensions::empty(2));
            let ty = TensorElementType::Float32;
            Outlet::new(name, ValueType::Tensor { ty, shape, dimension_symbols })
        };
        let mut graph = Definition::new()?;
        graph.set_inputs([outlet("x", inner)])?;
        graph.set_outputs([outlet("y", columns)])?;
        // A copy, because an initializer must be in memory of ONNX Runtime.
        let weight =
            Tensor::from_array(([inner, columns], vec![0.01_f32; inner * columns]))?.clone();
        graph.add_initializer("w", weight, false)?;
        graph.add_node(Node::new("MatMul", ONNX_DOMAIN, "y", ["x", "w"], ["y"], [])?)?;
        let mut model = Model::new([Opset::new(ONNX_DOMAIN, 18)?])?;
        model.set_graph(graph)?;
        model.into_session(&options)
    })();
    let session = session.map_err(|error: ort::Error| Error::graph(&path, error))?;
    opener.graph(path, session, Signature::new(&["x"], &["y"]))
}
