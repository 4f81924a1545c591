//! A small builder of ONNX graphs. Values are names, and every node gets a unique one.

use std::collections::{HashMap, HashSet};

use conjoint_format::DType;
use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::{
    AttributeProto, DimensionProto, EXTERNAL, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto, attribute, element,
};
use conjoint_format::quantised_weights::name_of_use;

use crate::store::{Matrix, Store, Stored};
use crate::value::{CodedRows, Value};

/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// A dimension of an input or output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, with a name. Equal names mean equal sizes.
    Any(&'static str),
}

/// The value of a node's attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
}

/// A graph under construction.
pub(crate) struct Graph<'a> {
    proto: GraphProto,
    /// Prefix of the names of nodes and their outputs, such as `layers.3`.
    scope: String,
    known: HashSet<String>,
    /// The files of weights.
    store: &'a dyn Store,
    /// Activations in 8 bits, by the name of their float value.
    coded: HashMap<String, CodedRows>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(name: &str, store: &'a dyn Store) -> Self {
        Self {
            proto: GraphProto { name: name.into(), ..GraphProto::default() },
            scope: name.into(),
            known: HashSet::new(),
            store,
            coded: HashMap::new(),
        }
    }

    /// Begins a part of the graph whose nodes are named after it.
    pub(crate) fn scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// Declares an input.
    pub(crate) fn input(&mut self, name: &str, element: i32, dims: &[Dim]) -> Value {
        self.proto.input.push(value_info(name, element, dims));
        self.known.insert(name.into());
        Value(name.into())
    }

    /// Declares a float32 output. The value gets this name everywhere.
    pub(crate) fn output(&mut self, value: Value, name: &str, dims: &[Dim]) {
        self.output_of(element::FLOAT, value, name, dims);
    }

    /// Declares an output of an element type.
    pub(crate) fn output_of(&mut self, element: i32, value: Value, name: &str, dims: &[Dim]) {
        for node in &mut self.proto.node {
            for used in node.input.iter_mut().chain(&mut node.output) {
                if *used == value.0 {
                    *used = name.into();
                }
            }
        }
        self.proto.output.push(value_info(name, element, dims));
    }

    /// Adds a node without attributes.
    pub(crate) fn op(&mut self, op: &str, inputs: &[&Value]) -> Value {
        self.node(op, inputs, &[])
    }

    /// Adds a node with one output.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        self.node_of("", op, inputs, attributes)
    }

    /// Adds a node with an operator of another domain and one output.
    pub(crate) fn node_of(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let [output] = self.add(domain, op, inputs, attributes);
        output
    }

    /// Adds a node with N outputs.
    pub(crate) fn nodes<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> [Value; N] {
        self.add("", op, inputs, attributes)
    }

    fn add<const N: usize>(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> [Value; N] {
        let name = format!("{}/{op}.{}", self.scope, self.proto.node.len());
        let outputs: [Value; N] = std::array::from_fn(|at| match at {
            0 => Value(name.clone()),
            at => Value(format!("{name}.{at}")),
        });
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: outputs.iter().map(|value| value.0.clone()).collect(),
            name,
            op_type: op.into(),
            domain: domain.into(),
            attribute: attributes.iter().map(attribute_proto).collect(),
        });
        outputs
    }

    /// A weight, cast to float32.
    ///
    /// ONNX Runtime casts it once, when it loads the graph.
    pub(crate) fn weight(&mut self, tensor: &Tensor) -> Value {
        let stored = self.stored_weight(tensor);
        self.widen(stored, tensor.dtype)
    }

    /// A weight in its type on disk. It stays in its file, and the graph refers to it.
    pub(crate) fn stored_weight(&mut self, tensor: &Tensor) -> Value {
        let stored = self.store.tensor(tensor);
        self.external(&stored)
    }

    /// The form of a matrix.
    pub(crate) fn matrix(&self, tensor: &Tensor) -> Matrix {
        self.store.matrix(tensor)
    }

    /// A tensor of a file.
    pub(crate) fn external(&mut self, stored: &Stored) -> Value {
        if self.known.insert(stored.name.clone()) {
            self.push_external(stored, stored.name.clone());
        }
        Value(stored.name.clone())
    }

    /// A tensor of a file, under a name that no other node uses.
    pub(crate) fn own_external(&mut self, stored: &Stored) -> Value {
        let mut names = (1..).map(|number| name_of_use(&stored.name, number));
        let name = names.find(|name| self.known.insert(name.clone()));
        let name = name.expect("names do not end");
        self.push_external(stored, name.clone());
        Value(name)
    }

    fn push_external(&mut self, stored: &Stored, name: String) {
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
        self.proto.initializer.push(TensorProto {
            dims: stored.dims.iter().map(|&size| size as i64).collect(),
            data_type: stored.element,
            name,
            raw_data: None,
            external_data: vec![
                entry("location", stored.location.clone()),
                entry("offset", stored.offset.to_string()),
                entry("length", stored.length.to_string()),
            ],
            data_location: Some(EXTERNAL),
        });
    }

    /// The 8-bit form of a value, if it was added by [`insert_coded`](Self::insert_coded).
    pub(crate) fn coded(&self, value: &Value) -> Option<CodedRows> {
        self.coded.get(&value.0).cloned()
    }

    /// Stores the 8-bit form of a value for further products.
    pub(crate) fn insert_coded(&mut self, value: &Value, rows: CodedRows) -> CodedRows {
        self.coded.insert(value.0.clone(), rows.clone());
        rows
    }

    /// A value of a weight's type in float32.
    pub(crate) fn widen(&mut self, value: Value, dtype: DType) -> Value {
        match dtype {
            DType::Float32 => value,
            _ => self.cast(&value, element::FLOAT),
        }
    }

    /// A value in another element type.
    pub(crate) fn cast(&mut self, value: &Value, element: i32) -> Value {
        self.node("Cast", &[value], &[("to", Attribute::Int(element.into()))])
    }

    /// A constant vector of integers: shapes, axes, indices.
    pub(crate) fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("ints{values:?}").replace(' ', "");
        self.constant(name, element::INT64, &[values.len()], bytes)
    }

    /// A constant integer.
    pub(crate) fn int(&mut self, value: i64) -> Value {
        self.constant(format!("int({value})"), element::INT64, &[], value.to_le_bytes().into())
    }

    /// A constant number.
    pub(crate) fn float(&mut self, value: f32) -> Value {
        self.constant(format!("float({value:e})"), element::FLOAT, &[], value.to_le_bytes().into())
    }

    /// A constant byte.
    pub(crate) fn byte(&mut self, value: u8) -> Value {
        self.constant(format!("byte({value})"), element::UINT8, &[], vec![value])
    }

    /// A named constant vector of numbers.
    pub(crate) fn floats(&mut self, name: &str, values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name.into(), element::FLOAT, &[values.len()], bytes)
    }

    /// A constant inside the graph; equal names must mean equal values.
    fn constant(&mut self, name: String, element: i32, dims: &[usize], bytes: Vec<u8>) -> Value {
        if self.known.insert(name.clone()) {
            self.proto.initializer.push(TensorProto {
                dims: dims.iter().map(|&size| size as i64).collect(),
                data_type: element,
                name: name.clone(),
                raw_data: Some(bytes),
                ..TensorProto::default()
            });
        }
        Value(name)
    }

    /// The finished model, for these versions of ONNX's file format and operator set.
    pub(crate) fn finish(self, ir_version: i64, opset: i64, doc: &str) -> ModelProto {
        let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        if self.proto.node.iter().any(|node| node.domain == MICROSOFT) {
            opset_import.push(OperatorSetIdProto { domain: MICROSOFT.into(), version: 1 });
        }
        ModelProto {
            ir_version,
            producer_name: "conjoint".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: doc.into(),
            graph: Some(self.proto),
            opset_import,
        }
    }
}

fn attribute_proto((name, value): &(&str, Attribute)) -> AttributeProto {
    let mut proto = AttributeProto { name: (*name).into(), ..AttributeProto::default() };
    match *value {
        Attribute::Int(value) => (proto.r#type, proto.i) = (attribute::INT, Some(value)),
        Attribute::Float(value) => (proto.r#type, proto.f) = (attribute::FLOAT, Some(value)),
        Attribute::Ints(values) => (proto.r#type, proto.ints) = (attribute::INTS, values.into()),
    }
    proto
}

fn value_info(name: &str, element: i32, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|&dim| match dim {
            Dim::Fixed(size) => DimensionProto { dim_value: Some(size as i64), dim_param: None },
            Dim::Any(name) => DimensionProto { dim_value: None, dim_param: Some(name.into()) },
        })
        .collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TensorTypeProto { elem_type: element, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}
