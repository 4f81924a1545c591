//! Messages of the library in the names of the registry instead of those of Rust.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Registry, ReviserSpec, ScheduleSpec, UnmaskerSpec};

/// The name of each built-in entry by its type: `LearnedJoint` is `joint`.
static NAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let registry = Registry::builtin();
    let unmaskers = registry.unmaskers().map(|entry| (entry.reference().item, entry.name()));
    let schedules = registry.schedules().map(|entry| (entry.reference().item, entry.name()));
    let revisers = registry.revisers().map(|entry| (entry.reference().item, entry.name()));
    let all = unmaskers.chain(schedules).chain(revisers);
    all.map(|(item, name)| (item.trim_matches('`'), name)).collect()
});

/// The text with the names of built-in entries in place of their types.
pub(crate) fn in_command_names(text: &str) -> String {
    let word = |word: &str| {
        let name = word.trim_matches(|c: char| !c.is_alphanumeric());
        match NAMES.get(name) {
            Some(command) => word.replace(name, command),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Why parts cannot be combined: the fields of [`conjoint::Error::Combination`] in names of the registry.
pub(crate) fn combination(
    (unmasker, schedule, reviser): (&UnmaskerSpec, &ScheduleSpec, Option<&ReviserSpec>),
    (inner, setting, reason): (&str, &str, &str),
) -> String {
    let (inner, setting) = (in_command_names(inner), in_command_names(setting));
    match (setting.as_str(), reviser) {
        ("a second policy", _) => format!(
            "'{unmasker}' already has a policy: leave the schedule '{schedule}' out, or use the unmasker '{inner}'"
        ),
        ("a second reviser", Some(reviser)) => format!(
            "'{unmasker}' already has a reviser: leave the reviser '{reviser}' out, or use the unmasker '{inner}'"
        ),
        (setting, _) => match setting.split_once(" and an ") {
            Some((policy, other)) => format!(
                "the policy '{policy}' decides where and how many positions are revealed: leave the {other} out"
            ),
            None => {
                let reason = in_command_names(reason);
                format!("'{unmasker}' cannot be combined with {setting}: {reason}")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_become_names() {
        let text = "use Marginal or LearnedJoint, and ReMdm; the policy stays";
        let named = "use marginal or joint, and remdm; the policy stays";
        assert_eq!(in_command_names(text), named);
    }

    #[test]
    fn a_second_part_is_named_with_the_alternative() {
        let registry = Registry::builtin();
        let (klass, wino) =
            (registry.unmasker("klass").unwrap(), registry.unmasker("wino").unwrap());
        let schedule = registry.schedule("klass:0.8").unwrap();
        let message = combination((&klass, &schedule, None), ("Confidence", "a second policy", ""));
        assert_eq!(
            message,
            "'klass' already has a policy: leave the schedule 'klass:0.8' out, or use the unmasker 'confidence'"
        );
        let rcr = registry.reviser("rcr").unwrap();
        let parts = (&wino, &schedule, Some(&rcr));
        let message = combination(parts, ("Confidence", "a second reviser", ""));
        assert!(message.contains("leave the reviser 'rcr' out"), "{message}");
        let message = combination(parts, ("Marginal", "Klass and an order", ""));
        assert!(message.starts_with("the policy 'klass' decides"), "{message}");
    }
}
