//! The position of the log: a list of runs, because superseded frames stay where they were written.
//!
//! Only a staging breaks a run, so the list is short. Places are positions of the ring, or (segment,
//! offset) for the cold readers: anything that grows.

use lockstep_wire::Seq;

/// A run of records: contiguous frames that all belong to the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Extent<P> {
    /// Seq of its first frame.
    pub first_seq: Seq,
    /// Exclusive end of its frames; `Seq::MAX` while it grows.
    pub next_seq: Seq,
    /// Where its first frame starts.
    pub at: P,
    /// No frame of it starts from here on; `None` while it grows.
    pub end: Option<P>,
}

/// The runs of a log, oldest first, each beginning where the one before ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Extents<P> {
    list: Vec<Extent<P>>,
    limit: usize,
}

impl<P: Copy + Ord> Extents<P> {
    /// No runs; when there are more than `limit` the oldest is forgotten. Never allocates again.
    pub fn bounded(limit: usize) -> Self {
        Self { list: Vec::with_capacity(limit), limit }
    }

    /// No runs, and no limit: for readers.
    pub fn unbounded() -> Self {
        Self { list: Vec::new(), limit: usize::MAX }
    }

    /// The same runs, the newest `limit` of them.
    pub fn bound(mut self, limit: usize) -> Self {
        self.list.drain(..self.list.len().saturating_sub(limit));
        self.list.reserve_exact(limit - self.list.len());
        self.limit = limit;
        self
    }

    /// Whether the frame at `at` with first seq `seq` belongs to the log.
    pub fn hold(&self, at: P, seq: Seq) -> bool {
        let run = self.find(seq).map(|index| &self.list[index]);
        run.is_some_and(|run| run.at <= at && run.end.is_none_or(|end| at < end))
    }

    /// All runs.
    pub fn list(&self) -> &[Extent<P>] {
        &self.list
    }

    /// A frame of the log starts at `at`: the growing run takes it, or a new one begins.
    #[inline]
    pub fn grow(&mut self, at: P, first_seq: Seq) {
        if self.list.last().is_none_or(|last| last.end.is_some()) {
            self.begin(at, first_seq);
        }
    }

    #[cold]
    fn begin(&mut self, at: P, first_seq: Seq) {
        if self.list.len() >= self.limit {
            self.list.remove(0);
        }
        self.list.push(Extent { first_seq, next_seq: Seq::MAX, at, end: None });
    }

    /// The growing run ends before `at`, where the log's next seq is `next`.
    pub fn close(&mut self, at: P, next: Seq) {
        if let Some(last) = self.list.last_mut().filter(|last| last.end.is_none()) {
            last.end = Some(at);
            last.next_seq = next;
        }
    }

    /// Staged frames from `from` on, which start at `at`, replace the log's frames there.
    pub fn replace(&mut self, from: Seq, at: P) {
        while self.list.last().is_some_and(|last| last.first_seq >= from) {
            self.list.pop();
        }
        if let Some(last) = self.list.last_mut() {
            last.next_seq = last.next_seq.min(from);
        }
        self.grow(at, from);
    }

    /// Forgets runs that end at or below `floor`.
    pub fn forget_below(&mut self, floor: P) {
        let gone = self.list.iter().take_while(|run| run.end.is_some_and(|end| end <= floor)).count();
        self.list.drain(..gone);
    }

    /// The index of the run that holds `seq`.
    pub fn find(&self, seq: Seq) -> Option<usize> {
        let index = self.list.partition_point(|run| run.first_seq <= seq).checked_sub(1)?;
        (seq < self.list[index].next_seq).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_cuts_the_old_runs_at_its_seq_and_the_list_stays_bounded() {
        let mut runs = Extents::bounded(2);
        runs.grow(0, 1);
        runs.close(100, 10);
        runs.grow(200, 10);
        runs.close(300, 20);
        runs.replace(5, 310);
        assert_eq!(runs.list().len(), 2);
        assert_eq!((runs.list()[0].next_seq, runs.list()[1].at), (5, 310));
        assert_eq!((runs.find(4), runs.find(5), runs.find(0)), (Some(0), Some(1), None));
        runs.close(400, 30);
        runs.grow(500, 30);
        assert_eq!(runs.list().len(), 2, "the oldest run makes room");
        assert_eq!(runs.find(4), None);
        runs.forget_below(400);
        assert_eq!(runs.list().len(), 1);
    }
}
