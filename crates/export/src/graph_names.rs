//! File names of the graphs.

pub(crate) const BACKBONE: &str = "backbone.onnx";
pub(crate) const HEAD: &str = "head.onnx";
/// File name of the top-K head's graph.
pub(crate) const HEAD_TOP: &str = "head-top.onnx";
/// File name of the graph of a sampler layer over whole sequences.
pub(crate) const SAMPLER: &str = "sampler.onnx";
/// File name of the first graph of a sampler layer over rows.
pub(crate) const SAMPLER_CONTEXT: &str = "sampler-context.onnx";
/// File name of the second graph of a sampler layer over rows.
pub(crate) const SAMPLER_ROWS: &str = "sampler-rows.onnx";

/// File names of the graphs that not every export has.
pub(crate) const OPTIONAL: [&str; 4] = [SAMPLER, SAMPLER_CONTEXT, SAMPLER_ROWS, HEAD_TOP];
