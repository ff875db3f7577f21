//! What this process takes of the machine, as Linux tells it (proc(5)); nothing elsewhere.

/// Time on processors, in user and kernel mode, in seconds.
pub fn cpu_seconds() -> Option<f64> {
    let ticks = ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Physical memory, in bytes.
pub fn memory_bytes() -> Option<u64> {
    pages(&std::fs::read_to_string("/proc/self/statm").ok()?)?.checked_mul(rustix::param::page_size() as u64)
}

/// Fields 14 and 15, utime and stime. The second field, a name in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

/// The second field, the resident set.
fn pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name_of_the_process() {
        let stat = "7 (a) b 1) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 9 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(pages("900 300 20 5 0 60 0\n"), Some(300));
        assert_eq!((ticks("7"), pages("")), (None, None));
    }
}
