use super::texts::Beginning;
use super::{Beginnings, Comparison, Domain, Metric};
use crate::Error;
use crate::model::Model;
use crate::progress::Progress;

/// The metrics of a comparison that apply to its texts, of which this is given.
///
/// The checks of the built-in corpus are left out for other texts, with a note to `progress`. If no metric is left, that is an
/// error.
pub(super) fn metrics(
    comparison: &Comparison,
    model: &Model,
    given: &[Beginning],
    progress: &dyn Progress,
) -> Result<Vec<Metric>, Error> {
    let (checks, others): (Vec<_>, Vec<_>) =
        comparison.metrics.iter().partition(|metric| metric.checks_corpus());
    let Some(reason) = not_of_corpus(&comparison.texts.beginnings, model, given) else {
        return Ok(comparison.metrics.clone());
    };
    if checks.is_empty() {
        return Ok(others);
    }
    let names = checks.iter().map(|metric: &Metric| metric.name()).collect::<Vec<_>>().join(",");
    if others.is_empty() {
        return Err(Error::parameter("metrics", names, reason));
    }
    progress.note(&format!("Left out: {names}, {reason}."));
    Ok(others)
}

/// Why the checks of the corpus do not apply, if they do not. The corpus has a tag before each text, which is one token in the
/// models that were trained on it.
fn not_of_corpus(beginnings: &Beginnings, model: &Model, given: &[Beginning]) -> Option<String> {
    let of_corpus = "checks of texts of the built-in corpus";
    let tokenizer = model.tokenizer.as_ref();
    let tags = Domain::ALL.map(|domain| tokenizer.and_then(|own| own.id(domain.tag())));
    let Some(tags) = tags.into_iter().collect::<Option<Vec<_>>>() else {
        return Some(format!("{of_corpus}, on which this model was not trained"));
    };
    let custom = matches!(beginnings, Beginnings::File(_) | Beginnings::Prompts(_));
    let has_tag = |of: &Beginning| of.tokens().iter().any(|token| tags.contains(token));
    let has_no_tag = custom && !given.iter().any(has_tag);
    has_no_tag.then(|| {
        format!("{of_corpus}, and no prompt has one of its tags, such as {}", Domain::Story.tag())
    })
}
