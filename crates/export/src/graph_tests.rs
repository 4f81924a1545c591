//! Properties of every graph, tested on the graphs of the fixtures.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use conjoint_format::proto::{EXTERNAL, GraphProto, ModelProto, TensorProto, element};
use conjoint_format::quantised_weights::stored_name;
use prost::Message;

use crate::{ExportOptions, Operators, Quantisation, SamplerForm, export};

fn fixture(name: &str) -> PathBuf {
    conjoint_models::fixture(name)
}

/// Both sets of operators, and all forms of weights.
const KINDS: [(Operators, Option<Quantisation>); 4] = [
    (Operators::Fused, None),
    (Operators::Portable, None),
    (Operators::Fused, Some(Quantisation::Int8)),
    (Operators::Fused, Some(Quantisation::Int4)),
];

/// Calls `check` with a label, the folder and the graph, for all graphs of all fixtures in all forms.
fn for_every_graph(mut check: impl FnMut(&str, &Path, &ModelProto)) {
    for (checkpoint, sampler) in [
        ("dream-tiny", Some(("adjust-dream-tiny", SamplerForm::Sequence))),
        ("dream-tiny", Some(("adjust-dream-tiny", SamplerForm::Rows))),
        ("dream-tied-bf16-sharded", None),
        ("llada-tiny", None),
        ("bert-tiny", None),
        ("bert-untied", None),
        ("albert-tiny", Some(("adjust-albert-tiny", SamplerForm::Sequence))),
        ("albert-tiny", Some(("adjust-albert-tiny", SamplerForm::Rows))),
        ("modernbert-tiny", None),
        ("modernbert-biased", None),
    ] {
        for (operators, quantisation) in KINDS {
            let out = tempfile::tempdir().unwrap();
            let mut options = ExportOptions::new(fixture(checkpoint));
            options.sampler = sampler.map(|(name, _)| fixture(name));
            options.passes = sampler.map(|(_, passes)| passes);
            options.out = Some(out.path().into());
            options.operators = operators;
            options.quantisation = quantisation;
            options.head_top = Some(8);
            let graphs = export(&options).unwrap().graphs;
            for name in graphs.names() {
                let bytes = fs::read(out.path().join(name)).unwrap();
                let model = ModelProto::decode(&*bytes).unwrap();
                assert_eq!(model.encode_to_vec(), bytes, "decoding loses nothing");
                let kind = quantisation.map_or_else(|| "plain".into(), |q| q.to_string());
                check(&format!("{checkpoint} {operators:?} {kind} {name}"), out.path(), &model);
            }
        }
    }
}

