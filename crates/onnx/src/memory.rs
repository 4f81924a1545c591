//! The memory available to the process.

use sysinfo::System;

/// Returns the memory available to this process, in bytes: the machine's free memory, within the limits of the
/// process's control group and address space (`ulimit -v`). `None` if the system does not report it.
///
/// Later allocations of other programs are not known. Swap is not counted, because a model in swap would be too
/// slow.
pub fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    // The page cache counts for the group too, but is released on demand.
    let group = system.cgroup_limits().map(|group| group.total_memory.saturating_sub(group.rss));
    [machine, group, address_space(&mut system)].into_iter().flatten().min()
}

/// The rest of the limit of the process's address space, if there is one.
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

/// A number of bytes as text: 15.2 GB, 340 MB.
pub(crate) fn human_readable(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        few if few < 0.9995 => format!("{:.0} MB", few * 1e3),
        many => format!("{many:.1} GB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reports_available_memory() {
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
            assert_eq!(human_readable(bytes), text);
        }
    }
}
