//! `conjoint.strategies`.

use std::sync::LazyLock;

use conjoint_lab::Registry;
use conjoint_lab::registry::PRESETS;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// The strategies by name.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);
    &REGISTRY
}

/// Lists the names of all strategies and their parts.
///
/// Returns:
///     A dict with the keys "presets", "unmaskers", "schedules", "revisers", "orders" and "caches". Each value is a list of dicts:
///     "name"; "usage", the name with its parameters and their defaults, or the strategy that a preset stands for; and "summary".
#[pyfunction]
pub fn strategies(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let registry = registry();
    macro_rules! entries {
        ($entries:expr) => {
            list(py, $entries.map(|e| (e.name(), e.usage(), e.summary())))?
        };
    }
    let all = PyDict::new(py);
    let presets = PRESETS.iter().map(|preset| (preset.name, preset.line.to_owned(), preset.about));
    all.set_item("presets", list(py, presets)?)?;
    all.set_item("unmaskers", entries!(registry.unmaskers()))?;
    all.set_item("schedules", entries!(registry.schedules()))?;
    all.set_item("revisers", entries!(registry.revisers()))?;
    all.set_item("orders", entries!(registry.orders()))?;
    all.set_item("caches", entries!(registry.caches()))?;
    Ok(all)
}

fn list<'py, 'e>(
    py: Python<'py>,
    entries: impl Iterator<Item = (&'e str, String, &'e str)>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (name, usage, summary) in entries {
        let entry = PyDict::new(py);
        entry.set_item("name", name)?;
        entry.set_item("usage", usage)?;
        entry.set_item("summary", summary)?;
        list.append(entry)?;
    }
    Ok(list)
}
