//! Limits of this process that can be raised without cost to others.

use lockstep_io::Effective;

/// Raises the number of files that this process may open to its hard limit. A journal opens some dozens, a
/// gateway one for each client; a shell's default of 1024 is for programs that use `select`.
pub fn descriptors() -> Effective {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a struct of ours, which lives during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        let error = std::io::Error::last_os_error();
        return Effective::short("open files", "as many as may be", "unknown", error.to_string());
    }
    let (soft, hard) = (limit.rlim_cur, limit.rlim_max);
    if soft >= hard {
        return Effective::granted("open files", hard);
    }
    limit.rlim_cur = hard;
    // SAFETY: as above; the call reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        let error = std::io::Error::last_os_error();
        return Effective::short("open files", hard, soft, format!("{error}; it goes on with those"));
    }
    Effective::granted("open files", hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_once() {
        let (first, again) = (descriptors(), descriptors());
        assert_eq!((first.note.clone(), again.note.clone()), (None, None), "{first} {again}");
        assert_eq!(first.to_string(), again.to_string());
    }
}
