//! What `/proc` knows of a process. Where there is no `/proc` nothing is known.

use std::fs::read_to_string;

/// Ticks of a second in `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// What a process has used.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// CPU seconds of all its threads since it began, in user and kernel.
    pub cpu_s: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
}

/// Reads it; none when there is no such process.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse(&stat, &status)
}

/// CPU seconds that the hypervisor gave to others, of all cores since the machine began.
pub fn stolen_s() -> Option<f64> {
    let stat = read_to_string("/proc/stat").ok()?;
    let ticks: f64 = stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
    Some(ticks / TICKS)
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name before may hold anything, brackets too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_s = (ticks()? + ticks()?) / TICKS;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    // A process that has ended and was not waited for has no memory.
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Some(Usage { cpu_s, rss_bytes: kib.unwrap_or(0) << 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = "7 (a) b 9) S 1 7 7 0 -1 4194560 99 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        let usage = parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n");
        assert_eq!(usage, Some(Usage { cpu_s: 3.0, rss_bytes: 2 << 20 }));
        assert_eq!(parse("7 (a", ""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_process_uses_memory() {
        assert!(usage(std::process::id()).is_some_and(|usage| usage.rss_bytes > 1 << 20));
        assert_eq!(usage(u32::MAX), None);
    }
}
