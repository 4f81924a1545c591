//! Values of a graph under construction.

/// A tensor of the graph, by its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value(pub(crate) String);

/// Activations in 8 bits: x ≈ (codes − 128) · scales.
#[derive(Debug, Clone)]
pub(crate) struct CodedRows {
    /// u8 [N, in].
    pub(crate) codes: Value,
    /// f32 [N, 1].
    pub(crate) scales: Value,
}