fn graph(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

#[test]
fn every_value_is_defined_once_before_its_use() {
    for_every_graph(|label, _, model| {
        let graph = graph(model);
        let mut known = HashSet::new();
        let inputs = graph.input.iter().map(|input| &input.name);
        for name in inputs.chain(graph.initializer.iter().map(|tensor| &tensor.name)) {
            assert!(known.insert(name), "{label}: {name} twice");
        }
        let mut nodes = HashSet::new();
        for node in &graph.node {
            assert!(nodes.insert(&node.name), "{label}: {} twice", node.name);
            for input in &node.input {
                assert!(known.contains(input), "{label}: {} needs {input}", node.name);
            }
            for output in &node.output {
                assert!(known.insert(output), "{label}: {output} twice");
            }
        }
        for output in &graph.output {
            assert!(known.contains(&output.name), "{label}: {} is never computed", output.name);
        }
    });
}

#[test]
fn no_value_or_tensor_is_unused() {
    for_every_graph(|label, _, model| {
        let graph = graph(model);
        let outputs = graph.output.iter().map(|output| &output.name);
        let used: HashSet<_> =
            graph.node.iter().flat_map(|node| &node.input).chain(outputs).collect();
        let inputs = graph.input.iter().map(|input| &input.name);
        let stored = graph.initializer.iter().map(|tensor| &tensor.name);
        for name in inputs.chain(stored) {
            assert!(used.contains(name), "{label}: {name} is never used");
        }
        for node in &graph.node {
            let useful = node.output.iter().any(|output| used.contains(output));
            assert!(useful, "{label}: {} is never used", node.name);
        }
    });
}

#[test]
fn weights_are_external_and_only_constants_are_in_the_graph() {
    for_every_graph(|label, folder, model| {
        for tensor in &graph(model).initializer {
            let size = match tensor.data_type {
                element::INT64 => 8,
                element::FLOAT => 4,
                element::FLOAT16 | element::BFLOAT16 => 2,
                element::INT8 | element::UINT8 => 1,
                other => panic!("{label}: {} has type {other}", tensor.name),
            };
            let bytes = tensor.dims.iter().product::<i64>() as u64 * size;
            if tensor.data_location != Some(EXTERNAL) {
                let data = tensor.raw_data.as_ref().unwrap();
                assert_eq!(data.len() as u64, bytes, "{label}: {}", tensor.name);
                assert!(bytes < 1024, "{label}: {} should be external", tensor.name);
                continue;
            }
            let external = external(tensor);
            let file = fs::metadata(folder.join(&external["location"])).unwrap();
            let (offset, length): (u64, u64) =
                (external["offset"].parse().unwrap(), external["length"].parse().unwrap());
            assert_eq!(length, bytes, "{label}: {}", tensor.name);
            assert!(offset >= 8 && offset + length <= file.len(), "{label}: {}", tensor.name);
        }
    });
}

fn external(tensor: &TensorProto) -> BTreeMap<String, String> {
    let entries = tensor.external_data.iter();
    entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

#[test]
fn backbone_head_and_sampler_use_their_own_weights() {
    for_every_graph(|label, _, model| {
        let weights: Vec<_> = graph(model)
            .initializer
            .iter()
            .filter(|tensor| tensor.data_location == Some(EXTERNAL))
            .map(|tensor| tensor.name.as_str())
            .filter(|name| !name.ends_with(".scales") && !name.ends_with(".zeros"))
            .collect();
        let is_layer =
            |name: &&str| ["layer.", "layers.", "groups."].iter().any(|p| name.contains(p));
        if label.contains(" head") {
            let head_tensors = if label.contains("bert") { 3..=6 } else { 1..=1 };
            assert!(head_tensors.contains(&weights.len()), "{label}: {weights:?}");
            assert!(!weights.iter().any(is_layer), "{label}: {weights:?}");
        }
        if label.contains(" sampler") {
            let own = weights.iter().filter(|name| name.starts_with("drafter.")).count();
            // Plus the two tensors of the map of a factorised embedding.
            let shared = if label.contains("albert") { 3 } else { 1 };
            assert_eq!(own + shared, weights.len(), "{label}: the embedding table is shared");
        }
        if label.ends_with("backbone.onnx") {
            assert!(!weights.iter().any(|name| name.starts_with("lm_head")), "{label}");
        }
    });
}

/// Exceptions are a sampler layer's first projection, an encoder's small tables, and the maps outside of its
/// layers.
#[test]
fn matrices_of_a_quantised_graph_are_quantised() {
    for_every_graph(|label, _, model| {
        let floats = [element::FLOAT, element::FLOAT16, element::BFLOAT16];
        let exceptions = [
            "down_project",
            "position_embeddings",
            "token_type_embeddings",
            "mapping_in",
            "transform.dense",
            "predictions.dense",
            "head.dense",
        ];
        let graph = graph(model);
        let matrices = graph
            .initializer
            .iter()
            .filter(|tensor| tensor.dims.len() > 1 && floats.contains(&tensor.data_type));
        let unquantised: Vec<_> = matrices
            .map(|tensor| tensor.name.as_str())
            .filter(|name| {
                !name.ends_with(".scales") && !exceptions.iter().any(|o| name.contains(o))
            })
            .collect();
        assert_eq!(unquantised.is_empty(), !label.contains("plain"), "{label}: {unquantised:?}");
        let has = |op: &str| graph.node.iter().any(|node| node.op_type == op);
        let has_layers = !label.contains(" head");
        assert_eq!(has("MatMulNBits"), has_layers && label.contains("int4"), "{label}");
        let integers = label.contains("int8") || label.contains("int4") && !has_layers;
        assert_eq!(has("QGemm"), integers, "{label}");
        let imports = model.opset_import.iter().map(|import| import.domain.as_str());
        let own = imports.filter(|domain| *domain == "com.microsoft").count();
        assert_eq!(own == 1, !label.contains("plain"), "{label}");
    });
}

/// ONNX Runtime replaces both on processors without VNNI instructions, and fails if another product uses them.
#[test]
fn integer_products_share_neither_codes_nor_zero_points() {
    let mut repeated = 0;
    for_every_graph(|label, _, model| {
        let graph = graph(model);
        let (mut names, mut stored) = (HashSet::new(), HashSet::new());
        for node in graph.node.iter().filter(|node| node.op_type == "QGemm") {
            for name in [&node.input[3], &node.input[5]] {
                assert!(names.insert(name), "{label}: {name} in two products");
                let tensor = graph.initializer.iter().find(|tensor| tensor.name == *name).unwrap();
                let (place, own) = (external(tensor), stored_name(name));
                repeated += usize::from(!stored.insert((own, place["offset"].clone())));
            }
        }
        let sharing = label.contains("albert") && !label.contains("head");
        assert!(
            sharing || names.iter().all(|name| stored_name(name) == *name),
            "{label}: {names:?}"
        );
    });
    assert!(repeated > 0, "layers of ALBERT point to the same bytes");
}

#[test]
fn portable_graphs_have_no_fused_operators() {
    let fused = ["Attention", "RMSNormalization", "RotaryEmbedding", "Gelu"];
    for_every_graph(|label, _, model| {
        let has = |op: &str| graph(model).node.iter().any(|node| node.op_type == op);
        let has_layers = !label.contains(" head");
        // The context of a single layer is computed without attention.
        let attends = |op| op != "Attention" || !label.contains(" sampler-context");
        let is_encoder = label.contains("bert") && !label.contains(" sampler");
        for op in fused {
            let expected = match op {
                "Attention" => has_layers && attends(op),
                "RMSNormalization" => has_layers && !is_encoder,
                "RotaryEmbedding" => has_layers && (!is_encoder || label.contains("modernbert")),
                // The other encoders use the approximation of GELU, or other functions.
                _ => is_encoder && (label.contains("bert-tiny ") && !label.contains("albert")),
            };
            assert_eq!(has(op), expected && label.contains("Fused"), "{label}: {op}");
        }
        let opset = model.opset_import[0].version;
        assert_eq!(opset, if label.contains("Fused") { 23 } else { 18 }, "{label}");
    });
}
