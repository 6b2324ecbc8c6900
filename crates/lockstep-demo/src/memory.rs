//! How much memory a process holds, by quarters of the run: flat, or it would not last.

use lockstep_process::cpu::resident_bytes;

/// Samples of one process.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Memory {
    quarters: [Quarter; 4],
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Quarter {
    sum_bytes: u64,
    samples: u64,
}

impl Quarter {
    fn mean_bytes(self) -> Option<u64> {
        self.sum_bytes.checked_div(self.samples)
    }
}

impl Memory {
    /// Takes a sample of `pid` when `done` of `all` messages are delivered. A process that is gone has none.
    pub fn sample(&mut self, pid: u32, done: u64, all: u64) {
        if let Some(bytes) = resident_bytes(pid) {
            self.add(bytes, done, all);
        }
    }

    fn add(&mut self, bytes: u64, done: u64, all: u64) {
        let quarter = (done.saturating_mul(4) / all.max(1)).min(3);
        let quarter = &mut self.quarters[quarter as usize];
        quarter.sum_bytes += bytes;
        quarter.samples += 1;
    }

    /// Mean of the first quarter.
    pub fn first_bytes(&self) -> Option<u64> {
        self.quarters[0].mean_bytes()
    }

    /// Mean of the last quarter.
    pub fn last_bytes(&self) -> Option<u64> {
        self.quarters[3].mean_bytes()
    }

    /// Growth from the first to the last quarter, in per cent.
    pub fn growth_percent(&self) -> Option<f64> {
        let (first, last) = (self.first_bytes()? as f64, self.last_bytes()? as f64);
        (first > 0.0).then(|| (last / first - 1.0) * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_means_of_the_first_and_the_last_quarter() {
        let mut memory = Memory::default();
        for (bytes, done) in [(100, 0), (300, 24), (900, 25), (900, 74), (210, 75), (230, 100)] {
            memory.add(bytes, done, 100);
        }
        assert_eq!((memory.first_bytes(), memory.last_bytes()), (Some(200), Some(220)));
        assert!(memory.growth_percent().is_some_and(|growth| (growth - 10.0).abs() < 1e-9));
        assert_eq!(Memory::default().growth_percent(), None);
    }
}
