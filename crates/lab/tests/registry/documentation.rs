//! The tables of `docs/strategies.md`, made from the registry.

use std::fmt::Write;

use conjoint::unmasker::Control;
use conjoint_lab::Registry;
use conjoint_lab::registry::{Part, Reference, UnmaskerEntry};

use super::combinations::{is_allowed, policies, revisers, unmaskers};
use super::parts::{control, first, has_reviser};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/strategies.md");
const WRITE: &str = "CONJOINT_WRITE_DOCS";

/// Set `CONJOINT_WRITE_DOCS=1` to write the tables instead of comparing them.
#[test]
fn the_documentation_has_the_tables_of_the_registry() {
    let document = std::fs::read_to_string(FILE).unwrap();
    let expected = tables().into_iter().fold(document.clone(), |document, (name, table)| {
        replaced(&document, name, &table).unwrap_or_else(|| panic!("{FILE} has no table {name}"))
    });
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, expected).unwrap();
    } else {
        assert!(
            document == expected,
            "the tables of docs/strategies.md differ from the registry; to write them, run\n    \
             {WRITE}=1 cargo test -p conjoint-lab --test registry documentation"
        );
    }
}

/// The document with another text between the markers of this name.
fn replaced(document: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- registry: {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

fn tables() -> [(&'static str, String); 8] {
    let registry = Registry::builtin();
    let bundles = |entry: &UnmaskerEntry| {
        let strategy = first(&registry, entry);
        strategy.has_policy() || has_reviser(&strategy)
    };
    let (bundles, alone): (Vec<_>, Vec<_>) = registry.unmaskers().partition(|e| bundles(e));
    let (policies, schedules): (Vec<_>, Vec<_>) = registry.schedules().partition(|entry| {
        let spec = entry.conformance().specs.first().copied().unwrap_or(entry.name());
        registry.schedule(spec).unwrap().policy().is_some()
    });
    let scheduled = |entry: &conjoint_lab::registry::ScheduleEntry| {
        let Reference { item, rule, law, source, .. } = entry.reference();
        [usage(&entry.usage()), item.into(), rule.into(), law.into(), source.into()]
    };
    let unmasker = |entry: &UnmaskerEntry| {
        let Reference { item, rule, law, source, .. } = entry.reference();
        let takes = takes(&registry, entry);
        [usage(&entry.usage()), item.into(), rule.into(), takes, law.into(), source.into()]
    };
    let bundle = |entry: &UnmaskerEntry| {
        let Reference { item, rule, source, .. } = entry.reference();
        [usage(&entry.usage()), item.into(), rule.into(), source.into()]
    };
    let order = |entry: &conjoint_lab::registry::OrderEntry| {
        let Reference { item, rule, source, .. } = entry.reference();
        [usage(&entry.usage()), item.into(), rule.into(), source.into()]
    };
    let reviser = |entry: &conjoint_lab::registry::ReviserEntry| {
        let Reference { item, rule, needs, law, source } = entry.reference();
        let texts = [item, rule, needs, law, source].map(ToOwned::to_owned);
        let [item, rule, needs, law, source] = texts;
        [usage(&entry.usage()), item, rule, needs, law, source]
    };
    let cache = |entry: &conjoint_lab::registry::CacheEntry| {
        let Reference { item, rule, law, source, .. } = entry.reference();
        [usage(&entry.usage()), item.into(), rule.into(), law.into(), source.into()]
    };
    let law = "law with independent draws";
    [
        (
            "policies",
            table(
                ["`--schedule`", "in Rust", "selects", law, "source"],
                policies.into_iter().map(scheduled),
            ),
        ),
        (
            "schedules",
            table(
                ["`--schedule`", "in Rust", "how many", law, "source"],
                schedules.into_iter().map(scheduled),
            ),
        ),
        (
            "orders",
            table(
                ["`--order`", "in Rust", "score, the largest first", "source"],
                registry.orders().map(order),
            ),
        ),
        (
            "unmaskers",
            table(
                [
                    "`--unmasker`",
                    "in Rust",
                    "rule",
                    "takes",
                    "exact with one position a step?",
                    "source",
                ],
                alone.into_iter().map(unmasker),
            ),
        ),
        (
            "revisers",
            table(
                ["`--revise`", "in Rust", "takes back", "needs", "revises nothing", "source"],
                registry.revisers().map(reviser),
            ),
        ),
        ("combinations", combinations(&registry)),
        (
            "bundles",
            table(["`--unmasker`", "in Rust", "parts", "source"], bundles.into_iter().map(bundle)),
        ),
        (
            "caches",
            table(
                ["`--cache`", "in Rust", "a forward computes", "exact", "source"],
                registry.caches().map(cache),
            ),
        ),
    ]
}

fn usage(usage: &str) -> String {
    format!("`{usage}`")
}

/// Which settings and extra models an unmasker takes.
fn takes(registry: &Registry, entry: &UnmaskerEntry) -> String {
    let control = match control(&first(registry, entry)) {
        Control::Policy => "policy",
        Control::Order => "order",
        Control::OrderAlone => "order, no reviser",
        Control::Schedule => "schedule",
        Control::Steps => "steps",
        Control::Alone => "–",
        other => panic!("{other:?} has no words"),
    };
    let parts = [(Part::Sampler, "sampler layer"), (Part::Scorer, "scorer")];
    let parts = parts.into_iter().filter(|(part, _)| entry.is_made_of(*part));
    let all = [control].into_iter().chain(parts.map(|(_, name)| name));
    let all: Vec<_> = all.filter(|name| *name != "–").collect();
    all.join("; ")
}

/// A Markdown table. An empty cell becomes a dash.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells = row.map(|cell| if cell.is_empty() { "–".to_owned() } else { cell });
        writeln!(table, "| {} |", cells.join(" | ")).unwrap();
    }
    table
}

/// How many combinations pass, and how many are rejected for which reason.
fn combinations(registry: &Registry) -> String {
    let (policies, unmaskers) = (policies(registry), unmaskers(registry));
    let revisers = revisers(registry);
    let (mut passed, mut by_unmasker, mut by_steps, mut by_selection) = (0, 0, 0, 0);
    for (_, unmasker) in &unmaskers {
        for (_, policy) in &policies {
            for (_, reviser) in &revisers {
                let reviser = reviser.as_deref();
                let needs_steps = reviser.is_some_and(|reviser| reviser.needs_steps());
                let count = match unmasker.control() == Control::Policy {
                    _ if is_allowed(&**unmasker, &**policy, reviser) => &mut passed,
                    false => &mut by_unmasker,
                    true if needs_steps && policy.steps().is_none() => &mut by_steps,
                    true => &mut by_selection,
                };
                *count += 1;
            }
        }
    }
    let rejected = by_unmasker + by_steps + by_selection;
    let reasons = [
        (
            "an unmasker that takes no policy",
            by_unmasker,
            "the unmasker fixes where or how many itself",
        ),
        (
            "the reviser `remdm` with a policy without a total number of steps",
            by_steps,
            "its probabilities follow the steps",
        ),
        (
            "the revisers `rcr`, `hierarchical` or `saber` with `adaptive-joint`",
            by_selection,
            "they need an unmasker that reveals the whole selection, and `adaptive-joint` may stop early",
        ),
    ];
    let row = |(combination, number, reason): (&str, usize, &str)| {
        [combination.to_owned(), number.to_string(), reason.to_owned()]
    };
    let reasons = table(["rejected combination", "number", "reason"], reasons.into_iter().map(row));
    format!(
        "The table has {} policies (schedules with an order included), {} unmaskers (with variants), {} revisers and no \
         reviser: {} combinations. **{passed} pass the conformance suite, {rejected} are rejected with a reason** before \
         anything runs.\n\n{reasons}",
        policies.len(),
        unmaskers.len(),
        revisers.len() - 1,
        passed + rejected,
    )
}
