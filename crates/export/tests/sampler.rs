//! Exports of sampler layers.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_names, contents, copy, edit_tensors, fixture};
use conjoint_export::{ExportOptions, FormatError, Manifest, export};

const WEIGHTS: &str = "model.safetensors";

fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

#[test]
fn a_new_sampler_replaces_the_old_one() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        tensors.get_mut("drafter.down_project.0.bias").unwrap().2[0] ^= 1;
    });
    options.sampler = Some(sampler.path().into());
    export(&options).unwrap();
    let [old, new] = [&fixture("adjust-dream-tiny"), sampler.path()]
        .map(|folder| fs::read(folder.join(WEIGHTS)).unwrap());
    let now = fs::read(folder.path().join("sampler.safetensors")).unwrap();
    assert!(now == new && now != old);
}

/// The weights record the form in which they were trained. The options may override it.
#[test]
fn the_form_of_passes_is_the_recorded_or_the_requested_one() {
    use conjoint_export::SamplerForm::{Rows, Sequence};
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let file = sampler.path().join(WEIGHTS);
    let plain = fs::read(&file).unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    let mut form = |recorded: Option<&str>, requested| {
        let tensors = safetensors::SafeTensors::deserialize(&plain).unwrap();
        let metadata =
            recorded.map(|form| [("conjoint.passes".to_owned(), form.to_owned())].into());
        fs::write(&file, safetensors::serialize(tensors.tensors(), metadata).unwrap()).unwrap();
        options.passes = requested;
        export(&options).map(|manifest| {
            assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
            let files = names(folder.path());
            let graphs: Vec<&str> = manifest.graphs.names().collect();
            for graph in ["sampler.onnx", "sampler-context.onnx", "sampler-rows.onnx"] {
                let named = graphs.contains(&graph);
                assert_eq!(files.iter().any(|file| file == graph), named, "{graph}");
            }
            manifest.graphs.sampler_form().unwrap()
        })
    };
    for (recorded, requested, expected) in [
        (None, None, Sequence),
        (Some("rows"), None, Rows),
        (Some("sequence"), None, Sequence),
        (None, Some(Rows), Rows),
        (Some("rows"), Some(Sequence), Sequence),
    ] {
        assert_eq!(form(recorded, requested).unwrap(), expected, "{recorded:?} {requested:?}");
    }
    let message = form(Some("columns"), None).unwrap_err().to_string();
    assert!(message.contains("columns") && message.contains("sequence or rows"), "{message}");
}

#[test]
fn a_sampler_among_its_base_models_tensors_is_exported_on_request() {
    let folder = copy("dream-tiny");
    let mut drafter = common::Tensors::new();
    let adjust = copy("adjust-dream-tiny");
    edit_tensors(&adjust.path().join(WEIGHTS), |tensors| drafter = tensors.clone());
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| tensors.extend(drafter));
    // The base model's export leaves it out, with a note. The sampler's export ignores the base model.
    let alone = export(&ExportOptions::new(folder.path())).unwrap();
    let [note] = &alone.provenance.notes[..] else { panic!("{:?}", alone.provenance) };
    assert!(note.contains("drafter.norm_embed.0.weight") && note.contains("left out"), "{note}");
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(folder.path().into());
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.provenance.notes, [""; 0]);
    let names: Vec<_> = manifest.provenance.weights.iter().map(|file| &file.name).collect();
    assert_eq!(names, [WEIGHTS]);
    assert!(!folder.path().join("sampler.safetensors").exists());
}

/// A trainer may put a prefix before all names, or save the layer alone.
#[test]
fn a_samplers_names_may_have_a_prefix_or_none() {
    let mut plain = common::Tensors::new();
    edit_tensors(&copy("adjust-dream-tiny").path().join(WEIGHTS), |tensors| {
        plain = tensors.clone()
    });
    let mut base = common::Tensors::new();
    edit_tensors(&copy("dream-tiny").path().join(WEIGHTS), |tensors| base = tensors.clone());
    for prefix in ["model.drafter.", "module.drafter.", "_orig_mod.drafter.", "", "other."] {
        for beside in [false, true] {
            let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
            let own = |name: &str| name.replacen("drafter.", prefix, 1);
            let named = plain.iter().map(|(name, tensor)| (own(name), tensor.clone()));
            edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
                *tensors = named.chain(base.clone().into_iter().filter(|_| beside)).collect();
            });
            let mut options = ExportOptions::new(folder.path());
            options.sampler = Some(sampler.path().into());
            let manifest = export(&options).unwrap();
            assert!(manifest.problems(folder.path()).is_empty(), "{prefix}");
            let graph = fs::read(folder.path().join("sampler.onnx")).unwrap();
            let name = own("drafter.norm_postattn.0.weight");
            assert!(String::from_utf8_lossy(&graph).contains(&name), "{name}");
            // Unused tensors of the layer are still detected.
            edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
                let tensor = tensors[&name].clone();
                tensors.insert(own("drafter.layers.0.0.extra.weight"), tensor);
            });
            assert_names(&export(&options).unwrap_err(), &["extra.weight", "no place"]);
        }
    }
}

#[test]
fn a_samplers_layer_may_have_llada_names() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(mut name, tensor)| {
                for (qwen, llada) in [
                    ("self_attn.o_proj", "attn_out"),
                    ("self_attn.", ""),
                    ("input_layernorm", "attn_norm"),
                    ("post_attention_layernorm", "ff_norm"),
                    ("mlp.gate_proj", "ff_proj"),
                    ("mlp.up_proj", "up_proj"),
                    ("mlp.down_proj", "ff_out"),
                ] {
                    name = name.replace(qwen, llada);
                }
                (name, tensor)
            })
            .collect();
    });
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    export(&options).unwrap();
}

/// A change at the end of the file is detected too.
#[test]
fn changed_weights_of_a_sampler_layer_are_detected() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    let manifest = export(&options).unwrap();
    let file = folder.path().join("sampler.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let changed = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(changed, FormatError::WeightsChanged { .. }), "{changed}");
}

#[test]
fn an_export_without_a_sampler_layer_removes_the_old_graph() {
    let (folder, adjust) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(adjust.path().into());
    export(&options).unwrap();
    assert!(folder.path().join("sampler.onnx").exists());
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(!folder.path().join("sampler.onnx").exists());
}
