//! How much memory the process may still take.

use sysinfo::System;

/// Bytes of memory that this process may still take: what the machine has left, within the limits of its control group and of its
/// address space (`ulimit -v`). Nothing where the system does not say.
///
/// What other programs take while a model is loaded is not known; nor is swap counted, in which a model would hardly move.
pub fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    // Files in the page cache belong to the group too, but give way.
    let group = system.cgroup_limits().map(|group| group.total_memory.saturating_sub(group.rss));
    [machine, group, address_space(&mut system)].into_iter().flatten().min()
}

/// What is left of the limit to the process's address space, if there is one.
#[cfg(unix)]
fn address_space(system: &mut System) -> Option<u64> {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate};

    let (limit, _) = rlimit::getrlimit(rlimit::Resource::AS).ok()?;
    if limit == rlimit::INFINITY {
        return None;
    }
    let own = sysinfo::get_current_pid().ok()?;
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
    let used = system.process(own).map_or(0, |process| process.virtual_memory());
    Some(limit.saturating_sub(used))
}

#[cfg(not(unix))]
fn address_space(_: &mut System) -> Option<u64> {
    None
}

/// A size as people speak of it: 15.2 GB, 340 MB.
pub(crate) fn shown(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        few if few < 0.9995 => format!("{:.0} MB", few * 1e3),
        many => format!("{many:.1} GB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_some_memory_left() {
        let bytes = available().unwrap();
        assert!(bytes > 1 << 20 && bytes < 1 << 50, "{bytes}");
    }

    #[test]
    fn sizes_are_rounded_to_a_tenth_of_a_gigabyte() {
        for (bytes, text) in [
            (0, "0 MB"),
            (999_400_000, "999 MB"),
            (999_600_000, "1.0 GB"),
            (30_449_000_000, "30.4 GB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
