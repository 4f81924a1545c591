//! Building the graphs of an export.

use conjoint_format::proto::ModelProto;
use conjoint_format::{Graphs, HeadTop, Operators, SamplerForm, SamplerRows};

use crate::builder::Builder;
use crate::graph_names::{BACKBONE, HEAD, HEAD_TOP, SAMPLER, SAMPLER_CONTEXT, SAMPLER_ROWS};
use crate::source::Source;
use crate::store::Store;

/// Builds the graphs of a model, with their file names.
pub(crate) fn graphs(
    source: &Source,
    operators: Operators,
    store: &dyn Store,
) -> Vec<(&'static str, ModelProto)> {
    let builder = Builder { blueprint: &source.blueprint, operators: operators.into(), store };
    let base = &source.base;
    let mut graphs = vec![(BACKBONE, builder.backbone(base)), (HEAD, builder.head(base))];
    if let Some(HeadTop { k, .. }) = source.head_top {
        graphs.push((HEAD_TOP, builder.head_top(base, k)));
    }
    match &source.sampler {
        Some((sampler, SamplerForm::Sequence)) => {
            graphs.push((SAMPLER, builder.sampler(base, sampler)));
        }
        Some((sampler, SamplerForm::Rows)) => {
            graphs.push((SAMPLER_CONTEXT, builder.sampler_context(base, sampler)));
            graphs.push((SAMPLER_ROWS, builder.sampler_rows(base, sampler)));
        }
        None => {}
    }
    graphs
}

/// The file names of the graphs, for the manifest.
pub(crate) fn names(source: &Source) -> Graphs {
    let mut graphs = Graphs::new(BACKBONE, HEAD);
    graphs.head_top = source.head_top.clone();
    match &source.sampler {
        Some((_, SamplerForm::Sequence)) => graphs.sampler = Some(SAMPLER.into()),
        Some((_, SamplerForm::Rows)) => {
            let (context, pass) = (SAMPLER_CONTEXT.into(), SAMPLER_ROWS.into());
            graphs.sampler_rows = Some(SamplerRows { context, pass });
        }
        None => {}
    }
    graphs
}
