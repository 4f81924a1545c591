//! Names of a sampler layer's tensors.

use crate::checkpoint::Checkpoint;
use crate::error::FormatError;

/// Prefix of a sampler layer's tensors, in its own checkpoint or beside a base model.
///
/// The program that trained it may have put a prefix of its own before it, such as `module.`, or left it out.
pub(super) const SAMPLER: &str = "drafter.";
/// The tensor by which a sampler layer is recognised.
const MARK: &str = "norm_embed.0.weight";
/// The parts of a sampler layer: first words of its tensors' names, without a prefix.
pub(super) const PARTS: [&str; 5] =
    ["norm_embed", "norm_hidden", "norm_postattn", "down_project", "layers"];

/// The tensor by which a sampler layer in a checkpoint is recognised, if the checkpoint holds one.
pub fn find_sampler(checkpoint: &Checkpoint) -> Option<&str> {
    checkpoint.names().find(|name| is_sampler_mark(name))
}

/// Whether a sampler layer is recognised by this tensor.
pub(crate) fn is_sampler_mark(name: &str) -> bool {
    sampler_prefix(name).is_some()
}

/// The prefix of a sampler layer's tensors, if this is the tensor by which it is recognised.
fn sampler_prefix(name: &str) -> Option<&str> {
    name.strip_suffix(MARK).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// The prefix of the only sampler layer in a checkpoint. Among several, the one named exactly `drafter.`
/// counts.
pub(super) fn only_sampler(checkpoint: &Checkpoint) -> Result<String, FormatError> {
    let found: Vec<&str> = checkpoint.names().filter_map(sampler_prefix).collect();
    match found[..] {
        [one] => return Ok(one.to_owned()),
        _ if found.contains(&SAMPLER) => return Ok(SAMPLER.to_owned()),
        _ => {}
    }
    let reason = match found.is_empty() {
        true => format!(
            "the folder holds no sampler layer: there is no tensor {SAMPLER}{MARK}, nor one of this name with a prefix"
        ),
        false => {
            format!("the folder holds several sampler layers, {}: keep one", found.join(", "))
        }
    };
    Err(FormatError::SamplerLayer { path: checkpoint.folder().into(), reason })
}
